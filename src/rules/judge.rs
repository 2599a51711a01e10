//! Asks one rule about one event: conditions first, cheap ones before dear ones, then the gates, then the expression.

use std::sync::Arc;

use bytes::Bytes;
use minijinja::{Environment, Value as Mini};
use serde_json::{Map, Value, json};

use super::pattern::From;
use super::rule::{Per, Rule};
use super::{admit, command, context, print};
use crate::model::decision::Ruling;
use crate::model::delivery::SourceKind;
use crate::model::event::{Event, Kind, Origin};
use crate::model::name::shortened;
use crate::model::subject::Facts;

/// Bytes of a rendered key, which is one line.
const KEY: usize = 300;

/// One event of one delivery, with all that a rule may ask about it.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The event.
    pub event: &'a Event,
    /// What is known about its subject, this delivery included.
    pub facts: Option<&'a Facts>,
    /// The key of its subject, as stored; may be empty.
    pub subject_key: &'a str,
    /// The ticket or issue that the subject belongs to; empty when it stands for itself.
    pub context: &'a str,
    /// The body as JSON; it is parsed only where a rule that matched so far reads `event.payload`.
    pub payload: &'a Bytes,
    /// The kind of the source.
    pub source_kind: SourceKind,
    /// Who we are on this host.
    pub agents: &'a [String],
    /// Our id of the delivery.
    pub delivery: &'a str,
    /// The key of this installation, from which the words of fences are made.
    pub instance_key: &'a [u8; 32],
}

impl Occasion<'_> {
    pub(super) fn from(&self) -> From<'_> {
        From { source: &self.event.source, kind: self.source_kind.as_str() }
    }
}

/// Why a rule does not act.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) decision: Ruling,
    pub(super) reason: String,
    pub(super) inputs: Map<String, Value>,
}

impl Refusal {
    fn new(decision: Ruling, reason: String, name: &str, actual: Value) -> Self {
        Self { decision, reason, inputs: Map::from_iter([(name.to_owned(), actual)]) }
    }

    /// A gate says no.
    pub(super) fn denied(reason: String, name: &str, actual: Value) -> Self {
        Self::new(Ruling::Denied, reason, name, actual)
    }

    /// A condition does not hold.
    fn no_match(name: &str, actual: impl serde::Serialize) -> Self {
        let actual = json!(actual);
        let shown = match &actual {
            Value::String(text) => print::line(text, 100),
            Value::Null => "unknown".to_owned(),
            Value::Array(list) if list.is_empty() => "none".to_owned(),
            Value::Array(list) => {
                let words: Vec<String> = list.iter().map(|word| word.as_str().unwrap_or_default().to_owned()).collect();
                print::line(&words.join(", "), 100)
            }
            other => other.to_string(),
        };
        Self::new(Ruling::NoMatch, format!("{name}: {shown} is not wanted"), name, actual)
    }

    /// A template or expression fails.
    pub(super) fn failed(what: &str, why: &str) -> Self {
        Self::new(Ruling::Failed, format!("{what}: {}", print::line(why, 300)), what, json!(why))
    }
}

/// Asks whether the rule acts on the event (the completed one); answers the key of its job and the event with what the
/// rule adds to it.
pub(super) fn judge(
    rule: &Rule,
    event: &Arc<Event>,
    occasion: &Occasion<'_>,
    env: &Environment<'static>,
    maps: &Mini,
) -> Result<(String, Arc<Event>), Refusal> {
    place(rule, event, occasion)?;
    inside(rule, event, occasion)?;
    checks(rule, event)?;
    labels(rule, event, occasion)?;
    let event = as_seen(rule, event).ok_or_else(|| {
        Refusal::new(Ruling::NoMatch, "command: not in the comment".to_owned(), "command", json!(rule.command))
    })?;
    admit::admit(rule, &event, occasion)?;
    when(rule, &event, occasion, env, maps)?;
    let key = key(rule, &event, occasion, env, maps)?;
    Ok((key, event))
}

fn place(rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Result<(), Refusal> {
    let from = occasion.from();
    match (&event.repo, &event.project) {
        // A tracker's event names a project and no repository.
        (None, Some(_)) => {}
        (None, None) if rule.repos.is_all() => {}
        (None, None) => return Err(Refusal::no_match("repos", "none")),
        (Some(repo), _) if rule.repos.allow(repo, from) => {}
        (Some(repo), _) => return Err(Refusal::no_match("repos", repo)),
    }
    if !rule.projects.is_all() && !event.project.as_ref().is_some_and(|project| rule.projects.allow(project, from)) {
        return Err(Refusal::no_match("projects", &event.project));
    }
    if !rule.branches.is_all() {
        match &event.branch {
            Some(branch) if rule.branches.allow(branch, from) => {}
            Some(branch) => return Err(Refusal::no_match("branches", branch)),
            None => return Err(unknown("branch", occasion)),
        }
    }
    if let Some(base) = &rule.base {
        let given = event.base.as_ref().or_else(|| event.change.as_ref()?.base.as_ref());
        match given {
            Some(given) if base.allow(given, from) => {}
            Some(given) => return Err(Refusal::no_match("base", given)),
            None if event.change.is_some() || event.kind.is_none_or(Kind::is_ci) => {
                return Err(unknown("base", occasion));
            }
            None => return Err(Refusal::no_match("base", "no change")),
        }
    }
    if let Some(to) = &rule.to
        && !event.to.iter().any(|value| to.allow(value, from))
    {
        return Err(Refusal::no_match("to", &event.to));
    }
    Ok(())
}

/// The settings may keep the rules of a file to some repositories and projects, whatever the rules say.
fn inside(rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Result<(), Refusal> {
    if rule.ceiling.is_all() {
        return Ok(());
    }
    let place = event.repo.as_ref().or(event.project.as_ref());
    if place.is_some_and(|place| rule.ceiling.allow(place, occasion.from())) {
        return Ok(());
    }
    let shown = place.map_or("an event without a repository", String::as_str);
    let reason = format!("ceiling: the settings keep {} out of {}", rule.policy.file, print::line(shown, 100));
    Err(Refusal::denied(reason, "ceiling", json!(shown)))
}

/// A failed check must have a name that the rule wants. Of suites and pipelines as a whole nobody knows which checks failed.
fn checks(rule: &Rule, event: &Event) -> Result<(), Refusal> {
    // A check that neither failed nor passed has no kind of ours, and its name all the same.
    let of_checks = event.kind.is_some_and(Kind::is_ci) || !event.checks.is_empty();
    if rule.checks.is_all() || !of_checks {
        return Ok(());
    }
    let names: Vec<&str> =
        event.checks.iter().filter(|check| !check.aggregate).map(|check| check.name.as_str()).collect();
    if names.is_empty() {
        let reason = "checks: the event names no single check".to_owned();
        return Err(Refusal::new(Ruling::NoMatch, reason, "checks", json!([])));
    }
    if names.iter().any(|name| rule.checks.allow_anywhere(name)) {
        return Ok(());
    }
    Err(Refusal::no_match("checks", names))
}

fn labels(rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Result<(), Refusal> {
    let Some(wanted) = &rule.labels else { return Ok(()) };
    let from = occasion.from();
    let Some(labels) = &event.labels else {
        // What has no labels at all has none of the barred ones. A commit may belong to a change that we were not told of.
        let bare = event.change.is_none() && event.issue.is_none() && !event.kind.is_none_or(Kind::is_ci);
        if bare && wanted.only_bars() {
            return Ok(());
        }
        let mut refusal = unknown("labels", occasion);
        refusal.reason.push_str(", or give this rule labels = []");
        return Err(refusal);
    };
    let barred = labels.iter().find(|label| wanted.bars(label, from));
    if let Some(label) = barred {
        return Err(Refusal::no_match("labels", label));
    }
    if wanted.only_bars() || labels.iter().any(|label| wanted.wants(label, from)) {
        return Ok(());
    }
    Err(Refusal::no_match("labels", labels))
}

/// A condition needs a fact that nobody told.
fn unknown(what: &str, occasion: &Occasion<'_>) -> Refusal {
    let help = match occasion.source_kind {
        SourceKind::Github => ": subscribe to pull_request",
        SourceKind::Gitlab => ": subscribe to merge request events",
        SourceKind::Jira => "",
    };
    Refusal::denied(format!("{what} unknown{help}"), what, Value::Null)
}

/// The event as the rule sees it: with what follows its command, and without the checks that never count; `None` when it is
/// a comment without the command.
pub(super) fn as_seen(rule: &Rule, event: &Arc<Event>) -> Option<Arc<Event>> {
    let mut seen = event.clone();
    // A native name may let comments in that are no new ones: they are asked for the command too.
    if (event.comment.is_some() || event.kind == Some(Kind::CommentCreated)) && !rule.command.is_empty() {
        let args = command::args(&event.comment.as_ref()?.body, &rule.command)?;
        if let Some(comment) = &mut Arc::make_mut(&mut seen).comment {
            comment.args = Some(args);
        }
    }
    if event.checks.iter().any(|check| rule.bars_check(check)) {
        Arc::make_mut(&mut seen).checks.retain(|check| !rule.bars_check(check));
    }
    Some(seen)
}

fn when(
    rule: &Rule,
    event: &Arc<Event>,
    occasion: &Occasion<'_>,
    env: &Environment<'static>,
    maps: &Mini,
) -> Result<(), Refusal> {
    let Some(name) = &rule.when else { return Ok(()) };
    let tracker = context::Tracker::watching();
    let given = context::event(event.clone(), Some(occasion.payload.clone()), tracker.clone());
    let context = Mini::from_pairs([("event", given), ("maps", maps.clone())]);
    let answer = env.get_template(name).and_then(|template| template.render(context));
    if let Some(fact) = tracker.first() {
        return Err(Refusal::denied(format!("when: {fact} unknown"), "when", Value::Null));
    }
    match answer {
        Ok(text) if text == "1" => Ok(()),
        Ok(_) => Err(Refusal::new(Ruling::NoMatch, "when: it does not hold".to_owned(), "when", json!(false))),
        Err(error) => Err(Refusal::failed("when", &print::explain(&error))),
    }
}

/// The key under which events of the rule join one job.
fn key(
    rule: &Rule,
    event: &Arc<Event>,
    occasion: &Occasion<'_>,
    env: &Environment<'static>,
    maps: &Mini,
) -> Result<String, Refusal> {
    let subject = occasion.subject_key;
    let repo = event.repo.as_deref().unwrap_or_default();
    match rule.per(event.kind) {
        Per::Event => Ok(event.happening.clone()),
        Per::Commit => match &event.sha {
            Some(sha) => Ok(format!("{repo}@{sha}")),
            None => Err(Refusal::denied("per: the commit is unknown".to_owned(), "sha", Value::Null)),
        },
        Per::Subject if subject.is_empty() => {
            Err(Refusal::denied("per: the event is about no subject".to_owned(), "subject", Value::Null))
        }
        Per::Subject => Ok(subject.to_owned()),
        Per::Branch => match (&event.branch, event.subject.origin) {
            // The subject of a branch is that branch, with the repository that it really is in.
            (Some(_), Origin::Base | Origin::Fork) if !subject.is_empty() => Ok(subject.to_owned()),
            (Some(branch), _) => Ok(format!("{}/{repo}@{branch}", event.host)),
            (None, _) => Err(Refusal::denied("per: the branch is unknown".to_owned(), "branch", Value::Null)),
        },
        Per::Template(name) => {
            let tracker = context::Tracker::watching();
            let given = context::event(event.clone(), Some(occasion.payload.clone()), tracker.clone());
            let context = Mini::from_pairs([("event", given), ("maps", maps.clone()), (print::WHOLE, true.into())]);
            let key = env.get_template(&name).and_then(|template| template.render(context));
            if let Some(fact) = tracker.first() {
                return Err(Refusal::denied(format!("per: {fact} unknown"), "per", Value::Null));
            }
            match key.map(|key| shortened(print::line(&key, usize::MAX), KEY)) {
                Ok(key) if key.is_empty() => Err(Refusal::failed("per", "the key is empty")),
                Ok(key) => Ok(key),
                Err(error) => Err(Refusal::failed("per", &print::explain(&error))),
            }
        }
    }
}
