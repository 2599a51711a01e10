//! Where a waiting job stands: what the gates say to it now, its place in the line, and when it may be sent.

use std::time::Duration;

use serde::Serialize;

use super::admin::Admin;
use super::overview::Window;
use super::problem::Refusal;
use crate::model::clock::Timestamp;
use crate::model::gate::GateOutcome;
use crate::model::job::{Job, JobState};
use crate::model::pause::Paused;
use crate::rules::gates;
use crate::store::Line;

/// A job with where it stands in the line.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Standing {
    /// The job; of a queued one, reason, until and gates are what the gates say now.
    #[serde(flatten)]
    pub(super) job: Job,
    /// `go`, `wait`, `hold`, `superseded` or `dead`: what would become of it now; `None` unless it is queued.
    pub(super) answer: Option<&'static str>,
    /// Whether a gate asked for a person, who may approve it.
    pub(super) approvable: bool,
    /// Its place in the line, from 1.
    pub(super) position: Option<usize>,
    /// When it is expected to be sent, as far as that can be told.
    pub(super) expected_at: Option<Timestamp>,
}

impl Admin {
    /// One job, with where it stands if it waits.
    pub(super) async fn job(&self, id: &str) -> Result<Option<Standing>, Refusal> {
        let job: Vec<_> = self.store.job(id).await?.into_iter().collect();
        Ok(self.standing(job).await?.pop())
    }

    /// The line as it stands now.
    pub(super) async fn line(&self) -> Result<Line, Refusal> {
        let pauses: Vec<Paused> = self.store.pauses().await?.into_iter().map(|pause| pause.what).collect();
        Ok(self.store.line(&pauses).await?)
    }

    /// Where these jobs stand.
    pub(super) async fn standing(&self, jobs: Vec<Job>) -> Result<Vec<Standing>, Refusal> {
        let queued = jobs.iter().any(|job| job.state == JobState::Queued);
        let line = if queued { self.line().await? } else { Line::default() };
        self.standing_in(&line, jobs).await
    }

    /// Where these jobs stand in a line. Nothing is written: the answer may differ a moment later, and a pause must not
    /// rewrite a million rows.
    pub(super) async fn standing_in(&self, line: &Line, mut jobs: Vec<Job>) -> Result<Vec<Standing>, Refusal> {
        let outcomes = self.store.outcomes(&jobs).await?;
        for (job, outcome) in jobs.iter_mut().zip(outcomes) {
            job.outcome = outcome;
        }
        let queued = jobs.iter().filter(|job| job.state == JobState::Queued);
        let queued: Vec<_> = queued.map(|job| (job.clone(), (self.policy)(job))).collect();
        let mut standing: Vec<_> = jobs.into_iter().map(Standing::from).collect();
        if queued.is_empty() {
            return Ok(standing);
        }
        let windows = self.windows().await?;
        for snapshot in self.store.snapshots(queued).await? {
            let answer = (self.gates)(&snapshot, &(self.policy)(&snapshot.job));
            let Some(it) = standing.iter_mut().find(|it| it.job.id == snapshot.job.id) else { continue };
            let (word, reason, until) = match answer.outcome {
                GateOutcome::Go => ("go", "ready to be sent".to_owned(), None),
                GateOutcome::Wait(reason, until) => ("wait", reason, until),
                GateOutcome::Hold(reason) => ("hold", reason, None),
                GateOutcome::Superseded(reason) => ("superseded", reason, None),
                GateOutcome::Dead(reason) => ("dead", reason, None),
            };
            it.answer = Some(word);
            (it.job.reason, it.job.until, it.job.gates) = (reason, until, answer.records);
            it.position = line.position(&it.job.id);
            it.expected_at = expected(it, &windows, snapshot.now);
        }
        Ok(standing)
    }
}

impl From<Job> for Standing {
    fn from(job: Job) -> Self {
        Self { approvable: job.waits_for_approval(), job, answer: None, position: None, expected_at: None }
    }
}

/// When a job may be sent: not before its gates let it, and not before those in front of it have had their slots.
fn expected(it: &Standing, windows: &[Window], now: Timestamp) -> Option<Timestamp> {
    let gates = match (it.answer?, it.job.until) {
        ("go", _) => now,
        ("wait", until) => until?,
        _ => return None,
    };
    let ahead = it.position.map_or(0, |position| position - 1);
    let needed = gates::classes(&it.job);
    let windows = windows.iter().filter(|window| needed.contains(&window.used.class));
    let slots = windows.map(|window| slot(window, ahead, now)).collect::<Option<Vec<_>>>()?;
    slots.into_iter().chain([gates]).max()
}

/// When a window has a slot for one that stands behind so many others; `None` when calls under way must end for it.
fn slot(window: &Window, ahead: usize, now: Timestamp) -> Option<Timestamp> {
    if let Some(freeze) = &window.freeze {
        return Some(freeze.until);
    }
    let (free, limit) = (window.used.free() as usize, window.used.limit.max(1) as usize);
    let Some(over) = ahead.checked_sub(free) else { return Some(now) };
    let rounds = Duration::from_millis(window.per.as_millis() as u64).saturating_mul((over / limit) as u32);
    // While slots are free nobody knows when those are free again that the ones in front will take: a window from now.
    let first = if free > 0 { now.plus(window.per) } else { window.used.next_free? };
    Some(first.plus(rounds))
}
