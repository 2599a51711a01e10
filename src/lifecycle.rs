//! Signals, soft and hard cancellation, and supervised tasks.
//!
//! Soft asks every task to finish what it has begun; hard drops whatever still runs. A task that ends before it was
//! asked to has crashed as far as the others are concerned: everything is asked to stop, and [`Ending`] says so.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often a stop says what it still waits for.
const REPORT_EVERY: Duration = Duration::from_secs(5);
/// How long a dropped task may take to be gone.
const DROP_TIME: Duration = Duration::from_secs(1);

/// How the program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Every task finished when it was asked to.
    Clean,
    /// A task ended early or panicked.
    Crashed,
    /// Tasks were dropped in the middle of their work.
    Killed,
}

/// The life of the program: a cheap handle that everything long-lived shares.
#[derive(Clone, Debug)]
pub struct Lifecycle(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    alive: Mutex<BTreeMap<u64, String>>,
    next: AtomicU64,
    crashed: AtomicBool,
    hung_up: Notify,
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A life without tasks.
    pub fn new() -> Self {
        let hard = CancellationToken::new();
        Self(Arc::new(Inner {
            soft: hard.child_token(),
            hard,
            tasks: TaskTracker::new(),
            alive: Mutex::default(),
            next: AtomicU64::new(0),
            crashed: AtomicBool::new(false),
            hung_up: Notify::new(),
        }))
    }

    /// Cancelled when tasks should finish what they have begun and end.
    pub fn soft(&self) -> CancellationToken {
        self.0.soft.clone()
    }

    /// Cancelled when nothing is waited for any more.
    pub fn hard(&self) -> CancellationToken {
        self.0.hard.clone()
    }

    /// Asks for the end: the first time softly, the second time hard.
    pub fn ask_to_stop(&self) {
        if self.0.soft.is_cancelled() {
            self.0.hard.cancel();
        } else {
            self.0.soft.cancel();
        }
    }

    /// Asks for the rules to be read again.
    pub fn hang_up(&self) {
        self.0.hung_up.notify_one();
    }

    /// Completes when somebody asks for the rules to be read again, also when that was before this was called.
    pub async fn hung_up(&self) {
        self.0.hung_up.notified().await;
    }

    /// Listens to SIGHUP, which calls [`Self::hang_up`]; else it ends the process.
    pub fn watch_hang_ups(&self) -> io::Result<()> {
        let mut hang_up = signal(SignalKind::hangup())?;
        let life = self.clone();
        tokio::spawn(async move {
            while life.0.hard.run_until_cancelled(hang_up.recv()).await.is_some() {
                life.hang_up();
            }
        });
        Ok(())
    }

    /// Listens to SIGTERM and SIGINT, each of which calls [`Self::ask_to_stop`].
    pub fn watch_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => life.ask_to_stop(),
                    _ = interrupt.recv() => life.ask_to_stop(),
                    () = life.0.hard.cancelled() => return,
                }
            }
        });
        Ok(())
    }

    /// Runs a task that lives until soft is cancelled. If it ends before, or panics, everything is asked to stop.
    pub fn spawn<F>(&self, name: impl Into<String>, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let life = self.clone();
        let name = name.into();
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        self.alive().insert(id, name.clone());
        self.0.tasks.spawn(async move {
            let mut running = tokio::spawn(task);
            tokio::select! {
                ended = &mut running => match ended {
                    Ok(()) if life.0.soft.is_cancelled() => {}
                    Ok(()) => life.crash(&name, "ended early"),
                    Err(_) => life.crash(&name, "panicked"),
                },
                () = life.0.hard.cancelled() => {
                    running.abort();
                    // Waits until the task's values are dropped: they may hold locks and files.
                    _ = running.await;
                }
            }
            life.alive().remove(&id);
        });
    }

    fn crash(&self, name: &str, how: &str) {
        tracing::error!(task = name, "a task {how}: it likely crashed; stopping");
        self.0.crashed.store(true, Ordering::Relaxed);
        self.0.soft.cancel();
    }

    /// Asks every task to end and waits for it, at most `grace`; says every 5 s what it waits for, and at the end what
    /// it drops.
    pub async fn stop(&self, grace: Duration) -> Ending {
        self.0.soft.cancel();
        self.0.tasks.close();
        let mut killed = false;
        tokio::select! {
            () = self.0.tasks.wait() => {}
            () = self.0.hard.cancelled() => killed = true,
            () = sleep(grace) => killed = true,
            () = self.report_the_living(grace) => {}
        }
        // Dropped tasks may be gone before this is looked at: what was cut off is not clean all the same.
        killed |= self.0.hard.is_cancelled();
        if killed {
            tracing::warn!(tasks = self.names(), "dropping tasks that have not ended");
            self.0.hard.cancel();
            if timeout(DROP_TIME, self.0.tasks.wait()).await.is_err() {
                tracing::error!(tasks = self.names(), "tasks cannot be dropped; leaving them");
            }
        }
        self.0.hard.cancel();
        match (self.0.crashed.load(Ordering::Relaxed), killed) {
            (true, _) => Ending::Crashed,
            (false, true) => Ending::Killed,
            (false, false) => Ending::Clean,
        }
    }

    async fn report_the_living(&self, grace: Duration) {
        let mut ticks = interval(REPORT_EVERY);
        ticks.tick().await;
        let mut left = grace;
        loop {
            ticks.tick().await;
            left = left.saturating_sub(REPORT_EVERY);
            tracing::info!(tasks = self.names(), seconds_left = left.as_secs(), "waiting for tasks to end");
        }
    }

    fn names(&self) -> String {
        self.alive().values().map(String::as_str).collect::<Vec<_>>().join(", ")
    }

    fn alive(&self) -> MutexGuard<'_, BTreeMap<u64, String>> {
        self.0.alive.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
