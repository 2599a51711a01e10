//! One create: the call, and its outcome written down whatever it was.

use std::future::Future;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Worker;
use super::prepare::Asked;
use crate::codegen::{CallError, Denial};
use crate::model::clock::Timestamp;
use crate::model::job::Job;
use crate::store::{CallId, StoreError};

/// The first and the longest wait after the service could not be reached.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_mins(10));
/// The first and the longest wait before an outcome that the store would not take is offered again.
const RECORD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

impl Worker {
    /// Sends a job that is `submitting` and writes down what became of it.
    pub(super) async fn submit(self, job: Job, call: CallId, asked: Asked, permit: OwnedSemaphorePermit) {
        let codegen = self.inner.codegen.clone();
        // A task of its own, so that even a panic below leaves an outcome behind.
        let answer = tokio::spawn(async move {
            match asked {
                Asked::Create(request) => codegen.create(&request).await,
                Asked::Resume { run, .. } => Err(CallError::Refused(format!("run {run} cannot be told anything"))),
                Asked::Ban { run } => Err(CallError::Refused(format!("run {run} cannot be banned"))),
                Asked::SetupCommands { repo_id, .. } => {
                    Err(CallError::Refused(format!("repository {repo_id} cannot get set-up commands")))
                }
            }
        })
        .await;
        let answer = answer.unwrap_or_else(|_| Err(CallError::Ambiguous("the call was abandoned".to_owned())));
        let store = &self.inner.store;
        let (id, call) = (job.id.as_str(), &call);
        match answer {
            Ok(row) => {
                tracing::info!(job = id, run = row.run.id, "run created");
                self.record(id, || store.run_created(id, call, &row.run)).await;
            }
            Err(error) => {
                tracing::warn!(job = id, %error, "no run was created");
                // Before the job is queued again: it must not meet an open window on its way out.
                if let Err(error) = self.inner.codegen.hold_back(&error).await {
                    tracing::warn!(job = id, %error, "the class of calls could not be held back");
                }
                let reason = error.to_string();
                match &error {
                    CallError::NotTaken { denial, .. } => {
                        let retry_at = self.retry_at(*denial, job.tries);
                        self.record(id, || store.not_taken(id, call, &reason, retry_at)).await;
                    }
                    CallError::Refused(_) => self.record(id, || store.refused(id, call, &reason)).await,
                    CallError::Ambiguous(_) | CallError::NoSlot { .. } | CallError::Store(_) => {
                        self.record(id, || store.unanswered(id, call, &reason)).await;
                    }
                }
            }
        }
        drop(permit);
        self.inner.progress.notify_waiters();
    }

    /// From when a job that was not taken may be sent again. What is wrong with the class of calls holds the class, not
    /// the job; only a service that cannot be reached is left alone by each job for longer and longer.
    fn retry_at(&self, denial: Denial, tries: u32) -> Timestamp {
        let now = self.inner.clock.now();
        match denial {
            Denial::Connect => now.plus(doubled(BACKOFF, tries.saturating_sub(1))),
            _ => now,
        }
    }

    /// Writes an outcome down, as often as it takes: it is known nowhere else. When the process ends before, the job is
    /// found `submitting` at the next start and looked for.
    async fn record<F: Future<Output = Result<(), StoreError>>>(&self, job: &str, write: impl Fn() -> F) {
        for times in 0.. {
            match write().await {
                Ok(()) => return,
                Err(error @ (StoreError::Busy(_) | StoreError::Database(_))) => {
                    tracing::error!(job, %error, "the outcome of a call could not be stored; trying again");
                    tokio::time::sleep(doubled(RECORD, times)).await;
                }
                Err(error) => {
                    tracing::error!(job, %error, "the outcome of a call does not fit the job any more");
                    return;
                }
            }
        }
    }
}

/// `first` doubled so many times, at most `longest`.
fn doubled((first, longest): (Duration, Duration), times: u32) -> Duration {
    2u32.checked_pow(times).and_then(|factor| first.checked_mul(factor)).map_or(longest, |wait| wait.min(longest))
}
