//! What clients send, and who can crowd out whom.

use http::{Request, header::COOKIE};
use http_session::{Duplicates, Fallback, Key, Reject, SameSite, SessionLayer, Until, codec, store::MemoryStore};

use crate::{
    client::ask,
    codecs::Paired,
    key, log_in, logged_in, look,
    support::{Jar, ok, send, send_request},
};

/// The cookies of a browser that is logged in, as `name` and `value`.
fn pairs(layer: &SessionLayer) -> Vec<(String, String)> {
    let mut jar = Jar::new();
    jar.visit(layer, |session| {
        log_in(session);
        session
            .insert("long", "x".repeat(if layer_is_long(layer) { 5000 } else { 1 }))
            .unwrap();
        ok()
    });
    jar.0.into_iter().map(|cookie| (cookie.name, cookie.value)).collect()
}

/// Whether it splits a session over several cookies.
fn layer_is_long(layer: &SessionLayer) -> bool {
    let response = send(layer, "", |session| {
        session.insert("long", "x".repeat(5000)).unwrap();
        ok()
    });
    response.status() == 200
}

fn header(pairs: &[(String, String)], spelled: impl Fn(&str, &str) -> String) -> String {
    let pairs = pairs.iter().map(|(name, value)| spelled(name, value));
    pairs.collect::<Vec<_>>().join("; ")
}

#[test]
fn fault_f1_a_value_in_quotes_is_the_value_between_them() {
    let secret = key();
    let accepting = |layer: SessionLayer, fallback: Fallback| layer.also_accept(fallback, Until::forever());
    let signed = SessionLayer::signed(secret.clone()).cookie_name("old").secure(false);
    let layers = [
        ("signed", SessionLayer::signed(key()), None),
        ("encrypted", SessionLayer::encrypted(key()), None),
        ("in parts", SessionLayer::encrypted(key()).chunked(4), None),
        ("companions", SessionLayer::with_codec(Paired::random()), None),
        ("starlette", SessionLayer::starlette("s"), None),
        (
            "fallback",
            accepting(
                SessionLayer::encrypted(key()),
                Fallback::new(codec::Signed::new(secret)).cookie_name("old"),
            ),
            Some(signed),
        ),
    ];
    for (what, layer, writer) in layers {
        let layer = layer.build().unwrap();
        let pairs = pairs(writer.as_ref().unwrap_or(&layer));
        let quoted = header(&pairs, |name, value| format!("{name}=\"{value}\""));
        assert_eq!(look(&layer, &quoted), logged_in(), "{what}");
        let blanks = header(&pairs, |name, value| format!(" {name} =\t\"{value}\" "));
        assert_eq!(look(&layer, &blanks), logged_in(), "{what}");
        // `java.net.CookieManager`, as JDK 17 sends it.
        let mut java = Request::builder();
        let all = header(&pairs, |name, value| format!("{name}=\"{value}\";$Path=\"/\""));
        java = java.header(COOKIE, format!("$Version=\"1\"; {all}"));
        let mut seen = None;
        send_request(&layer, java.body(()).unwrap(), |session| {
            seen = session.get::<String>("user").unwrap();
            ok()
        });
        assert_eq!(seen.as_deref(), Some("ada"), "{what}");
        // Twice the same, once in quotes, is one cookie.
        let both = format!("{quoted}; {}", header(&pairs, |name, value| format!("{name}={value}")));
        assert_eq!(look(&layer, &both), logged_in(), "{what}");
        for spelled in [
            |name: &str, value: &str| format!("{name}=\"{value}"),
            |name: &str, value: &str| format!("{name}={value}\""),
            |name: &str, value: &str| format!("{name}=\"\"{value}\"\""),
            |name: &str, value: &str| format!("{name}=\"{}\"{}\"", &value[..9], &value[9..]),
            |name: &str, value: &str| format!("{name}=\"{}\\\"{}\"", &value[..9], &value[9..]),
            |name: &str, value: &str| format!("{name}='{value}'"),
            |name: &str, value: &str| format!("{name}=\" {value}\""),
            |name: &str, value: &str| format!("{name}=\"{value}\"x"),
            |name: &str, value: &str| format!("\"{name}\"={value}"),
            |name: &str, value: &str| format!("\"{name}={value}\""),
        ] {
            let cookies = header(&pairs, spelled);
            assert_eq!(look(&layer, &cookies).0, None, "{what}: {}", &cookies[..60]);
        }
    }
}

#[tokio::test]
async fn fault_f1_a_ticket_in_quotes_is_the_ticket() {
    let layer = SessionLayer::with_store(MemoryStore::new()).build().unwrap();
    let response = ask(&layer, "", async |session| {
        log_in(&session);
        ok()
    })
    .await;
    let mut jar = Jar::new();
    jar.receive(response.headers());
    let value = jar.0[0].value.clone();
    for (spelled, user) in [
        (format!("\"{value}\""), Some("ada".to_owned())),
        (value.clone(), Some("ada".to_owned())),
        (format!("\"\"{value}\"\""), None),
        (format!("\"{value}"), None),
    ] {
        ask(
            &layer,
            &format!("$Version=\"1\"; __Host-session={spelled};$Path=\"/\""),
            async |session| {
                session.load().await.unwrap();
                assert_eq!(session.get::<String>("user").unwrap(), user, "{spelled}");
                ok()
            },
        )
        .await;
    }
}

#[test]
fn fault_a4_no_number_of_other_cookies_hides_the_layers_own() {
    let old = key();
    for newest in [false, true] {
        let mut layer = SessionLayer::encrypted(key())
            .also_accept(
                Fallback::new(codec::Signed::new(old.clone())).cookie_name("sid"),
                Until::forever(),
            )
            .chunked(2);
        if newest {
            layer = layer.on_duplicates(Duplicates::Newest);
        }
        let layer = layer.build().unwrap();
        let own = header(&pairs(&layer), |name, value| format!("{name}={value}"));
        let planter = SessionLayer::signed(old.clone())
            .cookie_name("sid")
            .secure(false)
            .build()
            .unwrap();
        let planted = send(&planter, "", |session| {
            session.insert("user", "mallory").unwrap();
            ok()
        });
        let mut jar = Jar::new();
        jar.receive(planted.headers());
        for one in [
            format!("sid={}; ", jar.0[0].value),
            "sid=x; ".to_owned(),
            "__Host-session.1=x; ".to_owned(),
        ] {
            for count in [1, 15, 64, 200] {
                if one.starts_with("__Host") && count > 1 {
                    // Nobody else can set these.
                    continue;
                }
                let many = one.repeat(count);
                assert_eq!(look(&layer, &format!("{many}{own}")), logged_in(), "{count} of {one}");
                assert_eq!(look(&layer, &format!("{own}; {many}")), logged_in(), "{count} of {one}");
            }
        }
    }
}

#[tokio::test]
async fn fault_a4_nor_a_ticket() {
    let layer = SessionLayer::with_store(MemoryStore::new())
        .also_accept(
            Fallback::new(codec::Signed::new(key())).cookie_name("sid"),
            Until::forever(),
        )
        .build()
        .unwrap();
    let response = ask(&layer, "", async |session| {
        log_in(&session);
        ok()
    })
    .await;
    let mut jar = Jar::new();
    jar.receive(response.headers());
    let cookies = format!("{}{}", "sid=x; ".repeat(100), jar.header("/"));
    ask(&layer, &cookies, async |session| {
        session.load().await.unwrap();
        assert_eq!(session.get::<String>("user").unwrap().as_deref(), Some("ada"));
        ok()
    })
    .await;
}

#[test]
fn fault_a13_the_newer_prefixes_promise_http_only() {
    let layer = |name: &str| SessionLayer::encrypted(Key::generate().unwrap()).cookie_name(name);
    for name in ["__Http-id", "__Host-Http-id", "Http-id"] {
        let error = layer(name).http_only(false).build().unwrap_err().to_string();
        assert!(error.contains("promises `Secure` and `HttpOnly`"), "{name}: {error}");
        assert!(layer(name).build().is_ok(), "{name}");
    }
    for name in ["__Http-id", "__Host-Http-id"] {
        assert!(layer(name).secure(false).build().is_err(), "{name}");
        let lines = send(&layer(name).build().unwrap(), "", |session| {
            log_in(session);
            ok()
        });
        let line = lines.headers()["set-cookie"].to_str().unwrap();
        assert!(
            line.starts_with(&format!("{name}=")),
            "no prefix before a prefix: {line}"
        );
    }
    assert!(layer("__Host-Http-id").path("/app").build().is_err());
    assert!(layer("__Http-id").path("/app").domain("example.com").build().is_ok());
    for name in ["__http-id", "__HTTP-id", "__host-http-id", "__Host-HTTP-id"] {
        assert!(
            layer(name).build().is_err(),
            "{name}: browsers compare without regard to case"
        );
    }
    // Without `Secure` there is no prefix, and the name says nothing.
    assert!(layer("Http-id").secure(false).http_only(false).build().is_ok());
    assert!(layer("id").http_only(false).build().is_ok());
    let fallback = |name: &str| {
        let fallback = Fallback::new(codec::Signed::new(key())).cookie_name(name);
        SessionLayer::encrypted(key())
            .http_only(false)
            .also_accept(fallback, Until::forever())
            .build()
    };
    assert!(fallback("__Http-id").is_err(), "its removal would be ignored");
    assert!(fallback("id").is_ok());
    assert!(layer("id").same_site(SameSite::None).build().is_ok());
}

#[test]
fn fault_a4_a_name_of_its_own_has_a_bound_of_its_own() {
    // Where others can set the name, too many of them are refused and never read as one of them.
    let layer = SessionLayer::encrypted(key()).secure(false).build().unwrap();
    let own = header(&pairs(&layer), |name, value| format!("{name}={value}"));
    let many = "session=x; ".repeat(200);
    assert_eq!(look(&layer, &format!("{own}; {many}")), (None, Some(Reject::Ambiguous)));
}
