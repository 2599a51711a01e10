//! When, by whose leave and how often: hours, approval, attempts.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Said, inputs};
use crate::model::gate::Snapshot;
use crate::model::policy::{Approval, Policy, Scope};
use crate::model::span::show_span;

/// Outside of its hours a job waits for them.
pub(super) fn hours(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let Some(hours) = &policy.hours else { return (Said::Pass("at any time".to_owned()), Map::new()) };
    let inputs = inputs(json!({ "hours": hours.show() }));
    match hours.closed_until(snapshot.now) {
        None => (Said::Pass("within the hours".to_owned()), inputs),
        Some(until) => (Said::Wait(format!("outside of the hours {}", hours.show()), Some(until)), inputs),
    }
}

/// Where the rule says so, a person must agree first.
pub(super) fn approval(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let wait = policy.approval_wait;
    let mut inputs = inputs(json!({ "approved": job.approved, "wait": wait.map(show_wait) }));
    let mut note = |key: &str, value: Value| drop(inputs.insert(key.to_owned(), value));
    let why = match policy.approval {
        Approval::Never => None,
        Approval::Always => Some("every time".to_owned()),
        Approval::First(first) => {
            note("sent", json!(snapshot.sent_by_rule));
            let sent = snapshot.sent_by_rule;
            (sent < u64::from(first)).then(|| format!("for the first {first} runs, and {sent} were sent"))
        }
        Approval::Above { count, per } => {
            let used = snapshot
                .budgets
                .iter()
                .find(|used| used.scope == Scope::Rule && used.limit == count && used.per == per)
                .map(|used| used.used);
            note("used", json!(used));
            note("above", json!(count));
            match used {
                None => return (Said::Wait("what the rule has started cannot be read".to_owned(), None), inputs),
                Some(used) => (used >= count).then(|| format!("above {count} in {}", show_span(per))),
            }
        }
    };
    let said = match why {
        None => Said::Pass("no approval is needed".to_owned()),
        Some(_) if job.approved => Said::Pass("a person has agreed".to_owned()),
        Some(why) => {
            Said::Hold(format!("approval: the rule asks for it {why}"), wait.map(|wait| snapshot.now.plus(wait)))
        }
    };
    (said, inputs)
}

/// At most so many distinct commits of one subject are acted upon; nothing is sent while the count cannot be read.
pub(super) fn attempts(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
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

/// Up to three days people say it in hours.
fn show_wait(wait: Duration) -> String {
    let hours = wait.as_secs() / 3600;
    if hours < 72 && Duration::from_hours(hours) == wait { format!("{hours}h") } else { show_span(wait) }
}
