//! The rules file, compiled: which events start work, who may cause it, and what the agent is told.
//!
//! ```text
//! load ─> compile ─> RuleSet ── judge(Occasion) ─> Judgement { verdict, request }     when a delivery is accepted
//!                            └─ render(rule, Told…) ─> Rendered                       when its job is released
//!                    gates::ask(Snapshot, Policy) ─> GateAnswer                       in the transaction that releases it
//! ```
//!
//! Nothing here does input or output except `load.rs`. What is in force is asked of `Live`, which `Reload` keeps up to date.

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
mod limits;
mod live;
mod load;
mod native;
mod on_stale;
mod pattern;
mod payload;
mod people;
mod print;
mod read;
mod reload;
mod render;
mod request;
mod rule;
mod shipped;
mod warn;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use minijinja::{Environment, Value};
use serde::Serialize;

use crate::model::decision::{Ruling, Verdict};
use crate::model::event::Event;
use crate::model::job::JobRequest;
use crate::model::policy::{Limit, Policy, Terms};
use crate::model::problem::Problem;

pub use compile::{ReadFile, compile};
pub use context::complete;
pub use file::{Mode, json_schema};
pub use judge::Occasion;
pub use live::{InForce, Live};
pub use load::{Bundle, bundle, load};
pub use pattern::Places;
pub use reload::{Look, Reload, drawn};
pub use render::{JobContext, RenderError, Rendered, Told, with_footer};

use judge::Refusal;
use rule::Rule;

/// How long a job waits for more events at most, when its rule does not say.
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
    /// The ceilings over all rules together.
    ceilings: Vec<Limit>,
    hash: String,
    terms: Terms,
}

/// A rule as lists and pages show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleSummary {
    /// Its name.
    pub name: String,
    /// Who answers for it; empty when it does not say.
    pub owner: String,
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
    /// The rule's `one_of`: of the rules with this word only the first that asks for a job acts.
    pub one_of: Option<String>,
}

impl RuleSet {
    /// Hex SHA-256 over the contents of all rule files, prompt files and includes.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// What the settings said about all rules when they were compiled.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Every rule, in the order of the files.
    pub fn rules(&self) -> impl Iterator<Item = RuleSummary> {
        self.rules.iter().map(|rule| RuleSummary {
            name: rule.name.clone(),
            owner: rule.owner.clone(),
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

    /// Whether any rule may look at a repository, whatever happens there: from the index alone.
    pub fn may_look_at(&self, repo: &str) -> bool {
        self.index.looks_at(repo)
    }

    /// Asks every rule whose `on` names the event, in the order of the files; where more than 32 rules wait for events of its
    /// kind, those whose `repos`, `projects` or `branches` cannot mean it are passed over without a verdict. `event` of a
    /// verdict is left at 0: the caller knows which event of the delivery it asked about.
    pub fn judge(&self, occasion: &Occasion<'_>) -> Vec<Judgement> {
        let event = complete(occasion.event, occasion.facts);
        let candidates = self.index.candidates(&event);
        if candidates.is_empty() {
            return Vec::new();
        }
        let event = Arc::new(event.into_owned());
        let from = occasion.from();
        // The rule that acted for each word of `one_of`.
        let mut acted: HashMap<&str, &str> = HashMap::new();
        let mut said = Vec::new();
        for rule in candidates.into_iter().map(|at| &self.rules[at]).filter(|rule| rule.on.matches(&event, from)) {
            let word = rule.one_of.as_deref();
            let judgement = self.ask(rule, &event, occasion, word.and_then(|word| acted.get(word).copied()));
            if let Some(word) = word.filter(|_| judgement.request.is_some()) {
                acted.insert(word, &rule.name);
            }
            said.push(judgement);
        }
        said
    }

    /// Asks one rule; `acted` is the rule with the same word of `one_of` that acts already.
    fn ask(&self, rule: &Rule, event: &Arc<Event>, occasion: &Occasion<'_>, acted: Option<&str>) -> Judgement {
        let verdict = Verdict {
            rule: rule.name.clone(),
            decision: Ruling::NoMatch,
            reason: String::new(),
            inputs: serde_json::Map::new(),
            rules_hash: self.hash.clone(),
            event: 0,
            happening: None,
            key: None,
            job: None,
        };
        let mut said = Judgement { verdict, request: None, rendered: None, one_of: rule.one_of.clone() };
        let verdict = &mut said.verdict;
        if rule.mode == Mode::Off {
            "mode: the rule is off".clone_into(&mut verdict.reason);
            return said;
        }
        if let Some(acted) = acted {
            verdict.reason = format!("one_of {}: {acted} acts", rule.one_of.as_deref().unwrap_or_default());
            return said;
        }
        let answer = judge::judge(rule, event, occasion, &self.env, &self.maps)
            .and_then(|(key, seen)| Ok((key, self.first_prompt(rule, &seen, occasion)?)));
        match answer {
            Err(refusal) => {
                verdict.decision = refusal.decision;
                verdict.reason = refusal.reason;
                verdict.inputs = refusal.inputs;
            }
            Ok((key, rendered)) => {
                verdict.happening = Some(event.happening.clone());
                verdict.key = Some(key.clone());
                said.rendered = Some(rendered);
                if rule.mode == Mode::Live {
                    verdict.decision = Ruling::Queued;
                    "every condition holds".clone_into(&mut verdict.reason);
                    said.request = Some(request::request(rule, event, occasion, key));
                } else {
                    verdict.decision = Ruling::Shadow;
                    "shadow: every condition holds, but the rule can never send".clone_into(&mut verdict.reason);
                }
            }
        }
        said
    }

    /// What would be sent if this were the only event of the job.
    fn first_prompt(&self, rule: &Rule, event: &Event, occasion: &Occasion<'_>) -> Result<Rendered, Refusal> {
        let told = Told {
            event,
            payload: Some(occasion.payload),
            delivery: occasion.delivery,
            received_at: crate::model::clock::Timestamp::default(),
        };
        let job = JobContext::first(occasion.instance_key);
        render::render(rule, &[told], &job, &self.env, &self.maps).map_err(|error| match error {
            RenderError::Template(what, why) => Refusal::failed(what, &why),
            RenderError::Ceiling(ref repo, _) => Refusal::denied(error.to_string(), "ceiling", repo.clone().into()),
            other => Refusal::failed("repo", &other.to_string()),
        })
    }

    /// What the rule says about its jobs, under the ceilings of the settings; the usual, if there is no such rule any more.
    pub fn policy(&self, rule: &str) -> Policy {
        let rules_hash = self.hash.clone();
        match self.names.get(rule) {
            Some(at) => Policy { rules_hash, ..self.rules[*at].policy.clone() },
            None => Policy { rules_hash, limits: self.ceilings.clone(), ..Policy::default() },
        }
    }

    /// Renders the prompt, repository and model of a job of the rule `rule`, from its events in the order of joining, under
    /// the rules in force now. `event` in templates is the newest of them. When a run is resumed and the rule has a
    /// `follow_up`, that is the prompt.
    pub fn render(&self, rule: &str, events: &[Told<'_>], job: &JobContext<'_>) -> Result<Rendered, RenderError> {
        let rule = self.names.get(rule).map(|at| &self.rules[*at]).ok_or(RenderError::RuleGone)?;
        match rule.mode {
            Mode::Live => render::render(rule, events, job, &self.env, &self.maps),
            Mode::Shadow => Err(RenderError::RuleShadow),
            Mode::Off => Err(RenderError::RuleOff),
        }
    }
}
