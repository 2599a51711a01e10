//! What was found, in words: the steps in time order, and the short answer.

use super::{Line, Looked, Step};
use crate::model::clock::Timestamp;
use crate::model::decision::{Ruling, Verdict};
use crate::model::delivery::DeliveryRecord;
use crate::model::job::{Job, JobState};
use crate::model::pause::{Pause, Paused};
use crate::server::api::items::web;
use crate::store::Found;

/// Everything that happened, oldest first.
pub(super) fn steps(found: &Found) -> Vec<Step> {
    let mut steps: Vec<Step> = found.deliveries.iter().map(delivery).collect();
    steps.extend(found.jobs.iter().flat_map(job));
    steps.sort_by_key(|step| step.at_ms);
    steps
}

fn delivery(delivery: &DeliveryRecord) -> Step {
    let what = delivery.kind.as_deref().unwrap_or(&delivery.native);
    let about = delivery.subject.as_deref().or(delivery.repo.as_deref()).unwrap_or("nothing in particular");
    let text = format!("{what} by the source {}, about {about}: {}", delivery.source, delivery.reason);
    let mut step = Step::new(delivery.received_at, "delivery", delivery.outcome.as_str(), text);
    step.lines = delivery.verdicts.iter().map(verdict).collect();
    step.delivery = Some(delivery.id.clone());
    step
}

fn verdict(verdict: &Verdict) -> Line {
    Line {
        who: verdict.rule.clone(),
        word: verdict.decision.as_str().to_owned(),
        why: match inputs(verdict) {
            inputs if inputs.is_empty() => verdict.reason.clone(),
            inputs => format!("{} ({inputs})", verdict.reason),
        },
    }
}

/// The values that a verdict rests on, short.
fn inputs(verdict: &Verdict) -> String {
    let short = |text: String| {
        if text.chars().count() <= 80 { text } else { text.chars().take(79).chain(['…']).collect() }
    };
    let pairs = verdict.inputs.iter().map(|(name, value)| format!("{name} = {}", short(value.to_string())));
    pairs.collect::<Vec<_>>().join(", ")
}

/// A job when it was made, when it was sent, and when it ended.
fn job(job: &Job) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut step = |at: Timestamp, what, text: String| {
        let mut step = Step::new(at, what, job.state.as_str(), text);
        step.job = Some(job.id.clone());
        steps.push(step);
    };
    let from = job.retry_of.as_ref().map_or_else(String::new, |of| format!(", a retry of {of}"));
    let now = if job.state.is_open() { waits(job) } else { String::new() };
    step(job.created_at, "job", format!("the rule {} made a job{from}{now}", job.rule));
    if let Some(at) = job.submitted_at {
        let run = job.run.as_ref().map_or_else(|| "no run is known yet".to_owned(), |run| format!("run {}", run.id));
        step(at, "sent", format!("sent as attempt {} on {}: {run}", job.attempt.max(1), job.subject));
    }
    if let Some(at) = job.ended_at {
        let status = job.run.as_ref().and_then(|run| run.status.as_deref());
        let status = status.map_or_else(String::new, |status| format!(", its run says {status}"));
        step(at, "ended", format!("{}{status}{}", job.state, because(&job.reason)));
    }
    let gates = job.gates.iter().map(|gate| Line {
        who: gate.gate.clone(),
        word: gate.decision.clone(),
        why: match gate.until {
            Some(until) => format!("{}, until {}", gate.reason, until.to_rfc3339()),
            None => gate.reason.clone(),
        },
    });
    // Of a job that was sent the gates spoke last when it was; of one that waits, now.
    if let Some(step) = steps.iter_mut().find(|step| (step.what == "sent") == job.submitted_at.is_some()) {
        step.lines = gates.collect();
    }
    if let Some(url) = job.run.as_ref().and_then(|run| run.url.clone()).and_then(web) {
        steps.iter_mut().filter(|step| step.what == "sent").for_each(|step| step.url = Some(url.clone()));
    }
    steps
}

fn waits(job: &Job) -> String {
    let until = job.until.or(job.hold_until).map_or_else(String::new, |at| format!(", until {}", at.to_rfc3339()));
    let word = if job.state == JobState::Held { "; it waits for a person" } else { "; it waits" };
    format!("{word}{}{until}", because(&job.reason))
}

fn because(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

/// The story in one sentence.
pub(super) fn answer(about: &str, found: &Found) -> String {
    if let Some(job) = found.jobs.last() {
        let others = match found.jobs.len() {
            1 => String::new(),
            many => format!(" It is the newest of {many} jobs."),
        };
        return format!("{}{others}", newest(job));
    }
    let Some(last) = found.deliveries.last() else {
        return format!("Nothing about {about} ever came, so no rule was asked.");
    };
    let came = match found.deliveries.len() {
        1 => "One delivery came".to_owned(),
        many => format!("{many} deliveries came"),
    };
    let told = found.deliveries.iter().rev().find_map(nearest).unwrap_or_else(|| last.reason.clone());
    format!("{came} and no job was made: {told}.")
}

fn newest(job: &Job) -> String {
    let Job { rule, state, .. } = job;
    let run = job.run.as_ref().map_or_else(String::new, |run| format!(" (run {})", run.id));
    match state {
        JobState::Queued | JobState::Held => format!("The rule {rule} acted{}.", waits(job)),
        JobState::Running | JobState::Submitting => format!("The rule {rule} acted; its job is {state}{run}."),
        _ => format!("The rule {rule} acted; its job is {state}{run}{}.", because(&job.reason)),
    }
}

/// What came nearest to acting on a delivery.
fn nearest(delivery: &DeliveryRecord) -> Option<String> {
    let nearest = delivery.verdicts.iter().min_by_key(|verdict| distance(verdict))?;
    Some(format!("the rule {} said {}, {}", nearest.rule, nearest.decision.as_str().replace('_', " "), nearest.reason))
}

/// Conditions in the order in which they are asked: what failed late was near.
const ORDER: [&str; 18] = [
    "mode", "one_of", "repos", "projects", "branches", "base", "to", "checks", "labels", "command", "fork", "draft",
    "agent", "bot", "author", "who", "when", "per",
];

/// How far a verdict is from a job; 0 is one.
pub(super) fn distance(verdict: &Verdict) -> usize {
    match verdict.decision {
        Ruling::Queued | Ruling::Joined => 0,
        Ruling::Late | Ruling::Duplicate => 1,
        Ruling::Shadow => 2,
        Ruling::Failed => 3,
        Ruling::Denied | Ruling::NoMatch => {
            let asked = ORDER.iter().position(|name| verdict.reason.starts_with(name));
            let denied = if verdict.decision == Ruling::Denied { 5 } else { ORDER.len() + 5 };
            4 + asked.map_or(denied, |at| ORDER.len() - at)
        }
    }
}

/// Whether a pause stands in the way of what was asked for.
pub(super) fn concerns(pause: &Pause, found: &Found, looked: &Looked) -> bool {
    match &pause.what {
        Paused::All => true,
        Paused::Repo(name) if looked.place.as_ref() == Some(name) => true,
        Paused::Subject(name) if looked.sought.subjects.contains(name) => true,
        what => found.jobs.iter().any(|job| job.state.is_open() && what.concerns(job)),
    }
}

/// A pause in words.
pub(super) fn pause(pause: &Pause) -> String {
    let until =
        pause.until.map_or_else(|| "until somebody lifts it".to_owned(), |at| format!("until {}", at.to_rfc3339()));
    format!("{} is paused by {} {until}{}", pause.what, pause.by, because(&pause.reason))
}
