//! Notices: what a person should know of, once for each thing, until it is settled. And the attempts behind a hand-off.

use serde_json::{Value, json};

use super::db::{Conn, Row, Tx, query};
use super::errors::{Result, StoreError};
use super::lists::{Page, PageRequest};
use super::{Store, rows};
use crate::model::clock::Timestamp;
use crate::model::id::new_id;
use crate::model::job::Job;
use crate::model::notice::{Notice, NoticeKind};

/// What is to be said.
#[derive(Debug)]
pub(super) struct Saying<'a> {
    pub(super) kind: NoticeKind,
    /// The subject, or the budget.
    pub(super) about: &'a str,
    /// The job that gives rise to it.
    pub(super) job: &'a Job,
    pub(super) text: &'a str,
    pub(super) details: Value,
}

/// Says it, unless the same is said and not settled; whether it was new.
pub(super) async fn say(tx: &mut Tx, saying: &Saying<'_>, now: Timestamp) -> Result<bool> {
    let said = query(
        "INSERT INTO notices (id, kind, about, rule, job, said_at, text, details) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kind, about) WHERE settled_at IS NULL DO NOTHING",
    )
    .bind(new_id(now))
    .bind(saying.kind.as_str())
    .bind(saying.about)
    .bind(&saying.job.rule)
    .bind(&saying.job.id)
    .bind(now.0)
    .bind(saying.text)
    .bind(rows::to_json(&saying.details))
    .execute(tx)
    .await?;
    Ok(said == 1)
}

/// Settles what is said of one thing.
pub(super) async fn settle(tx: &mut Tx, kind: NoticeKind, about: &str, now: Timestamp) -> Result<()> {
    query("UPDATE notices SET settled_at = $3 WHERE kind = $1 AND about = $2 AND settled_at IS NULL")
        .bind(kind.as_str())
        .bind(about)
        .bind(now.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// What is said of a kind and not settled.
pub(super) async fn open(conn: &mut Conn, kind: NoticeKind) -> Result<Vec<Notice>> {
    let found = query("SELECT * FROM notices WHERE kind = $1 AND settled_at IS NULL ORDER BY id")
        .bind(kind.as_str())
        .fetch_all(conn)
        .await?;
    found.iter().map(notice).collect()
}

/// What is said of one thing and not settled.
pub(super) async fn about(conn: &mut Conn, about: &str) -> Result<Vec<Notice>> {
    let mut found = Vec::new();
    // By kind and thing, which is the index.
    for kind in NoticeKind::ALL {
        let row = query("SELECT * FROM notices WHERE kind = $1 AND about = $2 AND settled_at IS NULL")
            .bind(kind.as_str())
            .bind(about)
            .fetch_optional(&mut *conn)
            .await?;
        found.extend(row.as_ref().map(notice).transpose()?);
    }
    Ok(found)
}

/// What was tried on a subject since its count was last reset, for a person who takes over.
pub(super) async fn tried(conn: &mut Conn, subject: &str) -> Result<Value> {
    let found = query(
        "SELECT a.sha, a.job, j.run, r.url, r.status FROM attempts a LEFT JOIN jobs j ON j.id = a.job \
         LEFT JOIN runs r ON r.id = j.run WHERE a.subject = $1 AND a.cleared_by IS NULL ORDER BY a.made_at, a.sha",
    )
    .bind(subject)
    .fetch_all(conn)
    .await?;
    let tried = found.iter().map(|row| {
        let text = |column| row.try_get::<Option<String>>(column);
        Ok(json!({
            "sha": text("sha")?,
            "job": text("job")?,
            "run": row.try_get::<Option<i64>>("run")?,
            "url": text("url")?,
            "status": text("status")?,
        }))
    });
    Ok(Value::Array(tried.collect::<Result<_>>()?))
}

fn notice(row: &Row) -> Result<Notice> {
    let kind: &str = row.try_get("kind")?;
    let known = NoticeKind::ALL.into_iter().find(|known| known.as_str() == kind);
    Ok(Notice {
        id: row.try_get("id")?,
        kind: known.ok_or_else(|| StoreError::Corrupt { table: "notices", column: "kind", detail: kind.to_owned() })?,
        about: row.try_get("about")?,
        rule: row.try_get("rule")?,
        job: row.try_get("job")?,
        said_at: Timestamp(row.try_get("said_at")?),
        settled_at: row.try_get::<Option<i64>>("settled_at")?.map(Timestamp),
        text: row.try_get("text")?,
        details: rows::json("notices", "details", row.try_get("details")?)?,
    })
}

impl Store {
    /// A page of notices, newest first: all, or those that are not settled.
    pub async fn notices(&self, open_only: bool, page: &PageRequest) -> Result<Page<Notice>> {
        let select = if open_only {
            "SELECT n.* FROM (SELECT * FROM notices WHERE settled_at IS NULL) n"
        } else {
            "SELECT n.* FROM notices n"
        };
        self.page_of(select, "n.id", page, notice, |notice| notice.id.clone()).await
    }

    /// A person has seen to it; once more changes nothing.
    pub async fn settle_notice(&self, id: &str) -> Result<()> {
        let mut tx = self.inner.db.begin().await?;
        let settled = query("UPDATE notices SET settled_at = COALESCE(settled_at, $2) WHERE id = $1")
            .bind(id)
            .bind(self.inner.clock.now().0)
            .execute(&mut tx)
            .await?;
        tx.commit().await?;
        if settled == 0 { Err(StoreError::NotFound(format!("notice {id}"))) } else { Ok(()) }
    }

    /// An operator has the attempts of a subject counted from zero again, which settles its hand-off; how many commits
    /// were counted.
    pub async fn reset_attempts(&self, subject: &str) -> Result<u64> {
        let mut tx = self.inner.db.begin().await?;
        let gone = query("DELETE FROM attempts WHERE subject = $1 AND cleared_by IS NULL")
            .bind(subject)
            .execute(&mut tx)
            .await?;
        query("DELETE FROM attempts WHERE subject = $1").bind(subject).execute(&mut tx).await?;
        settle(&mut tx, NoticeKind::HandOff, subject, self.inner.clock.now()).await?;
        tx.commit_and_wake().await?;
        Ok(gone)
    }
}
