//! What a person, or the worker for want of one, does to a job: hold, cancel, retry.

use super::db::query;
use super::errors::{Result, StoreError};
use super::{Store, jobs, rows};
use crate::model::clock::Timestamp;
use crate::model::id::new_id;
use crate::model::job::{JobState, StaleOn};
use crate::model::policy::Priority;

impl Store {
    /// Holds a queued or uncertain job for a person. With a revision, only if it has not changed since.
    pub async fn hold(&self, job: &str, revision: Option<i64>, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        if let Some(revision) = revision
            && jobs::get(&mut tx, job).await?.revision != revision
        {
            return Err(StoreError::Conflict(format!("job {job} changed meanwhile")));
        }
        let from = &[JobState::Queued, JobState::Uncertain];
        let change = jobs::Change { job, from, to: JobState::Held, reason, due_at: None };
        jobs::change(&mut tx, &change, self.inner.clock.now()).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// Cancels a job that was not sent.
    pub async fn cancel(&self, job: &str, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let from = &[JobState::Queued, JobState::Held];
        let change = jobs::Change { job, from, to: JobState::Cancelled, reason, due_at: None };
        jobs::change(&mut tx, &change, self.inner.clock.now()).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// Repeats an ended job as a new one with its events; a held job goes back to the queue itself. Answers the id of
    /// the job that is queued now. What a person asks for is no attempt.
    pub async fn retry(&self, job: &str) -> Result<String> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let old = jobs::get(&mut tx, job).await?;
        let id = if old.state == JobState::Held {
            if old.submitted_at.is_some() && old.run.is_none() {
                return Err(StoreError::Conflict(format!(
                    "job {job} was sent and nobody knows whether a run was made: say adopt or absent"
                )));
            }
            let reason = "retried by a person";
            let change = jobs::Change { job, from: &[JobState::Held], to: JobState::Queued, reason, due_at: Some(now) };
            jobs::change(&mut tx, &change, now).await?;
            jobs::promote(&mut tx, &old).await?;
            job.to_owned()
        } else if old.state.is_ended() || old.state == JobState::Lost {
            // After its predecessor even if the clock has not moved on: ids tell which is newer.
            let id = new_id(now.max(Timestamp(old.created_at.0 + 1)));
            let new = jobs::NewJob {
                id: &id,
                rule: &old.rule,
                source: &old.source,
                key: &old.key,
                subject: &old.subject,
                context: &old.context,
                file: &old.file,
                person: old.person.as_deref(),
                priority: Priority::People,
                action: old.action,
                resumes: jobs::resumes(&mut tx, job).await?,
                target: old.target,
                follows: old.follows.as_deref(),
                message: old.message.as_deref(),
                stale_on: StaleOn::default(),
                repo: old.repo.as_deref(),
                sha: old.sha.as_deref(),
                // What a person asks for is no attempt.
                failing: false,
                created_at: now,
                due_at: now,
                settled_by: now,
                events: i64::from(old.events),
                retry_of: Some(job),
                reason: "retried by a person",
            };
            if jobs::open_of_key(&mut tx, &old.rule, &old.key).await? {
                return Err(StoreError::Conflict("a job of the same rule and key waits already".into()));
            }
            jobs::insert(&mut tx, &[new], now).await?;
            jobs::copy_events(&mut tx, job, &id, 0).await?;
            id
        } else {
            return Err(StoreError::Conflict(format!("job {job} is {} and has not ended", old.state)));
        };
        tx.commit_and_wake().await?;
        Ok(id)
    }

    /// A person agrees to a job that a gate held for that: it is queued, before all that nobody waits for.
    pub async fn approve(&self, job: &str, by: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let held = jobs::get(&mut tx, job).await?;
        if !held.waits_for_approval() {
            return Err(StoreError::Conflict(format!("job {job} is {} and does not wait for approval", held.state)));
        }
        if held.hold_until.is_some_and(|until| until <= now) {
            return Err(StoreError::Conflict(format!("the time to approve job {job} is over; retry it instead")));
        }
        let reason = format!("approved by {by}");
        let from = &[JobState::Held];
        let change = jobs::Change { job, from, to: JobState::Queued, reason: &reason, due_at: Some(now) };
        jobs::change(&mut tx, &change, now).await?;
        jobs::promote(&mut tx, &held).await?;
        query("UPDATE jobs SET approved = 1 WHERE id = $1").bind(job).execute(&mut tx).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// Cancels the jobs that nobody agreed to in time; how many.
    pub async fn expire_approvals(&self) -> Result<u64> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let sql = format!("{} WHERE j.hold_until <= $1 AND j.state = 'held' ORDER BY j.hold_until", rows::JOB);
        let found = query(sql).bind(now.0).fetch_all(&mut tx).await?;
        for row in &found {
            let job = rows::job(row)?;
            let wait = job.gates.last().and_then(|gate| gate.inputs.get("wait")?.as_str());
            let reason =
                format!("approval: nobody agreed {}", wait.map_or("in time".to_owned(), |it| format!("within {it}")));
            let from = &[JobState::Held];
            let change = jobs::Change { job: &job.id, from, to: JobState::Cancelled, reason: &reason, due_at: None };
            jobs::change(&mut tx, &change, now).await?;
        }
        if found.is_empty() {
            tx.commit().await?;
        } else {
            tx.commit_and_wake().await?;
        }
        Ok(found.len() as u64)
    }
}
