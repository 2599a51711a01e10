//! `[rules]` and `[limits]`: where the rules are, and what the settings say about all of them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use jiff::tz::{self, TimeZone};
use schemars::JsonSchema;
use serde::Deserialize;

use super::findings::Findings;
use super::path::KeyPath;
use super::sources::check_globs;
use super::values::tables;
use crate::model::policy::{Bound, FileTerms, Terms};
use crate::model::problem::nearest;

/// `[rules]` and `[limits]`, checked.
#[derive(Clone, Debug)]
pub struct RulesSettings {
    /// A rules file, or a folder of them.
    pub path: PathBuf,
    /// What binds all rules.
    pub terms: Terms,
}

/// `[rules]`: where the rules are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RulesWritten {
    /// A rules file, or a folder of them.
    path: PathBuf,
    /// The time zone of `hours` in rules, e.g. "Europe/Berlin".
    timezone: String,
    /// What the rules of one file may do at most, by the file's name without folders, e.g. "team.toml".
    #[serde(deserialize_with = "tables")]
    files: BTreeMap<String, FileWritten>,
}

impl Default for RulesWritten {
    fn default() -> Self {
        Self { path: "config/rules.toml".into(), timezone: "UTC".to_owned(), files: BTreeMap::new() }
    }
}

/// `[rules.files."team.toml"]`: what the rules of one file may do at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct FileWritten {
    /// The repositories and projects that its rules may act in, as patterns.
    repos: Vec<String>,
    /// How many runs its rules may start together, e.g. "50/day" or "5 running".
    #[schemars(with = "Vec<String>")]
    limits: Vec<Bound>,
}

impl Default for FileWritten {
    fn default() -> Self {
        Self { repos: vec!["**".to_owned()], limits: Vec::new() }
    }
}

/// `[limits]`: ceilings over all rules.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CeilingsWritten {
    /// How many runs all rules may start together: "10/hour", "200/day", "1000/week" or "10 running".
    #[schemars(with = "Vec<String>")]
    all: Vec<Bound>,
}

impl RulesWritten {
    /// Checks both sections. Whether the files are there is asked when the rules are read.
    pub(super) fn check(self, ceilings: CeilingsWritten, path: &KeyPath, findings: &mut Findings) -> RulesSettings {
        check_timezone(&self.timezone, &path.key("timezone"), findings);
        let path = path.key("files");
        let files = self.files.into_iter().map(|(name, file)| {
            file.check(&name, &path.key(&name), findings);
            (name, FileTerms { repos: file.repos, limits: file.limits })
        });
        let files = files.collect();
        let terms = Terms { timezone: Some(self.timezone), all: ceilings.all, files };
        RulesSettings { path: self.path, terms }
    }
}

impl FileWritten {
    fn check(&self, name: &str, path: &KeyPath, findings: &mut Findings) {
        if let Some((folder, file)) = name.rsplit_once('/') {
            let help = format!("write \"{file}\", without \"{folder}/\"");
            findings.wrong_so(path, format!("`{path}` names a file by its folder"), help);
        }
        let repos = path.key("repos");
        check_globs(&self.repos, &repos, findings);
        if self.repos.is_empty() && !findings.is_reported(&repos) {
            let help =
                "leave it out if its rules may act everywhere; to stop them set mode = \"off\" in its [defaults]";
            findings.wrong_so(&repos, format!("`{repos}` lets no rule of the file act"), help);
        }
    }
}

fn check_timezone(name: &str, path: &KeyPath, findings: &mut Findings) {
    if TimeZone::get(name).is_ok() {
        return;
    }
    let known: Vec<String> = tz::db().available().map(|zone| zone.to_string()).collect();
    let help = match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => "write its name in the IANA database, as \"Europe/Berlin\"".to_owned(),
    };
    findings.wrong_so(path, format!("`{path}`: \"{name}\" is no time zone"), help);
}
