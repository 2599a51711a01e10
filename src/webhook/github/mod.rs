//! GitHub: from a payload and its event name to events.

mod alert;
mod change;
mod ci;
mod code;
mod issue;
mod payload;

use payload::{Account, Payload, Repository};

use super::delivery::Delivery;
use super::tolerant;
use super::understood::{NotUnderstood, Telling, Understood};
use super::words::{has_bot_suffix, host_of, path_of};
use crate::model::event::Person;

/// Accounts without write access can open, comment and push to their fork; what else they do needs at least triage
/// access to the repository (docs.github.com, "Repository roles for an organization").
const OPEN_TO_STRANGERS: [&str; 4] = ["opened", "synchronize", "submitted", "created"];

/// The payload of a delivery, as far as it is read.
#[derive(Debug)]
pub(super) struct Body(Payload);

/// Reads a payload and checks every byte of it.
pub(super) fn read(payload: &[u8]) -> Result<Body, String> {
    tolerant::read(payload).map(Body)
}

/// Tells what a GitHub delivery says.
pub(super) fn tell(delivery: &Delivery, Body(payload): &Body) -> Result<Understood, NotUnderstood> {
    let event = delivery.fixed_event().or(delivery.event_header()).unwrap_or_default();
    let native = match &payload.action {
        Some(action) if !matches!(event, "ping" | "push" | "status") => format!("github:{event}.{action}"),
        _ => format!("github:{event}"),
    };
    fits(event, payload).map_err(|reason| NotUnderstood::new(&native, reason))?;
    let mut telling = Telling::new(delivery, &native, host(payload));
    if event == "ping" {
        return Ok(telling.ping());
    }
    if let Some(repository) = &payload.repository {
        telling.event.repo = full_name(repository);
        telling.event.repo_private = is_private(repository);
    }
    telling.event.actor = payload.sender.as_ref().and_then(person);
    let ask = Ask { event, action: payload.action.as_deref().unwrap_or_default(), native: &native, delivery };
    match event {
        "check_run" => ci::check_run(&ask, payload, &mut telling)?,
        "check_suite" => ci::check_suite(&ask, payload, &mut telling)?,
        "workflow_run" => ci::workflow_run(&ask, payload, &mut telling)?,
        "workflow_job" => ci::workflow_job(&ask, payload, &mut telling)?,
        "status" => ci::status(&ask, payload, &mut telling)?,
        "pull_request" => change::pull_request(&ask, payload, &mut telling)?,
        "pull_request_review" => change::review(&ask, payload, &mut telling)?,
        "pull_request_review_comment" => change::review_comment(&ask, payload, &mut telling)?,
        "pull_request_review_thread" => change::thread(&ask, payload, &mut telling)?,
        "issues" => issue::issues(&ask, payload, &mut telling)?,
        "issue_comment" => issue::comment(&ask, payload, &mut telling)?,
        "commit_comment" => code::commit_comment(&ask, payload, &mut telling)?,
        "push" => code::push(&ask, payload, &mut telling)?,
        "deployment_status" => code::deployment_status(&ask, payload, &mut telling)?,
        "repository" => code::repository(&ask, payload, &mut telling)?,
        "dependabot_alert" | "repository_vulnerability_alert" | "code_scanning_alert" | "secret_scanning_alert" => {
            alert::alert(&ask, payload, &mut telling)?;
        }
        _ => {}
    }
    Ok(telling.finish(delivery))
}

/// What every reader of one event is asked with.
struct Ask<'a> {
    event: &'a str,
    action: &'a str,
    native: &'a str,
    delivery: &'a Delivery,
}

impl Ask<'_> {
    fn need<T>(&self, value: Option<T>, field: &str) -> Result<T, NotUnderstood> {
        value.ok_or_else(|| NotUnderstood::missing(self.native, field))
    }
}

/// The event name is not signed: a body that has another event's shape is not taken for what the name says.
fn fits(event: &str, payload: &Payload) -> Result<(), String> {
    let odd = match event {
        "pull_request" => payload.review.is_some() || payload.comment.is_some(),
        "issues" => payload.comment.is_some(),
        "commit_comment" => payload.issue.is_some() || payload.pull_request.is_some(),
        "issue_comment" => payload.issue.is_none(),
        "check_suite" => payload.check_run.is_some(),
        "push" => payload.pull_request.is_some(),
        _ => false,
    };
    if odd { Err(format!("the body does not have the shape of the event {event}")) } else { Ok(()) }
}

/// The host that the payload's URLs name. Every real payload has one; the header of Enterprise Server is not signed.
fn host(payload: &Payload) -> String {
    let repository = payload.repository.as_ref();
    let accounts = [payload.sender.as_ref(), payload.organization.as_ref(), repository.and_then(|r| r.owner.as_ref())];
    let of_repository = repository.into_iter().flat_map(|r| [&r.html_url, &r.url]);
    let of_accounts = accounts.into_iter().flatten().flat_map(|account| [&account.html_url, &account.url]);
    let host = of_repository.chain(of_accounts).flatten().find_map(|url| host_of(url));
    let host = host.unwrap_or_else(|| "github.com".to_owned());
    // GitHub's clouds answer their API under a name of its own.
    match host.strip_prefix("api.") {
        Some(site) if site == "github.com" || site.ends_with(".ghe.com") => site.to_owned(),
        _ => host,
    }
}

/// `owner/name`, also where only the URL or the two parts are given.
fn full_name(repository: &Repository) -> Option<String> {
    if let Some(name) = repository.full_name.as_ref().filter(|name| name.contains('/')) {
        return Some(name.clone());
    }
    let from_url = [&repository.html_url, &repository.url].into_iter().flatten().find_map(|url| path_of(url));
    if let Some(path) = from_url {
        // API URLs end in `repos/owner/name`, pages in `owner/name`.
        let mut parts = path.rsplit('/');
        if let (Some(name), Some(owner)) = (parts.next(), parts.next()) {
            return Some(format!("{owner}/{name}"));
        }
    }
    let owner = repository.owner.as_ref()?;
    Some(format!("{}/{}", owner.login.as_ref().or(owner.name.as_ref())?, repository.name.as_ref()?))
}

fn is_private(repository: &Repository) -> Option<bool> {
    let by_visibility = repository.visibility.as_deref().map(|word| matches!(word, "private" | "internal"));
    match (repository.private, by_visibility) {
        (None, None) => None,
        (private, visibility) => Some(private == Some(true) || visibility == Some(true)),
    }
}

fn same_repository(left: &Repository, right: &Repository) -> bool {
    match (left.id, right.id) {
        (Some(left), Some(right)) => left == right,
        _ => match (full_name(left), full_name(right)) {
            (Some(left), Some(right)) => left.eq_ignore_ascii_case(&right),
            _ => false,
        },
    }
}

fn person(account: &Account) -> Option<Person> {
    let login = account.login.clone()?;
    let bot = match account.kind.as_deref() {
        _ if has_bot_suffix(&login) => Some(true),
        Some("Bot") => Some(true),
        Some(_) => Some(false),
        None => None,
    };
    Some(Person { login, name: account.name.clone(), bot, association: None })
}

fn with_association(account: Option<&Account>, association: Option<&String>) -> Option<Person> {
    let mut person = account.and_then(person)?;
    person.association = association.map(|word| word.to_ascii_uppercase());
    Some(person)
}

/// Gives the actor what the body says about him: the author's own relation if he is the author, and else what his act
/// proves.
fn relate_actor(actor: Option<&mut Person>, author: Option<&Person>, action: &str) {
    let Some(actor) = actor else { return };
    match author {
        Some(author) if author.login == actor.login => actor.association.clone_from(&author.association),
        Some(_) if !OPEN_TO_STRANGERS.contains(&action) => actor.association = Some("COLLABORATOR".to_owned()),
        _ => {}
    }
}

/// When a label or assignee was given at birth, GitHub tells it with the opening and again on its own within seconds:
/// both are one happening, that of the birth.
fn birth_or_update<'a>(created: Option<&'a str>, updated: Option<&'a str>) -> &'a str {
    const BIRTH_SECONDS: i64 = 5;
    let second = |text: &str| text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second);
    match (created, updated) {
        (Some(created), Some(updated)) => match (second(created), second(updated)) {
            (Some(born), Some(now)) if (0..=BIRTH_SECONDS).contains(&(now - born)) => created,
            _ => updated,
        },
        (created, updated) => updated.or(created).unwrap_or_default(),
    }
}
