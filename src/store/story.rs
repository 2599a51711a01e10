//! Looking for what a person points at, and all that hangs on it: deliveries, jobs, subjects, pauses, notices.

use std::collections::BTreeSet;

use super::db::{Conn, Row, query};
use super::errors::Result;
use super::filing::{FILED, UNFILED, shelves};
use super::lists::{Page, PageRequest, cut, limit, open_cursor};
use super::{Store, notices, pauses, rows};
use crate::model::clock::Timestamp;
use crate::model::delivery::DeliveryRecord;
use crate::model::id::first_id;
use crate::model::job::Job;
use crate::model::notice::Notice;
use crate::model::pause::Pause;
use crate::model::subject::{Facts, KnownSubject};

/// Rows of each sort that a story has at most: the newest.
const MOST: i64 = 100;

/// Head commits of a subject that are looked at: the newest.
const HEADS: i64 = 20;

/// What is looked for; everything that fits one of the lists is found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sought {
    /// Keys of subjects; jobs in them as a context are found, too.
    pub subjects: BTreeSet<String>,
    /// Commits, or how they begin.
    pub shas: BTreeSet<String>,
    /// Objects of a host that a happening is about, e.g. `"github.com/check_run/17"`.
    pub objects: BTreeSet<String>,
    /// Ids of deliveries.
    pub deliveries: BTreeSet<String>,
    /// Ids of jobs.
    pub jobs: BTreeSet<String>,
    /// Ids of runs at the service.
    pub runs: BTreeSet<i64>,
}

/// What was found, oldest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// The deliveries.
    pub deliveries: Vec<DeliveryRecord>,
    /// The jobs.
    pub jobs: Vec<Job>,
    /// Open notices about the subjects.
    pub notices: Vec<Notice>,
    /// Every pause in force.
    pub pauses: Vec<Pause>,
}

const DELIVERIES: &str = "SELECT d.* FROM deliveries d WHERE";
const OF_SUBJECT: &str = "d.subject = $1";
const OF_SHA: &str = "d.sha >= $1 AND d.sha < $1 || 'g'";
// '0' is the character after '/'.
const OF_OBJECT: &str =
    "d.happening >= $1 AND d.happening < $1 || '0' AND (d.happening = $1 OR d.happening > $1 || '/')";
const BY_ID: &str = "d.id = $1";
const OF_JOB: &str = "d.id IN (SELECT e.delivery FROM job_events e WHERE e.job = $1)";

const JOB_OF_SUBJECT: &str = "j.subject = $1";
const JOB_WITHIN: &str = "j.context = $1 AND j.context <> j.subject";
const JOB_OF_SHA: &str = "j.sha >= $1 AND j.sha < $1 || 'g'";
const JOB_BY_ID: &str = "j.id = $1";
const JOB_OF_RUN: &str = "j.run = $1";
const JOB_OF_DELIVERY: &str = "j.id IN (SELECT e.job FROM job_events e WHERE e.delivery = $1)";

impl Store {
    /// Everything that hangs on what is sought.
    pub async fn story(&self, sought: &Sought) -> Result<Found> {
        let mut conn = self.inner.db.read().await?;
        let mut jobs = Jobs::default();
        for (condition, values) in [
            (JOB_OF_SUBJECT, &sought.subjects),
            (JOB_WITHIN, &sought.subjects),
            (JOB_OF_SHA, &sought.shas),
            (JOB_BY_ID, &sought.jobs),
        ] {
            for value in values {
                jobs.read(&mut conn, condition, Value::Text(value)).await?;
            }
        }
        for run in &sought.runs {
            jobs.read(&mut conn, JOB_OF_RUN, Value::Number(*run)).await?;
        }
        let mut deliveries = Deliveries::default();
        let by = [(OF_SUBJECT, &sought.subjects), (OF_SHA, &sought.shas), (OF_OBJECT, &sought.objects)];
        let pointed: Vec<(&str, &str)> =
            by.iter().flat_map(|(condition, values)| values.iter().map(|value| (*condition, value.as_str()))).collect();
        if !self.inner.db.is_shared() && !pointed.is_empty() {
            // What is not filed is walked through: once for all of them, and before it may be filed.
            let (condition, values) = any_of(&pointed);
            deliveries.read(&mut conn, &format!("{UNFILED} AND ({condition})"), &values).await?;
        }
        for (condition, value) in pointed {
            deliveries.read(&mut conn, &format!("{FILED} AND {condition}"), &[value]).await?;
        }
        for value in &sought.deliveries {
            deliveries.read(&mut conn, BY_ID, &[value]).await?;
        }
        let asked_for: Vec<String> = deliveries.found.iter().map(|delivery| delivery.id.clone()).collect();
        for delivery in &asked_for {
            jobs.read(&mut conn, JOB_OF_DELIVERY, Value::Text(delivery)).await?;
        }
        for job in &jobs.found {
            deliveries.read(&mut conn, OF_JOB, &[&job.id]).await?;
        }
        let mut notices = Vec::new();
        let about: BTreeSet<&String> =
            sought.subjects.iter().chain(jobs.found.iter().map(|job| &job.subject)).collect();
        for subject in about {
            notices.extend(notices::about(&mut conn, subject).await?);
        }
        let pauses = pauses::in_force(&mut conn, self.inner.clock.now()).await?;
        let Jobs { found: mut jobs, .. } = jobs;
        let Deliveries { found: mut deliveries, .. } = deliveries;
        jobs.sort_by(|left, right| left.id.cmp(&right.id));
        deliveries.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(Found { deliveries, jobs, notices, pauses })
    }

    /// The subjects of a change or issue of a repository, by its number; of any host if none is given.
    pub async fn subjects_numbered(&self, host: Option<&str>, repo: &str, number: u64) -> Result<Vec<KnownSubject>> {
        let mut conn = self.inner.db.read().await?;
        let found = query(
            "SELECT key, facts FROM subjects WHERE repo = $1 AND change_number = $2 AND ($3 = '' OR host = $3) \
             UNION SELECT key, facts FROM subjects WHERE repo = $1 AND change_number IS NULL AND key = host || '/' || $1 || $4 \
             AND ($3 = '' OR host = $3)",
        )
        .bind(repo)
        .bind(number as i64)
        .bind(host.unwrap_or_default())
        .bind(format!("#{number}"))
        .fetch_all(&mut conn)
        .await?;
        found.iter().map(known).collect()
    }

    /// The subjects of a ticket, by its key: those that are called so, and those of deliveries of its project.
    pub async fn subjects_called(&self, key: &str) -> Result<BTreeSet<String>> {
        let mut conn = self.inner.db.read().await?;
        let mut found: BTreeSet<String> =
            texts(&mut conn, "SELECT subject FROM aliases WHERE alias = $1", &[key]).await?;
        if found.is_empty() {
            let project = key.rsplit_once('-').map_or(key, |(project, _)| project);
            // No wildcard of its own: a project's key may hold "_".
            let ends = format!("%/{}", key.replace('_', "\\_"));
            for shelf in shelves(self.inner.db.is_shared()) {
                let sql = format!(
                    "SELECT DISTINCT d.subject FROM deliveries d WHERE {shelf} AND d.repo = $1 \
                     AND d.subject LIKE $2 ESCAPE '\\'"
                );
                found.extend(texts(&mut conn, &sql, &[project, &ends]).await?);
            }
        }
        Ok(found)
    }

    /// The subjects whose head a commit was; the commit may be cut short.
    pub async fn subjects_at(&self, sha: &str) -> Result<BTreeSet<String>> {
        let mut conn = self.inner.db.read().await?;
        texts(&mut conn, "SELECT subject FROM heads WHERE sha >= $1 AND sha < $1 || 'g' LIMIT 100", &[sha]).await
    }

    /// The newest commits that a subject's head was at: deliveries that name only the commit belong to it.
    pub async fn heads_of(&self, subject: &str) -> Result<BTreeSet<String>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!("SELECT sha FROM heads WHERE subject = $1 ORDER BY seen_at DESC LIMIT {HEADS}");
        let found = query(sql).bind(subject).fetch_all(&mut conn).await?;
        found.iter().map(|row| row.try_get("sha")).collect()
    }

    /// What is known of a subject, by its key.
    pub async fn facts(&self, subject: &str) -> Result<Option<Facts>> {
        let mut conn = self.inner.db.read().await?;
        let row =
            query("SELECT key, facts FROM subjects WHERE key = $1").bind(subject).fetch_optional(&mut conn).await?;
        Ok(row.as_ref().map(known).transpose()?.map(|known| known.facts))
    }

    /// The last delivery of a repository or project.
    pub async fn last_of_repo(&self, repo: &str) -> Result<Option<DeliveryRecord>> {
        let mut conn = self.inner.db.read().await?;
        let mut last: Option<DeliveryRecord> = None;
        for shelf in shelves(self.inner.db.is_shared()) {
            let sql = format!("{DELIVERIES} {shelf} AND d.repo = $1 ORDER BY d.id DESC LIMIT 1");
            for row in query(sql).bind(repo).fetch_all(&mut conn).await? {
                let found = rows::delivery(&row)?;
                last = last.filter(|last| last.id > found.id).or(Some(found));
            }
        }
        Ok(last)
    }

    /// A page of what came from one moment until another, oldest first; without what was only replayed.
    pub async fn deliveries_between(
        &self,
        from: Timestamp,
        until: Timestamp,
        source: Option<&str>,
        page: &PageRequest,
    ) -> Result<Page<DeliveryRecord>> {
        let after = page.cursor.as_deref().map(open_cursor).transpose()?.unwrap_or_else(|| first_id(from));
        let mut conn = self.inner.db.read().await?;
        let sql = "SELECT d.* FROM deliveries d WHERE d.id > $1 AND d.id < $4 AND d.replay_of IS NULL \
                   AND ($2 = '' OR d.source = $2) ORDER BY d.id LIMIT $3";
        let found = query(sql)
            .bind(after)
            .bind(source.unwrap_or_default())
            .bind(limit(page) as i64 + 1)
            .bind(first_id(Timestamp(until.0.saturating_add(1))))
            .fetch_all(&mut conn)
            .await?;
        let items = found.iter().map(rows::delivery).collect::<Result<Vec<_>>>()?;
        Ok(cut(items, page, |delivery| delivery.id.clone()))
    }
}

/// What a condition compares with.
enum Value<'a> {
    Text(&'a str),
    Number(i64),
}

/// Jobs, each once.
#[derive(Debug, Default)]
struct Jobs {
    seen: BTreeSet<String>,
    found: Vec<Job>,
}

impl Jobs {
    async fn read(&mut self, conn: &mut Conn, condition: &'static str, value: Value<'_>) -> Result<()> {
        let sql = format!("{} WHERE {condition} ORDER BY j.id DESC LIMIT {MOST}", rows::JOB);
        let query = query(sql);
        let query = match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
        };
        for row in query.fetch_all(conn).await? {
            let job = rows::job(&row)?;
            if (self.found.len() as i64) < MOST && self.seen.insert(job.id.clone()) {
                self.found.push(job);
            }
        }
        Ok(())
    }
}

/// Deliveries, each once.
#[derive(Debug, Default)]
struct Deliveries {
    seen: BTreeSet<String>,
    found: Vec<DeliveryRecord>,
}

impl Deliveries {
    async fn read(&mut self, conn: &mut Conn, condition: &str, values: &[&str]) -> Result<()> {
        let sql = format!("{DELIVERIES} {condition} ORDER BY d.id DESC LIMIT {MOST}");
        let query = values.iter().fold(query(sql), |query, value| query.bind(*value));
        for row in query.fetch_all(conn).await? {
            let delivery = rows::delivery(&row)?;
            if (self.found.len() as i64) < MOST && self.seen.insert(delivery.id.clone()) {
                self.found.push(delivery);
            }
        }
        Ok(())
    }
}

/// Conditions on one value each as one condition on all of them.
fn any_of<'v>(pointed: &[(&str, &'v str)]) -> (String, Vec<&'v str>) {
    let conditions: Vec<_> =
        pointed.iter().zip(1..).map(|((condition, _), at)| condition.replace("$1", &format!("${at}"))).collect();
    (conditions.join(" OR "), pointed.iter().map(|(_, value)| *value).collect())
}

async fn texts(conn: &mut Conn, sql: &str, values: &[&str]) -> Result<BTreeSet<String>> {
    let query = values.iter().fold(query(sql), |query, value| query.bind(*value));
    query.fetch_all(conn).await?.iter().map(|row| row.try_get("subject")).collect()
}

fn known(row: &Row) -> Result<KnownSubject> {
    Ok(KnownSubject { key: row.try_get("key")?, facts: rows::json("subjects", "facts", row.try_get("facts")?)? })
}

#[cfg(test)]
mod tests {
    use super::super::db;
    use super::*;

    /// With a million deliveries and jobs every other way reads all of them.
    #[tokio::test]
    async fn whatever_is_pointed_at_is_found_by_an_index() {
        let (_folder, mut conn) = db::empty().await;
        let by = [OF_SUBJECT, OF_SHA, OF_OBJECT, "d.repo = $1"];
        let filed = by.iter().map(|it| format!("{DELIVERIES} {FILED} AND {it}"));
        let (any, values) = any_of(&by.map(|it| (it, "x")));
        let unfiled = format!("{DELIVERIES} {UNFILED} AND ({any})");
        let deliveries: Vec<_> =
            [BY_ID, OF_JOB].map(|it| format!("{DELIVERIES} {it}")).into_iter().chain(filed).chain([unfiled]).collect();
        let jobs = [JOB_OF_SUBJECT, JOB_WITHIN, JOB_OF_SHA, JOB_BY_ID, JOB_OF_RUN, JOB_OF_DELIVERY]
            .map(|it| format!("{} WHERE {it}", rows::JOB));
        for (sql, id) in
            deliveries.into_iter().map(|sql| (sql, "d.id")).chain(jobs.into_iter().map(|sql| (sql, "j.id")))
        {
            let explain = format!("EXPLAIN QUERY PLAN {sql} ORDER BY {id} DESC LIMIT {MOST}");
            let values = if sql.contains("$2") { &values[..] } else { &["x"] };
            let query = values.iter().fold(query(explain), |query, value| query.bind(*value));
            let rows = query.fetch_all(&mut conn).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
            assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{sql}: {plan:#?}");
            // Those that are not filed yet are walked through, and no others.
            let walks = plan.iter().any(|step| step.contains("deliveries_unfiled (unfiled=?)"));
            assert_eq!(walks, sql.contains(UNFILED), "{sql}: {plan:#?}");
        }
    }
}
