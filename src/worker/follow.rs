//! Following: runs are watched to their end, a hundred with one call.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use super::{Again, Result, Worker, WorkerError};
use crate::codegen::door::PAGE;
use crate::codegen::{CallError, Denial, RunRow};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;
use crate::model::run::{Run, RunPhase, phase_of};
use crate::store::Followed;
use crate::telemetry::{self, Metric};

/// How long a lost run is still looked at, and how often.
const LOST: (Duration, Duration) = (Duration::from_hours(24), Duration::from_mins(10));
/// How far the service's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// The longest wait after the service would not tell.
const RETRY_MAX: Duration = Duration::from_mins(5);
/// How many unknown status words are remembered as reported.
const WORDS_MAX: usize = 100;

/// What is kept between ticks.
#[derive(Debug, Default)]
pub(super) struct Follow {
    pass: Option<Pass>,
    not_before: Timestamp,
    lost_not_before: Timestamp,
    failures: u32,
    /// Unknown status words that were reported.
    words: HashSet<String>,
}

/// One look at every followed run.
#[derive(Debug)]
struct Pass {
    /// The runs that were not seen yet, by id.
    unseen: BTreeMap<i64, Followed>,
    /// Runs that are still at work but older than the give-up age: the jobs.
    overdue: Vec<String>,
    /// How many rows of the list were read; `None` when the list is read far enough.
    skip: Option<u64>,
    /// How many pages showed none of ours.
    barren: usize,
    calls: u32,
}

impl Worker {
    /// Looks at every run that has not ended; none is asked for twice in one poll interval.
    pub async fn follow_tick(&self) -> Result<Again> {
        let inner = &self.inner;
        let mut state = inner.follow.lock().await;
        let now = inner.clock.now();
        let mut pass = match state.pass.take() {
            Some(pass) => pass,
            None if state.not_before > now => return Ok(Some(state.not_before)),
            None => {
                let mut followed = inner.store.followed(now.minus(LOST.0)).await?;
                let running = followed.iter().filter(|each| each.state == JobState::Running).count();
                telemetry::set(Metric::RunsActive, &[], running as f64);
                let lost = followed.iter().any(|each| each.state == JobState::Lost);
                if state.lost_not_before > now {
                    followed.retain(|each| each.state != JobState::Lost);
                } else {
                    state.lost_not_before = now.plus(LOST.1);
                }
                if followed.is_empty() {
                    return Ok(lost.then_some(state.lost_not_before));
                }
                Pass::begin(followed)
            }
        };
        match self.look(&mut state, &mut pass).await {
            Ok(None) => {
                self.give_up(&pass).await?;
                state.failures = 0;
                state.not_before = now.plus(self.spacing(pass.calls));
                Ok(Some(state.not_before))
            }
            Ok(Some(until)) => {
                state.pass = Some(pass);
                Ok(Some(until))
            }
            Err(CallError::Store(error)) => Err(error.into()),
            Err(error) => {
                // The age is known without the service.
                self.give_up(&pass).await?;
                let wait = self.spacing(pass.calls) * 2u32.saturating_pow(state.failures.min(10));
                state.failures += 1;
                state.not_before = now.plus(wait.min(RETRY_MAX));
                tracing::warn!(%error, until = state.not_before.to_rfc3339(), "runs cannot be followed for now");
                Ok(Some(state.not_before))
            }
        }
    }

    /// Reads the list as long as that is cheaper than asking for single runs, then asks for the rest; a time when a full
    /// window interrupts it.
    async fn look(&self, state: &mut Follow, pass: &mut Pass) -> std::result::Result<Again, CallError> {
        while !pass.unseen.is_empty() {
            if let Some(until) = self.reading_waits().await.map_err(|WorkerError::Store(error)| error)? {
                return Ok(Some(until));
            }
            let step = match pass.skip {
                Some(skip) => self.look_at_list(state, pass, skip).await,
                None => self.look_at_one(state, pass).await,
            };
            match step {
                Ok(()) => pass.calls += 1,
                Err(error) => return self.slot_wait(error).map(Some),
            }
        }
        Ok(None)
    }

    async fn look_at_list(&self, state: &mut Follow, pass: &mut Pass, skip: u64) -> std::result::Result<(), CallError> {
        let page = self.inner.codegen.list_runs(skip, PAGE).await?;
        let next = skip + page.items.len() as u64;
        let oldest = page.items.last().and_then(|row| row.created_at);
        let last = page.is_last(skip);
        let ours: Vec<RunRow> = page.items.into_iter().filter(|row| pass.unseen.contains_key(&row.run.id)).collect();
        pass.barren += usize::from(ours.is_empty());
        self.seen(state, pass, ours.into_iter().map(|row| row.run).collect()).await?;
        let beyond = pass.unseen.values().all(|each| oldest.is_some_and(|at| at < each.submitted_at.minus(SKEW)));
        // Pages that show none of ours have cost as much as asking for each that is left.
        let dear = pass.barren >= pass.unseen.len();
        pass.skip = (!last && !beyond && !dear).then_some(next);
        Ok(())
    }

    async fn look_at_one(&self, state: &mut Follow, pass: &mut Pass) -> std::result::Result<(), CallError> {
        let Some(id) = pass.unseen.keys().next().copied() else { return Ok(()) };
        match self.inner.codegen.get_run(id).await {
            Ok(row) => self.seen(state, pass, vec![row.run]).await?,
            Err(error) if error.is_not_found() => {
                if let Some(gone) = pass.unseen.remove(&id).filter(|gone| gone.state == JobState::Running) {
                    tracing::warn!(job = gone.job, run = id, "the service does not know the run any more");
                    self.inner
                        .store
                        .give_up(&gone.job, &format!("the service does not know run {id} any more"))
                        .await?;
                    self.inner.progress.notify_waiters();
                }
            }
            // What is wrong with this one may not be wrong with the others.
            Err(
                error @ (CallError::Ambiguous(_)
                | CallError::Refused(_)
                | CallError::NotTaken { denial: Denial::Forbidden, .. }),
            ) => {
                tracing::warn!(run = id, %error, "a run cannot be looked at");
                if let Some(each) = pass.unseen.remove(&id) {
                    self.note_age(pass, &each);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Stores what was seen, and notes who is still at work too long.
    async fn seen(
        &self,
        state: &mut Follow,
        pass: &mut Pass,
        mut runs: Vec<Run>,
    ) -> std::result::Result<(), CallError> {
        // A run that was given up stays so until it ends; else it would be lost anew at every look, and never for good.
        runs.retain(|run| {
            let given_up =
                pass.unseen.get(&run.id).is_some_and(|each| each.state == JobState::Lost && self.is_old(each));
            let keep = !given_up || phase_of(run.status.as_deref()).0 != RunPhase::Alive;
            if !keep {
                pass.unseen.remove(&run.id);
            }
            keep
        });
        let changes = self.inner.store.observe(&runs).await?;
        for change in &changes {
            tracing::info!(job = change.job, from = %change.from, to = %change.to, "run changed");
        }
        if !changes.is_empty() {
            self.inner.progress.notify_waiters();
        }
        for run in runs {
            let (phase, known) = phase_of(run.status.as_deref());
            let word = run.status.unwrap_or_else(|| "null".to_owned());
            if !known {
                telemetry::count(Metric::UnknownStatus, &[]);
            }
            if !known && state.words.len() < WORDS_MAX && state.words.insert(word.clone()) {
                tracing::warn!(run = run.id, status = word, "unknown status; the run counts as not ended");
            }
            if let Some(each) = pass.unseen.remove(&run.id)
                && phase == RunPhase::Alive
            {
                self.note_age(pass, &each);
            }
        }
        Ok(())
    }

    fn is_old(&self, each: &Followed) -> bool {
        each.submitted_at.plus(self.inner.options.give_up) <= self.inner.clock.now()
    }

    fn note_age(&self, pass: &mut Pass, each: &Followed) {
        if self.is_old(each) && each.state == JobState::Running {
            pass.overdue.push(each.job.clone());
        }
    }

    /// Gives up the runs that are too old, those included that the service would not tell about.
    async fn give_up(&self, pass: &Pass) -> Result<()> {
        let limit = self.inner.options.give_up;
        let untold = pass.unseen.values().filter(|each| each.state == JobState::Running && self.is_old(each));
        let untold = untold.map(|each| &each.job);
        let reason = format!("the run has not ended within {}", crate::model::span::show_span(limit));
        for job in pass.overdue.iter().chain(untold) {
            tracing::warn!(job, reason, "run given up");
            self.inner.store.give_up(job, &reason).await?;
            self.inner.progress.notify_waiters();
        }
        Ok(())
    }
}

impl Pass {
    fn begin(followed: Vec<Followed>) -> Self {
        let unseen = followed.into_iter().map(|each| (each.run_id, each)).collect();
        Self { unseen, overdue: Vec::new(), skip: Some(0), barren: 0, calls: 0 }
    }
}
