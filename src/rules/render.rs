//! Renders what a job sends: the prompt with its repository and model, from all events that joined it.

use std::sync::Arc;

use bytes::Bytes;
use minijinja::{Environment, Value};

use super::context::{self, Tracker};
use super::judge::as_seen;
use super::print;
use super::rule::Rule;
use crate::model::clock::Timestamp;
use crate::model::event::{Check, Event, Kind};
use crate::model::job::last_line;
use crate::model::run::Run;

/// One event that joined a job, as it is told to templates.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The event, completed ([`super::complete`]).
    pub event: &'a Event,
    /// The body as JSON, as long as it is kept.
    pub payload: Option<&'a Bytes>,
    /// Our id of the delivery.
    pub delivery: &'a str,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// What templates may know about the job.
#[derive(Clone, Copy, Debug)]
pub struct JobContext<'a> {
    /// Which attempt on its subject it is, from 1.
    pub attempt: u32,
    /// Whether an earlier run goes on.
    pub resumed: bool,
    /// The newest earlier run on the subject.
    pub previous: Option<&'a Run>,
    /// The key of this installation.
    pub instance_key: &'a [u8; 32],
}

impl<'a> JobContext<'a> {
    /// A first attempt.
    pub fn first(instance_key: &'a [u8; 32]) -> Self {
        Self { attempt: 1, resumed: false, previous: None, instance_key }
    }
}

/// What is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// The prompt without its last line, which names the job: the same in dry and live. See [`with_footer`].
    pub prompt: String,
    /// The repository to work in, when there is one.
    pub repo: Option<String>,
    /// The model, when the rule names one.
    pub model: Option<String>,
    /// The agent, as the service spells it.
    pub agent_type: &'static str,
}

/// Why nothing can be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// No rule has the name any more.
    #[error("the rule is gone from the rules file")]
    RuleGone,
    /// The rule was turned off.
    #[error("the rule is off")]
    RuleOff,
    /// The rule is in shadow mode now.
    #[error("the rule is in shadow mode, which can never send")]
    RuleShadow,
    /// A template failed: its key, and what went wrong.
    #[error("{0}: {1}")]
    Template(&'static str, String),
    /// The rule's `repos` do not allow the repository that its `repo` gave.
    #[error("repo: \"{0}\" is not allowed by the rule's repos")]
    Repo(String),
    /// The settings keep the rules of this file (the second) out of the repository.
    #[error("ceiling: the settings keep {1} out of {0}")]
    Ceiling(String, String),
}

/// The prompt as it is sent: its last line names the job, so that a run can be told to be ours.
pub fn with_footer(prompt: &str, job: &str) -> String {
    format!("{}\n\n{}", prompt.trim_end(), last_line(job))
}

/// Renders a rule's templates.
pub(super) fn render(
    rule: &Rule,
    told: &[Told<'_>],
    job: &JobContext<'_>,
    env: &Environment<'static>,
    maps: &Value,
) -> Result<Rendered, RenderError> {
    let Some(newest) = told.last() else {
        return Err(RenderError::Template("prompt", "the job has no event".to_owned()));
    };
    let seen: Vec<Arc<Event>> = told
        .iter()
        .map(|told| {
            let event = Arc::new(told.event.clone());
            as_seen(rule, &event).unwrap_or(event)
        })
        .collect();
    let view = |(told, event): (&Told<'_>, &Arc<Event>)| {
        context::event(event.clone(), told.payload.cloned(), Tracker::default())
    };
    // Only what the rule reads is built.
    let context = rule.reads.iter().filter_map(|root| {
        let value = match *root {
            "event" => view((newest, seen.last()?)),
            "events" => told.iter().zip(&seen).map(view).collect(),
            "failed" => failed(&seen).into_iter().map(|it| context::check("failed", it, &Tracker::default())).collect(),
            "attempt" => Value::from(job.attempt),
            "resumed" => Value::from(job.resumed),
            "previous" => job.previous.map_or(Value::from(()), context::run),
            "maps" => maps.clone(),
            _ => return None,
        };
        Some((*root, value))
    });
    let fence = Value::from(print::fence_word(job.instance_key, newest.delivery, &rule.name));
    let context = Value::from_pairs(context.chain([(print::FENCE, fence)]));
    let text = |key: &'static str, name: &str| {
        let rendered = env.get_template(name).and_then(|template| template.render(&context));
        rendered.map_err(|error| RenderError::Template(key, print::explain(&error)))
    };
    let word = |key, name: &Option<String>| match name {
        None => Ok(None),
        Some(name) => text(key, name).map(|word| Some(word.trim().to_owned()).filter(|word| !word.is_empty())),
    };
    let repo = match &rule.repo {
        None => newest.event.repo.clone(),
        Some(_) => word("repo", &rule.repo)?,
    };
    if let Some(repo) = repo.as_ref().filter(|repo| !rule.repos.allow_anywhere(repo)) {
        return Err(RenderError::Repo(print::line(repo, 200)));
    }
    if let Some(repo) = repo.as_ref().filter(|repo| !rule.ceiling.allow_anywhere(repo)) {
        return Err(RenderError::Ceiling(print::line(repo, 200), rule.policy.file.clone()));
    }
    let prompt = match (&rule.follow_up, &rule.prompt) {
        (Some(follow_up), _) if job.resumed => text("follow_up", follow_up)?,
        (_, Some(prompt)) => text("prompt", prompt)?,
        (_, None) => String::new(),
    };
    Ok(Rendered {
        prompt: prompt.trim().to_owned(),
        repo,
        model: word("model", &rule.model)?,
        agent_type: rule.agent_type.as_str(),
    })
}

/// The checks that failed, once each, as last told; whole suites and pipelines only when no single check is named.
fn failed(seen: &[Arc<Event>]) -> Vec<&Check> {
    let mut checks: Vec<&Check> = Vec::new();
    for check in seen.iter().filter(|event| event.kind == Some(Kind::CiFailed)).flat_map(|event| &event.checks) {
        match checks.iter_mut().find(|known| known.name == check.name && known.aggregate == check.aggregate) {
            Some(known) => *known = check,
            None => checks.push(check),
        }
    }
    if checks.iter().any(|check| !check.aggregate) {
        checks.retain(|check| !check.aggregate);
    }
    checks
}
