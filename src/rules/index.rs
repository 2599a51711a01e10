//! Finds the rules that an event may concern without looking at the others.

use std::collections::HashMap;

use super::pattern::{Patterns, split_prefix};
use super::rule::Rule;
use crate::model::event::{Event, Kind};

/// Up to so many rules of one kind are all asked, so that each leaves a verdict, also about another repository; of more,
/// those whose `repos` or `projects` rule the event out are passed over.
const ASK_ALL: usize = 32;

/// Rules by kind or native name, then by repository or project.
#[derive(Debug, Default)]
pub(super) struct Index {
    kinds: HashMap<Kind, Bucket>,
    natives: HashMap<String, Bucket>,
    globs: Bucket,
}

#[derive(Debug, Default)]
struct Bucket {
    all: Vec<usize>,
    repos: Heads,
    projects: Heads,
}

/// Rules by the text before the first special character of each of their patterns.
#[derive(Debug, Default)]
struct Heads {
    exact: HashMap<String, Vec<usize>>,
    begins: HashMap<String, Vec<usize>>,
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
        }
        index
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
        self.repos.add(at, &rule.repos);
        self.projects.add(at, &rule.projects);
    }

    fn collect(&self, event: &Event, found: &mut Vec<usize>) {
        if self.all.len() <= ASK_ALL {
            found.extend_from_slice(&self.all);
        } else if let Some(project) = &event.project {
            self.projects.collect(project, found);
        } else {
            self.repos.collect(event.repo.as_deref().unwrap_or_default(), found);
        }
    }
}

impl Heads {
    fn add(&mut self, at: usize, patterns: &Patterns) {
        let mut heads = patterns.heads();
        if heads.is_empty() {
            heads.push(("", false));
        }
        for (head, exact) in heads {
            let map = if exact { &mut self.exact } else { &mut self.begins };
            let list = map.entry(head.to_owned()).or_default();
            if list.last() != Some(&at) {
                list.push(at);
            }
            if !exact && !self.lengths.contains(&head.len()) {
                self.lengths.push(head.len());
            }
        }
    }

    fn collect(&self, name: &str, found: &mut Vec<usize>) {
        let exact = self.exact.get(name).into_iter();
        let begins =
            self.lengths.iter().filter_map(|length| name.get(..*length)).filter_map(|head| self.begins.get(head));
        exact.chain(begins).for_each(|list| found.extend_from_slice(list));
    }
}
