//! GitLab's merge requests. One update may say several things; only what its `changes` name has happened.

use super::payload::{Attributes, Payload, TextChange};
use super::{Ask, added, by_id, logins};
use crate::model::event::{Change, Kind, Origin, Review, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject};
use crate::webhook::words::joined;

pub(super) fn merge_request(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let request = ask.need(payload.object_attributes.as_ref(), "object_attributes")?;
    let action = request.action.as_deref().unwrap_or_default();
    let pushed = action == "update" && request.oldrev.is_some();
    describe(ask, payload, request, pushed, telling)?;
    let id = request.id.as_ref().map_or_else(|| telling.event.subject.key.clone(), |id| id.0.clone());
    let updated = request.updated_at.as_deref().unwrap_or_default();
    telling.occurrence(&["merge_request", &id, action, updated]);
    match action {
        "open" | "reopen" => {
            telling.say(Kind::ChangeOpened, Vec::new());
            let labels = telling.event.labels.clone().unwrap_or_default();
            if action == "open" && !labels.is_empty() {
                let all = labels.join(",");
                telling.say_as(Kind::ChangeLabeled, labels, &["merge_request", &id, "labeled", &all, updated]);
            }
        }
        "update" => update(payload, request, &id, updated, telling),
        "merge" => telling.say(Kind::ChangeMerged, Vec::new()),
        "close" => telling.say(Kind::ChangeClosed, Vec::new()),
        // The approval that completes the required ones, and any other.
        "approved" | "approval" => {
            let state = "approved".to_owned();
            telling.event.outcome = Some(state.clone());
            telling.event.review = Some(Review { state: state.clone(), body: None, url: request.url.clone() });
            let who = telling.event.actor.as_ref().map_or_else(String::new, |actor| actor.login.clone());
            telling.say_as(Kind::ReviewSubmitted, vec![state], &["merge_request", &id, "approved", &who, updated]);
        }
        _ => {}
    }
    Ok(())
}

fn update(payload: &Payload, request: &Attributes, id: &str, updated: &str, telling: &mut Telling) {
    let changes = payload.changes.as_ref();
    let drafts = changes.and_then(|changes| match (&changes.draft, &changes.title) {
        (Some(draft), _) => Some((draft.previous == Some(true), draft.current == Some(true))),
        (None, Some(title)) => draft_titles(title),
        (None, None) => None,
    });
    let toggled = drafts.is_some_and(|(before, now)| before != now);
    if request.oldrev.is_some() {
        let head = telling.event.sha.clone().unwrap_or_default();
        telling.say_as(Kind::ChangeUpdated, Vec::new(), &["merge_request", id, "pushed", &head, updated]);
    } else if changes.is_some_and(|changes| {
        // Marking as draft or ready rewrites the title.
        changes.description.is_some() || changes.target_branch.is_some() || (changes.title.is_some() && !toggled)
    }) {
        telling.say_as(Kind::ChangeUpdated, Vec::new(), &["merge_request", id, "edited", updated]);
    }
    if toggled && drafts.is_some_and(|(_, now)| !now) {
        telling.say_as(Kind::ChangeReady, Vec::new(), &["merge_request", id, "ready", updated]);
    }
    if let Some(labels) = changes.and_then(|changes| changes.labels.as_ref()) {
        let list = |labels: &Option<super::payload::Labels>| labels.clone().map_or_else(Vec::new, |labels| labels.0);
        let new = added(&list(&labels.previous), &list(&labels.current));
        if !new.is_empty() {
            let all = new.join(",");
            telling.say_as(Kind::ChangeLabeled, new, &["merge_request", id, "labeled", &all, updated]);
        }
    }
    if let Some(reviewers) = changes.and_then(|changes| changes.reviewers.as_ref()) {
        let new = added(&logins(&reviewers.previous), &logins(&reviewers.current));
        if !new.is_empty() {
            let all = new.join(",");
            let occurrence = ["merge_request", id, "review_requested", &all, updated];
            telling.say_as(Kind::ChangeReviewRequested, new, &occurrence);
        }
    }
}

/// Whether the old and the new title mark a draft; GitLab before 14.0 tells it in no other way.
fn draft_titles(title: &TextChange) -> Option<(bool, bool)> {
    const MARKS: [&str; 5] = ["draft:", "[draft]", "(draft)", "wip:", "[wip]"];
    let marked = |title: &Option<String>| {
        let title = title.as_deref()?.trim_start().to_lowercase();
        Some(MARKS.iter().any(|mark| title.starts_with(mark)))
    };
    Some((marked(&title.previous)?, marked(&title.current)?))
}

/// An external status check asks for an answer; the request that it describes was told on its own.
pub(super) fn external_check(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let request = ask.need(payload.object_attributes.as_ref(), "object_attributes")?;
    describe(ask, payload, request, false, telling)
}

/// Fills the event from a merge request and keeps what it says about the subject.
pub(super) fn describe(
    ask: &Ask<'_>,
    payload: &Payload,
    request: &Attributes,
    pushed: bool,
    telling: &mut Telling,
) -> Result<(), NotUnderstood> {
    let number = ask.need(request.iid, "the merge request's iid")?;
    let target = request.target.as_ref().and_then(|target| target.path_with_namespace.clone());
    let repo = ask.need(target.or_else(|| telling.event.repo.clone()), "project.path_with_namespace")?;
    let from_own = match (request.source_project_id, request.target_project_id) {
        (Some(source), Some(target)) => Some(source == target),
        _ => None,
    };
    let named = request.source.as_ref().and_then(|source| source.path_with_namespace.clone());
    let head_repo = if from_own == Some(true) { Some(repo.clone()) } else { named };
    let host = telling.event.host.clone();
    telling.event.subject = match (&head_repo, &request.source_branch) {
        (Some(head_repo), Some(branch)) => branch_subject(&host, &repo, head_repo, branch),
        _ => Subject {
            key: format!("{host}/{repo}!{number}"),
            origin: if from_own == Some(false) { Origin::Fork } else { Origin::Unknown },
        },
    };
    let sha = request.last_commit.as_ref().and_then(|commit| commit.id.clone());
    let draft = request.draft.or(request.work_in_progress);
    // It is locked while it is being merged.
    let open = request.state.as_deref().map(|state| matches!(state, "opened" | "locked"));
    let labels = payload.labels.as_ref().or(request.labels.as_ref()).map(|labels| labels.0.clone());
    let event = &mut telling.event;
    event.repo = Some(repo);
    event.branch.clone_from(&request.source_branch);
    event.base.clone_from(&request.target_branch);
    event.sha.clone_from(&sha);
    event.url.clone_from(&request.url);
    event.text = joined(request.title.as_deref(), request.description.as_deref());
    event.labels.clone_from(&labels);
    event.author = by_id(payload, request.author_id);
    event.outcome.clone_from(&request.state);
    event.change = Some(Change {
        number,
        title: request.title.clone(),
        body: request.description.clone(),
        url: request.url.clone(),
        draft,
        open,
        merged: request.state.as_deref().map(|state| state == "merged"),
        head_repo,
        branch: request.source_branch.clone(),
        base: request.target_branch.clone(),
        sha: sha.clone(),
    });
    let facts = Facts {
        change: Some(number),
        author: event.author.clone(),
        fork: (event.subject.origin != Origin::Unknown).then_some(event.subject.origin == Origin::Fork),
        draft,
        open,
        labels,
        branch: request.source_branch.clone(),
        base: request.target_branch.clone(),
        head_sha: sha,
        last_pusher: if pushed { event.actor.clone() } else { None },
        ..Facts::default()
    };
    let key = event.subject.key.clone();
    telling.learn_push(&key, facts, request.oldrev.as_deref().filter(|_| pushed));
    Ok(())
}
