//! What a person asks of a run that is there: to stop, to be let go on, or to do something more. Each is a job.

use super::db::query;
use super::errors::{Result, StoreError};
use super::{Store, jobs};
use crate::model::clock::Timestamp;
use crate::model::id::new_id;
use crate::model::job::{Job, StaleOn};
use crate::model::policy::{Action, Priority};

/// What is asked of a run.
#[derive(Clone, Copy, Debug)]
pub struct Asking<'a> {
    /// `Ban`, `Unban` or `Tell`.
    pub action: Action,
    /// The run.
    pub run: i64,
    /// Why there is such a job, in words that name who asked.
    pub reason: &'a str,
    /// What is said to it, for `Tell`.
    pub words: Option<&'a str>,
}

impl Store {
    /// Makes the job that asks something of the run of `of`; answers its id. While one waits that asks the same, that one
    /// is answered: a second click is no second call. Other words to the same run are refused until the first are sent.
    pub async fn ask_of_run(&self, of: &Job, asking: &Asking<'_>) -> Result<String> {
        let Asking { action, run, reason, words } = *asking;
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let key = format!("{}:{run}", action.as_str());
        let open = query("SELECT id, message FROM jobs WHERE rule = $1 AND key = $2 AND open = 1")
            .bind(&of.rule)
            .bind(&key)
            .fetch_optional(&mut tx)
            .await?;
        if let Some(row) = open {
            let (id, said): (String, Option<String>) = (row.try_get("id")?, row.try_get("message")?);
            if said.as_deref() == words {
                return Ok(id);
            }
            return Err(StoreError::Conflict(format!(
                "job {id} waits to tell run {run} something else: cancel it first"
            )));
        }
        // After the job that made the run even if the clock has not moved on: ids tell which is newer.
        let id = new_id(now.max(Timestamp(of.created_at.0 + 1)));
        let new = jobs::NewJob {
            id: &id,
            rule: &of.rule,
            source: &of.source,
            key: &key,
            subject: &of.subject,
            context: &of.context,
            file: &of.file,
            person: of.person.as_deref(),
            priority: Priority::People,
            action,
            resumes: false,
            target: Some(run),
            // It does not hang on the life of the run: one that has ended may be asked for more.
            follows: None,
            message: words,
            stale_on: StaleOn::default(),
            repo: of.repo.as_deref(),
            sha: of.sha.as_deref(),
            // What a person asks for is no attempt.
            failing: false,
            created_at: now,
            due_at: now,
            settled_by: now,
            events: 0,
            retry_of: None,
            reason,
        };
        jobs::insert(&mut tx, &[new], now).await?;
        tx.commit_and_wake().await?;
        Ok(id)
    }
}
