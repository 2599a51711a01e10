//! GitLab's issues and work items, and the notes on them, on merge requests and on commits.

use super::payload::{Attributes, Payload};
use super::{Ask, added, by_id, change, logins};
use crate::model::event::{Comment, Issue, Kind, Origin, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, commit_subject};
use crate::webhook::words::joined;

pub(super) fn issue(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let issue = ask.need(payload.object_attributes.as_ref(), "object_attributes")?;
    let assignees = logins(&payload.assignees);
    describe(ask, payload, issue, assignees.clone(), telling)?;
    let id = issue.id.as_ref().map_or_else(|| telling.event.subject.key.clone(), |id| id.0.clone());
    let updated = issue.updated_at.as_deref().unwrap_or_default();
    let action = issue.action.as_deref().unwrap_or_default();
    telling.occurrence(&["issue", &id, action, updated]);
    let changes = payload.changes.as_ref();
    let (labels, assigned) = match action {
        "open" => (telling.event.labels.clone().unwrap_or_default(), assignees),
        "update" => (
            changes.and_then(|changes| changes.labels.as_ref()).map_or_else(Vec::new, |labels| {
                let list = |labels: &Option<super::payload::Labels>| labels.clone().map_or_else(Vec::new, |l| l.0);
                added(&list(&labels.previous), &list(&labels.current))
            }),
            changes
                .and_then(|changes| changes.assignees.as_ref())
                .map_or_else(Vec::new, |assignees| added(&logins(&assignees.previous), &logins(&assignees.current))),
        ),
        _ => (Vec::new(), Vec::new()),
    };
    match action {
        "open" | "reopen" => telling.say(Kind::IssueOpened, Vec::new()),
        "close" => telling.say(Kind::IssueClosed, Vec::new()),
        "update" if changes.is_some_and(|changes| changes.title.is_some() || changes.description.is_some()) => {
            telling.say(Kind::IssueUpdated, Vec::new());
        }
        _ => {}
    }
    if !labels.is_empty() {
        let all = labels.join(",");
        telling.say_as(Kind::IssueLabeled, labels, &["issue", &id, "labeled", &all, updated]);
    }
    if !assigned.is_empty() {
        let all = assigned.join(",");
        telling.say_as(Kind::IssueAssigned, assigned, &["issue", &id, "assigned", &all, updated]);
    }
    Ok(())
}

pub(super) fn note(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let note = ask.need(payload.object_attributes.as_ref(), "object_attributes")?;
    let body = ask.need(note.note.clone(), "object_attributes.note")?;
    match note.noteable_type.as_deref() {
        Some("MergeRequest") => {
            let request = ask.need(payload.merge_request.as_ref(), "merge_request")?;
            change::describe(ask, payload, request, false, telling)?;
        }
        Some("Issue" | "WorkItem") => {
            let issue = ask.need(payload.issue.as_ref(), "issue")?;
            describe(ask, payload, issue, Vec::new(), telling)?;
        }
        Some("Commit") => {
            let sha = payload.commit.as_ref().and_then(|commit| commit.id.clone()).or_else(|| note.commit_id.clone());
            if let (Some(repo), Some(sha)) = (&telling.event.repo, sha) {
                telling.event.subject = commit_subject(&telling.event.host, repo, &sha);
                telling.event.sha = Some(sha);
            }
        }
        _ => {}
    }
    let id = note.id.as_ref().map_or_else(String::new, |id| id.0.clone());
    // Bodies of before 16.11 have no action and tell new notes only.
    let created = matches!(note.action.as_deref(), None | Some("create"));
    match (id.is_empty(), created) {
        (true, _) => {}
        (false, true) => telling.occurrence(&["note", &id]),
        (false, false) => telling.occurrence(&["note", &id, note.updated_at.as_deref().unwrap_or_default()]),
    }
    telling.event.url.clone_from(&note.url);
    telling.event.text = Some(body.clone());
    let position = note.position.as_ref();
    telling.event.comment = Some(Comment {
        id,
        body,
        url: note.url.clone(),
        path: position.and_then(|position| position.new_path.clone()),
        line: position.and_then(|position| position.new_line),
        args: None,
    });
    // A system note is GitLab's own record of what it tells elsewhere.
    if created && note.system != Some(true) {
        telling.say(Kind::CommentCreated, Vec::new());
    }
    Ok(())
}

fn describe(
    ask: &Ask<'_>,
    payload: &Payload,
    issue: &Attributes,
    assignees: Vec<String>,
    telling: &mut Telling,
) -> Result<(), NotUnderstood> {
    let number = ask.need(issue.iid, "the issue's iid")?;
    let labels = issue.labels.as_ref().or(payload.labels.as_ref()).map(|labels| labels.0.clone());
    let open = issue.state.as_deref().map(|state| state == "opened");
    let event = &mut telling.event;
    // Epics belong to groups and have no repository.
    if let Some(repo) = &event.repo {
        event.subject = Subject { key: format!("{}/{repo}#{number}", event.host), origin: Origin::None };
    }
    event.url.clone_from(&issue.url);
    event.text = joined(issue.title.as_deref(), issue.description.as_deref());
    event.labels.clone_from(&labels);
    event.author = by_id(payload, issue.author_id);
    event.outcome.clone_from(&issue.state);
    event.issue = Some(Issue {
        key: number.to_string(),
        title: issue.title.clone(),
        body: issue.description.clone(),
        url: issue.url.clone(),
        status: issue.state.clone(),
        issue_type: issue.kind.clone(),
        priority: None,
        components: Vec::new(),
        assignees,
    });
    let facts = Facts { author: event.author.clone(), open, labels, ..Facts::default() };
    let key = event.subject.key.clone();
    telling.learn(&key, facts);
    Ok(())
}
