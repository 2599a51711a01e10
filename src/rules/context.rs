//! Events as templates and expressions see them: built where they are read, with reads of unknown facts remembered.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use minijinja::Value;
use minijinja::value::{Enumerator, Object};

use super::fields::can_have;
use super::payload;
use crate::model::event::{Change, Check, Comment, Event, Issue, Kind, Person, Review};
use crate::model::run::Run;
use crate::model::subject::Facts;

/// Completes what an event says with what is known about its subject. It may be done any number of times; what is stored
/// with a job should be the completed event, so that its prompt is the same whenever it is rendered.
pub fn complete<'a>(event: &'a Event, facts: Option<&Facts>) -> Cow<'a, Event> {
    let mut event = Cow::Borrowed(event);
    let Some(facts) = facts else { return event };
    macro_rules! fill {
        ($($field:ident)*) => { $(
            if event.$field.is_none() && facts.$field.is_some() && can_have(event.kind, stringify!($field)) {
                event.to_mut().$field.clone_from(&facts.$field);
            }
        )* };
    }
    fill!(labels author branch base);
    let Some(number) = facts.change else { return event };
    if event.issue.is_some() || !can_have(event.kind, "change") {
        return event;
    }
    let known = Change {
        number,
        draft: facts.draft,
        open: facts.open,
        branch: facts.branch.clone(),
        base: facts.base.clone(),
        sha: facts.head_sha.clone(),
        ..Change::default()
    };
    match &event.change {
        None => event.to_mut().change = Some(known),
        Some(change) if change.number == number => {
            let mut change = change.clone();
            change.draft = change.draft.or(known.draft);
            change.open = change.open.or(known.open);
            change.branch = change.branch.or(known.branch);
            change.base = change.base.or(known.base);
            change.sha = change.sha.or(known.sha);
            if event.change.as_ref() != Some(&change) {
                event.to_mut().change = Some(change);
            }
        }
        Some(_) => {}
    }
    event
}

/// Remembers which unknown facts were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracker(Option<Arc<Mutex<Vec<String>>>>);

impl Tracker {
    /// One that remembers.
    pub(super) fn watching() -> Self {
        Self(Some(Arc::default()))
    }

    fn note(&self, path: String) {
        if let Some(read) = &self.0 {
            read.lock().unwrap_or_else(PoisonError::into_inner).push(path);
        }
    }

    /// The first unknown fact that was read.
    pub(super) fn first(&self) -> Option<String> {
        self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner).first().cloned()
    }
}

/// An event as a value.
pub(super) fn event(event: Arc<Event>, payload: Option<Bytes>, tracker: Tracker) -> Value {
    Value::from_object(EventView { event, payload, tracker })
}

#[derive(Debug)]
struct EventView {
    event: Arc<Event>,
    payload: Option<Bytes>,
    tracker: Tracker,
}

impl Object for EventView {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let event = &self.event;
        let text = |text: &Option<String>| text.as_deref().map(Value::from);
        let found = match key {
            "kind" => return Some(Value::from(event.kind.map_or("", Kind::as_str))),
            "native" => return Some(Value::from(event.native.as_str())),
            "source" => return Some(Value::from(event.source.as_str())),
            "host" => return Some(Value::from(event.host.as_str())),
            "subject" => return Some(Value::from(event.subject.key.as_str())),
            "to" => return Some(words(&event.to)),
            "payload" => return self.payload.clone().map(payload::value),
            "repo" => text(&event.repo),
            "project" => text(&event.project),
            "branch" => text(&event.branch),
            "base" => text(&event.base),
            "sha" => text(&event.sha),
            "outcome" => text(&event.outcome),
            "text" => text(&event.text),
            "url" => text(&event.url),
            "labels" => event.labels.as_deref().map(words),
            "actor" => event.actor.as_ref().map(|who| person("event.actor", who, &self.tracker)),
            "author" => event.author.as_ref().map(|who| person("event.author", who, &self.tracker)),
            "change" => event.change.as_ref().map(|it| change(it, &self.tracker)),
            "issue" => event.issue.as_ref().map(|it| issue(it, &self.tracker)),
            "comment" => event.comment.as_ref().map(|it| comment(it, &self.tracker)),
            "review" => event.review.as_ref().map(|it| review(it, &self.tracker)),
            "check" => event.checks.first().map(|it| check("event.check", it, &self.tracker)),
            _ => return None,
        };
        if found.is_none() && self.unknown(key) {
            self.tracker.note(format!("event.{key}"));
        }
        Some(found.unwrap_or(Value::from(())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::NonEnumerable
    }
}

impl EventView {
    /// Whether a field that is not there is unknown rather than absent: an issue's comment has no change, but a check's
    /// commit may have one that we were not told of.
    fn unknown(&self, key: &str) -> bool {
        match key {
            "issue" | "comment" | "review" | "check" => false,
            "change" | "base" if self.event.issue.is_some() => false,
            "change" => self.event.kind.is_none_or(Kind::is_ci),
            _ => can_have(self.event.kind, key),
        }
    }
}

/// An object with fields of which some are unknown.
#[derive(Debug)]
struct View {
    path: &'static str,
    fields: Vec<(&'static str, Option<Value>)>,
    tracker: Tracker,
}

impl Object for View {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        let (name, value) = self.fields.iter().find(|(field, _)| *field == key)?;
        if value.is_none() {
            self.tracker.note(format!("{}.{name}", self.path));
        }
        Some(value.clone().unwrap_or(Value::from(())))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.fields.iter().map(|(field, _)| Value::from(*field)).collect())
    }
}

fn view(path: &'static str, fields: Vec<(&'static str, Option<Value>)>, tracker: &Tracker) -> Value {
    Value::from_object(View { path, fields, tracker: tracker.clone() })
}

fn words(list: &[String]) -> Value {
    list.iter().map(String::as_str).collect()
}

fn person(path: &'static str, it: &Person, tracker: &Tracker) -> Value {
    let fields = vec![
        ("login", Some(Value::from(it.login.as_str()))),
        ("name", it.name.as_deref().map(Value::from)),
        ("bot", it.bot.map(Value::from)),
        ("association", it.association.as_deref().map(Value::from)),
    ];
    view(path, fields, tracker)
}

fn change(it: &Change, tracker: &Tracker) -> Value {
    let fields = vec![
        ("number", Some(Value::from(it.number))),
        ("title", it.title.as_deref().map(Value::from)),
        ("body", it.body.as_deref().map(Value::from)),
        ("url", it.url.as_deref().map(Value::from)),
        ("draft", it.draft.map(Value::from)),
        ("open", it.open.map(Value::from)),
        ("merged", it.merged.map(Value::from)),
        ("head_repo", it.head_repo.as_deref().map(Value::from)),
        ("branch", it.branch.as_deref().map(Value::from)),
        ("base", it.base.as_deref().map(Value::from)),
        ("sha", it.sha.as_deref().map(Value::from)),
    ];
    view("event.change", fields, tracker)
}

fn issue(it: &Issue, tracker: &Tracker) -> Value {
    let fields = vec![
        ("key", Some(Value::from(it.key.as_str()))),
        ("title", it.title.as_deref().map(Value::from)),
        ("body", it.body.as_deref().map(Value::from)),
        ("url", it.url.as_deref().map(Value::from)),
        ("status", it.status.as_deref().map(Value::from)),
        ("type", it.issue_type.as_deref().map(Value::from)),
        ("priority", it.priority.as_deref().map(Value::from)),
        ("components", Some(words(&it.components))),
        ("assignees", Some(words(&it.assignees))),
    ];
    view("event.issue", fields, tracker)
}

fn comment(it: &Comment, tracker: &Tracker) -> Value {
    let fields = vec![
        ("id", Some(Value::from(it.id.as_str()))),
        ("body", Some(Value::from(it.body.as_str()))),
        ("url", it.url.as_deref().map(Value::from)),
        ("path", it.path.as_deref().map(Value::from)),
        ("line", it.line.map(Value::from)),
        ("args", Some(Value::from(it.args.as_deref().unwrap_or_default()))),
    ];
    view("event.comment", fields, tracker)
}

fn review(it: &Review, tracker: &Tracker) -> Value {
    let fields = vec![
        ("state", Some(Value::from(it.state.as_str()))),
        ("body", it.body.as_deref().map(Value::from)),
        ("url", it.url.as_deref().map(Value::from)),
    ];
    view("event.review", fields, tracker)
}

/// A check as a value.
pub(super) fn check(path: &'static str, it: &Check, tracker: &Tracker) -> Value {
    let fields = vec![
        ("name", Some(Value::from(it.name.as_str()))),
        ("aggregate", Some(Value::from(it.aggregate))),
        ("outcome", Some(Value::from(it.outcome.as_str()))),
        ("url", it.url.as_deref().map(Value::from)),
        ("summary", it.summary.as_deref().map(Value::from)),
        ("group", it.group.as_deref().map(Value::from)),
    ];
    view(path, fields, tracker)
}

/// An earlier run as a value.
pub(super) fn run(it: &Run) -> Value {
    let fields = vec![
        ("id", Some(Value::from(it.id))),
        ("url", it.url.as_deref().map(Value::from)),
        ("status", it.status.as_deref().map(Value::from)),
        ("result", it.result.as_deref().map(Value::from)),
        ("summary", it.summary.as_deref().map(Value::from)),
    ];
    view("previous", fields, &Tracker::default())
}
