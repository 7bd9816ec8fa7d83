//! Sessions for tests of a store, and a link to a server on which everything arrives twice.
#![allow(dead_code, missing_docs, unreachable_pub, clippy::unwrap_used, clippy::panic)]

use std::{
    hash::{BuildHasher, RandomState},
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use http_session::{
    SessionId,
    store::{Applied, Changes, Created, HashedTicket, Loaded, Login, Owner, OwnerId, Record, SecretHash, Store},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
};

pub const DAY: u64 = 86_400_000;

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// A ticket that nobody else has, and a record of one value that lives for a day.
pub fn session(value: &str) -> (HashedTicket, Record) {
    let distinct = || {
        let mut bytes = [0; 32];
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&RandomState::new().hash_one(1).to_be_bytes());
        }
        bytes
    };
    let ticket = HashedTicket {
        id: SessionId::from_bytes(distinct()),
        secret: SecretHash::from_bytes(distinct()),
    };
    let now = now();
    let mut record = Record::new(ticket.secret, now, now + DAY);
    record.values.set("a", format!("{value:?}"));
    (ticket, record)
}

/// Changes that set one value.
pub fn set(key: &str, json: &str) -> Changes {
    let mut changes = Changes::new(now(), now() + DAY);
    changes.set = vec![(key.into(), json.into())];
    changes
}

/// An owner with a name of at most 32 bytes.
pub fn owner(name: &str) -> Owner {
    let mut id = [0; 32];
    id[..name.len()].copy_from_slice(name.as_bytes());
    Owner::new(OwnerId::from_bytes(id), format!("sealed-{name}"))
}

/// Creates it as the layer does, which asks for the mark of an owner first.
pub async fn create(store: &impl Store, ticket: &HashedTicket, record: &Record) {
    assert_eq!(begin(store, ticket, record, None).await.unwrap(), Created::Created);
}

/// A login that leaves the owner at most so many sessions.
pub async fn begin(
    store: &impl Store,
    ticket: &HashedTicket,
    record: &Record,
    most: Option<u32>,
) -> Result<Created, http_session::Error> {
    let login = match &record.owner {
        Some(owner) => Some(Login::new(store.begin_login(&owner.id, now()).await?.number)),
        None => None,
    };
    let login = login.map(|login| most.map_or(login, |most| login.most(most)));
    store.create(&ticket.id, record, login.as_ref(), now()).await
}

pub async fn apply(store: &impl Store, ticket: &HashedTicket, changes: &Changes) {
    assert_eq!(store.apply(ticket, changes, now()).await.unwrap(), Applied::Updated);
}

pub async fn live(store: &impl Store, ticket: &HashedTicket, now: u64) -> Box<Record> {
    match store.load(ticket, now).await.unwrap() {
        Loaded::Live(record) => record,
        other => panic!("{other:?}"),
    }
}

/// Passes on to a Redis server and back; scripts go to it twice, and both answers are compared.
pub struct Repeater {
    port: u16,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    repeated: usize,
    differences: Vec<String>,
    scripts: Vec<Vec<u8>>,
}

impl Repeater {
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let record = seen.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
                tokio::spawn(repeat(client, server, record.clone()));
            }
        });
        Self { port, seen }
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many commands went twice.
    pub fn repeated(&self) -> usize {
        self.seen.lock().unwrap().repeated
    }

    /// The scripts that were called, as they were sent.
    pub fn scripts(&self) -> Vec<Vec<u8>> {
        self.seen.lock().unwrap().scripts.clone()
    }

    /// Where the second answer was another one.
    pub fn differences(&self) -> Vec<String> {
        self.seen.lock().unwrap().differences.clone()
    }
}

async fn repeat(client: TcpStream, server: TcpStream, seen: Arc<Mutex<Seen>>) {
    let (from_client, mut to_client): (OwnedReadHalf, OwnedWriteHalf) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    let (mut from_client, mut from_server) = (BufReader::new(from_client), BufReader::new(from_server));
    while let Some(command) = frame(&mut from_client).await {
        to_server.write_all(&command).await.unwrap();
        let Some(answer) = frame(&mut from_server).await else {
            return;
        };
        let text = String::from_utf8_lossy(&command).into_owned();
        if text.contains("EVAL") {
            to_server.write_all(&command).await.unwrap();
            let Some(second) = frame(&mut from_server).await else {
                return;
            };
            let mut seen = seen.lock().unwrap();
            seen.repeated += 1;
            seen.scripts.push(command.clone());
            // The second answer to a delete does not say whose the session was.
            let same = answer == second || (answer.starts_with(b"$") && second == b":1\r\n");
            if !same {
                let (answer, second) = (String::from_utf8_lossy(&answer), String::from_utf8_lossy(&second));
                seen.differences
                    .push(format!("{answer:?}, then {second:?}, to {text:?}"));
            }
        }
        to_client.write_all(&answer).await.unwrap();
    }
}

/// One command or answer, as bytes.
pub async fn frame(from: &mut BufReader<OwnedReadHalf>) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut left = 1_i64;
    while left > 0 {
        let start = bytes.len();
        if from.read_until(b'\n', &mut bytes).await.ok()? == 0 {
            return None;
        }
        left -= 1;
        let line = String::from_utf8_lossy(&bytes[start..]).into_owned();
        let count = || line[1..].trim().parse::<i64>().unwrap();
        match line.as_bytes()[0] {
            b'*' => left += count().max(0),
            b'%' => left += 2 * count(),
            b'$' if count() >= 0 => {
                let mut data = vec![0; count() as usize + 2];
                from.read_exact(&mut data).await.ok()?;
                bytes.extend(data);
            }
            _ => {}
        }
    }
    Some(bytes)
}

/// What a worker knows of one session after a server failed.
#[derive(Clone)]
pub struct Known {
    pub ticket: HashedTicket,
    /// The last number that was acknowledged, and the last that was sent.
    pub acknowledged: u64,
    pub sent: u64,
    pub ended: bool,
    /// Its end, or its renewal, was sent and not acknowledged.
    pub unsure: bool,
}

/// Begins sessions, counts in them, renews and ends them, until it is told to stop; a step that fails ends the work on that
/// session. `done` is called after each acknowledged step, with how many steps failed since the last one.
pub async fn work(store: impl Store, limit: std::time::Duration, mut done: impl FnMut(u64) -> bool) -> Vec<Known> {
    async fn within<T>(
        limit: std::time::Duration,
        step: impl Future<Output = Result<T, http_session::Error>>,
    ) -> Option<T> {
        match tokio::time::timeout(limit, step).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(http_session::Error::Store { .. })) | Err(_) => None,
            Ok(Err(error)) => panic!("{error}"),
        }
    }
    let mut all = Vec::new();
    let mut failed = 0;
    let mut on = true;
    while on {
        let (ticket, mut record) = session("a");
        record.values.set("n", "0");
        let mut known = Known {
            ticket,
            acknowledged: 0,
            sent: 0,
            ended: false,
            unsure: false,
        };
        let Some(created) = within(limit, store.create(&ticket.id, &record, None, now())).await else {
            failed += 1;
            // Do not spin while nobody listens.
            tokio::task::yield_now().await;
            continue;
        };
        assert_eq!(created, Created::Created, "a new id is not taken");
        on = done(std::mem::take(&mut failed));
        for n in 1..=10 {
            let mut changes = set("n", &n.to_string());
            let renewed = session("").0.secret;
            if n == 5 {
                changes.secret = Some(renewed);
            }
            known.sent = n;
            match within(limit, store.apply(&known.ticket, &changes, now())).await {
                Some(Applied::Updated) => known.acknowledged = n,
                // A failover may have lost the session: that is for the test to judge.
                Some(_) => {
                    known.unsure = true;
                    break;
                }
                None => {
                    failed += 1;
                    known.unsure = n == 5;
                    break;
                }
            }
            if n == 5 {
                known.ticket.secret = renewed;
            }
            on = done(std::mem::take(&mut failed));
        }
        if known.acknowledged == 10 && known.ticket.id.as_bytes()[0].is_multiple_of(2) {
            match within(limit, store.delete(&known.ticket, now())).await {
                Some(_) => known.ended = true,
                None => known.unsure = true,
            }
            on = done(std::mem::take(&mut failed)) && on;
        }
        all.push(known);
    }
    all
}

/// What was acknowledged and is not there, or is there and was ended.
pub async fn lost(store: &impl Store, known: &[Known]) -> Vec<String> {
    let mut lost = Vec::new();
    for one in known {
        match store.load(&one.ticket, now()).await.unwrap() {
            Loaded::Live(_) if one.ended => lost.push(format!("{}: its end", one.ticket.id)),
            Loaded::Live(record) => {
                let n: u64 = record.values.get("n").unwrap().parse().unwrap();
                if n < one.acknowledged {
                    lost.push(format!("{}: {n} instead of {}", one.ticket.id, one.acknowledged));
                }
                assert!(n <= one.sent, "{n} was never sent");
            }
            _ if one.ended || one.unsure => {}
            other => lost.push(format!("{}: {other:?}", one.ticket.id)),
        }
    }
    lost
}
