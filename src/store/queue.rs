//! The queue: which jobs may be due, and the one transaction that releases one.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use sqlx::Row;

use super::calls::{self, CallId};
use super::errors::{Result, StoreError};
use super::sqlite::{Conn, Tx, begin};
use super::{Store, jobs, rows};
use crate::model::clock::Timestamp;
use crate::model::event::Event;
use crate::model::gate::{Active, Freeze, GateAnswer, GateOutcome, Snapshot, WindowUse};
use crate::model::job::{Job, JobState};
use crate::model::limits::CallClass;
use crate::model::policy::Policy;

/// An event that joined a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The delivery that said it.
    pub delivery: String,
    /// The event.
    pub event: Event,
    /// The body, as long as it is kept.
    pub body: Option<Bytes>,
    /// The headers that are needed to understand the body again.
    pub headers: Vec<(String, String)>,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// A job that is ready to be asked about.
#[derive(Clone, Debug)]
pub struct Release {
    /// The job.
    pub job: String,
    /// Its revision when its prompt was rendered.
    pub revision: i64,
    /// The prompt, with its last line.
    pub prompt: String,
    /// What the decision says beside the gates, e.g. that the repository is not known to Codegen.
    pub note: String,
    /// The run that it is said to, or that it ends; `None` when it starts one.
    pub told: Option<i64>,
    /// The windows that the call is charged to.
    pub classes: Vec<CallClass>,
    /// What the rule says about its jobs, under the rules that rendered the prompt.
    pub policy: Policy,
}

/// What became of a release.
#[derive(Clone, Debug, PartialEq)]
pub enum Released {
    /// It is `submitting` now, and the call has begun.
    Go {
        /// The job.
        job: Box<Job>,
        /// The call, which must be ended by one of the answers.
        call: CallId,
    },
    /// It waits; nothing was written.
    Waits {
        /// Why.
        reason: String,
        /// Until when, if that is known.
        until: Option<Timestamp>,
    },
    /// A person is needed.
    Held,
    /// Something newer made it pointless.
    Superseded,
    /// It can never be sent.
    Dead,
    /// It changed since it was rendered: look again.
    Changed,
}

/// The group in which attempts are counted: all rules together.
const GROUP: &str = "";

/// The heads of all lanes that have one: of each rule and repository the job that is due first and whose subject has no
/// unfinished run. The lanes are walked by index, so that what waits behind a head costs nothing.
const HEADS: &str = "WITH RECURSIVE lanes (lane) AS ( \
     SELECT MIN(queued_lane) FROM jobs WHERE queued_lane IS NOT NULL UNION ALL \
     SELECT (SELECT MIN(j.queued_lane) FROM jobs j WHERE j.queued_lane > lanes.lane) FROM lanes \
     WHERE lanes.lane IS NOT NULL), \
     heads (id) AS (SELECT (SELECT j.id FROM jobs j WHERE j.queued_lane = lanes.lane AND j.queued_due <= $1 \
     AND NOT EXISTS (SELECT 1 FROM jobs a WHERE a.busy = j.context) ORDER BY j.queued_due, j.id LIMIT 1) \
     FROM lanes WHERE lanes.lane IS NOT NULL)";

impl Store {
    /// Queued jobs that are due: at most one of a lane, oldest due first.
    pub async fn candidates(&self, limit: u32) -> Result<Vec<Job>> {
        let mut conn = self.inner.readers.acquire().await?;
        let now = self.inner.clock.now();
        self.inner.looked_at.store(now.0, Ordering::Relaxed);
        let sql =
            format!("{HEADS} {} WHERE j.id IN (SELECT id FROM heads) ORDER BY j.due_at, j.id LIMIT $2", rows::JOB);
        let found =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(now.0).bind(i64::from(limit)).fetch_all(&mut *conn).await?;
        found.iter().map(rows::job).collect()
    }

    /// When the next queued job becomes due that was not due yet at the last [`Self::candidates`]: one that became due
    /// since then is not overlooked.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut conn = self.inner.readers.acquire().await?;
        let row = sqlx::query("SELECT MIN(queued_due) AS due FROM jobs WHERE queued_due > $1")
            .bind(self.inner.looked_at.load(Ordering::Relaxed))
            .fetch_one(&mut *conn)
            .await?;
        Ok(row.try_get::<Option<i64>, _>("due")?.map(Timestamp))
    }

    /// The events of a job, in the order in which they joined.
    pub async fn joined(&self, job: &str) -> Result<Vec<Joined>> {
        let mut conn = self.inner.readers.acquire().await?;
        let found = sqlx::query(
            "SELECT e.delivery, e.received_at, e.event, b.headers, b.body FROM job_events e \
             LEFT JOIN bodies b ON b.delivery = e.delivery WHERE e.job = $1 ORDER BY e.seq",
        )
        .bind(job)
        .fetch_all(&mut *conn)
        .await?;
        found
            .iter()
            .map(|row| {
                let headers: Option<&str> = row.try_get("headers")?;
                Ok(Joined {
                    delivery: row.try_get("delivery")?,
                    event: rows::json("job_events", "event", row.try_get("event")?)?,
                    body: row.try_get::<Option<Vec<u8>>, _>("body")?.map(|body| unpack(&body)).transpose()?,
                    headers: headers.map_or(Ok(Vec::new()), |text| rows::json("bodies", "headers", text))?,
                    received_at: Timestamp(row.try_get("received_at")?),
                })
            })
            .collect()
    }

    /// Asks the gates about a job and does what they say, in one transaction: slots, attempt, prompt and `submitting`
    /// are committed together, or a wait leaves no trace.
    pub async fn release(
        &self,
        request: Release,
        ask: impl FnOnce(&Snapshot) -> GateAnswer + Send,
    ) -> Result<Released> {
        let mut writer = self.inner.writer.lock().await;
        let mut tx = begin(&mut writer).await?;
        let now = self.inner.clock.now();
        let job = jobs::get(&mut tx, &request.job).await?;
        if job.state != JobState::Queued || job.revision != request.revision {
            return Ok(Released::Changed);
        }
        let common = Common::read(&mut tx, &self.inner.limits, now).await?;
        let snapshot = common.snapshot(&mut tx, job, &request.policy, now).await?;
        let GateAnswer { outcome, records } = ask(&snapshot);
        let id = request.job.as_str();
        let released = match outcome {
            GateOutcome::Wait(reason, until) => return Ok(Released::Waits { reason, until }),
            GateOutcome::Hold(reason) => {
                leave_queue(&mut tx, id, JobState::Held, &reason, now).await?;
                Released::Held
            }
            GateOutcome::Superseded(reason) => {
                leave_queue(&mut tx, id, JobState::Superseded, &reason, now).await?;
                Released::Superseded
            }
            GateOutcome::Dead(reason) => {
                leave_queue(&mut tx, id, JobState::Dead, &reason, now).await?;
                Released::Dead
            }
            GateOutcome::Go => {
                // Whatever the gates say, no slot is taken that is not free.
                if let Some((until, reason)) = calls::obstacle(&request.classes, &common.freezes, &common.windows) {
                    return Ok(Released::Waits { reason, until });
                }
                let call = calls::begin_call(&mut tx, &request.classes, id, now).await?;
                let attempt = count_attempt(&mut tx, &snapshot, now).await?;
                keep_prompt(&mut tx, id, &request.prompt, &request.note).await?;
                leave_queue(&mut tx, id, JobState::Submitting, &request.note, now).await?;
                sqlx::query(
                    "UPDATE jobs SET submitted_at = $2, answered_at = NULL, tries = tries + 1, attempt = $3, \
                     target = COALESCE($4, target), resumed = $5 WHERE id = $1",
                )
                .bind(id)
                .bind(now.0)
                .bind(i64::from(attempt))
                .bind(request.told)
                .bind(i64::from(request.told.is_some()))
                .execute(&mut *tx)
                .await?;
                Released::Go { job: Box::new(snapshot.job), call }
            }
        };
        sqlx::query("UPDATE jobs SET gates = $2 WHERE id = $1")
            .bind(id)
            .bind(rows::to_json(&records))
            .execute(&mut *tx)
            .await?;
        let released = match released {
            Released::Go { call, .. } => Released::Go { job: Box::new(jobs::get(&mut tx, id).await?), call },
            other => other,
        };
        tx.commit().await?;
        Ok(released)
    }

    /// What the gates would look at for these jobs now; for showing why each waits.
    pub async fn snapshots(&self, waiting: Vec<(Job, Policy)>) -> Result<Vec<Snapshot>> {
        let mut conn = self.inner.readers.acquire().await?;
        let now = self.inner.clock.now();
        let common = Common::read(&mut conn, &self.inner.limits, now).await?;
        let mut snapshots = Vec::with_capacity(waiting.len());
        for (job, policy) in waiting {
            snapshots.push(common.snapshot(&mut conn, job, &policy, now).await?);
        }
        Ok(snapshots)
    }
}

/// What all snapshots of a moment share.
#[derive(Debug)]
struct Common {
    freezes: Vec<Freeze>,
    windows: Vec<WindowUse>,
}

impl Common {
    async fn read(conn: &mut Conn, limits: &crate::model::limits::ClassLimits, now: Timestamp) -> Result<Self> {
        let freezes = calls::freezes_at(conn, now).await?;
        let windows = calls::window_uses(conn, limits, now).await?;
        Ok(Self { freezes, windows })
    }

    async fn snapshot(&self, conn: &mut Conn, job: Job, _policy: &Policy, now: Timestamp) -> Result<Snapshot> {
        let row = sqlx::query(
            "SELECT (SELECT COUNT(*) FROM jobs WHERE busy = $5 AND id <> $2) AS active, \
             (SELECT COUNT(*) FROM attempts WHERE grp = $3 AND subject = $1 AND cleared_by IS NULL) AS attempts, \
             (SELECT COUNT(*) FROM attempts WHERE grp = $3 AND subject = $1 AND sha = $4 AND cleared_by IS NULL) \
             AS counted",
        )
        .bind(&job.subject)
        .bind(&job.id)
        .bind(GROUP)
        .bind(job.sha.as_deref().unwrap_or_default())
        .bind(&job.context)
        .fetch_one(conn)
        .await?;
        let active: i64 = row.try_get("active")?;
        Ok(Snapshot {
            now,
            facts: None,
            green: false,
            pauses: Vec::new(),
            active: Active { on_subject: active as u32, ..Active::default() },
            checks: None,
            budgets: Vec::new(),
            sent_by_rule: 0,
            newest_run: None,
            attempts: Some(row.try_get::<i64, _>("attempts")? as u32),
            sha_counted: row.try_get::<i64, _>("counted")? > 0,
            freezes: self.freezes.clone(),
            windows: self.windows.clone(),
            job,
        })
    }
}

async fn leave_queue(tx: &mut Tx<'_>, job: &str, to: JobState, reason: &str, now: Timestamp) -> Result<()> {
    jobs::change(tx, &jobs::Change { job, from: &[JobState::Queued], to, reason, due_at: None }, now).await?;
    Ok(())
}

/// Counts the commit as acted upon, once however many jobs act on it; answers which attempt this is.
async fn count_attempt(tx: &mut Tx<'_>, snapshot: &Snapshot, now: Timestamp) -> Result<u32> {
    let so_far = snapshot.attempts.ok_or_else(|| StoreError::Conflict("attempts could not be counted".into()))?;
    let Some(sha) = snapshot.job.sha.as_deref().filter(|_| snapshot.job.failing && !snapshot.job.subject.is_empty())
    else {
        return Ok(so_far.max(1));
    };
    let inserted = sqlx::query(
        "INSERT INTO attempts (grp, subject, sha, job, made_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (subject, sha, grp) DO UPDATE SET job = excluded.job, made_at = excluded.made_at, \
         cleared_by = NULL WHERE attempts.cleared_by IS NOT NULL",
    )
    .bind(GROUP)
    .bind(&snapshot.job.subject)
    .bind(sha)
    .bind(&snapshot.job.id)
    .bind(now.0)
    .execute(&mut **tx)
    .await?
    .rows_affected();
    Ok(so_far + inserted as u32)
}

async fn keep_prompt(tx: &mut Tx<'_>, job: &str, prompt: &str, note: &str) -> Result<()> {
    sqlx::query(
        "INSERT INTO prompts (job, prompt, note) VALUES ($1, $2, $3) \
         ON CONFLICT (job) DO UPDATE SET prompt = excluded.prompt, note = excluded.note",
    )
    .bind(job)
    .bind(prompt)
    .bind(note)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// A stored body as it arrived.
pub(super) fn unpack(packed: &[u8]) -> Result<Bytes> {
    lz4_flex::block::decompress_size_prepended(packed).map(Bytes::from).map_err(|error| StoreError::Corrupt {
        table: "bodies",
        column: "body",
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Row};

    /// With a million jobs in the queue every other way to the heads reads all of them.
    #[tokio::test]
    async fn heads_are_found_by_the_indexes_of_lanes_and_busy_subjects() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("hookrun.db").display());
        let mut opened = super::super::sqlite::open(&url).await.unwrap();
        let explain = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {} SELECT id FROM heads", super::HEADS));
        let rows = sqlx::query(explain).bind(0).fetch_all(&mut opened.writer).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let jobs = plan.iter().filter(|step| step.contains("INDEX jobs_")).collect::<Vec<_>>();
        assert_eq!(jobs.iter().filter(|step| step.contains("jobs_lanes")).count(), 3, "{plan:#?}");
        assert_eq!(jobs.iter().filter(|step| step.contains("jobs_busy (busy=?)")).count(), 1, "{plan:#?}");
        assert_eq!(jobs.len(), 4, "{plan:#?}");
    }
}
