//! The steps that Redis takes as one: Lua scripts, each for keys of one slot.

use std::{borrow::Cow, sync::LazyLock};

use ::redis::{Cmd, Script};

/// The text of a script: one file, or two of which the first is what several scripts begin with.
macro_rules! lua {
    ($($file:literal),+) => {
        Lua(
            LazyLock::new(|| Script::new(concat!($(include_str!($file)),+))),
            concat!($(include_str!($file)),+),
        )
    };
}

// Of a record.
pub(super) static CREATE: Lua = lua!("steps.lua", "create.lua");
pub(super) static APPLY: Lua = lua!("steps.lua", "apply.lua");
pub(super) static DELETE: Lua = lua!("steps.lua", "delete.lua");
pub(super) static SETTLE: Lua = lua!("settle.lua");
pub(super) static SWEEP: Lua = lua!("sweep.lua");

// Of an owner.
pub(super) static CLAIM: Lua = lua!("owner.lua", "claim.lua");
pub(super) static HOLD: Lua = lua!("owner.lua", "hold.lua");
pub(super) static END: Lua = lua!("owner.lua", "end.lua");
pub(super) static FORGET: Lua = lua!("owner.lua", "forget.lua");

// Of everybody.
pub(super) static END_ALL: Lua = lua!("end_all.lua");

/// A script, and its text again: the driver does not hand it out, and its own way to load one asks every server of a cluster,
/// which fails while one of them is down.
pub(super) struct Lua(LazyLock<Script>, &'static str);

/// What a script is called with.
pub(super) type Args<'a> = Vec<Cow<'a, [u8]>>;

/// Keys of one slot; a record's key comes first.
pub(super) type Keys<'a> = &'a [Vec<u8>];

impl Lua {
    /// Calls it by its hash: what is sent is short.
    pub(super) fn by_hash(&self, keys: Keys<'_>, args: &[Cow<'_, [u8]>]) -> Cmd {
        call("EVALSHA", self.0.get_hash(), keys, args)
    }

    /// Calls it by its text, which the server keeps.
    pub(super) fn by_text(&self, keys: Keys<'_>, args: &[Cow<'_, [u8]>]) -> Cmd {
        call("EVAL", self.1, keys, args)
    }
}

fn call(name: &str, script: &str, keys: Keys<'_>, args: &[Cow<'_, [u8]>]) -> Cmd {
    let mut cmd = ::redis::cmd(name);
    cmd.arg(script).arg(keys.len()).arg(keys);
    for arg in args {
        cmd.arg(&**arg);
    }
    cmd
}

/// A number as the scripts read it.
pub(super) fn number<'a>(number: u64) -> Cow<'a, [u8]> {
    text(number.to_string())
}

pub(super) fn text<'a>(text: impl Into<String>) -> Cow<'a, [u8]> {
    Cow::Owned(text.into().into_bytes())
}

/// `s` and a value, as the scripts read something that is set.
pub(super) fn set<'a>(value: &[u8]) -> Cow<'a, [u8]> {
    Cow::Owned([b"s", value].concat())
}

pub(super) const KEEP: Cow<'static, [u8]> = Cow::Borrowed(b"k");
pub(super) const UNSET: Cow<'static, [u8]> = Cow::Borrowed(b"u");
