//! The ends of many sessions: page by page, each with a time of its own, so that nobody waits for
//! long, and what is in the way of one page is in the way of no other.

use std::{future::Future, io, time::Duration};

use tokio::time::timeout;

use super::{
    engine::{Cell, Engine, Kind, Query, Result, Transaction, bytes, int},
    error::{Twice, carried_out, malformed},
    login::{DAY, counted},
    read::{array, array_of, fetched, number},
    statements::Statements,
};
use crate::{
    session::SessionId,
    store::{Epoch, OwnerId, Which},
};

/// So many sessions end at once.
const PAGE: u64 = 500;

/// How long a page may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// So many sessions may resist.
const GIVING_UP: usize = 5;

/// Fails when time is up.
async fn in_time<T>(page: impl Future<Output = Result<T>>) -> Result<T> {
    timeout(PATIENCE, page).await.unwrap_or_else(|_| {
        let late = format!("no answer within {} s", PATIENCE.as_secs());
        Err(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, late)).into())
    })
}

async fn executed<E: Engine>(engine: &E, query: &Query<'_>) -> Result<u64> {
    // A session that is deleted a second time is not there.
    in_time(carried_out(engine, Twice::Same, |_| engine.execute(query))).await
}

pub(super) async fn delete_expired<E: Engine>(engine: &E, now: u64) -> Result<u64> {
    let query = Query::new(&engine.statements().sweep, vec![int(now), int(PAGE)]);
    let mut all = 0;
    loop {
        let swept = executed(engine, &query).await?;
        all += swept;
        if swept < PAGE {
            break;
        }
    }
    delete_owners(engine, now).await?;
    Ok(all)
}

/// Forgets owners without sessions. Those with sessions are looked at again in a week.
async fn delete_owners<E: Engine>(engine: &E, now: u64) -> Result<()> {
    let statements = engine.statements();
    loop {
        let page = Query::new(&statements.page_owners, vec![int(now), int(PAGE)]);
        let rows = in_time(fetched(engine, &page, &[Kind::Bytes])).await?;
        let is_last = (rows.len() as u64) < PAGE;
        for row in rows {
            let [Cell::Bytes(owner)] = array_of(row)? else {
                return Err(malformed());
            };
            let delete = Query::new(&statements.delete_owner, vec![bytes(&owner), int(now)]);
            if executed(engine, &delete).await? == 0 {
                let args = vec![int(now.saturating_add(7 * DAY)), bytes(&owner), int(now)];
                executed(engine, &Query::new(&statements.keep_owner, args)).await?;
            }
        }
        if is_last {
            return Ok(());
        }
    }
}

pub(super) async fn delete_of<E: Engine>(engine: &E, owner: &OwnerId, which: &Which, now: u64) -> Result<u64> {
    let kept = match which {
        Which::Only(one) => {
            let args = vec![bytes(owner.as_bytes()), bytes(one.as_bytes())];
            return executed(engine, &Query::new(&engine.statements().delete_only, args)).await;
        }
        Which::AllBut(kept) => Some(kept),
        Which::All => None,
    };
    // First of all no login that is on its way comes through any more; those that came before can
    // be seen from here on.
    let logins = in_time(carried_out(engine, Twice::Same, |_| end_logins(engine, owner, now))).await?;
    delete_pages(engine, &Ending::Of { owner, logins, kept }).await
}

/// Refuses an owner's logins that are on their way. Returns how many there were before.
async fn end_logins<E: Engine>(engine: &E, owner: &OwnerId, now: u64) -> Result<u64> {
    let mut transaction = engine.begin().await?;
    match counted(engine, &mut transaction, owner, now, true).await {
        Ok(counts) => transaction.commit().await.map(|()| counts.logins),
        Err(failure) => {
            let _ = transaction.rollback().await;
            Err(failure)
        }
    }
}

pub(super) async fn delete_begun<E: Engine>(engine: &E, epoch: &Epoch) -> Result<u64> {
    // First of all nothing that is on its way comes through any more.
    let end = Query::new(&engine.statements().end_all, vec![int(epoch.before)]);
    executed(engine, &end).await?;
    let before = epoch.before.checked_sub(1).map(|to| Ending::Begun { from: 0, to });
    let after = epoch.after.and_then(|after| after.checked_add(1));
    let after = after.map(|from| Ending::Begun { from, to: u64::MAX });
    let (mut all, mut failed) = (0, Ok(()));
    for some in before.into_iter().chain(after) {
        match delete_pages(engine, &some).await {
            Ok(ended) => all += ended,
            Err(failure) => failed = Err(failure),
        }
    }
    failed.map(|()| all)
}

/// Which sessions end. Nothing that comes later becomes one of them.
enum Ending<'a> {
    /// Those of an owner's first logins, but for one.
    Of {
        owner: &'a OwnerId,
        logins: u64,
        kept: Option<&'a SessionId>,
    },
    /// Those that began in some time.
    Begun { from: u64, to: u64 },
}

/// Where a page begins: after this place in the order of pages.
type Place = (u64, Vec<u8>);

impl Ending<'_> {
    fn start(&self) -> Place {
        match *self {
            // After all ids.
            Ending::Of { logins, .. } => (logins, vec![0xff; 33]),
            Ending::Begun { from, .. } => (from, Vec::new()),
        }
    }

    fn page<'q>(&'q self, statements: &Statements, (number, id): &'q Place) -> Query<'q> {
        match self {
            Ending::Of { owner, .. } => {
                let owner = bytes(owner.as_bytes());
                let args = vec![owner, int(*number), int(*number), bytes(id), int(PAGE)];
                Query::new(&statements.page_of, args)
            }
            Ending::Begun { to, .. } => {
                let args = vec![int(*number), int(*to), int(*number), bytes(id), int(PAGE)];
                Query::new(&statements.page_begun, args)
            }
        }
    }

    fn includes(&self, id: &[u8]) -> bool {
        !matches!(self, Ending::Of { kept: Some(kept), .. } if kept.as_bytes() == id)
    }

    fn delete<'q>(&'q self, statements: &Statements, ids: &'q [Vec<u8>]) -> Query<'q> {
        match self {
            Ending::Of { owner, logins, .. } => statements.delete_of(owner.as_bytes(), *logins, ids),
            Ending::Begun { from, to } => statements.delete_begun(*from, *to, ids),
        }
    }
}

/// Deletes them, page by page. What a page could not do, perhaps since another transaction holds a
/// session of it, is done one by one when all other pages are done.
async fn delete_pages<E: Engine>(engine: &E, ending: &Ending<'_>) -> Result<u64> {
    let (mut all, mut left) = (0, Vec::new());
    let mut place = ending.start();
    loop {
        let page = ending.page(engine.statements(), &place);
        let rows = in_time(fetched(engine, &page, &[Kind::Int, Kind::Bytes])).await?;
        let is_last = (rows.len() as u64) < PAGE;
        let mut ids = Vec::with_capacity(rows.len());
        for row in rows {
            let [at, id] = array_of(row)?;
            let id = array(id)?.to_vec();
            place = (number(&at)?, id.clone());
            if ending.includes(&id) {
                ids.push(id);
            }
        }
        if !ids.is_empty() {
            match executed(engine, &ending.delete(engine.statements(), &ids)).await {
                Ok(ended) => all += ended,
                Err(_) => left.append(&mut ids),
            }
        }
        if is_last {
            break;
        }
    }
    let mut failed = Vec::new();
    for id in left {
        match executed(engine, &ending.delete(engine.statements(), &[id])).await {
            Ok(ended) => all += ended,
            Err(failure) => failed.push(failure),
        }
        // It is not about single sessions, then.
        if failed.len() == GIVING_UP {
            break;
        }
    }
    failed.pop().map_or(Ok(all), Err)
}
