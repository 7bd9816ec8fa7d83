//! What stored sessions print, and their stores.

use http_session::{
    SessionId,
    store::{
        Applied, Changes, Created, Epoch, Field, HashedTicket, Loaded, Login, Mark, OwnerId, Record, SecretHash, Store,
        StoredSession, Values, Which,
    },
};

use super::*;
use crate::map_store::MapStore;

/// Prints all that a store is handed and all that it answers.
#[derive(Clone)]
struct SpyStore {
    inner: MapStore,
    printer: Printer,
}

impl SpyStore {
    fn ticket(&self, ticket: &HashedTicket) {
        self.id(&ticket.id);
        self.secret(&ticket.secret);
        self.printer.debug("HashedTicket", ticket);
    }

    fn id(&self, id: &SessionId) {
        // Where a session is shown it is shown on purpose, by `to_string`.
        self.printer.bytes_are_secret(id.as_bytes());
        self.printer.debug("SessionId", id);
    }

    fn secret(&self, secret: &SecretHash) {
        self.printer.bytes_are_secret(secret.as_bytes());
        self.printer.debug("SecretHash", secret);
    }

    fn record(&self, record: &Record) {
        self.secret(&record.secret);
        self.printer.debug("Record", record);
        self.printer.debug("Values", &record.values);
        if let Some(owner) = &record.owner {
            self.printer.debug("Owner", owner);
        }
        if let Some(renewed) = &record.renewed {
            self.printer.debug("Renewed", renewed);
        }
    }
}

impl Store for SpyStore {
    async fn load(&self, ticket: &HashedTicket, now: u64) -> Result<Loaded, Error> {
        self.ticket(ticket);
        let answer = self.inner.load(ticket, now).await;
        self.printer.debug("Loaded", &answer);
        if let Ok(Loaded::Live(record)) = &answer {
            self.record(record);
        }
        answer
    }

    async fn create(&self, id: &SessionId, record: &Record, login: Option<&Login>, now: u64) -> Result<Created, Error> {
        self.id(id);
        self.record(record);
        if let Some(login) = login {
            self.printer.debug("Login", login);
        }
        let answer = self.inner.create(id, record, login, now).await;
        self.printer.debug("Created", &answer);
        answer
    }

    async fn apply(&self, ticket: &HashedTicket, changes: &Changes, now: u64) -> Result<Applied, Error> {
        self.ticket(ticket);
        self.printer.debug("Changes", changes);
        self.printer.debug("Field", &changes.owner);
        self.printer.debug("Field", &changes.label);
        if let Some(secret) = &changes.secret {
            self.secret(secret);
        }
        let answer = self.inner.apply(ticket, changes, now).await;
        self.printer.debug("Applied", &answer);
        answer
    }

    async fn delete(&self, ticket: &HashedTicket, now: u64) -> Result<bool, Error> {
        self.ticket(ticket);
        self.inner.delete(ticket, now).await
    }

    async fn delete_expired(&self, now: u64) -> Result<u64, Error> {
        self.inner.delete_expired(now).await
    }

    fn keeps_owners(&self) -> bool {
        true
    }

    async fn begin_login(&self, owner: &OwnerId, now: u64) -> Result<Mark, Error> {
        self.printer.debug("OwnerId", owner);
        let mark = self.inner.begin_login(owner, now).await;
        self.printer.debug("Mark", &mark);
        mark
    }

    async fn sessions_of(&self, owner: &OwnerId, now: u64) -> Result<Vec<StoredSession>, Error> {
        let answer = self.inner.sessions_of(owner, now).await;
        self.printer.debug("StoredSession", &answer);
        answer
    }

    async fn delete_begun(&self, epoch: &Epoch) -> Result<u64, Error> {
        self.printer.debug("Epoch", epoch);
        self.inner.delete_begun(epoch).await
    }

    async fn delete_of(&self, owner: &OwnerId, which: &Which, now: u64) -> Result<u64, Error> {
        self.printer.debug("Which", which);
        self.inner.delete_of(owner, which, now).await
    }
}

/// A stored session in each of its states, and everything that its store is told.
pub(super) fn print(printer: &Printer) {
    let store = SpyStore {
        inner: MapStore::new(),
        printer: printer.clone(),
    };
    let layer = SessionLayer::with_store(store.clone()).app(DATA);
    printer.debug("SessionLayer", &layer);
    let layer = layer.build().unwrap();
    printer.debug("SessionLayer", &layer);
    let mut kept = None;
    let mut jar = Jar::new();
    let response = jar.visit(&layer, |session| {
        session.insert("user", DATA).unwrap();
        session.set_owner(DATA).unwrap();
        session.set_label(DATA).unwrap();
        print_session(printer, session);
        kept = Some(session.clone());
        ok()
    });
    printer.cookie_is_secret(&jar.header("/"));
    printer.text("a response", format!("{response:?} {response:#?}"));
    let kept = kept.unwrap();
    print_session(printer, &kept);
    let old = jar.header("/");
    for deed in [
        (|_| ()) as fn(&Session),
        |session| session.insert("more", DATA).unwrap(),
        |session| session.authenticated().unwrap(),
        |session| session.set_owner(format!("{DATA}{DATA}")).unwrap(),
        |session| session.set_label(format!("{DATA}{DATA}")).unwrap(),
    ] {
        jar.visit(&layer, |session| {
            printer.debug("Session", session);
            for error in [
                session.get::<u64>("user").err(),
                session.len().err(),
                session.keys().err(),
            ] {
                printer.error(&error.unwrap());
            }
            poll_now(session.load()).unwrap();
            deed(session);
            print_session(printer, session);
            ok()
        });
        printer.cookie_is_secret(&jar.header("/"));
    }
    // The old ticket, one that nobody has, and a session that ended meanwhile.
    let unknown = format!("__Host-session={}", "Ab3-".repeat(16));
    printer.cookie_is_secret(&unknown);
    for cookie in [old, unknown] {
        send(&layer, &cookie, |session| {
            poll_now(session.load()).unwrap();
            print_session(printer, session);
            ok()
        });
    }
    send(&layer, &jar.header("/"), |session| {
        poll_now(session.load()).unwrap();
        let id = session.id().unwrap().unwrap();
        let all = poll_now(layer.sessions_of(&format!("{DATA}{DATA}"))).unwrap();
        printer.debug("StoredSession", &all[0]);
        assert_eq!(all[0].id, id);
        assert_eq!(
            poll_now(layer.destroy_all(&format!("{DATA}{DATA}"), Some(id))).unwrap(),
            0
        );
        assert!(poll_now(layer.destroy_one(&format!("{DATA}{DATA}"), id)).unwrap());
        session.insert("user", 1).unwrap();
        printer.error(&poll_now(session.save()).unwrap_err());
        print_session(printer, session);
        ok()
    });
    poll_now(layer.destroy_all_begun_before(SystemTime::now())).unwrap();
    // A store that fails.
    store.inner.down(true);
    send(&layer, &jar.header("/"), |session| {
        printer.error(&poll_now(session.load()).unwrap_err());
        print_session(printer, session);
        ok()
    });
    printer.error(&poll_now(layer.sessions_of(DATA)).unwrap_err());
    printer.debug("Which", &Which::All);
    printer.debug("Values", &Values::new());
    for text in [DATA.to_owned(), DATA.repeat(10)[..64].to_owned()] {
        printer.display("ParseSessionIdError", &text.parse::<SessionId>().unwrap_err());
    }
    printer.debug("Field", &Field::Set(DATA.to_owned()));
    printer.error(&Error::store("a source"));
    #[cfg(feature = "test-util")]
    {
        let failure = poll_now(http_session::store::conformance::check(&store.inner)).unwrap_err();
        printer.display("Failure", &failure);
    }
    #[cfg(feature = "memory")]
    {
        let memory = http_session::store::MemoryStore::new().max_sessions(10);
        let layer = SessionLayer::with_store(memory.clone()).build().unwrap();
        let mut jar = Jar::new();
        jar.visit(&layer, |session| {
            session.insert("user", DATA).unwrap();
            session.set_owner(DATA).unwrap();
            ok()
        });
        printer.cookie_is_secret(&jar.header("/"));
        printer.debug("MemoryStore", &memory);
        let small = memory.max_bytes(1);
        let response = send(&SessionLayer::with_store(small).build().unwrap(), "", |session| {
            session.insert("user", DATA).unwrap();
            ok()
        });
        printer.error(response.extensions().get().unwrap());
    }
    #[cfg(any(feature = "redis", feature = "sqlite", feature = "postgres", feature = "mysql"))]
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .worker_threads(1)
        .build()
        .unwrap()
        .block_on(async {
            #[cfg(feature = "redis")]
            print_redis(printer).await;
            #[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
            print_sql(printer).await;
        });
}

/// The names of the types that only other features have.
pub(super) fn left_out() -> Vec<&'static str> {
    let mut names = Vec::new();
    if cfg!(not(feature = "test-util")) {
        names.push("Failure");
    }
    if cfg!(not(feature = "memory")) {
        names.push("MemoryStore");
    }
    if cfg!(not(feature = "redis")) {
        names.push("RedisStore");
    }
    if cfg!(not(feature = "sqlite")) {
        names.extend(["SqlStore", "Sweeper"]);
    }
    names
}

/// Its password must not be printed, whatever goes wrong.
#[cfg(feature = "redis")]
async fn print_redis(printer: &Printer) {
    use http_session::store::RedisStore;

    let nobody = daemon::free_port();
    for url in [
        format!("redis://app:{DATA}@127.0.0.1:{nobody}"),
        format!("redis://app:{DATA}@127.0.0.1:x"),
        format!("redis://app:{DATA}@127.0.0.1:1/{DATA}"),
        format!("redis//app:{DATA}@127.0.0.1"),
        DATA.to_owned(),
    ] {
        printer.error(&redis_error(RedisStore::connect(&url)).await);
        printer.error(&redis_error(RedisStore::cluster([url])).await);
    }
    let user = ["--user", "app", "on", &format!(">{DATA}"), "~*", "+@all"];
    let Some(mut server) = redis_server::Server::start(&user) else {
        // It cannot be looked at without one.
        printer.0.lock().unwrap().types.insert("RedisStore");
        return;
    };
    let url = format!("redis://app:{DATA}@127.0.0.1:{}", server.port);
    let store = RedisStore::connect(&url).await.unwrap();
    printer.debug("RedisStore", &store);
    let wrong = format!("redis://{DATA}:{DATA}{DATA}@127.0.0.1:{}", server.port);
    printer.error(&redis_error(RedisStore::connect(&wrong)).await);
    print_failures(printer, SessionLayer::with_store(store), || server.kill()).await;
}

/// A server that is away or refuses the password may be tried for long.
#[cfg(feature = "redis")]
async fn redis_error(connects: impl Future<Output = Result<http_session::store::RedisStore, Error>>) -> Error {
    match tokio::time::timeout(std::time::Duration::from_secs(3), connects).await {
        Ok(connected) => connected.unwrap_err(),
        Err(_) => Error::store("no answer"),
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres", feature = "mysql"))]
async fn print_sql(printer: &Printer) {
    use http_session::store::SqlStore;

    // SQLite's are paths, which are no secret.
    for scheme in ["postgres", "mysql", "redis"] {
        for rest in ["127.0.0.1:x/app", "[::1", "127.0.0.1/app?port=x"] {
            let url = format!("{scheme}://app:{DATA}@{rest}");
            printer.error(&SqlStore::connect(&url).await.unwrap_err());
        }
    }
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    let nobody = daemon::free_port();
    #[cfg(feature = "postgres")]
    {
        let pool = sqlx::postgres::PgPoolOptions::new()
            .acquire_timeout(std::time::Duration::from_millis(200))
            .connect_lazy(&format!("postgres://app:{DATA}@127.0.0.1:{nobody}/app"))
            .unwrap();
        let store = SqlStore::from(pool);
        printer.debug("SqlStore", &store);
        printer.error(&store.migrate().await.unwrap_err());
        printer.debug("SessionLayer", &SessionLayer::with_store(store));
    }
    #[cfg(feature = "mysql")]
    {
        let pool = sqlx::mysql::MySqlPoolOptions::new()
            .acquire_timeout(std::time::Duration::from_millis(200))
            .connect_lazy(&format!("mysql://app:{DATA}@127.0.0.1:{nobody}/app"))
            .unwrap();
        let store = SqlStore::from(pool);
        printer.debug("SqlStore", &store);
        printer.error(&store.migrate().await.unwrap_err());
    }
    #[cfg(feature = "sqlite")]
    {
        let store = SqlStore::connect("sqlite::memory:").await.unwrap();
        // Without tables, first.
        print_failures(printer, SessionLayer::with_store(store.clone()), || ()).await;
        store.migrate().await.unwrap();
        printer.debug("SqlStore", &store);
        printer.error(&store.clone().table_prefix(DATA).unwrap_err());
        printer.error(&store.sweep_every(std::time::Duration::ZERO).unwrap_err());
        printer.debug(
            "Sweeper",
            &store.sweep_every(std::time::Duration::from_secs(60)).unwrap(),
        );
    }
}

/// Writes a session, and again after the store was broken.
#[cfg(any(feature = "redis", feature = "sqlite"))]
async fn print_failures(printer: &Printer, layer: SessionLayer, breaks: impl FnOnce()) {
    let layer = layer.build().unwrap();
    printer.debug("SessionLayer", &layer);
    let mut jar = Jar::new();
    let write = async |session: Session| {
        session.insert("user", DATA).unwrap();
        session.set_owner(DATA).unwrap();
        ok()
    };
    client::visit(&mut jar, &layer, write).await;
    if !jar.0.is_empty() {
        printer.cookie_is_secret(&jar.header("/"));
    }
    breaks();
    let response = client::ask(&layer, &jar.header("/"), write).await;
    printer.error(response.extensions().get().unwrap());
    printer.text("an error response", format!("{response:?} {}", response.body()));
    printer.error(&layer.sessions_of(DATA).await.unwrap_err());
}

#[cfg(all(feature = "tracing", feature = "tokio"))]
#[tokio::test]
async fn row_31_no_event_of_a_stored_session_holds_a_secret_and_each_says_what_happened() {
    let printer = Printer::new();
    let store = MapStore::new();
    let layer = SessionLayer::with_store(store.clone())
        .max_sessions_per_owner(1)
        .build()
        .unwrap();
    let write = async |session: Session| {
        session.insert("user", DATA).unwrap();
        ok()
    };
    let mut jar = Jar::new();
    let expect = |what: &str, expected: &[(&str, &str)]| {
        let heard = events::heard();
        for line in &heard {
            printer.text(what, line.clone());
        }
        let fits = heard.len() == expected.len()
            && heard
                .iter()
                .zip(expected)
                .all(|(line, (level, says))| line.starts_with(level) && line.contains(says));
        assert!(fits, "{what}: {heard:#?}");
    };
    events::listen();
    client::visit(&mut jar, &layer, write).await;
    expect("begun", &[]);
    let old = jar.header("/");
    printer.cookie_is_secret(&old);
    client::visit(&mut jar, &layer, async |session: Session| {
        session.renew().unwrap();
        ok()
    })
    .await;
    let good = jar.header("/");
    printer.cookie_is_secret(&good);
    expect("renewed", &[]);
    // Tickets that are not, or no longer, good.
    client::ask(&layer, &old, async |session: Session| {
        session.load().await.unwrap();
        ok()
    })
    .await;
    expect("old", &[("DEBUG", "rejected reason=the ticket was renewed")]);
    let unknown = format!("__Host-session={}", "Ab3-".repeat(16));
    printer.cookie_is_secret(&unknown);
    client::ask(&layer, &unknown, async |session: Session| {
        session.load().await.unwrap();
        ok()
    })
    .await;
    expect("unknown", &[("DEBUG", "rejected reason=no session for this ticket")]);
    // What is dropped.
    client::ask(&layer, &old, write).await;
    expect(
        "gone",
        &[
            ("DEBUG", "rejected reason=the ticket was renewed"),
            ("INFO", "changes of a session were dropped"),
        ],
    );
    let mut kept = None;
    client::ask(&layer, &good, async |session: Session| {
        session.load().await.unwrap();
        kept = Some(session);
        ok()
    })
    .await;
    let kept = kept.unwrap();
    kept.insert("late", DATA).unwrap();
    expect("late", &[]);
    drop(kept);
    expect("late", &[("WARN", "were never saved")]);
    // Failures.
    store.down(true);
    for cookie in ["", &good] {
        client::ask(&layer, cookie, write).await;
        expect(
            "down",
            &[(
                "ERROR",
                "the session could not be committed error=the session store failed",
            )],
        );
    }
    client::ask(&layer, &good, async |session: Session| {
        assert!(session.load().await.is_err());
        assert!(session.insert("user", DATA).is_err());
        ok()
    })
    .await;
    // The handler was told.
    expect("told", &[]);
    store.down(false);
    // Without the client.
    for (down, level, says) in [
        (true, "ERROR", "could not be committed after the client had left"),
        (false, "INFO", "changes of a session were dropped"),
    ] {
        store.hold_before("apply");
        {
            let asked = client::ask(&layer, &good, async |session: Session| {
                session.load().await.unwrap();
                session.insert("user", format!("{DATA}{down}")).unwrap();
                store.down(down);
                ok()
            });
            tokio::select! {
                biased;
                _ = asked => panic!("it waits"),
                () = store.held() => {}
            }
        }
        if !down {
            // Ended meanwhile.
            client::ask(&layer, &good, async |session: Session| {
                session.destroy().unwrap();
                ok()
            })
            .await;
        }
        store.open();
        let mut heard = Vec::new();
        let listen = async {
            while heard.is_empty() {
                tokio::task::yield_now().await;
                heard = events::heard();
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(60), listen)
            .await
            .unwrap();
        assert!(
            heard.len() == 1 && heard[0].starts_with(level) && heard[0].contains(says),
            "{heard:?}"
        );
        printer.text("hung up", heard.remove(0));
        store.down(false);
    }
    printer.check();
}

#[cfg(all(feature = "tracing", feature = "memory"))]
#[test]
fn row_31_no_event_of_a_full_memory_holds_a_secret() {
    let printer = Printer::new();
    let store = http_session::store::MemoryStore::new().max_sessions(4);
    let layer = SessionLayer::with_store(store).build().unwrap();
    events::listen();
    for _ in 0..40 {
        let mut jar = Jar::new();
        jar.visit(&layer, |session| {
            session.insert("user", DATA).unwrap();
            session.set_owner(DATA).unwrap();
            ok()
        });
        printer.cookie_is_secret(&jar.header("/"));
    }
    let heard = events::heard();
    assert!(heard.len() > 10, "{heard:?}");
    assert!(heard.iter().all(|line| line.contains("the memory store is full")));
    assert_eq!(heard.iter().filter(|line| line.starts_with("WARN")).count(), 1);
    for line in heard {
        printer.text("full", line);
    }
    printer.check();
}
