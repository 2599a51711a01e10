//! The layers of settings: what the file, the environment and the flags say, merged, and which of them said it.

use std::fs;
use std::path::Path;

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};

use super::path::KeyPath;
use super::source_text::SourceText;
use super::{Input, Overrides};
use crate::model::problem::{Problem, nearest};

/// Environment variables of settings are called so.
pub(super) const PREFIX: &str = "HOOKRUN_";

/// A text given for one setting by a variable or a flag.
#[derive(Debug)]
struct Given {
    path: KeyPath,
    origin: String,
    value: String,
}

/// Who may say a setting, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Layer {
    Flag,
    Environment,
    File,
}

/// What was said, and where.
#[derive(Debug)]
pub(super) struct Layers {
    pub(super) file: Option<SourceText>,
    /// Flags, then variables: what comes first wins.
    given: Vec<Given>,
}

impl Layers {
    /// Reads the file and sorts the variables; warns of variables that look like settings but are none.
    pub(super) fn read(input: Input, sections: &[&str]) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let file = input.file.as_deref().map(read_file).transpose()?;
        let Overrides(flags) = input.flags;
        let mut given: Vec<Given> = flags
            .into_iter()
            .map(|(flag, key, value)| Given { path: KeyPath::new(key.split('.')), origin: flag.to_owned(), value })
            .collect();
        let mut warnings = Vec::new();
        let mut variables = input.env;
        variables.sort();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else { continue };
            if key.contains("__") {
                given.push(Given { path: variable_path(key), origin: name, value });
            } else if let Some(section) = sections.iter().find(|s| begins_with_word(key, s)) {
                let rest = &key[section.len() + 1..];
                warnings.push(
                    Problem::warning(&name, "this variable looks like a setting, but is none, and is not used").help(
                        format!("did you mean {PREFIX}{}__{rest}, with two underscores?", section.to_uppercase()),
                    ),
                );
            }
        }
        Ok((Self { file, given }, warnings))
    }

    /// All layers as one tree; the texts of variables and flags are not yet read as anything else.
    pub(super) fn merged(&self) -> Result<Value, String> {
        let mut layers = Figment::new();
        if let Some(file) = &self.file {
            layers = layers.merge(Serialized::defaults(&file.table));
        }
        for given in self.given.iter().rev() {
            layers = layers.merge(Serialized::defaults(nested(given)));
        }
        layers.extract::<Dict>().map(Value::from).map_err(|error| error.to_string())
    }

    /// The variable or flag that said what stands at `path`, if it was not the file.
    pub(super) fn given_by(&self, path: &KeyPath) -> Option<&str> {
        self.given.iter().find(|given| path.starts_with(&given.path)).map(|given| given.origin.as_str())
    }

    /// Which layer said what stands at `path`: the smaller, the stronger.
    pub(super) fn rank(&self, path: &KeyPath) -> Layer {
        match self.given.iter().find(|given| path.starts_with(&given.path)) {
            Some(given) if given.origin.starts_with(PREFIX) => Layer::Environment,
            Some(_) => Layer::Flag,
            None => Layer::File,
        }
    }

    /// The variable or flag that said something below `path`.
    fn given_below(&self, path: &KeyPath) -> Option<&str> {
        self.given.iter().find(|given| given.path.starts_with(path)).map(|given| given.origin.as_str())
    }

    /// A problem with the value at `path`, marked where it was said.
    pub(super) fn problem(&self, path: &KeyPath, message: String) -> Problem {
        self.drawn(path, message, SourceText::value)
    }

    /// A problem with the name at the end of `path`, marked where it was said.
    pub(super) fn name_problem(&self, path: &KeyPath, message: String) -> Problem {
        self.drawn(path, message, SourceText::name)
    }

    fn drawn(
        &self,
        path: &KeyPath,
        message: String,
        place: impl Fn(&SourceText, &KeyPath) -> Option<(String, std::ops::Range<usize>)>,
    ) -> Problem {
        if let Some(origin) = self.given_by(path) {
            return Problem::error(origin, message);
        }
        match &self.file {
            Some(file) => match place(file, path) {
                Some((text, span)) => Problem::error(&file.name, message).at(&text, span),
                None => Problem::error(self.given_below(path).unwrap_or(&file.name), message),
            },
            None => Problem::error(self.given_below(path).unwrap_or("settings"), message),
        }
    }
}

fn read_file(path: &Path) -> Result<SourceText, Vec<Problem>> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        vec![Problem::error(&name, format!("the settings cannot be read: {error}")).help("give its path with --config")]
    })?;
    SourceText::parse(name, text)
}

fn begins_with_word(key: &str, section: &str) -> bool {
    key.strip_prefix(&section.to_uppercase()).is_some_and(|rest| rest.len() > 1 && rest.starts_with('_'))
}

/// `SOURCES__JIRA_AUTOMATION__EVENT` is `sources.jira-automation.event`: names of variables have no `-`, names of
/// sources no `_`.
fn variable_path(key: &str) -> KeyPath {
    let mut names: Vec<String> = key.split("__").map(str::to_lowercase).collect();
    if names[0] == "sources" {
        names[1] = names[1].replace('_', "-");
    }
    KeyPath::new(names)
}

fn nested(given: &Given) -> Value {
    let text = Value::from(given.value.as_str());
    given.path.names().iter().rev().fold(text, |value, name| Value::from(Dict::from([(name.clone(), value)])))
}

/// "did you mean", or what there is instead.
pub(super) fn instead<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    match nearest(word, known.clone()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("there is {}", known.into_iter().collect::<Vec<_>>().join(", ")),
    }
}
