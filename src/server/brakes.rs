//! The brakes as the status API and the pages use them: pausing, what is held back, lifting, cancelling many.

use serde::Serialize;

use super::admin::Admin;
use super::auth::Caller;
use super::problem::Refusal;
use crate::model::breaker::BreakerKind;
use crate::model::clock::Timestamp;
use crate::model::gate::GateOutcome;
use crate::model::job::Job;
use crate::model::pause::{Pause, Paused};
use crate::model::policy::Action;
use crate::store::{Backlog, BulkFilter};

/// How many waiting jobs are asked whether they are stale: enough to know what is to be let go.
const LOOKED_AT: u32 = 500;
/// Jobs that are cancelled in one transaction.
const AT_ONCE: u32 = 500;
/// Jobs that are named as examples.
const EXAMPLES: u32 = 10;

/// What a pause holds back, or would.
#[derive(Clone, Debug, Serialize)]
pub(super) struct HeldBack {
    /// What is or would be paused.
    pub(super) what: Paused,
    /// How many jobs wait in it.
    pub(super) waiting: u64,
    /// By rule and age.
    pub(super) rules: Vec<Backlog>,
    /// Of how many, the oldest, it was asked whether something newer made them pointless.
    pub(super) looked_at: usize,
    /// How many of those are pointless: they are superseded instead of sent.
    pub(super) stale: usize,
    /// Other pauses that go on.
    pub(super) others: Vec<Pause>,
}

/// What a person asks to be paused.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) what: Paused,
    pub(super) until: Option<Timestamp>,
    pub(super) reason: String,
    pub(super) stop_running: bool,
}

/// A pause that was put in force.
#[derive(Debug)]
pub(super) struct PauseSet {
    pub(super) pause: Pause,
    /// The jobs that stop what runs.
    pub(super) stopping: Vec<String>,
    /// Jobs that are just being sent: what they start is not stopped.
    pub(super) being_sent: u64,
}

impl Admin {
    /// Puts a pause in force.
    pub(super) async fn pause(&self, caller: &Caller, wish: Wish) -> Result<PauseSet, Refusal> {
        let Wish { what, until, reason, stop_running } = wish;
        let since = self.clock.now();
        if until.is_some_and(|until| until <= since) {
            return Err(Refusal::BadRequest("the pause would be over already".into()));
        }
        let pause = Pause { what, reason, by: caller.name.clone(), since, until };
        self.store.pause(&pause).await?;
        tracing::warn!(what = %pause.what, by = caller.name, reason = pause.reason, "paused");
        let mut set = PauseSet { pause, stopping: Vec::new(), being_sent: 0 };
        if stop_running {
            let PauseSet { pause, stopping, being_sent } = &mut set;
            // Before those that run: what gets its run between the two looks is told of twice, and not missed.
            *being_sent = self.store.being_sent_in(&pause.what).await?;
            let reason = format!("{} paused {} and stops what runs", caller.name, pause.what);
            for job in self.store.running_in(&pause.what).await? {
                let Some(run) = job.run.as_ref().map(|run| run.id) else { continue };
                stopping.push(self.store.make_act(Action::Ban, run, &job.id, &reason).await?);
            }
        }
        Ok(set)
    }

    /// What waits within a scope, and how much of it is stale.
    pub(super) async fn held_back(&self, what: &Paused) -> Result<HeldBack, Refusal> {
        let rules = self.store.backlog(what).await?;
        let oldest = self.store.waiting_in(what, LOOKED_AT).await?;
        let looked_at = oldest.len();
        let asked = oldest.into_iter().map(|job| {
            let policy = (self.policy)(&job);
            (job, policy)
        });
        let mut stale = 0;
        for mut snapshot in self.store.snapshots(asked.collect()).await? {
            // As if it were lifted: the pause itself is no answer.
            snapshot.pauses.clear();
            let answer = (self.gates)(&snapshot, &(self.policy)(&snapshot.job));
            stale += usize::from(matches!(answer.outcome, GateOutcome::Superseded(_)));
        }
        let mut others = self.store.pauses().await?;
        others.retain(|pause| pause.what != *what);
        let waiting = rules.iter().map(|rule| rule.waiting).sum();
        Ok(HeldBack { what: what.clone(), waiting, rules, looked_at, stale, others })
    }

    /// Lifts a pause that is in force.
    pub(super) async fn resume(&self, caller: &Caller, what: &Paused) -> Result<(), Refusal> {
        if !self.store.unpause(what).await? {
            return Err(Refusal::NotFound(format!("{what} is not paused").into()));
        }
        tracing::warn!(%what, by = caller.name, "a pause was lifted");
        Ok(())
    }

    /// Closes a breaker early.
    pub(super) async fn release_breaker(&self, caller: &Caller, name: &str) -> Result<BreakerKind, Refusal> {
        let kind: BreakerKind = name.parse().map_err(|error: String| Refusal::NotFound(error.into()))?;
        if !self.store.release_breaker(kind).await? {
            return Err(Refusal::NotFound(format!("the breaker {kind} is not open").into()));
        }
        tracing::warn!(breaker = %kind, by = caller.name, "a breaker was released");
        Ok(kind)
    }

    /// How many jobs a filter means, and the oldest of them.
    pub(super) async fn cancellable(&self, filter: &BulkFilter) -> Result<(u64, Vec<Job>), Refusal> {
        Ok(self.store.cancellable(filter, EXAMPLES).await?)
    }

    /// Cancels every job that a filter means and that was made before now; answers how many.
    pub(super) async fn cancel_many(&self, caller: &Caller, mut filter: BulkFilter) -> Result<u64, Refusal> {
        // Work that comes in meanwhile is not what was looked at.
        let now = Timestamp(self.clock.now().0 + 1);
        filter.made_before = Some(filter.made_before.map_or(now, |before| before.min(now)));
        let reason = format!("{} cancelled it with others", caller.name);
        let mut cancelled = 0;
        loop {
            let now = self.store.cancel_many(&filter, AT_ONCE, &reason).await?;
            cancelled += now;
            if now < u64::from(AT_ONCE) {
                tracing::warn!(cancelled, by = caller.name, "jobs were cancelled in bulk");
                return Ok(cancelled);
            }
        }
    }
}

/// What a person wants to pause.
pub(super) fn paused(text: &str) -> Result<Paused, Refusal> {
    text.parse().map_err(|error: String| Refusal::BadRequest(error.into()))
}
