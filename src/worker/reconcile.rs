//! Reconciling: whether a create without an answer made a run is looked up in the service's list of runs.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::{Again, Result, Worker, sooner};
use crate::codegen::door::PAGE;
use crate::codegen::{CallError, RunRow, Tag};
use crate::model::clock::Timestamp;
use crate::store::{StoreError, Uncertain};

/// How long after the end of a call its run is sure to be listed, if there is one.
const LISTED_AFTER: Duration = Duration::from_secs(30);
/// How far the service's clock may be behind ours.
const SKEW: Duration = Duration::from_mins(5);
/// How long to wait after the list could not be read.
const RETRY: Duration = Duration::from_secs(30);

/// What is kept between ticks.
#[derive(Debug, Default)]
pub(super) struct Reconcile {
    pass: Option<Pass>,
    not_before: Timestamp,
}

/// One pass over the list, for the jobs whose calls had ended long enough before it began. New runs push rows down while
/// it goes on: it may meet a row twice, but misses none.
#[derive(Debug)]
struct Pass {
    /// The jobs that are looked for, with the oldest time at which their run can have been made.
    sought: HashMap<String, Timestamp>,
    /// The rows before this time are nobody's who is sought.
    floor: Timestamp,
    skip: u64,
    /// Runs by id that nobody can tell the owner of, and when they were made.
    untagged: BTreeMap<i64, Option<Timestamp>>,
}

impl Worker {
    /// Settles jobs whose create was not answered: adopted, proved absent and queued, or held.
    pub async fn reconcile_tick(&self) -> Result<Again> {
        let inner = &self.inner;
        let mut state = inner.reconcile.lock().await;
        let now = inner.clock.now();
        let uncertain = inner.store.uncertain().await?;
        if uncertain.is_empty() {
            state.pass = None;
            return Ok(None);
        }
        if state.not_before > now {
            return Ok(Some(state.not_before));
        }
        let waiting = uncertain.iter().map(|each| each.ended_at.plus(LISTED_AFTER)).filter(|&at| at > now).min();
        if state.pass.is_none() {
            state.pass = Pass::begin(&uncertain, now);
        }
        let Some(mut pass) = state.pass.take() else { return Ok(waiting) };
        match self.reconcile_pages(&mut pass).await {
            Ok(None) => {
                self.settle(&pass).await?;
                inner.progress.notify_waiters();
                Ok(waiting)
            }
            Ok(Some(until)) => {
                state.pass = Some(pass);
                Ok(sooner(Some(until), waiting))
            }
            Err(CallError::Store(error)) => Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, jobs = pass.sought.len(), "runs without an answer cannot be looked for yet");
                state.not_before = now.plus(RETRY);
                Ok(Some(state.not_before))
            }
        }
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
            let last = page.is_last(pass.skip);
            pass.skip += page.items.len() as u64;
            let beyond = page.items.last().and_then(|row| row.created_at).is_some_and(|at| at < pass.floor);
            for row in page.items {
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
                    settled(store.adopt(&job, &row.run, "found in the list of runs by its metadata").await)?;
                }
            }
            Tag::Missing if row.created_at.is_none_or(|at| at >= pass.floor) => {
                // A run that belongs to another job of ours cannot be the one that is sought.
                if store.run(row.run.id).await?.is_none() {
                    pass.untagged.insert(row.run.id, row.created_at);
                }
            }
            Tag::Missing | Tag::Other => {}
        }
        Ok(())
    }

    /// The pass is over: who was not found is absent, unless a run without metadata could be it.
    async fn settle(&self, pass: &Pass) -> Result<()> {
        for Uncertain { job, began_at, .. } in self.inner.store.uncertain().await? {
            // A job that a person sent again meanwhile has another call to look for.
            let Some(&since) = pass.sought.get(&job.id).filter(|&&since| since == began_at.minus(SKEW)) else {
                continue;
            };
            let job = job.id.as_str();
            let could_be = pass.untagged.iter().find(|(_, created)| created.is_none_or(|at| at >= since));
            if let Some((run, _)) = could_be {
                tracing::warn!(job, run, "a run without metadata could be the one that is sought");
                let reason = format!("run {run} has no metadata and could be this job's: adopt it or say absent");
                settled(self.inner.store.hold(job, None, &reason).await)?;
            } else {
                tracing::info!(job, "a create without an answer made no run");
                let reason = "the create was not answered, and the list of runs shows that it made no run";
                settled(self.inner.store.absent(job, reason).await)?;
            }
        }
        Ok(())
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
        Some(Self { sought, floor, skip: 0, untagged: BTreeMap::new() })
    }
}

/// A person may have settled the job meanwhile; that stands.
fn settled(outcome: std::result::Result<(), StoreError>) -> std::result::Result<(), StoreError> {
    match outcome {
        Err(StoreError::Conflict(_)) => Ok(()),
        other => other,
    }
}
