//! Windows that others use, too: a 429 that our own counting did not foresee takes slots away, and quiet gives them back.
//!
//! Our windows never let more through than the limit, so a 429 means that somebody else uses the token, or that the limit
//! is lower than the settings say. How many slots are left for us nobody tells; it is found out by going down fast and up
//! slowly:
//!
//! - **Down**, once for all calls that were under way together: to as many as got through in this window, which is what
//!   was left; at least by one, so that it always comes lower, and at most by half, so that one foreign burst does not
//!   cost an hour. The true number is reached in a few windows, whatever it is.
//! - **Up**, a tenth of the limit (one at least) for each quiet window, so that after a single burst all is back within
//!   ten windows. Where the slot that was given back brings the next 429, the patience before the next step doubles, up
//!   to 16 windows: with somebody who uses his share all day the cost of asking again falls to a sixteenth, and still
//!   every step comes at last, so that nothing is left idle for ever.
//!
//! What has grown back is computed from the time, so that recovering writes nothing and needs no task.

use std::time::Duration;

use super::Store;
use super::calls::{self, CallId};
use super::db::{Conn, Tx, query};
use super::errors::{Result, StoreError};
use crate::model::clock::Timestamp;
use crate::model::limits::{CallClass, RateLimit};

/// The most quiet windows that one step up waits for.
const PATIENCE_MAX: i64 = 16;

/// A class that lost slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shrink {
    pub(super) class: CallClass,
    /// The slots right after the last 429.
    allowed: u32,
    /// When that came.
    pub(super) limited_at: Timestamp,
    /// From when slots come back.
    grows_from: Timestamp,
    /// The quiet windows for one step.
    patience: i64,
}

impl Shrink {
    /// How many slots there are now; never above the limit.
    pub(super) fn allows(&self, limit: RateLimit, now: Timestamp) -> u32 {
        let step_takes = limit.per.saturating_mul(self.patience.max(1) as u32).as_millis().max(1);
        let steps = (now.since(self.grows_from).as_millis() / step_takes) as u32;
        self.allowed.saturating_add(steps.saturating_mul((limit.count / 10).max(1))).min(limit.count)
    }

    /// What is left after a 429 at `now`, when so many other calls of ours stand in the window; slots come back from
    /// `grows_from` on.
    fn after(last: Option<&Self>, class: CallClass, limit: RateLimit, others: u32, at: [Timestamp; 2]) -> Self {
        let [now, grows_from] = at;
        let allowed = last.map_or(limit.count, |last| last.allows(limit, now));
        let left = others.min(allowed.saturating_sub(1)).max(allowed / 2).max(1);
        let patience = match last {
            // What was given back was not ours.
            Some(last) if allowed < limit.count && allowed > last.allowed => (last.patience * 2).min(PATIENCE_MAX),
            Some(last) if allowed < limit.count => last.patience,
            _ => 1,
        };
        Self { class, allowed: left, limited_at: now, grows_from, patience }
    }
}

/// Every class that ever lost slots.
pub(super) async fn all(conn: &mut Conn) -> Result<Vec<Shrink>> {
    let rows = query("SELECT class, allowed, limited_at, grows_from, patience FROM shrinks ORDER BY class")
        .fetch_all(conn)
        .await?;
    rows.iter()
        .map(|row| {
            let class: &str = row.try_get("class")?;
            let class = class.parse();
            Ok(Shrink {
                class: class.map_err(|detail| StoreError::Corrupt { table: "shrinks", column: "class", detail })?,
                allowed: row.try_get::<i64>("allowed")?.max(1) as u32,
                limited_at: Timestamp(row.try_get("limited_at")?),
                grows_from: Timestamp(row.try_get("grows_from")?),
                patience: row.try_get("patience")?,
            })
        })
        .collect()
}

async fn keep(tx: &mut Tx, shrink: &Shrink) -> Result<()> {
    query(
        "INSERT INTO shrinks (class, allowed, limited_at, grows_from, patience) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (class) DO UPDATE SET allowed = excluded.allowed, limited_at = excluded.limited_at, \
         grows_from = excluded.grows_from, patience = excluded.patience",
    )
    .bind(shrink.class.as_str())
    .bind(i64::from(shrink.allowed))
    .bind(shrink.limited_at.0)
    .bind(shrink.grows_from.0)
    .bind(shrink.patience)
    .execute(tx)
    .await?;
    Ok(())
}

impl Store {
    /// A call of ours got a 429: its class is frozen for `pause`, and has fewer slots until it is quiet. Answers how many
    /// it has now; `None` when a call that was under way together with this one has said so already.
    pub async fn limited(&self, call: &CallId, class: CallClass, pause: Duration, reason: &str) -> Result<Option<u32>> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let (limit, until) = (self.inner.limits.of(class), now.plus(pause));
        calls::freeze(&mut tx, class, until, reason).await?;
        let last = all(&mut tx).await?.into_iter().find(|shrink| shrink.class == class);
        let began_at = calls::began_at(&mut tx, call).await?.unwrap_or(now);
        let allowed = if last.is_some_and(|last| began_at <= last.limited_at) {
            None
        } else {
            let (used, _) = calls::window_use(&mut tx, class.as_str(), limit.count, limit.per, now).await?;
            let shrink = Shrink::after(last.as_ref(), class, limit, used.saturating_sub(1), [now, until]);
            keep(&mut tx, &shrink).await?;
            Some(shrink.allowed)
        };
        tx.commit().await?;
        Ok(allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: RateLimit = RateLimit::new(10, 60);

    fn after(last: Option<&Shrink>, others: u32, minutes: i64) -> Shrink {
        let now = Timestamp(minutes * 60_000);
        Shrink::after(last, CallClass::Create, LIMIT, others, [now, now])
    }

    fn at(minutes: i64) -> Timestamp {
        Timestamp(minutes * 60_000)
    }

    #[test]
    fn one_429_takes_what_others_had_and_ten_quiet_windows_give_all_back() {
        let shrink = after(None, 7, 0);
        let allowed: Vec<u32> = (0..5).map(|minute| shrink.allows(LIMIT, at(minute))).collect();
        assert_eq!(allowed, [7, 8, 9, 10, 10]);
        assert_eq!(after(None, 10, 0).allowed, 9, "at least one");
        assert_eq!(after(None, 0, 0).allowed, 5, "at most half");
        assert_eq!(after(Some(&after(None, 0, 0)), 0, 0).allowed, 2);
        let least = Shrink { allowed: 1, ..shrink };
        assert_eq!(after(Some(&least), 0, 0).allowed, 1, "never nothing");
    }

    #[test]
    fn a_slot_that_was_not_ours_is_asked_for_less_and_less_often() {
        let mut shrink = after(None, 7, 0);
        let mut minute = 0;
        let mut waits = Vec::new();
        for _ in 0..6 {
            let quiet = (1..100).find(|minutes| shrink.allows(LIMIT, at(minute + minutes)) > 7).unwrap();
            minute += quiet;
            waits.push(quiet);
            shrink = after(Some(&shrink), 7, minute);
            assert_eq!(shrink.allowed, 7);
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 16]);
        assert_eq!(shrink.allows(LIMIT, at(minute + 3 * 16)), 10, "all of it comes back at last");
        assert_eq!(after(Some(&shrink), 9, minute + 3 * 16).patience, 1, "and then it begins anew");
    }

    #[test]
    fn a_lower_setting_is_never_exceeded_and_a_higher_one_is_grown_into() {
        let shrink = after(None, 7, 0);
        assert_eq!(shrink.allows(RateLimit::new(5, 60), at(0)), 5);
        assert_eq!(shrink.allows(RateLimit::new(40, 60), at(1)), 11);
    }
}
