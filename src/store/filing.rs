//! Filing: the indexes by which people look deliveries up are written behind them, when it is quiet, many at once.
//!
//! Written with each delivery, every one of those indexes would cost a page of its own: most of what a delivery costs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Inner;
use super::db::{Conn, Tx, query};
use super::errors::{Result, StoreError};
use super::writer::GROUP;

/// The parts of the deliveries, as conditions: those that are not filed yet, and those that are.
pub(super) const UNFILED: &str = "d.unfiled = 1";
pub(super) const FILED: &str = "d.unfiled = 0";

/// The parts, in the order in which to look at them: what is filed meanwhile is then seen twice and not missed. A database that
/// others share files at once, and has no index by which it would find that nothing is left.
pub(super) fn shelves(shared: bool) -> &'static [&'static str] {
    if shared { &[FILED] } else { &[UNFILED, FILED] }
}

/// How long nothing must arrive before filing begins.
pub(super) const QUIET: Duration = Duration::from_secs(1);

/// How many may wait: looking something up walks once through them, which takes a tenth of a second. With more, some are
/// filed as part of a group, and deliveries are taken half as fast.
const WAITING: u64 = 100_000;

/// How many are filed in one transaction: others wait for it. Far more than a group holds, because what is filed together
/// shares pages.
const AT_ONCE: u64 = 500;
const _: () = assert!(AT_ONCE > GROUP as u64, "what waits must become less");

/// How many deliveries are not filed yet.
#[derive(Debug, Default)]
pub(super) struct Unfiled(AtomicU64);

impl Unfiled {
    /// Those that a process before this one has left.
    pub(super) async fn read(conn: &mut Conn) -> Result<Self> {
        // There everything is filed at once.
        if conn.is_postgres() {
            return Ok(Self::default());
        }
        let row = query("SELECT COUNT(*) AS n FROM deliveries WHERE unfiled = 1").fetch_one(conn).await?;
        Ok(Self(AtomicU64::new(row.try_get::<i64>("n")? as u64)))
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Files some as part of a group: when too many wait, and when deliveries come so slowly that each is a group of its own,
    /// but never so slowly that it is quiet. Always more than the group holds, so that it ends.
    pub(super) async fn keep_up(&self, tx: &mut Tx, group: usize) -> Result<u64> {
        match self.0.load(Ordering::Relaxed) {
            waiting if waiting > WAITING => file(tx, AT_ONCE).await,
            waiting if waiting > 0 && group == 1 => file(tx, 2).await,
            _ => Ok(0),
        }
    }

    /// Notes what was committed. Only who commits groups changes the number.
    pub(super) fn note(&self, arrived: usize, filed: u64) {
        let waiting = self.0.load(Ordering::Relaxed) + arrived as u64;
        self.0.store(waiting.saturating_sub(filed), Ordering::Relaxed);
    }

    /// Notes that fewer were found than asked for: none is left, whatever was forgotten meanwhile.
    fn note_end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

/// Files the oldest; how many there were.
async fn file(tx: &mut Tx, most: u64) -> Result<u64> {
    query(
        "UPDATE deliveries SET unfiled = 0 WHERE rowid IN \
         (SELECT rowid FROM deliveries WHERE unfiled = 1 ORDER BY rowid LIMIT $1)",
    )
    .bind(most as i64)
    .execute(tx)
    .await
}

/// Files everything, for a database that nobody adds to.
pub(super) async fn file_all(tx: &mut Tx) -> Result<()> {
    query("UPDATE deliveries SET unfiled = 0 WHERE unfiled = 1").execute(tx).await.map(drop)
}

/// Files some while it is quiet; how long to wait before the next. What fails is tried again.
pub(super) async fn while_quiet(inner: &Inner) -> Duration {
    if !inner.unfiled.any() {
        return QUIET;
    }
    let filing = async {
        let mut tx = inner.db.begin().await?;
        let filed = file(&mut tx, AT_ONCE).await?;
        tx.commit_here(false).await?;
        inner.unfiled.note(0, filed);
        if filed < AT_ONCE {
            inner.unfiled.note_end();
        }
        Ok::<_, StoreError>(())
    };
    match filing.await {
        Ok(()) => Duration::ZERO,
        Err(error) => {
            tracing::warn!(%error, "deliveries cannot be filed for looking them up; that is tried again");
            QUIET
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::db;
    use super::*;

    #[tokio::test]
    async fn with_too_many_waiting_a_group_files_many_of_the_oldest() {
        let (_folder, mut tx) = db::empty().await;
        query(
            "WITH RECURSIVE numbers (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1599) \
             INSERT INTO deliveries (id, source, secret_label, body_sha256, body_bytes, received_at, native, outcome, \
             reason, verdicts, unfiled) SELECT 'd' || n, '', '', '', 0, 0, '', '', '', '[]', 1 FROM numbers",
        )
        .execute(&mut tx)
        .await
        .unwrap();
        let unfiled = Unfiled(AtomicU64::new(0));
        assert_eq!(unfiled.keep_up(&mut tx, 1).await.unwrap(), 0);
        unfiled.note(WAITING as usize, 0);
        assert_eq!(unfiled.keep_up(&mut tx, 3).await.unwrap(), 0);
        unfiled.note(1, 0);
        assert_eq!(unfiled.keep_up(&mut tx, 3).await.unwrap(), 500);
        unfiled.note(0, 500);
        assert_eq!(unfiled.keep_up(&mut tx, 3).await.unwrap(), 0);
        let left = query("SELECT MIN(id) AS first FROM deliveries WHERE unfiled = 1").fetch_one(&mut tx).await.unwrap();
        assert_eq!(left.try_get::<&str>("first").unwrap(), "d1500");
        assert_eq!(Unfiled::read(&mut tx).await.unwrap().0.into_inner(), 100);
        assert_eq!(unfiled.keep_up(&mut tx, 1).await.unwrap(), 2, "one comes at a time");
    }
}
