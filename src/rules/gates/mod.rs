//! The gates before a job is sent: pure functions of (job, snapshot, policy), asked in one fixed order.
//!
//! ```text
//! stale ─> pause ─> breaker ─> settle ─> hours ─> approval ─> attempts ─> concurrency ─> budget ─> window ─> then
//!  is it still wanted, may it be sent now     who agrees, how often      how much at once, how much in a time    how
//! ```

mod leave;
mod room;
mod wanted;
mod way;

use serde_json::{Map, Value};

use crate::model::clock::Timestamp;
use crate::model::decision::GateRecord;
use crate::model::gate::{GateAnswer, GateOutcome, Snapshot};
use crate::model::job::Job;
use crate::model::limits::CallClass;
use crate::model::policy::{Action, Policy};

pub use way::{Way, way};

/// The windows that a job's call is charged to.
pub fn classes(job: &Job) -> &'static [CallClass] {
    match job.action {
        Action::Run | Action::Tell => CallClass::Create.charged(),
        Action::SetupCommands => CallClass::SetupCommands.charged(),
        Action::Ban | Action::Unban => CallClass::Standard.charged(),
    }
}

/// What one gate says. Whoever waits or is held may know until when.
enum Said {
    Pass(String),
    Wait(String, Option<Timestamp>),
    Hold(String, Option<Timestamp>),
    Supersede(String),
    Stop(String),
}

type Gate = fn(&Snapshot, &Policy) -> (Said, Map<String, Value>);

const ORDER: [(&str, Gate); 11] = [
    ("stale", wanted::stale),
    ("pause", wanted::pause),
    ("breaker", wanted::breaker),
    ("settle", wanted::settle),
    ("hours", leave::hours),
    ("approval", leave::approval),
    ("attempts", leave::attempts),
    ("concurrency", room::concurrency),
    ("budget", room::budget),
    ("window", room::window),
    ("then", way::then),
];

/// Asks every gate in order until one does not let the job pass; the last record names it. Whatever a gate cannot read
/// makes the job wait: nothing is sent on a guess.
pub fn ask(snapshot: &Snapshot, policy: &Policy) -> GateAnswer {
    let mut records = Vec::with_capacity(ORDER.len());
    for (gate, question) in ORDER.into_iter().filter(|(gate, _)| concerns(gate, &snapshot.job)) {
        let (said, inputs) = question(snapshot, policy);
        let (decision, reason, until, outcome) = match said {
            Said::Pass(reason) => ("pass", reason, None, None),
            Said::Wait(reason, until) => ("wait", reason.clone(), until, Some(GateOutcome::Wait(reason, until))),
            Said::Hold(reason, until) => ("hold", reason.clone(), until, Some(GateOutcome::Hold(reason))),
            Said::Supersede(reason) => ("stop", reason.clone(), None, Some(GateOutcome::Superseded(reason))),
            Said::Stop(reason) => ("stop", reason.clone(), None, Some(GateOutcome::Dead(reason))),
        };
        records.push(GateRecord { gate: gate.to_owned(), decision: decision.to_owned(), reason, until, inputs });
        if let Some(outcome) = outcome {
            return GateAnswer { outcome, records };
        }
    }
    GateAnswer { outcome: GateOutcome::Go, records }
}

/// Whether a gate is asked about a job. An act on a run that is there waits for nobody: the sooner the better, and
/// nothing is started. Only to stop one is allowed in a pause.
fn concerns(gate: &str, job: &Job) -> bool {
    match gate {
        "stale" | "breaker" | "window" | "then" => true,
        "pause" => !job.is_act() || job.action == Action::Tell,
        "attempts" | "concurrency" | "budget" => job.starts(),
        _ => !job.is_act(),
    }
}

/// Whether the gate that lets the job wait looks at this job alone, not at its whole lane: others of the lane may go on.
pub fn waits_alone(answer: &GateAnswer) -> bool {
    let Some(last) = answer.records.last() else { return false };
    let scope = || last.inputs.get("scope").and_then(Value::as_str);
    match last.gate.as_str() {
        "settle" | "then" => true,
        "concurrency" | "budget" => matches!(scope(), Some("subject" | "person")),
        _ => false,
    }
}

fn inputs(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
