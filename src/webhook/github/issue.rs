//! GitHub's issues and the comments on them (which pull requests share).

use super::payload::{Issue, Payload};
use super::{Ask, birth_or_update, change, relate_actor, with_association};
use crate::model::event::{self, Change, Kind, Origin, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling};
use crate::webhook::words::joined;

/// More labels or assignees than an issue can have on GitHub are not told one by one.
const MAX_GIVEN: usize = 100;

pub(super) fn issues(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let issue = ask.need(payload.issue.as_ref(), "issue")?;
    let number = describe(ask, issue, telling)?;
    relate_actor(telling.event.actor.as_mut(), telling.event.author.as_ref(), ask.action);
    let id = match &issue.id {
        Some(id) => id.0.clone(),
        None => format!("{}#{number}", telling.event.repo.as_deref().unwrap_or_default()),
    };
    let updated = issue.updated_at.as_deref().unwrap_or_default();
    let born = birth_or_update(issue.created_at.as_deref(), issue.updated_at.as_deref());
    match ask.action {
        "opened" | "reopened" => {
            telling.say_as(Kind::IssueOpened, Vec::new(), &["issue", &id, ask.action, updated]);
            if ask.action == "opened" {
                for label in telling.event.labels.clone().unwrap_or_default().into_iter().take(MAX_GIVEN) {
                    telling.say_as(Kind::IssueLabeled, vec![label.clone()], &["issue", &id, "labeled", &label, born]);
                }
                for login in logins(issue).into_iter().take(MAX_GIVEN) {
                    telling.say_as(Kind::IssueAssigned, vec![login.clone()], &["issue", &id, "assigned", &login, born]);
                }
            }
        }
        "edited" => telling.say_as(Kind::IssueUpdated, Vec::new(), &["issue", &id, "edited", updated]),
        "labeled" => {
            let to: Vec<String> = payload.label.as_ref().and_then(|label| label.name.clone()).into_iter().collect();
            let label = to.first().cloned().unwrap_or_default();
            telling.say_as(Kind::IssueLabeled, to, &["issue", &id, "labeled", &label, born]);
        }
        "assigned" => {
            let login = ask.need(payload.assignee.as_ref().and_then(|who| who.login.clone()), "assignee.login")?;
            telling.say_as(Kind::IssueAssigned, vec![login.clone()], &["issue", &id, "assigned", &login, born]);
        }
        "closed" => telling.say_as(Kind::IssueClosed, Vec::new(), &["issue", &id, "closed", updated]),
        other => telling.occurrence(&["issue", &id, other, updated]),
    }
    Ok(())
}

pub(super) fn comment(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let issue = ask.need(payload.issue.as_ref(), "issue")?;
    describe(ask, issue, telling)?;
    change::comment(ask, payload, telling)
}

/// Fills the event from an issue, or from a pull request in an issue's shape; answers its number.
fn describe(ask: &Ask<'_>, issue: &Issue, telling: &mut Telling) -> Result<u64, NotUnderstood> {
    let number = ask.need(issue.number, "issue.number")?;
    let repo = ask.need(telling.event.repo.clone(), "repository.full_name")?;
    let is_change = issue.pull_request.is_some();
    let event = &mut telling.event;
    // A comment on a change names neither its branch nor its repository: the number is its alias.
    let origin = if is_change { Origin::Unknown } else { Origin::None };
    event.subject = Subject { key: format!("{}/{repo}#{number}", event.host), origin };
    event.url.clone_from(&issue.html_url);
    event.text = joined(issue.title.as_deref(), issue.body.as_deref());
    event.labels = issue.labels.as_ref().map(|labels| labels.0.clone());
    event.author = with_association(issue.user.as_ref(), issue.author_association.as_ref());
    event.outcome.clone_from(&issue.state);
    let open = issue.state.as_deref().map(|state| state == "open");
    if is_change {
        event.change = Some(Change {
            number,
            title: issue.title.clone(),
            body: issue.body.clone(),
            url: issue.html_url.clone(),
            draft: issue.draft,
            open,
            ..Change::default()
        });
    } else {
        event.issue = Some(event::Issue {
            key: number.to_string(),
            title: issue.title.clone(),
            body: issue.body.clone(),
            url: issue.html_url.clone(),
            status: issue.state.clone(),
            issue_type: issue.category.as_ref().and_then(|kind| kind.name.clone()),
            priority: None,
            components: Vec::new(),
            assignees: logins(issue),
        });
    }
    if !is_change {
        let facts = Facts { author: event.author.clone(), open, labels: event.labels.clone(), ..Facts::default() };
        let key = event.subject.key.clone();
        telling.learn(&key, facts);
    }
    Ok(number)
}

fn logins(issue: &Issue) -> Vec<String> {
    issue.assignees.iter().filter_map(|who| who.login.clone()).collect()
}
