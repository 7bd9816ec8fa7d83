//! A login as a part of the step that gives a session its owner.

use super::{
    engine::{Engine, Kind, Query, Result, Transaction, bytes, int},
    error::malformed,
    read::{array_of, number},
};
use crate::store::{Login, OwnerId};

/// In milliseconds.
pub(super) const DAY: u64 = 86_400_000;

/// The row of an owner, which is locked.
pub(super) struct Counts {
    /// How many logins there were.
    pub(super) logins: u64,
    mark: u64,
}

/// Adds a login or an end of all to an owner's counts. From here on, nobody else logs this owner
/// in, or ends their logins or everybody's, before the transaction is over.
pub(super) async fn counted<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    owner: &OwnerId,
    now: u64,
    is_end: bool,
) -> Result<Counts> {
    let statements = engine.statements();
    let owner = bytes(owner.as_bytes());
    // Far longer than a login is on its way, so that a mark that was given is not given again.
    let until = int(now.saturating_add(7 * DAY));
    let [logins, ends, ended] = if is_end { [0, 1, now] } else { [1, 0, 0] };
    let args = vec![owner, int(logins), int(ends), int(ended), until];
    let add = Query::new(&statements.count, args);
    transaction.execute(&add).await?;
    let rows = transaction
        .fetch(&Query::new(&statements.counts, vec![owner]), &[Kind::Int, Kind::Int])
        .await?;
    let [logins, mark] = array_of(rows.into_iter().next().ok_or_else(malformed)?)?;
    Ok(Counts {
        logins: number(&logins)?,
        mark: number(&mark)?,
    })
}

/// Lets a login in. Returns its number among the owner's, or `None` if it began before an end of
/// all sessions.
pub(super) async fn admitted<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    owner: &OwnerId,
    login: &Login,
    now: u64,
) -> Result<Option<u64>> {
    let counts = counted(engine, transaction, owner, now, false).await?;
    Ok((counts.mark == login.mark).then_some(counts.logins))
}

/// Ends the owner's sessions whose login is longest ago, if there are too many.
pub(super) async fn end_surplus<E: Engine>(
    engine: &E,
    transaction: &mut E::Transaction,
    owner: &OwnerId,
    login: &Login,
    now: u64,
) -> Result<()> {
    let Some(most) = login.most else {
        return Ok(());
    };
    let owner = bytes(owner.as_bytes());
    let args = vec![owner, int(now), owner, int(now), int(u64::from(most))];
    let query = Query::new(&engine.statements().surplus, args);
    transaction.execute(&query).await.map(drop)
}
