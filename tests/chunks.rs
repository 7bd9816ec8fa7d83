//! One session over several cookies.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod support;

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use http::{Request, StatusCode, header::COOKIE};
use http_session::{
    Error, Key, Reject, Scope, Session, SessionLayer,
    codec::{Codec, Format, Incoming, Outgoing, Payload},
};
use support::*;

const LIMIT: usize = 4096;
const NAME: &str = "__Host-session";
/// Signed, the text is the base64 of this much more than the JSON.
const FRAME: usize = 79;

fn signed() -> SessionLayer {
    SessionLayer::signed(Key::generate().unwrap())
}

fn natives() -> [SessionLayer; 2] {
    [signed(), SessionLayer::encrypted(Key::generate().unwrap())]
}

/// So many characters, of which no part is like another.
fn filler(letter: char, len: usize) -> String {
    let numbered = (0..).map(|number| format!("{letter}{number:05}"));
    let text: String = numbered.take(len / 6 + 1).collect();
    text[..len].to_owned()
}

fn fill(session: &Session, text: &str) {
    session.insert("v", text).unwrap();
}

/// `name=value` of each live line, in their order.
fn pairs(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .filter(|line| !line.contains("Expires="))
        .map(|line| line.split(';').next().unwrap().split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn removals(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter(|line| line.contains("Expires="))
        .map(|line| line.split('=').next().unwrap().to_owned())
        .collect()
}

/// The cookies of a session that holds this text.
fn write(layer: &SessionLayer, text: &str) -> Vec<(String, String)> {
    let response = send(layer, "", |session| {
        fill(session, text);
        ok()
    });
    assert_eq!(response.status(), StatusCode::OK);
    pairs(&set_cookies(response.headers()))
}

fn header(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// The text that a request's cookies hold, or why they hold none.
fn read(layer: &SessionLayer, cookie: &str) -> Result<Text, Option<Reject>> {
    let mut text = Err(None);
    let response = send(layer, cookie, |session| {
        text = session.get("v").unwrap().map(Text).ok_or(session.rejected());
        assert_eq!(session.is_empty().unwrap(), text.is_err());
        ok()
    });
    assert!(set_cookies(response.headers()).is_empty());
    text
}

/// A text that is too long to be printed when a test fails.
#[derive(PartialEq)]
struct Text(String);

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes of {:?}", self.0.len(), self.0.chars().next())
    }
}

fn good(text: impl Into<String>) -> Result<Text, Option<Reject>> {
    Ok(Text(text.into()))
}

fn part_name(part: usize) -> String {
    if part == 0 {
        NAME.to_owned()
    } else {
        format!("{NAME}.{part}")
    }
}

// --- How a text is cut.

/// `length` in 8 digits, then the JSON with other signs for those that may not stand in a cookie: each byte of JSON is a
/// byte of text, so that every length can be had.
#[derive(Clone)]
struct ByteForByte;

const SIGNS: [(char, char); 2] = [('"', '\''), (',', '|')];

impl Codec for ByteForByte {
    fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
        let text = std::str::from_utf8(cookie.value()).map_err(|_| Reject::Malformed)?;
        if self.text_len(text.as_bytes()) != Some(text.len()) {
            return Err(Reject::Malformed);
        }
        cookie.attempt()?;
        let json = SIGNS.iter().fold(text[8..].to_owned(), |text, (plain, sign)| {
            text.replace(*sign, &plain.to_string())
        });
        Ok(Payload::new(json))
    }

    fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
        let text = SIGNS.iter().fold(payload.json().to_owned(), |text, (plain, sign)| {
            text.replace(*plain, &sign.to_string())
        });
        cookie.push_str(&format!("{:08}{text}", text.len() + 8));
        Ok(())
    }

    fn format(&self) -> Format {
        Format::new().carries_text_len()
    }

    fn text_len(&self, start: &[u8]) -> Option<usize> {
        std::str::from_utf8(start.get(..8)?).ok()?.parse().ok()
    }
}

/// Text around the value itself: the length in front, and `{"v":""}`.
const AROUND: usize = 8 + 8;

#[test]
fn asvs_3_3_5_every_cookie_is_at_most_4096_bytes_of_name_and_value_to_the_byte() {
    for name in ["s", "session", &"n".repeat(256)] {
        let full = format!("__Host-{name}");
        let room = |part: usize| LIMIT - full.len() - 2 * usize::from(part > 0);
        for parts in 1..=4_usize {
            let layer = SessionLayer::with_codec(ByteForByte)
                .max_age(None)
                .cookie_name(name)
                .chunked(parts);
            let capacity: usize = (0..parts).map(room).sum();
            // Each edge at which a further cookie begins, and the end.
            let edges: Vec<usize> = (1..=parts).map(|n| (0..n).map(room).sum()).collect();
            for edge in edges
                .into_iter()
                .flat_map(|edge| [edge - 1, edge, edge + 1])
                .chain([AROUND, 100])
            {
                let text = filler('x', edge - AROUND);
                let response = send(&layer, "", |session| {
                    fill(session, &text);
                    ok()
                });
                if edge > capacity {
                    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
                    let Some(&Error::TooLarge { size, limit, .. }) = response.extensions().get() else {
                        panic!("{edge} bytes of text fit into {parts} cookies");
                    };
                    assert_eq!(limit, parts * LIMIT);
                    assert!(size > limit && size < limit + 2 * LIMIT, "{size}");
                    assert!(set_cookies(response.headers()).is_empty());
                    continue;
                }
                let pairs = pairs(&set_cookies(response.headers()));
                assert!(pairs.len() <= parts);
                for (at, (part, value)) in pairs.iter().enumerate() {
                    let suffix = if at == 0 { String::new() } else { format!(".{at}") };
                    assert_eq!(*part, format!("{full}{suffix}"));
                    let size = part.len() + value.len();
                    let is_last = at + 1 == pairs.len();
                    assert!(
                        size == LIMIT || (is_last && size < LIMIT && !value.is_empty()),
                        "{at}: {size}"
                    );
                }
                let together: usize = pairs.iter().map(|(_, value)| value.len()).sum();
                assert_eq!(together, edge);
                assert_eq!(read(&layer, &header(&pairs)), good(text));
            }
        }
    }
}

#[test]
fn rule_8_too_large_is_loud_and_leaves_the_old_session() {
    // Base64 of 3 bytes is 4, so this text fills the cookie to the byte.
    let room = LIMIT - NAME.len();
    let most = room * 3 / 4 - FRAME - r#"{"v":""}"#.len();
    for (parts, fits) in [(1, most), (2, most + (room - 2) * 3 / 4)] {
        let layer = signed().chunked(parts);
        let mut jar = Jar::new();
        let visit = |jar: &mut Jar, len: usize| {
            jar.visit(&layer, |session| {
                fill(session, &filler('x', len));
                ok()
            })
        };
        assert_eq!(visit(&mut jar, fits).status(), StatusCode::OK);
        assert_eq!(jar.0.len(), parts);
        assert_eq!(
            jar.0.last().unwrap().name.len() + jar.0.last().unwrap().value.len(),
            LIMIT
        );
        let before = jar.clone();
        let response = visit(&mut jar, fits + 1);
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(jar.0, before.0);
        let error: &Error = response.extensions().get().unwrap();
        let Error::TooLarge { size, limit, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(*limit, parts * LIMIT);
        assert!(*size > *limit);
        let said = error.to_string();
        assert!(
            said.contains(&size.to_string()) && said.contains(&limit.to_string()),
            "{said}"
        );
        assert_eq!(read(&layer, &jar.header("/")).unwrap().0.len(), fits);
        // A handler that wants to know can.
        jar.visit(&layer, |session| {
            fill(session, &filler('x', fits + 1));
            assert!(matches!(poll_now(session.save()), Err(Error::TooLarge { .. })));
            fill(session, "short");
            poll_now(session.save()).unwrap();
            ok()
        });
        assert_eq!(read(&layer, &jar.header("/")).unwrap().0, "short");
        assert_eq!(jar.0.len(), 1);
    }
}

#[test]
fn chunking_is_off_unless_it_is_asked_for_and_has_its_limits() {
    let text = filler('x', 5_000);
    for layer in natives() {
        let response = send(&layer, "", |session| {
            fill(session, &text);
            ok()
        });
        assert!(matches!(response.extensions().get(), Some(Error::TooLarge { .. })));
        // Parts are no business of a layer that has none.
        let parts = write(&layer.clone().chunked(2), &text);
        assert_eq!(read(&layer, &header(&parts)), Err(Some(Reject::Malformed)));
        assert_eq!(
            read(&layer.clone().chunked(3), &header(&parts)),
            good(text.clone()),
            "more are no harm"
        );
        for parts in [0, 5, usize::MAX] {
            assert!(matches!(
                layer.clone().chunked(parts).build(),
                Err(Error::Config { .. })
            ));
        }
        // After the setting is lowered, what is out is read, written shorter, and its further parts go.
        let longer = write(&layer.clone().chunked(4), &filler('x', 11_000));
        let lowered = layer.clone().chunked(2);
        assert_eq!(read(&lowered, &header(&longer)), good(filler('x', 11_000)));
        let response = send(&lowered, &header(&longer), |session| {
            fill(session, "short");
            ok()
        });
        let lines = set_cookies(response.headers());
        assert_eq!(
            removals(&lines),
            (1..longer.len())
                .map(|part| format!("{NAME}.{part}"))
                .collect::<Vec<_>>()
        );
        let response = send(&lowered, &header(&longer), |session| {
            fill(session, &filler('y', 11_000));
            ok()
        });
        assert!(matches!(response.extensions().get(), Some(Error::TooLarge { .. })));
    }
    // A format that cannot be cut is not.
    #[derive(Clone)]
    struct Whole;
    impl Codec for Whole {
        fn decode(&self, _: &Incoming<'_>) -> Result<Payload, Reject> {
            Err(Reject::Malformed)
        }
        fn encode(&self, _: &Payload, _: &mut Outgoing<'_>) -> Result<(), Error> {
            Ok(())
        }
    }
    let layer = || SessionLayer::with_codec(Whole).max_age(None);
    assert!(layer().build().is_ok() && layer().chunked(1).build().is_ok());
    assert!(matches!(layer().chunked(2).build(), Err(Error::Config { .. })));
}

#[test]
fn a_short_session_is_one_cookie_of_the_plain_name() {
    for layer in natives() {
        let (one, four) = (write(&layer, "short"), write(&layer.clone().chunked(4), "short"));
        assert_eq!((one.len(), four.len()), (1, 1));
        assert_eq!(four[0].0, NAME);
        assert_eq!(read(&layer, &header(&four)), good("short"));
        assert_eq!(read(&layer.chunked(4), &header(&one)), good("short"));
    }
}

#[test]
fn every_part_has_the_attributes_of_the_whole() {
    let layer = signed().domain("example.com").path("/app").partitioned(true).chunked(3);
    let response = send(&layer, "", |session| {
        fill(session, &filler('x', 8_000));
        ok()
    });
    let lines = set_cookies(response.headers());
    assert_eq!(lines.len(), 3);
    let attributes: Vec<&str> = lines.iter().map(|line| line.split_once(';').unwrap().1).collect();
    assert!(
        attributes
            .iter()
            .all(|one| *one == attributes[0] && one.contains("Max-Age=86400"))
    );
    assert!(
        response
            .headers()
            .get_all("set-cookie")
            .iter()
            .all(|line| line.is_sensitive())
    );
}

// --- How it is put together again.

#[test]
fn parts_are_found_wherever_they_stand() {
    let text = filler('x', 8_000);
    for layer in natives() {
        let layer = layer.chunked(4);
        let mut parts = write(&layer, &text);
        assert_eq!(parts.len(), 3);
        assert_eq!(read(&layer, &header(&parts)), good(text.clone()));
        parts.reverse();
        assert_eq!(
            read(&layer, &header(&parts)),
            good(text.clone()),
            "a browser may send them in any order"
        );
        // Over several headers, as HTTP/2 does.
        let mut request = Request::builder().header(COOKIE, "a=1");
        for (name, value) in &parts {
            request = request.header(COOKIE, format!("{name}={value}"));
        }
        send_request(&layer, request.body(()).unwrap(), |session| {
            assert_eq!(session.get::<String>("v").unwrap().as_ref(), Some(&text));
            ok()
        });
    }
}

#[test]
fn a_missing_foreign_shortened_or_reordered_part_is_a_rejected_session() {
    for layer in natives() {
        let layer = layer.chunked(4);
        let mine = write(&layer, &filler('x', 11_000));
        let other = write(&layer, &filler('y', 11_000));
        assert_eq!((mine.len(), other.len()), (4, 4));
        let rejected = |parts: &[(String, String)], wanted: &[Reject], what: &str| {
            let reason = read(&layer, &header(parts))
                .unwrap_err()
                .unwrap_or_else(|| panic!("{what}: no cookie?"));
            assert!(wanted.contains(&reason), "{what}: {reason:?}");
        };
        for part in 1..4 {
            let mut missing = mine.clone();
            missing.remove(part);
            rejected(&missing, &[Reject::Malformed], "missing");
            let mut foreign = mine.clone();
            foreign[part].1.clone_from(&other[part].1);
            rejected(&foreign, &[Reject::BadSignature], "foreign");
            let mut short = mine.clone();
            short[part].1.pop();
            rejected(&short, &[Reject::Malformed], "short");
            let mut long = mine.clone();
            long[part].1.push('A');
            rejected(&long, &[Reject::Malformed], "long");
            let mut empty = mine.clone();
            empty[part].1.clear();
            rejected(&empty, &[Reject::Malformed], "empty");
            let mut binary = mine.clone();
            binary[part].1.replace_range(..1, "\"");
            rejected(&binary, &[Reject::Malformed], "not base64");
            let mut changed = mine.clone();
            let sign = if changed[part].1.starts_with('A') { "B" } else { "A" };
            changed[part].1.replace_range(..1, sign);
            rejected(&changed, &[Reject::BadSignature], "changed");
        }
        let mut reordered = mine.clone();
        let (one, two) = (reordered[1].1.clone(), reordered[2].1.clone());
        (reordered[1].1, reordered[2].1) = (two, one);
        rejected(&reordered, &[Reject::BadSignature], "reordered");
        let mut first = mine.clone();
        first[0].1.clone_from(&other[0].1);
        rejected(&first, &[Reject::BadSignature], "foreign head");
        // All of the text in the first part, or a part more.
        let whole: String = mine.iter().map(|(_, value)| value.as_str()).collect();
        rejected(
            &[(NAME.to_owned(), whole[..5_000].to_owned())],
            &[Reject::Malformed],
            "longer than a cookie",
        );
        // Without the first there is nothing, not even a rejection.
        assert_eq!(read(&layer, &header(&mine[1..])), Err(None));
        assert_eq!(read(&layer, &header(&mine)).unwrap().0.len(), 11_000);
    }
}

#[test]
fn every_interleaving_of_two_writes_is_one_of_them_or_rejected() {
    // What a browser may hold of each part: the first write's, the second's, or none.
    let lens = [(2, 5_000), (3, 8_000), (4, 11_000)];
    for layer in natives() {
        let layer = layer.chunked(4);
        for (parts_a, len_a) in lens {
            // Of one length, and of lengths that differ by a little.
            for (parts_b, len_b) in lens.into_iter().chain([(parts_a, len_a + 1), (parts_a, len_a - 200)]) {
                let texts = [filler('a', len_a), filler('b', len_b)];
                let a = write(&layer, &texts[0]);
                let b = write(&layer, &texts[1]);
                assert_eq!((a.len(), b.len()), (parts_a, parts_b));
                let (mut accepted, mut rejected) = (0, 0);
                for way in 0..3_usize.pow(4) {
                    let picks: Vec<usize> = (0..4_u32).map(|part| way / 3_usize.pow(part) % 3).collect();
                    let held: Vec<(String, String)> = picks
                        .iter()
                        .enumerate()
                        .filter_map(|(part, pick)| [&a, &b].get(*pick)?.get(part).cloned())
                        .collect();
                    let is_whole = |write: usize, parts: usize| picks[..parts].iter().all(|pick| *pick == write);
                    let wanted = if is_whole(0, parts_a) {
                        Some(&texts[0])
                    } else if is_whole(1, parts_b) {
                        Some(&texts[1])
                    } else {
                        None
                    };
                    match (read(&layer, &header(&held)), wanted) {
                        (Ok(text), Some(wanted)) => {
                            assert!(text.0 == *wanted);
                            accepted += 1;
                        }
                        (Err(reason), None) => {
                            assert_eq!(reason.is_some(), picks[0] < 2, "the first part tells that there is one");
                            rejected += 1;
                        }
                        (got, wanted) => panic!("{picks:?}: {:?} {:?}", got.is_ok(), wanted.is_some()),
                    }
                }
                assert!(accepted >= 2 && rejected > accepted);
            }
        }
    }
}

#[test]
fn the_same_data_written_twice_does_not_join_either() {
    // The first part of both says the same of the data; what differs is the id, the time and the signature at the end.
    let clock = Clock::new();
    for layer in natives() {
        let layer = layer.chunked(2).clock(clock.reader());
        let (a, b) = (write(&layer, &filler('x', 5_000)), write(&layer, &filler('x', 5_000)));
        assert_eq!(
            read(&layer, &header(&[a[0].clone(), b[1].clone()])),
            Err(Some(Reject::BadSignature))
        );
        assert_eq!(
            read(&layer, &header(&[b[0].clone(), a[1].clone()])),
            Err(Some(Reject::BadSignature))
        );
    }
}

#[test]
fn row_20_parts_that_another_scope_tossed_in_are_told_apart() {
    let clock = Clock::new();
    for layer in natives() {
        let layer = layer.chunked(4).clock(clock.reader());
        for len in [5_000, 8_000, 11_000] {
            let old = write(&layer, &filler('x', len));
            clock.advance(std::time::Duration::from_secs(1));
            // The same session, written anew: into another scope, so that the browser sends both.
            let response = send(&layer, &header(&old), |session| {
                fill(session, &filler('y', len));
                ok()
            });
            let new = pairs(&set_cookies(response.headers()));
            let paired: Vec<_> = old.iter().zip(&new).flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
            let swapped: Vec<_> = old.iter().zip(&new).flat_map(|(a, b)| [b.clone(), a.clone()]).collect();
            for both in [
                [old.clone(), new.clone()].concat(),
                [new.clone(), old.clone()].concat(),
                paired,
                swapped,
                [new.clone(), old[1..].to_vec()].concat(),
                [old[1..].to_vec(), new.clone()].concat(),
            ] {
                assert_eq!(read(&layer, &header(&both)), good(filler('y', len)), "{len}");
            }
        }
    }
    // Where others may toss, another's session is no good and no harm beyond that.
    let layer = signed().chunked(2).domain("example.com");
    let (mine, other) = (write(&layer, &filler('x', 5_000)), write(&layer, &filler('y', 5_000)));
    let both = [mine.clone(), other.clone()].concat();
    assert_eq!(read(&layer, &header(&both)), Err(Some(Reject::Ambiguous)));
    let garbage: Vec<_> = mine.iter().map(|(name, _)| (name.clone(), "AAAA".to_owned())).collect();
    assert_eq!(
        read(&layer, &header(&[garbage, mine].concat())),
        good(filler('x', 5_000))
    );
}

#[test]
fn row_20_many_parts_of_one_name_are_joined_a_few_times_only() {
    /// Finds every text wrong, and counts.
    #[derive(Clone)]
    struct Never(Arc<AtomicUsize>);
    impl Codec for Never {
        fn decode(&self, cookie: &Incoming<'_>) -> Result<Payload, Reject> {
            cookie.attempt()?;
            self.0.fetch_add(1, Ordering::SeqCst);
            Err(Reject::BadSignature)
        }
        fn encode(&self, payload: &Payload, cookie: &mut Outgoing<'_>) -> Result<(), Error> {
            ByteForByte.encode(payload, cookie)
        }
        fn format(&self) -> Format {
            ByteForByte.format()
        }
        fn text_len(&self, start: &[u8]) -> Option<usize> {
            ByteForByte.text_len(start)
        }
    }
    let count = Arc::new(AtomicUsize::new(0));
    let layer = SessionLayer::with_codec(Never(count.clone())).max_age(None).chunked(4);
    let mine = write(&layer, &filler('x', 16_000));
    assert_eq!(mine.len(), 4);
    // Twelve of each, which could be joined in 20,736 ways.
    let fakes: Vec<_> = ('a'..'m')
        .flat_map(|sign| {
            let fake = |(name, value): &(String, String)| {
                let value = format!("{}{sign}", &value[..value.len() - 1]);
                (name.clone(), value)
            };
            mine.iter().map(fake).collect::<Vec<_>>()
        })
        .collect();
    assert!(read(&layer, &header(&fakes)).unwrap_err().is_some());
    assert_eq!(count.load(Ordering::SeqCst), 16);
}

// --- Shrinking, growing, ending.

#[test]
fn shrinking_removes_the_stale_parts_and_growing_adds_them() {
    for layer in natives() {
        let layer = layer.chunked(4);
        let mut jar = Jar::new();
        let lens = [100, 5_000, 8_000, 11_000, 8_000, 5_000, 100, 11_000, 100, 8_000, 100];
        for len in lens {
            let had = jar.0.len();
            let response = jar.visit(&layer, |session| {
                fill(session, &filler('x', len));
                ok()
            });
            let lines = set_cookies(response.headers());
            let has = len / 2_900 + 1;
            let names: Vec<String> = pairs(&lines).into_iter().map(|(name, _)| name).collect();
            assert_eq!(names, (0..has).map(part_name).collect::<Vec<_>>());
            assert_eq!(removals(&lines), (has..had).map(part_name).collect::<Vec<_>>());
            assert_eq!(jar.0.len(), has);
            assert_eq!(read(&layer, &jar.header("/")), good(filler('x', len)));
        }
    }
}

#[test]
fn a_stale_part_is_ignored_and_goes_with_the_next_write() {
    for layer in natives() {
        let layer = layer.chunked(4);
        let mut jar = Jar::new();
        for (name, value) in write(&layer, "short") {
            jar.set(&format!("{name}={value}; Path=/; Secure"));
        }
        for part in [1, 3] {
            jar.set(&format!("{}=stale; Path=/; Secure", part_name(part)));
        }
        assert_eq!(read(&layer, &jar.header("/")), good("short"));
        let response = jar.visit(&layer, |session| {
            fill(session, "other");
            ok()
        });
        assert_eq!(removals(&set_cookies(response.headers())), [part_name(1), part_name(3)]);
        assert_eq!(jar.0.len(), 1);
        // Nothing but stale parts is nobody's session; an end tidies up.
        let stale = format!("{}=stale", part_name(2));
        assert_eq!(read(&layer, &stale), Err(None));
        let response = send(&layer, &stale, |session| {
            session.clear().unwrap();
            ok()
        });
        assert_eq!(removals(&set_cookies(response.headers())), [part_name(2)]);
    }
}

#[test]
fn row_22_every_end_removes_every_part() {
    let ends: [fn(&Session); 4] = [
        |s| s.destroy().unwrap(),
        |s| s.clear().unwrap(),
        |s| s.remove("v").unwrap(),
        |s| {
            s.destroy().unwrap();
            poll_now(s.save()).unwrap();
        },
    ];
    for layer in natives() {
        let layer = layer.chunked(4);
        for end in ends {
            for len in [100, 5_000, 8_000, 11_000] {
                let mut jar = Jar::new();
                jar.visit(&layer, |session| {
                    fill(session, &filler('x', len));
                    ok()
                });
                jar.visit(&layer, |session| {
                    end(session);
                    ok()
                });
                assert!(jar.0.is_empty());
            }
        }
    }
}

#[test]
fn what_was_saved_in_many_parts_and_then_shrank_is_sent_as_it_is_at_last() {
    for layer in natives() {
        let layer = layer.chunked(4);
        for had in [100, 11_000] {
            let mut jar = Jar::new();
            jar.visit(&layer, |session| {
                fill(session, &filler('x', had));
                ok()
            });
            jar.visit(&layer, |session| {
                fill(session, &filler('y', 8_000));
                poll_now(session.save()).unwrap();
                fill(session, "short");
                ok()
            });
            assert_eq!(jar.0.len(), 1);
            assert_eq!(read(&layer, &jar.header("/")), good("short"));
        }
    }
}

#[test]
fn a_scope_that_was_left_is_tidied_up_part_by_part() {
    let key = Key::generate().unwrap();
    let before = SessionLayer::signed(key.clone())
        .cookie_name("__Secure-id")
        .domain("example.com")
        .chunked(3);
    let layer = SessionLayer::signed(key)
        .cookie_name("__Secure-id")
        .chunked(3)
        .retired(Scope::new().domain("example.com"));
    let mut jar = Jar::new();
    jar.visit(&before, |session| {
        fill(session, &filler('x', 8_000));
        ok()
    });
    assert_eq!(jar.0.len(), 3);
    jar.visit(&layer, |session| {
        fill(session, &filler('y', 5_000));
        ok()
    });
    let left: Vec<_> = jar
        .0
        .iter()
        .map(|stored| (stored.name.as_str(), &stored.domain))
        .collect();
    assert_eq!(left, [("__Secure-id", &None), ("__Secure-id.1", &None)]);
    assert_eq!(read(&layer, &jar.header("/")), good(filler('y', 5_000)));
}

#[test]
fn a_made_cookie_header_has_all_parts() {
    for layer in natives() {
        let layer = layer.chunked(3);
        for (len, parts) in [(100, 1), (5_000, 2), (8_000, 3)] {
            let header = layer.cookie_header(&BTreeMap::from([("v", filler('x', len))])).unwrap();
            let header = header.to_str().unwrap();
            assert_eq!(header.split("; ").count(), parts);
            assert_eq!(read(&layer, header), good(filler('x', len)));
        }
        let error = layer
            .cookie_header(&BTreeMap::from([("v", filler('x', 12_000))]))
            .unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }));
    }
}
