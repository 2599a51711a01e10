//! Pauses: what may not be sent for now. A row for each, whatever waits behind it.

use super::db::{Conn, query};
use super::errors::{Result, StoreError};
use super::{Store, queue};
use crate::model::clock::Timestamp;
use crate::model::pause::{Pause, Paused};

/// The pauses that are in force, the oldest first.
pub(super) async fn in_force(conn: &mut Conn, now: Timestamp) -> Result<Vec<Pause>> {
    let rows = query(
        "SELECT scope, name, reason, by_whom, since_at, until_at FROM pauses WHERE until_at IS NULL OR until_at > $1 \
         ORDER BY since_at, scope, name",
    )
    .bind(now.0)
    .fetch_all(conn)
    .await?;
    rows.iter()
        .map(|row| {
            let what = Paused::new(row.try_get("scope")?, row.try_get("name")?);
            Ok(Pause {
                what: what.map_err(|detail| StoreError::Corrupt { table: "pauses", column: "scope", detail })?,
                reason: row.try_get("reason")?,
                by: row.try_get("by_whom")?,
                since: Timestamp(row.try_get("since_at")?),
                until: row.try_get::<Option<i64>>("until_at")?.map(Timestamp),
            })
        })
        .collect()
}

impl Store {
    /// Stops sending what the pause is about, from the next release on; a pause of the same is replaced.
    pub async fn pause(&self, pause: &Pause) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        query(
            "INSERT INTO pauses (scope, name, reason, by_whom, since_at, until_at) VALUES ($1, $2, $3, $4, $5, $6) \
             ON CONFLICT (scope, name) DO UPDATE SET reason = excluded.reason, by_whom = excluded.by_whom, \
             since_at = excluded.since_at, until_at = excluded.until_at",
        )
        .bind(pause.what.scope())
        .bind(pause.what.name())
        .bind(&pause.reason)
        .bind(&pause.by)
        .bind(pause.since.0)
        .bind(pause.until.map(|until| until.0))
        .execute(&mut tx)
        .await?;
        tx.commit_and_wake().await
    }

    /// Lifts a pause; whether there was one in force. What waited is looked at again at once.
    pub async fn unpause(&self, what: &Paused) -> Result<bool> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let lifted = query("DELETE FROM pauses WHERE scope = $1 AND name = $2 RETURNING until_at")
            .bind(what.scope())
            .bind(what.name())
            .fetch_optional(&mut tx)
            .await?;
        let Some(row) = lifted else { return Ok(false) };
        let in_force = row.try_get::<Option<i64>>("until_at")?.is_none_or(|until| until > now.0);
        queue::unpark(&mut tx).await?;
        tx.commit_and_wake().await?;
        Ok(in_force)
    }

    /// The pauses that are in force.
    pub async fn pauses(&self) -> Result<Vec<Pause>> {
        let mut conn = self.inner.db.read().await?;
        in_force(&mut conn, self.inner.clock.now()).await
    }
}
