//! What is remembered: deliveries, jobs, runs, subjects, windows. The only place with SQL.
//!
//! One connection writes, behind a lock; a few read. Accepting is grouped: one transaction for every delivery that
//! arrived while the last one was being committed. What differs between SQLite and PostgreSQL stands in `db/`.

mod accept;
mod acts;
mod asking;
mod backup;
mod beside;
mod bodies;
mod breakers;
mod budgets;
mod bulk;
mod calls;
mod db;
mod errors;
mod filing;
mod heads;
mod jobs;
mod joining;
mod line;
mod links;
mod lists;
mod meta;
mod notices;
mod outcome;
mod pauses;
mod queue;
mod rehearse;
mod replica;
mod repos;
mod restored;
mod rows;
mod runs;
mod shrink;
mod snapshot;
mod stale;
mod steady;
mod story;
mod subjects;
mod submit;
mod sweep;
mod told;
mod transfer;
mod writer;

use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Mutex};

use db::{Conn, Database, query};
use replica::Replica;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::model::clock::Clock;
use crate::model::id::random_key;
use crate::model::limits::ClassLimits;

pub use asking::Asking;
pub use backup::{back_up, restore};
pub use breakers::{Judged, Verdict};
pub use budgets::Started;
pub use bulk::{Backlog, BulkFilter};
pub use calls::{CallId, Slot};
pub use errors::{Result, StoreError};
pub use line::Line;
pub use lists::{DeliveryFilter, JobFilter, Page, PageRequest, RuleCount, RunFilter, StoredBody, cursor_of};
pub use queue::{Joined, Release, Released};
pub use replica::{BEAT, ReplicaRecord};
pub use runs::{Followed, Look, RunChange};
pub use story::{Found, Sought};
pub use submit::Uncertain;
pub use sweep::{Retention, Swept};
pub use transfer::{Moved, transfer};
pub use writer::Commits;

/// What a store is opened with.
#[derive(Clone)]
pub struct StoreOptions {
    /// `sqlite:PATH`, of which missing folders and the file are made, or `postgres://…`.
    pub url: String,
    /// The windows of the API.
    pub limits: ClassLimits,
}

impl std::fmt::Debug for StoreOptions {
    /// Without the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreOptions").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The store; cloning gives another handle to the same one.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    db: Database,
    accepting: writer::Accepting,
    replica: Replica,
    beside: beside::Beside,
    limits: ClassLimits,
    clock: Arc<dyn Clock>,
    instance_key: [u8; 32],
    wake: Arc<Notify>,
    trip: Arc<Notify>,
    /// The time of the last look for candidates.
    looked_at: AtomicI64,
    /// When the next look is due that was announced.
    looks_at: AtomicI64,
    commits: writer::Counters,
    unfiled: filing::Unfiled,
    /// The last check that was looked at for being too old.
    swept_checks: Mutex<sweep::CheckKey>,
}

impl Store {
    /// Opens the store, brings its schema up to date and takes over what a process before this one left: its calls have
    /// ended, and what it was submitting is uncertain.
    pub async fn open(options: StoreOptions, clock: Arc<dyn Clock>) -> Result<Self> {
        let wake = Arc::new(Notify::new());
        let db = Database::open(&options.url, Arc::clone(&wake)).await?;
        let follows = beside::set_clock(&db, &*clock).await?;
        let replica = Replica::new(clock.now());
        let mut tx = db.begin().await?;
        transfer::must_be_here(&mut tx).await?;
        let instance_key = instance_key(&mut tx).await?;
        if !db.is_shared() {
            steady::set_right(&mut tx, &*clock).await?;
        }
        restored::doubt(&mut tx, clock.now()).await?;
        replica::beat(&mut tx, &replica, !db.is_shared(), &options.limits, clock.now()).await?;
        let unfiled = filing::Unfiled::read(&mut tx).await?;
        tx.commit().await?;
        let inner = Arc::new_cyclic(|inner| Inner {
            accepting: writer::Accepting::start(inner.clone()),
            beside: beside::Beside::start(inner.clone(), db.is_shared(), follows),
            replica,
            limits: options.limits,
            clock,
            instance_key,
            wake,
            trip: Arc::new(Notify::new()),
            db,
            looked_at: AtomicI64::new(0),
            looks_at: AtomicI64::new(i64::MAX),
            commits: writer::Counters::default(),
            unfiled,
            swept_checks: Mutex::default(),
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

    /// Whether a delivery could be taken now: a write can begin; and where the last one failed, one comes to its end.
    pub async fn ping(&self) -> Result<()> {
        self.inner.accepting.check()?;
        let mut tx = self.inner.db.begin().await?;
        if !self.inner.commits.are_failing() {
            tx.rollback().await;
            return Ok(());
        }
        meta::set(&mut tx, "written_at", self.inner.clock.now().0.to_string()).await?;
        tx.commit().await?;
        self.inner.commits.note(false);
        Ok(())
    }

    /// Takes no more deliveries, answers those that were taken, and folds the log into the file. Nothing can be read
    /// afterwards.
    pub async fn close(&self) -> Result<()> {
        self.inner.accepting.close().await;
        self.inner.beside.stop();
        let mut tx = self.inner.db.begin().await?;
        replica::leave(&mut tx, &self.inner.replica).await?;
        tx.commit().await?;
        self.inner.db.close().await
    }

    /// Lets those look who wait for [`Self::woken`]: what may be due has changed without a commit.
    pub fn wake(&self) {
        self.inner.wake.notify_waiters();
    }
}

async fn instance_key(conn: &mut Conn) -> Result<[u8; 32]> {
    query("INSERT INTO meta (name, value) VALUES ('instance_key', $1) ON CONFLICT (name) DO NOTHING")
        .bind(&random_key()[..])
        .execute(conn)
        .await?;
    let row = query("SELECT value FROM meta WHERE name = 'instance_key'").fetch_one(conn).await?;
    let key: Vec<u8> = row.try_get("value")?;
    key.try_into().map_err(|_| StoreError::Corrupt {
        table: "meta",
        column: "value",
        detail: "the instance key must have 32 bytes".into(),
    })
}
