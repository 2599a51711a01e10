//! What the dashboard shows, gathered from the store: plain data with absolute times, so that it changes only when
//! something happened.

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::breaker::Breaker;
use crate::model::clock::Timestamp;
use crate::model::delivery::{DeliveryRecord, SourceKind};
use crate::model::job::JobState;
use crate::model::limits::CallClass;
use crate::model::notice::Notice;
use crate::model::pause::{Pause, Paused};
use crate::model::span::show_span;
use crate::server::admin::{Admin, RuleInForce, RulesInForce};
use crate::server::budgets::Budget;
use crate::server::overview::{Trouble, Window};
use crate::server::problem::Refusal;
use crate::server::spending::Spending;
use crate::server::standing::Standing;
use crate::store::{DeliveryFilter, JobFilter, PageRequest};

/// Rows of a list on the dashboard.
const ROWS: u32 = 12;

/// Rules on the dashboard.
const RULES: usize = 40;

/// The tile of the jobs that wait for a person.
const PERSON: &str = "For a person";

/// Everything on the dashboard; one field is one section of the page.
#[derive(Debug, Serialize)]
pub(super) struct View {
    pub(super) problems: Vec<Trouble>,
    pub(super) pauses: Vec<Pause>,
    pub(super) breakers: Vec<Breaker>,
    pub(super) notices: Vec<Notice>,
    pub(super) tiles: Vec<Tile>,
    pub(super) held: Jobs,
    pub(super) running: Jobs,
    pub(super) waiting: Jobs,
    pub(super) deliveries: Deliveries,
    pub(super) windows: Vec<WindowRow>,
    pub(super) budgets: Vec<Budget>,
    pub(super) spending: Spending,
    pub(super) rules: Rules,
    pub(super) states: Vec<StateRow>,
}

/// A big number.
#[derive(Debug, Serialize)]
pub(super) struct Tile {
    pub(super) label: &'static str,
    pub(super) tone: &'static str,
    pub(super) value: u64,
}

/// Some jobs, and how many there are.
#[derive(Debug, Serialize)]
pub(super) struct Jobs {
    pub(super) total: u64,
    pub(super) items: Vec<Standing>,
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
    pub(super) headroom: u32,
    pub(super) setting: u32,
    pub(super) shrunk_at: Option<Timestamp>,
}

/// The first rules in force, and how many there are.
#[derive(Debug, Serialize)]
pub(super) struct Rules {
    pub(super) total: usize,
    pub(super) hash: String,
    pub(super) items: Vec<RuleRow>,
}

/// A rule, and how much it has done.
#[derive(Debug, Serialize)]
pub(super) struct RuleRow {
    #[serde(flatten)]
    pub(super) rule: RuleInForce,
    pub(super) says: Vec<String>,
    pub(super) jobs: u64,
    pub(super) last: Option<Timestamp>,
}

impl Rules {
    async fn of(admin: &Admin) -> Result<Self, Refusal> {
        let counts = admin.store.rule_counts().await?;
        let RulesInForce { hash, rules, .. } = (admin.rules)();
        let total = rules.len();
        let row = |rule: RuleInForce| {
            let count = counts.iter().find(|count| count.rule == rule.name);
            RuleRow {
                says: rule.says(),
                jobs: count.map_or(0, |count| count.jobs),
                last: count.and_then(|count| count.last),
                rule,
            }
        };
        Ok(Self { total, hash, items: rules.into_iter().take(RULES).map(row).collect() })
    }
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
            pauses: admin.store.pauses().await?,
            breakers: admin.store.breakers().await?,
            notices: admin.store.notices(true, &page).await?.items,
            held: Jobs { total: total(&[Held]), items: newest(admin, vec![Held]).await? },
            running: Jobs { total: total(&active), items: newest(admin, active.to_vec()).await? },
            waiting: Jobs { total: total(&[Queued]), items: next_in_line(admin, ROWS as usize).await? },
            deliveries: Deliveries {
                sources: if deliveries.is_empty() { admin.sources.clone() } else { Vec::new() },
                items: deliveries,
            },
            windows: windows.into_iter().map(WindowRow::from).collect(),
            budgets: admin.budgets().await?,
            spending: admin.spending().await?,
            rules: Rules::of(admin).await?,
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

async fn newest(admin: &Admin, states: Vec<JobState>) -> Result<Vec<Standing>, Refusal> {
    let filter = JobFilter { states, ..JobFilter::default() };
    let jobs = admin.store.jobs(&filter, &PageRequest { limit: ROWS, cursor: None }).await?.items;
    Ok(jobs.into_iter().map(Standing::from).collect())
}

/// Those who are sent next, in this order; then the oldest of those that are held up.
pub(super) async fn next_in_line(admin: &Admin, most: usize) -> Result<Vec<Standing>, Refusal> {
    let line = admin.line().await?;
    let mut jobs = admin.store.jobs_of(&line.order()[..line.order().len().min(most)]).await?;
    if jobs.len() < most {
        let oldest = admin.store.waiting_in(&Paused::All, (most + jobs.len()) as u32).await?;
        let held_up = oldest.into_iter().filter(|job| line.position(&job.id).is_none());
        jobs.extend(held_up.take(most - jobs.len()));
    }
    let mut items = admin.standing_in(&line, jobs).await?;
    let now = admin.clock.now();
    for it in &mut items {
        // Only the job's own page shows them, and they name the moment in which they were asked.
        it.job.gates.clear();
        // "Now" would be another moment at every look.
        it.expected_at = it.expected_at.filter(|at| *at > now && it.answer != Some("go"));
    }
    Ok(items)
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
            headroom: window.headroom,
            setting: used.setting,
            shrunk_at: used.shrunk_at,
        }
    }
}

/// A short mark of `data` that changes with it.
pub(super) fn mark(data: &impl Serialize) -> String {
    let text = serde_json::to_vec(data).unwrap_or_default();
    hex::encode(&Sha256::digest(&text)[..8])
}
