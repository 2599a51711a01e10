//! What a rule says about its jobs after they are made: how much, by whose leave, when; and the ceilings over it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;

use super::build::Builder;
use super::file::{ApprovalKey, ApprovalKeys, ApprovalWord, Deed, Haste, LimitKeys, Mode, RuleKeys, Stale, Way};
use super::pattern::{Patterns, Spelling};
use super::read::{At, Texts};
use super::rule::Settle;
use crate::model::hours::Hours;
use crate::model::policy::{Action, Approval, Bound, Limit, OnStale, Policy, Priority, Scope, Terms, Then};
use crate::model::problem::Problem;
use crate::model::span::{parse_span, show_span};

/// The terms of the settings, ready to be laid over rules.
#[derive(Debug)]
pub(super) struct Ceilings {
    zone: TimeZone,
    /// Over all rules together.
    pub(super) all: Vec<Limit>,
    files: BTreeMap<String, FileCeiling>,
}

/// What the rules of one file may do at most.
#[derive(Clone, Debug, Default)]
pub(super) struct FileCeiling {
    /// Where they may act.
    pub(super) places: Arc<Patterns>,
    limits: Vec<Limit>,
}

impl Ceilings {
    /// Compiles the terms. What is wrong with them is a problem of the settings, which have lines of their own.
    pub(super) fn new(terms: &Terms, problems: &mut Vec<Problem>) -> Self {
        let mut wrong = |message: String| problems.push(Problem::error("the settings", message));
        let zone = terms.timezone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get);
        let zone = zone.unwrap_or_else(|_| {
            wrong(format!("there is no time zone \"{}\"", terms.timezone.as_deref().unwrap_or_default()));
            TimeZone::UTC
        });
        let limits = |scope, bounds: &[Bound]| bounds.iter().map(|bound| Limit { scope, bound: *bound }).collect();
        let file = |(name, terms): (&String, &crate::model::policy::FileTerms)| {
            let places = Patterns::compile(&terms.repos, Spelling::Sourced).unwrap_or_else(|errors| {
                for (_, why) in errors {
                    wrong(format!("repos of the rules file \"{name}\": {why}"));
                }
                Patterns::default()
            });
            (name.clone(), FileCeiling { places: Arc::new(places), limits: limits(Scope::File, &terms.limits) })
        };
        let files = terms.files.iter().map(file).collect();
        Self { zone, all: limits(Scope::All, &terms.all), files }
    }

    /// The ceiling over one file, by its name without folders.
    pub(super) fn of(&self, file: &str) -> FileCeiling {
        self.files.get(file).cloned().unwrap_or_default()
    }
}

impl Builder<'_> {
    /// What the rule says about its jobs, under the ceilings of its file.
    pub(super) fn policy(&mut self, keys: &RuleKeys, file: &str) -> Policy {
        let usual = Policy::default();
        let (attempts, mut limits) = self.limits(keys.limits.as_ref());
        limits.extend(self.ceilings.all.iter().chain(&self.ceilings.of(file).limits));
        let (approval, approval_wait) = self.approval(keys.approval.as_ref());
        Policy {
            rules_hash: String::new(),
            silent: keys.mode.as_ref().map(|mode| mode.value).filter(|mode| *mode != Mode::Live).map(Mode::as_str),
            attempts: attempts.unwrap_or(usual.attempts),
            limits,
            file: file.to_owned(),
            approval,
            approval_wait,
            hours: self.hours(keys.hours.as_ref()),
            settle_checks: false,
            then: self.then(keys.then.as_ref()).unwrap_or(usual.then),
            on_stale: match keys.on_stale.as_ref().map(|key| key.value) {
                None | Some(Stale::Leave) => OnStale::Leave,
                Some(Stale::Tell) => OnStale::Tell,
                Some(Stale::Ban) => OnStale::Ban,
            },
            action: match keys.action.as_ref().map(|key| key.value) {
                None | Some(Deed::Run) => Action::Run,
                Some(Deed::SetupCommands) => Action::SetupCommands,
                Some(Deed::Ban) => Action::Ban,
            },
        }
    }

    /// Reports places that the settings keep the rules of this file out of, as far as that can be known before anything
    /// happens; what a pattern or template leaves open is asked at each event.
    pub(super) fn inside(&mut self, repos: &[At<String>], keys: &RuleKeys, ceiling: &Patterns, file: &str) {
        if ceiling.is_all() {
            return;
        }
        let projects = keys.projects.iter().flat_map(|list| &list.value);
        let named = repos.iter().chain(projects).filter(|entry| !entry.value.starts_with('!'));
        let repo = keys.repo.iter().filter(|repo| !repo.value.is_empty() && !repo.value.contains(['{', '%']));
        for entry in named.chain(repo).filter(|entry| !ceiling.may_meet(&entry.value)) {
            let help =
                format!("[rules.files.\"{file}\"] repos in the settings says where the rules of this file may act");
            self.wrong(entry, format!("\"{}\" is outside of what the settings allow", entry.value), Some(help));
        }
    }

    fn limits(&mut self, keys: Option<&At<LimitKeys>>) -> (Option<u32>, Vec<Limit>) {
        let Some(keys) = keys.map(|keys| &keys.value) else { return (None, Vec::new()) };
        if let Some(attempts) = keys.attempts.as_ref().filter(|attempts| attempts.value == 0) {
            let help = "to stop a rule set mode = \"off\"".to_owned();
            self.wrong(attempts, "0 attempts would let nothing through", Some(help));
        }
        let mut limits = Vec::new();
        let mut read = |scope, key: &Option<At<Texts>>| {
            for text in key.iter().flat_map(|texts| &texts.value.0) {
                match text.value.parse() {
                    Ok(bound) => limits.push(Limit { scope, bound }),
                    Err(why) => self.wrong(text, why, None),
                }
            }
        };
        read(Scope::Subject, &keys.subject);
        read(Scope::Rule, &keys.rule);
        read(Scope::Repo, &keys.repo);
        read(Scope::Person, &keys.person);
        (keys.attempts.as_ref().map(|attempts| attempts.value), limits)
    }

    fn approval(&mut self, key: Option<&At<ApprovalKey>>) -> (Approval, Option<Duration>) {
        let Some(key) = key else { return (Approval::Never, None) };
        let keys = match &key.value {
            ApprovalKey::Word(ApprovalWord::Never) => return (Approval::Never, None),
            ApprovalKey::Word(ApprovalWord::Always) => return (Approval::Always, None),
            ApprovalKey::Keys(keys) => keys,
        };
        let wait = keys.wait.as_ref().and_then(|text| self.span(text));
        let approval = match keys {
            ApprovalKeys { above: Some(_), first: Some(first), .. } => {
                self.wrong(first, "approval has both \"above\" and \"first\"", Some("choose one".to_owned()));
                Approval::Always
            }
            ApprovalKeys { above: Some(above), .. } => match above.value.parse() {
                Ok(Bound::Rate { count, per }) => Approval::Above { count, per },
                Ok(Bound::Running(_)) => {
                    self.wrong(above, "\"above\" must be a rate such as \"20/day\"", None);
                    Approval::Always
                }
                Err(why) => {
                    self.wrong(above, why, None);
                    Approval::Always
                }
            },
            ApprovalKeys { first: Some(first), .. } => Approval::First(first.value),
            ApprovalKeys { wait: Some(_), .. } => Approval::Always,
            ApprovalKeys { unread, .. } => {
                if unread.is_empty() {
                    let help = "e.g. { above = \"20/day\" }, { first = 10 } or { wait = \"24h\" }".to_owned();
                    self.wrong(key, "approval says nothing", Some(help));
                }
                Approval::Always
            }
        };
        (approval, wait)
    }

    fn hours(&mut self, text: Option<&At<String>>) -> Option<Hours> {
        let text = text.filter(|text| text.value != "always")?;
        Hours::parse(&text.value, self.ceilings.zone.clone()).map_err(|why| self.wrong(text, why, None)).ok()
    }

    fn then(&mut self, list: Option<&At<Vec<At<Way>>>>) -> Option<Vec<Then>> {
        let list = list?;
        if list.value.is_empty() {
            let help = "e.g. then = [\"resume\", \"start\"]".to_owned();
            self.wrong(list, "\"then\" is empty: nothing would ever be sent", Some(help));
        }
        let mut before: Option<Way> = None;
        for way in &list.value {
            // A start always finds its way and a hold ends with a person; a resume may find no run.
            if let Some(before) = before.filter(|before| *before == way.value || *before != Way::Resume) {
                let message = format!("\"{}\" after \"{}\" is never tried", way.value.as_str(), before.as_str());
                self.wrong(way, message, None);
            }
            before = Some(way.value);
        }
        let words = list.value.iter().map(|way| match way.value {
            Way::Resume => Then::Resume,
            Way::Start => Then::Start,
            Way::Hold => Then::Hold,
        });
        Some(words.collect())
    }

    /// How long it must be quiet, and after how long the job is sent whatever still comes.
    pub(super) fn settle(&mut self, keys: &RuleKeys) -> (Option<Settle>, Duration) {
        let most = keys.settle_max.as_ref().and_then(|text| self.span(text)).unwrap_or(super::SETTLE_MAX);
        let Some(text) = &keys.settle else { return (None, most) };
        if text.value == "checks" {
            return (Some(Settle::Checks), most);
        }
        let span = self.span(text);
        if span.is_some_and(|span| span > most) {
            let message = format!("\"settle\" may be at most {}, which is settle_max", show_span(most));
            self.wrong(text, message, Some("give the rule a longer settle_max".to_owned()));
        }
        (span.map(Settle::Quiet), most)
    }

    fn span(&mut self, text: &At<String>) -> Option<Duration> {
        parse_span(&text.value).map_err(|why| self.wrong(text, why, None)).ok()
    }
}

/// The priority that a rule gives its jobs.
pub(super) fn priority(keys: &RuleKeys) -> Priority {
    match keys.priority.as_ref().map(|key| key.value) {
        Some(Haste::Urgent) => Priority::Urgent,
        None | Some(Haste::Normal) => Priority::Normal,
        Some(Haste::Background) => Priority::Background,
    }
}
