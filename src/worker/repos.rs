//! Codegen's own list of repositories, kept fresh so that releases need not ask for it.

use std::time::Duration;

use super::{Again, Result, Worker};
use crate::codegen::CallError;
use crate::codegen::door::PAGE;

/// How old the list may become.
const EVERY: Duration = Duration::from_hours(1);
/// How long to wait after the service would not tell.
const RETRY: Duration = Duration::from_mins(1);

/// A reading of the list that is under way.
#[derive(Debug, Default)]
pub(super) struct Refresh {
    rows: Vec<(String, i64)>,
    skip: u64,
}

impl Worker {
    /// Reads the list when it is an hour old. A full window only interrupts it.
    pub async fn repos_tick(&self) -> Result<Again> {
        let inner = &self.inner;
        let mut refresh = inner.repos.lock().await;
        if let Some(next) = inner.store.repos_saved_at().await?.map(|saved| saved.plus(EVERY))
            && next > inner.clock.now()
        {
            return Ok(Some(next));
        }
        loop {
            if let Some(until) = self.reading_waits().await? {
                return Ok(Some(until));
            }
            match inner.codegen.list_repos(refresh.skip, PAGE).await {
                Ok(page) => {
                    let last = page.is_last(refresh.skip);
                    refresh.skip += page.items.len() as u64;
                    refresh.rows.extend(page.items.into_iter().map(|repo| (repo.full_name, repo.id)));
                    if last {
                        break;
                    }
                }
                Err(error) => match self.slot_wait(error) {
                    Ok(until) => return Ok(Some(until)),
                    Err(CallError::Store(error)) => return Err(error.into()),
                    Err(error) => {
                        tracing::warn!(%error, "the service's list of repositories cannot be read");
                        *refresh = Refresh::default();
                        return Ok(Some(inner.clock.now().plus(RETRY)));
                    }
                },
            }
        }
        let rows = std::mem::take(&mut *refresh).rows;
        inner.store.save_repos(&rows).await?;
        tracing::debug!(repositories = rows.len(), "the service's list of repositories is read");
        Ok(Some(inner.clock.now().plus(EVERY)))
    }
}
