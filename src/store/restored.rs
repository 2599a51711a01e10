//! A database that comes from a backup: what may have been sent since the backup was made is looked for before it is sent.

use super::db::{Conn, Tx, query};
use super::errors::Result;
use super::{jobs, meta};
use crate::model::clock::Timestamp;
use crate::model::job::JobState;

/// Where a backup says when it was made; the database that it was made from has no such row.
const MADE_AT: &str = "backup_made_at";

/// Marks a copy as a backup.
pub(super) async fn mark(conn: &mut Conn, at: Timestamp) -> Result<()> {
    meta::set(conn, MADE_AT, at.0.to_string()).await
}

/// Doubts every job of a restored backup that was waiting to be sent: the life that went on after the backup may have sent
/// it. What would have made a run that carries our metadata is looked for in the list of runs, back to the time of the
/// backup; what tells a run something, or carries none, a person settles. A ban does the same twice and stays.
pub(super) async fn doubt(tx: &mut Tx, now: Timestamp) -> Result<()> {
    let row = query("SELECT value FROM meta WHERE name = $1").bind(MADE_AT).fetch_optional(tx).await?;
    let Some(row) = row else { return Ok(()) };
    let made_at = String::from_utf8_lossy(row.try_get("value")?).parse::<i64>().unwrap_or(0);
    let waiting = query(
        "SELECT id, CASE WHEN action = 'run' AND target IS NULL AND follows IS NULL THEN 1 ELSE 0 END AS listed FROM jobs \
         WHERE state = 'queued' AND action IN ('run', 'tell', 'setup_commands')",
    );
    let waiting = waiting.fetch_all(tx).await?;
    for row in &waiting {
        let id: &str = row.try_get("id")?;
        let reason = "restored from a backup: it may have been sent since";
        let mut to = vec![JobState::Submitting, JobState::Uncertain];
        to.extend((!row.try_get::<bool>("listed")?).then_some(JobState::Held));
        let mut from = JobState::Queued;
        for to in to {
            jobs::change(tx, &jobs::Change { job: id, from: &[from], to, reason, due_at: None }, now).await?;
            from = to;
        }
        query("UPDATE jobs SET submitted_at = $2, answered_at = $3 WHERE id = $1")
            .bind(id)
            .bind(made_at)
            .bind(now.0)
            .execute(tx)
            .await?;
    }
    query("DELETE FROM meta WHERE name = $1").bind(MADE_AT).execute(tx).await?;
    let made_at = Timestamp(made_at).to_rfc3339();
    tracing::warn!(jobs = waiting.len(), made_at, "started from a backup: what waited may have been sent since");
    Ok(())
}
