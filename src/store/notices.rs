//! Notices: what a person should know of, until it is settled.

use sqlx::{AssertSqlSafe, Row};
use sqlx::sqlite::SqliteRow;

use super::errors::{Result, StoreError};
use super::lists::{Page, PageRequest, cut, limit, open_cursor};
use super::{Store, rows};
use crate::model::clock::Timestamp;
use crate::model::notice::{Notice, NoticeKind};

impl Store {
    /// A page of notices, newest first.
    pub async fn notices(&self, open_only: bool, page: &PageRequest) -> Result<Page<Notice>> {
        let open = if open_only { " AND settled_at IS NULL" } else { "" };
        let before = page.cursor.as_deref().map(open_cursor).transpose()?;
        let sql = format!("SELECT * FROM notices WHERE ($1 IS NULL OR id < $1){open} ORDER BY id DESC LIMIT $2");
        let mut conn = self.inner.readers.acquire().await?;
        let found =
            sqlx::query(AssertSqlSafe(sql)).bind(before).bind(limit(page) as i64 + 1).fetch_all(&mut *conn).await?;
        Ok(cut(found.iter().map(notice).collect::<Result<_>>()?, page, |notice| notice.id.clone()))
    }

    /// Settles a notice.
    pub async fn settle_notice(&self, id: &str) -> Result<()> {
        let mut writer = self.inner.writer.lock().await;
        let settled = sqlx::query("UPDATE notices SET settled_at = COALESCE(settled_at, $2) WHERE id = $1")
            .bind(id)
            .bind(self.inner.clock.now().0)
            .execute(&mut *writer)
            .await?;
        if settled.rows_affected() == 0 { Err(StoreError::NotFound(format!("notice {id}"))) } else { Ok(()) }
    }

    /// Counts the attempts of a subject from zero again and settles its hand-off; answers how many were counted.
    pub async fn reset_attempts(&self, subject: &str) -> Result<u64> {
        let mut writer = self.inner.writer.lock().await;
        let mut tx = super::sqlite::begin(&mut writer).await?;
        let counted = sqlx::query("DELETE FROM attempts WHERE subject = $1").bind(subject).execute(&mut *tx).await?;
        sqlx::query("UPDATE notices SET settled_at = $2 WHERE about = $1 AND kind = 'hand_off' AND settled_at IS NULL")
            .bind(subject)
            .bind(self.inner.clock.now().0)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        drop(writer);
        self.wake();
        Ok(counted.rows_affected())
    }
}

fn notice(row: &SqliteRow) -> Result<Notice> {
    let kind: &str = row.try_get("kind")?;
    let known = NoticeKind::ALL.into_iter().find(|known| known.as_str() == kind);
    Ok(Notice {
        id: row.try_get("id")?,
        kind: known.ok_or_else(|| StoreError::Corrupt { table: "notices", column: "kind", detail: kind.to_owned() })?,
        about: row.try_get("about")?,
        rule: row.try_get("rule")?,
        job: row.try_get("job")?,
        said_at: Timestamp(row.try_get("said_at")?),
        settled_at: row.try_get::<Option<i64>, _>("settled_at")?.map(Timestamp),
        text: row.try_get("text")?,
        details: rows::json("notices", "details", row.try_get("details")?)?,
    })
}
