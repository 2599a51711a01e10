//! The gates before a job is sent: pure functions of (job, snapshot), asked in one fixed order.

use serde_json::{Map, Value, json};

use crate::model::clock::Timestamp;
use crate::model::decision::GateRecord;
use crate::model::gate::{GateAnswer, GateOutcome, Snapshot};
use crate::model::job::Job;
use crate::model::limits::CallClass;
use crate::model::policy::{Action, Policy};

/// The windows that a job's call is charged to.
pub fn classes(job: &Job) -> &'static [CallClass] {
    match job.action {
        Action::Run | Action::Tell => &[CallClass::Create, CallClass::Standard],
        Action::SetupCommands => &[CallClass::SetupCommands],
        Action::Ban | Action::Unban => &[CallClass::Standard],
    }
}

/// What one gate says.
enum Said {
    Pass(String),
    Wait(String, Option<Timestamp>),
    Stop(String),
}

/// Asks every gate in order (breaker, settle and backoff, attempts, concurrency, window) until one does not let the job
/// pass; the last record names it.
pub fn ask(snapshot: &Snapshot, policy: &Policy) -> GateAnswer {
    type Gate = fn(&Snapshot, &Policy) -> (Said, Map<String, Value>);
    const ORDER: [(&str, Gate); 5] = [
        ("breaker", breaker),
        ("settle", settle),
        ("attempts", attempts),
        ("concurrency", concurrency),
        ("window", window),
    ];
    let mut records = Vec::with_capacity(ORDER.len());
    for (gate, question) in ORDER {
        let (said, inputs) = question(snapshot, policy);
        let mut record = |decision: &str, reason: &str, until| {
            records.push(GateRecord {
                gate: gate.to_owned(),
                decision: decision.to_owned(),
                reason: reason.to_owned(),
                until,
                inputs: inputs.clone(),
            });
        };
        match said {
            Said::Pass(reason) => record("pass", &reason, None),
            Said::Wait(reason, until) => {
                record("wait", &reason, until);
                return GateAnswer { outcome: GateOutcome::Wait(reason, until), records };
            }
            Said::Stop(reason) => {
                record("stop", &reason, None);
                return GateAnswer { outcome: GateOutcome::Dead(reason), records };
            }
        }
    }
    GateAnswer { outcome: GateOutcome::Go, records }
}

/// No class that the call needs may be frozen.
fn breaker(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
    let freeze = snapshot
        .freezes
        .iter()
        .filter(|freeze| freeze.until > snapshot.now && classes(&snapshot.job).contains(&freeze.class))
        .max_by_key(|freeze| freeze.until);
    match freeze {
        None => (Said::Pass("no class is frozen".to_owned()), Map::new()),
        Some(freeze) => (
            Said::Wait(format!("{} calls are frozen: {}", freeze.class, freeze.reason), Some(freeze.until)),
            inputs(json!({ "class": freeze.class, "until": freeze.until })),
        ),
    }
}

/// The quiet time must be over, and so must the delay after a refused call.
fn settle(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let inputs = inputs(json!({ "due_at": job.due_at, "tries": job.tries, "events": job.events }));
    if job.due_at <= snapshot.now {
        return (Said::Pass("due".to_owned()), inputs);
    }
    let reason = if job.tries == 0 { "settling: more events may join" } else { "waiting before the next try" };
    (Said::Wait(reason.to_owned(), Some(job.due_at)), inputs)
}

/// At most so many distinct commits of one subject are acted upon; nothing is sent while the count cannot be read.
fn attempts(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let cap = policy.attempts;
    let inputs = inputs(json!({ "attempts": snapshot.attempts, "cap": cap, "counted": snapshot.sha_counted }));
    let Some(count) = snapshot.attempts else {
        return (Said::Wait("the count of attempts cannot be read".to_owned(), None), inputs);
    };
    let said = if snapshot.job.sha.is_none() || !snapshot.job.failing {
        Said::Pass("acts upon no failing commit".to_owned())
    } else if snapshot.sha_counted {
        Said::Pass("this commit is counted already".to_owned())
    } else if count < cap {
        Said::Pass(format!("attempt {} of {cap}", count + 1))
    } else {
        Said::Stop(format!(
            "attempts: {count} commits of {} were acted upon and the cap is {cap}; a person takes over",
            snapshot.job.subject
        ))
    };
    (said, inputs)
}

/// One unfinished run per subject.
fn concurrency(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
    let active = snapshot.active.on_subject;
    let inputs = inputs(json!({ "active_on_subject": active, "cap": 1 }));
    if active == 0 || snapshot.job.subject.is_empty() {
        return (Said::Pass("no unfinished run on the subject".to_owned()), inputs);
    }
    (Said::Wait(format!("another run on {} is not finished", snapshot.job.subject), None), inputs)
}

/// Every class of the call must have a free slot.
fn window(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
    let mut used = Map::new();
    let mut full: Option<(String, Option<Timestamp>)> = None;
    for class in classes(&snapshot.job) {
        let Some(window) = snapshot.windows.iter().find(|window| window.class == *class) else {
            return (Said::Wait(format!("the window of {class} calls cannot be read"), None), used);
        };
        used.insert(class.to_string(), json!({ "used": window.used, "limit": window.limit }));
        if window.free() == 0 {
            let reason = format!("all {} slots of {class} calls are used", window.limit);
            // Of two full windows the one that frees last decides; a call under way has no known end.
            let later = full
                .as_ref()
                .is_none_or(|(_, until)| until.is_some() && window.next_free.is_none_or(|at| Some(at) > *until));
            if later {
                full = Some((reason, window.next_free));
            }
        }
    }
    match full {
        None => (Said::Pass("a slot is free".to_owned()), used),
        Some((reason, until)) => (Said::Wait(reason, until), used),
    }
}

fn inputs(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
