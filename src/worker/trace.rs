//! Whether a run has heard what a job told it: its trace is searched for the line that every message ends with.

use super::{Worker, WorkerError};
use crate::codegen::CallError;
use crate::codegen::door::PAGE;
use crate::codegen::wire::Trace;
use crate::model::clock::Timestamp;

impl Worker {
    /// Reads a trace, newest first, until it shows the line of the job or entries older than `since`. `skip` says how far
    /// it was read before; when a full window or a failure interrupts it, it is how far it has come.
    pub(super) async fn hears(&self, run: i64, job: &str, since: Timestamp, skip: &mut u64) -> Result<bool, CallError> {
        loop {
            if let Some(until) = self.reading_waits().await.map_err(|WorkerError::Store(error)| error)? {
                let reason = "reading gives way to what is sent".to_owned();
                return Err(CallError::NoSlot { until: Some(until), reason });
            }
            // New entries push old ones down meanwhile: one may be met twice, but none is missed.
            let page = self.inner.codegen.logs(run, true, *skip, PAGE).await?;
            let heard = page.entries.iter().any(|entry| entry.names(job));
            if heard || page.is_last(*skip) || reaches(&page, since.minus(self.inner.codegen.ahead())) {
                *skip = 0;
                return Ok(heard);
            }
            *skip += page.entries.len() as u64;
        }
    }
}

/// Whether what follows this part is older than `since`. A service that does not heed the order that was asked for says
/// nothing about what follows.
fn reaches(page: &Trace, since: Timestamp) -> bool {
    let times = (page.entries.first().and_then(|it| it.created_at), page.entries.last().and_then(|it| it.created_at));
    matches!(times, (Some(first), Some(last)) if last <= first && last < since)
}
