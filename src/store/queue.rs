//! The queue: which jobs may be due, and the one transaction that releases one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::bodies::{PLACE, Unpacked};
use super::calls::{self, CallId};
use super::db::{Query, Row, Tx, query};
use super::errors::{Result, StoreError};
use super::snapshot::{Common, GROUP};
use super::{Inner, Store, budgets, jobs, notices, rows};
use crate::model::clock::Timestamp;
use crate::model::event::Event;
use crate::model::gate::{GateAnswer, GateOutcome, Snapshot};
use crate::model::job::{Job, JobState};
use crate::model::limits::CallClass;
use crate::model::notice::NoticeKind;
use crate::model::policy::{Action, Policy};
use crate::telemetry::{self, Metric};

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
    /// The prompt, with its last line; empty for what has none.
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

/// How long a job waits to count as one class of priority more.
pub(super) const AGE: Duration = Duration::from_mins(30);

/// For how long it is remembered when a lane was served; by then it has waited as long as any.
pub(super) const TURNS: Duration = Duration::from_hours(24);

/// The heads of all lanes that have one: of each the job that is due first, of those whose context has no unfinished run
/// and whose subject is not paused. The lanes are walked by index, so that what waits behind a head costs nothing; where
/// nothing is due at all, none is walked.
const HEADS: &str = "WITH RECURSIVE walk (lane) AS ( \
     SELECT (SELECT MIN(queued_lane) FROM jobs WHERE queued_lane IS NOT NULL) \
     WHERE (SELECT MIN(queued_due) FROM jobs WHERE queued_due IS NOT NULL) <= $1 UNION ALL \
     SELECT (SELECT MIN(j.queued_lane) FROM jobs j WHERE j.queued_lane > walk.lane) FROM walk \
     WHERE walk.lane IS NOT NULL), \
     heads (place) AS (SELECT (SELECT j.{PLACE} FROM jobs j WHERE j.queued_lane = walk.lane AND j.queued_due <= $1 \
     AND (j.action IN ('tell', 'ban', 'unban') {LOOSE} OR NOT EXISTS (SELECT 1 FROM jobs a WHERE a.busy = j.context)) \
     AND (j.action IN ('ban', 'unban') OR NOT EXISTS (SELECT 1 FROM pauses p WHERE p.scope = 'subject' \
     AND p.name IN (j.subject, j.context) AND (p.until_at IS NULL OR p.until_at > $1))) \
     ORDER BY j.queued_due, j.id LIMIT 1) FROM walk WHERE walk.lane IS NOT NULL)";

/// Which heads are candidates, and in which order: not those of a paused lane; by priority, to which waiting adds up to
/// that of people and no further, so that they need not wait for the whole backlog of a bad day; then lanes in turns.
const FAIR: &str = "LEFT JOIN lanes l ON l.lane = j.lane WHERE j.{PLACE} IN (SELECT place FROM heads) \
     AND (j.action IN ('ban', 'unban') OR NOT EXISTS (SELECT 1 FROM pauses p WHERE (p.until_at IS NULL OR p.until_at > $1) \
     AND (p.scope = 'all' OR (p.scope = 'rule' AND p.name = j.rule) OR (p.scope = 'repo' AND p.name = j.repo) \
     OR (p.scope = 'source' AND p.name = j.source)))) \
     ORDER BY CASE WHEN ($1 - j.due_at) / $2 < j.priority THEN j.priority - ($1 - j.due_at) / $2 ELSE 0 END, COALESCE(l.served_at, 0), j.due_at, j.id LIMIT $3";

/// The statement for the candidates, where rows are found by their `place` and so many rules, bound from `$4` on, allow more
/// than one unfinished run on a context.
fn candidates(place: &str, loose: usize) -> String {
    let names: Vec<String> = (4..4 + loose).map(|at| format!("${at}")).collect();
    let more = if names.is_empty() { String::new() } else { format!("OR j.rule IN ({})", names.join(", ")) };
    format!("{HEADS} {} {FAIR}", rows::JOB).replace("{LOOSE}", &more).replace("{PLACE}", place)
}

/// Lets all jobs be asked again that a gate had set aside.
pub(super) async fn unpark(tx: &mut Tx) -> Result<()> {
    query("UPDATE jobs SET not_before = 0 WHERE not_before > 0").execute(tx).await?;
    Ok(())
}

impl Inner {
    /// Whether what is committed and due then is due before anybody looks.
    pub(super) fn is_news(&self, due: Timestamp) -> bool {
        due.0 < self.looks_at.load(Ordering::SeqCst)
    }
}

impl Store {
    /// Queued jobs that are due and not paused, at most one of a lane, in the fair order: by priority, of which a job
    /// gains a class for every half hour that it waits, up to that of people; then lanes in turns; then by time. `loose` names the rules that
    /// allow more than one unfinished run on a context: their jobs are candidates though one is under way.
    pub async fn candidates(&self, limit: u32, loose: &[String]) -> Result<Vec<Job>> {
        let mut conn = self.inner.db.read_warm().await?;
        let now = self.inner.clock.now();
        self.inner.looked_at.store(now.0, Ordering::Relaxed);
        self.inner.looks_at.store(i64::MAX, Ordering::SeqCst);
        let query = query(candidates(conn.place_of_rows(), loose.len())).bind(now.0).bind(AGE.as_millis() as i64);
        let query = loose.iter().fold(query.bind(i64::from(limit)), Query::bind);
        let found = query.fetch_all(&mut conn).await?;
        found.iter().map(rows::job).collect()
    }

    /// When something may be due that was not at the last [`Self::candidates`]: a queued job, the end of a pause, the
    /// end of the time to approve. What became due since then is not overlooked. Whoever asks looks again by then: jobs that
    /// are due later and arrive until then wake nobody.
    pub async fn next_due(&self) -> Result<Option<Timestamp>> {
        let mut conn = self.inner.db.read().await?;
        let row = query(
            "SELECT MIN(at) AS due FROM (SELECT MIN(queued_due) AS at FROM jobs WHERE queued_due > $1 UNION ALL \
             SELECT MIN(hold_until) FROM jobs WHERE hold_until > $1 UNION ALL \
             SELECT MIN(until_at) FROM pauses WHERE until_at > $1) AS times",
        )
        .bind(self.inner.looked_at.load(Ordering::Relaxed))
        .fetch_one(&mut conn)
        .await?;
        let due = row.try_get::<Option<i64>>("due")?;
        self.inner.looks_at.store(due.unwrap_or(i64::MAX), Ordering::SeqCst);
        Ok(due.map(Timestamp))
    }

    /// Sets a queued job aside until then, so that its lane goes on: a gate that looks at this job alone lets it wait.
    pub async fn park(&self, job: &str, until: Timestamp) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        query("UPDATE jobs SET not_before = $2 WHERE id = $1 AND state = 'queued'")
            .bind(job)
            .bind(until.0)
            .execute(&mut tx)
            .await?;
        tx.commit().await
    }

    /// Lets every job be asked again that a gate had set aside: the rules have changed.
    pub async fn unpark_all(&self) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        unpark(&mut tx).await?;
        tx.commit_and_wake().await?;
        Ok(())
    }

    /// The events of a job with their bodies, in the order in which they joined.
    pub async fn joined(&self, job: &str) -> Result<Vec<Joined>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!(
            "SELECT e.delivery, e.received_at, e.event, {PLACE} FROM job_events e LEFT JOIN deliveries d ON d.id = e.delivery \
             WHERE e.job = $1 ORDER BY e.seq"
        );
        let found = query(sql).bind(job).fetch_all(&mut conn).await?;
        // What arrived together stands in one pack, which is read once.
        let mut unpacked: Option<Unpacked> = None;
        let mut joined = Vec::with_capacity(found.len());
        for row in &found {
            let pack: Option<&str> = row.try_get("pack")?;
            if let Some(pack) = pack
                && unpacked.as_ref().is_none_or(|known| known.pack != pack)
            {
                unpacked = Unpacked::read(&mut conn, pack).await?;
            }
            let kept = unpacked.as_ref().filter(|known| pack == Some(&known.pack));
            let (headers, body) = kept.map(|known| known.of(row)).transpose()?.unzip();
            joined.push(Joined {
                delivery: row.try_get("delivery")?,
                event: rows::json("job_events", "event", row.try_get("event")?)?,
                body,
                headers: headers.unwrap_or_default(),
                received_at: Timestamp(row.try_get("received_at")?),
            });
        }
        Ok(joined)
    }

    /// The newest events of a job without their bodies, in the order in which they joined: each with its delivery, and when
    /// that arrived.
    pub async fn events_of(&self, job: &str, limit: u32) -> Result<Vec<(String, Timestamp, Event)>> {
        let mut conn = self.inner.db.read().await?;
        let found =
            query("SELECT delivery, received_at, event FROM job_events WHERE job = $1 ORDER BY seq DESC LIMIT $2");
        let mut found = found.bind(job).bind(i64::from(limit)).fetch_all(&mut conn).await?;
        found.reverse();
        let read = |row: &Row| {
            let event = rows::json("job_events", "event", row.try_get("event")?)?;
            Ok((row.try_get("delivery")?, Timestamp(row.try_get("received_at")?), event))
        };
        found.iter().map(read).collect()
    }

    /// Asks the gates about a job and does what they say, in one transaction: slots, attempt, prompt and `submitting`
    /// are committed together, or a wait leaves no trace.
    pub async fn release(
        &self,
        request: Release,
        ask: impl FnOnce(&Snapshot) -> GateAnswer + Send,
    ) -> Result<Released> {
        self.inner.replica.may_begin()?;
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let Some(job) = jobs::lock(&mut tx, &request.job).await? else { return Ok(Released::Changed) };
        if job.state != JobState::Queued || job.revision != request.revision {
            return Ok(Released::Changed);
        }
        let common = Common::read(&mut tx, &self.inner.limits, now).await?;
        let snapshot = common.snapshot(&mut tx, job, &request.policy, now).await?;
        let GateAnswer { outcome, records } = ask(&snapshot);
        let id = request.job.as_str();
        let last = records.last();
        let released = match outcome {
            GateOutcome::Wait(reason, until) => return Ok(Released::Waits { reason, until }),
            GateOutcome::Hold(reason) => {
                leave_queue(&mut tx, id, JobState::Held, &reason, now).await?;
                hold_until(&mut tx, id, last.and_then(|record| record.until)).await?;
                Released::Held
            }
            GateOutcome::Superseded(reason) => {
                leave_queue(&mut tx, id, JobState::Superseded, &reason, now).await?;
                Released::Superseded
            }
            GateOutcome::Dead(reason) => {
                leave_queue(&mut tx, id, JobState::Dead, &reason, now).await?;
                if last.is_some_and(|record| record.gate == "attempts") {
                    hand_off(&mut tx, &snapshot, &reason, now).await?;
                }
                Released::Dead
            }
            GateOutcome::Go => {
                // Whatever the gates say, no slot is taken that is not free.
                let (classes, starts) = (&request.classes, request.told.is_none());
                if let Some((until, reason)) = common.obstacles.of(classes, starts) {
                    return Ok(Released::Waits { reason, until });
                }
                let call = calls::begin_call(&mut tx, classes, id, &self.inner.replica.id, now).await?;
                if !common.obstacles.probed_by(&mut tx, &call, classes, starts).await? {
                    let reason = "another call probes the breaker".to_owned();
                    return Ok(Released::Waits { reason, until: None });
                }
                go(&mut tx, &request, &snapshot, &call, now).await?;
                Released::Go { job: Box::new(snapshot.job), call }
            }
        };
        query("UPDATE jobs SET gates = $2, rules_hash = $3 WHERE id = $1")
            .bind(id)
            .bind(rows::to_json(&records))
            .bind(&request.policy.rules_hash)
            .execute(&mut tx)
            .await?;
        let released = match released {
            Released::Go { call, .. } => Released::Go { job: Box::new(jobs::get(&mut tx, id).await?), call },
            other => other,
        };
        tx.commit().await?;
        Ok(released)
    }
}

/// What is committed together with `submitting`: the attempt, the budgets, the prompt, the turn of the lane.
async fn go(tx: &mut Tx, request: &Release, snapshot: &Snapshot, call: &CallId, now: Timestamp) -> Result<()> {
    let job = &snapshot.job;
    let so_far = snapshot.attempts.ok_or_else(|| StoreError::Conflict("attempts could not be counted".into()))?;
    let attempt = (so_far + count(tx, job, call, now).await?).max(1);
    if job.starts() {
        budgets::warn(tx, snapshot, &request.policy, now).await?;
    }
    keep_prompt(tx, &job.id, &request.prompt, &request.note).await?;
    // A ban says nothing to its run.
    let says = matches!(job.action, Action::Run | Action::Tell);
    leave_queue(tx, &job.id, JobState::Submitting, &request.note, now).await?;
    query(
        "UPDATE jobs SET submitted_at = $2, answered_at = NULL, tries = tries + 1, attempt = $3, \
         target = COALESCE($4, target), resumed = $5, heard_at = NULL, call = $6 WHERE id = $1",
    )
    .bind(&job.id)
    .bind(now.0)
    .bind(i64::from(attempt))
    .bind(request.told)
    .bind(i64::from(request.told.is_some() && says))
    .bind(&call.0)
    .execute(tx)
    .await?;
    // Later than every turn before it, even if the clock has not moved on.
    query(
        "INSERT INTO lanes (lane, served_at) SELECT lane, (SELECT COALESCE(MAX(served_at), 0) + 1 FROM lanes) FROM jobs \
         WHERE id = $1 ON CONFLICT (lane) DO UPDATE SET served_at = excluded.served_at",
    )
    .bind(&job.id)
    .execute(tx)
    .await?;
    query("UPDATE lanes SET served_at = $2 WHERE served_at < $2 AND lane = (SELECT lane FROM jobs WHERE id = $1)")
        .bind(&job.id)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

async fn hold_until(tx: &mut Tx, job: &str, until: Option<Timestamp>) -> Result<()> {
    let until = until.map(|at| at.0);
    query("UPDATE jobs SET hold_until = $2 WHERE id = $1").bind(job).bind(until).execute(tx).await?;
    Ok(())
}

/// Hands a subject to a person, once: what was tried, and why nothing more is.
async fn hand_off(tx: &mut Tx, snapshot: &Snapshot, reason: &str, now: Timestamp) -> Result<()> {
    let about = snapshot.job.subject.as_str();
    let details = notices::tried(tx, about).await?;
    let saying = notices::Saying { kind: NoticeKind::HandOff, about, job: &snapshot.job, text: reason, details };
    if notices::say(tx, &saying, now).await? {
        telemetry::count(Metric::HandOffs, &[]);
        tracing::warn!(subject = about, reason, "handed to a person");
    }
    Ok(())
}

async fn leave_queue(tx: &mut Tx, job: &str, to: JobState, reason: &str, now: Timestamp) -> Result<()> {
    jobs::change(tx, &jobs::Change { job, from: &[JobState::Queued], to, reason, due_at: None }, now).await?;
    Ok(())
}

/// Counts what is sent: in every budget, and its commit as acted upon, once however many jobs act on it. Answers by how much
/// that adds to the attempts.
pub(super) async fn count(tx: &mut Tx, job: &Job, call: &CallId, now: Timestamp) -> Result<u32> {
    if job.starts() {
        budgets::charge(tx, call, job, now).await?;
        query("UPDATE rule_counts SET sent = sent + 1 WHERE rule = $1").bind(&job.rule).execute(tx).await?;
    }
    let Some(sha) = job.sha.as_deref().filter(|_| job.failing && !job.subject.is_empty()) else { return Ok(0) };
    let inserted = query(
        "INSERT INTO attempts (grp, subject, sha, job, made_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (subject, sha, grp) DO UPDATE SET job = excluded.job, made_at = excluded.made_at, \
         cleared_by = NULL WHERE attempts.cleared_by IS NOT NULL",
    )
    .bind(GROUP)
    .bind(&job.subject)
    .bind(sha)
    .bind(&job.id)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(inserted as u32)
}

async fn keep_prompt(tx: &mut Tx, job: &str, prompt: &str, note: &str) -> Result<()> {
    if prompt.is_empty() {
        return Ok(());
    }
    query(
        "INSERT INTO prompts (job, prompt, note) VALUES ($1, $2, $3) \
         ON CONFLICT (job) DO UPDATE SET prompt = excluded.prompt, note = excluded.note",
    )
    .bind(job)
    .bind(prompt)
    .bind(note)
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::db::{self, query};

    /// With a million jobs in the queue every other way to the heads reads all of them.
    #[tokio::test]
    async fn heads_are_found_by_the_indexes_of_lanes_and_busy_subjects() {
        let (_folder, mut conn) = db::empty().await;
        let explain = format!("EXPLAIN QUERY PLAN {}", super::candidates(conn.place_of_rows(), 0));
        let rows = query(explain).bind(0_i64).bind(1_i64).bind(1_i64).fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
        let jobs = plan.iter().filter(|step| step.contains("INDEX jobs_")).collect::<Vec<_>>();
        assert_eq!(jobs.iter().filter(|step| step.contains("jobs_lanes")).count(), 3, "{plan:#?}");
        assert_eq!(jobs.iter().filter(|step| step.contains("jobs_busy (busy=?)")).count(), 1, "{plan:#?}");
        assert_eq!(jobs.iter().filter(|step| step.contains("jobs_due")).count(), 1, "{plan:#?}");
        assert_eq!(jobs.len(), 5, "{plan:#?}");
        let heads = plan.iter().filter(|step| step.contains("SEARCH j USING INTEGER PRIMARY KEY (rowid=?)")).count();
        assert_eq!((heads, plan.iter().any(|step| step.starts_with("SCAN j"))), (1, false), "{plan:#?}");
    }
}
