//! Whose sessions are which. An owner's index lies elsewhere than their sessions, in a cluster on another server, so it is a
//! hint: it is written before the session that it leads to, and what it leads to is looked at.

use ::redis::{Pipeline, Value, from_redis_value};

use super::{
    RedisStore,
    connection::{Link, first},
    fields,
    script::{self, INDEX, Step, number},
};
use crate::{
    error::Error,
    session::SessionId,
    store::{StoredSession, Which},
};

/// The end of a session without an end.
const LAST: u64 = (1 << 48) - 1;

/// In milliseconds: the least that an index holds a session longer than it lives.
const MARGIN: u64 = 24 * 60 * 60 * 1000;

/// Until when the index holds a session that ends at `expires`: so long that one which is prolonged again and again writes it
/// once in its lifetime, not each time.
pub(super) fn index_until(expires: u64, now: u64) -> u64 {
    let longer = expires.saturating_sub(now).max(MARGIN);
    expires.saturating_add(longer).min(LAST)
}

impl RedisStore {
    /// Has an owner's index lead to a session.
    pub(super) async fn index(&self, owner: &str, id: &SessionId, until: u64, now: u64) -> Result<(), Error> {
        let args = [number(now), id.to_string().into_bytes().into(), number(until)];
        self.step(&INDEX, &self.index_key(owner), &args).await?;
        Ok(())
    }

    /// Takes sessions that have ended out of an owner's index. If that fails they are looked at once more, and that is all.
    pub(super) async fn unindex(&self, owner: &[u8], ids: &[SessionId]) {
        let mut cmd = ::redis::cmd("ZREM");
        cmd.arg(self.index_key_of(owner));
        for id in ids {
            cmd.arg(id.to_string());
        }
        let _ = self.link.command(cmd).await;
    }

    /// All that the index leads to.
    async fn indexed(&self, owner: &str) -> Result<Vec<SessionId>, Error> {
        let mut cmd = ::redis::cmd("ZRANGE");
        cmd.arg(self.index_key(owner)).arg(0).arg(-1);
        let answer = self.link.command(cmd).await.map_err(Error::store)?;
        let ids: Vec<String> = from_redis_value(answer).map_err(Error::store)?;
        Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
    }

    pub(super) async fn list(&self, owner: &str, now: u64) -> Result<Vec<StoredSession>, Error> {
        let ids = self.indexed(owner).await?;
        let mut sessions = Vec::with_capacity(ids.len());
        // On one server all in one go; in a cluster each may lie on another one.
        let at_once = if matches!(self.link, Link::Single(_)) { 1000 } else { 1 };
        for ids in ids.chunks(at_once) {
            let mut pipeline = Pipeline::with_capacity(ids.len());
            for id in ids {
                pipeline.cmd("HMGET").arg(self.key(id)).arg(&fields::SUMMARY);
            }
            let mut answers = self.link.send(&pipeline).await.map_err(Error::store)?.into_iter();
            for id in ids {
                let answer = first(&mut answers).map_err(Error::store)?;
                sessions.extend(fields::summary(answer, *id, owner, now)?);
            }
        }
        Ok(sessions)
    }

    pub(super) async fn end_of(&self, owner: &str, which: &Which) -> Result<u64, Error> {
        let ids = match which {
            // The index is not needed to find it, and the script looks whose it is.
            Which::Only(id) => vec![*id],
            _ => self.indexed(owner).await?,
        };
        let mut ended = Vec::new();
        for id in ids.into_iter().filter(|id| which.includes(id)) {
            let args = [
                Default::default(),
                Step::new().as_arg(),
                b"owner".as_slice().into(),
                owner.as_bytes().into(),
            ];
            if self.step(&script::DELETE, &self.key(&id), &args).await? != Value::Int(0) {
                ended.push(id);
            }
        }
        if !ended.is_empty() {
            self.unindex(owner.as_bytes(), &ended).await;
        }
        Ok(ended.len() as u64)
    }
}
