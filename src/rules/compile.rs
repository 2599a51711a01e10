//! Compiles the texts of rule files into a rule set, reporting every problem at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use minijinja::{Environment, Value};
use sha2::{Digest, Sha256};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::build::Builder;
use super::file::{RuleKeys, RulesFile, TestKeys};
use super::index::Index;
use super::limits::Ceilings;
use super::read::{At, Read, Reader, Text};
use super::rule::Rule;
use super::{Loaded, RuleSet, RuleTest, print, shipped};
use crate::model::policy::{Limit, Terms};
use crate::model::problem::{Problem, Severity, nearest};

/// Reads the text of a file in the rules' folder: prompt files and includes.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<String, String> + 'a;

/// Groups by name.
pub(super) type Groups = BTreeMap<String, Vec<String>>;

/// Compiles rule files, each `(origin, text)`, in their order, under the terms of the settings; pure but for `read`.
pub fn compile(files: Vec<(String, String)>, terms: &Terms, read: &ReadFile<'_>) -> Loaded {
    let mut sources: Vec<Text> = files.into_iter().map(|(origin, text)| Text { origin, text }).collect();
    let mut problems = Vec::new();
    let parsed: Vec<RulesFile> =
        sources.iter().enumerate().filter_map(|(file, source)| parse(file, source, &mut problems)).collect();
    let mut gathered = gather(parsed, &sources, &mut problems);
    let ceilings = Ceilings::new(terms, &mut problems);
    let shipped = gathered.rules.iter().any(|rule| rule.value.r#use.is_some()).then(|| {
        let text = Text { origin: shipped::ORIGIN.to_owned(), text: shipped::RULES.to_owned() };
        let parsed = parse(sources.len(), &text, &mut problems);
        sources.push(text);
        gather(parsed.into_iter().collect(), &sources, &mut problems)
    });
    let maps: Vec<String> = gathered.maps.keys().cloned().collect();
    let mut builder = Builder {
        texts: &sources,
        problems,
        groups: &gathered.groups,
        maps: &maps,
        ceilings: &ceilings,
        shipped: shipped.as_ref().map(|_| sources.len() - 1),
        env: print::environment(),
        read,
        outside: BTreeMap::new(),
        checked: HashSet::new(),
        chain: Vec::new(),
        reads: HashMap::new(),
    };
    let defaults = gathered.defaults.take().map(|defaults| defaults.value).unwrap_or_default();
    let mut names: HashMap<String, At<()>> = HashMap::new();
    let (mut rules, mut places): (Vec<Rule>, Vec<At<()>>) = (Vec::new(), Vec::new());
    for keys in gathered.rules {
        if let Some(name) = &keys.value.name {
            if let Some(first) = names.get(&name.value) {
                let text = &sources[first.file];
                let line = text.text[..first.span.start].matches('\n').count() + 1;
                let help = format!("the first is in {}, line {line}; decisions and jobs go by the name", text.origin);
                builder.wrong(name, format!("two rules are named \"{}\"", name.value), Some(help));
            }
            names.entry(name.value.clone()).or_insert_with(|| name.put(()));
        }
        let place = keys.put(());
        let number = rules.len();
        let own = keys.value.clone();
        let name = own.name.as_ref().map_or_else(|| place.clone(), |name| name.put(()));
        let keys = match &shipped {
            Some(shipped) => begin_with(shipped, keys.value, &defaults, &mut builder),
            None => keys.value.over(&defaults),
        };
        if let Some(rule) = builder.rule(&keys, &place, number) {
            builder.doubts(&own, &rule);
            rules.push(rule);
            places.push(name);
        }
    }
    if !builder.problems.iter().any(|problem| problem.severity == Severity::Error) {
        builder.together(&rules, &places);
    }
    let tests = gathered.tests.into_iter().filter_map(|keys| builder.test(keys, &names)).collect();
    let Builder { env, mut problems, outside, .. } = builder;
    let mut seen = HashSet::new();
    problems.retain(|problem| {
        let place = problem.place.as_ref().map(|place| (place.line, place.column));
        seen.insert((problem.origin.clone(), place, problem.message.clone()))
    });
    let order = |problem: &Problem| {
        let file = sources.iter().position(|source| source.origin == problem.origin).unwrap_or(sources.len());
        (file, problem.place.as_ref().map(|place| (place.line, place.column)))
    };
    problems.sort_by_key(order);
    let broken = problems.iter().any(|problem| problem.severity == Severity::Error);
    let hash = hash(&sources, &outside);
    let rules = (!broken).then(|| finish(rules, tests, env, gathered.maps, ceilings.all, terms, hash));
    Loaded { rules, problems }
}

/// The keys of a rule over those of the shipped rule that it uses, if it does, over the defaults.
fn begin_with(shipped: &Gathered, keys: RuleKeys, defaults: &RuleKeys, builder: &mut Builder<'_>) -> RuleKeys {
    let Some(used) = keys.r#use.clone().filter(|used| !used.value.is_empty()) else { return keys.over(defaults) };
    let Some(base) = shipped::find(&shipped.rules, &used.value) else {
        let near = nearest(&used.value, shipped::names(&shipped.rules));
        let help = near.map_or_else(
            || format!("there are {}", shipped::names(&shipped.rules).collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean \"{near}\"?"),
        );
        builder.wrong(&used, format!("there is no shipped rule \"{}\"", used.value), Some(help));
        return keys.over(defaults);
    };
    let own = keys.over(&base).over(defaults);
    match &shipped.defaults {
        Some(theirs) => own.over(&theirs.value),
        None => own,
    }
}

fn finish(
    rules: Vec<Rule>,
    tests: Vec<RuleTest>,
    env: Environment<'static>,
    maps: BTreeMap<String, BTreeMap<String, String>>,
    ceilings: Vec<Limit>,
    terms: &Terms,
    hash: String,
) -> RuleSet {
    let index = Index::build(&rules);
    let names = rules.iter().enumerate().map(|(at, rule)| (rule.name.clone(), at)).collect();
    let maps = Value::from_pairs(maps.into_iter().map(|(name, map)| (name, Value::from_pairs(map))));
    RuleSet { rules, names, index, tests, env, maps, ceilings, terms: terms.clone(), hash }
}

/// The hash covers what the files say, not what they are called: the texts, then prompt files and includes by name.
fn hash(texts: &[Text], outside: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    let named = outside.iter().flat_map(|(name, text)| [name, text]);
    for part in texts.iter().map(|file| &file.text).chain(named) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex::encode(hash.finalize())
}

fn parse(file: usize, source: &Text, problems: &mut Vec<Problem>) -> Option<RulesFile> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in &errors {
        let problem = Problem::error(source.origin.as_str(), error.message());
        problems.push(match error.span() {
            Some(span) => problem.at(&source.text, span),
            None => problem,
        });
    }
    if !errors.is_empty() {
        return None;
    }
    let span = table.span();
    let value = Spanned::new(span, DeValue::Table(table.into_inner()));
    RulesFile::read("a rules file", &value, &mut Reader { file, source, problems })
}

#[derive(Default)]
struct Gathered {
    defaults: Option<At<RuleKeys>>,
    groups: Groups,
    maps: BTreeMap<String, BTreeMap<String, String>>,
    rules: Vec<At<RuleKeys>>,
    tests: Vec<At<TestKeys>>,
}

/// Lays the files together: rules and tests in their order, groups and maps by name, one set of defaults.
fn gather(files: Vec<RulesFile>, texts: &[Text], problems: &mut Vec<Problem>) -> Gathered {
    let mut all = Gathered::default();
    let mut wrong = |at: &At<()>, message: String| {
        let text = &texts[at.file];
        problems.push(Problem::error(text.origin.as_str(), message).at(&text.text, at.span.clone()));
    };
    for file in files {
        if let Some(defaults) = file.defaults {
            if let Some(name) = &defaults.value.name {
                wrong(&name.put(()), "defaults cannot give every rule the same name".to_owned());
            }
            match &all.defaults {
                None => all.defaults = Some(defaults),
                Some(first) => {
                    let message = format!(
                        "a second [defaults]: the first, in {}, counts for all files",
                        texts[first.file].origin
                    );
                    wrong(&defaults.put(()), message);
                }
            }
        }
        for (name, group) in file.groups.map(|groups| groups.value).unwrap_or_default() {
            let place = group.put(());
            for entry in group.value.iter().filter(|entry| entry.value.trim_start_matches('!').starts_with('@')) {
                wrong(&entry.put(()), "a group cannot name a group".to_owned());
            }
            let entries = group.value.into_iter().map(|entry| entry.value).collect();
            if all.groups.insert(name.clone(), entries).is_some() {
                wrong(&place, format!("two groups are named \"{name}\""));
            }
        }
        for (name, map) in file.maps.map(|maps| maps.value).unwrap_or_default() {
            let place = map.put(());
            let entries = map.value.into_iter().map(|(key, value)| (key, value.value)).collect();
            if all.maps.insert(name.clone(), entries).is_some() {
                wrong(&place, format!("two maps are named \"{name}\""));
            }
        }
        all.rules.extend(file.rule.map(|rules| rules.value).unwrap_or_default());
        all.tests.extend(file.test.map(|tests| tests.value).unwrap_or_default());
    }
    all
}
