//! Runs: which are followed, what was seen of them, and what that means for their jobs and subjects.

use sqlx::Row;

use super::errors::{Result, StoreError};
use super::sqlite::{Conn, Tx, begin};
use super::{Store, jobs, rows, subjects};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;
use crate::model::run::{Run, RunPhase, phase_of};
use crate::model::subject::{Facts, SubjectUpdate};

/// A run that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Its job.
    pub job: String,
    /// Its id at the service.
    pub run_id: i64,
    /// The state of the job: running or lost.
    pub state: JobState,
    /// Its status when it was last seen.
    pub status: Option<String>,
    /// When the call that made it began.
    pub submitted_at: Timestamp,
    /// When it was last seen.
    pub seen_at: Timestamp,
}

/// What an observation changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunChange {
    /// The job.
    pub job: String,
    /// The state that it was in.
    pub from: JobState,
    /// The state that it is in now.
    pub to: JobState,
}

/// Keeps a new run beside its job and marks its subject.
pub(super) async fn insert(tx: &mut Tx<'_>, job: &str, run: &Run, now: Timestamp) -> Result<()> {
    // A service that was set up anew counts from the start: what went by this id before is gone.
    if let Some(before) = owner(tx, run.id).await?.filter(|before| before != job) {
        let from = &[JobState::Running];
        let reason = "the service gave the id of its run to another";
        let lost = jobs::Change { job: &before, from, to: JobState::Lost, reason, due_at: None };
        match jobs::change(tx, &lost, now).await {
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    let (phase, _) = phase_of(run.status.as_deref());
    sqlx::query(
        "INSERT INTO runs (id, job, status, phase, url, result, summary, pull_requests, created_at, seen_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9) ON CONFLICT (id) DO UPDATE SET job = excluded.job, \
         status = excluded.status, phase = excluded.phase, url = excluded.url, result = excluded.result, \
         summary = excluded.summary, pull_requests = excluded.pull_requests, created_at = excluded.created_at, \
         seen_at = excluded.seen_at, ended_at = NULL",
    )
    .bind(run.id)
    .bind(job)
    .bind(&run.status)
    .bind(phase.as_str())
    .bind(&run.url)
    .bind(&run.result)
    .bind(&run.summary)
    .bind(rows::to_json(&run.pull_requests))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE jobs SET run = $2 WHERE id = $1").bind(job).bind(run.id).execute(&mut **tx).await?;
    // What waits to be said to the run of this job knows now which it is.
    sqlx::query("UPDATE jobs SET target = $2 WHERE follows = $1 AND target IS NULL")
        .bind(job)
        .bind(run.id)
        .execute(&mut **tx)
        .await?;
    let subject = subject_of(tx, job).await?;
    teach(tx, &subject, Facts { last_run: Some(run.id), ..Facts::default() }, now).await
}

/// The job that a run belongs to, as far as we know.
pub(super) async fn owner(conn: &mut Conn, run: i64) -> Result<Option<String>> {
    let row = sqlx::query("SELECT job FROM runs WHERE id = $1").bind(run).fetch_optional(conn).await?;
    row.map(|row| Ok(row.try_get("job")?)).transpose()
}

async fn subject_of(conn: &mut Conn, job: &str) -> Result<String> {
    let row = sqlx::query("SELECT subject FROM jobs WHERE id = $1").bind(job).fetch_one(conn).await?;
    Ok(row.try_get("subject")?)
}

/// Adds facts to a subject that is stored already, or to a branch of the same repository as one that is.
async fn teach(tx: &mut Tx<'_>, subject: &str, facts: Facts, now: Timestamp) -> Result<()> {
    let Some((host, repo)) = place_of(subject) else { return Ok(()) };
    let (key, host, repo) = (subject.to_owned(), host.to_owned(), repo.to_owned());
    let update = SubjectUpdate { key, host, repo, facts, ..SubjectUpdate::default() };
    subjects::absorb(tx, &[&update], now).await?;
    Ok(())
}

/// Host and repository of a code subject, host and project of a ticket.
fn place_of(subject: &str) -> Option<(&str, &str)> {
    let (host, rest) = subject.split_once('/')?;
    // A branch may contain any of these characters, a repository none.
    let repo = match rest.split_once(['@', '#']) {
        Some((repo, _)) => repo,
        None => rest.rsplit_once('-')?.0,
    };
    Some((host, repo))
}

/// Host and repository of `https://github.com/acme/widgets/pull/7` or
/// `https://gitlab.com/acme/pay/api/-/merge_requests/7`.
fn place_of_change(url: &str) -> Option<(&str, &str)> {
    let (host, path) = url.split_once("://")?.1.split_once('/')?;
    let end = path.find("/-/merge_requests/").or_else(|| path.find("/pull/"))?;
    Some((host, &path[..end]))
}

impl Store {
    /// The runs of running jobs, and of jobs that were lost since a moment; by run, newest first.
    pub async fn followed(&self, lost_since: Timestamp) -> Result<Vec<Followed>> {
        let mut conn = self.inner.readers.acquire().await?;
        let found = sqlx::query(
            "SELECT r.job, r.id, j.state, r.status, r.created_at, j.submitted_at, r.seen_at FROM jobs j \
             JOIN runs r ON r.job = j.id WHERE j.state = 'running' OR (j.state = 'lost' AND j.ended_at >= $1) \
             ORDER BY r.id DESC",
        )
        .bind(lost_since.0)
        .fetch_all(&mut *conn)
        .await?;
        found
            .iter()
            .map(|row| {
                let created_at: i64 = row.try_get("created_at")?;
                Ok(Followed {
                    job: row.try_get("job")?,
                    run_id: row.try_get("id")?,
                    state: rows::state(row.try_get("state")?)?,
                    status: row.try_get("status")?,
                    submitted_at: Timestamp(row.try_get::<Option<i64>, _>("submitted_at")?.unwrap_or(created_at)),
                    seen_at: Timestamp(row.try_get("seen_at")?),
                })
            })
            .collect()
    }

    /// Writes down what was seen of runs; those that are not ours are passed over. A branch that a run names as its own
    /// marks that subject as our agent's.
    pub async fn observe(&self, seen: &[Run]) -> Result<Vec<RunChange>> {
        let mut writer = self.inner.writer.lock().await;
        let mut tx = begin(&mut writer).await?;
        let now = self.inner.clock.now();
        let mut changes = Vec::new();
        for run in seen {
            if let Some(change) = observe_one(&mut tx, run, now).await? {
                changes.push(change);
            }
        }
        tx.commit().await?;
        drop(writer);
        if !changes.is_empty() {
            self.wake();
        }
        Ok(changes)
    }

    /// A running job's run did not end in time, or is gone: nobody waits for it any more.
    pub async fn give_up(&self, job: &str, reason: &str) -> Result<()> {
        let mut writer = self.inner.writer.lock().await;
        let mut tx = begin(&mut writer).await?;
        let change = jobs::Change { job, from: &[JobState::Running], to: JobState::Lost, reason, due_at: None };
        jobs::change(&mut tx, &change, self.inner.clock.now()).await?;
        tx.commit().await?;
        drop(writer);
        self.wake();
        Ok(())
    }
}

async fn observe_one(tx: &mut Tx<'_>, run: &Run, now: Timestamp) -> Result<Option<RunChange>> {
    let row = sqlx::query(
        "SELECT r.job, r.pull_requests, j.state, j.subject, j.context FROM runs r JOIN jobs j ON j.id = r.job WHERE r.id = $1",
    )
    .bind(run.id)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let (job, subject): (String, String) = (row.try_get("job")?, row.try_get("subject")?);
    let from = rows::state(row.try_get("state")?)?;
    let (phase, _) = phase_of(run.status.as_deref());
    let ended_at = (phase != RunPhase::Alive).then_some(now.0);
    let pull_requests = rows::to_json(&run.pull_requests);
    sqlx::query(
        "UPDATE runs SET status = $2, phase = $3, url = COALESCE($4, url), result = $5, summary = $6, \
         pull_requests = $7, seen_at = $8, \
         ended_at = CASE WHEN $9 IS NULL THEN NULL ELSE COALESCE(ended_at, $9) END WHERE id = $1",
    )
    .bind(run.id)
    .bind(&run.status)
    .bind(phase.as_str())
    .bind(&run.url)
    .bind(&run.result)
    .bind(&run.summary)
    .bind(&pull_requests)
    .bind(now.0)
    .bind(ended_at)
    .execute(&mut **tx)
    .await?;
    if row.try_get::<&str, _>("pull_requests")? != pull_requests {
        for change in &run.pull_requests {
            let place = change.url.as_deref().and_then(place_of_change).or_else(|| place_of(&subject));
            if let (Some((host, repo)), Some(branch)) = (place, &change.branch) {
                let key = format!("{host}/{repo}@{branch}");
                // What a run pushes belongs to whatever it was started for.
                let part_of = Some(row.try_get::<String, _>("context")?).filter(|context| *context != key);
                let facts = Facts { ours: Some(true), last_run: Some(run.id), part_of, ..Facts::default() };
                teach(tx, &key, facts, now).await?;
            }
        }
    }
    let (to, reason) = match phase {
        RunPhase::Succeeded => (JobState::Succeeded, "the run completed"),
        RunPhase::Failed => (JobState::Failed, "the run failed"),
        RunPhase::Stopped => (JobState::Stopped, "the run was stopped"),
        RunPhase::Alive => (JobState::Running, ""),
    };
    if !from.may_become(to) {
        return Ok(None);
    }
    jobs::change(tx, &jobs::Change { job: &job, from: &[from], to, reason, due_at: None }, now).await?;
    Ok(Some(RunChange { job, from, to }))
}
