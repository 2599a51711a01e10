//! GitLab: from a payload to events. The body names its event itself; the header is not asked.

mod change;
mod ci;
mod code;
mod issue;
mod payload;

use payload::{Payload, User};

use super::delivery::Delivery;
use super::tolerant;
use super::understood::{NotUnderstood, Telling, Understood};
use super::words::{has_bot_suffix, host_of, path_of};
use crate::model::event::Person;

/// The host of a body without any URL, as some system hooks have it.
const NO_HOST: &str = "gitlab";
/// Visibility levels below this one are private or internal (docs.gitlab.com, "Project visibility").
const PUBLIC_LEVEL: u64 = 20;

/// The payload of a delivery, as far as it is read.
#[derive(Debug)]
pub(super) struct Body(Payload);

/// Reads a payload and checks every byte of it.
pub(super) fn read(payload: &[u8]) -> Result<Body, String> {
    tolerant::read(payload).map(Body)
}

/// Tells what a GitLab delivery says.
pub(super) fn tell(delivery: &Delivery, Body(payload): &Body) -> Result<Understood, NotUnderstood> {
    let unnamed = || format!("gitlab:{}", delivery.event_header().unwrap_or_default());
    let named = [delivery.fixed_event(), payload.object_kind.as_deref(), payload.event_name.as_deref()];
    let Some(kind) = named.into_iter().flatten().next() else {
        return Err(NotUnderstood::missing(&unnamed(), "object_kind"));
    };
    let kind = if payload.external_approval_rule.is_some() { "external_status_check" } else { kind };
    let native = match state(kind, payload) {
        Some(state) => format!("gitlab:{kind}.{state}"),
        None => format!("gitlab:{kind}"),
    };
    let mut telling = Telling::new(delivery, &native, host(payload));
    telling.event.repo = repo(payload);
    telling.event.repo_private = is_private(payload);
    telling.event.actor = payload.user.as_ref().and_then(person);
    let ask = Ask { native: &native, delivery };
    match kind {
        "pipeline" => ci::pipeline(&ask, payload, &mut telling)?,
        "build" | "job" => ci::job(&ask, payload, &mut telling)?,
        "merge_request" => change::merge_request(&ask, payload, &mut telling)?,
        "external_status_check" => change::external_check(&ask, payload, &mut telling)?,
        "note" => issue::note(&ask, payload, &mut telling)?,
        "issue" | "work_item" => issue::issue(&ask, payload, &mut telling)?,
        "push" => code::push(&ask, payload, &mut telling)?,
        "tag_push" => code::tag_push(&ask, payload, &mut telling)?,
        "deployment" => code::deployment(&ask, payload, &mut telling)?,
        "project_create" => code::project_create(payload, &mut telling),
        _ => {}
    }
    Ok(telling.finish(delivery))
}

/// What every reader of one event is asked with.
struct Ask<'a> {
    native: &'a str,
    delivery: &'a Delivery,
}

impl Ask<'_> {
    fn need<T>(&self, value: Option<T>, field: &str) -> Result<T, NotUnderstood> {
        value.ok_or_else(|| NotUnderstood::missing(self.native, field))
    }
}

/// The action or status that completes the native name.
fn state<'a>(kind: &str, payload: &'a Payload) -> Option<&'a str> {
    let attributes = payload.object_attributes.as_ref();
    match kind {
        "pipeline" => attributes?.status.as_deref(),
        "build" | "job" => payload.build_status.as_deref().or(payload.job_status.as_deref()),
        "deployment" => payload.status.as_deref(),
        _ => attributes?.action.as_deref(),
    }
}

fn host(payload: &Payload) -> String {
    let project = payload.project.as_ref();
    let urls = [
        project.and_then(|project| project.web_url.as_ref()),
        project.and_then(|project| project.homepage.as_ref()),
        payload.repository.as_ref().and_then(|repository| repository.homepage.as_ref()),
        payload.object_attributes.as_ref().and_then(|attributes| attributes.url.as_ref()),
    ];
    urls.into_iter().flatten().find_map(|url| host_of(url)).unwrap_or_else(|| NO_HOST.to_owned())
}

/// The full path of the project; most job bodies have only the repository's page.
fn repo(payload: &Payload) -> Option<String> {
    let project = payload.project.as_ref();
    let given = project.and_then(|project| project.path_with_namespace.clone());
    given.or_else(|| payload.path_with_namespace.clone()).or_else(|| {
        let pages = [
            project.and_then(|project| project.web_url.as_deref()),
            payload.repository.as_ref().and_then(|repository| repository.homepage.as_deref()),
        ];
        pages.into_iter().flatten().find_map(path_of).map(str::to_owned)
    })
}

fn is_private(payload: &Payload) -> Option<bool> {
    let level = payload.project.as_ref().and_then(|project| project.visibility_level);
    let level = level.or_else(|| payload.repository.as_ref()?.visibility_level);
    level
        .map(|level| level < PUBLIC_LEVEL)
        .or_else(|| payload.project_visibility.as_deref().map(|word| matches!(word, "private" | "internal")))
}

fn person(user: &User) -> Option<Person> {
    let login = user.username.clone().or_else(|| user.name.clone())?;
    Some(named(&login, user.name.clone()))
}

/// GitLab's bodies never say who is a bot. Its access tokens act as `project_…_bot…` or `group_…_bot…`, its service
/// accounts as `service_account_…`; people mark theirs by the end of the name.
fn named(login: &str, name: Option<String>) -> Person {
    let lower = login.to_ascii_lowercase();
    let token = ["project_", "group_"]
        .into_iter()
        .filter_map(|kind| lower.strip_prefix(kind))
        .any(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()).starts_with("_bot"));
    let bot = token
        || lower.starts_with("service_account_")
        || lower.ends_with("-bot")
        || lower.ends_with("_bot")
        || has_bot_suffix(login);
    Person { login: login.to_owned(), name, bot: Some(bot), association: None }
}

/// What is in `current` and not in `previous`.
fn added(previous: &[String], current: &[String]) -> Vec<String> {
    current.iter().filter(|item| !previous.contains(item)).cloned().collect()
}

fn logins(users: &[User]) -> Vec<String> {
    users.iter().filter_map(|user| user.username.clone()).collect()
}

/// The user with an id, among those whom the body names.
fn by_id(payload: &Payload, id: Option<u64>) -> Option<Person> {
    let id = id?;
    let named = payload.user.iter().chain(&payload.assignees).chain(&payload.reviewers);
    named.into_iter().find(|user| user.id == Some(id)).and_then(person)
}
