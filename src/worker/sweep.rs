//! Sweeping: what is older than the settings keep is deleted, a little at a time.

use std::time::Duration;

use super::{Again, Result, Worker};

/// How often it is swept.
const EVERY: Duration = Duration::from_mins(10);

impl Worker {
    /// Deletes what is past its time, and settles the notices of budgets that have room again.
    pub async fn sweep_tick(&self) -> Result<Again> {
        let inner = &self.inner;
        let swept = inner.store.sweep(&inner.options.retention).await?;
        let settled = inner.store.settle_budgets().await?;
        tracing::debug!(?swept, settled, "swept");
        Ok(Some(inner.clock.now().plus(EVERY)))
    }
}
