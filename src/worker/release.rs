//! Releasing: due jobs go through the gates, in the order of their time, as long as there are slots.

use std::sync::Arc;

use super::prepare::Prepared;
use super::{Again, LOOK_EVERY, Result, Worker, sooner};
use crate::model::gate::{GateOutcome, Snapshot};
use crate::rules::gates;
use crate::store::{Release, Released, StoreError};

/// How many lanes are looked at in one go.
const LANES: u32 = 256;

/// What became of a candidate.
enum Step {
    /// It is no candidate any more: the next one of its lane may be.
    Moved,
    /// It waits.
    Waits(Again),
    /// It waits by now, though it did not when the candidates were looked at.
    WaitsNow(Again),
}

impl Worker {
    /// Sends every job that may be sent now. The calls go on by themselves: a slow answer holds up nobody else's release.
    pub async fn release_tick(&self) -> Result<Again> {
        loop {
            let mut moved = false;
            let mut next = None;
            let candidates = self.inner.store.candidates(LANES).await?;
            let candidates = candidates.into_iter().map(|job| {
                let policy = self.inner.rules.now().policy(&job.rule);
                (job, policy)
            });
            for snapshot in self.inner.store.snapshots(candidates.collect()).await? {
                match self.step(&snapshot).await? {
                    Step::Moved => moved = true,
                    // Those before it have used what the others were to get: look again before more is rendered.
                    Step::WaitsNow(_) if moved => break,
                    Step::Waits(until) | Step::WaitsNow(until) => next = sooner(next, until),
                }
                if self.inner.stop.is_cancelled() {
                    return Ok(None);
                }
            }
            if !moved {
                return Ok(sooner(next, self.inner.store.next_due().await?));
            }
        }
    }

    /// One candidate. The gates are asked before anything is read or rendered, so that a job that waits costs little;
    /// what counts is what they say again in the transaction.
    async fn step(&self, snapshot: &Snapshot) -> Result<Step> {
        if let GateOutcome::Wait(_, until) =
            gates::ask(snapshot, &self.inner.rules.now().policy(&snapshot.job.rule)).outcome
        {
            return Ok(Step::Waits(until));
        }
        match self.release(snapshot).await {
            // Somebody else changed it meanwhile.
            Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => Ok(Step::Moved),
            Err(error @ StoreError::Busy(_)) => Err(error.into()),
            // What is wrong with one job must not stop the others.
            Err(error) => {
                tracing::error!(job = snapshot.job.id, %error, "the job cannot be released");
                Ok(Step::Waits(Some(self.inner.clock.now().plus(LOOK_EVERY))))
            }
            Ok(step) => Ok(step),
        }
    }

    async fn release(&self, snapshot: &Snapshot) -> std::result::Result<Step, StoreError> {
        let (inner, job) = (&self.inner, &snapshot.job);
        // A create that comes to its end wakes the tick again.
        let Ok(permit) = Arc::clone(&inner.sending).try_acquire_owned() else { return Ok(Step::Waits(None)) };
        // Asked after the permit is taken: whoever waits for the last create to end has stopped the worker before.
        if inner.stop.is_cancelled() {
            return Ok(Step::Waits(None));
        }
        let Prepared { asked, note } = match self.prepare(snapshot).await? {
            Ok(prepared) => prepared,
            Err(reason) => {
                tracing::warn!(job = job.id, rule = job.rule, reason, "job held");
                inner.store.hold(&job.id, Some(job.revision), &reason).await?;
                return Ok(Step::Moved);
            }
        };
        let policy = inner.rules.now().policy(&job.rule);
        let release = Release {
            job: job.id.clone(),
            revision: job.revision,
            prompt: asked.prompt().to_owned(),
            note,
            told: asked.run(),
            classes: gates::classes(job).to_vec(),
            policy: policy.clone(),
        };
        Ok(match inner.store.release(release, |snapshot| gates::ask(snapshot, &policy)).await? {
            Released::Go { job, call } => {
                tracing::info!(job = job.id, rule = job.rule, subject = job.subject, "released");
                tokio::spawn(self.clone().submit(*job, call, asked, permit));
                Step::Moved
            }
            Released::Waits { until, .. } => Step::WaitsNow(until),
            Released::Held | Released::Superseded | Released::Dead | Released::Changed => Step::Moved,
        })
    }
}
