//! Windows: which calls are under way or ended less than a window ago, and which classes are frozen.

use std::time::Duration;

use super::db::{Conn, Tx, many, query};
use super::errors::{Result, StoreError};
use super::{Inner, Store};
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
    let mut windows = Vec::with_capacity(CallClass::ALL.len());
    for class in CallClass::ALL {
        let RateLimit { count, per } = limits.of(class);
        let (used, next_free) = window_use(conn, class.as_str(), count, per, now).await?;
        windows.push(WindowUse { class, used, limit: count, next_free });
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

/// What stands in the way of a call that is charged to these classes: until when, if that is known, and why. Of several
/// it is the one that goes last.
pub(super) fn obstacle(
    classes: &[CallClass],
    freezes: &[Freeze],
    windows: &[WindowUse],
) -> Option<(Option<Timestamp>, String)> {
    if let Some(freeze) = freezes.iter().filter(|it| classes.contains(&it.class)).max_by_key(|it| it.until) {
        return Some((Some(freeze.until), freeze.reason.clone()));
    }
    let full = windows.iter().filter(|it| classes.contains(&it.class) && it.free() == 0);
    let full = full.max_by_key(|it| it.next_free.map_or(i64::MAX, |at| at.0))?;
    Some((full.next_free, format!("the {} window is full ({} of {})", full.class, full.used, full.limit)))
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
    query.execute(&mut **tx).await?;
    Ok(CallId(id))
}

pub(super) async fn end(tx: &mut Tx, call: &CallId, now: Timestamp) -> Result<()> {
    query("UPDATE calls SET ended_at = $2 WHERE id = $1 AND ended_at IS NULL")
        .bind(&call.0)
        .bind(now.0)
        .execute(&mut **tx)
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
    /// Takes a slot in each of these classes, all or none.
    pub async fn take_slots(&self, classes: &[CallClass], purpose: &str) -> Result<Slot> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let freezes = freezes_at(&mut tx, now).await?;
        let windows = window_uses(&mut tx, &self.inner.limits, now).await?;
        if let Some((until, reason)) = obstacle(classes, &freezes, &windows) {
            return Ok(Slot::Full { until, reason });
        }
        let call = begin_call(&mut tx, classes, purpose, &self.inner.replica.id, now).await?;
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
        query(
            "INSERT INTO freezes (class, until_at, reason) VALUES ($1, $2, $3) ON CONFLICT (class) DO UPDATE SET \
             until_at = excluded.until_at, reason = excluded.reason WHERE excluded.until_at > freezes.until_at",
        )
        .bind(class.as_str())
        .bind(until.0)
        .bind(reason)
        .execute(&mut tx)
        .await?;
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
