//! Cookies of random keys, names and sessions, read by `tests/python/read_session_cookie.py`, which knows nothing but
//! `docs/format.md`. Needs a Python that has `cryptography`; `tests/run` sets one up.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use http_session::{Key, KeyRing, Reject, SessionLayer};
use serde_json::{Map, Value, json, value::RawValue};
use support::*;

/// Read back by Python, of each format.
const ACCEPTED: usize = 250;
/// Spoiled in some way, of each format.
const REJECTED: usize = 250;

#[test]
fn python_reads_what_we_write_and_refuses_what_we_refuse() {
    let Some(python) = env::var_os("HTTP_SESSION_PYTHON") else {
        let ci = env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
        assert!(!ci, "HTTP_SESSION_PYTHON is not set, and in CI nothing is left out");
        println!("left out: HTTP_SESSION_PYTHON does not name a Python that has `cryptography`; tests/run sets one up");
        return;
    };
    let mut random = Random::new();
    println!("seed {}", random.0);
    let mut questions = String::new();
    let mut answers = Vec::new();
    for format in ["signed", "encrypted"] {
        let mut split = 0;
        for _ in 0..ACCEPTED {
            let written = Written::random(format, &mut random);
            split += usize::from(written.parts > 1);
            let other = || random_key_text(&mut Random::new());
            let keys = match random.below(4) {
                0 => json!([other(), written.key]),
                1 => json!([written.key, other(), other()]),
                _ => json!(written.key),
            };
            // Without `codec`, the type byte says it.
            let codec = if random.below(2) == 0 {
                json!(format)
            } else {
                Value::Null
            };
            let question = written.question(&keys, &written.name, &written.app, &codec);
            questions += &format!("{question}\n");
            answers.push(written.fields);
        }
        assert!(split > 0, "none of them split over several cookies");
        for _ in 0..REJECTED {
            let (question, reason) = spoiled(format, &mut random);
            questions += &format!("{question}\n");
            let mut answer = Map::new();
            answer.insert("reject".into(), reason.into());
            answers.push(answer);
        }
    }

    let mut child = Command::new(python)
        .arg(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/python/read_session_cookie.py"
        ))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("HTTP_SESSION_PYTHON names a Python");
    let mut stdin = child.stdin.take().unwrap();
    let asked = questions.clone();
    let writer = std::thread::spawn(move || stdin.write_all(asked.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    let replies = String::from_utf8(output.stdout).unwrap();
    assert_eq!(replies.lines().count(), answers.len());
    for ((reply, question), mut expected) in replies.lines().zip(questions.lines()).zip(answers) {
        let mut reply: Map<String, Value> = serde_json::from_str(reply).unwrap();
        // Not to be seen through the API, but never absent.
        if let Some(sid) = reply.remove("sid") {
            let sid = sid.as_str().unwrap().to_owned();
            assert!(sid.len() == 32 && sid.bytes().any(|digit| digit != b'0'), "{question}");
        }
        if let Some(json) = expected.remove("json") {
            assert_eq!(reply.remove("json"), Some(json), "{question}");
        }
        assert_eq!(reply, expected, "{question}");
    }
}

/// A cookie, and what is known about it.
struct Written {
    key: String,
    layer: SessionLayer,
    name: String,
    app: String,
    text: String,
    parts: usize,
    fields: Map<String, Value>,
}

impl Written {
    fn random(format: &str, random: &mut Random) -> Self {
        let key = random_key_text(random);
        let app = random.pick(&["", "shop", "café ☕", " a b ", "\u{1F680}"]).to_owned();
        let name = random.pick(&["session", "id", "!#$%&'*+-.^_`|~9", "a-long-name-with-many-characters"]);
        let clock = Clock::new();
        clock.set(SystemTime::UNIX_EPOCH + Duration::from_millis(random.next() >> 22));
        let mut layer = match format {
            "signed" => SessionLayer::signed(key.parse::<Key>().unwrap()),
            _ => SessionLayer::encrypted(key.parse::<Key>().unwrap()),
        }
        .app(&*app)
        .cookie_name(name)
        .secure(random.below(2) == 0)
        .max_age(None)
        .anonymous_max_age(None)
        .chunked(4)
        .clock(clock.reader());
        if random.below(3) == 0 {
            layer = layer.path("/app");
        }

        let millis = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as u64;
        let mut fields = Map::new();
        fields.insert("type".into(), format.into());
        for field in ["created", "issued"] {
            fields.insert(field.into(), millis(clock.now()).into());
        }
        for field in ["authenticated", "max_age"] {
            fields.insert(field.into(), 0.into());
        }
        let mut jar = Jar::new();
        // A second write keeps some of it and changes the rest.
        let writes = 1 + random.below(2);
        for write in 0..writes {
            if write > 0 {
                clock.advance(Duration::from_millis(1 + random.below(1 << 40)));
            }
            let members = 1 + random.below(6);
            jar.visit_path(&layer, "/app", |session| {
                for _ in 0..members {
                    let long = if random.below(8) == 0 { 2500 } else { 0 };
                    let filler = "y".repeat(random.below(1 + long) as usize);
                    let (key, value) = (random.text() + &filler, random.value(3));
                    session.insert(&key, value).unwrap();
                }
                session.insert("write", write).unwrap();
                if random.below(3) == 0 {
                    session.authenticated().unwrap();
                    fields.insert("authenticated".into(), millis(clock.now()).into());
                }
                // Not before the clock moves on, or it would expire.
                if write + 1 == writes && random.below(3) == 0 {
                    let seconds = 1 + random.below(u32::MAX.into()) as u32;
                    session.set_max_age(Duration::from_secs(seconds.into())).unwrap();
                    fields.insert("max_age".into(), seconds.into());
                }
                fields.insert("issued".into(), millis(clock.now()).into());
                ok()
            });
        }
        let mut json = String::new();
        jar.visit_path(&layer, "/app", |session| {
            assert_eq!(session.rejected(), None);
            json = session.to_map::<Box<RawValue>>().unwrap().get().to_owned();
            ok()
        });
        fields.insert("json".into(), json.into());
        Self {
            key,
            layer,
            name: jar.0[0].name.clone(),
            app,
            text: jar.0.iter().map(|cookie| &*cookie.value).collect(),
            parts: jar.0.len(),
            fields,
        }
    }

    fn question(&self, keys: &Value, name: &str, app: &str, codec: &Value) -> Value {
        json!({"key": keys, "name": name, "cookie": self.text, "app": app, "codec": codec})
    }
}

/// A question with something wrong in it, and our own reason to refuse it.
fn spoiled(format: &str, random: &mut Random) -> (Value, &'static str) {
    let written = loop {
        let written = Written::random(format, random);
        if written.parts == 1 {
            break written;
        }
    };
    let (mut key, mut app, mut text) = (written.key.clone(), written.app.clone(), written.text.clone());
    let (mut name, mut kind) = ("session".to_owned(), format);
    // Under a name of its own, so that there is no prefix to think of.
    let frame_of = |layer: &SessionLayer, name: &str| {
        let layer = layer.clone().secure(false).path("/").cookie_name(name);
        let data = RawValue::from_string(written.fields["json"].as_str().unwrap().to_owned()).unwrap();
        let header = layer.cookie_header(&data).unwrap();
        header.to_str().unwrap().split_once('=').unwrap().1.to_owned()
    };
    text = if text.len() < 3900 {
        frame_of(&written.layer, &name)
    } else {
        text
    };
    let at = random.below(text.len() as u64) as usize;
    match random.below(8) {
        0 => key = random_key_text(random),
        1 => app += random.pick(&[" ", "x", "\u{301}"]),
        2 => name += random.pick(&["2", ".1", "S"]),
        3 => kind = if kind == "signed" { "encrypted" } else { "signed" },
        4 => text.truncate(at),
        5 => text.insert(at, 'A'),
        6 => text += random.pick(&["=", "==", "A", "%3D"]),
        _ => {
            let digit = loop {
                let digit =
                    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/="[random.below(67) as usize];
                if digit != text.as_bytes()[at] {
                    break digit;
                }
            };
            text.replace_range(at..=at, char::from(digit).encode_utf8(&mut [0; 4]));
        }
    }
    let ring = KeyRing::from(key.parse::<Key>().unwrap());
    let layer = match kind {
        "signed" => SessionLayer::signed(ring),
        _ => SessionLayer::encrypted(ring),
    };
    let layer = layer.app(&*app).secure(false).cookie_name(&*name).max_age(None);
    let mut rejected = None;
    send(&layer, &format!("{name}={text}"), |session| {
        assert!(session.is_empty().unwrap());
        rejected = session.rejected();
        ok()
    });
    let reason = match rejected.unwrap() {
        Reject::Malformed => "malformed",
        Reject::UnknownKey => "unknown-key",
        Reject::BadSignature => "bad-signature",
        other => panic!("{other:?}"),
    };
    let question = json!({"key": key, "name": name, "cookie": text, "app": app, "codec": kind});
    (question, reason)
}

/// A key of 32 to 80 random bytes, in one of the spellings of a key text.
fn random_key_text(random: &mut Random) -> String {
    let bytes: Vec<u8> = (0..32 + random.below(49)).map(|_| random.next() as u8).collect();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    match random.below(7) {
        0 if bytes.len() == 32 => hex,
        0 | 1 => format!("hex:{hex}"),
        2 => format!("hex:{}", hex.to_uppercase()),
        3 => base64_simd::STANDARD.encode_to_string(&bytes),
        4 => format!("base64:{}", base64_simd::STANDARD_NO_PAD.encode_to_string(&bytes)),
        5 => format!(" {}\n", base64_simd::URL_SAFE.encode_to_string(&bytes)),
        _ => base64_simd::URL_SAFE_NO_PAD.encode_to_string(&bytes),
    }
}

/// What these tests make of luck.
impl Random {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }

    fn text(&mut self) -> String {
        let pieces = [
            "a", "Z", "é", "東", "🚀", "\"", "\\", "/", "\n", "\0", "\u{7f}", "\u{2028}", " ", ";", "%", "=",
        ];
        (0..self.below(8)).map(|_| self.pick(&pieces)).collect()
    }

    fn value(&mut self, depth: u32) -> Value {
        match self.below(if depth == 0 { 6 } else { 8 }) {
            0 => Value::Null,
            1 => (self.below(2) == 0).into(),
            2 => self.next().into(),
            3 => (self.next() as i64).into(),
            // Some are not finite, and then null.
            4 => f64::from_bits(self.next()).into(),
            5 => self.text().into(),
            6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => Value::Object(
                (0..self.below(4))
                    .map(|_| (self.text(), self.value(depth - 1)))
                    .collect(),
            ),
        }
    }
}
