//! Is the job still wanted, and may anything be sent now: stale, pause, breaker, settle.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{Said, Way, classes, inputs, way};
use crate::model::clock::Timestamp;
use crate::model::gate::Snapshot;
use crate::model::policy::Policy;

/// With `settle = "checks"`: for so long no news of a check may have come.
const QUIET: Duration = Duration::from_secs(30);

/// A newer commit, an end of the change or success makes it pointless.
pub(super) fn stale(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let head = snapshot.facts.as_ref().and_then(|facts| facts.head_sha.as_deref());
    let open = snapshot.facts.as_ref().and_then(|facts| facts.open);
    let inputs =
        inputs(json!({ "on": job.stale_on, "sha": job.sha, "head": head, "open": open, "green": snapshot.green }));
    let (about, sha) = (job.subject.as_str(), job.sha.as_deref());
    let said = match (head, sha) {
        (Some(head), Some(sha)) if job.stale_on.head && snapshot.sha_was_head && head != sha => {
            Said::Supersede(format!("stale: the head of {about} is {head} now"))
        }
        _ if job.stale_on.closed && open == Some(false) => Said::Supersede(format!("stale: {about} is closed")),
        (_, Some(sha)) if job.stale_on.green && snapshot.green => {
            Said::Supersede(format!("stale: all checks of {sha} are green"))
        }
        _ => Said::Pass("still wanted".to_owned()),
    };
    (said, inputs)
}

/// Nothing is sent of what somebody has paused, nor of a rule that was turned off: it goes on when that is over. Of several
/// pauses the one that lasts longest is named.
pub(super) fn pause(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    // What is said to a run that is there was settled when it was asked for, and asks no rule.
    if let Some(mode) = policy.silent.filter(|_| !snapshot.job.is_act()) {
        let reason = format!("the mode of the rule {} is \"{mode}\" now", snapshot.job.rule);
        return (Said::Wait(reason, None), inputs(json!({ "mode": mode })));
    }
    let longest = snapshot.pauses.iter().max_by_key(|pause| pause.until.map_or(i64::MAX, |at| at.0));
    let Some(pause) = longest else { return (Said::Pass("not paused".to_owned()), Map::new()) };
    let why = if pause.reason.is_empty() { String::new() } else { format!(": {}", pause.reason) };
    (
        Said::Wait(format!("{} is paused by {}{why}", pause.what, pause.by), pause.until),
        inputs(json!({ "pauses": snapshot.pauses })),
    )
}

/// No breaker may be open for the call, unless it is to probe it, and no class that it needs may be frozen. Of several the
/// one that lasts longest is named.
pub(super) fn breaker(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let (now, classes) = (snapshot.now, classes(&snapshot.job));
    let starts = match way(snapshot, policy) {
        Some(Way::Start | Way::SetupCommands) => true,
        Some(Way::Resume(_) | Way::Ban(_) | Way::Unban(_)) => false,
        // The last gate lets it wait by itself for its run to be known. What has no way for another reason is taken for a start.
        None => !snapshot.run_to_come && !snapshot.job.is_act(),
    };
    let (due, open): (Vec<_>, Vec<_>) = snapshot
        .breakers
        .iter()
        .filter(|breaker| breaker.concerns(classes, starts))
        .partition(|breaker| breaker.wants_probe(now));
    let breakers = open.iter().map(|breaker| {
        let said = json!({ "breaker": breaker.name, "until": breaker.until });
        (breaker.holds_until(now), breaker.says(), said)
    });
    let freezes = snapshot.freezes.iter().filter(|freeze| freeze.until > now && classes.contains(&freeze.class));
    let freezes = freezes.map(|freeze| {
        let said = json!({ "class": freeze.class, "until": freeze.until });
        (Some(freeze.until), format!("{} calls are frozen: {}", freeze.class, freeze.reason), said)
    });
    let last = breakers.chain(freezes).max_by_key(|(until, ..)| until.map_or(i64::MAX, |at| at.0));
    match (last, due.first()) {
        (Some((until, reason, said)), _) => (Said::Wait(reason, until), inputs(said)),
        (None, Some(due)) => {
            (Said::Pass(format!("probes the breaker {}", due.name)), inputs(json!({ "breaker": due.name })))
        }
        (None, None) => (Said::Pass("no breaker is open and no class is frozen".to_owned()), Map::new()),
    }
}

/// The quiet time must be over, and so must the delay after a refused call; where the rule says so, every check of the
/// commit must have ended.
pub(super) fn settle(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let mut inputs = inputs(json!({ "due_at": job.due_at, "tries": job.tries, "events": job.events }));
    if job.due_at > snapshot.now {
        let reason = if job.tries == 0 { "settling: more events may join" } else { "waiting before the next try" };
        return (Said::Wait(reason.to_owned(), Some(job.due_at)), inputs);
    }
    let pass = |reason: &str| Said::Pass(reason.to_owned());
    if !policy.settle_checks {
        return (pass("due"), inputs);
    }
    inputs.insert("checks".to_owned(), json!(snapshot.checks));
    inputs.insert("settled_by".to_owned(), json!(job.settled_by));
    let Some(checks) = snapshot.checks else {
        return (Said::Wait("the checks of the commit cannot be read".to_owned(), None), inputs);
    };
    let quiet_at = checks.last_seen.map(|at: Timestamp| at.plus(QUIET).min(job.settled_by));
    let said = if job.settled_by <= snapshot.now {
        pass("it has waited for checks as long as it may")
    } else if checks.unfinished > 0 {
        Said::Wait(format!("{} of the commit's checks have not ended", checks.unfinished), None)
    } else if job.sha.is_some() && checks.last_seen.is_none() {
        // Right after a push there are none: that nothing is red or runs means nothing yet.
        Said::Wait("no check of the commit is known yet".to_owned(), Some(job.settled_by))
    } else if let Some(at) = quiet_at.filter(|at| *at > snapshot.now) {
        Said::Wait("every check has ended; another may follow".to_owned(), Some(at))
    } else {
        pass("every check of the commit has ended")
    };
    (said, inputs)
}
