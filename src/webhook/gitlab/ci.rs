//! GitLab's pipelines and jobs.

use super::payload::{Attributes, Build, Payload};
use super::{Ask, payload};
use crate::model::event::{Change, Check, Kind, Origin, Subject};
use crate::model::subject::Facts;
use crate::webhook::understood::{NotUnderstood, Telling, branch_subject, commit_subject};

/// The kind of a pipeline's or job's status; all others are on the way or say nothing.
fn kind_of(status: &str) -> Option<Kind> {
    match status {
        "failed" => Some(Kind::CiFailed),
        "success" => Some(Kind::CiSucceeded),
        "canceled" => Some(Kind::CiCancelled),
        _ => None,
    }
}

/// What a job counts as: a failure that is allowed is none.
fn outcome_of(status: &str, allow_failure: Option<bool>) -> String {
    if status == "failed" && allow_failure == Some(true) { "neutral" } else { status }.to_owned()
}

pub(super) fn pipeline(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    let pipeline = ask.need(payload.object_attributes.as_ref(), "object_attributes")?;
    let status = ask.need(pipeline.status.clone(), "object_attributes.status")?;
    let sha = pipeline.sha.clone().or_else(|| payload.commit.as_ref()?.id.clone());
    telling.event.sha = Some(ask.need(sha, "object_attributes.sha")?);
    locate_pipeline(payload, pipeline, telling);
    let web = payload.project.as_ref().and_then(|project| project.web_url.clone());
    let page = |path: &str, id: Option<&String>| Some(format!("{}/-/{path}/{}", web.as_ref()?, id?));
    let url = pipeline.url.clone().or_else(|| page("pipelines", pipeline.id.as_ref().map(|id| &id.0)));
    telling.event.url.clone_from(&url);
    telling.event.text = payload.commit.as_ref().and_then(|commit| commit.message.clone());
    telling.event.outcome = Some(status.clone());
    let whole = Check {
        name: pipeline.name.clone().unwrap_or_else(|| "pipeline".to_owned()),
        aggregate: true,
        outcome: status.clone(),
        url,
        summary: None,
        group: pipeline.source_word.clone(),
    };
    let builds: Vec<Check> =
        payload.builds.iter().map(|build| check_of(build, page("jobs", build.id.as_ref().map(|id| &id.0)))).collect();
    let kind = kind_of(&status);
    if let Some(id) = &pipeline.id {
        match &pipeline.finished_at {
            Some(at) if kind.is_some() => telling.occurrence(&["pipeline", &id.0, at]),
            _ => telling.occurrence(&["pipeline", &id.0, &status]),
        }
    }
    telling.note_check(&whole, pipeline.id.as_ref());
    for build in &builds {
        telling.note_check(build, pipeline.id.as_ref());
    }
    let failed: Vec<Check> = builds.into_iter().filter(|build| build.outcome == "failed").collect();
    telling.event.checks = if status == "failed" && !failed.is_empty() { failed } else { vec![whole] };
    if let Some(kind) = kind {
        if kind == Kind::CiSucceeded {
            telling.note_green();
        }
        telling.say(kind, Vec::new());
    }
    Ok(())
}

fn check_of(build: &Build, url: Option<String>) -> Check {
    Check {
        name: build.name.clone().unwrap_or_default(),
        aggregate: false,
        outcome: outcome_of(build.status.as_deref().unwrap_or("unknown"), build.allow_failure),
        url,
        summary: build.failure_reason.clone(),
        group: build.stage.clone(),
    }
}

/// A pipeline belongs to a branch or tag of its own project, unless it runs for a merge request from elsewhere.
fn locate_pipeline(payload: &Payload, pipeline: &Attributes, telling: &mut Telling) {
    let own = payload.project.as_ref().and_then(|project| project.id);
    let request = payload.merge_request.as_ref();
    // A merge request into another project is none of this one's.
    let into_own = request.filter(|request| own.is_none() || request.target_project_id == own);
    let for_request = pipeline.source_word.as_deref() == Some("merge_request_event");
    match into_own {
        Some(request) => {
            let from_own = match (request.source_project_id, request.target_project_id) {
                (Some(source), Some(target)) => Some(source == target),
                _ => None,
            };
            name_change(request, from_own, telling);
        }
        None if for_request && request.is_none() => locate(telling, None, pipeline.reference.as_deref()),
        None if pipeline.tag == Some(true) => locate_tag(telling),
        None => locate(telling, pipeline.reference.as_deref(), None),
    }
}

fn name_change(request: &payload::Attributes, from_own: Option<bool>, telling: &mut Telling) {
    let (Some(repo), Some(number)) = (telling.event.repo.clone(), request.iid) else {
        return locate(telling, None, request.source_branch.as_deref());
    };
    let branch = request.source_branch.clone();
    telling.event.subject = match (&branch, from_own) {
        (Some(branch), Some(true)) => branch_subject(&telling.event.host, &repo, &repo, branch),
        // The body gives a fork's number, not its name: the change stands for it.
        (_, from_own) => Subject {
            key: format!("{}/{repo}!{number}", telling.event.host),
            origin: if from_own == Some(false) { Origin::Fork } else { Origin::Unknown },
        },
    };
    telling.event.branch.clone_from(&branch);
    telling.event.base.clone_from(&request.target_branch);
    let open = request.state.as_deref().map(|state| state == "opened");
    telling.event.change = Some(Change {
        number,
        title: request.title.clone(),
        url: request.url.clone(),
        open,
        head_repo: (from_own == Some(true)).then(|| repo.clone()),
        branch: branch.clone(),
        base: request.target_branch.clone(),
        ..Change::default()
    });
    let facts = Facts {
        change: Some(number),
        fork: from_own.map(|own| !own),
        open,
        branch,
        base: request.target_branch.clone(),
        ..Facts::default()
    };
    let key = telling.event.subject.key.clone();
    telling.learn(&key, facts);
}

/// `own` is a branch of the project itself, `named` one of which only the name is known.
fn locate(telling: &mut Telling, own: Option<&str>, named: Option<&str>) {
    let host = telling.event.host.clone();
    let (repo, sha) = (telling.event.repo.clone(), telling.event.sha.clone());
    telling.event.branch = own.or(named).map(str::to_owned);
    if let (Some(repo), Some(branch)) = (&repo, own) {
        telling.event.subject = branch_subject(&host, repo, repo, branch);
        let facts = Facts { fork: Some(false), branch: Some(branch.to_owned()), ..Facts::default() };
        let key = telling.event.subject.key.clone();
        telling.learn(&key, facts);
    } else if let (Some(repo), Some(sha)) = (&repo, &sha) {
        telling.event.subject = commit_subject(&host, repo, sha);
    }
}

/// Pushing a tag needs write access, like a branch.
fn locate_tag(telling: &mut Telling) {
    if let (Some(repo), Some(sha)) = (&telling.event.repo, &telling.event.sha) {
        telling.event.subject = Subject { key: format!("{}/{repo}@{sha}", telling.event.host), origin: Origin::Base };
    }
}

pub(super) fn job(ask: &Ask<'_>, payload: &Payload, telling: &mut Telling) -> Result<(), NotUnderstood> {
    // Only the status decides: jobs that did not fail carry a failure reason too.
    let status = payload.build_status.clone().or_else(|| payload.job_status.clone());
    let status = ask.need(status, "build_status")?;
    // `commit.id` is the pipeline's id here.
    let sha = payload.sha.clone().or_else(|| payload.commit.as_ref()?.sha.clone());
    telling.event.sha = Some(ask.need(sha, "sha")?);
    let allow_failure = payload.build_allow_failure.or(payload.job_allow_failure);
    match payload.reference.as_deref() {
        _ if payload.tag == Some(true) => locate_tag(telling),
        Some(reference) => match reference.strip_prefix("refs/merge-requests/") {
            // A pipeline for a merge request names that instead of a branch.
            Some(rest) => {
                let number = rest.split('/').next().and_then(|number| number.parse().ok());
                let request = Attributes { iid: number, ..Attributes::default() };
                name_change(&request, None, telling);
            }
            None => locate(telling, Some(reference), None),
        },
        None => locate(telling, None, None),
    }
    let id = payload.build_id.as_ref().or(payload.job_id.as_ref());
    if let Some(id) = id {
        telling.occurrence(&["build", &id.0, &status]);
    }
    let pages = [
        payload.project.as_ref().and_then(|project| project.web_url.as_ref()),
        payload.repository.as_ref().and_then(|repository| repository.homepage.as_ref()),
    ];
    let page = pages.into_iter().flatten().next();
    let url = page.zip(id).map(|(page, id)| format!("{page}/-/jobs/{}", id.0));
    let reason = payload.build_failure_reason.clone().or_else(|| payload.job_failure_reason.clone());
    let check = Check {
        name: payload.build_name.clone().or_else(|| payload.job_name.clone()).unwrap_or_default(),
        aggregate: false,
        outcome: outcome_of(&status, allow_failure),
        url: url.clone(),
        summary: reason.filter(|_| status == "failed"),
        group: payload.build_stage.clone().or_else(|| payload.job_stage.clone()),
    };
    telling.event.url = url;
    telling.event.outcome = Some(status);
    telling.note_check(&check, payload.pipeline_id.as_ref());
    let kind = kind_of(&check.outcome);
    telling.event.checks = vec![check];
    if let Some(kind) = kind {
        telling.say(kind, Vec::new());
    }
    Ok(())
}
