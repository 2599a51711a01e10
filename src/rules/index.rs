//! Finds the rules that an event may concern without looking at the others.

use std::collections::HashMap;

use super::pattern::{Patterns, split_prefix};
use super::rule::Rule;
use crate::model::event::{Event, Kind};

/// Up to so many rules of one kind are all asked, so that each leaves a verdict, also about another repository; of more,
/// those whose `repos`, `projects` or `branches` rule the event out are passed over.
const ASK_ALL: usize = 32;

/// Rules by kind or native name, then by repository or project, then by branch.
#[derive(Debug, Default)]
pub(super) struct Index {
    kinds: HashMap<Kind, Bucket>,
    natives: HashMap<String, Bucket>,
    globs: Bucket,
    /// The repositories that rules look at, whatever happens there.
    repos: Heads<()>,
}

#[derive(Debug, Default)]
struct Bucket {
    all: Vec<usize>,
    repos: Heads<Heads<Vec<usize>>>,
    projects: Heads<Heads<Vec<usize>>>,
}

/// Things by the text before the first special character of each pattern that they stand under.
#[derive(Debug, Default)]
struct Heads<T> {
    exact: HashMap<String, T>,
    begins: HashMap<String, T>,
    /// The lengths that occur in `begins`, so that one look-up is made for each of them.
    lengths: Vec<usize>,
}

impl Index {
    /// Builds it from rules in their order.
    pub(super) fn build(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (at, rule) in rules.iter().enumerate() {
            for kind in Kind::ALL.into_iter().filter(|kind| rule.on.wants_kind(*kind)) {
                index.kinds.entry(kind).or_default().add(at, rule);
            }
            for (name, exact) in rule.on.natives() {
                let bucket = if exact { index.natives.entry(name.to_owned()).or_default() } else { &mut index.globs };
                bucket.add(at, rule);
            }
            for place in heads(&rule.repos) {
                index.repos.under(place);
            }
        }
        index
    }

    /// Whether any rule may look at a repository, whatever happens there.
    pub(super) fn looks_at(&self, repo: &str) -> bool {
        self.repos.of(repo).next().is_some()
    }

    /// The rules that may want the event, in their order.
    pub(super) fn candidates(&self, event: &Event) -> Vec<usize> {
        let mut found = Vec::new();
        if let Some(kind) = event.kind {
            if let Some(bucket) = self.kinds.get(&kind) {
                bucket.collect(event, &mut found);
            }
            // A native entry may also name one of our kinds at one source: "gitlab:ci.failed".
            if let Some(bucket) = self.natives.get(kind.as_str()) {
                bucket.collect(event, &mut found);
            }
        }
        if let Some(bucket) = self.natives.get(split_prefix(&event.native).1) {
            bucket.collect(event, &mut found);
        }
        self.globs.collect(event, &mut found);
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Bucket {
    fn add(&mut self, at: usize, rule: &Rule) {
        if self.all.last() == Some(&at) {
            return;
        }
        self.all.push(at);
        for (places, patterns) in [(&mut self.repos, &rule.repos), (&mut self.projects, &rule.projects)] {
            for place in heads(patterns) {
                let branches = places.under(place);
                for branch in heads(&rule.branches) {
                    let list = branches.under(branch);
                    if list.last() != Some(&at) {
                        list.push(at);
                    }
                }
            }
        }
    }

    fn collect(&self, event: &Event, found: &mut Vec<usize>) {
        if self.all.len() <= ASK_ALL {
            return found.extend_from_slice(&self.all);
        }
        let places = match &event.project {
            Some(project) => self.projects.of(project),
            None => self.repos.of(event.repo.as_deref().unwrap_or_default()),
        };
        for branches in places {
            match &event.branch {
                Some(branch) => branches.of(branch).for_each(|list| found.extend_from_slice(list)),
                // A rule that asks for the branch says then that nobody told it.
                None => branches.all().for_each(|list| found.extend_from_slice(list)),
            }
        }
    }
}

/// What a list of patterns is found under; a list that begins with everything is found under the empty text.
fn heads(patterns: &Patterns) -> Vec<(&str, bool)> {
    let heads = patterns.heads();
    if heads.is_empty() { vec![("", false)] } else { heads }
}

impl<T: Default> Heads<T> {
    /// What stands under a head; `exact` when that is the whole pattern.
    fn under(&mut self, (head, exact): (&str, bool)) -> &mut T {
        if !exact && !self.lengths.contains(&head.len()) {
            self.lengths.push(head.len());
        }
        let map = if exact { &mut self.exact } else { &mut self.begins };
        map.entry(head.to_owned()).or_default()
    }

    /// Everything that may mean the name.
    fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a T> {
        let begins = self.lengths.iter().filter_map(|length| self.begins.get(name.get(..*length)?));
        self.exact.get(name).into_iter().chain(begins)
    }

    fn all(&self) -> impl Iterator<Item = &T> {
        self.exact.values().chain(self.begins.values())
    }
}
