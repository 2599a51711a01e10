//! One compiled rule.

use std::sync::Arc;
use std::time::Duration;

use super::file::{AgentType, Allowance, Mode};
use super::pattern::{From, Patterns, split_prefix};
use super::people::People;
use crate::model::event::{Check, Event, Kind};
use crate::model::policy::{Policy, Priority};

/// How long the checks of a commit must be quiet after they have ended.
const CHECKS_QUIET: Duration = Duration::from_secs(30);

/// A rule, ready to be asked.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) mode: Mode,
    pub(super) origin: String,
    pub(super) on_text: Vec<String>,
    pub(super) repos_text: Vec<String>,
    pub(super) on: Trigger,
    pub(super) one_of: Option<String>,
    pub(super) to: Option<Patterns>,
    pub(super) command: Vec<String>,
    pub(super) checks: Patterns,
    pub(super) repos: Patterns,
    /// Where the settings let the rules of its file act.
    pub(super) ceiling: Arc<Patterns>,
    pub(super) projects: Patterns,
    pub(super) branches: Patterns,
    pub(super) base: Option<Patterns>,
    pub(super) labels: Option<Patterns>,
    pub(super) who: People,
    pub(super) authors: People,
    pub(super) allow: Vec<Allowance>,
    pub(super) when: Option<String>,
    pub(super) per: Option<Per>,
    pub(super) settle: Option<Settle>,
    pub(super) settle_max: Duration,
    pub(super) priority: Priority,
    /// What holds for its jobs; the hash is that of the whole set and stands there.
    pub(super) policy: Policy,
    pub(super) repo: Option<String>,
    pub(super) model: Option<String>,
    pub(super) agent_type: AgentType,
    /// None only where nothing needs to be said: for set-up commands and a ban.
    pub(super) prompt: Option<String>,
    pub(super) follow_up: Option<String>,
    /// The roots that its templates read.
    pub(super) reads: Vec<&'static str>,
}

/// How long a job waits for more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settle {
    /// Until it was quiet for so long.
    Quiet(Duration),
    /// Until every check of its commit has ended.
    Checks,
}

/// What one job stands for. Templates are held by the name under which they are compiled.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Per {
    Commit,
    Subject,
    Branch,
    Event,
    Template(String),
}

impl Rule {
    pub(super) fn allows(&self, what: Allowance) -> bool {
        self.allow.contains(&what)
    }

    /// Whether a check never counts.
    pub(super) fn bars_check(&self, check: &Check) -> bool {
        !check.aggregate && self.checks.bars_anywhere(&check.name)
    }

    /// One job per this: what the rule says, else the commit for CI and pushes and the event for all others.
    pub(super) fn per(&self, kind: Option<Kind>) -> Per {
        self.per.clone().unwrap_or(match kind {
            Some(kind) if kind.is_ci() || kind == Kind::Push => Per::Commit,
            _ => Per::Event,
        })
    }

    /// How long it must be quiet: what the rule says, else a minute for CI and nothing for all others.
    pub(super) fn settle(&self, kind: Option<Kind>) -> Duration {
        match self.settle {
            Some(Settle::Quiet(span)) => span,
            Some(Settle::Checks) => CHECKS_QUIET,
            None => Duration::from_secs(if kind.is_some_and(Kind::is_ci) { 60 } else { 0 }),
        }
    }
}

/// What a rule is about: kinds, and native names of one source.
#[derive(Debug, Default)]
pub(super) struct Trigger {
    /// The kinds that it names, whatever the source.
    wanted: Vec<Kind>,
    /// The kinds that can come; empty when native names make that unknowable.
    kinds: Vec<Kind>,
    native_text: Vec<String>,
    natives: Patterns,
}

impl Trigger {
    /// Compiles the list; errors carry the index of the entry that is wrong.
    pub(super) fn compile(list: &[String]) -> Result<Self, Vec<(usize, String)>> {
        let bare = |text: &str| text.strip_prefix('!').unwrap_or(text).to_owned();
        let (mut native, mut ours) = (Vec::new(), Vec::new());
        let mut wrong = Vec::new();
        for (at, text) in list.iter().enumerate() {
            if split_prefix(&bare(text)).0.is_some() {
                native.push((at, text.clone()));
            } else {
                ours.push((at, text.clone()));
            }
        }
        let compile = |list: &[(usize, String)], wrong: &mut Vec<(usize, String)>| {
            let texts: Vec<String> = list.iter().map(|(_, text)| text.clone()).collect();
            Patterns::compile(&texts, super::pattern::Spelling::Sourced).unwrap_or_else(|errors| {
                wrong.extend(errors.into_iter().map(|(at, why)| (list[at].0, why)));
                Patterns::default()
            })
        };
        for entry in &ours {
            let one = compile(std::slice::from_ref(&(entry.0, bare(&entry.1))), &mut wrong);
            if !Kind::ALL.iter().any(|kind| one.allow_anywhere(kind.as_str())) {
                wrong.push((entry.0, format!("there is no event \"{}\"", bare(&entry.1))));
            }
        }
        let kinds = compile(&ours, &mut wrong);
        let natives = compile(&native, &mut wrong);
        if !wrong.is_empty() {
            wrong.sort();
            wrong.dedup_by_key(|(at, _)| *at);
            return Err(wrong);
        }
        // Native entries alone want no kind; entries that only bar start from all kinds.
        let none = kinds.only_bars() && native.iter().any(|(_, text)| !text.starts_with('!'));
        let wanted = |kind: &Kind| !none && kinds.allow_anywhere(kind.as_str());
        let wanted: Vec<Kind> = Kind::ALL.into_iter().filter(wanted).collect();
        let native_text: Vec<String> =
            native.into_iter().map(|(_, text)| text).filter(|text| !text.starts_with('!')).collect();
        let named: Option<Vec<Vec<Kind>>> = native_text.iter().map(|text| kinds_named(text)).collect();
        let kinds = named.map_or_else(Vec::new, |named| [wanted.clone(), named.concat()].concat());
        Ok(Self { wanted, kinds, native_text, natives })
    }

    /// Whether no event can ever be meant.
    pub(super) fn is_empty(&self) -> bool {
        self.wanted.is_empty() && self.native_text.is_empty()
    }

    /// Whether it means every event that `other` means, as far as that is plain.
    pub(super) fn covers(&self, other: &Self) -> bool {
        other.wanted.iter().all(|kind| self.wanted.contains(kind))
            && other.native_text.iter().all(|name| self.native_text.contains(name))
            && self.natives.bars_no_more(&other.natives)
    }

    /// Whether it names the kind, whatever the source.
    pub(super) fn wants_kind(&self, kind: Kind) -> bool {
        self.wanted.contains(&kind)
    }

    /// The kinds that can come, or none when native names make that unknowable.
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// The native entries without their prefix, and whether each is a name rather than a pattern.
    pub(super) fn natives(&self) -> impl Iterator<Item = (&str, bool)> {
        let texts = self.native_text.iter().map(|text| split_prefix(text).1);
        texts.map(|name| (name, !name.contains(['*', '?', '[', '{', '\\'])))
    }

    /// Whether the event is meant.
    pub(super) fn matches(&self, event: &Event, from: From<'_>) -> bool {
        let native = split_prefix(&event.native).1;
        let kind = event.kind.map_or("", Kind::as_str);
        if self.natives.bars(native, from) || self.natives.bars(kind, from) {
            return false;
        }
        event.kind.is_some_and(|kind| self.wants_kind(kind))
            || self.natives.wants(native, from)
            || (!kind.is_empty() && self.natives.wants(kind, from))
    }
}

/// The kinds that an entry with a source names in our own words, as in `github:ci.failed`; `None` when it is a native name.
fn kinds_named(entry: &str) -> Option<Vec<Kind>> {
    let (_, name) = split_prefix(entry);
    // Without the dot it could be a host's own word: a push of a tag is named github:push too.
    let plain = name.split(['*', '?', '[', '{', '\\']).next().unwrap_or_default();
    let pattern = Patterns::compile(&[name.to_owned()], super::pattern::Spelling::Plain).ok()?;
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| pattern.allow_anywhere(kind.as_str())).collect();
    (plain.contains('.') && !kinds.is_empty()).then_some(kinds)
}
