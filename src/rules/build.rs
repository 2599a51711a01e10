//! Builds one rule from its keys: patterns, people, spans of time and templates, each checked where it stands.

use std::collections::{BTreeMap, HashMap, HashSet};

use minijinja::Environment;

use super::RuleTest;
use super::check::{self, Findings, Scope};
use super::compile::{Groups, ReadFile};
use super::fields::{JOB_ROOTS, ROOTS};
use super::file::{AgentType, Mode, RuleKeys, TestKeys};
use super::limits::{Ceilings, priority};
use super::pattern::{Patterns, Spelling};
use super::people::People;
use super::read::{At, Text};
use super::rule::{Per, Rule, Settle, Trigger};
use super::shipped;
use crate::model::event::Kind;
use crate::model::policy::{Action, Policy};
use crate::model::problem::{Problem, nearest};

type List = Option<At<Vec<At<String>>>>;

/// What building a rule needs, and what it leaves.
pub(super) struct Builder<'a> {
    pub(super) texts: &'a [Text],
    pub(super) problems: Vec<Problem>,
    pub(super) groups: &'a Groups,
    /// The names of the look-ups.
    pub(super) maps: &'a [String],
    pub(super) ceilings: &'a Ceilings,
    /// The index of the shipped text among the texts, when a rule uses one of its rules.
    pub(super) shipped: Option<usize>,
    pub(super) env: Environment<'static>,
    pub(super) read: &'a ReadFile<'a>,
    /// Prompt files and includes that were read, by name.
    pub(super) outside: BTreeMap<String, String>,
    /// Which of them were checked for events of which kinds: rules of other kinds may share one.
    pub(super) checked: HashSet<(String, Vec<Kind>)>,
    /// The files that are being read, each included by the one before it.
    pub(super) chain: Vec<String>,
    /// What each template reads: roots, and templates that it includes.
    pub(super) reads: HashMap<String, (Vec<&'static str>, Vec<String>)>,
}

impl Builder<'_> {
    pub(super) fn wrong<T>(&mut self, at: &At<T>, message: impl Into<String>, help: Option<String>) {
        let text = &self.texts[at.file];
        let mut problem = Problem::error(text.origin.as_str(), message).at(&text.text, at.span.clone());
        problem.help = help;
        self.problems.push(problem);
    }

    /// Builds the rule that stands at `place`; `number` makes the names of its templates unique.
    pub(super) fn rule(&mut self, keys: &RuleKeys, place: &At<()>, number: usize) -> Option<Rule> {
        let before = self.problems.len();
        for (key, missing, help) in [
            ("name", keys.name.is_none(), "decisions and jobs go by it"),
            ("on", keys.on.is_none(), "say what happened, e.g. on = [\"ci.failed\"]"),
            ("repos", keys.repos.is_none(), "say where, e.g. repos = [\"acme/*\"]; [\"**\"] means all"),
        ] {
            if missing && !keys.unread.contains(&key) {
                self.wrong(place, format!("the rule has no \"{key}\""), Some(help.to_owned()));
            }
        }
        if let Some(name) = &keys.name {
            let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            if name.value.is_empty() || name.value.len() > 64 || !name.value.chars().all(good) {
                let message = "a rule's name has 1 to 64 letters, digits, \"-\", \"_\" and \".\"";
                self.wrong(name, message, None);
            }
        }
        for (key, list) in [("on", &keys.on), ("repos", &keys.repos)] {
            if let Some(list) = list
                && list.value.is_empty()
            {
                self.wrong(list, format!("\"{key}\" is empty: the rule would never match"), None);
            }
        }
        let on = self.trigger(keys.on.as_ref());
        let kinds = on.kinds().to_vec();
        let repos = self.grouped(&keys.repos);
        let file = file_name(&self.texts[place.file].origin).to_owned();
        let ceiling = self.ceilings.of(&file).places;
        self.inside(&repos, keys, &ceiling, &file);
        let command = self.commands(&keys.command, &kinds);
        let mut policy = self.policy(keys, &file);
        let (settle, settle_max) = self.settle(keys);
        policy.settle_checks = settle == Some(Settle::Checks);
        let prompt = self.prompt(keys, place, &policy, &kinds, number);
        let repo = self.inline("repo", keys.repo.as_ref(), &kinds, number, JOB_ROOTS);
        let model = self.inline("model", keys.model.as_ref(), &kinds, number, JOB_ROOTS);
        let follow_up = self.inline("follow_up", keys.follow_up.as_ref(), &kinds, number, JOB_ROOTS);
        let reads = self.roots([&prompt, &repo, &model, &follow_up].into_iter().flatten());
        let rule = Rule {
            name: keys.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
            owner: keys.owner.as_ref().map(|owner| owner.value.clone()).unwrap_or_default(),
            mode: keys.mode.as_ref().map_or(Mode::Live, |mode| mode.value),
            origin: self.texts[place.file].origin.clone(),
            on_text: texts(&keys.on),
            repos_text: texts(&keys.repos),
            on,
            one_of: keys.one_of.as_ref().map(|word| word.value.clone()).filter(|word| !word.is_empty()),
            to: given(&keys.to).then(|| self.patterns(&keys.to, None, Spelling::Folded)),
            command,
            checks: self.patterns(&keys.checks, None, Spelling::Plain),
            repos: self.patterns(&keys.repos, Some(repos), Spelling::Sourced),
            ceiling,
            projects: self.patterns(&keys.projects, None, Spelling::Plain),
            branches: self.patterns(&keys.branches, None, Spelling::Plain),
            base: given(&keys.base).then(|| self.patterns(&keys.base, None, Spelling::Plain)),
            labels: given(&keys.labels).then(|| self.patterns(&keys.labels, None, Spelling::Folded)),
            who: self.people(&keys.who, "members"),
            authors: self.people(&keys.authors, "anyone"),
            allow: keys.allow.iter().flat_map(|list| &list.value).map(|word| word.value).collect(),
            when: self.expression(keys.when.as_ref(), &kinds, number),
            per: self.per(keys.per.as_ref(), &kinds, number),
            settle,
            settle_max,
            priority: priority(keys),
            policy,
            repo,
            model,
            agent_type: keys.agent_type.as_ref().map_or(AgentType::Codegen, |agent| agent.value),
            prompt,
            follow_up,
            reads,
        };
        (self.problems.len() == before).then_some(rule)
    }

    /// Builds a test; the names of rules are known by then.
    pub(super) fn test(&mut self, keys: At<TestKeys>, names: &HashMap<String, At<()>>) -> Option<RuleTest> {
        let place = keys.put(());
        let keys = keys.value;
        for (key, missing) in
            [("name", keys.name.is_none()), ("delivery", keys.delivery.is_none()), ("expect", keys.expect.is_none())]
        {
            if missing && !keys.unread.contains(&key) {
                self.wrong(&place, format!("the test has no \"{key}\""), None);
            }
        }
        let expect = keys.expect?;
        if let Some(rule) = &expect.value.rule
            && !names.contains_key(&rule.value)
        {
            let help = nearest(&rule.value, names.keys().map(String::as_str));
            let help = help.map(|near| format!("did you mean \"{near}\"?"));
            self.wrong(rule, format!("there is no rule \"{}\"", rule.value), help);
        }
        if expect.value.decision.is_none() && !expect.value.unread.contains(&"decision") {
            self.wrong(&expect, "the test expects no \"decision\"", None);
        }
        let expect = expect.value;
        Some(RuleTest {
            name: keys.name?.value,
            given: texts(&keys.given),
            delivery: keys.delivery?.value,
            rule: expect.rule.map(|rule| rule.value),
            decision: expect.decision?.value.as_str(),
            reason: expect.reason.map(|reason| reason.value),
            key: expect.key.map(|key| key.value),
            repo: expect.repo.map(|repo| repo.value),
            prompt: texts(&expect.prompt),
        })
    }

    fn trigger(&mut self, list: Option<&At<Vec<At<String>>>>) -> Trigger {
        let Some(list) = list else { return Trigger::default() };
        let words: Vec<String> = list.value.iter().map(|word| word.value.clone()).collect();
        Trigger::compile(&words).unwrap_or_else(|wrong| {
            for (at, why) in wrong {
                let word = words[at].trim_start_matches('!');
                let near = nearest(word, Kind::ALL.iter().map(|kind| kind.as_str()));
                let help = near.map_or_else(
                    || "a host's own name needs its prefix, e.g. \"github:check_suite.completed\"".to_owned(),
                    |near| format!("did you mean \"{near}\"?"),
                );
                let help = why.starts_with("there is no").then_some(help);
                self.wrong(&list.value[at], why, help);
            }
            Trigger::default()
        })
    }

    /// The list with its groups laid out; each entry with the place where its name stands.
    fn grouped(&mut self, list: &List) -> Vec<At<String>> {
        let mut laid_out = Vec::new();
        for entry in list.iter().flat_map(|list| &list.value) {
            let (bang, name) = entry.value.strip_prefix('!').map_or(("", entry.value.as_str()), |name| ("!", name));
            let Some(name) = name.strip_prefix('@') else {
                laid_out.push(entry.clone());
                continue;
            };
            if let Some(group) = self.groups.get(name) {
                laid_out.extend(group.iter().map(|member| entry.put(format!("{bang}{member}"))));
            } else {
                let near = nearest(name, self.groups.keys().map(String::as_str));
                let help = near.map(|near| format!("did you mean \"@{near}\"?"));
                self.wrong(entry, format!("there is no group \"{name}\""), help);
            }
        }
        laid_out
    }

    fn patterns(&mut self, list: &List, laid_out: Option<Vec<At<String>>>, spelling: Spelling) -> Patterns {
        let entries = laid_out.unwrap_or_else(|| list.iter().flat_map(|list| list.value.clone()).collect());
        let words: Vec<String> = entries.iter().map(|entry| entry.value.clone()).collect();
        Patterns::compile(&words, spelling).unwrap_or_else(|wrong| {
            for (at, why) in wrong {
                self.wrong(&entries[at], why, None);
            }
            Patterns::default()
        })
    }

    fn people(&mut self, list: &List, default: &str) -> People {
        if list.is_none() {
            return People::new(&[default.to_owned()]);
        }
        let entries = self.grouped(list);
        for entry in &entries {
            if entry.value.trim_start_matches('!').is_empty() {
                self.wrong(entry, "a login may not be empty", None);
            }
        }
        People::new(&entries.into_iter().map(|entry| entry.value).collect::<Vec<_>>())
    }

    fn commands(&mut self, list: &List, kinds: &[Kind]) -> Vec<String> {
        if let Some(list) = list.as_ref().filter(|list| !list.value.is_empty())
            && !kinds.is_empty()
            && !kinds.contains(&Kind::CommentCreated)
        {
            self.wrong(list, "\"command\" is for comment.created, which is not in \"on\"", None);
        }
        for entry in list.iter().flat_map(|list| &list.value) {
            if entry.value.trim().is_empty() || entry.value.trim() != entry.value || entry.value.contains('\n') {
                self.wrong(entry, "a command is one line without spaces around it, e.g. \"/agent\"", None);
            }
        }
        texts(list)
    }

    fn per(&mut self, text: Option<&At<String>>, kinds: &[Kind], number: usize) -> Option<Per> {
        let text = text?;
        Some(match text.value.as_str() {
            "commit" => Per::Commit,
            "subject" => Per::Subject,
            "branch" => Per::Branch,
            "event" => Per::Event,
            template if template.contains("{{") => {
                Per::Template(self.inline("per", Some(text), kinds, number, ROOTS)?)
            }
            word => {
                let help = nearest(word, ["commit", "subject", "branch", "event"]);
                let help = help.map(|near| format!("did you mean \"{near}\"?"));
                let message = "\"per\" must be \"commit\", \"subject\", \"branch\", \"event\" or a template";
                self.wrong(text, message, help);
                return None;
            }
        })
    }

    fn expression(&mut self, text: Option<&At<String>>, kinds: &[Kind], number: usize) -> Option<String> {
        let text = text.filter(|text| !text.value.trim().is_empty())?;
        let findings = check::expression(&text.value, &Scope { roots: ROOTS, kinds, maps: self.maps, env: &self.env });
        // As a template it is compiled once; it was read as one whole expression before.
        let source = format!("{{% if ({}\n) %}}1{{% endif %}}", text.value);
        self.add("when", text, findings, source, number)
    }

    fn inline(
        &mut self,
        key: &'static str,
        text: Option<&At<String>>,
        kinds: &[Kind],
        number: usize,
        roots: &'static [(&'static str, super::fields::Type)],
    ) -> Option<String> {
        let text = text.filter(|text| !text.value.is_empty())?;
        let findings = check::template(&text.value, &Scope { roots, kinds, maps: self.maps, env: &self.env });
        self.add(key, text, findings, text.value.clone(), number)
    }

    fn prompt(
        &mut self,
        keys: &RuleKeys,
        place: &At<()>,
        policy: &Policy,
        kinds: &[Kind],
        number: usize,
    ) -> Option<String> {
        match (&keys.prompt, &keys.prompt_file) {
            (Some(_), Some(file)) => {
                self.wrong(file, "the rule has both \"prompt\" and \"prompt_file\"", None);
                None
            }
            (None, None) if policy.action != Action::Run || keys.unread.iter().any(|key| key.starts_with("prompt")) => {
                None
            }
            (None, None) => {
                self.wrong(place, "the rule has no \"prompt\"", Some("or give a \"prompt_file\"".to_owned()));
                None
            }
            (Some(prompt), None) if prompt.value.trim().is_empty() => {
                self.wrong(prompt, "the prompt is empty", None);
                None
            }
            (Some(prompt), None) => self.inline("prompt", Some(prompt), kinds, number, JOB_ROOTS),
            (None, Some(file)) => {
                let name = self.template_name(file, &file.value);
                self.include(&name, kinds, &mut |builder, why| builder.wrong(file, why, None));
                Some(name)
            }
        }
    }

    /// The name of a template or file that is named at `place`.
    fn template_name<T>(&self, place: &At<T>, name: &str) -> String {
        if self.shipped == Some(place.file) { shipped::marked(name) } else { name.to_owned() }
    }

    /// Reports what was found in a template that stands at `text` and adds it under a name that no include can spell.
    fn add(
        &mut self,
        key: &str,
        text: &At<String>,
        findings: Findings,
        source: String,
        number: usize,
    ) -> Option<String> {
        let whole = &self.texts[text.file].text;
        // Without escapes the value stands in the file as it is; with them only the whole string can be marked.
        let start = whole[text.span.clone()].find(&text.value).map(|at| text.span.start + at);
        let spot = |span: &std::ops::Range<usize>| match start {
            Some(start) => start + span.start..start + span.end,
            None => text.span.clone(),
        };
        let clean = findings.faults.is_empty();
        for fault in findings.faults {
            let at = At { value: (), file: text.file, span: spot(&fault.span) };
            self.wrong(&at, format!("{key}: {}", fault.message), fault.help);
        }
        let name = self.template_name(text, &format!("rule {number}: {key}"));
        let mut includes = Vec::new();
        for (file, span) in findings.includes {
            let at = At { value: (), file: text.file, span: spot(&span) };
            let file = self.template_name(text, &file);
            self.include(&file, &[], &mut |builder, why| builder.wrong(&at, why, None));
            includes.push(file);
        }
        self.reads.insert(name.clone(), (findings.roots, includes));
        if !clean {
            return None;
        }
        if let Err(error) = self.env.add_template_owned(name.clone(), source) {
            self.wrong(text, format!("{key}: {}", super::print::explain(&error)), None);
            return None;
        }
        Some(name)
    }

    /// Reads a file of the rules' folder as a template, with what it includes itself: once, and checks it once for each
    /// choice of kinds.
    fn include(&mut self, name: &str, kinds: &[Kind], report: &mut dyn FnMut(&mut Self, String)) {
        if let Some(at) = self.chain.iter().position(|file| file == name) {
            let chain = [&self.chain[at..], &[name.to_owned()]].concat().join(" -> ");
            return report(self, format!("\"{name}\" would include itself without end: {chain}"));
        }
        let choice = (name.to_owned(), kinds.to_vec());
        if self.checked.contains(&choice) {
            return;
        }
        let known = self.outside.get(name).cloned();
        let text = match known.map_or_else(|| shipped::file(name).unwrap_or_else(|| (self.read)(name)), Ok) {
            Ok(text) => text,
            Err(why) => return report(self, why),
        };
        self.checked.insert(choice);
        self.outside.insert(name.to_owned(), text.clone());
        let findings = check::template(&text, &Scope { roots: JOB_ROOTS, kinds, maps: self.maps, env: &self.env });
        let clean = findings.faults.is_empty();
        let problem = |message: String, span| Problem::error(name, message).at(&text, span);
        for fault in findings.faults {
            let mut found = problem(fault.message, fault.span);
            found.help = fault.help;
            self.problems.push(found);
        }
        self.chain.push(name.to_owned());
        let mut includes = Vec::new();
        for (file, span) in findings.includes {
            let file = shipped::join(&file, name);
            self.include(&file, kinds, &mut |builder, why| builder.problems.push(problem(why, span.clone())));
            includes.push(file);
        }
        self.chain.pop();
        self.reads.insert(name.to_owned(), (findings.roots, includes));
        if clean && let Err(error) = self.env.add_template_owned(name.to_owned(), text.clone()) {
            report(self, super::print::explain(&error));
        }
    }

    /// The roots that these templates read, with all that they include.
    fn roots<'t>(&self, templates: impl Iterator<Item = &'t String>) -> Vec<&'static str> {
        let mut names: Vec<&String> = templates.collect();
        let mut roots = Vec::new();
        let mut at = 0;
        while let Some(name) = names.get(at) {
            at += 1;
            let Some((own, includes)) = self.reads.get(*name) else { continue };
            roots.extend(own);
            for include in includes.iter().filter(|include| !names.contains(include)).collect::<Vec<_>>() {
                names.push(include);
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

/// The name of a rules file without its folders.
fn file_name(origin: &str) -> &str {
    origin.rsplit(['/', '\\']).next().unwrap_or(origin)
}

fn texts(list: &List) -> Vec<String> {
    list.iter().flat_map(|list| &list.value).map(|entry| entry.value.clone()).collect()
}

fn given(list: &List) -> bool {
    list.as_ref().is_some_and(|list| !list.value.is_empty())
}
