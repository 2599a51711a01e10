//! Time as the rest of the program sees it: one trait, one real clock.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment in unix milliseconds UTC, the form in which every time is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This moment plus `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(millis(span)))
    }

    /// This moment minus `span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(millis(span)))
    }

    /// How long after `earlier` this moment is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The moment as RFC 3339 text in UTC with milliseconds, for people and JSON.
    pub fn to_rfc3339(self) -> String {
        jiff::Timestamp::from_millisecond(self.0).map_or_else(|_| self.0.to_string(), |at| format!("{at:.3}"))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// A count of time that nobody sets, as far as it has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steady {
    /// Which count it is: it begins anew with another name.
    pub name: String,
    /// How far it has come.
    pub at: Duration,
}

/// Where every time in the program comes from, so that tests can hold it.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time that all arithmetic uses: it never jumps, whatever happens to the machine's clock.
    fn now(&self) -> Timestamp;

    /// The machine's wall time: only for the tolerance of signed timestamps and for display.
    fn wall(&self) -> Timestamp;

    /// Takes over the time of a database that several machines share: it is `at` now, or later by no more than `within`. A
    /// clock that is held does not move by it.
    fn follow(&self, _at: Timestamp, _within: Duration) {}

    /// By how much the clocks of the machines that follow the same database may be behind it.
    fn behind(&self) -> Duration {
        Duration::ZERO
    }

    /// The machine's own count of time since it was started, by which is noticed that its clock was set while no process of
    /// ours was there to see; `None` where there is none.
    fn steady(&self) -> Option<Steady> {
        None
    }
}

/// The real clock: wall time read at start, advanced by the monotonic clock.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
    started_at: AtomicI64,
    latest: AtomicI64,
    behind: AtomicI64,
}

impl SystemClock {
    /// Reads the wall clock once.
    #[expect(clippy::disallowed_methods, reason = "this is the one place that may ask the machine for the time")]
    pub fn new() -> Self {
        let started_at = wall_millis();
        Self {
            started: Instant::now(),
            started_at: AtomicI64::new(started_at),
            latest: AtomicI64::new(started_at),
            behind: AtomicI64::new(0),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = self.started_at.load(Ordering::Relaxed).saturating_add(millis(self.started.elapsed()));
        Timestamp(self.latest.fetch_max(now, Ordering::Relaxed).max(now))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(wall_millis())
    }

    fn follow(&self, at: Timestamp, within: Duration) {
        let started_at = at.0.saturating_sub(millis(self.started.elapsed()));
        self.started_at.store(started_at, Ordering::Relaxed);
        // The other's time counts, even if ours was ahead until now.
        self.latest.store(at.0, Ordering::Relaxed);
        self.behind.store(millis(within), Ordering::Relaxed);
    }

    fn behind(&self) -> Duration {
        Duration::from_millis(self.behind.load(Ordering::Relaxed).max(0) as u64)
    }

    /// As Linux tells it; elsewhere there is none.
    fn steady(&self) -> Option<Steady> {
        let name = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?.trim().to_owned();
        let uptime = std::fs::read_to_string("/proc/uptime").ok()?;
        let seconds: f64 = uptime.split_whitespace().next()?.parse().ok()?;
        Some(Steady { name, at: Duration::try_from_secs_f64(seconds).ok()? })
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the one place that may ask the machine for the time")]
fn wall_millis() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis)
}
