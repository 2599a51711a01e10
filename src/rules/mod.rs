//! The rules file, compiled: which events start work, who may cause it, and what the agent is told.
//!
//! ```text
//! load ─> compile ─> RuleSet ── judge(Occasion) ─> Judgement { verdict, request }     when a delivery is accepted
//!                            └─ render(rule, Told…) ─> Rendered                       when its job is released
//!                    gates::ask(Snapshot, Policy) ─> GateAnswer                       in the transaction that releases it
//! ```
//!
//! Nothing here does input or output except `load.rs`.

mod admit;
mod build;
mod check;
mod command;
mod compile;
mod context;
mod fields;
mod file;
pub mod gates;
mod index;
mod judge;
mod live;
mod load;
mod pattern;
mod payload;
mod people;
mod print;
mod read;
mod render;
mod rule;

use std::collections::HashMap;
use std::time::Duration;

use minijinja::{Environment, Value};
use serde::Serialize;

use crate::model::decision::{Ruling, Verdict};
use crate::model::event::{Event, Kind, MOMENT};
use crate::model::job::JobRequest;
use crate::model::policy::Policy;
use crate::model::problem::Problem;

pub use compile::{ReadFile, compile};
pub use context::complete;
pub use file::{Mode, json_schema};
pub use judge::Occasion;
pub use live::Live;
pub use load::{Bundle, bundle, load};
pub use pattern::Places;
pub use render::{JobContext, RenderError, Rendered, Told, with_footer};

use judge::Refusal;
use rule::{Per, Rule};

/// How long a job waits for more events at most.
pub const SETTLE_MAX: Duration = Duration::from_mins(30);

/// What reading rule files gave.
#[derive(Debug)]
pub struct Loaded {
    /// The rules; `None` when there is an error among the problems.
    pub rules: Option<RuleSet>,
    /// Every problem of every file.
    pub problems: Vec<Problem>,
}

/// All rules, compiled; immutable and shared.
#[derive(Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    names: HashMap<String, usize>,
    index: index::Index,
    tests: Vec<RuleTest>,
    env: Environment<'static>,
    maps: Value,
    hash: String,
}

/// A rule as lists and pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSummary {
    /// Its name.
    pub name: String,
    /// `live`, `shadow` or `off`.
    pub mode: &'static str,
    /// What it is about, as the file says it.
    pub on: Vec<String>,
    /// Where it acts, as the file says it.
    pub repos: Vec<String>,
    /// The file that it stands in.
    pub file: String,
}

/// A `[[test]]` of a rules file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleTest {
    /// What it shows.
    pub name: String,
    /// Deliveries that came before, files in the rules' folder.
    pub given: Vec<String>,
    /// The delivery, a file in the rules' folder: `{"headers": {…}, "body": {…}}`.
    pub delivery: String,
    /// The rule that is asked about.
    pub rule: Option<String>,
    /// The expected decision, as [`Ruling::as_str`] spells it.
    pub decision: &'static str,
    /// A part of the expected reason.
    pub reason: Option<String>,
    /// The expected key.
    pub key: Option<String>,
    /// The expected repository.
    pub repo: Option<String>,
    /// Parts of the expected prompt.
    pub prompt: Vec<String>,
}

/// What a rule says to an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Its verdict. `Queued` is preliminary: the store makes it joined, duplicate or late.
    pub verdict: Verdict,
    /// The job that it asks for; `None` unless the verdict is `Queued`.
    pub request: Option<JobRequest>,
    /// What would be sent if this were the only event of the job; also for a rule in shadow mode.
    pub rendered: Option<Rendered>,
}

impl RuleSet {
    /// Hex SHA-256 over the contents of all rule files, prompt files and includes.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = RuleSummary> {
        self.rules.iter().map(|rule| RuleSummary {
            name: rule.name.clone(),
            mode: rule.mode.as_str(),
            on: rule.on_text.clone(),
            repos: rule.repos_text.clone(),
            file: rule.origin.clone(),
        })
    }

    /// The names of the rules that look at a repository (`acme/widgets`) or a tracker's project (`OPS`), whatever happens
    /// there.
    pub fn looking_at<'a>(&'a self, place: &'a str) -> impl Iterator<Item = &'a str> {
        let looks = |rule: &&Rule| {
            let wanted = if place.contains('/') { &rule.repos } else { &rule.projects };
            wanted.allow_anywhere(place)
        };
        self.rules.iter().filter(looks).map(|rule| rule.name.as_str())
    }

    /// The tests of the rule files.
    pub fn tests(&self) -> &[RuleTest] {
        &self.tests
    }

    /// Whether any rule may want the event, from the index alone: where not, nothing else needs to be looked up.
    pub fn candidates(&self, event: &Event) -> bool {
        !self.index.candidates(event).is_empty()
    }

    /// Asks every rule whose `on` names the event; where more than 32 rules wait for events of its kind, those whose `repos`
    /// or `projects` cannot mean it are passed over without a verdict. `event` of a verdict is left at 0: the caller knows
    /// which event of the delivery it asked about.
    pub fn judge(&self, occasion: &Occasion<'_>) -> Vec<Judgement> {
        let event = complete(occasion.event, occasion.facts);
        let from = occasion.from();
        let candidates = self.index.candidates(&event).into_iter().map(|at| &self.rules[at]);
        candidates.filter(|rule| rule.on.matches(&event, from)).map(|rule| self.ask(rule, &event, occasion)).collect()
    }

    fn ask(&self, rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Judgement {
        let mut verdict = Verdict {
            rule: rule.name.clone(),
            decision: Ruling::Queued,
            reason: String::new(),
            inputs: serde_json::Map::new(),
            rules_hash: self.hash.clone(),
            event: 0,
            happening: None,
            key: None,
            job: None,
        };
        if rule.mode == Mode::Off {
            verdict.decision = Ruling::NoMatch;
            "mode: the rule is off".clone_into(&mut verdict.reason);
            return Judgement { verdict, request: None, rendered: None };
        }
        let answer = judge::judge(rule, event, occasion, &self.env, &self.maps).and_then(|(key, event)| {
            let told = Told {
                event: &event,
                payload: Some(occasion.payload),
                delivery: occasion.delivery,
                received_at: crate::model::clock::Timestamp::default(),
            };
            let rendered =
                render::render(rule, &[told], &JobContext::first(occasion.instance_key), &self.env, &self.maps);
            rendered.map(|rendered| (key, rendered)).map_err(|error| match error {
                RenderError::Template(what, why) => Refusal::failed(what, &why),
                other => Refusal::failed("repo", &other.to_string()),
            })
        });
        match answer {
            Err(refusal) => {
                verdict.decision = refusal.decision;
                verdict.reason = refusal.reason;
                verdict.inputs = refusal.inputs;
                Judgement { verdict, request: None, rendered: None }
            }
            Ok((key, rendered)) => {
                verdict.happening = Some(event.happening.clone());
                verdict.key = Some(key.clone());
                let live = rule.mode == Mode::Live;
                "every condition holds".clone_into(&mut verdict.reason);
                if !live {
                    verdict.decision = Ruling::Shadow;
                    "shadow: every condition holds, but the rule can never send".clone_into(&mut verdict.reason);
                }
                let request = live.then(|| JobRequest {
                    rule: rule.name.clone(),
                    per_commit: rule.per(event.kind) == Per::Commit,
                    key,
                    happening: event.happening.clone(),
                    claim_for: event.momentary.then_some(MOMENT),
                    subject: occasion.subject_key.to_owned(),
                    repo: event.repo.clone().or_else(|| event.project.clone()),
                    sha: event.sha.clone(),
                    failing: matches!(event.kind, Some(Kind::CiFailed | Kind::DeploymentFailed)),
                    settle: rule.settle(event.kind),
                    settle_max: SETTLE_MAX,
                    ..JobRequest::default()
                });
                Judgement { verdict, request, rendered: Some(rendered) }
            }
        }
    }

    /// What the rule says about its jobs; the usual, if there is no such rule any more.
    pub fn policy(&self, rule: &str) -> Policy {
        let _ = rule;
        Policy { rules_hash: self.hash.clone(), ..Policy::default() }
    }

    /// Renders the prompt, repository and model of a job of the rule `rule`, from its events in the order of joining, under
    /// the rules in force now. `event` in templates is the newest of them.
    pub fn render(&self, rule: &str, events: &[Told<'_>], job: &JobContext<'_>) -> Result<Rendered, RenderError> {
        let rule = self.names.get(rule).map(|at| &self.rules[*at]).ok_or(RenderError::RuleGone)?;
        match rule.mode {
            Mode::Live => render::render(rule, events, job, &self.env, &self.maps),
            Mode::Shadow => Err(RenderError::RuleShadow),
            Mode::Off => Err(RenderError::RuleOff),
        }
    }
}
