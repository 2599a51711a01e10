//! Codegen's own list of repositories: the last one that was read.

use super::db::{many, query, runs};
use super::errors::Result;
use super::{Store, meta};
use crate::model::clock::Timestamp;

impl Store {
    /// Replaces the list by a newer one: full names with their ids.
    pub async fn save_repos(&self, repos: &[(String, i64)]) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        query("DELETE FROM repos").execute(&mut tx).await?;
        for run in runs(repos) {
            let again = "ON CONFLICT (full_name) DO UPDATE SET id = excluded.id";
            let mut query = many("INSERT INTO repos (full_name, id, saved_at)", run.len(), 3, again);
            for (full_name, id) in run {
                query = query.bind(full_name.to_lowercase()).bind(*id).bind(now.0);
            }
            query.execute(&mut tx).await?;
        }
        meta::set(&mut tx, "repos_saved_at", now.0.to_string()).await?;
        tx.commit().await
    }

    /// The id of a repository; names differ in case only for people.
    pub async fn repo_id(&self, full_name: &str) -> Result<Option<i64>> {
        let mut conn = self.inner.db.read().await?;
        let row = query("SELECT id FROM repos WHERE full_name = $1")
            .bind(full_name.to_lowercase())
            .fetch_optional(&mut conn)
            .await?;
        row.map(|row| row.try_get("id")).transpose()
    }

    /// When the list was last replaced.
    pub async fn repos_saved_at(&self) -> Result<Option<Timestamp>> {
        let mut conn = self.inner.db.read().await?;
        let row = query("SELECT value FROM meta WHERE name = 'repos_saved_at'").fetch_optional(&mut conn).await?;
        let Some(row) = row else { return Ok(None) };
        let value: Vec<u8> = row.try_get("value")?;
        Ok(String::from_utf8_lossy(&value).parse().ok().map(Timestamp))
    }
}
