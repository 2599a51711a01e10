//! What a rule that matched asks for: the request of which the store makes a job.

use super::admit::bot;
use super::judge::Occasion;
use super::people::same_login;
use super::rule::{Per, Rule};
use crate::model::event::{Event, Kind, MOMENT};
use crate::model::job::{JobRequest, StaleOn};
use crate::model::policy::{Action, Priority, Then};

/// The request of `rule`, whose every condition holds for the (completed) event; `key` is that of its job.
pub(super) fn request(rule: &Rule, event: &Event, occasion: &Occasion<'_>, key: String) -> JobRequest {
    let asked = commanded(rule, event);
    let per_commit = rule.per(event.kind) == Per::Commit;
    let ci_or_deployment = event.kind.is_some_and(|kind| kind.is_ci() || kind == Kind::DeploymentFailed);
    JobRequest {
        rule: rule.name.clone(),
        file: rule.policy.file.clone(),
        key,
        per_commit,
        follow_up: rule.policy.action == Action::Run && rule.policy.then.first() == Some(&Then::Resume),
        happening: event.happening.clone(),
        claim_for: event.momentary.then_some(MOMENT),
        subject: occasion.subject_key.to_owned(),
        context: occasion.context.to_owned(),
        repo: event.repo.clone().or_else(|| event.project.clone()),
        sha: event.sha.clone(),
        failing: matches!(event.kind, Some(Kind::CiFailed | Kind::DeploymentFailed)),
        person: person(event, occasion),
        priority: if asked { Priority::People } else { rule.priority },
        action: rule.policy.action,
        stale_on: StaleOn {
            head: !asked && (ci_or_deployment || per_commit),
            closed: may_close(event, occasion),
            green: event.kind == Some(Kind::CiFailed),
        },
        settle: rule.settle(event.kind),
        settle_max: rule.settle_max,
    }
}

/// Whether a person asked for it by one of the rule's commands.
fn commanded(rule: &Rule, event: &Event) -> bool {
    event.kind == Some(Kind::CommentCreated) && !rule.command.is_empty()
}

/// Who asked for it: the person behind an act that is meant for others to react to. What machines tell, and what people do
/// for their own work's sake (to push, to open), is nobody's request.
fn person(event: &Event, occasion: &Occasion<'_>) -> Option<String> {
    let asks = matches!(
        event.kind?,
        Kind::CommentCreated
            | Kind::ChangeLabeled
            | Kind::ChangeReviewRequested
            | Kind::ReviewSubmitted
            | Kind::IssueLabeled
            | Kind::IssueAssigned
            | Kind::IssueTransitioned
    );
    let actor = event.actor.as_ref().filter(|_| asks)?;
    let ours = occasion.agents.iter().any(|agent| same_login(agent, &actor.login));
    (!ours && !bot(actor)).then(|| format!("{}:{}", occasion.source_kind.as_str(), actor.login))
}

/// Whether closing what it is about would make it pointless: not when that was closed already, or is what happened.
fn may_close(event: &Event, occasion: &Occasion<'_>) -> bool {
    if matches!(event.kind, Some(Kind::ChangeMerged | Kind::ChangeClosed | Kind::IssueClosed)) {
        return false;
    }
    let told = event.change.as_ref().and_then(|change| change.open);
    let open = told.or_else(|| occasion.facts.and_then(|facts| facts.open));
    open.unwrap_or(event.change.is_some() || event.issue.is_some())
}
