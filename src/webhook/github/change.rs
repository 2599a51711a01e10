//! GitHub's pull requests: the change itself, reviews, comments on its lines.

use super::payload::{Payload, PullRequest};
use super::{Ask, birth_or_update, full_name, relate_actor, with_association};
use crate::model::event::{Change, Comment, Kind, Origin, Review, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject};
use crate::webhook::words::joined;

/// More labels than a change or issue can have on GitHub are not told one by one.
const MAX_LABELS: usize = 100;

pub(super) fn pull_request(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let pull = ask.need(payload.pull_request.as_ref(), "pull_request")?;
    let number = describe(ask, pull, telling)?;
    relate_actor(telling.event.actor.as_mut(), telling.event.author.as_ref(), ask.action);
    let mut facts = facts(telling, pull);
    let key = telling.event.subject.key.clone();
    if ask.action == "synchronize" {
        facts.last_pusher.clone_from(&telling.event.actor);
        telling.learn_push(&key, facts, payload.before.as_deref());
    } else {
        telling.learn(&key, facts);
    }

    let id = pull
        .id
        .as_ref()
        .map_or_else(|| format!("{}#{number}", telling.event.repo.as_deref().unwrap_or_default()), |id| id.0.clone());
    let updated = pull.updated_at.as_deref().unwrap_or_default();
    let born = birth_or_update(pull.created_at.as_deref(), pull.updated_at.as_deref());
    match ask.action {
        "opened" | "reopened" => {
            telling.say_as(Kind::ChangeOpened, Vec::new(), &["pull_request", &id, ask.action, updated]);
            let labels = telling.event.labels.clone().unwrap_or_default();
            if ask.action == "opened" {
                for label in labels.into_iter().take(MAX_LABELS) {
                    telling.say_as(
                        Kind::ChangeLabeled,
                        vec![label.clone()],
                        &["pull_request", &id, "labeled", &label, born],
                    );
                }
            }
        }
        "synchronize" => {
            let head = telling.event.sha.clone().unwrap_or_default();
            telling.say_as(Kind::ChangeUpdated, Vec::new(), &["pull_request", &id, "synchronize", &head, updated]);
        }
        "edited" => telling.say_as(Kind::ChangeUpdated, Vec::new(), &["pull_request", &id, "edited", updated]),
        "labeled" => {
            let to: Vec<String> = payload.label.as_ref().and_then(|label| label.name.clone()).into_iter().collect();
            let label = to.first().cloned().unwrap_or_default();
            telling.say_as(Kind::ChangeLabeled, to, &["pull_request", &id, "labeled", &label, born]);
        }
        "ready_for_review" => telling.say_as(Kind::ChangeReady, Vec::new(), &["pull_request", &id, "ready", updated]),
        "review_requested" => {
            let reviewer = payload.requested_reviewer.as_ref().and_then(|account| account.login.clone());
            let team = payload.requested_team.as_ref().and_then(|team| team.slug.clone().or_else(|| team.name.clone()));
            let to: Vec<String> = reviewer.or(team).into_iter().collect();
            let who = to.first().cloned().unwrap_or_default();
            telling.say_as(Kind::ChangeReviewRequested, to, &["pull_request", &id, "review_requested", &who, updated]);
        }
        "closed" => {
            let merged = telling.event.change.as_ref().is_some_and(|change| change.merged == Some(true));
            let (kind, word) = if merged { (Kind::ChangeMerged, "merged") } else { (Kind::ChangeClosed, "closed") };
            telling.event.outcome = Some(word.to_owned());
            telling.say_as(kind, Vec::new(), &["pull_request", &id, word, updated]);
        }
        other => telling.occurrence(&["pull_request", &id, other, updated]),
    }
    Ok(())
}

pub(super) fn review(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let pull = ask.need(payload.pull_request.as_ref(), "pull_request")?;
    let review = ask.need(payload.review.as_ref(), "review")?;
    let state = ask.need(review.state.as_ref(), "review.state")?.to_ascii_lowercase();
    describe(ask, pull, telling)?;
    learn_change(pull, telling);
    let reviewer = with_association(review.user.as_ref(), review.author_association.as_ref());
    relate_actor(telling.event.actor.as_mut(), reviewer.as_ref(), ask.action);
    if ask.action == "submitted" {
        telling.event.actor = reviewer.or(telling.event.actor.take());
    }
    telling.event.url.clone_from(&review.html_url);
    telling.event.text.clone_from(&review.body);
    telling.event.outcome = Some(state.clone());
    telling.event.review =
        Some(Review { state: state.clone(), body: review.body.clone(), url: review.html_url.clone() });
    if let Some(id) = &review.id {
        telling.occurrence(&["review", &id.0, ask.action, &state]);
    }
    if ask.action == "submitted" {
        telling.say(Kind::ReviewSubmitted, vec![state]);
    }
    Ok(())
}

pub(super) fn review_comment(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let pull = ask.need(payload.pull_request.as_ref(), "pull_request")?;
    describe(ask, pull, telling)?;
    learn_change(pull, telling);
    comment(ask, payload, telling)
}

pub(super) fn thread(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let pull = ask.need(payload.pull_request.as_ref(), "pull_request")?;
    describe(ask, pull, telling)?;
    learn_change(pull, telling);
    Ok(())
}

/// The comment itself, wherever it was written; the subject is already told.
pub(super) fn comment(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let comment = ask.need(payload.comment.as_ref(), "comment")?;
    let body = ask.need(comment.body.clone(), "comment.body")?;
    let writer = with_association(comment.user.as_ref(), comment.author_association.as_ref());
    relate_actor(telling.event.actor.as_mut(), writer.as_ref(), ask.action);
    if ask.action == "created" {
        telling.event.actor = writer.or(telling.event.actor.take());
    }
    let id = comment.id.as_ref().map_or_else(String::new, |id| id.0.clone());
    match (id.is_empty(), ask.action) {
        (true, _) => {}
        (false, "created") => telling.occurrence(&["comment", &id]),
        (false, action) => {
            telling.occurrence(&["comment", &id, action, comment.updated_at.as_deref().unwrap_or_default()]);
        }
    }
    telling.event.url.clone_from(&comment.html_url);
    telling.event.text = Some(body.clone());
    telling.event.comment = Some(Comment {
        id,
        body,
        url: comment.html_url.clone(),
        path: comment.path.clone(),
        line: comment.line.or(comment.original_line),
        args: None,
    });
    if ask.action == "created" {
        telling.say(Kind::CommentCreated, Vec::new());
    }
    Ok(())
}

/// Fills the event from the pull request; answers its number.
fn describe(ask: &Ask<'_>, pull: &PullRequest, telling: &mut Telling) -> Result<u64, NotUnderstood> {
    let number = ask.need(pull.number, "pull_request.number")?;
    let head = ask.need(pull.head.as_ref(), "pull_request.head")?;
    let base = ask.need(pull.base.as_ref(), "pull_request.base")?;
    let repo = telling.event.repo.clone().or_else(|| full_name(base.repo.as_ref()?));
    let repo = ask.need(repo, "repository.full_name")?;
    let host = telling.event.host.clone();
    let head_repo = head.repo.as_ref().and_then(full_name);
    telling.event.subject = match (&head_repo, &head.branch) {
        (Some(head_repo), Some(branch)) => branch_subject(&host, &repo, head_repo, branch),
        // A fork that was deleted: the repository itself cannot be, it sends this.
        _ => Subject { key: format!("{host}/{repo}#{number}"), origin: Origin::Fork },
    };
    let merged = pull.merged.or_else(|| pull.merged_at.as_ref().map(|_| true));
    let event = &mut telling.event;
    event.repo = Some(repo);
    event.branch.clone_from(&head.branch);
    event.base.clone_from(&base.branch);
    event.sha.clone_from(&head.sha);
    event.url.clone_from(&pull.html_url);
    event.text = joined(pull.title.as_deref(), pull.body.as_deref());
    event.labels = pull.labels.as_ref().map(|labels| labels.0.clone());
    event.author = with_association(pull.user.as_ref(), pull.author_association.as_ref());
    event.outcome.clone_from(&pull.state);
    event.change = Some(Change {
        number,
        title: pull.title.clone(),
        body: pull.body.clone(),
        url: pull.html_url.clone(),
        draft: pull.draft,
        open: pull.state.as_deref().map(|state| state == "open"),
        merged,
        head_repo,
        branch: head.branch.clone(),
        base: base.branch.clone(),
        sha: head.sha.clone(),
    });
    Ok(number)
}

fn facts(telling: &Telling, pull: &PullRequest) -> Facts {
    let change = telling.event.change.as_ref();
    Facts {
        change: change.map(|change| change.number),
        author: telling.event.author.clone(),
        fork: Some(telling.event.subject.origin == Origin::Fork),
        draft: pull.draft,
        open: change.and_then(|change| change.open),
        labels: telling.event.labels.clone(),
        branch: telling.event.branch.clone(),
        base: telling.event.base.clone(),
        head_sha: telling.event.sha.clone(),
        ..Facts::default()
    }
}

fn learn_change(pull: &PullRequest, telling: &mut Telling) {
    let facts = facts(telling, pull);
    let key = telling.event.subject.key.clone();
    telling.learn(&key, facts);
}
