//! What happens to jobs by itself: they are released, sent, looked for when an answer is missing, followed to their end.
//!
//! Each of these is a tick: it does what can be done now and tells when to come again. Ticks keep nothing that a restart
//! could lose; a pass over a long list may be cut short by a full window and goes on at the next tick. The loops that
//! call them are in [`Worker::spawn`].
//!
//! ```text
//! queued ──release──> submitting ──submit──> running ──follow──> succeeded · failed · stopped · lost
//!    ^                    └──> uncertain ──reconcile──> running · queued · held
//!    └────────────────────────────────────────────────────────────────┘        repos and sweep: by the hour
//! a breaker stops all of it ──probe──> it goes on
//! ```

mod follow;
mod pace;
mod prepare;
mod probe;
mod reconcile;
mod release;
mod repos;
mod submit;
mod sweep;
mod trace;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::codegen::Codegen;
use crate::lifecycle::Lifecycle;
use crate::model::clock::{Clock, Timestamp};
use crate::model::delivery::SourceKind;
use crate::model::run::RepoTarget;
use crate::rules::Live;
use crate::store::{BEAT, Retention, Store, StoreError};

/// How many creates may be under way at once: far more than any window lets through, so only a bound on memory.
const SENDING_MAX: u32 = 64;
/// How long a loop rests after a tick that failed (a locked or full database).
const REST: Duration = Duration::from_secs(2);
/// How long the release rests while every call is held back that its candidates would make: hundreds of deliveries may arrive
/// meanwhile, and each would call it.
const REST_SHUT: Duration = Duration::from_millis(20);
/// A loop that waits to be woken looks by itself this often: another process may have changed the store.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// The same where other processes share the database: news of them may be lost.
const LOOK_SHARED: Duration = Duration::from_secs(5);

/// What a [`Worker`] is told.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// The kind of every configured source, by its name.
    pub sources: HashMap<String, SourceKind>,
    /// What Codegen calls repositories, by `"source-or-kind:full/path"`.
    pub repos: BTreeMap<String, RepoTarget>,
    /// Whether a job whose repository Codegen does not know is held instead of sent without one.
    pub require_repo: bool,
    /// How often runs are looked at while any is active.
    pub poll: Duration,
    /// After how long a run that has not ended is given up as lost.
    pub give_up: Duration,
    /// How long what is remembered is kept.
    pub retention: Retention,
}

/// Why a tick failed. What the API answers is no failure of a tick: ticks deal with it.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Result<T> = std::result::Result<T, WorkerError>;

/// When a tick wants to be called again; `None`: when something changed.
pub type Again = Option<Timestamp>;

/// Releases, sends, follows. A cheap handle.
#[derive(Clone, Debug)]
pub struct Worker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    options: WorkerOptions,
    store: Store,
    codegen: Codegen,
    rules: Arc<Live>,
    clock: Arc<dyn Clock>,
    /// One permit for each create that may be under way.
    sending: Arc<Semaphore>,
    /// Called when a call or a run of ours came to an end, so that something may be due.
    progress: Notify,
    /// Cancelled when nothing may be begun any more.
    stop: CancellationToken,
    loose: std::sync::Mutex<release::Loose>,
    /// The jobs that were denied what they ask of one run or repository.
    denied: std::sync::Mutex<HashSet<String>>,
    /// Whether the last release found nothing but jobs for which every call is held back.
    shut: AtomicBool,
    follow: Mutex<follow::Follow>,
    reconcile: Mutex<reconcile::Reconcile>,
    repos: Mutex<repos::Refresh>,
}

impl Worker {
    /// A worker that begins nothing by itself and, once `stop` (the soft end of the process) is cancelled, releases
    /// nothing more.
    pub fn new(
        options: WorkerOptions,
        store: Store,
        codegen: Codegen,
        rules: Arc<Live>,
        clock: Arc<dyn Clock>,
        stop: CancellationToken,
    ) -> Self {
        let inner = Inner {
            options,
            store,
            codegen,
            rules,
            clock,
            sending: Arc::new(Semaphore::new(SENDING_MAX as usize)),
            progress: Notify::new(),
            stop,
            loose: std::sync::Mutex::default(),
            denied: std::sync::Mutex::default(),
            shut: AtomicBool::new(false),
            follow: Mutex::default(),
            reconcile: Mutex::default(),
            repos: Mutex::default(),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts every loop. They end when the worker is told to stop; creates under way are finished first.
    pub fn spawn(&self, life: &Lifecycle) {
        let worker = || self.clone();
        life.spawn("release", worker().keep("release", Wake::Work, |it| async move { it.release_tick().await }));
        life.spawn(
            "reconcile",
            worker().alone("reconcile", Wake::Progress, |it| async move { it.reconcile_tick().await }),
        );
        life.spawn("follow", worker().alone("follow", Wake::Progress, |it| async move { it.follow_tick().await }));
        life.spawn("repos", worker().alone("repos", Wake::Time, |it| async move { it.repos_tick().await }));
        life.spawn("probe", worker().keep("probe", Wake::Trip, |it| async move { it.probe_tick().await }));
        life.spawn("sweep", worker().alone("sweep", Wake::Time, |it| async move { it.sweep_tick().await }));
        let worker = worker();
        life.spawn("submit", async move {
            worker.inner.stop.cancelled().await;
            worker.sent().await;
        });
    }

    /// Waits until no create is under way and every outcome is stored.
    pub async fn sent(&self) {
        // The semaphore is never closed, so the permits come as soon as every submission has given back its own.
        drop(self.inner.sending.acquire_many(SENDING_MAX).await);
    }

    /// The same as [`Self::keep`] for what only one process does at a time: the others ask now and then whether it is theirs.
    async fn alone<F: Future<Output = Result<Again>> + Send>(
        self,
        name: &'static str,
        wake: Wake,
        tick: impl Fn(Self) -> F + Send + Sync,
    ) {
        let tick = &tick;
        let guarded = |it: Self| async move {
            let inner = Arc::clone(&it.inner);
            if !inner.store.has_duty(name).await? {
                return Ok(Some(inner.clock.now().plus(BEAT)));
            }
            let before = inner.codegen.unanswered();
            let again = tick(it).await;
            if inner.codegen.unanswered() > before.max(1) {
                // The service may be out of reach for this process alone: somebody else must follow and look then.
                inner.store.give_up_duty(name).await?;
            }
            again
        };
        self.keep(name, wake, guarded).await;
    }

    /// Calls `tick` again and again, at the time that it names or when something changed.
    async fn keep<F: Future<Output = Result<Again>> + Send>(
        self,
        name: &'static str,
        wake: Wake,
        tick: impl Fn(Self) -> F + Send,
    ) {
        let inner = Arc::clone(&self.inner);
        while !inner.stop.is_cancelled() {
            // Registered before the tick looks, so that nothing that happens meanwhile is missed.
            let (progress, woken) = (inner.progress.notified(), inner.store.woken());
            let tripped = inner.store.tripped();
            let again = tick(self.clone()).await.unwrap_or_else(|error| {
                tracing::warn!(tick = name, %error, "a tick failed");
                Some(inner.clock.now().plus(REST))
            });
            let look = if inner.store.is_shared() { LOOK_SHARED } else { LOOK_EVERY };
            let wait = || again.map_or(look, |at| at.since(inner.clock.now()));
            if wake == Wake::Work && inner.shut.load(Ordering::Relaxed) {
                tokio::time::sleep(wait().min(REST_SHUT)).await;
            }
            tokio::select! {
                () = inner.stop.cancelled() => break,
                () = tokio::time::sleep(wait()) => {}
                () = progress, if matches!(wake, Wake::Work | Wake::Progress) => {}
                () = tripped, if wake != Wake::Time => {}
                // Another process may have sent what this one is to follow.
                () = woken, if wake == Wake::Work || (wake == Wake::Progress && inner.store.is_shared()) => {}
            }
        }
    }
}

/// What beside the time calls a tick again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wake {
    /// Whatever may make a job due.
    Work,
    /// An end of a call or a run.
    Progress,
    /// A breaker that opened or closed; that calls the others, too.
    Trip,
    /// Nothing.
    Time,
}

/// The sooner of two times to come again.
fn sooner(one: Again, other: Again) -> Again {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
