//! What the answer to a call that makes no run does to its job: a run was told something, or its change was banned.

use super::calls::{self, CallId};
use super::db::{Tx, query};
use super::errors::{Result, StoreError};
use super::submit::{ended_for_nothing, must_wait, note_of};
use super::{Store, jobs, runs};
use crate::model::clock::Timestamp;
use crate::model::job::{Job, JobState};
use crate::model::policy::Action;
use crate::model::run::{Run, RunPhase, phase_of};

/// The target of a job that tells no run, because the one it was said to is gone.
pub(super) const NOBODY: i64 = -1;

/// The call told nobody anything; from now on the job has this target, if one is given.
pub(super) async fn nobody(tx: &mut Tx, job: &str, target: Option<i64>) -> Result<()> {
    query("UPDATE jobs SET resumed = 0, target = COALESCE($2, target) WHERE id = $1")
        .bind(job)
        .bind(target)
        .execute(tx)
        .await?;
    Ok(())
}

/// The unanswered call of a job was carried out, as a person says or a trace shows.
pub(super) async fn adopt(tx: &mut Tx, job: &Job, run: i64, reason: &str, now: Timestamp) -> Result<()> {
    if job.target != Some(run) {
        let target = job.target.map_or("no run".to_owned(), |target| format!("run {target}"));
        return Err(StoreError::Conflict(format!("job {} was said to {target}, not to run {run}", job.id)));
    }
    let from = &[JobState::Uncertain, JobState::Held];
    let change = jobs::Change { job: &job.id, from, to: JobState::Running, reason, due_at: None };
    jobs::change(tx, &change, now).await?;
    if matches!(job.action, Action::Ban | Action::Unban) {
        return done(tx, &job.id, reason, now).await;
    }
    // It may have been forgotten since it was told.
    runs::keep(tx, &job.id, run, now).await?;
    follow(tx, &job.id, run, Some(now), now).await
}

/// From now on the job follows the run that it told; an end of the run counts once the job was heard.
async fn follow(tx: &mut Tx, job: &str, run: i64, heard_at: Option<Timestamp>, now: Timestamp) -> Result<()> {
    runs::join(tx, job, run).await?;
    query("UPDATE jobs SET answered_at = $2, heard_at = $3 WHERE id = $1")
        .bind(job)
        .bind(now.0)
        .bind(heard_at.map(|at| at.0))
        .execute(tx)
        .await?;
    Ok(())
}

/// A job that has nothing to wait for.
async fn done(tx: &mut Tx, job: &str, reason: &str, now: Timestamp) -> Result<()> {
    query("UPDATE jobs SET run = (SELECT r.id FROM runs r WHERE r.id = jobs.target) WHERE id = $1")
        .bind(job)
        .execute(tx)
        .await?;
    let from = &[JobState::Running];
    jobs::change(tx, &jobs::Change { job, from, to: JobState::Succeeded, reason, due_at: None }, now).await?;
    Ok(())
}

impl Store {
    /// The run was told: the job runs, and ends with the first end of the run after it was heard. It was heard when the
    /// run works by its own answer; one that still shows its old end may not have begun.
    pub async fn run_told(&self, job: &str, call: &CallId, run: &Run) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        calls::end(&mut tx, call, self.inner.ended()).await?;
        let sent = match must_wait(&mut tx, job, call).await {
            Ok(sent) => sent,
            Err(error) => return ended_for_nothing(tx, error).await,
        };
        let (from, note) = ([sent.state], note_of(sent));
        let change = jobs::Change { job, from: &from, to: JobState::Running, reason: &note, due_at: None };
        jobs::change(&mut tx, &change, now).await?;
        runs::see(&mut tx, job, run, now).await?;
        let alive = phase_of(run.status.as_deref()).0 == RunPhase::Alive;
        follow(&mut tx, job, run.id, alive.then_some(now), now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The call did all that was asked for: the job has succeeded.
    pub async fn done_at_once(&self, job: &str, call: &CallId, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        calls::end(&mut tx, call, self.inner.ended()).await?;
        let from = match must_wait(&mut tx, job, call).await {
            Ok(sent) => [sent.state],
            Err(error) => return ended_for_nothing(tx, error).await,
        };
        let change = jobs::Change { job, from: &from, to: JobState::Running, reason, due_at: None };
        jobs::change(&mut tx, &change, now).await?;
        done(&mut tx, job, reason, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The trace of the run that a job told shows its message: the next end of the run is the job's own. An uncertain job
    /// runs from now on.
    pub async fn heard(&self, job: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let found = jobs::get(&mut tx, job).await?;
        match (found.state, found.target) {
            (JobState::Uncertain, Some(run)) => {
                adopt(&mut tx, &found, run, "the trace of the run shows the message", now).await?;
            }
            (JobState::Running | JobState::Lost, _) => {
                query("UPDATE jobs SET heard_at = COALESCE(heard_at, $2) WHERE id = $1")
                    .bind(job)
                    .bind(now.0)
                    .execute(&mut tx)
                    .await?;
            }
            (state, _) => return Err(StoreError::Conflict(format!("job {job} is {state} and waits for no run"))),
        }
        tx.commit_and_wake().await?;
        Ok(())
    }
}
