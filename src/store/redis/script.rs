//! The steps that Redis takes as one: Lua scripts, each for one key.

use std::{
    borrow::Cow,
    collections::hash_map::RandomState,
    hash::BuildHasher,
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

use ::redis::{Cmd, Script};

pub(super) static CREATE: Lua = Lua(
    LazyLock::new(|| Script::new(include_str!("create.lua"))),
    include_str!("create.lua"),
);
pub(super) static APPLY: Lua = Lua(
    LazyLock::new(|| Script::new(include_str!("apply.lua"))),
    include_str!("apply.lua"),
);
pub(super) static DELETE: Lua = Lua(
    LazyLock::new(|| Script::new(include_str!("delete.lua"))),
    include_str!("delete.lua"),
);
pub(super) static SWEEP: Lua = Lua(
    LazyLock::new(|| Script::new(include_str!("delete_begun_before.lua"))),
    include_str!("delete_begun_before.lua"),
);
pub(super) static INDEX: Lua = Lua(
    LazyLock::new(|| Script::new(include_str!("index.lua"))),
    include_str!("index.lua"),
);

/// A script, and its text again: the driver does not hand it out, and its own way to load one asks every server of a cluster,
/// which fails while one of them is down.
pub(super) struct Lua(LazyLock<Script>, &'static str);

/// What a script is called with.
pub(super) type Args<'a> = Vec<Cow<'a, [u8]>>;

impl Lua {
    /// Calls it by its hash: what is sent is short.
    pub(super) fn by_hash(&self, key: &[u8], args: &[Cow<'_, [u8]>]) -> Cmd {
        call("EVALSHA", self.0.get_hash(), key, args)
    }

    /// Calls it by its text, which the server keeps.
    pub(super) fn by_text(&self, key: &[u8], args: &[Cow<'_, [u8]>]) -> Cmd {
        call("EVAL", self.1, key, args)
    }

    /// Has a server keep it.
    pub(super) fn load(&self) -> Cmd {
        let mut cmd = ::redis::cmd("SCRIPT");
        cmd.arg("LOAD").arg(self.1);
        cmd
    }
}

fn call(name: &str, script: &str, key: &[u8], args: &[Cow<'_, [u8]>]) -> Cmd {
    let mut cmd = ::redis::cmd(name);
    cmd.arg(script).arg(1).arg(key);
    for arg in args {
        cmd.arg(&**arg);
    }
    cmd
}

/// What a step is called, so that one that is sent twice is taken once: the driver sends again what it heard no answer to.
/// Nobody gains anything by guessing it; it has to differ from those of the few steps around it.
#[derive(Clone, Copy)]
pub(super) struct Step([u8; 8]);

impl Step {
    pub(super) fn new() -> Self {
        // Keys from the system's random source, so that two processes count differently.
        static RANDOM: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Self(RANDOM.hash_one(count).to_be_bytes())
    }

    pub(super) fn as_arg<'a>(self) -> Cow<'a, [u8]> {
        Cow::Owned(self.0.to_vec())
    }
}

/// A number as the scripts read it.
pub(super) fn number<'a>(number: u64) -> Cow<'a, [u8]> {
    Cow::Owned(number.to_string().into_bytes())
}

/// `s` and a value, as the scripts read something that is set.
pub(super) fn set<'a>(value: &[u8]) -> Cow<'a, [u8]> {
    Cow::Owned([b"s", value].concat())
}

pub(super) const KEEP: Cow<'static, [u8]> = Cow::Borrowed(b"k");
pub(super) const UNSET: Cow<'static, [u8]> = Cow::Borrowed(b"u");
