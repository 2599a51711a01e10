//! Warnings: rules that can be used, but hardly mean what they say.

use std::collections::HashMap;

use minijinja::Environment;

use super::build::Builder;
use super::fields::can_have;
use super::file::{Mode, RuleKeys};
use super::native;
use super::pattern::{Patterns, Spelling};
use super::read::At;
use super::rule::{Rule, Settle};
use crate::model::event::Kind;
use crate::model::policy::{Action, Approval, Bound, Then};
use crate::model::problem::nearest;

type List = Option<At<Vec<At<String>>>>;

/// The states that hosts tell of a review.
const REVIEWS: [&str; 4] = ["approved", "changes_requested", "commented", "dismissed"];

/// With so many earlier rules a rule is compared at most, so that ten thousand rules are read in a moment.
const COMPARED: usize = 100;

/// Whether events of a kind tell a new value.
fn has_to(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ChangeLabeled
            | Kind::ChangeReviewRequested
            | Kind::ReviewSubmitted
            | Kind::IssueLabeled
            | Kind::IssueAssigned
            | Kind::IssueTransitioned
            | Kind::IssueClosed
            | Kind::TagPushed
            | Kind::DeploymentFailed
    )
}

impl Builder<'_> {
    fn warn<T>(&mut self, at: &At<T>, message: impl Into<String>, help: Option<String>) {
        self.wrong(at, message, help);
        if let Some(problem) = self.problems.last_mut() {
            problem.severity = crate::model::problem::Severity::Warning;
        }
    }

    /// Doubts about one rule, in the keys that are its `own`: what defaults say is meant for many.
    pub(super) fn doubts(&mut self, own: &RuleKeys, rule: &Rule) {
        self.names(own, rule);
        self.never(own, rule);
        for (list, folds) in [
            (&own.on, false),
            (&own.to, true),
            (&own.checks, false),
            (&own.repos, false),
            (&own.projects, false),
            (&own.branches, false),
            (&own.base, false),
            (&own.labels, true),
            (&own.who, true),
            (&own.authors, true),
        ] {
            self.contradictions(list, folds);
        }
        if let Some(follow_up) = own.follow_up.as_ref().filter(|text| !text.value.is_empty())
            && !rule.policy.then.contains(&Then::Resume)
        {
            let help = "e.g. then = [\"resume\", \"start\"]".to_owned();
            self.warn(follow_up, "\"follow_up\" is never said: the rule resumes no run", Some(help));
        }
        if rule.policy.action == Action::Ban
            && let Some(prompt) = own.prompt.as_ref().or(own.prompt_file.as_ref())
        {
            self.warn(prompt, "a ban says nothing to anybody: the prompt is not used", None);
        }
    }

    /// Names that no host sends.
    fn names(&mut self, own: &RuleKeys, rule: &Rule) {
        for entry in own.on.iter().flat_map(|list| &list.value) {
            let name = entry.value.strip_prefix('!').unwrap_or(&entry.value);
            if super::pattern::split_prefix(name).0.is_some()
                && let Some((message, help)) = native::doubt(name)
            {
                self.warn(entry, message, help);
            }
        }
        if rule.on.kinds() == [Kind::ReviewSubmitted] {
            for entry in own.to.iter().flat_map(|list| &list.value) {
                let state = entry.value.strip_prefix('!').unwrap_or(&entry.value);
                let pattern = Patterns::compile(&[state.to_owned()], Spelling::Folded).unwrap_or_default();
                if !REVIEWS.iter().any(|known| pattern.allow_anywhere(known)) {
                    let help = nearest(state, REVIEWS).map_or_else(
                        || format!("there are {}", REVIEWS.join(", ")),
                        |near| format!("did you mean \"{near}\"?"),
                    );
                    self.warn(entry, format!("no host tells of a review that is \"{state}\""), Some(help));
                }
            }
        }
    }

    /// Keys that ask for what none of the rule's events has.
    fn never(&mut self, own: &RuleKeys, rule: &Rule) {
        if let Some(on) = &own.on
            && rule.on.is_empty()
        {
            self.warn(on, "\"on\" bars every event: the rule never matches", None);
        }
        let kinds = rule.on.kinds();
        if kinds.is_empty() {
            return self.suites_only(own, rule);
        }
        let names = || kinds.iter().map(|kind| kind.as_str()).collect::<Vec<_>>().join(", ");
        let never = |what: &str| kinds.iter().all(|kind| !can_have(Some(*kind), what));
        let narrow = |list: &List, patterns: &Patterns| list.as_ref().filter(|_| !patterns.is_all()).cloned();
        let place = |key: &str, what: &str, list: Option<At<Vec<At<String>>>>| {
            list.filter(|_| never(what)).map(|list| (list.put(()), format!("\"{key}\" never holds for {}", names())))
        };
        let base = rule.base.as_ref().and_then(|base| narrow(&own.base, base));
        let ci = kinds.iter().any(|kind| kind.is_ci());
        let found = [
            place("base", "base", base),
            place("branches", "branch", narrow(&own.branches, &rule.branches)),
            place("projects", "project", narrow(&own.projects, &rule.projects)),
            own.to
                .as_ref()
                .filter(|_| rule.to.is_some() && !kinds.iter().any(|kind| has_to(*kind)))
                .map(|to| (to.put(()), format!("{} tells no new value: \"to\" never holds", names()))),
            narrow(&own.checks, &rule.checks)
                .filter(|_| !ci)
                .map(|checks| (checks.put(()), format!("\"checks\" is for ci.*, and asks nothing of {}", names()))),
            own.per
                .as_ref()
                .filter(|per| per.value == "commit" && never("sha"))
                .map(|per| (per.put(()), format!("{} has no commit: per = \"commit\" never holds", names()))),
            own.settle
                .as_ref()
                .filter(|_| rule.settle == Some(Settle::Checks) && never("sha"))
                .map(|settle| (settle.put(()), format!("{} has no commit whose checks could end", names()))),
        ];
        for (at, message) in found.into_iter().flatten() {
            self.warn(&at, message, None);
        }
    }

    /// `checks` needs single checks.
    fn suites_only(&mut self, own: &RuleKeys, rule: &Rule) {
        let entries = own.on.iter().flat_map(|list| &list.value).filter(|entry| !entry.value.starts_with('!'));
        let mut entries = entries.peekable();
        if rule.checks.is_all() || entries.peek().is_none() || !entries.all(|entry| native::is_suite(&entry.value)) {
            return;
        }
        if let Some(at) = own.checks.as_ref().or(own.on.as_ref()).map(|list| list.put(())) {
            let help = "add check runs, jobs or statuses, e.g. on = [\"ci.failed\"]".to_owned();
            self.warn(&at, "suites and workflows name no single check: \"checks\" never holds", Some(help));
        }
    }

    /// Entries that are wanted and barred, or that stand twice.
    fn contradictions(&mut self, list: &List, folds: bool) {
        let plain = |text: &str| if folds { text.to_lowercase() } else { text.to_owned() };
        let entries: Vec<(String, &At<String>)> =
            list.iter().flat_map(|list| &list.value).map(|entry| (plain(&entry.value), entry)).collect();
        for (at, (text, entry)) in entries.iter().enumerate() {
            if entries[..at].iter().any(|(earlier, _)| earlier == text) {
                self.warn(entry, format!("\"{}\" stands twice", entry.value), None);
            }
            let barred =
                |(other, _): &&(String, &At<String>)| other.strip_prefix('!').is_some_and(|bar| bars(bar, text));
            if !text.starts_with('!')
                && let Some((_, by)) = entries.iter().find(barred)
            {
                self.warn(entry, format!("\"{}\" is wanted and barred: \"{}\" wins", entry.value, by.value), None);
            }
        }
    }

    /// Doubts about rules beside each other; `at` are the places of their names.
    pub(super) fn together(&mut self, rules: &[Rule], at: &[At<()>]) {
        self.unlimited(rules, at);
        let mut words: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut alike: HashMap<(&[String], &[String]), Vec<usize>> = HashMap::new();
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.mode == Mode::Live) {
            let twins = alike.entry((&rule.on_text, &rule.repos_text)).or_default();
            let twin = twins.iter().take(COMPARED).find(|twin| same(&rules[**twin], rule, &self.env));
            let shadow = rule.one_of.as_deref().and_then(|word| {
                let before = words.entry(word).or_default();
                let shadow =
                    before.iter().take(COMPARED).find(|before| covers(&rules[**before], rule, &self.env)).copied();
                before.push(number);
                shadow
            });
            if let Some(shadow) = shadow {
                let message = format!(
                    "the rule never acts: \"{}\" comes before it and matches whatever it matches",
                    rules[shadow].name
                );
                let help = format!(
                    "both have one_of = \"{}\": put the narrower rule first",
                    rule.one_of.as_deref().unwrap_or_default()
                );
                self.warn(&at[number], message, Some(help));
            } else if let Some(twin) = twin {
                let message = format!("the rule says the same as \"{}\": each event starts both", rules[*twin].name);
                self.warn(&at[number], message, None);
            }
            twins.push(number);
        }
    }

    /// Live rules that may start as many runs as there are subjects: one warning for each file.
    fn unlimited(&mut self, rules: &[Rule], at: &[At<()>]) {
        let mut files: Vec<(&str, Vec<usize>)> = Vec::new();
        for (number, rule) in rules.iter().enumerate().filter(|(_, rule)| unlimited(rule)) {
            match files.iter_mut().find(|(file, _)| *file == rule.origin) {
                Some((_, found)) => found.push(number),
                None => files.push((&rule.origin, vec![number])),
            }
        }
        for (_, found) in files {
            let names: Vec<String> =
                found.iter().take(3).map(|number| format!("\"{}\"", rules[*number].name)).collect();
            let more = found.len() - names.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            let message = format!("nothing but attempts limits how much is started by {}{more}", names.join(", "));
            let help = "e.g. limits = { rule = \"50/day\" }, in the rule or in [defaults]".to_owned();
            self.warn(&at[found[0]], message, Some(help));
        }
    }
}

/// Whether the bar means all that the text means, as far as that is plain.
fn bars(bar: &str, text: &str) -> bool {
    if bar == text || bar == "**" {
        return true;
    }
    let special = |text: &str| text.contains(['*', '?', '[', '{', ':']);
    !special(text)
        && !bar.contains(':')
        && Patterns::compile(&[bar.to_owned()], Spelling::Plain).is_ok_and(|bar| bar.allow_anywhere(text))
}

fn unlimited(rule: &Rule) -> bool {
    let policy = &rule.policy;
    rule.mode == Mode::Live
        && policy.action != Action::Ban
        && !matches!(policy.approval, Approval::Always | Approval::Above { .. })
        && !policy.limits.iter().any(|limit| matches!(limit.bound, Bound::Rate { .. }))
}

/// Whether `wide` matches whatever `narrow` matches, as far as that is plain.
fn covers(wide: &Rule, narrow: &Rule, env: &Environment<'_>) -> bool {
    let text = |name: &Option<String>| template(env, name.as_ref());
    let maybe = |wide: &Option<Patterns>, narrow: &Option<Patterns>| match (wide, narrow) {
        (None, _) => true,
        (Some(wide), Some(narrow)) => wide.covers(narrow),
        (Some(_), None) => false,
    };
    wide.on.covers(&narrow.on)
        && wide.repos.covers(&narrow.repos)
        && (wide.ceiling.is_all() || wide.policy.file == narrow.policy.file)
        && wide.projects.covers(&narrow.projects)
        && wide.branches.covers(&narrow.branches)
        && wide.checks.covers(&narrow.checks)
        && maybe(&wide.base, &narrow.base)
        && maybe(&wide.to, &narrow.to)
        && maybe(&wide.labels, &narrow.labels)
        && (wide.command.is_empty()
            || narrow.command.iter().all(|word| wide.command.contains(word)) && !narrow.command.is_empty())
        && (&wide.who, &wide.authors) == (&narrow.who, &narrow.authors)
        && narrow.allow.iter().all(|word| wide.allow.contains(word))
        && (wide.when.is_none() || text(&wide.when) == text(&narrow.when))
}

/// Whether two rules match the same and say the same.
fn same(one: &Rule, other: &Rule, env: &Environment<'_>) -> bool {
    covers(one, other, env)
        && covers(other, one, env)
        && one.policy.action == other.policy.action
        && template(env, one.prompt.as_ref()) == template(env, other.prompt.as_ref())
}

fn template(env: &Environment<'_>, name: Option<&String>) -> Option<String> {
    let template = env.get_template(name?).ok()?;
    Some(template.source().to_owned())
}
