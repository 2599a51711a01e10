//! Why something did or did not happen: everything that is known of what a person points at, told in time order.

mod advice;
mod pointer;
mod rule;
mod tell;

use std::collections::BTreeSet;

use serde::Serialize;
use utoipa::ToSchema;

use super::admin::Admin;
use super::api::items::{DeliveryItem, JobItem};
use super::problem::Refusal;
use crate::model::clock::Timestamp;
use crate::model::pause::Pause;
use crate::store::Sought;
use pointer::Pointer;

pub(super) use rule::{RuleStory, of_rule};

/// Everything that is known of what was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Story {
    /// What was asked.
    pub(super) asked: String,
    /// How that was understood.
    pub(super) about: String,
    /// The short answer.
    pub(super) answer: String,
    /// The subjects that it is about.
    pub(super) subjects: Vec<String>,
    /// What happened, oldest first.
    pub(super) steps: Vec<Step>,
    /// What stands in the way now, or should be known: pauses and open notices.
    pub(super) notes: Vec<String>,
    /// Where to look when nothing came or nothing acted.
    pub(super) advice: Vec<String>,
    /// The deliveries of the story, oldest first.
    pub(super) deliveries: Vec<DeliveryItem>,
    /// The jobs of the story, oldest first.
    pub(super) jobs: Vec<JobItem>,
}

/// One thing that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Step {
    /// When.
    #[schema(format = DateTime)]
    pub(super) at: String,
    /// The same in unix milliseconds.
    pub(super) at_ms: i64,
    /// `delivery`, `job`, `sent`, `run` or `ended`.
    pub(super) what: &'static str,
    /// The outcome of a delivery, or the state of a job.
    pub(super) word: String,
    /// What happened.
    pub(super) text: String,
    /// What rules or gates said to it.
    pub(super) lines: Vec<Line>,
    /// The delivery.
    #[schema(required)]
    pub(super) delivery: Option<String>,
    /// The job.
    #[schema(required)]
    pub(super) job: Option<String>,
    /// Where a person can look at the run.
    #[schema(required)]
    pub(super) url: Option<String>,
}

/// What one rule or gate said.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Line {
    /// The rule or gate.
    pub(super) who: String,
    /// Its decision.
    pub(super) word: String,
    /// Why, with the actual value.
    pub(super) why: String,
}

impl Step {
    fn new(at: Timestamp, what: &'static str, word: &str, text: String) -> Self {
        Self {
            at: at.to_rfc3339(),
            at_ms: at.0,
            what,
            word: word.to_owned(),
            text,
            lines: Vec::new(),
            delivery: None,
            job: None,
            url: None,
        }
    }
}

/// What is looked for, and how it is called.
#[derive(Debug)]
struct Looked {
    about: String,
    sought: Sought,
    /// The repository or project, when it is known.
    place: Option<String>,
    host: Option<String>,
}

/// Tells the story of whatever `asked` points at.
pub(super) async fn of(admin: &Admin, asked: &str) -> Result<Story, Refusal> {
    let pointer = pointer::read(asked).map_err(|wrong| Refusal::BadRequest(wrong.into()))?;
    let mut looked = look(admin, pointer).await?;
    let mut found = admin.store.story(&looked.sought).await?;
    found.jobs = admin.standing(found.jobs).await?.into_iter().map(|it| it.job).collect();
    if looked.place.is_none() {
        let of_job = found.jobs.iter().find_map(|job| job.repo.clone());
        looked.place = of_job.or_else(|| found.deliveries.iter().find_map(|delivery| delivery.repo.clone()));
    }
    let concerned = |pause: &&Pause| tell::concerns(pause, &found, &looked);
    let mut notes: Vec<String> = found.pauses.iter().filter(concerned).map(tell::pause).collect();
    notes.extend(found.notices.iter().map(|notice| format!("{}: {}", notice.about, notice.text)));
    let advice = advice::advice(admin, &looked, &found).await?;
    let mut subjects: BTreeSet<String> = looked.sought.subjects.clone();
    subjects.extend(found.jobs.iter().map(|job| job.subject.clone()).filter(|subject| !subject.is_empty()));
    Ok(Story {
        asked: asked.trim().to_owned(),
        answer: tell::answer(&looked.about, &found),
        about: looked.about,
        subjects: subjects.into_iter().collect(),
        steps: tell::steps(&found),
        notes,
        advice,
        deliveries: found.deliveries.into_iter().map(DeliveryItem::from).collect(),
        jobs: found.jobs.into_iter().map(JobItem::from).collect(),
    })
}

/// Finds out what to look for.
async fn look(admin: &Admin, pointer: Pointer) -> Result<Looked, Refusal> {
    let mut looked = Looked { about: String::new(), sought: Sought::default(), place: None, host: None };
    let sought = &mut looked.sought;
    match pointer {
        Pointer::Numbered { host, repo, number } => {
            looked.about = match &host {
                Some(host) => format!("{repo}#{number} on {host}"),
                None => format!("{repo}#{number}"),
            };
            let known = admin.store.subjects_numbered(host.as_deref(), &repo, number).await?;
            sought.subjects.extend(known.into_iter().map(|known| known.key));
            // An issue that only comments spoke of, or a change whose branch nobody told.
            let hosts = host.iter().cloned().chain(["github.com".to_owned()]).take(1);
            sought.subjects.extend(hosts.map(|host| format!("{host}/{repo}#{number}")));
            (looked.host, looked.place) = (host, Some(repo));
        }
        Pointer::Ticket { site, key } => {
            looked.about = format!("ticket {key}");
            let called = admin.store.subjects_called(&key).await?;
            let here = |subject: &String| site.as_ref().is_none_or(|site| subject.starts_with(&format!("{site}/")));
            sought.subjects.extend(called.into_iter().filter(here));
            sought.subjects.extend(site.iter().map(|site| format!("{site}/{key}")));
            looked.place = key.rsplit_once('-').map(|(project, _)| project.to_owned());
            looked.host = site;
        }
        Pointer::Check { host, repo, objects } => {
            looked.about = format!("{} of {repo}", objects.first().map_or("", |object| after_host(object)));
            sought.objects.extend(objects);
            (looked.host, looked.place) = (Some(host), Some(repo));
        }
        Pointer::Commit { repo, sha } => {
            looked.about = format!("commit {sha}");
            sought.shas.insert(sha);
            looked.place = repo;
        }
        Pointer::Subject(key) => {
            looked.about.clone_from(&key);
            looked.place =
                key.split_once('/').and_then(|(_, rest)| rest.split_once('@')).map(|(repo, _)| repo.to_owned());
            looked.host = key.split_once('/').map(|(host, _)| host.to_owned());
            sought.subjects.insert(key);
        }
        Pointer::Repo(repo) => {
            looked.about = format!("the repository {repo}");
            sought.deliveries.extend(admin.store.last_of_repo(&repo).await?.map(|delivery| delivery.id));
            looked.place = Some(repo);
        }
        Pointer::Id(id) => {
            if admin.store.job(&id).await?.is_some() {
                looked.about = format!("job {id}");
                sought.jobs.insert(id);
            } else if admin.store.delivery(&id).await?.is_some() {
                looked.about = format!("delivery {id}");
                sought.deliveries.insert(id);
            } else {
                return Err(Refusal::NotFound(format!("there is no delivery and no job {id}").into()));
            }
        }
        Pointer::Number(digits) => {
            let run = match digits.parse() {
                Ok(run) => admin.store.run(run).await?.map(|known| (run, known.job)),
                Err(_) => None,
            };
            match run {
                Some((run, job)) => {
                    looked.about = format!("run {run}");
                    sought.runs.insert(run);
                    sought.jobs.insert(job);
                }
                None if digits.len() >= 7 => {
                    looked.about = format!("commit {digits}");
                    sought.shas.insert(digits);
                }
                None => return Err(Refusal::NotFound(format!("there is no run {digits} of ours").into())),
            }
        }
    }
    widen(admin, &mut looked).await?;
    Ok(looked)
}

/// What belongs to a subject beside it: the commits that its head was at, and the ticket that it is part of.
async fn widen(admin: &Admin, looked: &mut Looked) -> Result<(), Refusal> {
    for subject in looked.sought.subjects.clone() {
        looked.sought.shas.extend(admin.store.heads_of(&subject).await?);
        if let Some(whole) = admin.store.facts(&subject).await?.and_then(|facts| facts.part_of) {
            looked.sought.subjects.insert(whole);
        }
    }
    Ok(())
}

fn after_host(object: &str) -> &str {
    object.split_once('/').map_or(object, |(_, rest)| rest)
}
