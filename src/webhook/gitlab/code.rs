//! GitLab's pushes, tags, deployments and new projects.

use super::payload::{CommitAuthor, Payload};
use super::{Ask, named};
use crate::model::event::{Kind, Origin, Person, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject, commit_subject};
use crate::webhook::words::{branch_of, has_bot_suffix, is_human, is_zero, tag_of};

pub(super) fn push(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let repo = ask.need(telling.event.repo.clone(), "project.path_with_namespace")?;
    let reference = ask.need(payload.reference.as_deref(), "ref")?;
    let branch = ask.need(branch_of(reference), "a branch in ref")?;
    let after = ask.need(payload.after.clone(), "after")?;
    actor(payload, telling);
    telling.occurrence(&["push", &repo, reference, &after]);
    telling.event.branch = Some(branch.to_owned());
    telling.event.subject = branch_subject(&telling.event.host, &repo, &repo, branch);
    let key = telling.event.subject.key.clone();
    let before = payload.before.as_deref();
    if is_zero(&after) {
        telling.learn_deletion(&key, branch, before);
        return Ok(());
    }
    let head = payload.commits.iter().find(|commit| commit.id.as_ref() == Some(&after));
    telling.event.text = head.and_then(|commit| commit.message.clone());
    telling.event.url = head.and_then(|commit| commit.url.clone());
    telling.event.sha = Some(after.clone());
    let facts = Facts {
        fork: Some(false),
        branch: Some(branch.to_owned()),
        head_sha: Some(after),
        last_pusher: telling.event.actor.clone(),
        ..Facts::default()
    };
    telling.learn_push(&key, facts, before);
    let agents = ask.delivery.agents();
    let pushed_by_human = telling.event.actor.as_ref().is_some_and(|actor| is_human(actor, agents));
    let author = head.and_then(|commit| commit.author.as_ref());
    if pushed_by_human && author.is_some_and(|author| is_human(&committer(author), agents)) {
        telling.note_human_push();
    }
    telling.say(Kind::Push, Vec::new());
    Ok(())
}

/// Whoever wrote a commit; bots show themselves by their name or address.
fn committer(author: &CommitAuthor) -> Person {
    let name = author.name.clone().unwrap_or_default();
    let local = author.email.as_deref().and_then(|email| email.split('@').next()).unwrap_or_default();
    let bot = has_bot_suffix(&name) || named(&name, None).bot == Some(true) || named(local, None).bot == Some(true);
    Person { login: name, bot: Some(bot), ..Person::default() }
}

pub(super) fn tag_push(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let repo = ask.need(telling.event.repo.clone(), "project.path_with_namespace")?;
    let reference = ask.need(payload.reference.as_deref(), "ref")?;
    let tag = ask.need(tag_of(reference), "a tag in ref")?;
    let after = ask.need(payload.after.as_deref(), "after")?;
    actor(payload, telling);
    telling.occurrence(&["push", &repo, reference, after]);
    if is_zero(after) {
        return Ok(());
    }
    // `after` may be the tag's own object; what is checked out is the commit.
    let sha = payload.checkout_sha.clone().unwrap_or_else(|| after.to_owned());
    telling.event.subject = Subject { key: format!("{}/{repo}@{sha}", telling.event.host), origin: Origin::Base };
    telling.event.sha = Some(sha);
    telling.say(Kind::TagPushed, vec![tag.to_owned()]);
    Ok(())
}

fn actor(payload: &Payload, telling: &mut Telling) {
    let login = payload.user_username.as_ref().or(payload.user_name.as_ref());
    telling.event.actor = login.map(|login| named(login, payload.user_name.clone()));
}

pub(super) fn deployment(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let status = ask.need(payload.status.clone(), "status")?;
    // The full commit id stands at the end of its page's address only.
    let sha = payload.commit_url.as_deref().and_then(|url| url.rsplit('/').next()).filter(|sha| sha.len() >= 40);
    if let (Some(repo), Some(sha)) = (&telling.event.repo, sha) {
        telling.event.subject = commit_subject(&telling.event.host, repo, sha);
    }
    telling.event.sha = sha.map(str::to_owned);
    telling.event.branch.clone_from(&payload.reference);
    telling.event.url.clone_from(&payload.deployable_url);
    telling.event.outcome = Some(status.clone());
    if let Some(id) = &payload.deployment_id {
        telling.occurrence(&["deployment", &id.0, &status, payload.status_changed_at.as_deref().unwrap_or_default()]);
    }
    if status == "failed" {
        telling.say(Kind::DeploymentFailed, payload.environment.clone().into_iter().collect());
    }
    Ok(())
}

pub(super) fn project_create(payload: &Payload, telling: &mut Telling) {
    if let Some(id) = &payload.project_id {
        telling.occurrence(&["project", &id.0, "created", payload.created_at.as_deref().unwrap_or_default()]);
    }
    telling.say(Kind::RepoCreated, Vec::new());
}
