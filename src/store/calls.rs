//! Windows: which calls are under way or ended less than a window ago, which classes are frozen, and what else stands in
//! the way of a call.

use std::time::Duration;

use super::db::{Conn, Tx, many, query};
use super::errors::{Result, StoreError};
use super::{Inner, Store, breakers, shrink};
use crate::model::breaker::Breaker;
use crate::model::clock::Timestamp;
use crate::model::gate::{Freeze, WindowUse};
use crate::model::id::new_id;
use crate::model::limits::{CallClass, ClassLimits, RateLimit};

/// A call that holds slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallId(pub(super) String);

/// The answer to a wish for slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// One slot of every class is taken; the call must be ended.
    Taken(CallId),
    /// A class is full or frozen.
    Full {
        /// When it may be free, if that is known: not when all slots belong to calls under way.
        until: Option<Timestamp>,
        /// Which class, and why.
        reason: String,
    },
}

/// How every window of the API is used.
pub(super) async fn window_uses(conn: &mut Conn, limits: &ClassLimits, now: Timestamp) -> Result<Vec<WindowUse>> {
    let shrinks = shrink::all(conn).await?;
    let mut windows = Vec::with_capacity(CallClass::ALL.len());
    for class in CallClass::ALL {
        let setting = limits.of(class);
        let RateLimit { count, per } = setting;
        let shrunk = shrinks.iter().find(|it| it.class == class).map(|it| (it.allows(setting, now), it.limited_at));
        let shrunk = shrunk.filter(|(allowed, _)| *allowed < count);
        let limit = shrunk.map_or(count, |(allowed, _)| allowed);
        let (used, next_free) = window_use(conn, class.as_str(), limit, per, now).await?;
        windows.push(WindowUse { class, used, limit, next_free, setting: count, shrunk_at: shrunk.map(|(_, at)| at) });
    }
    Ok(windows)
}

/// How many slots of a window are used, and when one is free if none is. A slot is free again one full window after the
/// *answer* to the call that used it. Ends in the future (the clock was set back) count as now.
pub(super) async fn window_use(
    conn: &mut Conn,
    class: &str,
    limit: u32,
    per: Duration,
    now: Timestamp,
) -> Result<(u32, Option<Timestamp>)> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM calls WHERE class = $1 AND ended_at IS NULL) AS open, \
         (SELECT COUNT(*) FROM calls WHERE class = $1 AND ended_at > $2) AS recent",
    )
    .bind(class)
    .bind(now.minus(per).0)
    .fetch_one(&mut *conn)
    .await?;
    let (open, recent): (i64, i64) = (row.try_get("open")?, row.try_get("recent")?);
    let used = (open + recent) as u32;
    // The slot that frees enough room: the oldest of the recent ones, or a later one if the limit has shrunk. When
    // calls under way must end for that, nobody knows when.
    let Some(nth) = used.checked_sub(limit).map(i64::from).filter(|nth| *nth < recent) else { return Ok((used, None)) };
    let row =
        query("SELECT ended_at FROM calls WHERE class = $1 AND ended_at > $2 ORDER BY ended_at LIMIT 1 OFFSET $3")
            .bind(class)
            .bind(now.minus(per).0)
            .bind(nth)
            .fetch_one(&mut *conn)
            .await?;
    let ended_at = Timestamp(row.try_get("ended_at")?).min(now);
    Ok((used, Some(ended_at.plus(per))))
}

pub(super) async fn freezes_at(conn: &mut Conn, now: Timestamp) -> Result<Vec<Freeze>> {
    let rows = query("SELECT class, until_at, reason FROM freezes WHERE until_at > $1 ORDER BY class")
        .bind(now.0)
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let class: &str = row.try_get("class")?;
            let class =
                class.parse().map_err(|detail| StoreError::Corrupt { table: "freezes", column: "class", detail })?;
            Ok(Freeze { class, until: Timestamp(row.try_get("until_at")?), reason: row.try_get("reason")? })
        })
        .collect()
}

/// What may stand in the way of a call.
#[derive(Debug)]
pub(super) struct Obstacles {
    pub(super) now: Timestamp,
    pub(super) freezes: Vec<Freeze>,
    pub(super) windows: Vec<WindowUse>,
    pub(super) breakers: Vec<Breaker>,
}

impl Obstacles {
    pub(super) async fn read(conn: &mut Conn, limits: &ClassLimits, now: Timestamp) -> Result<Self> {
        let freezes = freezes_at(conn, now).await?;
        let windows = window_uses(conn, limits, now).await?;
        let breakers = breakers::open(conn).await?;
        Ok(Self { now, freezes, windows, breakers })
    }

    /// What stands in the way of a call that is charged to these classes: until when, if that is known, and why. Of
    /// several of a kind it is the one that goes last.
    pub(super) fn of(&self, classes: &[CallClass], starts: bool) -> Option<(Option<Timestamp>, String)> {
        let last = |until: Option<Timestamp>| until.map_or(i64::MAX, |at| at.0);
        let shut = self.breakers.iter().filter(|it| it.concerns(classes, starts) && !it.wants_probe(self.now));
        if let Some(breaker) = shut.max_by_key(|it| last(it.holds_until(self.now))) {
            return Some((breaker.holds_until(self.now), breaker.says()));
        }
        if let Some(freeze) = self.freezes.iter().filter(|it| classes.contains(&it.class)).max_by_key(|it| it.until) {
            return Some((Some(freeze.until), freeze.reason.clone()));
        }
        let full = self.windows.iter().filter(|it| classes.contains(&it.class) && it.free() == 0);
        let full = full.max_by_key(|it| last(it.next_free))?;
        Some((full.next_free, format!("the {} window is full ({} of {})", full.class, full.used, full.limit)))
    }

    /// Makes a call that has nothing in its way the probe of the breakers that it is about; `false` when another was
    /// faster, and then it must not be made.
    pub(super) async fn probed_by(
        &self,
        tx: &mut Tx,
        call: &CallId,
        classes: &[CallClass],
        starts: bool,
    ) -> Result<bool> {
        let due: Vec<Breaker> = self.breakers.iter().filter(|it| it.concerns(classes, starts)).cloned().collect();
        breakers::probe(tx, &due, call, self.now).await
    }
}

/// Whether a run comes of a call that is charged to these classes, as far as they tell: a resume is charged as a create.
fn may_start(classes: &[CallClass]) -> bool {
    classes.iter().any(|class| matches!(class, CallClass::Create | CallClass::SetupCommands))
}

/// The longest window there is.
pub(super) fn longest_window(limits: &ClassLimits) -> Duration {
    CallClass::ALL.into_iter().map(|class| limits.of(class).per).max().unwrap_or_default()
}

/// Begins a call that is charged to every one of these classes; the caller has seen that they have room.
pub(super) async fn begin_call(
    tx: &mut Tx,
    classes: &[CallClass],
    purpose: &str,
    replica: &str,
    now: Timestamp,
) -> Result<CallId> {
    let id = new_id(now);
    let mut query = many("INSERT INTO calls (id, class, purpose, began_at, replica)", classes.len(), 5, "");
    for class in classes {
        query = query.bind(&id).bind(class.as_str()).bind(purpose).bind(now.0).bind(replica);
    }
    query.execute(tx).await?;
    Ok(CallId(id))
}

pub(super) async fn end(tx: &mut Tx, call: &CallId, now: Timestamp) -> Result<()> {
    query("UPDATE calls SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(&call.0)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// No call lasts longer: then its caller gives up.
const CALL_MAX: Duration = Duration::from_secs(30);

/// Ends the calls of processes that are not alive, and those that began before `overdue`, whoever made them. What was under
/// way may still arrive: the process died, not the request. So they end when their caller would have given up, but at
/// most a window from now: where windows are shorter than that, calls are, too. Ends in the future, left by a clock that
/// was ahead, count as now.
pub(super) async fn end_left(tx: &mut Tx, limits: &ClassLimits, overdue: Timestamp, now: Timestamp) -> Result<()> {
    query("UPDATE calls SET ended_at = $1 WHERE ended_at > $2")
        .bind(now.0)
        .bind(now.plus(CALL_MAX).0)
        .execute(tx)
        .await?;
    for class in CallClass::ALL {
        let most = limits.of(class).per.min(CALL_MAX);
        query(
            "UPDATE calls SET ended_at = CASE WHEN began_at > $1 THEN $2 WHEN began_at > $3 THEN began_at + $4 \
             ELSE $1 END WHERE class = $5 AND ended_at IS NULL \
             AND (began_at <= $6 OR replica NOT IN (SELECT id FROM replicas))",
        )
        .bind(now.0)
        .bind(now.plus(most).0)
        .bind(now.minus(most).0)
        .bind(most.as_millis() as i64)
        .bind(class.as_str())
        .bind(overdue.0)
        .execute(tx)
        .await?;
    }
    Ok(())
}

/// When a call began; `None` when it is forgotten.
pub(super) async fn began_at(conn: &mut Conn, call: &CallId) -> Result<Option<Timestamp>> {
    let row = query("SELECT MIN(began_at) AS began_at FROM calls WHERE id = $1").bind(&call.0).fetch_one(conn).await?;
    Ok(row.try_get::<Option<i64>>("began_at")?.map(Timestamp))
}

/// Freezes a class until a moment; of two freezes the one that ends later counts.
pub(super) async fn freeze(conn: &mut Conn, class: CallClass, until: Timestamp, reason: &str) -> Result<()> {
    query(
        "INSERT INTO freezes (class, until_at, reason) VALUES ($1, $2, $3) ON CONFLICT (class) DO UPDATE SET \
         until_at = excluded.until_at, reason = excluded.reason WHERE excluded.until_at > freezes.until_at",
    )
    .bind(class.as_str())
    .bind(until.0)
    .bind(reason)
    .execute(conn)
    .await?;
    Ok(())
}

impl Inner {
    /// When a call counts as ended that was answered now: whichever machine looks, a full window has then passed.
    pub(super) fn ended(&self) -> Timestamp {
        self.clock.now().plus(self.clock.behind())
    }
}

impl Store {
    /// Takes a slot in each of these classes, all or none. Of the calls that wait for a breaker one is let through when
    /// its probe is due.
    pub async fn take_slots(&self, classes: &[CallClass], purpose: &str) -> Result<Slot> {
        self.inner.replica.may_begin()?;
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let obstacles = Obstacles::read(&mut tx, &self.inner.limits, now).await?;
        let starts = may_start(classes);
        if let Some((until, reason)) = obstacles.of(classes, starts) {
            return Ok(Slot::Full { until, reason });
        }
        let call = begin_call(&mut tx, classes, purpose, &self.inner.replica.id, now).await?;
        if !obstacles.probed_by(&mut tx, &call, classes, starts).await? {
            return Ok(Slot::Full { until: None, reason: "another call probes the breaker".to_owned() });
        }
        tx.commit().await?;
        Ok(Slot::Taken(call))
    }

    /// Ends a call: its slots are free one window from now.
    pub async fn end_call(&self, call: &CallId) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        end(&mut tx, call, self.inner.ended()).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// Freezes a class until a moment; of two freezes the one that ends later counts.
    pub async fn freeze(&self, class: CallClass, until: Timestamp, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        freeze(&mut tx, class, until, reason).await?;
        tx.commit().await
    }

    /// How every window is used now.
    pub async fn windows(&self) -> Result<Vec<WindowUse>> {
        let mut conn = self.inner.db.read().await?;
        window_uses(&mut conn, &self.inner.limits, self.inner.clock.now()).await
    }

    /// The classes that are frozen now.
    pub async fn freezes(&self) -> Result<Vec<Freeze>> {
        let mut conn = self.inner.db.read().await?;
        freezes_at(&mut conn, self.inner.clock.now()).await
    }
}
