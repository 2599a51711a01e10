//! Many jobs at once: what waits within a scope, what runs in it, and cancelling by rule, state and time.

use super::db::{Query, Row, query};
use super::errors::{Result, StoreError};
use super::{Store, rows};
use crate::model::clock::Timestamp;
use crate::model::job::{Job, JobState};
use crate::model::pause::Paused;

/// An hour and a day in milliseconds: the ages by which a backlog is told.
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// Which jobs that were never sent; `None` or empty is any.
#[derive(Clone, Debug, Default)]
pub struct BulkFilter {
    /// In one of these states; only `queued` and `held` have such jobs.
    pub states: Vec<JobState>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Made by a delivery of this source.
    pub source: Option<String>,
    /// In this repository or project.
    pub repo: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
    /// Made at this moment or later.
    pub made_from: Option<Timestamp>,
    /// Made before this moment.
    pub made_before: Option<Timestamp>,
}

/// What waits of one rule.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Backlog {
    /// The rule.
    pub rule: String,
    /// Its queued jobs.
    pub waiting: u64,
    /// Those of them made within the last hour.
    pub within_hour: u64,
    /// Those made within the last day, but not within the last hour.
    pub within_day: u64,
    /// Those that are older.
    pub older: u64,
    /// When the first was made.
    pub oldest: Timestamp,
}

impl Store {
    /// How many jobs there are that were never sent, and the oldest of them.
    pub async fn cancellable(&self, filter: &BulkFilter, examples: u32) -> Result<(u64, Vec<Job>)> {
        let chosen = Chosen::of(filter);
        let mut conn = self.inner.db.read().await?;
        let count = format!("SELECT COUNT(*) AS count FROM jobs j WHERE {}", chosen.sql);
        let row = chosen.bind(&count).fetch_one(&mut conn).await?;
        let sql = format!("{} WHERE {} ORDER BY j.id LIMIT {examples}", rows::JOB, chosen.sql);
        let found = chosen.bind(&sql).fetch_all(&mut conn).await?;
        let jobs = found.iter().map(rows::job).collect::<Result<_>>()?;
        Ok((row.try_get::<i64>("count")?.max(0) as u64, jobs))
    }

    /// Cancels the oldest of them, at most `limit` in one transaction; answers how many.
    pub async fn cancel_many(&self, filter: &BulkFilter, limit: u32, reason: &str) -> Result<u64> {
        let mut chosen = Chosen::of(filter);
        let ids = format!("SELECT j.id FROM jobs j WHERE {} ORDER BY j.id LIMIT {limit}", chosen.sql);
        let now = self.inner.clock.now();
        let (at, why) = (chosen.add(Value::Number(now.0)), chosen.add(Value::Text(reason.to_owned())));
        let sql = format!(
            "UPDATE jobs SET state = 'cancelled', reason = ${why}, updated_at = ${at}, ended_at = ${at}, \
             revision = revision + 1 WHERE id IN ({ids})"
        );
        let mut tx = self.inner.db.begin().await?;
        let cancelled = chosen.bind(&sql).execute(&mut tx).await?;
        tx.commit_and_wake().await?;
        Ok(cancelled)
    }

    /// What waits within a scope, by rule and age.
    pub async fn backlog(&self, what: &Paused) -> Result<Vec<Backlog>> {
        let mut chosen = Chosen::waiting_in(what);
        let now = self.inner.clock.now().0;
        let (hour, day) = (chosen.add(Value::Number(now - HOUR)), chosen.add(Value::Number(now - DAY)));
        let sql = format!(
            "SELECT j.rule, COUNT(*) AS waiting, MIN(j.created_at) AS oldest, \
             SUM(CASE WHEN j.created_at >= ${hour} THEN 1 ELSE 0 END) AS within_hour, \
             SUM(CASE WHEN j.created_at < ${day} THEN 1 ELSE 0 END) AS older \
             FROM jobs j WHERE {} GROUP BY j.rule ORDER BY j.rule",
            chosen.sql
        );
        let mut conn = self.inner.db.read().await?;
        chosen.bind(&sql).fetch_all(&mut conn).await?.iter().map(backlog).collect()
    }

    /// The queued jobs within a scope, oldest first.
    pub async fn waiting_in(&self, what: &Paused, limit: u32) -> Result<Vec<Job>> {
        let chosen = Chosen::waiting_in(what);
        let sql = format!("{} WHERE {} ORDER BY j.id LIMIT {limit}", rows::JOB, chosen.sql);
        let mut conn = self.inner.db.read().await?;
        chosen.bind(&sql).fetch_all(&mut conn).await?.iter().map(rows::job).collect()
    }

    /// The newest job of every run within a scope that has not ended.
    pub async fn running_in(&self, what: &Paused) -> Result<Vec<Job>> {
        let chosen = Chosen::within(what, "j.active = 1 AND j.state = 'running' AND j.run IS NOT NULL");
        let sql = format!("{} WHERE {} ORDER BY j.id DESC", rows::JOB, chosen.sql);
        let mut conn = self.inner.db.read().await?;
        let found: Vec<Job> =
            chosen.bind(&sql).fetch_all(&mut conn).await?.iter().map(rows::job).collect::<Result<_>>()?;
        let mut seen = std::collections::HashSet::new();
        Ok(found.into_iter().filter(|job| job.run.as_ref().is_some_and(|run| seen.insert(run.id))).collect())
    }

    /// How many jobs within a scope are being sent, or may have been: they may have a run that is not known yet.
    pub async fn being_sent_in(&self, what: &Paused) -> Result<u64> {
        let chosen = Chosen::within(what, "j.active = 1 AND j.run IS NULL AND j.action NOT IN ('ban', 'unban')");
        let sql = format!("SELECT COUNT(*) AS n FROM jobs j WHERE {}", chosen.sql);
        let mut conn = self.inner.db.read().await?;
        let row = chosen.bind(&sql).fetch_one(&mut conn).await?;
        Ok(row.try_get::<i64>("n")?.max(0) as u64)
    }
}

fn backlog(row: &Row) -> Result<Backlog> {
    let count = |column| Ok::<_, StoreError>(row.try_get::<i64>(column)?.max(0) as u64);
    let (waiting, within_hour, older) = (count("waiting")?, count("within_hour")?, count("older")?);
    Ok(Backlog {
        rule: row.try_get("rule")?,
        waiting,
        within_hour,
        within_day: waiting.saturating_sub(within_hour + older),
        older,
        oldest: Timestamp(row.try_get("oldest")?),
    })
}

#[derive(Clone, Debug)]
enum Value {
    Text(String),
    Number(i64),
}

/// A condition on jobs with the values that it binds.
#[derive(Debug)]
struct Chosen {
    sql: String,
    values: Vec<Value>,
}

impl Chosen {
    /// Never sent: one that was sent and is held may have a run that a person must name first.
    fn of(filter: &BulkFilter) -> Self {
        let mut chosen = Self { sql: "j.open = 1 AND j.submitted_at IS NULL".to_owned(), values: Vec::new() };
        let texts = [
            ("j.rule", &filter.rule),
            ("j.source", &filter.source),
            ("j.repo", &filter.repo),
            ("j.subject", &filter.subject),
        ];
        for (column, value) in texts {
            if let Some(value) = value {
                let at = chosen.add(Value::Text(value.clone()));
                chosen.and(&format!("{column} = ${at}"));
            }
        }
        for (comparison, at) in [("j.created_at >=", filter.made_from), ("j.created_at <", filter.made_before)] {
            if let Some(at) = at {
                let at = chosen.add(Value::Number(at.0));
                chosen.and(&format!("{comparison} ${at}"));
            }
        }
        // Said even where every state will do: jobs are found by it, within a rule, a repository or alone.
        let states = if filter.states.is_empty() { &[JobState::Queued, JobState::Held] } else { &filter.states[..] };
        let states: Vec<_> = states.iter().map(|state| chosen.add(Value::Text(state.as_str().to_owned()))).collect();
        let states: Vec<_> = states.iter().map(|at| format!("${at}")).collect();
        chosen.and(&format!("j.state IN ({})", states.join(", ")));
        chosen
    }

    fn waiting_in(what: &Paused) -> Self {
        Self::within(what, "j.state = 'queued'")
    }

    fn within(what: &Paused, state: &str) -> Self {
        let mut chosen = Self { sql: state.to_owned(), values: Vec::new() };
        let column = match what {
            Paused::All => return chosen,
            Paused::Source(_) => "j.source = $1",
            Paused::Repo(_) => "j.repo = $1",
            Paused::Rule(_) => "j.rule = $1",
            Paused::Subject(_) => "(j.subject = $1 OR j.context = $1)",
        };
        chosen.add(Value::Text(what.name().to_owned()));
        chosen.and(column);
        chosen
    }

    /// Binds one more value; answers its number.
    fn add(&mut self, value: Value) -> usize {
        self.values.push(value);
        self.values.len()
    }

    fn and(&mut self, condition: &str) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
    }

    /// A statement with every value bound. Its text is ours; what is asked for is always bound.
    fn bind(&self, sql: &str) -> Query<'static> {
        let mut query = query(sql.to_owned());
        for value in self.values.iter().cloned() {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        query
    }
}

#[cfg(test)]
mod tests {
    use super::super::db;
    use super::*;

    /// With a million jobs that have ended every other way reads all of them.
    #[tokio::test]
    async fn what_was_never_sent_is_found_without_walking_what_was() {
        let (_folder, mut conn) = db::empty().await;
        let named = |name: &str| Some(name.to_owned());
        for (filter, index) in [
            (BulkFilter::default(), "jobs_by_state (state=?"),
            (BulkFilter { rule: named("fix"), ..BulkFilter::default() }, "jobs_by_rule (rule=? AND state=?"),
            (BulkFilter { repo: named("acme/widgets"), ..BulkFilter::default() }, "jobs_by_repo (repo=? AND state=?"),
            (BulkFilter { subject: named("s"), ..BulkFilter::default() }, "jobs_of_subject (subject=?"),
        ] {
            let chosen = Chosen::of(&filter);
            for what in ["SELECT COUNT(*) AS count", "SELECT j.id"] {
                let order = if what.contains("COUNT") { "" } else { "ORDER BY j.id LIMIT 5" };
                let sql = format!("EXPLAIN QUERY PLAN {what} FROM jobs j WHERE {} {order}", chosen.sql);
                let plan = chosen.bind(&sql).fetch_all(&mut conn).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
                assert!(plan[0].contains(index), "{filter:?}: {plan:#?}");
            }
        }
    }
}
