//! Probing: breakers that stop all calls are tried by a harmless read, so that no job is spent on finding out.

use super::{Again, Result, Worker, sooner};
use crate::codegen::CallError;

impl Worker {
    /// Makes the probes that are due. What holds back only new runs is probed by the next of them.
    pub async fn probe_tick(&self) -> Result<Again> {
        let (store, clock) = (&self.inner.store, &self.inner.clock);
        let mut next = None;
        for breaker in store.breakers().await?.iter().filter(|breaker| breaker.name.stops_all()) {
            if breaker.holds_until(clock.now()).is_some() {
                continue;
            }
            match self.inner.codegen.probe(breaker.name).await {
                Ok(_) => {}
                Err(CallError::Store(error)) => return Err(error.into()),
                Err(error @ CallError::NoSlot { .. }) => next = sooner(next, self.slot_wait(error).ok()),
                Err(error) => tracing::warn!(breaker = %breaker.name, %error, "the probe failed"),
            }
        }
        let open = store.breakers().await?;
        let due = open.iter().filter(|breaker| breaker.name.stops_all());
        Ok(due.filter_map(|breaker| breaker.holds_until(clock.now())).fold(next, |next, at| sooner(next, Some(at))))
    }
}
