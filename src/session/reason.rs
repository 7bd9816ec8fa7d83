//! Why a value could not be read or written, in words that quote nothing of it.
//!
//! serde's messages name fields and types, which are the program's, and quote values, which are not
//! to be printed. What is passed on is taken from the known forms only; every other message is
//! somebody's own, and may hold anything.

use serde_json::error::Category;

const AS_WRITTEN: &str = "read it as the type it was written as, or `remove` it";

/// Why a text is no value of a type, and what to do about it.
pub(super) fn not_read(error: &serde_json::Error, json: &str) -> String {
    let message = error.to_string();
    let place = match (error.line(), error.column()) {
        (0, _) => String::new(),
        (line, column) => format!(" (line {line}, column {column} of its JSON)"),
    };
    let message = message
        .rsplit_once(" at line ")
        .map_or(&*message, |(message, _)| message);
    let (what, advice) = match error.classify() {
        Category::Data => of_data(message, json),
        _ if message.starts_with("recursion limit") => {
            ("it is nested more than 127 levels deep".to_owned(), "keep it flatter")
        }
        _ if message.starts_with("number out of range") => ("a number is out of range".to_owned(), AS_WRITTEN),
        _ => ("its text is not what a JSON reader takes".to_owned(), AS_WRITTEN),
    };
    format!("{what}{place}; {advice}")
}

/// The same for a text that is JSON: serde's own forms.
fn of_data(message: &str, json: &str) -> (String, &'static str) {
    let own = "the type's own rules refuse it";
    let field = |start| {
        let name = message.strip_prefix(start)?.strip_suffix('`')?;
        // A message of somebody's own may look the same and quote a value.
        is_name(name, json).then_some(name)
    };
    if let Some(name) = field("missing field `") {
        let advice = "give the field `#[serde(default)]` if it was added after the value was written";
        return (format!("it has no field `{name}`"), advice);
    }
    if let Some(name) = field("duplicate field `") {
        return (format!("it has the field `{name}` twice"), AS_WRITTEN);
    }
    if let Some(name) = message.strip_prefix("data did not match any variant of untagged enum ") {
        let known = name.chars().all(is_identifier);
        let what = if known {
            format!("it fits no variant of `{name}`")
        } else {
            own.to_owned()
        };
        return (what, AS_WRITTEN);
    }
    // The first half quotes the value; the program's side comes after the last of these words.
    let wanted = || message.rsplit_once(", expected ").map(|(_, wanted)| wanted);
    let what = if let Some(found) = message.strip_prefix("invalid type: ") {
        wanted().map(|wanted| format!("{} is there, and the type wants {wanted}", kind(found)))
    } else if let Some(found) = message.strip_prefix("invalid value: ") {
        wanted().map(|wanted| {
            format!(
                "{} there is not one that the type takes: it wants {wanted}",
                kind(found)
            )
        })
    } else if message.starts_with("invalid length ") {
        wanted().map(|wanted| format!("its number of members is not right: the type wants {wanted}"))
    } else if message.starts_with("unknown variant `") {
        let wanted = message.rsplit_once("`, expected ").map(|(_, wanted)| wanted);
        wanted.map(|wanted| format!("it names a variant that the enum does not have: there is {wanted}"))
    } else if message.starts_with("unknown field `") {
        Some("it has a field that the type does not know".to_owned())
    } else {
        None
    };
    (what.unwrap_or_else(|| own.to_owned()), AS_WRITTEN)
}

/// Names the kind of a value, without the value.
fn kind(found: &str) -> &'static str {
    let kinds = [
        ("string", "a string"),
        ("character", "a string"),
        ("integer", "an integer"),
        ("floating point", "a number with a fraction"),
        ("boolean", "a boolean"),
        ("map", "an object"),
        ("sequence", "an array"),
        ("null", "null"),
        ("unit", "null"),
    ];
    let of = kinds.into_iter().find(|(start, _)| found.starts_with(start));
    of.map_or("a value of another kind", |(_, kind)| kind)
}

/// Tells whether this may be a field's name: no value of the text is the same.
fn is_name(name: &str, json: &str) -> bool {
    let quoted = format!("\"{name}\"");
    let mut rest = json;
    while let Some(at) = rest.find(&quoted) {
        rest = rest.get(at + quoted.len()..).unwrap_or_default();
        if !rest.trim_start().starts_with(':') {
            return false;
        }
    }
    !name.contains(['`', '"', '\\'])
}

/// Why a value cannot be written, and what to do about it.
pub(crate) fn not_written(error: &serde_json::Error) -> String {
    let message = error.to_string();
    if message.starts_with("key must be a string") {
        "it has a map whose keys are not strings: use strings, numbers or booleans as keys, or keep a list of pairs"
    } else if message.starts_with("float key must be finite") {
        "it has a map with a key that is NaN or an infinity, which JSON has no text for: leave it out"
    } else if message.starts_with("it holds NaN or an infinity") {
        "it holds NaN or an infinity, for which JSON has no number: keep `None` or a text instead"
    } else if message.starts_with("it nests deeper than 127 levels") {
        "it nests deeper than 127 levels, and could not be read again: keep it flatter"
    } else {
        "its own `Serialize` refused: serialise it by itself to see why"
    }
    .to_owned()
}

/// The name of a type without the modules that it is in: `Option<String>`.
pub(super) fn short_name(name: &str) -> String {
    let mut short = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(char) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("::") {
            let module = short.trim_end_matches(is_identifier).len();
            short.truncate(module);
            rest = after;
        } else {
            short.push(char);
            rest = rest.get(char.len_utf8()..).unwrap_or_default();
        }
    }
    short
}

/// Also the signs of a closure or an `impl` block in a path, as in `main::{{closure}}::User`.
fn is_identifier(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '{' | '}' | '#')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_types_short_name_has_no_modules() {
        for (name, short) in [
            ("i64", "i64"),
            ("core::option::Option<alloc::string::String>", "Option<String>"),
            ("app::main::{{closure}}::User", "User"),
            ("(a::B, [c::d::E; 3], &str)", "(B, [E; 3], &str)"),
            ("dyn a::B + core::marker::Send", "dyn B + Send"),
            ("std::collections::HashMap<a::K, a::V>", "HashMap<K, V>"),
        ] {
            assert_eq!(short_name(name), short);
        }
    }
}
