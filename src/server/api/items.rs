//! The shapes in which deliveries, jobs and runs are told to others: stable ids, times as RFC 3339 text.

use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::model::clock::Timestamp;
use crate::model::decision::{GateRecord, Verdict};
use crate::model::delivery::DeliveryRecord;
use crate::model::job::Job;
use crate::model::outcome::Outcome;
use crate::model::run::{Run, RunChange, RunRecord};
use crate::server::standing::Standing;

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct List<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    pub next: Option<String>,
}

/// A verified request of a source.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct DeliveryItem {
    /// Our id.
    pub id: String,
    /// The source that sent it.
    pub source: String,
    /// Label of the secret that it was signed with.
    pub secret_label: String,
    /// The sender's own id of it.
    #[schema(required)]
    pub sender_id: Option<String>,
    /// The delivery that it repeats, if it is a replay.
    #[schema(required)]
    pub replay_of: Option<String>,
    /// Size of its body.
    pub body_bytes: u64,
    /// When it arrived.
    #[schema(format = DateTime)]
    pub received_at: String,
    /// The host's name for what happened, e.g. `github:check_run.completed`.
    pub native: String,
    /// Our name for it, e.g. `ci.failed`; null when we have none.
    #[schema(required)]
    pub kind: Option<String>,
    /// What it is about.
    #[schema(required)]
    pub subject: Option<String>,
    /// The repository or project.
    #[schema(required)]
    pub repo: Option<String>,
    /// `accepted`, `duplicate`, `ping`, `unmatched` or `not_understood`.
    pub outcome: &'static str,
    /// Why.
    pub reason: String,
    /// What each rule said to it.
    pub verdicts: Vec<VerdictItem>,
}

impl From<DeliveryRecord> for DeliveryItem {
    fn from(record: DeliveryRecord) -> Self {
        Self {
            id: record.id,
            source: record.source,
            secret_label: record.secret_label,
            sender_id: record.sender_id,
            replay_of: record.replay_of,
            body_bytes: record.body_bytes,
            received_at: record.received_at.to_rfc3339(),
            native: record.native,
            kind: record.kind,
            subject: record.subject,
            repo: record.repo,
            outcome: record.outcome.as_str(),
            reason: record.reason,
            verdicts: record.verdicts.into_iter().map(VerdictItem::from).collect(),
        }
    }
}

/// A verified request of a source, looked at by itself.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct DeliveryDetail {
    /// What lists tell of it too.
    #[serde(flatten)]
    pub delivery: DeliveryItem,
    /// Hex SHA-256 of its body; null when that is not kept any more, or cannot be read.
    #[schema(required)]
    pub body_sha256: Option<String>,
}

/// What a rule said to a delivery.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct VerdictItem {
    /// The rule.
    pub rule: String,
    /// `queued`, `joined`, `duplicate`, `late`, `shadow`, `denied`, `no_match` or `failed`.
    pub decision: &'static str,
    /// Why.
    pub reason: String,
    /// The values that the decision rests on.
    pub inputs: Map<String, Value>,
    /// Hash of the rules that it was made under.
    pub rules_hash: String,
    /// The job that was made or joined.
    #[schema(required)]
    pub job: Option<String>,
}

impl From<Verdict> for VerdictItem {
    fn from(verdict: Verdict) -> Self {
        Self {
            rule: verdict.rule,
            decision: verdict.decision.as_str(),
            reason: verdict.reason,
            inputs: verdict.inputs,
            rules_hash: verdict.rules_hash,
            job: verdict.job,
        }
    }
}

/// One request to the agent service that a rule or a person asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct JobItem {
    /// Our id.
    pub id: String,
    /// The rule it belongs to.
    pub rule: String,
    /// The source whose delivery made it.
    pub source: String,
    /// What it is about.
    pub subject: String,
    /// The subject, or the ticket that it belongs to: one context has one agent.
    pub context: String,
    /// Who asked for it, with the kind of the source in front; null when nobody in particular did.
    #[schema(required)]
    pub person: Option<String>,
    /// `people`, `urgent`, `normal` or `background`.
    pub priority: &'static str,
    /// What is asked of the service: `run`, `setup_commands`, `ban`, `unban` or `tell`.
    pub action: &'static str,
    /// The key under which events of its rule join it.
    pub key: String,
    /// The repository or project.
    #[schema(required)]
    pub repo: Option<String>,
    /// The commit that it acts upon.
    #[schema(required)]
    pub sha: Option<String>,
    /// `queued`, `held`, `submitting`, `uncertain`, `running`, `lost`, `succeeded`, `failed`, `stopped`, `superseded`,
    /// `cancelled` or `dead`.
    pub state: &'static str,
    /// Why it stands there; of a waiting job what the gates say now.
    pub reason: String,
    /// Until when it waits, if that is known.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
    /// What the gates answer now: `go`, `wait`, `hold`, `superseded` or `dead`; null unless it is queued.
    #[schema(required)]
    pub answer: Option<&'static str>,
    /// Its place in the line, from 1; null when it is not queued, or held up by a pause or by a run on its context.
    #[schema(required)]
    pub position: Option<usize>,
    /// When it is expected to be sent, as far as that can be told.
    #[schema(required, format = DateTime)]
    pub expected_at: Option<String>,
    /// Until when a person may agree; then the answer is no.
    #[schema(required, format = DateTime)]
    pub hold_until: Option<String>,
    /// Whether it waits for somebody to approve it.
    pub approvable: bool,
    /// Whether a person has agreed.
    pub approved: bool,
    /// When it was made.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// From when it may be sent.
    #[schema(format = DateTime)]
    pub due_at: String,
    /// When it was sent.
    #[schema(required, format = DateTime)]
    pub submitted_at: Option<String>,
    /// When it ended.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
    /// Which attempt on its subject it is, from 1; 0 until it is sent.
    pub attempt: u32,
    /// How many events it answers.
    pub events: u32,
    /// The ended job that it repeats.
    #[schema(required)]
    pub retry_of: Option<String>,
    /// Hash of the rules that released it; empty before.
    pub rules_hash: String,
    /// What the gates said.
    pub gates: Vec<GateItem>,
    /// Its run, once there is one.
    #[schema(required)]
    pub run: Option<RunRef>,
    /// What CI says after its run has ended: `fixed`, `still red` or `no change`; null as long as that is not known.
    #[schema(required)]
    pub outcome: Option<&'static str>,
}

impl From<Job> for JobItem {
    fn from(job: Job) -> Self {
        Standing::from(job).into()
    }
}

impl From<Standing> for JobItem {
    fn from(Standing { job, answer, approvable, position, expected_at }: Standing) -> Self {
        Self {
            id: job.id,
            rule: job.rule,
            source: job.source,
            subject: job.subject,
            context: job.context,
            person: job.person,
            priority: job.priority.as_str(),
            action: job.action.as_str(),
            key: job.key,
            repo: job.repo,
            sha: job.sha,
            state: job.state.as_str(),
            reason: job.reason,
            until: text(job.until),
            answer,
            position,
            expected_at: text(expected_at),
            hold_until: text(job.hold_until),
            approvable,
            approved: job.approved,
            created_at: job.created_at.to_rfc3339(),
            due_at: job.due_at.to_rfc3339(),
            submitted_at: text(job.submitted_at),
            ended_at: text(job.ended_at),
            attempt: job.attempt,
            events: job.events,
            retry_of: job.retry_of,
            rules_hash: job.rules_hash,
            gates: job.gates.into_iter().map(GateItem::from).collect(),
            run: job.run.map(|run| RunRef { id: run.id, status: run.status, url: run.url.and_then(web) }),
            outcome: job.outcome.map(Outcome::as_str),
        }
    }
}

/// What one gate said to a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct GateItem {
    /// The gate.
    pub gate: String,
    /// `pass`, `wait`, `hold` or `stop`.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// Until when it waits, if that is known.
    #[schema(required, format = DateTime)]
    pub until: Option<String>,
    /// The values that it rests on.
    pub inputs: Map<String, Value>,
}

impl From<GateRecord> for GateItem {
    fn from(record: GateRecord) -> Self {
        Self {
            gate: record.gate,
            decision: record.decision,
            reason: record.reason,
            until: text(record.until),
            inputs: record.inputs,
        }
    }
}

/// The run of a job.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RunRef {
    /// Its id at the service.
    pub id: i64,
    /// The service's word for where it stands.
    #[schema(required)]
    pub status: Option<String>,
    /// Where a person can look at it.
    #[schema(required)]
    pub url: Option<String>,
}

/// A job with its prompt and the deliveries that it answers.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct JobDetail {
    /// The job.
    #[serde(flatten)]
    pub job: JobItem,
    /// What was said to the agent; null until it is sent. Holds text from outside.
    #[schema(required)]
    pub prompt: Option<String>,
    /// Ids of the newest deliveries whose events it answers, a hundred at most; `events` counts all.
    pub deliveries: Vec<String>,
}

/// An agent run of ours.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RunItem {
    /// Its id at the service.
    pub id: i64,
    /// The service's word for where it stands.
    #[schema(required)]
    pub status: Option<String>,
    /// What that word means: `alive`, `succeeded`, `failed` or `stopped`.
    pub phase: &'static str,
    /// Where a person can look at it.
    #[schema(required)]
    pub url: Option<String>,
    /// The job that made it.
    pub job: String,
    /// The rule of that job.
    pub rule: String,
    /// What the job is about.
    pub subject: String,
    /// What it says about its result.
    #[schema(required)]
    pub result: Option<String>,
    /// Its summary.
    #[schema(required)]
    pub summary: Option<String>,
    /// The changes that it opened.
    pub pull_requests: Vec<ChangeItem>,
    /// When we first knew of it.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// When we last heard of it.
    #[schema(format = DateTime)]
    pub seen_at: String,
    /// When it ended.
    #[schema(required, format = DateTime)]
    pub ended_at: Option<String>,
}

impl From<RunRecord> for RunItem {
    fn from(record: RunRecord) -> Self {
        let Run { id, status, url, result, summary, pull_requests } = record.run;
        Self {
            id,
            status,
            phase: record.phase.as_str(),
            url: url.and_then(web),
            job: record.job,
            rule: record.rule,
            subject: record.subject,
            result,
            summary,
            pull_requests: pull_requests.into_iter().map(ChangeItem::from).collect(),
            created_at: record.created_at.to_rfc3339(),
            seen_at: record.seen_at.to_rfc3339(),
            ended_at: text(record.ended_at),
        }
    }
}

/// A change that a run opened.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct ChangeItem {
    /// Where it can be looked at.
    #[schema(required)]
    pub url: Option<String>,
    /// Its title.
    #[schema(required)]
    pub title: Option<String>,
    /// Its branch.
    #[schema(required)]
    pub branch: Option<String>,
}

impl From<RunChange> for ChangeItem {
    fn from(change: RunChange) -> Self {
        Self { url: change.url.and_then(web), title: change.title, branch: change.branch }
    }
}

/// The address if a browser may be sent there: `javascript:` and the like are dropped.
pub(in crate::server) fn web(url: String) -> Option<String> {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme)?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(url)
}

pub(super) fn text(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::to_rfc3339)
}
