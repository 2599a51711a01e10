//! How reading gives way to releasing: creates need slots of the standard window too, and go first.

use std::time::Duration;

use super::{Again, LOOK_EVERY, Result, Worker};
use crate::codegen::CallError;
use crate::model::clock::Timestamp;
use crate::model::limits::CallClass;

impl Worker {
    /// `None` when a reading call may be made now; else when to look again. Reading leaves as many standard slots free as
    /// creates could need before the next one comes free, but never more than half of them.
    pub(super) async fn reading_waits(&self) -> Result<Again> {
        let inner = &self.inner;
        let now = inner.clock.now();
        let frozen = inner.store.freezes().await?.into_iter().find(|freeze| freeze.class == CallClass::Standard);
        if let Some(freeze) = frozen.filter(|freeze| freeze.until > now) {
            return Ok(Some(freeze.until));
        }
        if let Some(breaker) = inner.store.breakers().await?.into_iter().find(|breaker| breaker.name.stops_all()) {
            // It may be closed before, by a probe or by a person who asked another process.
            let until = breaker.holds_until(now).unwrap_or_else(|| self.soon());
            return Ok(Some(until.min(now.plus(LOOK_EVERY))));
        }
        let windows = inner.store.windows().await?;
        let Some(standard) = windows.into_iter().find(|window| window.class == CallClass::Standard) else {
            return Ok(None);
        };
        // What a 429 has taken is taken from both, or reading would stand still.
        if standard.free() > self.reserve().min(standard.limit / 2) {
            return Ok(None);
        }
        Ok(Some(standard.next_free.unwrap_or_else(|| self.soon())))
    }

    /// When to look again if a call failed only for want of a slot; every other failure is handed back.
    pub(super) fn slot_wait(&self, error: CallError) -> std::result::Result<Timestamp, CallError> {
        match error {
            CallError::NoSlot { until, .. } => Ok(until.unwrap_or_else(|| self.soon())),
            other => Err(other),
        }
    }

    /// How far apart passes of `calls` calls are, so that reading takes at most half of the slots that it may use.
    pub(super) fn spacing(&self, calls: u32) -> Duration {
        let usable = (self.inner.store.limits().standard.count - self.reserve()).div_ceil(2);
        self.inner.options.poll.max(self.standard_per() * calls / usable.max(1))
    }

    /// When every slot is held by a call under way, nobody knows when the next one is free.
    fn soon(&self) -> Timestamp {
        self.inner.clock.now().plus(self.standard_per() / 8)
    }

    fn reserve(&self) -> u32 {
        let limits = self.inner.store.limits();
        limits.create.count.min(limits.standard.count / 2)
    }

    fn standard_per(&self) -> Duration {
        self.inner.store.limits().standard.per
    }
}
