//! One call for a job: sent, and its outcome written down whatever it was.

use std::future::Future;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use super::Worker;
use super::prepare::Asked;
use crate::codegen::{About, CallError, Codegen, Denial};
use crate::model::breaker::BreakerKind;
use crate::model::clock::Timestamp;
use crate::model::job::Job;
use crate::model::limits::CallClass;
use crate::model::policy::Action;
use crate::model::run::Run;
use crate::store::{CallId, StoreError};

/// How long a job waits after the service could not be reached. When that goes on, the breaker holds back all of them.
const BACKOFF: Duration = Duration::from_secs(5);
/// The first and the longest wait before an outcome that the store would not take is offered again.
const RECORD: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// What a call that was carried out gave.
enum Answered {
    /// A run: the one that was made, or the one that was told.
    Run(Run),
    /// Nothing to follow.
    Done,
}

/// What a failure, or an answer, is judged by when the request is gone.
#[derive(Clone, Copy)]
struct Kind {
    /// What its end speaks for.
    about: About,
    /// The run that is told something.
    told: Option<i64>,
}

impl Asked {
    fn kind(&self) -> Kind {
        match self {
            Self::Create(_) => Kind { about: About::all(CallClass::Create), told: None },
            Self::Resume { run, .. } => Kind { about: About::one(CallClass::Create), told: Some(*run) },
            Self::Ban { .. } | Self::Unban { .. } => Kind { about: About::one(CallClass::Standard), told: None },
            Self::SetupCommands { .. } => Kind { about: About::one(CallClass::SetupCommands), told: None },
        }
    }

    async fn send(&self, codegen: &Codegen) -> Result<Answered, CallError> {
        Ok(match self {
            Self::Create(request) => Answered::Run(codegen.create(request).await?.run),
            Self::Resume { run, prompt } => Answered::Run(codegen.resume(*run, prompt).await?.run),
            Self::SetupCommands { repo_id, prompt } => Answered::Run(codegen.setup_commands(*repo_id, prompt).await?),
            Self::Ban { run } => {
                codegen.ban(*run).await?;
                Answered::Done
            }
            Self::Unban { run } => {
                codegen.unban(*run).await?;
                Answered::Done
            }
        })
    }
}

impl Worker {
    /// Sends a job that is `submitting` and writes down what became of it.
    pub(super) async fn submit(self, job: Job, call: CallId, asked: Asked, permit: OwnedSemaphorePermit) {
        let (codegen, kind) = (self.inner.codegen.clone(), asked.kind());
        match self.inner.store.may_make(&call).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::error!(
                    job = job.id,
                    "not sent: this process hung, and others have taken over what it was about to send"
                );
                let (now, reason) = (self.inner.clock.now(), "not sent: the process that was to send it hung");
                self.record(&job.id, || self.inner.store.not_taken(&job.id, &call, reason, now)).await;
                return;
            }
            Err(error) => {
                tracing::warn!(job = job.id, %error, "not sent: nobody can tell whether others have taken over");
                let (now, reason) = (self.inner.clock.now(), "not sent: the database could not be asked");
                self.record(&job.id, || self.inner.store.not_taken(&job.id, &call, reason, now)).await;
                return;
            }
        }
        // A task of its own, so that even a panic below leaves an outcome behind.
        let answer = tokio::spawn(async move { asked.send(&codegen).await }).await;
        let answer = answer.unwrap_or_else(|_| Err(CallError::Ambiguous("the call was abandoned".to_owned())));
        let denied_again = self.is_denied_again(&job.id, kind, &answer);
        let about = About { alone: kind.about.alone || denied_again, ..kind.about };
        // Before the job is queued again: it must not meet an open window on its way out.
        if let Err(error) = self.inner.codegen.heard(&call, about, &answer).await {
            tracing::warn!(job = job.id, %error, "what the answer says about other calls could not be stored");
        }
        match answer {
            Ok(answered) => self.taken(&job, &call, kind, answered).await,
            Err(error) if denied_again => self.denied(&job.id, &call, &error).await,
            Err(error) => self.failed(&job, &call, kind, &error).await,
        }
        drop(permit);
        self.inner.progress.notify_waiters();
    }

    /// Whether a job is denied (403) for the second time what it asks of one run or repository. The first time it may be the
    /// token; but then nothing goes out before a probe has shown that the token is good.
    fn is_denied_again(&self, job: &str, kind: Kind, answer: &Result<Answered, CallError>) -> bool {
        let mut denied = self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Err(error) if error.is_forbidden() && kind.about.one => !denied.insert(job.to_owned()),
            Err(_) => false,
            Ok(_) => {
                denied.remove(job);
                false
            }
        }
    }

    /// It would be denied again and again, and hold up all others each time: a person is needed.
    async fn denied(&self, job: &str, call: &CallId, error: &CallError) {
        let store = &self.inner.store;
        // A person who retries it may have seen to it.
        self.inner.denied.lock().unwrap_or_else(PoisonError::into_inner).remove(job);
        let reason = format!("{error}, again, while the token is good for others: retry or cancel it");
        tracing::warn!(job, reason, "job held");
        let retry_at = self.inner.clock.now().plus(BreakerKind::Access.wait(0));
        self.record(job, || store.not_taken(job, call, &reason, retry_at)).await;
        self.record(job, || store.hold(job, None, &reason)).await;
    }

    async fn taken(&self, job: &Job, call: &CallId, kind: Kind, answered: Answered) {
        let (store, id) = (&self.inner.store, job.id.as_str());
        match answered {
            // A service that answers with another run has made one, whatever it was asked for.
            Answered::Run(run) if kind.told == Some(run.id) => {
                tracing::info!(job = id, run = run.id, "run told");
                self.record(id, || store.run_told(id, call, &run)).await;
            }
            Answered::Run(run) => {
                tracing::info!(job = id, run = run.id, "run created");
                self.record(id, || store.run_created(id, call, &run)).await;
            }
            Answered::Done => {
                let run = job.target.unwrap_or_default();
                let reason = match job.action {
                    Action::Unban => format!("run {run} is unbanned: Codegen may look after its change again"),
                    _ => format!("run {run} is banned: its agents stop, and Codegen leaves its change alone"),
                };
                tracing::info!(job = id, run, reason, "done");
                self.record(id, || store.done_at_once(id, call, &reason)).await;
            }
        }
    }

    async fn failed(&self, job: &Job, call: &CallId, kind: Kind, error: &CallError) {
        let (store, id, reason) = (&self.inner.store, job.id.as_str(), error.to_string());
        tracing::warn!(job = id, %error, "the call was not carried out, as far as is known");
        let gone = error.is_not_found() && kind.about.one;
        let useless = gone || matches!(error, CallError::Refused(_));
        match error {
            _ if useless && kind.told.is_some() && job.action == Action::Run => {
                self.record(id, || store.not_told(id, call, &reason)).await;
            }
            _ if useless => self.record(id, || store.refused(id, call, &reason)).await,
            CallError::NotTaken { denial, .. } => {
                let retry_at = self.retry_at(*denial, kind);
                self.record(id, || store.not_taken(id, call, &reason, retry_at)).await;
            }
            CallError::Refused(_) | CallError::Ambiguous(_) | CallError::NoSlot { .. } | CallError::Store(_) => {
                self.record(id, || store.unanswered(id, call, &reason)).await;
            }
        }
    }

    /// From when a job that was not taken may be sent again. What is wrong with others as well is held back by a breaker or
    /// a freeze, not by the job.
    fn retry_at(&self, denial: Denial, kind: Kind) -> Timestamp {
        let now = self.inner.clock.now();
        match denial {
            Denial::Connect => now.plus(BACKOFF),
            // Others go first when the breaker closes: what is wrong may be wrong with this one alone.
            Denial::Forbidden if kind.about.one => now.plus(BreakerKind::Access.wait(0)),
            // The service does not say that a resume can meet this, so the breaker lets resumes pass.
            Denial::Billing if kind.told.is_some() => now.plus(BreakerKind::Billing.wait(0)),
            _ => now,
        }
    }

    /// Writes an outcome down, as often as it takes: it is known nowhere else. When the process ends before, the job is
    /// found `submitting` at the next start and looked for.
    async fn record<F: Future<Output = Result<(), StoreError>>>(&self, job: &str, write: impl Fn() -> F) {
        for times in 0.. {
            match write().await {
                Ok(()) => return,
                Err(error @ (StoreError::Busy(_) | StoreError::Database(_) | StoreError::Damaged(_))) => {
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
