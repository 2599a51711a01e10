//! Jira: from a payload to events. Cloud and Data Center tell the same thing in different ways, Automation in others.

mod issue;
mod payload;
mod prose;

use payload::{Issue, Payload, User};

use super::delivery::Delivery;
use super::tolerant::{self, Int};
use super::understood::{NotUnderstood, Telling, Understood};
use super::words::host_of;
use crate::model::event::{Kind, Person};

/// The host of a body without any URL.
const NO_HOST: &str = "jira";

/// The payload of a delivery, as far as it is read.
#[derive(Debug)]
pub(super) struct Body(Payload);

impl Body {
    /// The time that the body names, in milliseconds.
    pub(super) fn timestamp(&self) -> Option<i64> {
        self.0.timestamp.map(|Int(at)| at)
    }
}

/// Reads a payload and checks every byte of it.
pub(super) fn read(payload: &[u8]) -> Result<Body, String> {
    let mut payload: Payload = tolerant::read(payload)?;
    // In Automation's own format the top level is the issue.
    if payload.issue.is_none() && payload.fields.is_some() {
        let (id, key) = (payload.id.take(), payload.key.take());
        payload.issue = Some(Issue { id, key, address: payload.address.take(), fields: payload.fields.take() });
    }
    Ok(Body(payload))
}

/// Tells what a Jira delivery says.
pub(super) fn tell(delivery: &Delivery, Body(payload): &Body) -> Result<Understood, NotUnderstood> {
    // The body of a workflow's post function names the transition instead of an event.
    let told = payload.webhook_event.as_deref().or(payload.transition.as_ref().map(|_| "transition"));
    let Some(event) = delivery.fixed_event().or(told).map(str::to_owned) else {
        return Err(NotUnderstood::new(
            "jira",
            "webhookEvent is missing; a source that sends such bodies needs its event in the settings",
        ));
    };
    let event = event.strip_prefix("jira:").unwrap_or(&event);
    let native = format!("jira:{event}");
    let mut telling = Telling::new(delivery, &native, host(payload));
    telling.event.actor = payload.user.as_ref().and_then(person);
    let ask = Ask { native: &native };
    issue::describe(payload, &mut telling);
    let fixed = delivery.fixed_event().and_then(|event| event.parse::<Kind>().ok());
    match (fixed, event) {
        (Some(kind), _) => issue::fixed(&ask, kind, payload, &mut telling)?,
        (None, "issue_created") => issue::created(&ask, payload, &mut telling)?,
        (None, "issue_updated") => issue::updated(&ask, payload, &mut telling)?,
        (None, "comment_created") => issue::commented(&ask, payload, &mut telling)?,
        (None, "transition") => issue::transitioned(&ask, payload, &mut telling)?,
        (None, other) => issue::other(other, payload, &mut telling),
    }
    Ok(telling.finish(delivery))
}

/// What every reader of one event is asked with.
struct Ask<'a> {
    native: &'a str,
}

impl Ask<'_> {
    fn need<T>(&self, value: Option<T>, field: &str) -> Result<T, NotUnderstood> {
        value.ok_or_else(|| NotUnderstood::missing(self.native, field))
    }
}

/// Every address that a body gives of itself, the most telling first.
fn addresses(payload: &Payload) -> impl Iterator<Item = &String> {
    let fields = payload.issue.as_ref().and_then(|issue| issue.fields.as_ref());
    let of_fields = fields.and_then(|fields| fields.project.as_ref()).and_then(|project| project.address.as_ref());
    [
        payload.issue.as_ref().and_then(|issue| issue.address.as_ref()),
        payload.project.as_ref().and_then(|project| project.address.as_ref()),
        payload.comment.as_ref().and_then(|comment| comment.address.as_ref()),
        payload.worklog.as_ref().and_then(|worklog| worklog.address.as_ref()),
        of_fields,
        payload.user.as_ref().and_then(|user| user.address.as_ref()),
    ]
    .into_iter()
    .flatten()
}

fn host(payload: &Payload) -> String {
    addresses(payload).find_map(|address| host_of(address)).unwrap_or_else(|| NO_HOST.to_owned())
}

/// The page of an issue, on the site that the body's addresses name.
fn page(payload: &Payload, key: &str) -> Option<String> {
    let (site, _) = addresses(payload).find_map(|address| address.split_once("/rest/"))?;
    Some(format!("{site}/browse/{key}"))
}

/// Cloud names accounts by id and says whether they are apps; Data Center by name, and has no apps among its users.
fn person(user: &User) -> Option<Person> {
    let login = user.account_id.as_ref().or(user.name.as_ref()).or(user.key.as_ref())?;
    let account_type = user.account_type.as_ref().map(|word| word.to_ascii_lowercase());
    let bot = match account_type.as_deref() {
        Some(word) => Some(word == "app"),
        None if user.account_id.is_none() => Some(false),
        None => None,
    };
    Some(Person { login: login.clone(), name: user.display_name.clone(), bot, association: account_type })
}
