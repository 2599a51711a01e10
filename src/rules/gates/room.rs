//! How much at once and how much in a time: concurrency, budget, window.

use serde_json::{Map, Value, json};

use super::{Said, classes, inputs};
use crate::model::clock::Timestamp;
use crate::model::gate::Snapshot;
use crate::model::policy::{Bound, Policy, RUNNING_ON_SUBJECT, Scope};
use crate::model::span::show_span;

/// So many unfinished runs at once: one on a context unless the rule says otherwise, and whatever caps there are.
pub(super) fn concurrency(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let (job, active) = (&snapshot.job, &snapshot.active);
    let caps = policy.limits.iter().filter_map(|limit| match limit.bound {
        Bound::Running(cap) => Some((limit.scope, cap)),
        Bound::Rate { .. } => None,
    });
    let mut caps: Vec<(Scope, u32)> = caps.collect();
    if !caps.iter().any(|(scope, _)| *scope == Scope::Subject) {
        caps.insert(0, (Scope::Subject, RUNNING_ON_SUBJECT));
    }
    let caps = caps.into_iter().filter_map(|(scope, cap)| {
        let name = job.name_in(scope)?;
        let running = match scope {
            Scope::Subject => active.on_subject,
            Scope::All => active.all,
            Scope::File => active.file,
            Scope::Rule => active.rule,
            Scope::Repo => active.repo,
            Scope::Person => active.person,
        };
        Some((scope, name, cap, running))
    });
    // What the whole lane waits for is named before what only this job waits for: then it is not set aside in vain.
    let full = caps.filter(|(_, _, cap, running)| running >= cap);
    let full = full.min_by_key(|(scope, ..)| matches!(scope, Scope::Subject | Scope::Person));
    let Some((scope, name, cap, running)) = full else {
        return (Said::Pass("there is room for another run".to_owned()), inputs(json!({ "running": active })));
    };
    let context = if job.context.is_empty() { name } else { &job.context };
    let reason = match (scope, cap) {
        (Scope::Subject, 1) => format!("another run on {context} is not finished"),
        (Scope::All, _) => format!("{running} runs are not finished and {cap} is the most there may be"),
        _ => format!("{running} runs of {scope} {name} are not finished and {cap} is the most there may be"),
    };
    (Said::Wait(reason, None), inputs(json!({ "scope": scope, "cap": cap, "running": active })))
}

/// What was started lately must leave room in every budget; at its end a job waits, and is never dropped. Of several
/// that are used up the one that has room last decides.
pub(super) fn budget(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let mut used_up: Option<(Scope, String, Option<Timestamp>)> = None;
    let mut seen = Vec::new();
    for limit in &policy.limits {
        let (Bound::Rate { count, per }, Some(name)) = (limit.bound, job.name_in(limit.scope)) else { continue };
        let same =
            |used: &&crate::model::gate::BudgetUse| used.scope == limit.scope && used.limit == count && used.per == per;
        let budget = limit.scope.budget(name);
        let Some(used) = snapshot.budgets.iter().find(same) else {
            return (Said::Wait(format!("the budget {budget} cannot be read"), None), Map::new());
        };
        seen.push(json!({ "budget": budget, "used": used.used, "limit": count, "per": show_span(per) }));
        if used.used < count {
            continue;
        }
        let later = used_up
            .as_ref()
            .is_none_or(|(_, _, until)| until.is_some() && used.next_free.is_none_or(|at| Some(at) > *until));
        if later {
            let reason = format!("the budget {budget} is used up: {} of {count} runs in {}", used.used, show_span(per));
            used_up = Some((limit.scope, reason, used.next_free));
        }
    }
    let mut inputs = inputs(json!({ "budgets": seen }));
    match used_up {
        None => {
            (Said::Pass(if seen.is_empty() { "no budget is set" } else { "every budget has room" }.to_owned()), inputs)
        }
        Some((scope, reason, until)) => {
            inputs.insert("scope".to_owned(), json!(scope));
            (Said::Wait(reason, until), inputs)
        }
    }
}

/// Every class of the call must have a free slot.
pub(super) fn window(snapshot: &Snapshot, _: &Policy) -> (Said, Map<String, Value>) {
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
