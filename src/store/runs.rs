//! Runs: which are followed, what was seen of them, and what that means for their jobs and subjects.

use super::db::{Conn, Row, Tx, query};
use super::errors::{Result, StoreError};
use super::{Store, jobs, rows, subjects};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;
use crate::model::name::KEY;
use crate::model::run::{Run, RunPhase, phase_of};
use crate::model::subject::{Facts, SubjectUpdate};

/// A job that follows a run. Several may follow the same one: the one that made it, and those that told it something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// The job.
    pub job: String,
    /// The id of its run at the service.
    pub run_id: i64,
    /// The state of the job: running or lost.
    pub state: JobState,
    /// Its status when it was last seen.
    pub status: Option<String>,
    /// When the job's call began.
    pub submitted_at: Timestamp,
    /// When we first knew of the run: shortly after it was made.
    pub made_at: Timestamp,
    /// Whether the run was told something, and nothing shows yet that it heard it: an end that it shows is an old one.
    pub unheard: bool,
    /// When it was last seen.
    pub seen_at: Timestamp,
}

/// What a look at runs is worth to their jobs.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// When the service was asked: an answer that was under way when a run was told something may show the run as it was
    /// before.
    pub asked_at: Timestamp,
    /// Jobs that were sent before this moment and given up stay so until their run ends; else they would be given up anew
    /// at every look, and never for good.
    pub given_up_before: Timestamp,
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

/// Keeps a new run beside the job that made it and marks its subject.
pub(super) async fn insert(tx: &mut Tx, job: &str, run: &Run, now: Timestamp) -> Result<()> {
    forget_namesake(tx, job, run.id, now).await?;
    query(
        "INSERT INTO runs (id, job, phase, pull_requests, created_at, seen_at) VALUES ($1, $2, $3, '[]', $4, $4) \
         ON CONFLICT (id) DO UPDATE SET job = excluded.job, url = NULL, pull_requests = '[]', \
         created_at = excluded.created_at, ended_at = NULL",
    )
    .bind(run.id)
    .bind(job)
    .bind(RunPhase::Alive.as_str())
    .bind(now.0)
    .execute(tx)
    .await?;
    see(tx, job, run, now).await?;
    query("UPDATE jobs SET resumed = 0 WHERE id = $1").bind(job).execute(tx).await?;
    join(tx, job, run.id).await
}

/// From now on the job follows this run.
pub(super) async fn join(tx: &mut Tx, job: &str, run: i64) -> Result<()> {
    for join in [
        "UPDATE jobs SET run = $2 WHERE id = $1",
        // What waits to be said to the run of this job knows now which it is.
        "UPDATE jobs SET target = $2 WHERE follows = $1 AND target IS NULL",
    ] {
        query(join).bind(job).bind(run).execute(tx).await?;
    }
    let of = jobs::get(tx, job).await?;
    jobs::part_lanes(tx, &of.context).await
}

/// A service that was set up anew counts from the start: what went by this id before is gone.
async fn forget_namesake(tx: &mut Tx, job: &str, run: i64, now: Timestamp) -> Result<()> {
    let others =
        query("SELECT id, context FROM jobs WHERE run = $1 AND id <> $2").bind(run).bind(job).fetch_all(tx).await?;
    for other in &others {
        let before: String = other.try_get("id")?;
        let from = &[JobState::Running];
        let reason = "the service gave the id of its run to another";
        let lost = jobs::Change { job: &before, from, to: JobState::Lost, reason, due_at: None };
        match jobs::change(tx, &lost, now).await {
            Ok(_) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    query("UPDATE jobs SET run = NULL WHERE run = $1 AND id <> $2").bind(run).bind(job).execute(tx).await?;
    for other in &others {
        jobs::part_lanes(tx, other.try_get("context")?).await?;
    }
    Ok(())
}

/// Writes down what a job's call was answered about a run, and marks the job's subject. A run that was forgotten is kept
/// beside the job from now on.
pub(super) async fn see(tx: &mut Tx, job: &str, run: &Run, now: Timestamp) -> Result<()> {
    keep(tx, job, run.id, now).await?;
    note(tx, run, now).await?;
    let subject = subject_of(tx, job).await?;
    teach(tx, &subject, Facts { last_run: Some(run.id), ..Facts::default() }, now).await
}

/// Keeps a run beside a job that follows it, unless it is kept already. What is not kept is never seen to end.
pub(super) async fn keep(tx: &mut Tx, job: &str, run: i64, now: Timestamp) -> Result<()> {
    query(
        "INSERT INTO runs (id, job, phase, pull_requests, created_at, seen_at) VALUES ($1, $2, $3, '[]', $4, $4) \
         ON CONFLICT (id) DO NOTHING",
    )
    .bind(run)
    .bind(job)
    .bind(RunPhase::Alive.as_str())
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes down how a run that is stored looks now.
async fn note(tx: &mut Tx, run: &Run, now: Timestamp) -> Result<()> {
    let (phase, _) = phase_of(run.status.as_deref());
    query(
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
    .bind(rows::to_json(&run.pull_requests))
    .bind(now.0)
    .bind((phase != RunPhase::Alive).then_some(now.0))
    .execute(tx)
    .await?;
    Ok(())
}

/// The job that a run belongs to, as far as we know.
pub(super) async fn owner(conn: &mut Conn, run: i64) -> Result<Option<String>> {
    let row = query("SELECT job FROM runs WHERE id = $1").bind(run).fetch_optional(conn).await?;
    row.map(|row| row.try_get("job")).transpose()
}

async fn subject_of(conn: &mut Conn, job: &str) -> Result<String> {
    let row = query("SELECT subject FROM jobs WHERE id = $1").bind(job).fetch_one(conn).await?;
    row.try_get("subject")
}

/// Adds facts to a subject that is stored already, or to a branch of the same repository as one that is.
async fn teach(tx: &mut Tx, subject: &str, facts: Facts, now: Timestamp) -> Result<()> {
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
    /// Running jobs, and those that were lost since a moment, with their runs; by run, newest first. A run that was forgotten
    /// is followed all the same.
    pub async fn followed(&self, lost_since: Timestamp) -> Result<Vec<Followed>> {
        let mut conn = self.inner.db.read().await?;
        let found = query(
            "SELECT j.id AS job, j.run, j.state, r.status, COALESCE(r.created_at, j.updated_at) AS made_at, \
             j.submitted_at, COALESCE(r.seen_at, j.updated_at) AS seen_at, \
             CASE WHEN j.resumed = 1 AND j.heard_at IS NULL THEN 1 ELSE 0 END AS unheard FROM jobs j \
             LEFT JOIN runs r ON r.id = j.run WHERE j.state = 'running' OR (j.state = 'lost' AND j.ended_at >= $1) \
             ORDER BY j.run DESC",
        )
        .bind(lost_since.0)
        .fetch_all(&mut conn)
        .await?;
        let mut followed = Vec::with_capacity(found.len());
        for row in &found {
            let Some(run_id) = row.try_get::<Option<i64>>("run")? else { continue };
            let made_at: i64 = row.try_get("made_at")?;
            followed.push(Followed {
                job: row.try_get("job")?,
                run_id,
                state: rows::state(row.try_get("state")?)?,
                status: row.try_get("status")?,
                submitted_at: Timestamp(row.try_get::<Option<i64>>("submitted_at")?.unwrap_or(made_at)),
                made_at: Timestamp(made_at),
                unheard: row.try_get::<i64>("unheard")? == 1,
                seen_at: Timestamp(row.try_get("seen_at")?),
            });
        }
        Ok(followed)
    }

    /// The newest run that we made, and know to be there, of those from before a moment: a list of our runs that reaches
    /// back so far shows it.
    pub async fn newest_run_before(&self, moment: Timestamp) -> Result<Option<i64>> {
        let mut conn = self.inner.db.read().await?;
        let row = query(
            "SELECT r.id FROM runs r JOIN jobs j ON j.id = r.job WHERE r.created_at < $1 AND j.run = r.id \
             AND j.action = 'run' AND j.resumed = 0 AND j.state <> 'lost' ORDER BY r.id DESC LIMIT 1",
        )
        .bind(moment.0)
        .fetch_optional(&mut conn)
        .await?;
        row.map(|row| row.try_get("id")).transpose()
    }

    /// Writes down what was seen of runs; those that are not ours are passed over. A branch that a run names as its own
    /// marks that subject as our agent's.
    pub async fn observe(&self, seen: &[Run]) -> Result<Vec<RunChange>> {
        let look = Look { asked_at: self.inner.clock.now(), given_up_before: Timestamp::default() };
        self.observe_as_of(seen, look).await
    }

    /// The same for an answer that took its time, and for jobs that may have been given up.
    pub async fn observe_as_of(&self, seen: &[Run], look: Look) -> Result<Vec<RunChange>> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let mut changes = Vec::new();
        for run in seen {
            changes.extend(observe_one(&mut tx, run, look, now).await?);
        }
        if changes.is_empty() {
            tx.commit().await?;
        } else {
            tx.commit_and_wake().await?;
        }
        Ok(changes)
    }

    /// A running job's run did not end in time, or is gone: nobody waits for it any more.
    pub async fn give_up(&self, job: &str, reason: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let change = jobs::Change { job, from: &[JobState::Running], to: JobState::Lost, reason, due_at: None };
        jobs::change(&mut tx, &change, self.inner.clock.now()).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }
}

async fn kept(conn: &mut Conn, run: i64) -> Result<Option<Row>> {
    query("SELECT r.pull_requests, j.subject, j.context FROM runs r JOIN jobs j ON j.id = r.job WHERE r.id = $1")
        .bind(run)
        .fetch_optional(conn)
        .await
}

/// The newest job that follows a run.
async fn follower(conn: &mut Conn, run: i64) -> Result<Option<String>> {
    let newest = query("SELECT MAX(id) AS job FROM jobs WHERE run = $1 AND state IN ('running', 'lost')");
    newest.bind(run).fetch_one(conn).await?.try_get("job")
}

async fn observe_one(tx: &mut Tx, run: &Run, look: Look, now: Timestamp) -> Result<Vec<RunChange>> {
    let mut changes = Vec::new();
    let mut row = kept(tx, run.id).await?;
    if row.is_none()
        && let Some(job) = follower(tx, run.id).await?
    {
        // It was forgotten, though somebody waits for its end.
        keep(tx, &job, run.id, now).await?;
        row = kept(tx, run.id).await?;
    }
    let Some(row) = row else { return Ok(changes) };
    note(tx, run, now).await?;
    if row.try_get::<&str>("pull_requests")? != rows::to_json(&run.pull_requests) {
        let subject: &str = row.try_get("subject")?;
        for change in &run.pull_requests {
            let place = change.url.as_deref().and_then(place_of_change).or_else(|| place_of(subject));
            if let (Some((host, repo)), Some(branch)) = (place, &change.branch) {
                let key = format!("{host}/{repo}@{branch}");
                if key.len() > KEY {
                    // No host has it, and an index does not take names of any size.
                    continue;
                }
                // What a run pushes belongs to whatever it was started for.
                let part_of = Some(row.try_get::<String>("context")?).filter(|context| *context != key);
                let facts = Facts { ours: Some(true), last_run: Some(run.id), part_of, ..Facts::default() };
                teach(tx, &key, facts, now).await?;
            }
        }
    }
    let following = query(
        "SELECT id, state, resumed, submitted_at, answered_at, heard_at FROM jobs WHERE run = $1 AND state IN ('running', 'lost') \
         ORDER BY id",
    )
    .bind(run.id)
    .fetch_all(tx)
    .await?;
    for row in following {
        let waiting = Waiting {
            job: row.try_get("id")?,
            from: rows::state(row.try_get("state")?)?,
            resumed: row.try_get::<i64>("resumed")? == 1,
            submitted_at: row.try_get::<Option<i64>>("submitted_at")?.map(Timestamp),
            answered_at: row.try_get::<Option<i64>>("answered_at")?.map(Timestamp),
            heard_at: row.try_get::<Option<i64>>("heard_at")?.map(Timestamp),
        };
        changes.extend(waiting.learn(tx, phase_of(run.status.as_deref()).0, look, now).await?);
    }
    Ok(changes)
}

/// A job that follows a run which was looked at.
struct Waiting {
    job: String,
    from: JobState,
    resumed: bool,
    submitted_at: Option<Timestamp>,
    answered_at: Option<Timestamp>,
    heard_at: Option<Timestamp>,
}

impl Waiting {
    async fn learn(self, tx: &mut Tx, phase: RunPhase, look: Look, now: Timestamp) -> Result<Option<RunChange>> {
        if self.resumed && !self.is_news(phase, look) {
            return Ok(None);
        }
        let (to, reason) = match phase {
            RunPhase::Succeeded => (JobState::Succeeded, "the run completed"),
            RunPhase::Failed => (JobState::Failed, "the run failed"),
            RunPhase::Stopped => (JobState::Stopped, "the run was stopped"),
            RunPhase::Alive => (JobState::Running, ""),
        };
        let Self { job, from, .. } = self;
        if to == JobState::Running {
            query("UPDATE jobs SET heard_at = COALESCE(heard_at, $2) WHERE id = $1 AND resumed = 1")
                .bind(&job)
                .bind(now.0)
                .execute(tx)
                .await?;
        }
        let given_up = from == JobState::Lost && self.submitted_at.is_some_and(|at| at <= look.given_up_before);
        if !from.may_become(to) || (given_up && to == JobState::Running) {
            return Ok(None);
        }
        jobs::change(tx, &jobs::Change { job: &job, from: &[from], to, reason, due_at: None }, now).await?;
        Ok(Some(RunChange { job, from, to }))
    }

    /// Whether what is seen of a run that was told something came after that: a life after the answer, or an end after
    /// the message was heard.
    fn is_news(&self, phase: RunPhase, look: Look) -> bool {
        match phase {
            RunPhase::Alive => self.answered_at.is_none_or(|answered| answered <= look.asked_at),
            _ => self.heard_at.is_some_and(|heard| heard <= look.asked_at),
        }
    }
}
