//! Random sequences of everything that a handler can do to a session in a store. What is done
//! before a load means the same as after it, a save in between changes nothing, and nothing is left
//! after an end.

use std::time::Duration;

use http::Response;
use http_session::{
    Session, SessionId, SessionLayer,
    store::{Created, Login, OwnerId, Record, Store},
};

use crate::{client::ask, map_store::MapStore, map_world::*, support::*};

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(&'static str, u8),
    Remove(&'static str),
    Clear,
    Destroy,
    Renew,
    Authenticated,
    Owner(&'static str),
    Label(&'static str),
    MaxAge(u64),
    Update(&'static str),
}

const KEYS: [&str; 3] = ["n", "m", "l"];
const OWNERS: [&str; 2] = ["ada", "eve"];
const LABELS: [&str; 2] = ["phone", "laptop"];

fn op(random: &mut Random) -> Op {
    let key = KEYS[random.below(3) as usize];
    match random.below(16) {
        0..=3 => Op::Insert(key, random.below(3) as u8),
        4 | 5 => Op::Remove(key),
        6 | 7 => Op::Clear,
        8 => Op::Destroy,
        9 => Op::Renew,
        10 => Op::Authenticated,
        11 | 12 => Op::Owner(OWNERS[random.below(2) as usize]),
        13 => Op::Label(LABELS[random.below(2) as usize]),
        14 => Op::MaxAge([3600, 7200][random.below(2) as usize]),
        _ => Op::Update(key),
    }
}

fn op_but_remove(random: &mut Random) -> Op {
    loop {
        match op(random) {
            Op::Remove(_) => {}
            other => return other,
        }
    }
}

async fn act(session: &Session, op: Op) {
    match op {
        Op::Insert(key, value) => session.insert(key, value).unwrap(),
        Op::Remove(key) => session.remove(key).unwrap(),
        Op::Clear => session.clear().unwrap(),
        Op::Destroy => session.destroy().unwrap(),
        Op::Renew => session.renew().unwrap(),
        Op::Authenticated => session.authenticated().unwrap(),
        Op::Owner(owner) => session.set_owner(owner).unwrap(),
        Op::Label(label) => session.set_label(label).unwrap(),
        Op::MaxAge(seconds) => session.set_max_age(Duration::from_secs(seconds)).unwrap(),
        Op::Update(key) => {
            let next = |n: Option<u8>| n.unwrap_or(0).wrapping_add(1);
            session.update(key, next).await.unwrap();
        }
    }
}

/// A store with one session, as often as it is wanted.
struct Table {
    layer: SessionLayer,
    store: MapStore,
    clock: Clock,
    cookie: String,
    planted: (SessionId, Record),
}

/// What a request has left: the record, and whether the browser has a cookie for it.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    records: Vec<(Vec<(String, String)>, Meta)>,
    has_cookie: bool,
}

type Meta = (Option<OwnerId>, Option<String>, Option<u64>, Option<u32>, u64, u64);

impl Table {
    /// A user's session, or, unless `named`, one without a login.
    async fn new(named: bool) -> Self {
        let World { layer, store, clock } = world();
        let mut jar = Jar::new();
        let response = ask(&layer, "", async |session: Session| {
            session.insert("n", 1).unwrap();
            session.insert("m", 2).unwrap();
            if named {
                session.authenticated().unwrap();
                session.set_owner("ada").unwrap();
                session.set_label("phone").unwrap();
                session.set_max_age(Duration::from_secs(7200)).unwrap();
            }
            ok()
        })
        .await;
        jar.receive(response.headers());
        clock.advance(MINUTE);
        let planted = store.records().remove(0);
        Self {
            cookie: jar.header("/"),
            layer,
            store,
            clock,
            planted,
        }
    }

    /// One request that comes with the session.
    async fn run(&self, status: u16, ops: &[Op], load: bool, save_before: Option<usize>) -> Left {
        let now = plain_millis(&self.clock);
        for (id, record) in self.store.records() {
            let ticket = http_session::store::HashedTicket {
                id,
                secret: record.secret,
            };
            assert!(self.store.delete(&ticket, now).await.unwrap());
        }
        let (id, record) = &self.planted;
        let login = match &record.owner {
            Some(owner) => Some(Login::new(self.store.begin_login(&owner.id, now).await.unwrap().number)),
            None => None,
        };
        let created = self.store.create(id, record, login.as_ref(), now).await.unwrap();
        assert_eq!(created, Created::Created);
        let response = ask(&self.layer, &self.cookie, async |session: Session| {
            if load {
                session.load().await.unwrap();
            }
            for (at, op) in ops.iter().enumerate() {
                if save_before == Some(at) {
                    session.save().await.unwrap();
                }
                act(&session, *op).await;
            }
            Response::builder().status(status).body(String::new()).unwrap()
        })
        .await;
        let mut jar = Jar::new();
        jar.set(&format!("{}; Path=/; Secure", self.cookie));
        jar.receive(response.headers());
        let records: Vec<_> = self
            .store
            .records()
            .into_iter()
            .map(|(_, record)| {
                let values = record.values.iter();
                let values = values.map(|(key, json)| (key.to_owned(), json.to_owned())).collect();
                let (owner, label) = (record.owner.map(|owner| owner.id), record.label);
                let (login, own) = (record.authenticated, record.max_age);
                (
                    values,
                    (owner, label, login, own, record.created, record.expires - record.seen),
                )
            })
            .collect();
        Left {
            records,
            has_cookie: !jar.0.is_empty(),
        }
    }
}

fn plain_millis(clock: &Clock) -> u64 {
    clock.now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

fn sequence(random: &mut Random) -> Vec<Op> {
    (0..=random.below(6)).map(|_| op(random)).collect()
}

#[tokio::test]
async fn fault_a16_what_is_done_before_a_load_means_the_same_as_after_it() {
    let mut random = Random::new();
    let seed = random.0;
    let tables = [Table::new(true).await, Table::new(false).await];
    for number in 0..20_000 {
        let ops = sequence(&mut random);
        let table = &tables[number % 2];
        let (unloaded, loaded) = (
            table.run(200, &ops, false, None).await,
            table.run(200, &ops, true, None).await,
        );
        assert_eq!(unloaded, loaded, "seed {seed}: {ops:?}");
        assert_eq!(
            unloaded.records.len(),
            usize::from(unloaded.has_cookie),
            "seed {seed}: {ops:?}"
        );
        if matches!(ops.last(), Some(Op::Clear | Op::Destroy)) {
            let nothing = Left {
                records: vec![],
                has_cookie: false,
            };
            assert_eq!(unloaded, nothing, "seed {seed}: {ops:?}");
        }
    }
}

#[tokio::test]
async fn fault_a17_a_save_in_between_changes_nothing() {
    let mut random = Random::new();
    let seed = random.0;
    let tables = [Table::new(true).await, Table::new(false).await];
    for number in 0..5_000 {
        let mut ops = sequence(&mut random);
        // A session that was emptied key by key stays; one that was cleared and is empty at the
        // commit does not. So when it is committed matters there.
        ops.retain(|op| !matches!(op, Op::Remove(_)));
        ops.push(op_but_remove(&mut random));
        let at = random.below(ops.len() as u64) as usize;
        let (table, load) = (&tables[number % 2], random.below(2) == 0);
        let (plain, saved) = (
            table.run(200, &ops, load, None).await,
            table.run(200, &ops, load, Some(at)).await,
        );
        assert_eq!(plain, saved, "seed {seed}: {ops:?}, saved before {at}");
    }
}

#[tokio::test]
async fn fault_f15_a_failed_request_leaves_all_as_it_was_or_ends_it() {
    let mut random = Random::new();
    let seed = random.0;
    let tables = [Table::new(true).await, Table::new(false).await];
    for number in 0..5_000 {
        let mut ops = sequence(&mut random);
        // An update is committed at once.
        ops.retain(|op| !matches!(op, Op::Update(_)));
        let table = &tables[number % 2];
        let before = table.run(200, &[], true, None).await;
        let (unloaded, loaded) = (
            table.run(500, &ops, false, None).await,
            table.run(500, &ops, true, None).await,
        );
        assert_eq!(unloaded, loaded, "seed {seed}: {ops:?}");
        let ended = loaded.records.is_empty() && !loaded.has_cookie;
        assert!(ended || loaded == before, "seed {seed}: {ops:?}: {loaded:?}");
        let destroyed = ops.iter().any(|op| matches!(op, Op::Destroy));
        let cleared = matches!(ops.last(), Some(Op::Clear));
        assert!(ended || !(destroyed || cleared), "seed {seed}: {ops:?}");
        let any_end = ops.iter().any(|op| matches!(op, Op::Destroy | Op::Clear));
        assert!(any_end || !ended, "seed {seed}: {ops:?}");
    }
}
