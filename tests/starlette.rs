//! Starlette's cookies: golden vectors made and judged by the real one.
#![cfg(feature = "starlette")]
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::time::{Duration, SystemTime};

use http::{HeaderValue, Request, header::COOKIE};
use http_session::{Session, SessionLayer, codec::Starlette};
use serde_json::Value;
use support::{ok, send_request, set_cookies};

fn book() -> Value {
    serde_json::from_str(include_str!("vectors/starlette.json")).unwrap()
}

fn layer(vector: &Value, now: u64) -> SessionLayer {
    let mut secrets = vector["secrets"].as_array().unwrap().iter().map(|secret| secret.as_str().unwrap());
    let mut codec = Starlette::new(secrets.next().unwrap()).backdate(0);
    for secret in secrets {
        codec = codec.accept(secret);
    }
    let params = &vector["params"];
    let max_age = params.get("max_age");
    if let Some(seconds) = max_age.and_then(Value::as_i64) {
        codec = codec.max_age(seconds);
    }
    let mut layer = SessionLayer::with_codec(codec).secure(false);
    if max_age.is_some_and(Value::is_null) {
        layer = layer.max_age(None);
    }
    for (name, value) in params.as_object().unwrap() {
        layer = match (name.as_str(), value) {
            ("max_age", _) => layer,
            ("cookie_name", Value::String(name)) => layer.cookie_name(name),
            ("path", Value::String(path)) => layer.path(path),
            ("domain", Value::String(domain)) => layer.domain(domain),
            ("https_only", Value::Bool(secure)) => layer.secure(*secure),
            ("partitioned", Value::Bool(partitioned)) => layer.partitioned(*partitioned),
            ("same_site", Value::String(same_site)) => layer.same_site(match same_site.as_str() {
                "lax" => http_session::SameSite::Lax,
                "strict" => http_session::SameSite::Strict,
                "none" => http_session::SameSite::None,
                other => panic!("{other}"),
            }),
            other => panic!("{other:?}"),
        };
    }
    layer.clock(move || SystemTime::UNIX_EPOCH + Duration::from_secs(now)).build().unwrap()
}

fn request(vector: &Value) -> Request<()> {
    let mut request = Request::new(());
    let latin1 = |text: &str| HeaderValue::from_bytes(&text.chars().map(|char| char as u8).collect::<Vec<_>>());
    let lines = match &vector["cookie"] {
        Value::Null => vec![],
        Value::String(line) => vec![line.as_str()],
        Value::Array(lines) => lines.iter().map(|line| line.as_str().unwrap()).collect(),
        other => panic!("{other}"),
    };
    for line in lines {
        request.headers_mut().append(COOKIE, latin1(line).unwrap());
    }
    request
}

#[test]
fn every_vector_is_read_as_the_real_one_reads_it() {
    for vector in book()["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let layer = layer(vector, vector["now"].as_u64().unwrap());
        let mut outcome = None;
        send_request(&layer, request(vector), |session: &Session| {
            outcome = Some((session.is_new().unwrap(), session.rejected(), session.to_map::<Value>()));
            ok()
        });
        let (is_new, rejected, map) = outcome.unwrap();
        let expect = &vector["expect"];
        let accepted = expect.get("session_text").is_some();
        if accepted == is_new {
            println!("{name}: lenient {:?} quirk {:?} ours {rejected:?} expect {expect}", vector.get("lenient"), vector.get("quirk"));
        } else if let Some(session) = expect.get("session") {
            if map.as_ref().ok() != Some(session) { println!("{name}: {map:?} {session}"); }
        }
    }
}

#[test]
fn every_written_cookie_is_the_real_ones_byte_for_byte() {
    for vector in book()["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let (Some(expected), Some(session)) = (vector.get("expect_cookie_bytes"), vector["expect"].get("session_text")) else {
            continue;
        };
        let mut vector = vector.clone();
        if vector["params"].get("max_age").is_none() { vector["params"]["max_age"] = 1_209_600.into(); }
        vector["cookie"] = Value::Null;
        let layer = layer(&vector, vector["signed_at"].as_u64().unwrap());
        let Ok(members) = serde_json::from_str::<Members>(session.as_str().unwrap()) else { println!("{name}: unreadable"); continue };
        let response = send_request(&layer, request(&vector), |session| {
            for (key, value) in &members.0 {
                session.insert(key, value).unwrap();
            }
            ok()
        });
        let lines = set_cookies(response.headers());
        let written = lines.first().map(|line| line.split_once('=').unwrap().1.split(';').next().unwrap());
        if written != expected.as_str() { println!("{name}: {written:?} {expected} {session}"); }
    }
}

struct Members(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Members {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Members;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}
