//! A clock that was set while no process ran: the windows move with it, as the service's own have not moved.

use std::time::Duration;

use super::db::{Tx, query};
use super::errors::Result;
use super::meta;
use crate::model::clock::{Clock, Steady, Timestamp};
use crate::model::limits::CallClass;

/// Smaller differences are how exactly the two can be read, and the slow correction of a good clock.
const LEAST: Duration = Duration::from_secs(2);

/// What was kept: how far the count had come, the time by the clock then, and which count it was.
const NAME: &str = "steady";

/// Compares the clock with the machine's own count of time as a process before this one found them, and moves what stands in
/// the windows by what the clock was set. It never moves anything behind now: if the count itself is not to be trusted, a
/// window is waited for and no more. Budgets stay as they are: of a day an hour is little, and of a wrong count a day is much.
pub(super) async fn set_right(tx: &mut Tx, clock: &dyn Clock) -> Result<()> {
    let Some(steady) = clock.steady() else { return Ok(()) };
    let now = clock.now();
    let kept = query("SELECT value FROM meta WHERE name = $1").bind(NAME).fetch_optional(tx).await?;
    let kept = kept.map(|row| row.try_get::<Vec<u8>>("value")).transpose()?;
    let moved = kept.and_then(|kept| moved(&String::from_utf8(kept).ok()?, &steady, now)).unwrap_or_default();
    if moved != 0 {
        tracing::warn!(milliseconds = moved, "the clock was set while hookrun was stopped; its windows move with it");
        for class in CallClass::ALL {
            query(
                "UPDATE calls SET began_at = began_at + $1, ended_at = CASE WHEN ended_at + $1 > $2 THEN $2 \
                 ELSE ended_at + $1 END WHERE class = $3",
            )
            .bind(moved)
            .bind(now.0)
            .bind(class.as_str())
            .execute(tx)
            .await?;
        }
        for statement in [
            "UPDATE freezes SET until_at = until_at + $1",
            "UPDATE breakers SET since_at = since_at + $1, until_at = until_at + $1, failed_at = failed_at + $1, \
             closed_at = closed_at + $1",
            "UPDATE shrinks SET limited_at = limited_at + $1, grows_from = grows_from + $1",
        ] {
            query(statement).bind(moved).execute(tx).await?;
        }
    }
    meta::set(tx, NAME, format!("{} {} {}", steady.at.as_millis(), now.0, steady.name)).await
}

/// By how many milliseconds the clock was set forward, or back if it is negative; `None` when that cannot be told.
fn moved(kept: &str, steady: &Steady, now: Timestamp) -> Option<i64> {
    let mut parts = kept.splitn(3, ' ');
    let (at, then, name) = (parts.next()?.parse::<i64>().ok()?, parts.next()?.parse::<i64>().ok()?, parts.next()?);
    let passed = i64::try_from(steady.at.as_millis()).ok()? - at;
    if name != steady.name || passed < 0 {
        return None;
    }
    let moved = (now.0 - then).checked_sub(passed)?;
    Some(moved).filter(|moved| moved.unsigned_abs() >= LEAST.as_millis() as u64)
}
