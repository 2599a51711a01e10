//! Looks whether the rule files have changed, and puts them in force as a whole when they have and can be used.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::load::{Mark, load_marked};
use super::{Live, Loaded};
use crate::lifecycle::Lifecycle;
use crate::model::clock::Clock;
use crate::model::policy::Terms;
use crate::model::problem::Problem;
use crate::telemetry::{Metric, count, set};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(2);

/// How soon again when they have just changed.
const SETTLE: Duration = Duration::from_millis(500);

/// How many problems are drawn where people read them; there can be one for each rule.
const DRAWN: usize = 5;

/// What a look at the files found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// They say what they said.
    Same,
    /// They have just changed, and may be half written: look again soon.
    Moving,
    /// They were put in force.
    Taken,
    /// They are broken; the rules in force stay.
    Refused,
}

/// Keeps the rules in force up to date with their files. What is taken was read whole in one look and was still there
/// in the next one, so that neither a half-written file nor half a folder counts.
#[derive(Debug)]
pub struct Reload {
    path: PathBuf,
    terms: Terms,
    live: Arc<Live>,
    clock: Arc<dyn Clock>,
    /// What was taken or refused last.
    known: Option<Mark>,
    /// What the look before found instead.
    moving: Option<(Loaded, Mark)>,
}

impl Reload {
    /// Looks at a rules file or a folder of them, under the terms of the settings.
    pub fn new(path: PathBuf, terms: Terms, live: Arc<Live>, clock: Arc<dyn Clock>) -> Self {
        Self { path, terms, live, clock, known: None, moving: None }
    }

    /// Looks again and again, and at once when the process is hung up on; calls `changed` whenever other rules were put
    /// in force. Ends when the process is asked to stop.
    pub async fn keep<F: Future<Output = ()>>(mut self, life: Lifecycle, changed: impl Fn() -> F) {
        let stop = life.soft();
        while !stop.is_cancelled() {
            let Ok((look, back)) = spawn_blocking(move || (self.look(), self)).await else { return };
            self = back;
            if look == Look::Taken {
                changed().await;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(if look == Look::Moving { SETTLE } else { EVERY }) => {}
                () = life.hung_up() => {}
            }
        }
    }

    /// Reads everything and compares it with what is known. It blocks, and compiles what is new.
    pub fn look(&mut self) -> Look {
        let moving = self.moving.take();
        if self.known.as_ref().is_some_and(|known| known.holds(&self.path)) {
            return Look::Same;
        }
        match moving {
            Some((loaded, mark)) if mark.holds(&self.path) => {
                self.known = Some(mark);
                self.settle(loaded)
            }
            _ => {
                self.moving = Some(load_marked(&self.path, &self.terms));
                Look::Moving
            }
        }
    }

    fn settle(&self, loaded: Loaded) -> Look {
        let Loaded { rules, problems } = loaded;
        set(Metric::RulesStale, &[], f64::from(u8::from(rules.is_none())));
        let Some(rules) = rules else {
            let drawn = drawn(&problems);
            if self.live.refuse(problems) {
                count(Metric::RulesReloads, &[("result", "refused")]);
                tracing::error!("the rules are broken, so those that were read before stay in force\n{drawn}");
            }
            return Look::Refused;
        };
        let hash = rules.hash().to_owned();
        if !self.live.replace(rules, problems, self.clock.now()) {
            return Look::Same;
        }
        count(Metric::RulesReloads, &[("result", "taken")]);
        tracing::info!(hash, "the rules have changed and are in force");
        Look::Taken
    }
}

/// The first problems with line and caret, and how many more there are.
pub fn drawn(problems: &[Problem]) -> String {
    let shown = problems.iter().take(DRAWN).map(ToString::to_string);
    let more = problems.len().checked_sub(DRAWN).filter(|more| *more > 0);
    let more = more.map(|more| format!("and {more} more; `hookrun check` lists all of them\n"));
    shown.chain(more).collect::<Vec<_>>().join("\n")
}
