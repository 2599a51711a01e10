//! A write: begun at once, committed off the threads that answer requests, taken back when it is dropped.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedMutexGuard};

use super::{Conn, Link, closed, postgres, sqlite};
use crate::store::errors::{Result, StoreError};

/// How long a write waits for a SQLite file that another program holds, and how often it looks.
const LOCKED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_millis(20));

/// A write transaction. Dropped without a commit, nothing of it has happened.
#[derive(Debug)]
pub(in crate::store) struct Tx {
    /// Empty once it has ended.
    conn: Option<OwnedMutexGuard<Conn>>,
    wake: Arc<Notify>,
}

/// Begins on the connection that writes. In SQLite at once for writing: a plain BEGIN that reads and then writes fails
/// under contention.
pub(super) async fn begin(mut conn: OwnedMutexGuard<Conn>, wake: Arc<Notify>) -> Result<Tx> {
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
    Ok(Tx { conn: Some(conn), wake })
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

    /// Commits, and wakes all who wait for something to do, in every process.
    pub(in crate::store) async fn commit_and_wake(self) -> Result<()> {
        self.end(true).await
    }

    async fn end(mut self, wakes: bool) -> Result<()> {
        let Some(mut conn) = self.conn.take() else { return Err(closed()) };
        let wake = Arc::clone(&self.wake);
        let committing = async move {
            if matches!(conn.link, Link::Sqlite(_)) {
                return commit_sqlite(conn).await;
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
        if wakes {
            wake.notify_waiters();
        }
        Ok(())
    }

    /// Takes everything back.
    pub(in crate::store) async fn rollback(mut self) {
        if let Some(mut conn) = self.conn.take() {
            abandon(&mut conn).await;
        }
    }
}

/// The sync of a commit may take long: it holds up no thread that others need.
async fn commit_sqlite(mut conn: OwnedMutexGuard<Conn>) -> Result<()> {
    let committed = tokio::task::spawn_blocking(move || {
        let Link::Sqlite(link) = &conn.link else { return Err(closed()) };
        let committed = link.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        if committed.is_err() && !link.is_autocommit() {
            let _ = link.execute_batch("ROLLBACK");
        }
        let committed = committed.map(drop).map_err(StoreError::from);
        conn.noted(committed)
    });
    committed.await.map_err(|_| StoreError::Busy("the commit was abandoned".to_owned()))?
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
