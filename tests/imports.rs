//! Who stands on whom: the folders of `src/` are the architecture, and imports go one way. A test over the text.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeMap, fs, path::Path};

/// What each folder, or file beside `lib.rs`, may import of this crate.
const FOLDERS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("event", &[]),
    ("session", &["error"]),
    ("key", &["error"]),
    ("cookie", &["error"]),
    ("codec", &["error", "session", "key", "SameSite"]),
    ("store", &["error", "event", "session"]),
    (
        "middleware",
        &[
            "error", "event", "session", "key", "cookie", "codec", "store", "SameSite",
        ],
    ),
    // One door more: what any user of the crate could import.
    ("axum", &["Error", "Session", "Tagged", "event"]),
];

/// Where each dependency may be named: files and folders.
const CRATES: &[(&str, &[&str])] = &[
    ("axum_core", &["axum.rs"]),
    ("base64_simd", &["codec/", "key/text.rs", "store/ticket.rs"]),
    ("cookie", &["cookie/attributes.rs", "lib.rs"]),
    ("hashlink", &["store/memory/"]),
    ("hmac", &["codec/itsdangerous.rs"]),
    ("http", &["cookie/", "middleware/", "axum.rs"]),
    (
        "memchr",
        &[
            "cookie/read.rs",
            "session/index.rs",
            "codec/itsdangerous.rs",
            "codec/python_json.rs",
        ],
    ),
    ("pin_project_lite", &["middleware/future.rs"]),
    ("redis", &["store/redis/"]),
    ("ring", &["key/", "codec/", "store/ticket.rs"]),
    ("serde_core", &["session/", "middleware/layer.rs"]),
    (
        "serde_json",
        &["session/", "middleware/layer.rs", "codec/python_json.rs"],
    ),
    ("sha1", &["codec/itsdangerous.rs"]),
    ("sqlx", &["store/sql/"]),
    (
        "tokio",
        &["middleware/runtime.rs", "session/job.rs", "store/sql/", "store/redis/"],
    ),
    ("tower_layer", &["middleware/layer.rs"]),
    ("tower_service", &["middleware/service.rs"]),
    ("tracing", &["event.rs"]),
];

/// What could panic on input, and what no finished code has.
const PANICS: [&str; 9] = [
    ".unwrap()",
    ".unwrap_err()",
    ".expect(",
    "panic!(",
    "unreachable!(",
    "todo!(",
    "unimplemented!(",
    "assert!(",
    "assert_eq!(",
];

/// The path in `src/` and the text of each source file.
fn sources() -> BTreeMap<String, String> {
    fn walk(folder: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, root, found);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found
}

/// The code: neither comments nor the tests, which stand at the end of a file or in one of their own.
fn code(path: &str, text: &str) -> String {
    if path.ends_with("tests.rs") {
        return String::new();
    }
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The paths of a `use`, its braces taken apart.
fn expand(tree: &str, before: &str, paths: &mut Vec<String>) {
    let (mut depth, mut start) = (0, 0);
    for (at, char) in tree.char_indices().chain([(tree.len(), ',')]) {
        depth += i32::from(char == '{') - i32::from(char == '}');
        if char == ',' && depth == 0 {
            let item = tree[start..at].trim();
            start = at + 1;
            match item.split_once('{') {
                Some((head, rest)) => {
                    expand(
                        rest.strip_suffix('}').unwrap(),
                        &format!("{before}{}", head.trim()),
                        paths,
                    );
                }
                None if item.is_empty() => {}
                None => paths.push(format!("{before}{item}")),
            }
        }
    }
}

/// Every path that the code imports, and those that it writes out where it uses them.
fn paths(code: &str) -> Vec<String> {
    let (mut paths, mut rest) = (Vec::new(), String::new());
    for statement in code.split_inclusive(';') {
        let body = statement.trim_end_matches(';');
        // At the start of a line, with `pub` before it or not: messages may say "use" too.
        let lines = body.match_indices('\n').map(|(at, _)| at + 1).chain([0]);
        let start = lines.filter_map(|at| {
            let line = body[at..].trim_start();
            let line = line
                .strip_prefix("pub(crate) ")
                .or(line.strip_prefix("pub "))
                .unwrap_or(line);
            line.starts_with("use ").then(|| body.len() - line.len())
        });
        match start.max() {
            Some(at) => expand(body[at..].trim_start_matches("use "), "", &mut paths),
            None => rest.push_str(statement),
        }
    }
    let is_name = |char: char| char.is_alphanumeric() || char == '_' || char == ':' || char == '$';
    let words = rest.split(|char| !is_name(char)).filter(|word| word.contains("::"));
    paths.extend(words.map(str::to_owned));
    paths
}

/// What a file does that it must not.
fn violations(path: &str, text: &str) -> Vec<String> {
    let code = code(path, text);
    let mut found = Vec::new();
    let (folder, file) = path.split_once('/').unwrap_or((path.trim_end_matches(".rs"), "mod.rs"));
    let local = code.contains("ring::hmac") || code.contains("ring::{\n");
    for import in paths(&code) {
        let parts: Vec<&str> = import.split("::").collect();
        // `super` of a folder's `mod.rs` and `super::super` of its files are the crate.
        let ours = match (&parts[..], file) {
            (["crate", name, ..], _) | (["super", "super", name, ..], _) | (["super", name, ..], "mod.rs") => {
                Some(name)
            }
            _ => None,
        };
        if let Some(&name) = ours
            && folder != "lib"
            && name != folder
            && !FOLDERS.iter().any(|(one, may)| *one == folder && may.contains(&name))
        {
            found.push(format!("{path} imports crate::{name}"));
        }
        // `::name` is always a dependency; a bare `hmac` may be the module of another one.
        let (name, certain) = if parts[0].is_empty() {
            (parts[1], true)
        } else {
            (parts[0], false)
        };
        if let Some((_, may)) = CRATES.iter().find(|(one, _)| *one == name)
            && !may.iter().any(|place| path.starts_with(place))
            && (certain || name != "hmac" || !local)
        {
            found.push(format!("{path} names the crate {name}"));
        }
        // One codec knows nothing of another.
        if let ["super", other, ..] = parts[..]
            && folder == "codec"
            && file != "mod.rs"
            && ["signed", "encrypted", "starlette", "Signed", "Encrypted", "Starlette"].contains(&other)
        {
            found.push(format!("{path} imports the codec {other}"));
        }
        // One store knows nothing of another. `super` of a file in a folder of its own is that folder.
        let outer = if file.contains('/') && !file.ends_with("/mod.rs") {
            parts.strip_prefix(&["super", "super"])
        } else {
            parts.strip_prefix(&["super"])
        };
        if let Some([other, ..]) = outer
            && folder == "store"
            && file != "mod.rs"
            && ["memory", "redis", "sql", "MemoryStore", "RedisStore", "SqlStore"].contains(other)
        {
            found.push(format!("{path} imports the store {other}"));
        }
        // Stores see a session's data, never its life.
        if let ["crate", "session", item, ..] = parts[..]
            && folder == "store"
            && !["SessionId", "Values", "Millis", "LAST_MILLIS", "system_time", "millis"].contains(&item)
        {
            found.push(format!("{path} imports crate::session::{item}"));
        }
        // Codecs see a session's data, never its life.
        if let ["crate", "session", item, ..] = parts[..]
            && folder == "codec"
            && !["Payload", "Meta", "Millis", "millis"].contains(&item)
        {
            found.push(format!("{path} imports crate::session::{item}"));
        }
    }
    for line in code.lines() {
        found.extend(
            PANICS
                .iter()
                .filter(|&&call| line.contains(call))
                .map(|call| format!("{path} calls {call}")),
        );
        if line.contains("unsafe") && !line.contains("forbid(unsafe_code)") {
            found.push(format!("{path} is unsafe"));
        }
    }
    found
}

/// Lines that compare a MAC themselves, where an attacker could measure how far it fits.
fn mac_comparisons(path: &str, text: &str) -> Vec<String> {
    let code = code(path, text);
    let compares = |line: &&str| {
        let mut words = line.split(|char: char| !char.is_alphanumeric() && char != '_' && char != '.');
        let is_mac = |word: &str| ["tag", "mac", "signature", "digest"].contains(&word.trim_end_matches(".as_ref"));
        (line.contains("==") || line.contains("!=")) && words.any(is_mac)
    };
    code.lines()
        .filter(compares)
        .map(|line| format!("{path}: {}", line.trim()))
        .collect()
}

#[test]
fn row_10_no_mac_is_compared_in_variable_time() {
    let found: Vec<String> = sources()
        .iter()
        .flat_map(|(path, text)| mac_comparisons(path, text))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    for line in [
        "if tag == other {",
        "if frame[..] != tag.as_ref() {",
        "let mac = 1;\nlet same = computed == mac;",
        "if signature == expected {",
    ] {
        assert_ne!(mac_comparisons("codec/signed.rs", line), [""; 0], "{line}");
    }
    assert_eq!(
        mac_comparisons("codec/itsdangerous.rs", "if signature.len() != SIGNATURE_TEXT {"),
        [""; 0]
    );
}

#[test]
fn imports_go_one_way_and_nothing_panics() {
    let sources = sources();
    assert!(sources.len() > 30, "{sources:?}");
    let found: Vec<String> = sources.iter().flat_map(|(path, text)| violations(path, text)).collect();
    assert!(found.is_empty(), "{found:#?}");
    // Every folder has its row, and nothing hides beside them.
    for path in sources.keys().filter(|path| *path != "lib.rs") {
        let folder = path.split('/').next().unwrap().trim_end_matches(".rs");
        assert!(
            FOLDERS.iter().any(|(one, _)| *one == folder),
            "{path} has no row in FOLDERS"
        );
    }
}

#[test]
fn every_dependency_has_its_place() {
    let manifest = include_str!("../Cargo.toml");
    let section = manifest
        .split("\n[dependencies]\n")
        .nth(1)
        .unwrap()
        .split("\n[")
        .next()
        .unwrap();
    let mut names: Vec<String> = section
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once(" = ")?.0.replace('-', "_")))
        .collect();
    names.sort_unstable();
    assert_eq!(names, CRATES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
}

#[test]
fn the_only_fields_of_an_event_are_a_reason_an_error_and_a_setting() {
    let mut events = 0;
    for (path, text) in sources() {
        for call in code(&path, &text)
            .split("event!(")
            .skip(1)
            .filter(|_| path != "event.rs")
        {
            let fields = call.split('"').next().unwrap().replace(char::is_whitespace, "");
            let (_, fields) = fields.split_once(',').unwrap();
            assert!(
                [
                    "",
                    "reason=%reason,",
                    "reason=%self,",
                    "error=%error,",
                    "error=%self,",
                    "cookie_name=%built.name,",
                    // A number.
                    "keys=%pass.strange,"
                ]
                .contains(&fields),
                "{path}: {fields}"
            );
            events += 1;
        }
    }
    assert!(events >= 6);
}

#[test]
fn what_is_forbidden_is_noticed() {
    for (path, text) in [
        ("codec/signed.rs", "use crate::cookie::Found;"),
        (
            "codec/signed.rs",
            "use crate::{\n    error::Error,\n    cookie::{Found, scan},\n};",
        ),
        ("codec/signed.rs", "use crate::middleware;"),
        ("codec/signed.rs", "use super::super::cookie;"),
        ("codec/mod.rs", "pub(crate) use super::cookie::Found;"),
        ("codec/signed.rs", "fn f() { crate::cookie::scan() }"),
        ("codec/signed.rs", "use super::encrypted::Encrypted;"),
        ("codec/signed.rs", "use super::{Binding, Encrypted};"),
        ("store/memory.rs", "use super::redis::RedisStore;"),
        ("store/redis/mod.rs", "use super::{Record, sql::SqlStore};"),
        ("store/redis/owners.rs", "use super::super::MemoryStore;"),
        ("store/memory.rs", "use crate::session::Session;"),
        ("store/memory.rs", "use crate::cookie::Found;"),
        ("store/memory.rs", "use crate::key::random;"),
        ("store/record.rs", "use sqlx::Row;"),
        ("session/state.rs", "use crate::store::Store;"),
        ("codec/signed.rs", "use crate::session::Session;"),
        ("codec/signed.rs", "use http::HeaderValue;"),
        ("codec/signed.rs", "fn f(request: &http::Request<()>) {}"),
        ("session/state.rs", "use http::HeaderMap;"),
        ("session/state.rs", "use crate::codec::Codec;"),
        ("session/mod.rs", "use crate::key::Key;"),
        ("key/mod.rs", "use crate::session::Data;"),
        ("cookie/read.rs", "use crate::session::Session;"),
        ("cookie/read.rs", "use ring::hmac;"),
        ("middleware/open.rs", "fn f() { ::ring::hmac::sign() }"),
        ("middleware/open.rs", "use crate::axum::SessionRejection;"),
        ("middleware/open.rs", "use axum_core::extract::FromRequest;"),
        ("middleware/open.rs", "fn f() { tracing::warn!(\"x\") }"),
        ("error.rs", "use crate::session::Session;"),
        ("error.rs", "use super::session::Session;"),
        ("axum.rs", "use crate::middleware::Tagged;"),
        ("session/state.rs", "let x = y.unwrap();"),
        ("cookie/read.rs", "panic!(\"no\")"),
    ] {
        assert_ne!(violations(path, text), [""; 0], "{path}: {text}");
    }
    for (path, text) in [
        (
            "codec/signed.rs",
            "use ring::hmac;\nuse super::{Binding, frame::{self, HEAD}};\nfn f() { hmac::verify() }",
        ),
        (
            "codec/signed.rs",
            "use crate::{SameSite, error::{Error, Reject}, key::{KeyRing, random}, session::Meta};",
        ),
        ("codec/signed.rs", "// use crate::cookie::Found; and x.unwrap()"),
        (
            "cookie/read.rs",
            "use http::header;\n#[cfg(test)]\nmod tests {\n    use ring::hmac;\n    fn f() { x.unwrap() }\n}",
        ),
        ("session/state.rs", "let x = y.unwrap_or_else(PoisonError::into_inner);"),
    ] {
        assert_eq!(violations(path, text), [""; 0], "{path}: {text}");
    }
}
