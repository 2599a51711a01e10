//! Following: runs are watched to their end, a hundred with one call.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::reconcile::settled;
use super::{Again, Result, Worker, WorkerError};
use crate::codegen::door::PAGE;
use crate::codegen::{CallError, Denial, RunRow};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;
use crate::model::run::{Run, RunPhase, phase_of};
use crate::store::{Followed, Look};
use crate::telemetry::{self, Metric};

/// How long a lost run is still looked at, and how often.
const LOST: (Duration, Duration) = (Duration::from_hours(24), Duration::from_mins(10));
/// How far the service's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// The longest wait after the service would not tell.
const RETRY_MAX: Duration = Duration::from_mins(5);
/// The longest wait before the trace of a run that shows its old end is searched again.
const TRACE_MAX: Duration = Duration::from_mins(5);
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
    /// The jobs whose runs were told something and show their old end, by id.
    unheard: HashMap<String, Search>,
}

/// A search for a job's message in the trace of a run.
#[derive(Debug, Default)]
struct Search {
    /// How much of the trace was read, when that was interrupted.
    skip: u64,
    times: u32,
    not_before: Timestamp,
}

/// One look at every followed run.
#[derive(Debug)]
struct Pass {
    /// The runs that were not seen yet, by id, with the jobs that follow them.
    unseen: BTreeMap<i64, Vec<Followed>>,
    /// Jobs whose run was told something and shows its old end: it may not have begun, or have ended again already.
    unheard: Vec<Followed>,
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
                self.listen(&mut state, &pass).await?;
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
        let asked_at = self.inner.clock.now();
        let page = self.inner.codegen.list_runs(skip, PAGE).await?;
        let next = skip + page.items.len() as u64;
        let oldest = page.items.last().and_then(|row| row.created_at);
        let last = page.is_last(skip);
        let ours: Vec<RunRow> = page.items.into_iter().filter(|row| pass.unseen.contains_key(&row.run.id)).collect();
        pass.barren += usize::from(ours.is_empty());
        self.seen(state, pass, ours.into_iter().map(|row| row.run).collect(), asked_at).await?;
        let beyond = |made_at: Timestamp| oldest.is_some_and(|at| at < made_at.minus(SKEW));
        let beyond = pass.unseen.values().flatten().all(|each| beyond(each.made_at.min(each.submitted_at)));
        // Pages that show none of ours have cost as much as asking for each that is left.
        let dear = pass.barren >= pass.unseen.len();
        pass.skip = (!last && !beyond && !dear).then_some(next);
        Ok(())
    }

    async fn look_at_one(&self, state: &mut Follow, pass: &mut Pass) -> std::result::Result<(), CallError> {
        let Some(id) = pass.unseen.keys().next().copied() else { return Ok(()) };
        let asked_at = self.inner.clock.now();
        match self.inner.codegen.get_run(id).await {
            Ok(row) => self.seen(state, pass, vec![row.run], asked_at).await?,
            Err(error) if error.is_not_found() => {
                let gone = pass.unseen.remove(&id).unwrap_or_default();
                for gone in gone.iter().filter(|gone| gone.state == JobState::Running) {
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
                for each in pass.unseen.remove(&id).unwrap_or_default() {
                    self.note_age(pass, &each);
                }
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Stores what was seen, and notes who is still at work too long, and whose message was not heard yet.
    async fn seen(
        &self,
        state: &mut Follow,
        pass: &mut Pass,
        runs: Vec<Run>,
        asked_at: Timestamp,
    ) -> std::result::Result<(), CallError> {
        let given_up_before = self.inner.clock.now().minus(self.inner.options.give_up);
        let look = Look { asked_at, given_up_before };
        let changes = self.inner.store.observe_as_of(&runs, look).await?;
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
            for each in pass.unseen.remove(&run.id).unwrap_or_default() {
                if phase == RunPhase::Alive {
                    self.note_age(pass, &each);
                } else if each.unheard {
                    self.note_age(pass, &each);
                    pass.unheard.push(each);
                }
            }
        }
        Ok(())
    }

    /// Looks into the traces of runs that still show their old end one poll after they were told something, less and less
    /// often: a run may have lived and ended between two looks. Its next end then is the job's own.
    async fn listen(&self, state: &mut Follow, pass: &Pass) -> Result<()> {
        let inner = &self.inner;
        state.unheard.retain(|job, _| pass.unheard.iter().any(|each| each.job == *job));
        for each in &pass.unheard {
            let now = inner.clock.now();
            let search = state.unheard.entry(each.job.clone()).or_default();
            if search.not_before.max(each.submitted_at.plus(inner.options.poll)) > now {
                continue;
            }
            match self.hears(each.run_id, &each.job, each.submitted_at.minus(SKEW), &mut search.skip).await {
                Ok(true) => {
                    tracing::info!(job = each.job, run = each.run_id, "the trace of the run shows the message");
                    settled(inner.store.heard(&each.job).await)?;
                    continue;
                }
                Ok(false) => {}
                Err(CallError::Store(error)) => return Err(error.into()),
                // It is read on at the next look.
                Err(CallError::NoSlot { .. }) => break,
                Err(error) => tracing::warn!(job = each.job, run = each.run_id, %error, "a trace cannot be read"),
            }
            search.not_before =
                now.plus((inner.options.poll * 2u32.saturating_pow(search.times.min(10))).min(TRACE_MAX));
            search.times += 1;
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
        let untold = pass.unseen.values().flatten().filter(|each| each.state == JobState::Running && self.is_old(each));
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
        let mut unseen = BTreeMap::<i64, Vec<Followed>>::new();
        for each in followed {
            unseen.entry(each.run_id).or_default().push(each);
        }
        Self { unseen, unheard: Vec::new(), overdue: Vec::new(), skip: Some(0), barren: 0, calls: 0 }
    }
}
