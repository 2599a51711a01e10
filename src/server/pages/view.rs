//! What the dashboard shows, gathered from the store: plain data with absolute times, so that it changes only when
//! something happened.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::clock::Timestamp;
use crate::model::delivery::{DeliveryRecord, SourceKind};
use crate::model::job::{Job, JobState};
use crate::model::limits::CallClass;
use crate::model::span::show_span;
use crate::server::admin::Admin;
use crate::server::overview::{Trouble, Window};
use crate::server::problem::Refusal;
use crate::store::{DeliveryFilter, JobFilter, PageRequest};

/// Rows of a list on the dashboard.
const ROWS: u32 = 12;

/// The tile of the jobs that wait for a person.
const PERSON: &str = "For a person";

/// Everything on the dashboard; one field is one section of the page.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) problems: Vec<Trouble>,
    pub(super) tiles: Vec<Tile>,
    pub(super) running: Jobs,
    pub(super) waiting: Jobs,
    pub(super) deliveries: Deliveries,
    pub(super) windows: Vec<WindowRow>,
    pub(super) states: Vec<StateRow>,
}

/// A big number.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) tone: &'static str,
    pub(super) value: u64,
}

/// The newest of some jobs, and how many there are.
#[derive(Debug, Serialize)]
pub(super) struct Jobs {
    pub(super) total: u64,
    pub(super) items: Vec<Job>,
}

/// The last deliveries; the sources for those who have none yet.
#[derive(Debug, Serialize)]
pub(super) struct Deliveries {
    pub(super) items: Vec<DeliveryRecord>,
    pub(super) sources: Vec<(String, SourceKind)>,
}

/// A window as a bar.
#[derive(Debug, Serialize)]
pub(super) struct WindowRow {
    pub(super) class: CallClass,
    pub(super) used: u32,
    pub(super) limit: u32,
    pub(super) percent: u32,
    pub(super) per: String,
    pub(super) next_free: Option<Timestamp>,
    pub(super) frozen_until: Option<Timestamp>,
    pub(super) reason: Option<String>,
}

/// How many jobs are in a state.
#[derive(Debug, Serialize)]
pub(super) struct StateRow {
    pub(super) name: JobState,
    pub(super) count: u64,
}

impl View {
    /// Reads everything that the dashboard shows.
    pub(super) async fn of(admin: &Admin) -> Result<Self, Refusal> {
        use JobState::{
            Cancelled, Dead, Failed, Held, Lost, Queued, Running, Stopped, Submitting, Succeeded, Superseded, Uncertain,
        };
        let counts = admin.store.counts().await?;
        let windows = admin.windows().await?;
        let alive = admin.alive_runs(100).await?;
        let total =
            |states: &[JobState]| counts.iter().filter(|(state, _)| states.contains(state)).map(|(_, n)| n).sum();
        let active = [Running, Submitting, Uncertain];
        let tile = |label, tone, states: &[JobState]| Tile { label, tone, value: total(states) };
        let tiles = vec![
            tile("Running", "running", &active),
            tile("Waiting", "wait", &[Queued]),
            tile(PERSON, "care", &[Held]),
            tile("Succeeded", "good", &[Succeeded]),
            tile("Failed", "bad", &[Failed, Lost, Dead]),
            tile("Stopped", "quiet", &[Stopped, Superseded, Cancelled]),
        ];
        let page = PageRequest { limit: ROWS, cursor: None };
        let deliveries = admin.store.deliveries(&DeliveryFilter::default(), &page).await?.items;
        Ok(Self {
            problems: admin.troubles(&counts, &windows, &alive),
            tiles,
            running: Jobs { total: total(&active), items: newest(admin, active.to_vec()).await? },
            waiting: Jobs { total: total(&[Queued, Held]), items: waiting(admin).await? },
            deliveries: Deliveries {
                sources: if deliveries.is_empty() { admin.sources.clone() } else { Vec::new() },
                items: deliveries,
            },
            windows: windows.into_iter().map(WindowRow::from).collect(),
            states: counts.into_iter().map(|(name, count)| StateRow { name, count }).collect(),
        })
    }

    /// The state in a few words, for the title and for those who listen.
    pub(super) fn summary(&self) -> String {
        let count = |label| self.tiles.iter().find(|tile| tile.label == label).map_or(0, |tile| tile.value);
        let parts: Vec<_> = [("Running", "running"), ("Waiting", "waiting"), (PERSON, "for a person")]
            .into_iter()
            .map(|(label, words)| (count(label), words))
            .filter(|(count, _)| *count > 0)
            .map(|(count, words)| format!("{count} {words}"))
            .collect();
        if parts.is_empty() { "All quiet".to_owned() } else { parts.join(", ") }
    }
}

async fn newest(admin: &Admin, states: Vec<JobState>) -> Result<Vec<Job>, Refusal> {
    let filter = JobFilter { states, ..JobFilter::default() };
    Ok(admin.store.jobs(&filter, &PageRequest { limit: ROWS, cursor: None }).await?.items)
}

/// The newest waiting jobs: those that need a person first, then by when they go on.
async fn waiting(admin: &Admin) -> Result<Vec<Job>, Refusal> {
    let mut jobs = newest(admin, vec![JobState::Queued, JobState::Held]).await?;
    admin.ask_gates(&mut jobs).await?;
    for job in &mut jobs {
        // Only the job's own page shows them, and they name the moment in which they were asked.
        job.gates.clear();
    }
    jobs.sort_by_key(|job| (job.state != JobState::Held, job.until, job.created_at));
    Ok(jobs)
}

impl From<Window> for WindowRow {
    fn from(window: Window) -> Self {
        let used = window.used;
        let (frozen_until, reason) = window.freeze.map(|freeze| (freeze.until, freeze.reason)).unzip();
        Self {
            class: used.class,
            used: used.used,
            limit: used.limit,
            percent: (used.used.min(used.limit) * 100).checked_div(used.limit).unwrap_or(100),
            per: show_span(window.per),
            next_free: used.next_free,
            frozen_until,
            reason,
        }
    }
}

/// A short mark of `data` that changes with it.
pub(super) fn mark(data: &impl Serialize) -> String {
    let text = serde_json::to_vec(data).unwrap_or_default();
    hex::encode(&Sha256::digest(&text)[..8])
}
