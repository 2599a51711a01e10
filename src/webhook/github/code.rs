//! GitHub's pushes, comments on commits, deployments and new repositories.

use super::payload::{CommitAuthor, Payload};
use super::{Ask, change};
use crate::model::event::{Kind, Origin, Person, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject, commit_subject};
use crate::webhook::words::{branch_of, has_bot_suffix, is_human, is_zero, tag_of};

pub(super) fn push(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let reference = ask.need(payload.reference.as_deref(), "ref")?;
    let repo = ask.need(telling.event.repo.clone(), "repository.full_name")?;
    let after = ask.need(payload.after.clone(), "after")?;
    let deleted = payload.deleted == Some(true) || is_zero(&after);
    let host = telling.event.host.clone();
    let head = payload.head_commit.as_ref();
    if telling.event.actor.is_none() {
        // Old bodies name the pusher only.
        let login = payload.pusher.as_ref().and_then(|pusher| pusher.name.clone());
        telling.event.actor = login.filter(|login| login != "none").map(|login| {
            let bot = has_bot_suffix(&login).then_some(true);
            Person { login, bot, ..Person::default() }
        });
    }
    telling.event.url = payload.compare.clone().or_else(|| head?.url.clone());
    telling.event.text = head.and_then(|commit| commit.message.clone());
    telling.occurrence(&["push", &repo, reference, &after]);
    if let Some(tag) = tag_of(reference) {
        if !deleted {
            telling.event.subject = Subject { key: format!("{host}/{repo}@{after}"), origin: Origin::Base };
            telling.event.sha = Some(after);
            telling.say(Kind::TagPushed, vec![tag.to_owned()]);
        }
        return Ok(());
    }
    let branch = ask.need(branch_of(reference), "a branch or tag in ref")?;
    telling.event.branch = Some(branch.to_owned());
    telling.event.subject = branch_subject(&host, &repo, &repo, branch);
    let key = telling.event.subject.key.clone();
    let before = payload.before.as_deref();
    if deleted {
        telling.learn_deletion(&key, branch, before);
        return Ok(());
    }
    telling.event.sha = Some(after.clone());
    let facts = Facts {
        fork: Some(false),
        branch: Some(branch.to_owned()),
        head_sha: Some(after),
        last_pusher: telling.event.actor.clone(),
        ..Facts::default()
    };
    telling.learn_push(&key, facts, before);
    let pushed_by_human = telling.event.actor.as_ref().is_some_and(|actor| is_human(actor, ask.delivery.agents()));
    let author = head.and_then(|commit| commit.author.as_ref());
    if pushed_by_human && author.is_some_and(|author| is_human(&committer(author), ask.delivery.agents())) {
        telling.note_human_push();
    }
    telling.say(Kind::Push, Vec::new());
    Ok(())
}

/// Whoever wrote a commit. Git knows no bots: one shows itself by its name or its address.
fn committer(author: &CommitAuthor) -> Person {
    let names = [&author.username, &author.name];
    let bot = names.into_iter().flatten().any(|name| has_bot_suffix(name))
        || author.email.as_deref().is_some_and(|email| email.to_ascii_lowercase().contains("[bot]@"));
    let login = author.username.clone().or_else(|| author.name.clone()).unwrap_or_default();
    Person { login, bot: Some(bot), ..Person::default() }
}

pub(super) fn commit_comment(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let comment = ask.need(payload.comment.as_ref(), "comment")?;
    let sha = ask.need(comment.commit_id.clone(), "comment.commit_id")?;
    let repo = ask.need(telling.event.repo.clone(), "repository.full_name")?;
    telling.event.subject = commit_subject(&telling.event.host, &repo, &sha);
    telling.event.sha = Some(sha);
    change::comment(ask, payload, telling)
}

pub(super) fn deployment_status(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let status = ask.need(payload.deployment_status.as_ref(), "deployment_status")?;
    let deployment = ask.need(payload.deployment.as_ref(), "deployment")?;
    let state = ask.need(status.state.clone(), "deployment_status.state")?;
    if let (Some(repo), Some(sha)) = (&telling.event.repo, &deployment.sha) {
        telling.event.subject = commit_subject(&telling.event.host, repo, sha);
    }
    telling.event.sha.clone_from(&deployment.sha);
    // The ref may also be a tag or the commit itself; none of them says whose branch it is.
    telling.event.branch = deployment.branch.clone().filter(|name| deployment.sha.as_ref() != Some(name));
    telling.event.url = status.log_url.clone().or_else(|| status.target_url.clone()).filter(|url| !url.is_empty());
    telling.event.text = status.description.clone().filter(|text| !text.is_empty());
    telling.event.outcome = Some(state.clone());
    if let Some(id) = &status.id {
        telling.occurrence(&["deployment_status", &id.0]);
    }
    if matches!(state.as_str(), "failure" | "error") {
        let environment = status.environment.clone().or_else(|| deployment.environment.clone());
        telling.say(Kind::DeploymentFailed, environment.into_iter().collect());
    }
    Ok(())
}

pub(super) fn repository(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let repository = ask.need(payload.repository.as_ref(), "repository")?;
    telling.event.url.clone_from(&repository.html_url);
    if ask.action == "created" {
        if let Some(id) = repository.id {
            telling.occurrence(&["repository", &id.to_string(), "created"]);
        }
        telling.say(Kind::RepoCreated, Vec::new());
    }
    Ok(())
}
