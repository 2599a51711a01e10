//! GitHub's checks: check runs and suites, workflow runs and jobs, commit statuses.

use super::payload::{Payload, PullReference, Repository};
use super::{Ask, full_name, same_repository};
use crate::model::event::{Change, Check, Kind, Origin, Subject};
use crate::model::subject::Facts;
use crate::webhook::tolerant::Id;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject, commit_subject};
use crate::webhook::words::joined;

/// The kind of a conclusion. Neutral, skipped, stale and `action_required` are none: nothing is broken and nothing is
/// proved.
fn kind_of(conclusion: &str) -> Option<Kind> {
    match conclusion {
        "failure" | "timed_out" | "startup_failure" => Some(Kind::CiFailed),
        "success" => Some(Kind::CiSucceeded),
        "cancelled" => Some(Kind::CiCancelled),
        _ => None,
    }
}

/// What a check body says of how far it is: the conclusion once completed, else the state it is in.
fn outcome_of(ask: &Ask<'_>, status: Option<&str>, conclusion: Option<&str>) -> String {
    match (status, conclusion) {
        // The old conclusion still stands in a body that asks for the check to be run again.
        (Some("completed"), _) if ask.action == "rerequested" => "queued",
        (Some("completed") | None, Some(conclusion)) => conclusion,
        (Some(status), _) => status,
        (None, None) => "unknown",
    }
    .to_owned()
}

pub(super) fn check_run(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let run = ask.need(payload.check_run.as_ref(), "check_run")?;
    let suite = run.check_suite.as_ref();
    let sha = ask.need(run.head_sha.clone().or_else(|| suite?.head_sha.clone()), "check_run.head_sha")?;
    let ended = run.status.as_deref() == Some("completed") && matches!(ask.action, "created" | "completed");
    let outcome = outcome_of(ask, run.status.as_deref(), run.conclusion.as_deref());
    let pulls =
        if run.pull_requests.is_empty() { suite.map_or(&[][..], |s| &s.pull_requests) } else { &run.pull_requests };
    locate(telling, payload, sha, suite.and_then(|s| s.head_branch.clone()), pulls);
    telling.event.url = run.html_url.clone().or_else(|| run.details_url.clone());
    let output = run.output.as_ref();
    let check = Check {
        name: run.name.clone().unwrap_or_default(),
        aggregate: false,
        outcome,
        url: run.details_url.clone().or_else(|| run.html_url.clone()),
        summary: output.and_then(|o| joined(o.title.as_deref(), o.summary.as_deref())),
        group: run.app.as_ref().and_then(|app| app.slug.clone().or_else(|| app.name.clone())),
    };
    if let Some(id) = &run.id {
        match &run.completed_at {
            Some(at) if ended => telling.occurrence(&["check_run", &id.0, at]),
            _ if ended => telling.occurrence(&["check_run", &id.0, &check.outcome]),
            _ => telling.occurrence(&["check_run", &id.0, ask.action, &check.outcome]),
        }
    }
    conclude(telling, check, suite.and_then(|suite| suite.id.as_ref()), ended);
    Ok(())
}

pub(super) fn check_suite(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let suite = ask.need(payload.check_suite.as_ref(), "check_suite")?;
    let sha = ask.need(suite.head_sha.clone(), "check_suite.head_sha")?;
    let ended = ask.action == "completed";
    let outcome = outcome_of(ask, suite.status.as_deref(), suite.conclusion.as_deref());
    locate(telling, payload, sha, suite.head_branch.clone(), &suite.pull_requests);
    let app = suite.app.as_ref();
    telling.event.url = page(payload, &format!("commit/{}/checks", suite.head_sha.as_deref().unwrap_or_default()));
    let check = Check {
        name: app.and_then(|app| app.name.clone().or_else(|| app.slug.clone())).unwrap_or_default(),
        aggregate: true,
        outcome,
        url: telling.event.url.clone(),
        summary: None,
        group: app.and_then(|app| app.slug.clone()),
    };
    if let (Some(id), Some(at)) = (&suite.id, &suite.updated_at) {
        if ended {
            telling.occurrence(&["check_suite", &id.0, at]);
        } else {
            telling.occurrence(&["check_suite", &id.0, ask.action, at]);
        }
    }
    if ended {
        conclude(telling, check, suite.id.as_ref(), true);
    } else {
        // GitHub opens a suite for every app; those of apps that have nothing to say never end.
        telling.event.outcome = Some(check.outcome.clone());
        telling.event.checks = vec![check];
    }
    Ok(())
}

pub(super) fn workflow_run(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let run = ask.need(payload.workflow_run.as_ref(), "workflow_run")?;
    let sha = ask.need(run.head_sha.clone(), "workflow_run.head_sha")?;
    let ended = ask.action == "completed";
    let own = telling.event.repo.clone();
    let from = run.head_repository.as_ref().and_then(full_name);
    // Here the branch may well be a fork's; the head repository tells.
    locate(telling, payload, sha, None, &run.pull_requests);
    telling.event.branch = telling.event.branch.take().or_else(|| run.head_branch.clone());
    if let (Some(repo), Some(head_repo), Some(branch)) = (&own, &from, &run.head_branch) {
        telling.event.subject = branch_subject(&telling.event.host, repo, head_repo, branch);
        if let Some(change) = &mut telling.event.change {
            change.head_repo.get_or_insert_with(|| head_repo.clone());
        }
        let facts = Facts {
            branch: Some(branch.clone()),
            fork: Some(telling.event.subject.origin == Origin::Fork),
            ..Facts::default()
        };
        let key = telling.event.subject.key.clone();
        telling.learn(&key, facts);
    }
    telling.event.url.clone_from(&run.html_url);
    let name = run.name.clone().or_else(|| payload.workflow.as_ref()?.name.clone()).unwrap_or_default();
    let check = Check {
        name,
        aggregate: true,
        outcome: outcome_of(ask, run.status.as_deref(), run.conclusion.as_deref()),
        url: run.html_url.clone(),
        summary: None,
        group: Some("github-actions".to_owned()),
    };
    if let Some(id) = &run.id {
        let attempt = run.run_attempt.as_ref().map_or("1", |attempt| &attempt.0);
        if ended {
            telling.occurrence(&["workflow_run", &id.0, attempt]);
        } else {
            telling.occurrence(&["workflow_run", &id.0, attempt, ask.action]);
        }
    }
    conclude(telling, check, run.id.as_ref(), ended);
    Ok(())
}

pub(super) fn workflow_job(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let job = ask.need(payload.workflow_job.as_ref(), "workflow_job")?;
    let sha = ask.need(job.head_sha.clone(), "workflow_job.head_sha")?;
    let ended = ask.action == "completed";
    // No head repository is told, so the branch may be a fork's of the same name: the commit has to be looked up.
    locate(telling, payload, sha, None, &[]);
    telling.event.branch.clone_from(&job.head_branch);
    telling.event.url.clone_from(&job.html_url);
    let check = Check {
        name: job.name.clone().unwrap_or_default(),
        aggregate: false,
        outcome: outcome_of(ask, job.status.as_deref(), job.conclusion.as_deref()),
        url: job.html_url.clone(),
        summary: None,
        group: job.workflow_name.clone(),
    };
    if let Some(id) = &job.id {
        if ended {
            telling.occurrence(&["workflow_job", &id.0]);
        } else {
            telling.occurrence(&["workflow_job", &id.0, ask.action]);
        }
    }
    conclude(telling, check, job.run_id.as_ref(), ended);
    Ok(())
}

pub(super) fn status(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let sha = ask.need(payload.sha.clone(), "sha")?;
    let state = ask.need(payload.state.clone(), "state")?;
    let context = ask.need(payload.context.clone(), "context")?;
    // The listed branches are the repository's own; those that moved on say nothing about where this commit belongs.
    let mut heads = payload
        .branches
        .iter()
        .filter(|branch| branch.commit.as_ref().and_then(|c| c.sha.as_ref()) == Some(&sha))
        .filter_map(|branch| branch.name.clone());
    let branch = match (heads.next(), heads.next()) {
        (Some(branch), None) => Some(branch),
        _ => None,
    };
    locate(telling, payload, sha, branch, &[]);
    telling.event.url.clone_from(&payload.target_url);
    let check = Check {
        name: context,
        aggregate: false,
        outcome: state.clone(),
        url: payload.target_url.clone(),
        summary: payload.description.clone(),
        group: None,
    };
    if let Some(id) = &payload.id {
        telling.occurrence(&["status", &id.0]);
    }
    let kind = if state == "error" { Some(Kind::CiFailed) } else { kind_of(&state) };
    finish(telling, check, None, kind);
    Ok(())
}

/// Finds what the commit is about: the repository's own branch if one is named, a change if a listed one really
/// belongs to this repository, and else the bare commit.
fn locate(telling: &mut Telling, payload: &Payload, sha: String, branch: Option<String>, pulls: &[PullReference]) {
    let (Some(repository), Some(repo)) = (&payload.repository, telling.event.repo.clone()) else {
        telling.event.sha = Some(sha);
        return;
    };
    let host = telling.event.host.clone();
    let change = change_of(repository, pulls, &sha, branch.as_deref());
    let head_repo = change.as_ref().and_then(|change| change.head_repo.clone());
    let branch = branch.or_else(|| change.as_ref()?.branch.clone());
    telling.event.subject = match &branch {
        // Checks of a fork's commit name no branch, so a named one is the repository's own.
        Some(branch) => branch_subject(&host, &repo, head_repo.as_deref().unwrap_or(&repo), branch),
        None => commit_subject(&host, &repo, &sha),
    };
    let facts = Facts {
        change: change.as_ref().map(|change| change.number),
        fork: branch.as_ref().map(|_| telling.event.subject.origin == Origin::Fork),
        branch: branch.clone(),
        base: change.as_ref().and_then(|change| change.base.clone()),
        head_sha: change.as_ref().and_then(|change| change.sha.clone()),
        ..Facts::default()
    };
    telling.event.sha = Some(sha);
    telling.event.branch = branch;
    telling.event.base = change.as_ref().and_then(|change| change.base.clone());
    telling.event.change =
        change.map(|change| Change { url: page(payload, &format!("pull/{}", change.number)), ..change });
    let Subject { key, origin } = telling.event.subject.clone();
    if origin != Origin::Unknown {
        telling.learn(&key, facts);
    }
}

/// The one listed change into this repository whose head this commit is. The list may hold changes of other
/// repositories, and changes that merely share the branch.
fn change_of(own: &Repository, pulls: &[PullReference], sha: &str, branch: Option<&str>) -> Option<Change> {
    let mut fitting = pulls.iter().filter_map(|pull| {
        let (head, base) = (pull.head.as_ref()?, pull.base.as_ref()?);
        let fits = same_repository(base.repo.as_ref()?, own)
            && head.sha.as_deref() == Some(sha)
            && branch.is_none_or(|branch| head.branch.as_deref() == Some(branch));
        fits.then_some(())?;
        let head_repo = head.repo.as_ref()?;
        Some(Change {
            number: pull.number?,
            head_repo: if same_repository(head_repo, own) { full_name(own) } else { full_name(head_repo) },
            branch: head.branch.clone(),
            base: base.branch.clone(),
            sha: head.sha.clone(),
            ..Change::default()
        })
    });
    match (fitting.next(), fitting.next()) {
        (Some(change), None) => Some(change),
        _ => None,
    }
}

fn page(payload: &Payload, path: &str) -> Option<String> {
    Some(format!("{}/{path}", payload.repository.as_ref()?.html_url.as_ref()?))
}

fn conclude(telling: &mut Telling, check: Check, within: Option<&Id>, ended: bool) {
    let kind = if ended { kind_of(&check.outcome) } else { None };
    finish(telling, check, within, kind);
}

fn finish(telling: &mut Telling, check: Check, within: Option<&Id>, kind: Option<Kind>) {
    telling.event.outcome = Some(check.outcome.clone());
    if check.aggregate && kind == Some(Kind::CiSucceeded) {
        telling.note_green();
    }
    telling.note_check(&check, within);
    telling.event.checks = vec![check];
    if let Some(kind) = kind {
        telling.say_all(kind);
    }
}
