//! What the answer to a call, or its lack, does to the job that was being sent.

use super::calls::{self, CallId};
use super::db::{Conn, Tx, query};
use super::errors::{Result, StoreError};
use super::replica::APART;
use super::told::{self, NOBODY};
use super::{Store, breakers, budgets, jobs, queue, rows, runs, snapshot};
use crate::model::clock::Timestamp;
use crate::model::job::{Job, JobState};
use crate::model::limits::ClassLimits;
use crate::model::policy::Action;
use crate::model::run::Run;

/// What a job says whose call was answered after others had given it up.
const LATE: &str = "the answer came late";

/// A job whose call ended without telling whether it was carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Uncertain {
    /// The job.
    pub job: Job,
    /// When its call began.
    pub began_at: Timestamp,
    /// When its call ended.
    pub ended_at: Timestamp,
    /// How many of its calls before were found to have made no run.
    pub absences: u32,
}

/// Ends the calls of processes that are not alive and those that began before `overdue`, and doubts what they were
/// submitting.
pub(super) async fn take_over(tx: &mut Tx, limits: &ClassLimits, overdue: Timestamp, now: Timestamp) -> Result<()> {
    calls::end_left(tx, limits, overdue, now).await?;
    breakers::take_over(tx, limits, now).await?;
    // Entries from the future, left by a clock that was ahead, count as now.
    let ahead = if tx.is_postgres() { now.plus(2 * APART) } else { now };
    for late in [
        "UPDATE jobs SET answered_at = $1 WHERE state IN ('uncertain', 'running', 'lost') AND answered_at > $2",
        "UPDATE jobs SET heard_at = $1 WHERE state IN ('running', 'lost') AND heard_at > $2",
    ] {
        query(late).bind(now.0).bind(ahead.0).execute(tx).await?;
    }
    let left = query(
        "SELECT id FROM jobs WHERE state = 'submitting' \
         AND NOT EXISTS (SELECT 1 FROM calls WHERE calls.id = jobs.call AND calls.ended_at IS NULL)",
    );
    for row in left.fetch_all(tx).await? {
        let job: &str = row.try_get("id")?;
        doubt(tx, job, "hookrun stopped while the call was under way", now).await?;
    }
    Ok(())
}

async fn doubt(tx: &mut Tx, job: &str, reason: &str, now: Timestamp) -> Result<()> {
    let change = jobs::Change { job, from: &[JobState::Submitting], to: JobState::Uncertain, reason, due_at: None };
    jobs::change(tx, &change, now).await?;
    query("UPDATE jobs SET answered_at = $2 WHERE id = $1").bind(job).bind(now.0).execute(tx).await?;
    Ok(())
}

/// What was not done does not count: not as an attempt, in no budget, not as sent.
async fn uncount(tx: &mut Tx, job: &str) -> Result<()> {
    query(
        "DELETE FROM attempts WHERE job = $1 AND subject = (SELECT subject FROM jobs WHERE id = $1) \
         AND sha = (SELECT sha FROM jobs WHERE id = $1)",
    )
    .bind(job)
    .execute(tx)
    .await?;
    if budgets::give_back(tx, job).await? {
        query("UPDATE rule_counts SET sent = sent - 1 WHERE rule = (SELECT rule FROM jobs WHERE id = $1)")
            .bind(job)
            .execute(tx)
            .await?;
    }
    Ok(())
}

impl Store {
    /// The call made a run: the job runs.
    pub async fn run_created(&self, job: &str, call: &CallId, run: &Run) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        calls::end(&mut tx, call, self.inner.ended()).await?;
        let sent = match must_wait(&mut tx, job, call).await {
            Ok(sent) => sent,
            Err(_) if take_late(&mut tx, job, call, run, now).await? => return tx.commit_and_wake().await,
            Err(error) => return ended_for_nothing(tx, error).await,
        };
        let (from, note) = ([sent.state], note_of(sent));
        let change = jobs::Change { job, from: &from, to: JobState::Running, reason: &note, due_at: None };
        jobs::change(&mut tx, &change, now).await?;
        runs::insert(&mut tx, job, run, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The call was certainly not taken: the job is queued again and the attempt was none.
    pub async fn not_taken(&self, job: &str, call: &CallId, reason: &str, retry_at: Timestamp) -> Result<()> {
        self.refuse(job, call, JobState::Queued, reason, Some(retry_at), None).await
    }

    /// The call was refused for good: the job is dead and the attempt was none.
    pub async fn refused(&self, job: &str, call: &CallId, reason: &str) -> Result<()> {
        self.refuse(job, call, JobState::Dead, reason, None, None).await
    }

    /// The run that was to be told is gone or takes nothing more: the job is queued again, and tells no run any more.
    pub async fn not_told(&self, job: &str, call: &CallId, reason: &str) -> Result<()> {
        let due_at = self.inner.clock.now();
        self.refuse(job, call, JobState::Queued, reason, Some(due_at), Some(NOBODY)).await
    }

    async fn refuse(
        &self,
        job: &str,
        call: &CallId,
        to: JobState,
        reason: &str,
        due_at: Option<Timestamp>,
        target: Option<i64>,
    ) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        calls::end(&mut tx, call, self.inner.ended()).await?;
        let mut from = match must_wait(&mut tx, job, call).await {
            Ok(sent) => sent.state,
            Err(error) => return ended_for_nothing(tx, error).await,
        };
        // Before the events of another job may bring a newer commit.
        uncount(&mut tx, job).await?;
        told::nobody(&mut tx, job, target).await?;
        if from == JobState::Uncertain && to == JobState::Dead {
            let held = jobs::Change { job, from: &[from], to: JobState::Held, reason, due_at: None };
            jobs::change(&mut tx, &held, now).await?;
            from = JobState::Held;
        }
        jobs::change(&mut tx, &jobs::Change { job, from: &[from], to, reason, due_at }, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The call ended without an answer that tells: the job is uncertain.
    pub async fn unanswered(&self, job: &str, call: &CallId, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        calls::end(&mut tx, call, self.inner.ended()).await?;
        match must_wait(&mut tx, job, call).await {
            Ok(sent) if sent.state == JobState::Submitting => doubt(&mut tx, job, reason, now).await?,
            // It is doubted already, and its call ended only now: what it made may be listed later than others thought.
            Ok(_) => {
                let late = query("UPDATE jobs SET answered_at = $2 WHERE id = $1").bind(job).bind(now.0);
                late.execute(&mut tx).await?;
            }
            Err(error) => return ended_for_nothing(tx, error).await,
        }
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// Every uncertain job, oldest first.
    pub async fn uncertain(&self) -> Result<Vec<Uncertain>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!("{} WHERE j.state = 'uncertain' ORDER BY j.id", rows::JOB);
        let found = query(sql).fetch_all(&mut conn).await?;
        let mut uncertain = Vec::with_capacity(found.len());
        for row in &found {
            let job = rows::job(row)?;
            let more = query("SELECT answered_at, absences FROM jobs WHERE id = $1").bind(&job.id);
            let more = more.fetch_one(&mut conn).await?;
            let ended_at = more.try_get::<Option<i64>>("answered_at")?.map_or(job.updated_at, Timestamp);
            // The clock may have been set back between the two; the earlier one misses no run.
            let began_at = job.submitted_at.unwrap_or(ended_at).min(ended_at);
            let absences = more.try_get::<i64>("absences")?.max(0) as u32;
            uncertain.push(Uncertain { job, began_at, ended_at, absences });
        }
        Ok(uncertain)
    }

    /// The run of an uncertain or held job was found: it is the job's own, or the one that was told or banned.
    pub async fn adopt(&self, job: &str, run: &Run, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let unsettled = must_be_unsettled(&mut tx, job).await?;
        if unsettled.resumed || matches!(unsettled.action, Action::Ban | Action::Unban) {
            told::adopt(&mut tx, &unsettled, run.id, reason, now).await?;
            tx.commit_and_wake().await?;
            return Ok(());
        }
        if let Some(other) = runs::owner(&mut tx, run.id).await? {
            return Err(StoreError::Conflict(format!("run {} belongs to job {other}", run.id)));
        }
        let from = &[JobState::Uncertain, JobState::Held];
        jobs::change(&mut tx, &jobs::Change { job, from, to: JobState::Running, reason, due_at: None }, now).await?;
        runs::insert(&mut tx, job, run, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The run of an uncertain create was found by its own metadata: whatever went by its id before is gone.
    pub async fn found(&self, job: &str, run: &Run, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        if must_be_unsettled(&mut tx, job).await?.resumed {
            return Err(StoreError::Conflict(format!("job {job} was said to a run and made none")));
        }
        let from = &[JobState::Uncertain];
        jobs::change(&mut tx, &jobs::Change { job, from, to: JobState::Running, reason, due_at: None }, now).await?;
        runs::insert(&mut tx, job, run, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The call of an uncertain or held job was not carried out, as somebody knows: it may be sent again.
    pub async fn absent(&self, job: &str, reason: &str) -> Result<()> {
        self.give_back(job, reason, self.inner.clock.now(), "0").await
    }

    /// The same, as far as the list of runs can prove it, which is counted: it may be sent again from then on.
    pub async fn absent_until(&self, job: &str, reason: &str, retry_at: Timestamp) -> Result<()> {
        self.give_back(job, reason, retry_at, "absences + 1").await
    }

    async fn give_back(&self, job: &str, reason: &str, retry_at: Timestamp, absences: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        must_be_unsettled(&mut tx, job).await?;
        let from = &[JobState::Uncertain, JobState::Held];
        let change = jobs::Change { job, from, to: JobState::Queued, reason, due_at: Some(retry_at) };
        uncount(&mut tx, job).await?;
        told::nobody(&mut tx, job, None).await?;
        query(format!("UPDATE jobs SET absences = {absences} WHERE id = $1")).bind(job).execute(&mut tx).await?;
        jobs::change(&mut tx, &change, now).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }
}

/// The answer to a call is for the job that waits for that very call, and for no other: it is being submitted, or others have
/// given the call up, after a process hung, and nobody has settled yet what became of it.
pub(super) async fn must_wait(tx: &mut Tx, job: &str, call: &CallId) -> Result<Job> {
    let found = jobs::get(tx, job).await?;
    let waits = match found.state {
        JobState::Submitting | JobState::Uncertain => true,
        JobState::Held => found.submitted_at.is_some() && found.run.is_none(),
        _ => false,
    };
    if waits && sent_by(tx, job).await? == call.0 {
        return Ok(found);
    }
    Err(StoreError::Conflict(format!("job {job} is {} and does not wait for this call", found.state)))
}

/// What a job says that runs from now on: what it said when it was sent, unless its call was given up since.
pub(super) fn note_of(sent: Job) -> String {
    if sent.state == JobState::Submitting { sent.reason } else { LATE.to_owned() }
}

/// The call by which a job was sent last.
async fn sent_by(conn: &mut Conn, job: &str) -> Result<String> {
    query("SELECT call FROM jobs WHERE id = $1").bind(job).fetch_one(conn).await?.try_get("call")
}

/// A run was made by a call that was proved to have made none. As long as the job was not sent again, the run is its own.
async fn take_late(tx: &mut Tx, job: &str, call: &CallId, run: &Run, now: Timestamp) -> Result<bool> {
    let found = jobs::get(tx, job).await?;
    if found.run.as_ref().is_some_and(|known| known.id == run.id) {
        return Ok(true);
    }
    if sent_by(tx, job).await? != call.0 || found.run.is_some() || found.state != JobState::Queued {
        return Ok(false);
    }
    for (from, to) in [(JobState::Queued, JobState::Submitting), (JobState::Submitting, JobState::Running)] {
        jobs::change(tx, &jobs::Change { job, from: &[from], to, reason: LATE, due_at: None }, now).await?;
    }
    // What was proved absent was given back.
    queue::count(tx, &found, call, now).await?;
    let (attempts, _) = snapshot::attempts(tx, &found).await?;
    query("UPDATE jobs SET submitted_at = COALESCE(submitted_at, $2), attempt = $3 WHERE id = $1")
        .bind(job)
        .bind(now.0)
        .bind(i64::from(attempts.unwrap_or_default().max(1)))
        .execute(tx)
        .await?;
    runs::insert(tx, job, run, now).await?;
    Ok(true)
}

/// The job did not wait for the answer, but the call has ended: it must not hold its slots for ever.
pub(super) async fn ended_for_nothing(tx: Tx, error: StoreError) -> Result<()> {
    tx.commit().await?;
    Err(error)
}

/// Only a job that was sent, and of which nobody knows whether a run was made, can be settled.
async fn must_be_unsettled(tx: &mut Tx, job: &str) -> Result<Job> {
    let found = jobs::get(tx, job).await?;
    if found.submitted_at.is_none() || found.run.is_some() {
        return Err(StoreError::Conflict(format!("job {job} has no call whose end is unknown")));
    }
    Ok(found)
}
