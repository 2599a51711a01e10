//! Stored rows as words: every column is read in one place, and a wrong one is an error that names it.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::db::Row;
use super::errors::{Result, StoreError};
use crate::model::clock::Timestamp;
use crate::model::decision::Verdict;
use crate::model::delivery::{DeliveryOutcome, DeliveryRecord};
use crate::model::job::{Job, JobState, StaleOn};
use crate::model::policy::{Action, Priority};
use crate::model::run::{Run, RunRecord};

/// The columns of a job with its newest run, for [`job`].
pub(super) const JOB: &str = "SELECT j.id, j.rule, j.source, j.key, j.subject, j.context, j.file, \
    j.person, j.priority, j.action, j.target, j.follows, j.message, j.resumed, j.approved, j.hold_until, j.stale_on, j.rules_hash, j.repo, j.sha, j.failing, j.state, j.reason, \
    j.created_at, j.due_at, j.settled_by, j.updated_at, j.submitted_at, j.ended_at, j.tries, j.attempt, j.events, j.revision, \
    j.retry_of, j.gates, r.id AS run_id, r.status AS run_status, r.url AS run_url, r.result AS run_result, \
    r.summary AS run_summary, r.pull_requests AS run_pull_requests \
    FROM jobs j LEFT JOIN runs r ON r.id = j.run";

/// The columns of a run with its job, for [`run_record`].
pub(super) const RUN: &str = "SELECT r.id AS run_id, r.status AS run_status, r.url AS run_url, r.result AS run_result, \
    r.summary AS run_summary, r.pull_requests AS run_pull_requests, r.job, r.phase, r.created_at, r.seen_at, \
    r.ended_at, j.rule, j.subject FROM runs r JOIN jobs j ON j.id = r.job";

/// Text that is JSON.
pub(super) fn json<T: DeserializeOwned>(table: &'static str, column: &'static str, text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| corrupt(table, column, error))
}

/// JSON of plain data, which can always be written.
pub(super) fn to_json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(super) fn corrupt(table: &'static str, column: &'static str, detail: impl std::fmt::Display) -> StoreError {
    StoreError::Corrupt { table, column, detail: format!("{detail}") }
}

fn time(row: &Row, column: &str) -> Result<Option<Timestamp>> {
    Ok(row.try_get::<Option<i64>>(column)?.map(Timestamp))
}

fn known_time(row: &Row, column: &str) -> Result<Timestamp> {
    Ok(Timestamp(row.try_get(column)?))
}

fn count(row: &Row, column: &str) -> Result<u32> {
    Ok(row.try_get::<i64>(column)?.max(0) as u32)
}

pub(super) fn state(text: &str) -> Result<JobState> {
    text.parse().map_err(|detail: String| corrupt("jobs", "state", detail))
}

fn priority(rank: i64) -> Result<Priority> {
    let known = usize::try_from(rank).ok().and_then(|rank| Priority::ALL.get(rank).copied());
    known.ok_or_else(|| corrupt("jobs", "priority", rank))
}

fn action(text: &str) -> Result<Action> {
    let known = Action::ALL.into_iter().find(|action| action.as_str() == text);
    known.ok_or_else(|| corrupt("jobs", "action", text))
}

/// What makes a job stale, as a row holds it.
pub(super) fn stale_words(on: StaleOn) -> String {
    let words = [(on.head, "head"), (on.closed, "closed"), (on.green, "green")];
    words.into_iter().filter_map(|(on, word)| on.then_some(word)).collect::<Vec<_>>().join(" ")
}

fn stale_on(words: &str) -> StaleOn {
    let has = |wanted| words.split(' ').any(|word| word == wanted);
    StaleOn { head: has("head"), closed: has("closed"), green: has("green") }
}

pub(super) fn job(row: &Row) -> Result<Job> {
    let run = if row.try_get::<Option<i64>>("run_id")?.is_some() { Some(run(row)?) } else { None };
    Ok(Job {
        id: row.try_get("id")?,
        rule: row.try_get("rule")?,
        source: row.try_get("source")?,
        key: row.try_get("key")?,
        subject: row.try_get("subject")?,
        context: row.try_get("context")?,
        file: row.try_get("file")?,
        person: row.try_get("person")?,
        priority: priority(row.try_get("priority")?)?,
        action: action(row.try_get("action")?)?,
        target: row.try_get("target")?,
        follows: row.try_get("follows")?,
        message: row.try_get("message")?,
        resumed: row.try_get::<i64>("resumed")? == 1,
        approved: row.try_get::<i64>("approved")? == 1,
        hold_until: time(row, "hold_until")?,
        stale_on: stale_on(row.try_get("stale_on")?),
        rules_hash: row.try_get("rules_hash")?,
        repo: row.try_get("repo")?,
        sha: row.try_get("sha")?,
        failing: row.try_get::<i64>("failing")? == 1,
        state: state(row.try_get("state")?)?,
        reason: row.try_get("reason")?,
        until: None,
        created_at: known_time(row, "created_at")?,
        due_at: known_time(row, "due_at")?,
        settled_by: known_time(row, "settled_by")?,
        updated_at: known_time(row, "updated_at")?,
        submitted_at: time(row, "submitted_at")?,
        ended_at: time(row, "ended_at")?,
        tries: count(row, "tries")?,
        attempt: count(row, "attempt")?,
        events: count(row, "events")?,
        revision: row.try_get("revision")?,
        retry_of: row.try_get("retry_of")?,
        gates: json("jobs", "gates", row.try_get("gates")?)?,
        run,
        outcome: None,
    })
}

pub(super) fn run(row: &Row) -> Result<Run> {
    Ok(Run {
        id: row.try_get("run_id")?,
        status: row.try_get("run_status")?,
        url: row.try_get("run_url")?,
        result: row.try_get("run_result")?,
        summary: row.try_get("run_summary")?,
        pull_requests: json("runs", "pull_requests", row.try_get("run_pull_requests")?)?,
    })
}

pub(super) fn run_record(row: &Row) -> Result<RunRecord> {
    Ok(RunRecord {
        run: run(row)?,
        job: row.try_get("job")?,
        rule: row.try_get("rule")?,
        subject: row.try_get("subject")?,
        phase: row.try_get::<&str>("phase")?.parse().map_err(|detail: String| corrupt("runs", "phase", detail))?,
        created_at: known_time(row, "created_at")?,
        seen_at: known_time(row, "seen_at")?,
        ended_at: time(row, "ended_at")?,
    })
}

pub(super) fn delivery(row: &Row) -> Result<DeliveryRecord> {
    let outcome: &str = row.try_get("outcome")?;
    let outcome = DeliveryOutcome::ALL
        .into_iter()
        .find(|known| known.as_str() == outcome)
        .ok_or_else(|| corrupt("deliveries", "outcome", outcome))?;
    let verdicts: Vec<Verdict> = json("deliveries", "verdicts", row.try_get("verdicts")?)?;
    Ok(DeliveryRecord {
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        secret_label: row.try_get("secret_label")?,
        sender_id: row.try_get("sender_id")?,
        replay_of: row.try_get("replay_of")?,
        body_bytes: row.try_get::<i64>("body_bytes")?.max(0) as u64,
        received_at: known_time(row, "received_at")?,
        native: row.try_get("native")?,
        kind: row.try_get("kind")?,
        subject: row.try_get("subject")?,
        repo: row.try_get("repo")?,
        outcome,
        reason: row.try_get("reason")?,
        verdicts,
    })
}
