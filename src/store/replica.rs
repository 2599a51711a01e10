//! Several processes beside one database: which are alive, who does what only one may do, what a dead one left.
//!
//! A process says every few seconds that it lives. One that is not heard of for a minute counts as dead: its calls have
//! ended, what it was sending is uncertain, its duties are anybody's. No call begins long after the last sign of life, and
//! none takes longer than half a minute, so a dead process makes no call any more: what hangs and wakes up again finds
//! that it is dead before it sends. With SQLite there is one process, and whoever opens the file is the only one alive.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::calls::CallId;
use super::db::{Conn, Tx, must_be_known, query};
use super::errors::{Result, StoreError};
use super::{Inner, Store, submit, transfer};
use crate::model::clock::Timestamp;
use crate::model::id::new_id;
use crate::model::limits::ClassLimits;

/// How often a process says that it lives.
pub const BEAT: Duration = Duration::from_secs(5);
/// How long a process that is not heard of counts as alive.
const ALIVE: Duration = Duration::from_mins(1);
/// So long after the last sign of life a call may begin: with the half minute that it takes it has ended in time.
const FRESH: Duration = Duration::from_secs(15);
/// How long a duty is somebody's without a sign of life.
const LEASE: Duration = Duration::from_secs(30);
/// A call has ended by then, whoever made it, and whether or not anybody has written that down.
const LONGEST_CALL: Duration = Duration::from_mins(2);
/// How far the times of two processes that read them from one database may be apart.
pub(super) const APART: Duration = Duration::from_millis(50);

/// This process among those that share the database.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) id: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last sign of life.
    beat: Timestamp,
    /// The duties that are ours, and until when.
    duties: BTreeMap<&'static str, Timestamp>,
    /// The duties that were given up, and until when they are left to others.
    given_up: BTreeMap<&'static str, Timestamp>,
    /// Why the database is not this version's any more.
    foreign: Option<String>,
}

/// A process that uses the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaRecord {
    /// Its id, new at every start.
    pub id: String,
    /// The machine that it runs on.
    pub name: String,
    /// When it started.
    pub started_at: Timestamp,
    /// When it was heard of last.
    pub seen_at: Timestamp,
    /// Whether it is the one that answers.
    pub this: bool,
    /// What only one process does, and this one does now.
    pub duties: Vec<String>,
}

impl Replica {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { id: new_id(now), state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails when the last sign of life found that the database is not this version's any more. Whoever is to begin a call
    /// asks before a slot is taken: those who go on with the database need it.
    pub(super) fn may_begin(&self) -> Result<()> {
        self.state().foreign.clone().map_or(Ok(()), |reason| Err(StoreError::Schema(reason)))
    }
}

/// Says that a process lives, and takes over what the dead have left; whether it was alive until now.
pub(super) async fn beat(
    tx: &mut Tx,
    replica: &Replica,
    alone: bool,
    limits: &ClassLimits,
    now: Timestamp,
) -> Result<bool> {
    let dead = if alone { i64::MAX } else { now.minus(ALIVE).0 };
    query("DELETE FROM replicas WHERE id <> $1 AND seen_at <= $2").bind(&replica.id).bind(dead).execute(tx).await?;
    let alive =
        query("UPDATE replicas SET seen_at = $2 WHERE id = $1").bind(&replica.id).bind(now.0).execute(tx).await? > 0;
    if !alive {
        query("INSERT INTO replicas (id, name, started_at, seen_at) VALUES ($1, $2, $3, $3)")
            .bind(&replica.id)
            .bind(machine())
            .bind(now.0)
            .execute(tx)
            .await?;
    }
    query("UPDATE leases SET until_at = $2 WHERE holder = $1 AND until_at > $3")
        .bind(&replica.id)
        .bind(now.plus(LEASE).0)
        .bind(now.0)
        .execute(tx)
        .await?;
    submit::take_over(tx, limits, now.minus(LONGEST_CALL), now).await?;
    Ok(alive)
}

/// What people call the machine, as far as its surroundings tell.
fn machine() -> String {
    let name = std::env::var("HOSTNAME").ok().or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).unwrap_or_else(|| "unnamed".to_owned())
}

impl Inner {
    /// Says that this process lives; whether it was alive until now.
    pub(super) async fn beat(&self) -> Result<bool> {
        let alive = self.try_to_beat().await;
        match &alive {
            Ok(_) => self.replica.state().foreign = None,
            Err(StoreError::Schema(reason)) => self.replica.state().foreign = Some(reason.clone()),
            Err(_) => {}
        }
        alive
    }

    async fn try_to_beat(&self) -> Result<bool> {
        let mut tx = self.db.begin().await?;
        // Not before: what others have done while this one waited for its turn is not in the future.
        let now = self.clock.now();
        transfer::must_be_here(&mut tx).await?;
        must_be_known(&mut tx).await?;
        let alive = beat(&mut tx, &self.replica, !self.db.is_shared(), &self.limits, now).await?;
        tx.commit().await?;
        let mut state = self.replica.state();
        state.beat = now;
        state.duties.retain(|_, until| *until > now);
        state.duties.values_mut().for_each(|until| *until = now.plus(LEASE));
        Ok(alive)
    }
}

impl Store {
    /// Whether other processes may share the database.
    pub fn is_shared(&self) -> bool {
        self.inner.db.is_shared()
    }

    /// Whether a call that this process has registered may be made: nobody has ended it, and the process counts as alive for
    /// as long as the call can take. One that hung may find that others have taken over what it was about to send.
    pub async fn may_make(&self, call: &CallId) -> Result<bool> {
        if !self.is_shared() {
            return Ok(true);
        }
        if self.inner.clock.now().since(self.inner.replica.state().beat) > FRESH {
            self.inner.beat().await?;
        }
        let mut conn = self.inner.db.read().await?;
        let open = query("SELECT 1 FROM calls WHERE id = $1 AND ended_at IS NULL").bind(&call.0);
        Ok(open.fetch_optional(&mut conn).await?.is_some())
    }

    /// Settles calls that must have ended long ago and of which nobody has written down how: what they sent is uncertain.
    pub async fn doubt_overdue(&self) -> Result<()> {
        let overdue = self.inner.clock.now().minus(LONGEST_CALL);
        let mut conn = self.inner.db.read().await?;
        let left = query("SELECT 1 FROM calls WHERE ended_at IS NULL AND began_at <= $1 LIMIT 1").bind(overdue.0);
        if left.fetch_optional(&mut conn).await?.is_none() {
            return Ok(());
        }
        drop(conn);
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        submit::take_over(&mut tx, &self.inner.limits, overdue, now).await?;
        tx.commit_and_wake().await
    }

    /// Whether a duty that only one process has is ours: it is, or nobody else has it now.
    pub async fn has_duty(&self, duty: &'static str) -> Result<bool> {
        if !self.is_shared() {
            return Ok(true);
        }
        self.inner.replica.may_begin()?;
        let now = self.inner.clock.now();
        {
            let state = self.inner.replica.state();
            // A clock that was set back meanwhile gives it up for no longer.
            if state.given_up.get(duty).is_some_and(|until| (until.minus(LEASE)..*until).contains(&now)) {
                return Ok(false);
            }
            if state.duties.get(duty).is_some_and(|until| *until > now.plus(BEAT)) {
                return Ok(true);
            }
        }
        let until = now.plus(LEASE);
        let mut tx = self.inner.db.begin().await?;
        let taken = query(
            "INSERT INTO leases (duty, holder, until_at) VALUES ($1, $2, $3) ON CONFLICT (duty) DO UPDATE SET \
             holder = excluded.holder, until_at = excluded.until_at \
             WHERE leases.until_at <= $4 OR leases.holder = excluded.holder",
        )
        .bind(duty)
        .bind(&self.inner.replica.id)
        .bind(until.0)
        .bind(now.0)
        .execute(&mut tx)
        .await?;
        tx.commit().await?;
        let mut state = self.inner.replica.state();
        if taken > 0 {
            state.duties.insert(duty, until);
        } else {
            state.duties.remove(duty);
        }
        Ok(taken > 0)
    }

    /// Gives up a duty that this process cannot do: others may have it at once, and this one asks for it again after a while.
    pub async fn give_up_duty(&self, duty: &'static str) -> Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        let until = self.inner.clock.now().plus(LEASE);
        {
            let mut state = self.inner.replica.state();
            state.duties.remove(duty);
            state.given_up.insert(duty, until);
        }
        let mut tx = self.inner.db.begin().await?;
        query("DELETE FROM leases WHERE duty = $1 AND holder = $2")
            .bind(duty)
            .bind(&self.inner.replica.id)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// The processes that use the database.
    pub async fn replicas(&self) -> Result<Vec<ReplicaRecord>> {
        let mut conn = self.inner.db.read().await?;
        let held = query("SELECT duty, holder FROM leases WHERE until_at > $1 ORDER BY duty")
            .bind(self.inner.clock.now().0)
            .fetch_all(&mut conn)
            .await?;
        let found =
            query("SELECT id, name, started_at, seen_at FROM replicas ORDER BY id").fetch_all(&mut conn).await?;
        let replicas = found.iter().map(|row| {
            let id: String = row.try_get("id")?;
            let mut duties = Vec::new();
            for lease in &held {
                if lease.try_get::<&str>("holder")? == id {
                    duties.push(lease.try_get("duty")?);
                }
            }
            Ok(ReplicaRecord {
                this: id == self.inner.replica.id,
                name: row.try_get("name")?,
                started_at: Timestamp(row.try_get("started_at")?),
                seen_at: Timestamp(row.try_get("seen_at")?),
                duties,
                id,
            })
        });
        replicas.collect()
    }
}

/// The processes that count as alive, by their ids.
pub(super) async fn alive(tx: &mut Tx, now: Timestamp) -> Result<Vec<String>> {
    let rows = query("SELECT id FROM replicas WHERE seen_at > $1").bind(now.minus(ALIVE).0).fetch_all(tx).await?;
    rows.iter().map(|row| row.try_get("id")).collect()
}

/// Leaves: what this process had is anybody's at once.
pub(super) async fn leave(tx: &mut Tx, replica: &Replica) -> Result<()> {
    for gone in ["DELETE FROM leases WHERE holder = $1", "DELETE FROM replicas WHERE id = $1"] {
        query(gone).bind(&replica.id).execute(tx).await?;
    }
    Ok(())
}

/// The database's time in unix milliseconds.
pub(super) async fn time_of(conn: &mut Conn) -> Result<Timestamp> {
    let sql = "SELECT CAST(FLOOR(EXTRACT(EPOCH FROM clock_timestamp()) * 1000) AS BIGINT) AS now";
    Ok(Timestamp(query(sql).fetch_one(conn).await?.try_get("now")?))
}
