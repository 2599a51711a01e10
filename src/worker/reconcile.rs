//! Reconciling: whether a call without an answer was carried out. A create is looked up in the service's list of runs, a
//! resume in the trace of its run; a ban does the same when it is sent again.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{Again, Result, Worker, sooner};
use crate::codegen::door::PAGE;
use crate::codegen::{CallError, RunRow, Tag};
use crate::model::clock::Timestamp;
use crate::model::policy::{Action, Then};
use crate::store::{StoreError, Uncertain};

/// How long after the end of a call its run is sure to be listed, if there is one.
const LISTED_AFTER: Duration = Duration::from_secs(30);
/// How far the service's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// How often a ban is sent before a person is asked.
const BANS: u32 = 2;
/// How long to wait after the list, or a trace, could not be read, or did not tell enough.
const RETRY: Duration = Duration::from_secs(30);
/// For how long that is tried before a person is asked.
const PATIENCE: Duration = Duration::from_mins(15);
/// How long a create that made no run waits before it is sent again.
const BACKOFF: Duration = Duration::from_mins(1);
/// How often a job's create may have made no run: an outage is probed by one job after the other. What is missing from the
/// list that often may be missing from the list alone.
const ABSENCES: u32 = 3;

/// What is kept between ticks.
#[derive(Debug, Default)]
pub(super) struct Reconcile {
    pass: Option<Pass>,
    /// The traces in which resumes are looked for, by job.
    traces: HashMap<String, Search>,
    /// From when the list may be read again.
    list_not_before: Timestamp,
    /// Since when the list does not show enough.
    unproved_since: Option<Timestamp>,
}

/// A search for the message of a resume in the trace of its run.
#[derive(Debug, Default)]
struct Search {
    /// How far the trace is read.
    skip: u64,
    not_before: Timestamp,
    /// Since when it cannot be read.
    unread_since: Option<Timestamp>,
}

/// One pass over the list, for the jobs whose calls had ended long enough before it began. New runs push rows down while
/// it goes on: it may meet a row twice, but misses none.
#[derive(Debug)]
struct Pass {
    /// The jobs that are looked for, with the oldest time at which their run can have been made.
    sought: HashMap<String, Timestamp>,
    /// When it began.
    began: Timestamp,
    /// The rows before this time are nobody's who is sought.
    floor: Timestamp,
    skip: u64,
    /// How far our clock is ahead of the service's, at most: a run that was made just now may look that old.
    ahead: Duration,
    /// Runs by id that nobody can tell the owner of, and when they were made.
    untagged: BTreeMap<i64, Option<Timestamp>>,
    /// A run from before the calls that we know of.
    known: Option<i64>,
    /// Whether the list has shown all that was made since the calls: a row from before them, or its end where nothing is
    /// known from before.
    proved: bool,
    /// Whether a job was settled.
    settled: bool,
}

impl Worker {
    /// Settles jobs whose call was not answered: carried out and followed, proved absent and queued, or held.
    pub async fn reconcile_tick(&self) -> Result<Again> {
        let inner = &self.inner;
        let mut state = inner.reconcile.lock().await;
        inner.store.doubt_overdue().await?;
        let uncertain = inner.store.uncertain().await?;
        if uncertain.is_empty() {
            *state = Reconcile::default();
            return Ok(None);
        }
        let now = inner.clock.now();
        let waiting = uncertain.iter().map(|each| each.ended_at.plus(LISTED_AFTER)).filter(|&at| at > now).min();
        let (told, rest): (Vec<_>, Vec<_>) = uncertain.into_iter().partition(is_told);
        let (unfound, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(is_create);
        for each in &others {
            self.settle_other(each).await?;
        }
        state.traces.retain(|job, _| told.iter().any(|each| each.job.id == *job));
        let traces = self.search_traces(&mut state, told).await?;
        let list = self.search_list(&mut state, &unfound).await?;
        Ok(sooner(sooner(traces, list), waiting))
    }

    /// Looks for creates in the list of runs.
    async fn search_list(&self, state: &mut Reconcile, creates: &[Uncertain]) -> Result<Again> {
        let inner = &self.inner;
        let now = inner.clock.now();
        if creates.is_empty() {
            state.pass = None;
            return Ok(None);
        }
        if state.list_not_before > now {
            return Ok(Some(state.list_not_before));
        }
        let pass = match state.pass.take() {
            Some(pass) => Some(pass),
            None => self.begin_pass(creates).await?,
        };
        let Some(mut pass) = pass else { return Ok(None) };
        match self.reconcile_pages(&mut pass).await {
            Ok(None) => {
                let all = self.settle(&mut pass, &mut state.unproved_since).await?;
                if pass.settled {
                    inner.progress.notify_waiters();
                }
                if all {
                    return Ok(None);
                }
                tracing::warn!("the list of runs does not tell of every create without an answer yet");
                state.list_not_before = now.plus(RETRY);
                Ok(Some(state.list_not_before))
            }
            Ok(Some(until)) => {
                state.pass = Some(pass);
                Ok(Some(until))
            }
            Err(CallError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, jobs = pass.sought.len(), "runs without an answer cannot be looked for yet");
                state.list_not_before = now.plus(RETRY);
                Ok(Some(state.list_not_before))
            }
        }
    }

    /// A pass for the calls that ended long enough ago; none if there is no such call.
    async fn begin_pass(&self, creates: &[Uncertain]) -> Result<Option<Pass>> {
        let Some(mut pass) = Pass::begin(creates, self.inner.clock.now()) else { return Ok(None) };
        pass.known = self.inner.store.newest_run_before(pass.floor.plus(SKEW)).await?;
        Ok(Some(pass))
    }

    /// Looks for resumes in the traces of their runs. What a trace does not show is never sent again by itself: that the
    /// service keeps every message there is our reading of it, not its promise.
    async fn search_traces(&self, state: &mut Reconcile, told: Vec<Uncertain>) -> Result<Again> {
        let (inner, now) = (&self.inner, self.inner.clock.now());
        let mut again = None;
        for each in told.iter().filter(|each| each.ended_at.plus(LISTED_AFTER) <= now) {
            let (job, run) = (each.job.id.as_str(), each.job.target.unwrap_or_default());
            let search = state.traces.entry(each.job.id.clone()).or_default();
            if search.not_before > now {
                again = sooner(again, Some(search.not_before));
                continue;
            }
            let held = match self.hears(run, job, each.began_at.minus(SKEW), &mut search.skip).await {
                Ok(true) => {
                    tracing::info!(job, run, "found the message of a resume without an answer");
                    settled(inner.store.heard(job).await)?;
                    inner.progress.notify_waiters();
                    continue;
                }
                Ok(false) => format!("the trace of run {run} does not show our message: say adopt or absent"),
                Err(CallError::Store(error)) => return Err(error.into()),
                Err(CallError::NoSlot { until, .. }) => {
                    again = sooner(again, Some(until.unwrap_or_else(|| now.plus(RETRY))));
                    break;
                }
                Err(error) if error.is_not_found() || error.is_forbidden() || search.is_hopeless(&error, now) => {
                    format!("the trace of run {run} cannot be read ({error}): say adopt or absent")
                }
                Err(error) => {
                    tracing::warn!(job, run, %error, "a resume without an answer cannot be looked for yet");
                    search.not_before = now.plus(RETRY);
                    again = sooner(again, Some(search.not_before));
                    continue;
                }
            };
            tracing::warn!(job, run, "nobody can tell whether the run was told");
            settled(inner.store.hold(job, None, &held).await)?;
        }
        Ok(again)
    }

    /// A ban, or the end of one, does the same twice, so it may be sent again, once: a service that answers none is for a person to look at.
    /// Set-up commands carry no metadata, and their runs are not in our list: only a person can find them.
    async fn settle_other(&self, each: &Uncertain) -> Result<()> {
        let (store, job) = (&self.inner.store, &each.job);
        let run = job.target.unwrap_or_default();
        let what = match job.action {
            Action::Ban => format!("the ban of run {run}"),
            Action::Unban => format!("the end of the ban of run {run}"),
            _ => "the call".to_owned(),
        };
        if matches!(job.action, Action::Ban | Action::Unban) && job.tries < BANS {
            tracing::info!(job = job.id, run, "a call without an answer that may be made twice is sent again");
            let reason = format!("{what} was not answered; to do it twice does no harm");
            settled(store.absent(&job.id, &reason).await)?;
        } else {
            let reason = format!("{what} was not answered ({}): say adopt or absent", job.reason);
            settled(store.hold(&job.id, None, &reason).await)?;
        }
        self.inner.progress.notify_waiters();
        Ok(())
    }

    /// Reads on until the floor or the end of the list; a time when a full window interrupts it.
    async fn reconcile_pages(&self, pass: &mut Pass) -> std::result::Result<Again, CallError> {
        while !pass.sought.is_empty() {
            if let Some(until) = self.reading_waits().await.map_err(|super::WorkerError::Store(error)| error)? {
                return Ok(Some(until));
            }
            let page = match self.inner.codegen.list_runs(pass.skip, PAGE).await {
                Ok(page) => page,
                Err(error) => return self.slot_wait(error).map(Some),
            };
            pass.ahead = pass.ahead.max(self.inner.codegen.ahead());
            let (last, hollow) = (page.is_last(pass.skip), page.is_hollow(pass.skip));
            pass.skip += page.items.len() as u64;
            let beyond = page.items.last().and_then(|row| row.created_at).is_some_and(|at| at < pass.floor());
            pass.proved |= beyond || (last && !hollow && pass.known.is_none());
            for row in page.items {
                pass.proved |= pass.known == Some(row.run.id);
                self.meet(pass, row).await?;
            }
            if last || beyond {
                break;
            }
        }
        Ok(None)
    }

    /// Adopts the run of a job that is sought, and notes a run that could be anybody's.
    async fn meet(&self, pass: &mut Pass, row: RunRow) -> std::result::Result<(), StoreError> {
        let store = &self.inner.store;
        match row.tag {
            Tag::Job(job) => {
                if pass.sought.remove(&job).is_some() {
                    tracing::info!(job, run = row.run.id, "found the run of a create without an answer");
                    settled(store.found(&job, &row.run, "found in the list of runs by its metadata").await)?;
                    pass.settled = true;
                }
            }
            Tag::Missing if row.created_at.is_none_or(|at| at >= pass.floor()) => {
                // A run that belongs to another job of ours cannot be the one that is sought.
                if store.run(row.run.id).await?.is_none() {
                    pass.untagged.insert(row.run.id, row.created_at);
                }
            }
            Tag::Missing | Tag::Other => {}
        }
        Ok(())
    }

    /// The pass is over: who was not found is absent, unless a run without metadata could be it, or the list did not show
    /// enough. Answers whether everybody who was sought is settled.
    async fn settle(&self, pass: &mut Pass, unproved_since: &mut Option<Timestamp>) -> Result<bool> {
        let (store, now) = (&self.inner.store, self.inner.clock.now());
        let tried = if pass.proved {
            *unproved_since = None;
            Duration::ZERO
        } else {
            now.since(*unproved_since.get_or_insert(now))
        };
        let mut all = true;
        for each in store.uncertain().await?.into_iter().filter(is_create) {
            let Uncertain { job, began_at, ended_at, absences } = each;
            // A job that a person sent again meanwhile has another call to look for.
            let Some(&since) = pass.sought.get(&job.id).filter(|&&since| since == began_at.minus(SKEW)) else {
                continue;
            };
            let (sent, rule) = (job.tries, job.rule.clone());
            let job = job.id.as_str();
            let could_be =
                pass.untagged.iter().find(|(_, created)| created.is_none_or(|at| at >= since.minus(pass.ahead)));
            let held = if let Some((run, _)) = could_be {
                format!("run {run} has no metadata and could be this job's: adopt it or say absent")
            } else if sent == 0 && self.inner.rules.now().policy(&rule).then.contains(&Then::Resume) {
                // It waited in a backup: nobody knows whether it would have started a run or told one.
                "it may have told a run something since the backup was made: say adopt or absent".to_owned()
            } else if ended_at.plus(LISTED_AFTER) > pass.began || (!pass.proved && tried < PATIENCE) {
                // Its call was still under way when the pass began, or the list is looked at again.
                all = false;
                continue;
            } else if !pass.proved {
                "the list of runs does not reach back to the call: say adopt or absent".to_owned()
            } else if absences + 1 >= ABSENCES {
                format!("the list of runs shows none for {ABSENCES} of its creates: say adopt or absent")
            } else {
                tracing::info!(job, "a create without an answer made no run");
                let reason = "the create was not answered, and the list of runs shows that it made no run";
                settled(store.absent_until(job, reason, now.plus(BACKOFF)).await)?;
                pass.settled = true;
                continue;
            };
            tracing::warn!(job, reason = held, "nobody can tell whether a run was made");
            settled(store.hold(job, None, &held).await)?;
            pass.settled = true;
        }
        Ok(all)
    }
}

/// Whether the call told a run something.
fn is_told(each: &Uncertain) -> bool {
    each.job.resumed && matches!(each.job.action, Action::Run | Action::Tell)
}

/// Whether the call was to make a run that carries our metadata.
fn is_create(each: &Uncertain) -> bool {
    !each.job.resumed && each.job.action == Action::Run
}

impl Search {
    /// Whether a failure to read the trace is one for good, or has lasted too long to go on by itself.
    fn is_hopeless(&mut self, error: &CallError, now: Timestamp) -> bool {
        match error {
            CallError::Refused(_) => true,
            CallError::Ambiguous(_) => now.since(*self.unread_since.get_or_insert(now)) >= PATIENCE,
            CallError::NotTaken { .. } | CallError::NoSlot { .. } | CallError::Store(_) => false,
        }
    }
}

impl Pass {
    /// A pass for the calls that ended long enough ago; none if there is no such call.
    fn begin(uncertain: &[Uncertain], now: Timestamp) -> Option<Self> {
        let sought: HashMap<_, _> = uncertain
            .iter()
            .filter(|each| each.ended_at.plus(LISTED_AFTER) <= now)
            .map(|each| (each.job.id.clone(), each.began_at.minus(SKEW)))
            .collect();
        let floor = sought.values().copied().min()?;
        Some(Self {
            sought,
            began: now,
            floor,
            skip: 0,
            ahead: Duration::ZERO,
            untagged: BTreeMap::new(),
            known: None,
            proved: false,
            settled: false,
        })
    }

    /// [`Self::floor`] by the service's clock.
    fn floor(&self) -> Timestamp {
        self.floor.minus(self.ahead)
    }
}

/// A person may have settled the job meanwhile; that stands.
pub(super) fn settled(outcome: std::result::Result<(), StoreError>) -> std::result::Result<(), StoreError> {
    match outcome {
        Err(StoreError::Conflict(_)) => Ok(()),
        other => other,
    }
}
