//! Reads the merged layers as typed values, going on after every mistake, and gathers what was found wrong.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use figment::error::{Actual, Kind};
use figment::value::Value;
use serde::de::DeserializeOwned;

use super::layers::{Layers, PREFIX, instead};
use super::path::{KeyPath, position};
use super::source_text::SECRET_KEYS;
use crate::model::problem::{Problem, Severity, nearest};

/// What was found wrong so far, and what is needed to say where.
#[derive(Debug)]
pub(super) struct Findings {
    layers: Layers,
    problems: Vec<Problem>,
    /// Settings that a problem was already reported for; that they are missing is not a second one.
    reported: BTreeSet<KeyPath>,
    /// Positions, as written, of list entries that were taken out because they could not be read.
    dropped: BTreeMap<KeyPath, BTreeSet<usize>>,
}

impl Findings {
    pub(super) fn new(layers: Layers, problems: Vec<Problem>) -> Self {
        Self { layers, problems, reported: BTreeSet::new(), dropped: BTreeMap::new() }
    }

    /// Reads everything. A value that cannot be read is reported and taken out, and the rest is read again, so that
    /// one pass finds all mistakes. `T` must be readable when nothing is said.
    pub(super) fn read<T: DeserializeOwned + Default>(&mut self) -> T {
        let mut tree = match self.layers.merged() {
            Ok(tree) => tree,
            Err(error) => {
                self.problems.push(Problem::error("settings", error));
                return T::default();
            }
        };
        let mut reread = BTreeSet::new();
        loop {
            let error = match tree.deserialize::<T>() {
                Ok(read) => return read,
                Err(error) => error,
            };
            let path = KeyPath::new(&error.path);
            let written = self.as_written(&path);
            if self.layers.given_by(&written).is_some()
                && reread.insert(written.clone())
                && reread_text(&mut tree, &path, &error.kind)
            {
                continue;
            }
            self.report(&written, &error.kind);
            if take_out(&mut tree, path.names()).is_none() {
                return T::default();
            }
            let list = written.parent();
            if let Some(at) = written.names().last().and_then(|name| position(name))
                && matches!(find_mut(&mut tree, path.parent().names()), Some(Value::Array(..)))
            {
                self.dropped.entry(list).or_default().insert(at);
            }
        }
    }

    fn report(&mut self, path: &KeyPath, kind: &Kind) {
        let problem = match kind {
            Kind::UnknownField(name, known) => {
                if let Some(meant) = nearest(name, known.iter().copied()) {
                    self.reported.insert(path.parent().key(meant));
                }
                let problem = self.layers.name_problem(path, format!("`{path}` is no setting"));
                let origin = problem.origin.strip_prefix(PREFIX);
                let help = match (origin, nearest(name, known.iter().copied())) {
                    (Some(origin), Some(meant)) => {
                        let (name, meant) = (KeyPath::new([name]).variable(), KeyPath::new([meant]).variable());
                        let [name, meant] = [&name, &meant].map(|variable| variable.trim_start_matches(PREFIX));
                        format!("did you mean {PREFIX}{}?", origin.replacen(name, meant, 1))
                    }
                    _ => instead(name, known.iter().copied()),
                };
                problem.help(help)
            }
            Kind::UnknownVariant(word, known) => self
                .layers
                .problem(path, format!("`{path}` cannot be \"{word}\""))
                .help(instead(word, known.iter().copied())),
            Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
                let message = format!("`{path}` must be {}, but is {}", in_words(expected), type_of(actual));
                self.layers.problem(path, message)
            }
            Kind::Message(message) => self.layers.problem(path, format!("`{path}`: {message}")),
            other => self.layers.problem(path, format!("`{path}`: {other}")),
        };
        self.reported.insert(path.clone());
        self.problems.push(problem);
    }

    /// The value at `path` is wrong.
    pub(super) fn wrong(&mut self, path: &KeyPath, message: impl Into<String>) {
        self.push(path, Severity::Error, message.into(), None);
    }

    /// The value at `path` is wrong, and `help` says what to do.
    pub(super) fn wrong_so(&mut self, path: &KeyPath, message: impl Into<String>, help: impl Into<String>) {
        self.push(path, Severity::Error, message.into(), Some(help.into()));
    }

    /// The value at `path` is probably not meant.
    pub(super) fn doubtful(&mut self, path: &KeyPath, message: impl Into<String>, help: impl Into<String>) {
        self.push(path, Severity::Warning, message.into(), Some(help.into()));
    }

    /// Nothing stands at `path`, and something must; silent when what stood there was already reported.
    pub(super) fn missing(&mut self, path: &KeyPath, help: impl Into<String>) {
        let written = self.as_written(path);
        if !self.is_reported(&written) {
            self.push(path, Severity::Error, format!("`{written}` is missing"), Some(help.into()));
        }
    }

    /// The path as people must find it, for a path that the reading code built.
    pub(super) fn as_written(&self, path: &KeyPath) -> KeyPath {
        let mut written = KeyPath::default();
        for name in path.names() {
            written = match (position(name), self.dropped.get(&written)) {
                (Some(mut at), Some(dropped)) => {
                    for gone in dropped {
                        at += usize::from(*gone <= at);
                    }
                    written.index(at)
                }
                _ => written.key(name),
            };
        }
        written
    }

    /// Whether `path`, something around it or something in it was reported.
    pub(super) fn is_reported(&self, path: &KeyPath) -> bool {
        self.reported.iter().any(|known| known.starts_with(path) || path.starts_with(known))
    }

    /// Of two settings that cannot both hold, the one that was said by the stronger layer; `None` when one layer said
    /// both.
    pub(super) fn stronger<'p>(&self, one: &'p KeyPath, other: &'p KeyPath) -> Option<&'p KeyPath> {
        let (rank, others) = (self.layers.rank(one), self.layers.rank(other));
        match rank.cmp(&others) {
            Ordering::Less => Some(one),
            Ordering::Greater => Some(other),
            Ordering::Equal => None,
        }
    }

    /// The settings, if nothing is wrong with them, with the warnings; else everything that is, in the order of the
    /// file.
    pub(super) fn finish<T>(mut self, settings: Option<T>) -> Result<(T, Vec<Problem>), Vec<Problem>> {
        self.problems.sort_by_key(|problem| {
            let place = problem.place.as_ref().map_or((usize::MAX, 0), |place| (place.line, place.column));
            (problem.severity, place)
        });
        let wrong = self.problems.iter().any(|problem| problem.severity == Severity::Error);
        match settings {
            Some(settings) if !wrong => Ok((settings, self.problems)),
            _ => Err(self.problems),
        }
    }

    fn push(&mut self, path: &KeyPath, severity: Severity, message: String, help: Option<String>) {
        let path = self.as_written(path);
        let mut problem = self.layers.problem(&path, message);
        problem.severity = severity;
        problem.help = help;
        self.problems.push(problem);
        self.reported.insert(path);
    }
}

/// Variables and flags say text. Where text is not wanted, read it as what TOML would call it; a list may be said by
/// its only entry. A secret stays as it is, whatever it looks like.
fn reread_text(tree: &mut Value, path: &KeyPath, kind: &Kind) -> bool {
    let (Kind::InvalidType(Actual::Str(_), expected), Some(value)) = (kind, find_mut(tree, path.names())) else {
        return false;
    };
    let Value::String(_, text) = &*value else { return false };
    let secret = SECRET_KEYS.contains(&path.leaf());
    let read = if secret { Value::from(text.as_str()) } else { text.parse().unwrap_or_else(|never| match never {}) };
    *value = match read {
        Value::Array(..) => read,
        _ if in_words(expected) == "a list" => Value::from(vec![read]),
        Value::String(..) => return false,
        _ => read,
    };
    true
}

fn find_mut<'v>(tree: &'v mut Value, path: &[String]) -> Option<&'v mut Value> {
    path.iter().try_fold(tree, |value, name| match value {
        Value::Dict(_, table) => table.get_mut(name),
        Value::Array(_, list) => list.get_mut(position(name)?),
        _ => None,
    })
}

fn take_out(tree: &mut Value, path: &[String]) -> Option<()> {
    let (name, parents) = path.split_last()?;
    match find_mut(tree, parents)? {
        Value::Dict(_, table) => table.remove(name).map(drop),
        Value::Array(_, list) => {
            let at = position(name).filter(|at| *at < list.len())?;
            list.remove(at);
            Some(())
        }
        _ => None,
    }
}

/// What serde expects, in the words of a person.
fn in_words(expected: &str) -> &str {
    match expected {
        "a string" | "path string" | "string" => "text",
        "a sequence" => "a list",
        "a map" => "a table",
        "a boolean" => "true or false",
        "f64" => "a number",
        "i64" => "a whole number",
        "u32" => "a whole number from 0",
        other => other,
    }
}

fn type_of(actual: &Actual) -> &'static str {
    match actual {
        Actual::Bool(_) => "true or false",
        Actual::Unsigned(_) | Actual::Signed(_) => "a number",
        Actual::Float(_) => "a number with a fraction",
        Actual::Char(_) | Actual::Str(_) => "text",
        Actual::Seq => "a list",
        Actual::Map => "a table",
        _ => "something else",
    }
}
