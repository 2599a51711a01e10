//! What becomes of a further event of a rule and key: joins, comes late or makes a job; folded in memory for a group.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::db::{Tx, many, query, runs};
use super::errors::Result;
use super::jobs::{self, NewJob};
use super::rows;
use crate::model::clock::Timestamp;
use crate::model::event::Event;
use crate::model::id::new_id;
use crate::model::job::{JobRequest, JobState};
use crate::model::policy::Priority;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Standing {
    New(String),
    Joins(String),
    /// The one run of its key was sent already; the job that it came too late for.
    Late(String),
    /// The one run of its key works already; a new job that tells it.
    FollowUp(String),
}

/// An event on its way into a job.
#[derive(Debug)]
pub(super) struct Arriving<'g> {
    pub(super) delivery: &'g str,
    pub(super) source: &'g str,
    pub(super) received_at: Timestamp,
    pub(super) event: &'g Event,
}

/// The job of a rule and key that counts for joining, and what the group does to it.
#[derive(Debug)]
struct Newest<'g> {
    id: String,
    state: JobState,
    created_at: Timestamp,
    settled_by: Timestamp,
    due_at: Timestamp,
    sha: Option<String>,
    failing: bool,
    /// Whether it was sent before and came back.
    tried: bool,
    /// How many events are stored.
    events: i64,
    revision: i64,
    added: Vec<Arriving<'g>>,
    /// What asked for it, when the group makes it.
    made: Option<(&'g JobRequest, &'g str)>,
    /// Its run, once that is known.
    run: Option<i64>,
    /// Whether its run was told of late events already, or is to be.
    followed: bool,
    /// The job whose run it tells, and that run.
    follows: Option<(String, Option<i64>)>,
}

/// The jobs that a group touches.
#[derive(Debug, Default)]
pub(super) struct Jobs<'g> {
    newest: HashMap<(&'g str, &'g str), Option<Newest<'g>>>,
}

impl<'g> Jobs<'g> {
    /// Lets an event join, or makes a job for it, or finds it late. Nothing is written before [`Self::write`].
    pub(super) async fn take(
        &mut self,
        tx: &mut Tx,
        request: &'g JobRequest,
        arriving: Arriving<'g>,
        now: Timestamp,
    ) -> Result<Standing> {
        use JobState::{Failed, Held, Lost, Queued, Running, Stopped, Submitting, Succeeded, Uncertain};
        let place = (request.rule.as_str(), request.key.as_str());
        let found = match self.newest.entry(place) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(newest(tx, place).await?),
        };
        match found {
            Some(job) if matches!(job.state, Queued | Held) => {
                job.join(request, arriving, now);
                Ok(Standing::Joins(job.id.clone()))
            }
            Some(job)
                if request.per_commit
                    && request.follow_up
                    && !job.followed
                    && matches!(job.state, Submitting | Uncertain | Running) =>
            {
                let follow_up = job.follow_up(request, arriving, now);
                let id = follow_up.id.clone();
                *found = Some(follow_up);
                Ok(Standing::FollowUp(id))
            }
            Some(job)
                if request.per_commit
                    && matches!(job.state, Submitting | Uncertain | Running | Succeeded | Failed | Stopped | Lost) =>
            {
                Ok(Standing::Late(job.id.clone()))
            }
            _ => {
                let job = Newest::make(request, arriving, found.as_ref().map(|before| before.created_at), now);
                let id = job.id.clone();
                *found = Some(job);
                Ok(Standing::New(id))
            }
        }
    }

    /// When the first of them is due.
    pub(super) fn first_due(&self) -> Option<Timestamp> {
        self.newest.values().flatten().filter(|job| !job.added.is_empty()).map(|job| job.due_at).min()
    }

    /// Writes what was made and what joined.
    pub(super) async fn write(self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let touched: Vec<_> = self.newest.into_values().flatten().filter(|job| !job.added.is_empty()).collect();
        let made: Vec<_> = touched.iter().filter_map(Newest::as_new).collect();
        jobs::insert(tx, &made, now).await?;
        for job in touched.iter().filter(|job| job.made.is_none()) {
            job.update(tx, now).await?;
        }
        let events: Vec<_> = touched
            .iter()
            .flat_map(|job| job.added.iter().zip(job.events..).map(|(arriving, seq)| (&job.id, seq, arriving)))
            .collect();
        for run in runs(&events) {
            let mut query = many("INSERT INTO job_events (job, seq, delivery, received_at, event)", run.len(), 5, "");
            for (job, seq, arriving) in run {
                query = query
                    .bind(*job)
                    .bind(*seq)
                    .bind(arriving.delivery)
                    .bind(arriving.received_at.0)
                    .bind(rows::to_json(arriving.event));
            }
            query.execute(tx).await?;
        }
        Ok(())
    }
}

impl<'g> Newest<'g> {
    /// A new job. It is made after its predecessor even if the clock has not moved on: ids tell which is newer.
    fn make(request: &'g JobRequest, arriving: Arriving<'g>, before: Option<Timestamp>, now: Timestamp) -> Self {
        let created_at = before.map_or(now, |before| now.max(Timestamp(before.0 + 1)));
        let settled_by = created_at.plus(request.settle_max);
        Self {
            id: new_id(created_at),
            state: JobState::Queued,
            created_at,
            settled_by,
            due_at: now.plus(request.settle).min(settled_by),
            sha: request.sha.clone(),
            failing: request.failing,
            tried: false,
            events: 0,
            revision: 0,
            made: Some((request, arriving.source)),
            added: vec![arriving],
            run: None,
            followed: false,
            follows: None,
        }
    }

    /// A job that tells the run of this one.
    fn follow_up(&self, request: &'g JobRequest, arriving: Arriving<'g>, now: Timestamp) -> Self {
        let follows = Some((self.id.clone(), self.run));
        Self { follows, ..Self::make(request, arriving, Some(self.created_at), now) }
    }

    fn join(&mut self, request: &JobRequest, arriving: Arriving<'g>, now: Timestamp) {
        let settled = now.plus(request.settle).min(self.settled_by);
        // News shortens no backoff.
        self.due_at = if self.tried { settled.max(self.due_at) } else { settled };
        if request.sha.is_some() {
            self.sha.clone_from(&request.sha);
        }
        self.failing |= request.failing;
        self.added.push(arriving);
    }

    fn as_new(&self) -> Option<NewJob<'_>> {
        let (request, source) = self.made?;
        Some(NewJob {
            id: &self.id,
            rule: &request.rule,
            source,
            key: &request.key,
            subject: &request.subject,
            context: if request.context.is_empty() { &request.subject } else { &request.context },
            file: &request.file,
            person: request.person.as_deref(),
            priority: if self.follows.is_some() { Priority::People } else { request.priority },
            action: request.action,
            resumes: request.follow_up,
            target: self.follows.as_ref().and_then(|(_, run)| *run),
            follows: self.follows.as_ref().map(|(job, _)| job.as_str()),
            message: None,
            stale_on: request.stale_on,
            repo: request.repo.as_deref(),
            sha: self.sha.as_deref(),
            failing: self.failing,
            created_at: self.created_at,
            due_at: self.due_at,
            settled_by: self.settled_by,
            events: self.added.len() as i64,
            retry_of: None,
            reason: "",
        })
    }

    async fn update(&self, tx: &mut Tx, now: Timestamp) -> Result<()> {
        let changed = query(
            "UPDATE jobs SET events = $2, due_at = $3, sha = $4, updated_at = $5, failing = $7, \
             revision = revision + 1 WHERE id = $1 AND revision = $6 AND open = 1",
        )
        .bind(&self.id)
        .bind(self.events + self.added.len() as i64)
        .bind(self.due_at.0)
        .bind(&self.sha)
        .bind(now.0)
        .bind(self.revision)
        .bind(i64::from(self.failing))
        .execute(tx)
        .await?;
        jobs::affected_one(changed, &self.id)
    }
}

/// The open job of a rule and key, which may be older than one that it superseded; else the newest that is no follow-up.
const NEWEST: &str = "SELECT j.id, j.state, j.open, j.created_at, j.settled_by, j.due_at, j.sha, j.failing, j.tries, j.events, \
    j.revision, j.run, EXISTS (SELECT 1 FROM jobs f WHERE f.follows = j.id AND f.key = j.key AND f.state <> 'superseded') \
    AS followed FROM jobs j WHERE j.id = COALESCE((SELECT id FROM jobs WHERE rule = $1 AND key = $2 AND open = 1), \
    (SELECT MAX(id) FROM jobs WHERE rule = $1 AND key = $2 AND open = 0 AND follows IS NULL))";

async fn newest<'g>(tx: &mut Tx, (rule, key): (&str, &str)) -> Result<Option<Newest<'g>>> {
    let row = query(NEWEST).bind(rule).bind(key).fetch_optional(tx).await?;
    row.map(|row| {
        let state = rows::state(row.try_get("state")?)?;
        // Held, but it may have a run: to events it is like any other that was sent.
        let unsettled = state == JobState::Held && row.try_get::<i64>("open")? == 0;
        Ok(Newest {
            id: row.try_get("id")?,
            state: if unsettled { JobState::Uncertain } else { state },
            created_at: Timestamp(row.try_get("created_at")?),
            settled_by: Timestamp(row.try_get("settled_by")?),
            due_at: Timestamp(row.try_get("due_at")?),
            sha: row.try_get("sha")?,
            failing: row.try_get::<i64>("failing")? == 1,
            tried: row.try_get::<i64>("tries")? > 0,
            events: row.try_get("events")?,
            revision: row.try_get("revision")?,
            added: Vec::new(),
            made: None,
            run: row.try_get("run")?,
            followed: row.try_get::<i64>("followed")? == 1,
            follows: None,
        })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::super::db;
    use super::*;

    /// Every delivery that makes a job asks it.
    #[tokio::test]
    async fn the_newest_job_of_a_key_is_found_by_the_key() {
        let (_folder, mut conn) = db::empty().await;
        let explain = query(format!("EXPLAIN QUERY PLAN {NEWEST}")).bind("x").bind("x");
        let rows = explain.fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
        for index in ["jobs_open (rule=? AND key=?)", "jobs_of_key (rule=? AND key=?)", "jobs_following (follows=?)"] {
            assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:#?}");
        }
        assert!(!plan.iter().any(|step| step.starts_with("SCAN j")), "{plan:#?}");
    }
}
