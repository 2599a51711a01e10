//! What is remembered: deliveries, jobs, runs, subjects, windows. The only place with SQL.
//!
//! One connection writes, behind a lock; a few read. Accepting is grouped: one transaction for every delivery that
//! arrived while the last one was being committed. Whatever is peculiar to SQLite stands in `sqlite.rs`.

mod accept;
mod acts;
mod asking;
mod breakers;
mod budgets;
mod bulk;
mod calls;
mod errors;
mod heads;
mod jobs;
mod joining;
mod line;
mod links;
mod lists;
mod notices;
mod outcome;
mod pauses;
mod queue;
mod rehearse;
mod repos;
mod rows;
mod runs;
mod shrink;
mod snapshot;
mod sql;
mod sqlite;
mod stale;
mod steady;
mod story;
mod subjects;
mod submit;
mod sweep;
mod told;
mod writer;

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use sqlx::Row;
use tokio::sync::futures::OwnedNotified;
use tokio::sync::{Mutex, Notify};

use crate::model::clock::Clock;
use crate::model::id::random_key;
use crate::model::limits::ClassLimits;

pub use asking::Asking;
pub use breakers::{Judged, Verdict};
pub use budgets::Started;
pub use bulk::{Backlog, BulkFilter};
pub use calls::{CallId, Slot};
pub use errors::{Result, StoreError};
pub use line::Line;
pub use lists::{DeliveryFilter, JobFilter, Page, PageRequest, RuleCount, RunFilter, StoredBody, cursor_of};
pub use queue::{Joined, Release, Released};
pub use runs::{Followed, Look, RunChange};
pub use story::{Found, Sought};
pub use submit::Uncertain;
pub use sweep::{Retention, Swept};
pub use writer::Commits;

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// `sqlite:PATH`; missing folders and the file are made.
    pub url: String,
    /// The windows of the API.
    pub limits: ClassLimits,
}

/// The store; cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Mutex<sqlite::Conn>,
    readers: sqlite::Readers,
    accepting: writer::Accepting,
    limits: ClassLimits,
    clock: Arc<dyn Clock>,
    instance_key: [u8; 32],
    wake: Arc<Notify>,
    trip: Arc<Notify>,
    /// The time of the last look for candidates.
    looked_at: AtomicI64,
    commits: writer::Counters,
    _lock: File,
}

impl Store {
    /// Opens the store, brings its schema up to date and takes over what a process before this one left: its calls have
    /// ended, and what it was submitting is uncertain.
    pub async fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let sqlite::Opened { mut writer, readers, lock } = sqlite::open(&options.url).await?;
        let instance_key = instance_key(&mut writer).await?;
        steady::set_right(&mut writer, &*clock).await?;
        submit::take_over(&mut writer, &options.limits, clock.now()).await?;
        breakers::take_over(&mut writer, &options.limits, clock.now()).await?;
        let inner = Arc::new_cyclic(|inner| Inner {
            writer: Mutex::new(writer),
            readers,
            accepting: writer::Accepting::start(inner.clone()),
            limits: options.limits,
            clock,
            instance_key,
            wake: Arc::new(Notify::new()),
            trip: Arc::new(Notify::new()),
            looked_at: AtomicI64::new(0),
            commits: writer::Counters::default(),
            _lock: lock,
        });
        Ok(Self { inner })
    }

    /// The key of this installation: for fence words and sessions. It never leaves the store.
    pub fn instance_key(&self) -> &[u8; 32] {
        &self.inner.instance_key
    }

    /// The windows of the API.
    pub fn limits(&self) -> &ClassLimits {
        &self.inner.limits
    }

    /// Completes when something was committed that may make work due. Register before looking for work: what is
    /// committed in between is then not missed.
    pub fn woken(&self) -> OwnedNotified {
        self.inner.wake.clone().notified_owned()
    }

    /// Whether a write can begin now.
    pub async fn ping(&self) -> Result<()> {
        self.inner.accepting.check()?;
        let mut writer = self.inner.writer.lock().await;
        let tx = sqlite::begin(&mut writer).await?;
        Ok(tx.rollback().await?)
    }

    /// Takes no more deliveries, answers those that were taken, and folds the log into the file. Nothing can be read
    /// afterwards.
    pub async fn close(&self) -> Result<()> {
        self.inner.accepting.close().await;
        self.inner.readers.close().await;
        let mut writer = self.inner.writer.lock().await;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").execute(&mut *writer).await?;
        Ok(())
    }

    /// Lets those look who wait for [`Self::woken`]: what may be due has changed without a commit.
    pub fn wake(&self) {
        self.inner.wake.notify_waiters();
    }
}

async fn instance_key(writer: &mut sqlite::Conn) -> Result<[u8; 32]> {
    sqlx::query("INSERT INTO meta (name, value) VALUES ('instance_key', $1) ON CONFLICT (name) DO NOTHING")
        .bind(&random_key()[..])
        .execute(&mut *writer)
        .await?;
    let row = sqlx::query("SELECT value FROM meta WHERE name = 'instance_key'").fetch_one(writer).await?;
    let key: Vec<u8> = row.try_get("value")?;
    key.try_into().map_err(|_| StoreError::Corrupt {
        table: "meta",
        column: "value",
        detail: "the instance key must have 32 bytes".into(),
    })
}
