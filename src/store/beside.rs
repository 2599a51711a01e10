//! What goes on beside the calls of the store when others share its database: signs of life, news, the common time.

use std::sync::{Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::task::JoinHandle;

use super::Inner;
use super::calls;
use super::db::Database;
use super::errors::Result;
use super::replica::{BEAT, time_of};
use crate::model::clock::{Clock, Timestamp};
use crate::model::limits::CallClass;

/// How often the time is asked for at most: the quickest answer is the most exact one.
const LOOKS: u32 = 5;
/// What two clocks may part by in a minute (50 millionths of it), and what rounding to milliseconds hides.
const DRIFT: Duration = Duration::from_millis(5);
/// A larger step is nobody's drift: somebody has set the clock.
const SET: Duration = Duration::from_secs(2);
/// How long to wait before listening again when that failed.
const AGAIN: Duration = Duration::from_secs(1);

/// The tasks, until the store is closed.
#[derive(Debug, Default)]
pub(super) struct Beside(Mutex<Vec<JoinHandle<()>>>);

impl Beside {
    /// Starts them where others share the database; `follows` tells whether our clock is set by it.
    pub(super) fn start(store: Weak<Inner>, shared: bool, follows: bool) -> Self {
        if !shared {
            return Self::default();
        }
        Self(Mutex::new(vec![tokio::spawn(live(store.clone(), follows)), tokio::spawn(listen(store))]))
    }

    /// Ends them.
    pub(super) fn stop(&self) {
        for task in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            task.abort();
        }
    }
}

/// Says again and again that this process lives, and keeps its clock with the others'. The clock first: a machine that was
/// paused has a clock that stood still, and must not go on by it.
async fn live(store: Weak<Inner>, follows: bool) {
    loop {
        tokio::time::sleep(BEAT).await;
        let Some(inner) = store.upgrade() else { return };
        if follows && let Err(error) = keep_time(&inner).await {
            tracing::warn!(%error, "the database's time cannot be read");
        }
        match inner.beat().await {
            Ok(true) => {}
            Ok(false) => tracing::error!("this process was not heard of for too long: others have taken over its work"),
            Err(error) => tracing::warn!(%error, "the database does not hear that this process lives"),
        }
    }
}

/// Wakes whoever waits for something to do when another process has committed it. While nobody can listen, the loops look
/// by themselves.
async fn listen(store: Weak<Inner>) {
    loop {
        let Some(inner) = store.upgrade() else { return };
        let wake = inner.wake.clone();
        let listener = inner.db.listen().await;
        drop(inner);
        match listener {
            Ok(Some(mut listener)) => {
                // What was committed before is found by looking.
                wake.notify_waiters();
                // Nothing, after the session was taken up again: what was told meanwhile is found by looking.
                while let Ok(Some(_) | None) = listener.try_recv().await {
                    wake.notify_waiters();
                }
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "news of other processes cannot be heard"),
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// Sets the clock by the database, if others share it; whether it was set. One that is held does not move by it.
pub(super) async fn set_clock(db: &Database, clock: &dyn Clock) -> Result<bool> {
    let Some((time, within)) = look(db, clock).await? else { return Ok(false) };
    clock.follow(time, within);
    Ok(!parted(clock, time))
}

/// Whether a clock and the database's time are further apart than two clocks come to be by themselves.
fn parted(clock: &dyn Clock, time: Timestamp) -> bool {
    (time.0 - clock.now().0).unsigned_abs() > SET.as_millis() as u64
}

/// The same for a process that works. Where somebody has set the database's clock, or this machine was paused, nobody knows any
/// more how long ago the calls in the windows were: every class waits for one full window first.
async fn keep_time(inner: &Inner) -> Result<()> {
    let Some((time, within)) = look(&inner.db, &*inner.clock).await? else { return Ok(()) };
    if parted(&*inner.clock, time) {
        let milliseconds = time.0 - inner.clock.now().0;
        tracing::warn!(milliseconds, "our clock stood still, or the database's was set; calls wait for a window");
        let mut tx = inner.db.begin().await?;
        for class in CallClass::ALL {
            let until = time.plus(inner.limits.of(class).per);
            calls::freeze(&mut tx, class, until, "the clock stood still or was set").await?;
        }
        tx.commit_and_wake().await?;
    }
    inner.clock.follow(time, within);
    Ok(())
}

/// The database's time, if others share it, and by how much it may be later: it is never earlier, and later by no more
/// than the answer took.
async fn look(db: &Database, clock: &dyn Clock) -> Result<Option<(Timestamp, Duration)>> {
    if !db.is_shared() {
        return Ok(None);
    }
    let mut conn = db.read().await?;
    let mut best: Option<(Duration, Timestamp, Timestamp)> = None;
    for _ in 0..LOOKS {
        let asked = clock.now();
        let time = time_of(&mut conn).await?;
        let heard = clock.now();
        let took = heard.since(asked);
        if best.is_none_or(|(best, ..)| took < best) {
            best = Some((took, time, heard));
        }
        if took <= DRIFT {
            break;
        }
    }
    Ok(best.map(|(took, time, heard)| (time.plus(clock.now().since(heard)), took + DRIFT)))
}
