//! A store under a clock that can be set, calls with latencies of their own, and a seed that a failure names.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use hookrun::model::clock::{Clock, Steady, Timestamp};
use hookrun::model::limits::ClassLimits;
use hookrun::store::{Store, StoreError};

use crate::database::Database;
use crate::support::START;

/// Opens the store of a database, as a new process would: the one place in which these tests do so.
pub(super) async fn open(database: &Database, limits: ClassLimits, clock: Arc<dyn Clock>) -> Store {
    loop {
        match database.open(limits, clock.clone()).await {
            // What the process before had begun is still being let go.
            Err(StoreError::Owned { .. }) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

/// A clock over a time that runs on whatever the clock is set to.
#[derive(Debug, Default)]
pub(super) struct SetClock {
    time: AtomicI64,
    set: AtomicI64,
    /// Whether the machine has a count of its own.
    steady: bool,
}

impl SetClock {
    pub(super) fn new(steady: bool) -> Arc<Self> {
        Arc::new(Self { steady, ..Self::default() })
    }

    /// Milliseconds since the test began, which nobody sets.
    pub(super) fn time(&self) -> u64 {
        self.time.load(Ordering::SeqCst) as u64
    }

    pub(super) fn go_to(&self, time: u64) {
        assert!(time >= self.time(), "time does not run back");
        self.time.store(time as i64, Ordering::SeqCst);
    }

    /// Sets the clock forward, or back.
    pub(super) fn set_by(&self, millis: i64) {
        self.set.fetch_add(millis, Ordering::SeqCst);
    }

    /// The time of a moment of the clock, as it is set now.
    pub(super) fn time_of(&self, at: Timestamp) -> u64 {
        (at.0 - START.0 - self.set.load(Ordering::SeqCst)) as u64
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp(START.0 + self.time.load(Ordering::SeqCst) + self.set.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }

    fn steady(&self) -> Option<Steady> {
        self.steady.then(|| Steady { name: "a machine".to_owned(), at: Duration::from_millis(self.time()) })
    }
}

/// Numbers that look random and are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// Once in so many times.
    pub(super) fn once_in(&mut self, times: u64) -> bool {
        self.next().is_multiple_of(times)
    }
}

/// The seed: `HOOKRUN_TEST_SEED`, or the one that the test gives.
pub(super) fn seed(usual: u64) -> u64 {
    std::env::var("HOOKRUN_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How many days are simulated: `HOOKRUN_TEST_DAYS` of them, a burst an hour, else one with two bursts.
pub(super) fn days() -> Option<u64> {
    std::env::var("HOOKRUN_TEST_DAYS").ok().and_then(|text| text.parse().ok())
}
