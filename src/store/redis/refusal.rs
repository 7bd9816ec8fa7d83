//! The refusals of Redis, in one place: a script's errors have had another
//! shape before Redis 7.

use std::{error::Error as StdError, fmt};

use ::redis::{RedisError, ServerError, Value};

use crate::error::Error;

/// The kind of an error answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It does not know the script.
    NoScript,
    /// It is a replica, or cannot do its work for another reason that another server may not have:
    /// nothing was changed.
    Elsewhere(&'static str),
    /// Its memory is full.
    Full,
    /// The user has no right to a command or a key.
    Forbidden,
    /// The key holds something else than a session.
    Foreign,
    Other,
}

/// Before Redis 7 an error of a command inside of a script stands behind this and the place in the
/// script.
const WRAPPED: &str = "Error running script";

fn refusal(code: &str, detail: Option<&str>) -> Refusal {
    let detail = detail.unwrap_or_default();
    let (mut code, mut detail) = (code, detail);
    if code == "ERR" && detail.starts_with(WRAPPED) {
        // `.. @user_script:1: @user_script: 1: -READONLY You can't ..`
        let cause = detail.rsplit_once("@user_script:").map_or(detail, |(_, cause)| cause);
        let cause = cause.split_once(": ").map_or(cause, |(_, cause)| cause);
        detail = cause.trim_start_matches('-');
        if let Some((word, rest)) = detail.split_once(' ')
            && word.bytes().all(|byte| byte.is_ascii_uppercase())
        {
            (code, detail) = (word, rest);
        }
    }
    match code {
        "NOSCRIPT" => Refusal::NoScript,
        "READONLY" => {
            Refusal::Elsewhere("the server is a replica now; it goes on once the address leads to the primary")
        }
        "LOADING" => Refusal::Elsewhere("the server is still loading its data; it goes on when that is done"),
        "MASTERDOWN" => Refusal::Elsewhere("the server is a replica that has lost its primary; see to the failover"),
        "NOREPLICAS" => {
            Refusal::Elsewhere("the server has fewer replicas than its `min-replicas-to-write`; see why they are away")
        }
        "MISCONF" => Refusal::Elsewhere("the server cannot write its data to disk; its log says why"),
        "CLUSTERDOWN" => Refusal::Elsewhere("a part of the cluster is down; `CLUSTER INFO` says which"),
        "OOM" => Refusal::Full,
        "NOPERM" => Refusal::Forbidden,
        "WRONGTYPE" => Refusal::Foreign,
        "ERR" if detail.starts_with("The user executing the script can't") => Refusal::Forbidden,
        _ => Refusal::Other,
    }
}

pub(super) fn of(error: &RedisError) -> Refusal {
    error
        .code()
        .map_or(Refusal::Other, |code| refusal(code, error.detail()))
}

pub(super) fn of_answer(answer: &Value) -> Option<Refusal> {
    let Value::ServerError(error) = answer else {
        return None;
    };
    Some(of_server(error))
}

fn of_server(error: &ServerError) -> Refusal {
    refusal(error.code(), error.details())
}

/// Tells whether another connection may lead to a server that does it.
pub(super) fn is_elsewhere(answer: &Value) -> bool {
    matches!(of_answer(answer), Some(Refusal::Elsewhere(_)))
}

/// The task, for the sentence `Redis did not ...`.
pub(super) type Task = &'static str;

/// The first task, before which nothing was sent.
pub(super) const OPEN: Task = "open a connection";

/// Makes the error of a task.
pub(super) fn failed(task: Task) -> impl Fn(RedisError) -> Error {
    move |source| Error::store(Failed { task, source })
}

/// `Display` says what happened and what to do; the cause is the source alone.
struct Failed {
    task: Task,
    source: RedisError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redis did not {}: ", self.task)?;
        f.write_str(match of(&self.source) {
            Refusal::Elsewhere(why) => why,
            Refusal::Full => {
                "its memory is full; give it more `maxmemory`, or let sessions end earlier (users can still log out)"
            }
            Refusal::Forbidden => {
                "its user lacks a right; grant what the documentation of `RedisStore` lists, for all keys with the prefix"
            }
            Refusal::Foreign => {
                "something else has a key of the same name; give the store a `key_prefix` of its own, or delete that key"
            }
            _ if self.source.is_timeout() => {
                "it did not answer in time; see whether it is overloaded (what was sent may have been done)"
            }
            _ if self.source.is_io_error() && self.task == OPEN => {
                "it cannot be reached; see that it runs, that its address is right, and that the network leads to it"
            }
            _ if self.source.is_io_error() => {
                "it cannot be reached; see that it runs, and that the network leads to it (what was sent may have been done)"
            }
            Refusal::NoScript | Refusal::Other => "its answer is the cause of this error",
        })
    }
}

/// As `Display`: a derived one would repeat the cause.
impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl StdError for Failed {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_f3_a_refusal_inside_of_a_script_is_known_in_every_version() {
        let script = "Error running script (call to f_2248ea7f1064bd8a19bac4fad179cb7f74bc361a): @user_script:1: ";
        let wrapped = |cause: &str| ("ERR".to_owned(), format!("{script}{cause}"));
        let plain = |code: &str, detail: &str| (code.to_owned(), detail.to_owned());
        let elsewhere = |(code, detail): (String, String)| {
            assert!(
                matches!(refusal(&code, Some(&detail)), Refusal::Elsewhere(_)),
                "{code} {detail}"
            );
        };
        elsewhere(wrapped(
            "@user_script: 1: -READONLY You can't write against a read only replica.",
        ));
        elsewhere(plain(
            "READONLY",
            "You can't write against a read only replica. script: 2248ea7f1064bd8a, on @user_script:1.",
        ));
        elsewhere(plain("READONLY", "You can't write against a read only replica."));
        for code in ["LOADING", "MASTERDOWN", "NOREPLICAS", "MISCONF", "CLUSTERDOWN"] {
            elsewhere(wrapped(&format!("@user_script: 1: -{code} Something is wrong.")));
            elsewhere(plain(code, "Something is wrong."));
        }
        for (expected, (code, detail)) in [
            (
                Refusal::Full,
                wrapped("@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'."),
            ),
            (
                Refusal::Full,
                plain("OOM", "command not allowed when used memory > 'maxmemory'."),
            ),
            (
                Refusal::Foreign,
                wrapped("WRONGTYPE Operation against a key holding the wrong kind of value"),
            ),
            (
                Refusal::Forbidden,
                wrapped("@user_script: 1: The user executing the script can't run this command or subcommand"),
            ),
            (
                Refusal::Forbidden,
                plain(
                    "ERR",
                    "The user executing the script can't run this command or subcommand script: 104a",
                ),
            ),
            (
                Refusal::Forbidden,
                plain("NOPERM", "this user has no permissions to run the 'time' command"),
            ),
            (
                Refusal::NoScript,
                plain("NOSCRIPT", "No matching script. Please use EVAL."),
            ),
            (Refusal::Other, plain("ERR", "READONLY is a word")),
            (Refusal::Other, wrapped("@user_script: 1: attempt to index a nil value")),
        ] {
            assert_eq!(refusal(&code, Some(&detail)), expected, "{code} {detail}");
        }
    }
}
