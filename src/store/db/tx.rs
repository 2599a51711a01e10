//! A write: begun at once, committed off the threads that answer requests, taken back when it is dropped.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};

use super::checkpoint::Checkpoints;
use super::{Conn, Link, closed, postgres, sqlite};
use crate::store::errors::{Result, StoreError};

/// How long a write waits for a SQLite file that another program holds, and how often it looks.
const LOCKED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(20));

/// A write transaction. Dropped without a commit, nothing of it has happened.
#[derive(Debug)]
pub(in crate::store) struct Tx {
    /// Empty once it has ended.
    conn: Option<OwnedMutexGuard<Conn>>,
    told: Told,
}

/// Who is told of a commit.
#[derive(Clone, Debug)]
pub(super) struct Told {
    /// Those who wait for something to do.
    pub(super) wake: Arc<Notify>,
    /// What folds the log of a file.
    pub(super) log: Option<Arc<Checkpoints>>,
}

impl Told {
    fn tell(&self, wakes: bool) {
        if let Some(log) = &self.log {
            log.note();
        }
        if wakes {
            self.wake.notify_waiters();
        }
    }
}

/// Begins on the connection that writes. In SQLite at once for writing: a plain BEGIN that reads and then writes fails
/// under contention.
pub(super) async fn begin(mut conn: OwnedMutexGuard<Conn>, told: Told) -> Result<Tx> {
    let Conn { link, lost, .. } = &mut *conn;
    let begun = match link {
        Link::Sqlite(link) => begin_sqlite(link).await,
        Link::Postgres(link) => {
            // Whoever stops waiting here, or is told of an error, may have begun: a new session knows nothing of it.
            *lost = true;
            postgres::tell(link, postgres::BEGIN).await
        }
        Link::Closed => Err(closed()),
    };
    conn.noted(begun)?;
    (conn.lost, conn.failed) = (false, false);
    Ok(Tx { conn: Some(conn), told })
}

async fn begin_sqlite(conn: &mut rusqlite::Connection) -> Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        let begun = conn.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        match begun {
            Ok(_) => return Ok(()),
            Err(error) if sqlite::is_locked(&error) && waited < LOCKED.0 => {
                tokio::time::sleep(LOCKED.1).await;
                waited += LOCKED.1;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Tx {
    /// Commits: `Ok` means that everything is on the disk. It goes on even if nobody waits for it any more.
    pub(in crate::store) async fn commit(self) -> Result<()> {
        self.end(false).await
    }

    /// The same on a thread of one's own, which nobody else needs; wakes all who wait if that is wanted.
    pub(in crate::store) async fn commit_here(mut self, wakes: bool) -> Result<()> {
        match self.conn.take() {
            Some(mut conn) if matches!(conn.link, Link::Sqlite(_)) => commit_sqlite(&mut conn)?,
            conn => return Self { conn, told: self.told.clone() }.end(wakes).await,
        }
        self.told.tell(wakes);
        Ok(())
    }

    /// Commits, and wakes all who wait for something to do, in every process.
    pub(in crate::store) async fn commit_and_wake(self) -> Result<()> {
        self.end(true).await
    }

    async fn end(mut self, wakes: bool) -> Result<()> {
        let Some(mut conn) = self.conn.take() else { return Err(closed()) };
        let told = self.told.clone();
        let committing = async move {
            if matches!(conn.link, Link::Sqlite(_)) {
                // The sync of a commit may take long: it holds up no thread that others need.
                let committed = tokio::task::spawn_blocking(move || commit_sqlite(&mut conn)).await;
                return committed.map_err(|_| StoreError::Busy("the commit was abandoned".to_owned()))?;
            }
            if conn.failed {
                abandon(&mut conn).await;
                return Err(StoreError::Busy("a statement of the transaction failed".to_owned()));
            }
            let Link::Postgres(link) = &mut conn.link else { return Err(closed()) };
            let committed = postgres::tell(link, if wakes { postgres::COMMIT_AND_TELL } else { "COMMIT" }).await;
            conn.lost |= committed.is_err();
            conn.noted(committed)
        };
        // A task of its own: a caller who goes away in the middle must not leave the cluster waiting.
        tokio::spawn(committing).await.map_err(|_| StoreError::Busy("the commit was abandoned".to_owned()))??;
        told.tell(wakes);
        Ok(())
    }

    /// Takes everything back.
    pub(in crate::store) async fn rollback(mut self) {
        if let Some(mut conn) = self.conn.take() {
            abandon(&mut conn).await;
        }
    }
}

fn commit_sqlite(conn: &mut Conn) -> Result<()> {
    let Link::Sqlite(link) = &conn.link else { return Err(closed()) };
    let committed = link.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    if committed.is_err() && !link.is_autocommit() {
        let _ = link.execute_batch("ROLLBACK");
    }
    let committed = committed.map(drop).map_err(StoreError::from);
    conn.noted(committed)
}

async fn abandon(conn: &mut Conn) {
    let gone = match &mut conn.link {
        Link::Sqlite(conn) if conn.is_autocommit() => Ok(()),
        Link::Sqlite(conn) => conn.execute_batch("ROLLBACK").map_err(StoreError::from),
        Link::Postgres(conn) => postgres::tell(conn, "ROLLBACK").await,
        Link::Closed => Ok(()),
    };
    // A session that cannot even do that is replaced, which ends its transaction.
    conn.lost |= gone.is_err();
}

impl Drop for Tx {
    fn drop(&mut self) {
        let Some(mut conn) = self.conn.take() else { return };
        match (&conn.link, tokio::runtime::Handle::try_current()) {
            // In the middle of a statement: the session is closed, which ends its transaction.
            (Link::Postgres(_), _) if conn.lost => conn.link = Link::Closed,
            // The cluster waits for the lock of this transaction.
            (Link::Postgres(_), Ok(runtime)) => drop(runtime.spawn(async move { abandon(&mut conn).await })),
            (Link::Sqlite(link), _) if !link.is_autocommit() => conn.lost |= link.execute_batch("ROLLBACK").is_err(),
            _ => conn.lost |= conn.is_postgres(),
        }
    }
}

impl Deref for Tx {
    type Target = Conn;

    fn deref(&self) -> &Conn {
        self.conn.as_deref().unwrap_or_else(|| unreachable!("a transaction that has ended is gone"))
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Conn {
        self.conn.as_deref_mut().unwrap_or_else(|| unreachable!("a transaction that has ended is gone"))
    }
}
