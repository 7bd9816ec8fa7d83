//! poc
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]
mod support;
use std::time::*;
use http_session::{*, codec::*};
use support::*;
fn key() -> Key { Key::generate().unwrap() }
#[test]
fn poc1_save_destroy() {
    let layer = SessionLayer::encrypted(key()).build().unwrap();
    let r = send(&layer, "", |s| { s.insert("u", 1).unwrap(); poll_now(s.save()).unwrap(); s.destroy().unwrap(); ok() });
    println!("{:?}", set_cookies(r.headers()));
    assert!(set_cookies(r.headers()).iter().all(|l| l.contains("Max-Age=0")));
}
fn value(l: &str) -> String { l.split(';').next().unwrap().to_owned() }
#[test]
fn poc2_four_of_one_id() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key()).domain("example.com").clock(clock.reader()).build().unwrap();
    let mut evil = vec![];
    let mut jar = Jar::new();
    for n in 0..4 { clock.advance(Duration::from_secs(1)); let r = jar.visit(&layer, |s| { s.insert("user", format!("mallory{n}")).unwrap(); ok() }); evil.push(value(&set_cookies(r.headers())[0])); }
    let mut v = Jar::new();
    let r = v.visit(&layer, |s| { s.insert("user", "alice").unwrap(); ok() });
    evil.push(value(&set_cookies(r.headers())[0]));
    send(&layer, &evil.join("; "), |s| { assert_eq!(s.get::<String>("user").unwrap(), None); ok() });
}
#[test]
fn poc3_64() {
    let layer = SessionLayer::encrypted(key()).domain("example.com").build().unwrap();
    let e = value(&set_cookies(send(&layer, "", |s| { s.insert("user", "mallory").unwrap(); ok() }).headers())[0]);
    let a = value(&set_cookies(send(&layer, "", |s| { s.insert("user", "alice").unwrap(); ok() }).headers())[0]);
    let line = format!("{}{a}", format!("{e}; ").repeat(64));
    send(&layer, &line, |s| { assert_eq!(s.get::<String>("user").unwrap(), None); ok() });
}
#[test]
fn poc4_fallback_scope() {
    let b = SessionLayer::encrypted(key()).also_accept(Fallback::new(Signed::new(key())).cookie_name("old").scope(Scope::new().path("/; Domain=evil.example")), Until::forever()).build();
    println!("{b:?}");
    let c = SessionLayer::encrypted(key()).also_accept(Fallback::new(Signed::new(key())).cookie_name("old").scope(Scope::new().domain("a\r\nb")), Until::forever()).build();
    println!("{c:?}");
    assert!(b.is_err() && matches!(c, Err(Error::Config{..})));
}
#[test]
fn poc5_retired_path_login() {
    let k = key();
    let old = SessionLayer::encrypted(k.clone()).path("/app").build().unwrap();
    let new = SessionLayer::encrypted(k).domain("example.com").retired(Scope::new().host_only().path("/app")).build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&old, |s| { s.insert("user", "old").unwrap(); ok() });
    let r = jar.visit_path(&new, "/login", |s| { s.insert("user", "alice").unwrap(); ok() });
    println!("{:?} {:?}", r.headers(), jar);
    jar.visit_path(&new, "/app", |s| { assert_eq!(s.get::<String>("user").unwrap().as_deref(), Some("alice"), "{:?}", s.rejected()); ok() });
}
#[test]
fn poc6_surrogate_no_store() {
    let clock = Clock::new();
    let layer = SessionLayer::encrypted(key()).rolling(true).clock(clock.reader()).build().unwrap();
    let mut jar = Jar::new();
    jar.visit(&layer, |s| { s.insert("user", 1).unwrap(); ok() });
    clock.advance(Duration::from_secs(86400*3));
    let r = jar.visit(&layer, |s| { s.get::<u8>("user").unwrap(); let mut r = ok(); r.headers_mut().insert("surrogate-control", "no-store".parse().unwrap()); r.headers_mut().insert("cache-control", "no-store".parse().unwrap()); r });
    assert_eq!(set_cookies(r.headers()).len(), 1);
}
#[test]
fn poc8_clock() {
    let clock = Clock::new();
    clock.set(SystemTime::UNIX_EPOCH + Duration::from_millis((1<<48) - 1));
    let layer = SessionLayer::encrypted(key()).clock(clock.reader()).build().unwrap();
    let mut jar = Jar::new();
    for n in 0..3u8 { jar.visit(&layer, |s| { assert_eq!(s.get::<u8>("n").unwrap(), n.checked_sub(1), "{:?}", s.rejected()); s.insert("n", n).unwrap(); ok() }); }
}
#[test]
fn poc9_path() {
    assert!(SessionLayer::encrypted(key()).path(format!("/{}", "a".repeat(1024))).build().is_err());
}
