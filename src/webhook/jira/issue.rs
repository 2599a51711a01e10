//! Jira's issues: opened, changed field by field, commented, moved.

use std::collections::HashSet;

use super::payload::{Comment, Fields, Item, Payload};
use super::{Ask, page, person};
use crate::model::event::{self, Issue, Kind, Origin, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling};
use crate::webhook::words::joined;

/// No more new values of one kind are taken than this, like of every other list that is read.
const MOST_NEW: usize = 1000;

/// Fills the event from the issue, when the body has one (a comment's or worklog's may not), and keeps its facts.
pub(super) fn describe(payload: &Payload, telling: &mut Telling) {
    let Some(issue) = &payload.issue else {
        telling.event.project = payload.project.as_ref().and_then(|project| project.key.clone());
        return;
    };
    let fields = issue.fields.as_ref();
    let key = issue.key.clone().unwrap_or_default();
    let project = fields.and_then(|fields| fields.project.as_ref()?.key.clone());
    telling.event.project = project.or_else(|| key.rsplit_once('-').map(|(project, _)| project.to_owned()));
    if key.is_empty() {
        return;
    }
    telling.event.subject = Subject { key: format!("{}/{key}", telling.event.host), origin: Origin::None };
    let url = page(payload, &key);
    let body = fields.and_then(|fields| fields.description.as_ref()).map(|prose| prose.0.clone());
    let title = fields.and_then(|fields| fields.summary.clone());
    let status = fields.and_then(|fields| fields.status.as_ref());
    let author = fields.and_then(|fields| fields.creator.as_ref().or(fields.reporter.as_ref())).and_then(person);
    let labels = fields.and_then(|fields| fields.labels.as_ref()).map(|labels| labels.0.clone());
    let event = &mut telling.event;
    event.url.clone_from(&url);
    event.text = joined(title.as_deref(), body.as_deref());
    event.labels.clone_from(&labels);
    event.author.clone_from(&author);
    event.outcome = status.and_then(|status| status.name.clone());
    event.issue = Some(Issue {
        key: key.clone(),
        title,
        body,
        url,
        status: event.outcome.clone(),
        issue_type: fields.and_then(|fields| fields.issue_type.as_ref()?.name.clone()),
        priority: fields.and_then(|fields| fields.priority.as_ref()?.name.clone()),
        components: fields.map_or_else(Vec::new, |f| f.components.iter().filter_map(|c| c.name.clone()).collect()),
        assignees: fields.and_then(assignee).into_iter().collect(),
    });
    let done = status.and_then(|status| status.category.as_ref()?.key.as_deref()).map(|category| category == "done");
    let facts = Facts { author, open: done.map(|done| !done), labels, ..Facts::default() };
    let subject = event.subject.key.clone();
    telling.learn_ticket(&subject, &key, facts);
}

fn assignee(fields: &Fields) -> Option<String> {
    fields.assignee.as_ref().and_then(person).map(|person| person.login)
}

/// The issue's id, else its key.
fn id(ask: &Ask<'_>, payload: &Payload) -> Result<String, NotUnderstood> {
    let issue = ask.need(payload.issue.as_ref(), "issue")?;
    let id = issue.id.as_ref().map(|id| id.0.clone()).or_else(|| issue.key.clone());
    ask.need(id, "issue.id")
}

fn moment(payload: &Payload) -> Option<String> {
    payload.timestamp.map(|at| at.0.to_string())
}

/// An issue that is born with labels, a status or an assignee is labelled, moved and assigned by that.
pub(super) fn created(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let id = id(ask, payload)?;
    ask.need(telling.event.issue.as_ref(), "issue.key")?;
    telling.occurrence(&["issue", &id, "created"]);
    telling.say(Kind::IssueOpened, Vec::new());
    for kind in [Kind::IssueLabeled, Kind::IssueTransitioned, Kind::IssueAssigned] {
        let new = state(kind, telling);
        if !new.is_empty() {
            telling.say(kind, new);
        }
    }
    Ok(())
}

/// What the issue has now of that which a kind may bring.
fn state(kind: Kind, telling: &Telling) -> Vec<String> {
    let issue = telling.event.issue.as_ref();
    match kind {
        Kind::IssueLabeled => telling.event.labels.clone().unwrap_or_default(),
        Kind::IssueTransitioned => issue.and_then(|issue| issue.status.clone()).into_iter().collect(),
        Kind::IssueAssigned => issue.map_or_else(Vec::new, |issue| issue.assignees.clone()),
        _ => Vec::new(),
    }
}

/// An update: only what the changelog names has happened. Data Center tells comments in this way too.
pub(super) fn updated(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let id = id(ask, payload)?;
    ask.need(telling.event.issue.as_ref(), "issue.key")?;
    let change = payload.changelog.as_ref().and_then(|changelog| changelog.id.as_ref()).map(|id| id.0.clone());
    match (&change, moment(payload)) {
        (Some(change), _) => telling.occurrence(&["issue", &id, "changelog", change]),
        (None, Some(at)) => telling.occurrence(&["issue", &id, "updated", &at]),
        (None, None) => {}
    }
    let event_type = payload.event_type.as_deref().unwrap_or_default();
    let items = payload.changelog.as_ref().map_or(&[][..], |changelog| &changelog.items);
    let mut edited = false;
    let mut changes: Vec<(Kind, Vec<String>)> = Vec::new();
    for item in items {
        match fields_kind(item) {
            Some((_, new)) if new.is_empty() => {}
            // Each event is a copy of the whole issue: a field that is told a thousand times makes one.
            Some((kind, new)) => match changes.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, told)) => told.extend(new.into_iter().take(MOST_NEW - told.len())),
                None => changes.push((kind, new)),
            },
            None => edited = true,
        }
    }
    for (kind, new) in changes {
        telling.say(kind, new);
    }
    // Old versions tell an edit without saying of what.
    let unnamed = items.is_empty() && payload.comment.is_none() && !event_type.starts_with("issue_comment");
    if edited || unnamed {
        telling.say(Kind::IssueUpdated, Vec::new());
    }
    if let Some(comment) = &payload.comment {
        let new = match event_type {
            "issue_commented" => true,
            "issue_comment_edited" | "issue_comment_deleted" => false,
            _ => comment.updated.is_none() || comment.updated == comment.created,
        };
        tell_comment(comment, new, telling);
    }
    Ok(())
}

/// The kind of a changed field that has one of its own, with what is new.
fn fields_kind(item: &Item) -> Option<(Kind, Vec<String>)> {
    let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    // Field names are translated on some sites, ids are not.
    match item.field_id.as_deref().or(item.field.as_deref())? {
        "labels" => {
            let [before, now] = [&item.from_string, &item.to_string].map(|text| text.as_deref().unwrap_or_default());
            let before: HashSet<&str> = before.split_whitespace().collect();
            let new = now.split_whitespace().filter(|label| !before.contains(label)).take(MOST_NEW);
            Some((Kind::IssueLabeled, new.map(str::to_owned).collect()))
        }
        "status" => Some((Kind::IssueTransitioned, set(&item.to_string).into_iter().collect())),
        "assignee" => Some((Kind::IssueAssigned, set(&item.to).or_else(|| set(&item.to_string)).into_iter().collect())),
        "resolution" if set(&item.from).or_else(|| set(&item.from_string)).is_none() => {
            Some((Kind::IssueClosed, set(&item.to_string).into_iter().collect()))
        }
        _ => None,
    }
}

pub(super) fn commented(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let comment = ask.need(payload.comment.as_ref(), "comment")?;
    tell_comment(comment, true, telling);
    Ok(())
}

fn tell_comment(comment: &Comment, new: bool, telling: &mut Telling) {
    let shared = telling.event.clone();
    let id = comment.id.as_ref().map_or_else(String::new, |id| id.0.clone());
    let body = comment.body.as_ref().map_or_else(String::new, |prose| prose.0.clone());
    let url = shared.url.as_ref().filter(|_| !id.is_empty()).map(|page| format!("{page}?focusedCommentId={id}"));
    telling.event.text = Some(body.clone());
    telling.event.url = url.clone().or(shared.url.clone());
    telling.event.actor = comment.author.as_ref().and_then(person).or(shared.actor.clone());
    telling.event.comment = Some(event::Comment { id: id.clone(), body, url, ..event::Comment::default() });
    match (id.is_empty(), new) {
        (true, _) => {}
        (false, true) => telling.occurrence(&["comment", &id]),
        (false, false) => telling.occurrence(&["comment", &id, comment.updated.as_deref().unwrap_or_default()]),
    }
    if new {
        telling.say(Kind::CommentCreated, Vec::new());
    }
}

/// The body of a workflow's post function.
pub(super) fn transitioned(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let id = id(ask, payload)?;
    let transition = ask.need(payload.transition.as_ref(), "transition")?;
    let to = ask.need(transition.to_status.clone(), "transition.to_status")?;
    if let Some(at) = moment(payload) {
        telling.occurrence(&["issue", &id, "transition", &at]);
    }
    telling.event.outcome = Some(to.clone());
    telling.say(Kind::IssueTransitioned, vec![to]);
    Ok(())
}

/// A sender that can only send the state: what happened is fixed by its source.
pub(super) fn fixed(ask: &Ask<'_>, kind: Kind, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    if kind == Kind::CommentCreated {
        return commented(ask, payload, telling);
    }
    let id = id(ask, payload)?;
    ask.need(telling.event.issue.as_ref(), "issue.key")?;
    let changed = payload.issue.as_ref().and_then(|issue| issue.fields.as_ref()?.updated.clone());
    if let Some(at) = changed.or_else(|| moment(payload)) {
        telling.occurrence(&["issue", &id, kind.as_str(), &at]);
    }
    let new = state(kind, telling);
    telling.say(kind, new);
    Ok(())
}

/// Events without a kind of ours.
pub(super) fn other(event: &str, payload: &Payload, telling: &mut Telling) {
    if let Some(comment) = payload.comment.as_ref().filter(|_| event.starts_with("comment_")) {
        tell_comment(comment, false, telling);
        return;
    }
    let id = payload.issue.as_ref().and_then(|issue| issue.id.as_ref());
    if let (Some(id), Some(at)) = (id, moment(payload)) {
        telling.occurrence(&["issue", &id.0, event, &at]);
    }
}
