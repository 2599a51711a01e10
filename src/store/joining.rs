//! What becomes of a further event of a rule and key: joins, comes late or makes a job; folded in memory for a group.

use std::collections::HashMap;

use sqlx::Row;

use super::errors::Result;
use super::rows;
use super::sqlite::Tx;
use crate::model::clock::Timestamp;
use crate::model::event::Event;
use crate::model::id::new_id;
use crate::model::job::{JobRequest, JobState};

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New(String),
    Joins(String),
    /// The one run of its key was sent already; the job that it came too late for.
    Late(String),
}

/// An event on its way into a job.
#[derive(Debug)]
pub(super) struct Arriving<'a> {
    pub(super) delivery: &'a str,
    pub(super) source: &'a str,
    pub(super) received_at: Timestamp,
    pub(super) event: &'a Event,
}

/// The newest job of a rule and key, and what the group adds to it.
#[derive(Debug)]
struct Newest {
    id: String,
    state: JobState,
    fresh: bool,
    /// Whether it was sent before and came back.
    tried: bool,
    settled_by: Timestamp,
    due_at: Timestamp,
    stored_events: i64,
    added: Vec<(String, Timestamp, String)>,
}

/// The jobs that a group touches.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    newest: HashMap<(String, String), Option<Newest>>,
}

impl Jobs {
    /// Lets an event join, or makes a job for it, or finds it late. Nothing is written before [`Self::write`], except
    /// that a fresh job takes its row at once.
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx<'_>,
        request: &JobRequest,
        arriving: &Arriving<'_>,
        now: Timestamp,
    ) -> Result<Standing> {
        let place = (request.rule.clone(), request.key.clone());
        if !self.newest.contains_key(&place) {
            let found = newest(tx, &place).await?;
            self.newest.insert(place.clone(), found);
        }
        if let Some(Some(job)) = self.newest.get_mut(&place) {
            use JobState::{Failed, Lost, Running, Stopped, Submitting, Succeeded, Uncertain};
            match job.state {
                JobState::Queued | JobState::Held => {
                    let settled = now.plus(request.settle).min(job.settled_by);
                    // News shortens no backoff.
                    job.due_at = if job.tried { settled.max(job.due_at) } else { settled };
                    job.added.push(added(arriving));
                    return Ok(Standing::Joins(job.id.clone()));
                }
                Submitting | Uncertain | Running | Succeeded | Failed | Stopped | Lost if request.per_commit => {
                    return Ok(Standing::Late(job.id.clone()));
                }
                _ => {}
            }
        }
        let job = insert(tx, request, arriving, now).await?;
        let id = job.id.clone();
        self.newest.insert(place, Some(job));
        Ok(Standing::New(id))
    }

    /// Writes what joined.
    pub(super) async fn write(self, tx: &mut Tx<'_>, now: Timestamp) -> Result<()> {
        for job in self.newest.into_values().flatten().filter(|job| !job.added.is_empty()) {
            for (at, (delivery, received_at, event)) in job.added.iter().enumerate() {
                sqlx::query(
                    "INSERT INTO job_events (job, seq, delivery, received_at, event) VALUES ($1, $2, $3, $4, $5)",
                )
                .bind(&job.id)
                .bind(job.stored_events + at as i64)
                .bind(delivery)
                .bind(received_at.0)
                .bind(event)
                .execute(&mut **tx)
                .await?;
            }
            let events = job.stored_events + job.added.len() as i64;
            sqlx::query(
                "UPDATE jobs SET events = $2, due_at = $3, updated_at = $4, revision = revision + $5 WHERE id = $1",
            )
            .bind(&job.id)
            .bind(events)
            .bind(job.due_at.0)
            .bind(now.0)
            .bind(i64::from(!job.fresh))
            .execute(&mut **tx)
            .await?;
        }
        Ok(())
    }
}

fn added(arriving: &Arriving<'_>) -> (String, Timestamp, String) {
    (arriving.delivery.to_owned(), arriving.received_at, rows::to_json(arriving.event))
}

async fn newest(tx: &mut Tx<'_>, (rule, key): &(String, String)) -> Result<Option<Newest>> {
    let row = sqlx::query(
        "SELECT id, state, settled_by, due_at, events, tries FROM jobs WHERE rule = $1 AND key = $2 ORDER BY id DESC LIMIT 1",
    )
    .bind(rule)
    .bind(key)
    .fetch_optional(&mut **tx)
    .await?;
    row.map(|row| {
        Ok(Newest {
            id: row.try_get("id")?,
            state: rows::state(row.try_get("state")?)?,
            fresh: false,
            tried: row.try_get::<i64, _>("tries")? > 0,
            settled_by: Timestamp(row.try_get("settled_by")?),
            due_at: Timestamp(row.try_get("due_at")?),
            stored_events: row.try_get("events")?,
            added: Vec::new(),
        })
    })
    .transpose()
}

async fn insert(tx: &mut Tx<'_>, request: &JobRequest, arriving: &Arriving<'_>, now: Timestamp) -> Result<Newest> {
    let id = new_id(now);
    let settled_by = now.plus(request.settle_max);
    let due_at = now.plus(request.settle).min(settled_by);
    super::jobs::insert(
        tx,
        &super::jobs::NewJob {
            id: &id,
            rule: &request.rule,
            source: arriving.source,
            key: &request.key,
            subject: &request.subject,
            repo: request.repo.as_deref(),
            sha: request.sha.as_deref(),
            due_at,
            settled_by,
            retry_of: None,
            reason: "",
        },
        now,
    )
    .await?;
    Ok(Newest {
        id,
        state: JobState::Queued,
        fresh: true,
        tried: false,
        settled_by,
        due_at,
        stored_events: 0,
        added: vec![added(arriving)],
    })
}
