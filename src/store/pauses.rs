//! Pauses: what is not sent for now, by whom and until when.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::Store;
use super::errors::{Result, StoreError};
use super::sqlite::Conn;
use crate::model::clock::Timestamp;
use crate::model::pause::{Pause, Paused};

impl Store {
    /// Puts a pause in force; it replaces one of the same scope.
    pub async fn pause(&self, pause: &Pause) -> Result<()> {
        let mut writer = self.inner.writer.lock().await;
        sqlx::query(
            "INSERT INTO pauses (scope, name, reason, by_whom, since_at, until_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (scope, name) DO UPDATE SET reason = excluded.reason, by_whom = excluded.by_whom, \
             since_at = excluded.since_at, until_at = excluded.until_at",
        )
        .bind(pause.what.scope())
        .bind(pause.what.name())
        .bind(&pause.reason)
        .bind(&pause.by)
        .bind(pause.since.0)
        .bind(pause.until.map(|at| at.0))
        .execute(&mut *writer)
        .await?;
        Ok(())
    }

    /// Lifts a pause; answers whether there was one.
    pub async fn unpause(&self, what: &Paused) -> Result<bool> {
        let mut writer = self.inner.writer.lock().await;
        let lifted = sqlx::query("DELETE FROM pauses WHERE scope = $1 AND name = $2")
            .bind(what.scope())
            .bind(what.name())
            .execute(&mut *writer)
            .await?;
        drop(writer);
        self.wake();
        Ok(lifted.rows_affected() > 0)
    }

    /// The pauses in force.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let mut conn = self.inner.readers.acquire().await?;
        pauses_at(&mut conn, self.inner.clock.now()).await
    }
}

/// The pauses in force at a moment.
pub(super) async fn pauses_at(conn: &mut Conn, now: Timestamp) -> Result<Vec<Pause>> {
    let found = sqlx::query("SELECT * FROM pauses WHERE until_at IS NULL OR until_at > $1 ORDER BY since_at, scope, name")
        .bind(now.0)
        .fetch_all(conn)
        .await?;
    found.iter().map(pause).collect()
}

fn pause(row: &SqliteRow) -> Result<Pause> {
    let what = Paused::new(row.try_get("scope")?, row.try_get("name")?);
    Ok(Pause {
        what: what.map_err(|detail| StoreError::Corrupt { table: "pauses", column: "scope", detail })?,
        reason: row.try_get("reason")?,
        by: row.try_get("by_whom")?,
        since: Timestamp(row.try_get("since_at")?),
        until: row.try_get::<Option<i64>, _>("until_at")?.map(Timestamp),
    })
}
