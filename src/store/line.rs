//! The line: in which order waiting jobs are sent, as far as it can be told before their time comes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};

use super::db::query;
use super::errors::Result;
use super::{Store, queue, rows};
use crate::model::clock::Timestamp;
use crate::model::job::Job;
use crate::model::pause::Paused;
use crate::model::policy::Action;

/// Lanes that are looked at.
const LANES: u32 = 256;
/// Jobs that are looked at in all, and of one lane at least.
const JOBS: usize = 2048;
const OF_LANE: usize = 8;

/// Every lane that has a queued job, by walking the index of lanes.
const ALL_LANES: &str = "WITH RECURSIVE walk (lane) AS ( \
     SELECT MIN(queued_lane) FROM jobs WHERE queued_lane IS NOT NULL UNION ALL \
     SELECT (SELECT MIN(j.queued_lane) FROM jobs j WHERE j.queued_lane > walk.lane) FROM walk \
     WHERE walk.lane IS NOT NULL) \
     SELECT walk.lane, COALESCE(l.served_at, 0) AS served_at FROM walk LEFT JOIN lanes l ON l.lane = walk.lane \
     WHERE walk.lane IS NOT NULL LIMIT $1";

/// The first of a lane that no run on their context holds up.
const OF_ONE_LANE: &str = "SELECT id, priority, queued_due, due_at, action, rule, source, repo, subject, context \
     FROM jobs j WHERE queued_lane = $1 AND (j.action IN ('tell', 'ban', 'unban') \
     OR NOT EXISTS (SELECT 1 FROM jobs a WHERE a.busy = j.context)) \
     ORDER BY queued_due, id LIMIT $2";

/// The beginning of the line.
#[derive(Clone, Debug, Default)]
pub struct Line {
    order: Vec<String>,
    positions: HashMap<String, usize>,
}

impl Line {
    /// Where a job stands, from 1; `None` when it is held up by a pause or a run on its context, or too far behind.
    pub fn position(&self, job: &str) -> Option<usize> {
        self.positions.get(job).map(|at| at + 1)
    }

    /// The ids of those in it, next one first.
    pub fn order(&self) -> &[String] {
        &self.order
    }
}

/// A job in its lane.
#[derive(Debug)]
struct Waiting {
    id: String,
    rank: i64,
    /// From when it is waited for.
    since: i64,
    /// From when it may be sent.
    due: i64,
}

/// A lane with what is known of it.
#[derive(Debug)]
struct Lane {
    served_at: i64,
    jobs: VecDeque<Waiting>,
    /// Whether there are more than were read.
    more: bool,
}

impl Store {
    /// The line as it stands now: what is due by priority and age, lanes by turns; then what is not due yet, by its time.
    /// What these pauses concern is not in it.
    pub async fn line(&self, pauses: &[Paused]) -> Result<Line> {
        let mut conn = self.inner.db.read().await?;
        let now = self.inner.clock.now();
        let found = query(ALL_LANES).bind(i64::from(LANES)).fetch_all(&mut conn).await?;
        let each = (JOBS / found.len().max(1)).max(OF_LANE);
        let mut lanes = Vec::with_capacity(found.len());
        for row in &found {
            let rows = query(OF_ONE_LANE).bind(row.try_get::<&str>("lane")?).bind(each as i64).fetch_all(&mut conn);
            let rows = rows.await?;
            let mut jobs = VecDeque::new();
            for job in &rows {
                let scopes = Job {
                    rule: job.try_get("rule")?,
                    source: job.try_get("source")?,
                    repo: job.try_get("repo")?,
                    subject: job.try_get("subject")?,
                    context: job.try_get("context")?,
                    ..Job::default()
                };
                let action: &str = job.try_get("action")?;
                let speaks = [Action::Ban, Action::Unban].map(Action::as_str).contains(&action);
                if speaks || !pauses.iter().any(|pause| pause.concerns(&scopes)) {
                    jobs.push_back(Waiting {
                        id: job.try_get("id")?,
                        rank: job.try_get("priority")?,
                        since: job.try_get("due_at")?,
                        due: job.try_get("queued_due")?,
                    });
                }
            }
            lanes.push(Lane { served_at: row.try_get("served_at")?, jobs, more: rows.len() == each });
        }
        let order = order(lanes, now);
        let positions = order.iter().enumerate().map(|(at, id)| (id.clone(), at)).collect();
        Ok(Line { order, positions })
    }

    /// These jobs, in this order; those that are gone are left out.
    pub async fn jobs_of(&self, ids: &[String]) -> Result<Vec<Job>> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut conn = self.inner.db.read().await?;
        let places: Vec<_> = (1..=ids.len()).map(|at| format!("${at}")).collect();
        let sql = format!("{} WHERE j.id IN ({})", rows::JOB, places.join(", "));
        let query = ids.iter().fold(query(sql), |query, id| query.bind(id.clone()));
        let found = query.fetch_all(&mut conn).await?.iter().map(rows::job).collect::<Result<Vec<_>>>()?;
        let mut found: HashMap<String, Job> = found.into_iter().map(|job| (job.id.clone(), job)).collect();
        Ok(ids.iter().filter_map(|id| found.remove(id)).collect())
    }
}

/// Serves the lanes in thought. Where a lane ends that has more than was read, nobody knows who comes next.
fn order(mut lanes: Vec<Lane>, now: Timestamp) -> Vec<String> {
    let mut later: Vec<(i64, String)> = Vec::new();
    let mut heads = BinaryHeap::new();
    let head = |lane: &Lane, at: usize| {
        let job = lane.jobs.front().filter(|job| job.due <= now.0)?;
        let aged = (now.0 - job.since) / queue::AGE.as_millis() as i64;
        Some(Reverse(((job.rank - aged).max(0), lane.served_at, job.since, job.id.clone(), at)))
    };
    heads.extend(lanes.iter().enumerate().filter_map(|(at, lane)| head(lane, at)));
    let (mut order, mut turn) = (Vec::new(), now.0);
    while let Some(Reverse((_, _, _, id, at))) = heads.pop() {
        order.push(id);
        turn += 1;
        let lane = &mut lanes[at];
        lane.served_at = turn;
        lane.jobs.pop_front();
        if lane.jobs.is_empty() && lane.more {
            return order;
        }
        heads.extend(head(lane, at));
    }
    let known_until =
        lanes.iter().filter(|lane| lane.more).filter_map(|lane| lane.jobs.back()).map(|job| job.due).min();
    for lane in lanes {
        later.extend(lane.jobs.into_iter().map(|job| (job.due, job.id)));
    }
    later.sort_unstable();
    order.extend(later.into_iter().filter(|(due, _)| known_until.is_none_or(|end| *due <= end)).map(|(_, id)| id));
    order
}
