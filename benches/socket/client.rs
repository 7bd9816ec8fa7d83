//! Single requests, which prove that a server does what its case says.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use crate::{
    case::{Case, Deed, Sessions},
    process::Process,
    server::body,
    support::headers,
};

/// The header lines of a browser: 8, and one with 3 cookies that are not the session's beside the given one.
pub fn lines(cookie: &str) -> Vec<String> {
    let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
    headers(Some(cookie)).iter().map(line).collect()
}

/// What the server of this case is sent. Who is anonymous has a fourth cookie that is not the session's.
pub fn cookie(server: &Process, case: Case) -> &str {
    match case.deed {
        Deed::Anonymous => "theme=dark",
        Deed::Untouched | Deed::Read | Deed::Write => &server.cookie,
    }
}

pub fn prove(server: &Process, case: Case) {
    let cookie = cookie(server, case);
    let name = case.name();
    let (found, sent) = ask(server, cookie);
    match case.deed {
        Deed::Anonymous | Deed::Untouched => {
            let who = if case.sessions == Sessions::Bare {
                "bare"
            } else {
                "none"
            };
            assert_eq!((found, sent), (body(who, 0), None), "{name}");
        }
        Deed::Read => assert_eq!((found, sent), (body("5f3c", 17), None), "{name}"),
        Deed::Write => {
            assert_eq!(found, body("next", 18), "{name}");
            // The cookie of a stored session is its ticket, which stays.
            assert_eq!(sent.is_none(), case.sessions == Sessions::Memory, "{name}: Set-Cookie");
            let (found, _) = ask(server, sent.as_deref().unwrap_or(cookie));
            assert_eq!(found, body("next", 19), "{name}: what was written");
        }
    }
}

/// The body of the answer, and the cookie that came with it.
fn ask(server: &Process, cookie: &str) -> (String, Option<String>) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut request = lines(cookie).join("\r\n");
    request = request.replace("connection: keep-alive", "connection: close");
    write!(stream, "GET / HTTP/1.1\r\n{request}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let sent = head.lines().find_map(|line| line.strip_prefix("set-cookie: "));
    let sent = sent.map(|line| line.split(';').next().unwrap().to_owned());
    (body.to_owned(), sent)
}
