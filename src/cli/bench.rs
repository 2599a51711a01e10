//! A workbench for rules: the real intake on a throwaway store, for questions that need no daemon.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;

use super::folder::Folder;
use super::printer::Printer;
use super::settings;
use crate::app;
use crate::intake::{Door, Intake, Recorded};
use crate::model::clock::{Clock, SystemClock};
use crate::model::delivery::SourceKind;
use crate::model::limits::ClassLimits;
use crate::rules::{Live, Places};
use crate::store::{Store, StoreOptions};
use crate::webhook::{Auth, SourceSpec};

/// Who our agent is on GitHub when no settings say so.
const AGENT: &str = "codegen-sh[bot]";

/// Rules and sources to try things with.
#[derive(Debug)]
pub(super) struct Bench {
    pub(super) rules: Arc<Live>,
    /// The folder of the rules, in which their tests name files.
    pub(super) folder: PathBuf,
    config: Option<PathBuf>,
}

/// An intake on a store of its own.
#[derive(Debug)]
pub(super) struct Trial {
    pub(super) intake: Intake,
    store: Store,
    // Goes away after the store.
    _folder: Folder,
}

impl Bench {
    /// Reads the rules, from `rules` or where the settings file says; `None` when something is wrong: every problem was
    /// listed.
    pub(super) fn read(config: Option<&Path>, rules: Option<&Path>, printer: Printer) -> Option<Self> {
        let wanted = settings::rules_wanted(config, rules, printer)?;
        let rules = settings::compiled(&wanted, printer)?;
        let path = wanted.path;
        let folder = if path.is_dir() { path } else { path.parent().unwrap_or(Path::new("")).to_owned() };
        Some(Self {
            rules: Arc::new(Live::new(rules, SystemClock::new().now())),
            folder,
            config: config.map(Path::to_owned),
        })
    }

    /// The sources of the settings file, and a plain one of each kind that it has none of, so that a test of the rules needs
    /// no settings; `None` when the settings are wrong.
    pub(super) fn doors(&self, printer: Printer) -> anyhow::Result<Option<Vec<Door>>> {
        let Some(config) = &self.config else { return Ok(Some(plain_doors()?)) };
        let Some(settings) = settings::of_file(config, printer) else { return Ok(None) };
        let mut doors = settings.sources.values().map(app::door).collect::<anyhow::Result<Vec<_>>>()?;
        for plain in plain_doors()? {
            let told = doors.iter().any(|door| door.spec.kind == plain.spec.kind || door.spec.name == plain.spec.name);
            if !told {
                doors.push(plain);
            }
        }
        Ok(Some(doors))
    }

    /// An intake on a new, empty store.
    pub(super) async fn trial(&self, doors: Vec<Door>, clock: Arc<dyn Clock>) -> anyhow::Result<Trial> {
        let folder = Folder::new("trial")?;
        let url = format!("sqlite:{}", folder.path().join("trial.db").display());
        let store = Store::open(StoreOptions { url, limits: ClassLimits::default() }, clock.clone()).await?;
        let intake = Intake::new(doors, self.rules.clone(), store.clone(), clock);
        Ok(Trial { intake, store, _folder: folder })
    }
}

impl Trial {
    /// Closes the store before its folder goes.
    pub(super) async fn end(self) {
        // The file goes away in the next moment; nothing in it is missed.
        let _ = self.store.close().await;
    }
}

/// A source of each kind that may speak for everything, for rules without settings.
fn plain_doors() -> anyhow::Result<Vec<Door>> {
    [SourceKind::Github, SourceKind::Gitlab, SourceKind::Jira]
        .into_iter()
        .map(|kind| {
            let agents: &[&str] = if kind == SourceKind::Github { &[AGENT] } else { &[] };
            let agents = agents.iter().map(|agent| (*agent).to_owned()).collect();
            // No secret at all: nothing could come in by it that is not handed over here.
            let auth = Auth::Hmac(Vec::new());
            let spec = SourceSpec { name: kind.as_str().to_owned(), kind, auth, agents, max_age: None, event: None };
            let repos = Places::new(&["**".to_owned()]).map_err(anyhow::Error::msg)?;
            Ok(Door { spec, repos })
        })
        .collect()
}

/// A request in a file: `{"headers": {…}, "body": {…}}`, or a body alone with `headers`.
pub(super) fn request(text: String, headers: &[String], origin: &str) -> anyhow::Result<Recorded> {
    if headers.is_empty()
        && let Some(recorded) = Recorded::read(&text)
    {
        return Ok(recorded);
    }
    let pairs = headers.iter().map(|header| {
        let pair = header.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
        pair.with_context(|| format!("\"{header}\" is no header; write it as \"X-GitHub-Event: push\""))
    });
    let pairs = pairs.collect::<anyhow::Result<Vec<_>>>().with_context(|| origin.to_owned())?;
    Ok(Recorded::new(pairs, Bytes::from(text)))
}
