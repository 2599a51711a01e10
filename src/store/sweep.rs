//! Forgetting: what is older than it need be goes, a few hundred rows a transaction so that nobody waits for it.

use std::time::Duration;

use super::Store;
use super::errors::Result;
use super::sqlite::begin;
use crate::model::limits::CallClass;

/// Rows that go in one transaction, at most.
const ROWS: i64 = 500;

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bodies; longer while an open job needs them.
    pub bodies: Duration,
    /// Deliveries with their verdicts, ended jobs with their events, prompts and runs.
    pub records: Duration,
    /// Claims and attempts: what makes a cause one run.
    pub claims: Duration,
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Bodies.
    pub bodies: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Ended jobs.
    pub jobs: u64,
    /// Claims and attempts.
    pub claims: u64,
    /// Calls, heads, checks and subjects.
    pub others: u64,
}

const OPEN: &str = "('queued', 'held', 'submitting', 'uncertain', 'running', 'lost')";

impl Store {
    /// Forgets what is older than it need be.
    pub async fn sweep(&self, retention: &Retention) -> Result<Swept> {
        let now = self.inner.clock.now();
        let (bodies, records, claims) =
            (now.minus(retention.bodies).0, now.minus(retention.records).0, now.minus(retention.claims).0);
        let longest = CallClass::ALL.into_iter().map(|class| self.inner.limits.of(class).per).max().unwrap_or_default();
        let mut swept = Swept {
            bodies: self
                .forget(
                    "bodies",
                    &format!(
                        "delivery IN (SELECT b.delivery FROM bodies b WHERE b.received_at < $1 AND NOT EXISTS \
                         (SELECT 1 FROM job_events e JOIN jobs j ON j.id = e.job WHERE e.delivery = b.delivery \
                         AND j.state IN {OPEN}) LIMIT $2)"
                    ),
                    bodies,
                )
                .await?,
            deliveries: self
                .forget(
                    "deliveries",
                    &format!(
                        "id IN (SELECT d.id FROM deliveries d WHERE d.received_at < $1 AND NOT EXISTS \
                         (SELECT 1 FROM job_events e JOIN jobs j ON j.id = e.job WHERE e.delivery = d.id \
                         AND j.state IN {OPEN}) LIMIT $2)"
                    ),
                    records,
                )
                .await?,
            ..Swept::default()
        };
        // What belongs to a job goes before it, so that a sweep that stops half-way leaves nothing that nobody finds.
        let ended =
            format!("(SELECT id FROM jobs WHERE ended_at < $1 AND state NOT IN {OPEN} ORDER BY ended_at LIMIT $2)");
        for table in ["job_events", "prompts", "runs"] {
            self.forget_of_jobs(table, &ended, records).await?;
        }
        swept.jobs = self.forget("jobs", &format!("id IN {ended} AND NOT EXISTS (SELECT 1 FROM job_events e WHERE e.job = jobs.id) AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.job = jobs.id)"), records).await?;
        swept.claims = self.forget_older("claims", "claimed_at", claims).await?
            + self.forget_older("attempts", "made_at", claims).await?;
        swept.others = self.forget_older("calls", "ended_at", now.minus(longest).0).await?
            + self.forget_older("heads", "seen_at", records).await?
            + self.forget_older("checks", "seen_at", records).await?
            + self.forget_older("subjects", "updated_at", claims).await?;
        Ok(swept)
    }

    async fn forget_older(&self, table: &str, column: &str, before: i64) -> Result<u64> {
        self.forget(table, &format!("rowid IN (SELECT rowid FROM {table} WHERE {column} < $1 LIMIT $2)"), before).await
    }

    /// Deletes in transactions of at most [`ROWS`] rows until nothing is left to delete.
    async fn forget(&self, table: &str, which: &str, before: i64) -> Result<u64> {
        let sql = format!("DELETE FROM {table} WHERE {which}");
        let mut gone = 0;
        loop {
            let mut writer = self.inner.writer.lock().await;
            let mut tx = begin(&mut writer).await?;
            let deleted = sqlx::query(sqlx::AssertSqlSafe(sql.clone()))
                .bind(before)
                .bind(ROWS)
                .execute(&mut *tx)
                .await?
                .rows_affected();
            tx.commit().await?;
            gone += deleted;
            if deleted < ROWS as u64 {
                return Ok(gone);
            }
        }
    }

    /// The same for rows that belong to ended jobs.
    async fn forget_of_jobs(&self, table: &str, ended: &str, before: i64) -> Result<u64> {
        self.forget(table, &format!("job IN {ended}"), before).await
    }
}
