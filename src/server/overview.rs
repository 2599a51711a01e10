//! What the status API and the dashboard both tell: windows, runs, why jobs wait, and what needs attention.

use std::time::Duration;

use super::admin::Admin;
use super::problem::Refusal;
use crate::model::clock::Timestamp;
use crate::model::gate::{Freeze, WindowUse};
use crate::model::job::JobState;
use crate::model::run::{RunPhase, RunRecord, phase_of};
use crate::rules::drawn;
use crate::store::{PageRequest, RunFilter};

/// The windows of every class.
pub(super) type Windows = Vec<Window>;

/// The sliding window of one class.
#[derive(Debug)]
pub(super) struct Window {
    /// How much of it is used.
    pub(super) used: WindowUse,
    /// Its length.
    pub(super) per: Duration,
    /// What the settings leave of it to other users of the token.
    pub(super) headroom: u32,
    /// Whether the service told us to wait.
    pub(super) freeze: Option<Freeze>,
}

/// Something that needs a person's attention.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(super) struct Trouble {
    /// What it is.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: Option<String>,
    /// When it is over by itself, if that is known.
    pub(super) until: Option<Timestamp>,
    /// More of it, as lines of fixed width.
    pub(super) text: Option<String>,
}

impl Window {
    /// In words, when it has fewer slots than the settings say: `"9 of 10: shrunk by a 429 at …"`.
    pub(super) fn shrunk(&self) -> Option<String> {
        let WindowUse { limit, setting, shrunk_at, .. } = self.used;
        shrunk_at.map(|at| format!("{limit} of {setting}: shrunk by a 429 at {}", at.to_rfc3339()))
    }
}

impl Admin {
    /// Every window with its freeze.
    pub(super) async fn windows(&self) -> Result<Windows, Refusal> {
        let mut freezes = self.store.freezes().await?;
        let windows = self.store.windows().await?.into_iter().map(|used| Window {
            used,
            per: self.store.limits().of(used.class).per,
            headroom: self.headroom.of(used.class),
            freeze: freezes.iter().position(|freeze| freeze.class == used.class).map(|at| freezes.swap_remove(at)),
        });
        Ok(windows.collect())
    }

    /// The newest runs that have not ended.
    pub(super) async fn alive_runs(&self, limit: u32) -> Result<Vec<RunRecord>, Refusal> {
        let alive = RunFilter { phase: Some(RunPhase::Alive), ..RunFilter::default() };
        Ok(self.store.runs(&alive, &PageRequest { limit, cursor: None }).await?.items)
    }

    /// What needs attention, worst first.
    pub(super) fn troubles(&self, counts: &[(JobState, u64)], windows: &[Window], alive: &[RunRecord]) -> Vec<Trouble> {
        let mut troubles = Vec::new();
        let mut add = |message: String, help: &str, until| {
            let help = Some(help.to_owned()).filter(|help| !help.is_empty());
            troubles.push(Trouble { message, help, until, text: None });
        };
        for freeze in windows.iter().filter_map(|window| window.freeze.as_ref()) {
            let message = format!("The API takes no calls of class {} for now: {}", freeze.class, freeze.reason);
            add(message, "", Some(freeze.until));
        }
        let count = |state| counts.iter().find(|(known, _)| *known == state).map_or(0, |(_, count)| *count);
        match count(JobState::Held) {
            0 => {}
            held => add(
                format!("{held} {} for a person", if held == 1 { "job waits" } else { "jobs wait" }),
                "open it to see why; then approve, retry or cancel it, or say which run is its own",
                None,
            ),
        }
        match count(JobState::Uncertain) {
            0 => {}
            lost => add(
                format!("{lost} {} without an answer", if lost == 1 { "call ended" } else { "calls ended" }),
                "the service's runs are searched for them; nothing is sent twice",
                None,
            ),
        }
        for record in alive {
            if let (Some(word), (_, false)) = (&record.run.status, phase_of(record.run.status.as_deref())) {
                let message = format!("Run {} has a status that we do not know, \"{word}\"", record.run.id);
                add(message, "it counts as running until it ends or its give-up age is reached", None);
            }
        }
        let rules = (self.rules)();
        if rules.rules.is_empty() {
            add("There are no rules, so no delivery starts anything".to_owned(), "write one: config/rules.toml", None);
        }
        if rules.stale {
            let trouble = Trouble {
                message: "The rules are broken, so those that were read before stay in force".to_owned(),
                help: Some("repair them; they are read again by themselves".to_owned()),
                until: None,
                text: Some(drawn(&rules.problems)),
            };
            troubles.insert(0, trouble);
        }
        troubles
    }
}
