//! Reading for people: pages of deliveries, jobs and runs, single ones, counts.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;

use super::bodies::{PLACE, Unpacked};
use super::db::{Query, Row, Value, query};
use super::errors::{Result, StoreError};
use super::filing::shelves;
use super::{Store, jobs, rows};
use crate::model::clock::Timestamp;
use crate::model::delivery::{DeliveryOutcome, DeliveryRecord};
use crate::model::job::{Job, JobState};
use crate::model::run::{RunPhase, RunRecord};

/// Which part of a list is wanted.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// Items at most.
    pub limit: u32,
    /// Where the page before ended.
    pub cursor: Option<String>,
}

/// A part of a list, newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next page, if there is one; safe in a URL.
    pub next: Option<String>,
}

/// Which deliveries are wanted; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// Of this source.
    pub source: Option<String>,
    /// With this outcome.
    pub outcome: Option<DeliveryOutcome>,
    /// Of this kind, in our words.
    pub kind: Option<String>,
    /// About this repository or project.
    pub repo: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
}

/// Which jobs are wanted; `None` or empty is any.
#[derive(Clone, Debug, Default)]
pub struct JobFilter {
    /// In one of these states.
    pub states: Vec<JobState>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Made by a delivery of this source.
    pub source: Option<String>,
    /// About this repository or project.
    pub repo: Option<String>,
    /// About this subject.
    pub subject: Option<String>,
}

/// Which runs are wanted; `None` is any.
#[derive(Clone, Debug, Default)]
pub struct RunFilter {
    /// In this phase.
    pub phase: Option<RunPhase>,
    /// Of this rule.
    pub rule: Option<String>,
    /// Of this job.
    pub job: Option<String>,
}

/// A body as it arrived.
#[derive(Clone, Debug)]
pub struct StoredBody {
    /// The body.
    pub body: Bytes,
    /// The headers that are needed to understand it again.
    pub headers: Vec<(String, String)>,
    /// The source that sent it.
    pub source: String,
    /// The label of the secret that it was verified with.
    pub secret_label: String,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// How much a rule has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleCount {
    /// The rule.
    pub rule: String,
    /// Its jobs.
    pub jobs: u64,
    /// When the newest was made.
    pub last: Option<Timestamp>,
}

/// The whole table.
const ANY: &str = "1 = 1";

/// A condition `column = value` of a list.
type Condition = (&'static str, Option<String>);

impl Store {
    /// A page of deliveries.
    pub async fn deliveries(&self, filter: &DeliveryFilter, page: &PageRequest) -> Result<Page<DeliveryRecord>> {
        let conditions = [
            ("d.source", filter.source.clone()),
            ("d.outcome", filter.outcome.map(|outcome| outcome.as_str().to_owned())),
            ("d.kind", filter.kind.clone()),
            ("d.repo", filter.repo.clone()),
            ("d.subject", filter.subject.clone()),
        ];
        let looked_up = filter.repo.is_some() || filter.subject.is_some();
        let parts: &[&str] = if looked_up { shelves(self.inner.db.is_shared()) } else { &[ANY] };
        let mut found = Vec::new();
        for shelf in parts {
            let list = List { select: "SELECT d.* FROM deliveries d", shelf, id: "d.id", conditions: &conditions };
            found.extend(self.read(&list, page, rows::delivery).await?);
        }
        found.sort_unstable_by(|left: &DeliveryRecord, right| right.id.cmp(&left.id));
        // One may be filed between the looks at both shelves.
        found.dedup_by(|left, right| left.id == right.id);
        Ok(cut(found, page, |delivery| delivery.id.clone()))
    }

    /// A page of jobs, as all of them are at one moment.
    pub async fn jobs(&self, filter: &JobFilter, page: &PageRequest) -> Result<Page<Job>> {
        let (sql, values) = jobs_in(filter, page)?;
        Ok(cut(self.fetch(sql, values, rows::job).await?, page, |job| job.id.clone()))
    }

    /// A page of runs.
    pub async fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<RunRecord>> {
        let conditions = [
            ("r.phase", filter.phase.map(|phase| phase.as_str().to_owned())),
            // Looked at, not walked along: the newest of all runs are soon found.
            ("j.rule || ''", filter.rule.clone()),
            ("r.job", filter.job.clone()),
        ];
        let list = List { select: rows::RUN, shelf: ANY, id: "r.job", conditions: &conditions };
        Ok(cut(self.read(&list, page, rows::run_record).await?, page, |run| run.job.clone()))
    }

    /// A page of another list; `select` is our own text.
    pub(super) async fn page_of<T>(
        &self,
        select: &'static str,
        id_column: &'static str,
        page: &PageRequest,
        read: fn(&Row) -> Result<T>,
        id: fn(&T) -> String,
    ) -> Result<Page<T>> {
        let list = List { select, shelf: ANY, id: id_column, conditions: &[] };
        Ok(cut(self.read(&list, page, read).await?, page, id))
    }

    /// The items after the cursor, one more than the page takes if there are as many.
    async fn read<T>(&self, list: &List<'_>, page: &PageRequest, read: fn(&Row) -> Result<T>) -> Result<Vec<T>> {
        let mut values = Vec::new();
        let sql = list.sql(page, &mut values)?;
        self.fetch(sql, values, read).await
    }

    async fn fetch<T>(&self, sql: String, values: Vec<Value<'static>>, read: fn(&Row) -> Result<T>) -> Result<Vec<T>> {
        let mut conn = self.inner.db.read().await?;
        values.into_iter().fold(query(sql), Query::bind).fetch_all(&mut conn).await?.iter().map(read).collect()
    }

    /// One delivery.
    pub async fn delivery(&self, id: &str) -> Result<Option<DeliveryRecord>> {
        let mut conn = self.inner.db.read().await?;
        let row = query("SELECT * FROM deliveries WHERE id = $1").bind(id).fetch_optional(&mut conn).await?;
        row.as_ref().map(rows::delivery).transpose()
    }

    /// The body of a delivery, as long as it is kept.
    pub async fn body(&self, delivery: &str) -> Result<Option<StoredBody>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!("SELECT {PLACE}, d.received_at, d.source, d.secret_label FROM deliveries d WHERE d.id = $1");
        let Some(row) = query(sql).bind(delivery).fetch_optional(&mut conn).await? else { return Ok(None) };
        let Some(unpacked) = Unpacked::read(&mut conn, row.try_get("pack")?).await? else { return Ok(None) };
        let (headers, body) = unpacked.of(&row)?;
        Ok(Some(StoredBody {
            body,
            headers,
            source: row.try_get("source")?,
            secret_label: row.try_get("secret_label")?,
            received_at: Timestamp(row.try_get("received_at")?),
        }))
    }

    /// One job.
    pub async fn job(&self, id: &str) -> Result<Option<Job>> {
        let mut conn = self.inner.db.read().await?;
        jobs::find(&mut conn, id).await
    }

    /// The prompt that a job was sent with last.
    pub async fn prompt(&self, job: &str) -> Result<Option<String>> {
        let mut conn = self.inner.db.read().await?;
        let row = query("SELECT prompt FROM prompts WHERE job = $1").bind(job).fetch_optional(&mut conn).await?;
        row.map(|row| row.try_get("prompt")).transpose()
    }

    /// The same with the note about it.
    pub async fn prompt_and_note(&self, job: &str) -> Result<Option<(String, String)>> {
        let mut conn = self.inner.db.read().await?;
        let row = query("SELECT prompt, note FROM prompts WHERE job = $1").bind(job);
        let row = row.fetch_optional(&mut conn).await?;
        row.map(|row| Ok((row.try_get("prompt")?, row.try_get("note")?))).transpose()
    }

    /// The newest other jobs on the context of a job: what was done before and after it, acts included.
    pub async fn of_context(&self, job: &Job, limit: u32) -> Result<Vec<Job>> {
        if job.context.is_empty() {
            return Ok(Vec::new());
        }
        let mut conn = self.inner.db.read().await?;
        let sql = format!(
            "{} WHERE j.id IN (SELECT id FROM jobs WHERE subject = $1 UNION SELECT id FROM jobs \
             WHERE context = $2 AND run IS NOT NULL) \
             AND j.id <> $3 ORDER BY j.id DESC LIMIT $4",
            rows::JOB
        );
        let query = query(sql).bind(&job.subject).bind(&job.context).bind(&job.id);
        query.bind(i64::from(limit)).fetch_all(&mut conn).await?.iter().map(rows::job).collect()
    }

    /// The newest deliveries whose events joined a job, in the order in which they did.
    pub async fn job_deliveries(&self, job: &str, limit: u32) -> Result<Vec<String>> {
        let mut conn = self.inner.db.read().await?;
        let sql = "SELECT delivery FROM job_events WHERE job = $1 GROUP BY delivery ORDER BY MIN(seq) DESC LIMIT $2";
        let found = query(sql).bind(job).bind(i64::from(limit)).fetch_all(&mut conn).await?;
        found.iter().rev().map(|row| row.try_get("delivery")).collect()
    }

    /// One run, by its id at the service.
    pub async fn run(&self, id: i64) -> Result<Option<RunRecord>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!("{} WHERE r.id = $1", rows::RUN);
        let row = query(sql).bind(id).fetch_optional(&mut conn).await?;
        row.as_ref().map(rows::run_record).transpose()
    }

    /// How many jobs are in each state.
    pub async fn counts(&self) -> Result<Vec<(JobState, u64)>> {
        let mut conn = self.inner.db.read().await?;
        let found = query("SELECT state, jobs FROM job_counts").fetch_all(&mut conn).await?;
        let mut counts: Vec<(JobState, u64)> = JobState::ALL.into_iter().map(|state| (state, 0)).collect();
        for row in &found {
            let state = rows::state(row.try_get("state")?)?;
            if let Some((_, count)) = counts.iter_mut().find(|(known, _)| *known == state) {
                *count = row.try_get::<i64>("jobs")?.max(0) as u64;
            }
        }
        Ok(counts)
    }

    /// The queued job that was made first.
    pub async fn oldest_waiting(&self) -> Result<Option<Job>> {
        let mut conn = self.inner.db.read().await?;
        let sql = format!("{} WHERE j.state = 'queued' ORDER BY j.id LIMIT 1", rows::JOB);
        let row = query(sql).fetch_optional(&mut conn).await?;
        row.as_ref().map(rows::job).transpose()
    }

    /// How much each rule that has jobs has done.
    pub async fn rule_counts(&self) -> Result<Vec<RuleCount>> {
        let mut conn = self.inner.db.read().await?;
        let found = query("SELECT rule, jobs, last_at AS last FROM rule_counts WHERE jobs > 0 ORDER BY rule")
            .fetch_all(&mut conn)
            .await?;
        found
            .iter()
            .map(|row| {
                Ok(RuleCount {
                    rule: row.try_get("rule")?,
                    jobs: row.try_get::<i64>("jobs")?.max(0) as u64,
                    last: row.try_get::<Option<i64>>("last")?.map(Timestamp),
                })
            })
            .collect()
    }
}

/// A list of which pages are read.
#[derive(Debug)]
struct List<'a> {
    select: &'static str,
    /// The part of the table that it walks, as a condition.
    shelf: &'a str,
    /// The column that orders it; ids sort by time.
    id: &'static str,
    conditions: &'a [Condition],
}

impl List<'_> {
    /// The statement; the values that it needs come behind those that are there.
    fn sql(&self, page: &PageRequest, values: &mut Vec<Value<'static>>) -> Result<String> {
        let mut sql = format!("{} WHERE {}", self.select, self.shelf);
        for (column, value) in self.conditions {
            if let Some(value) = value {
                values.push(value.clone().into());
                let _ = write!(sql, " AND {column} = ${}", values.len());
            }
        }
        if let Some(cursor) = &page.cursor {
            values.push(open_cursor(cursor)?.into());
            let _ = write!(sql, " AND {} < ${}", self.id, values.len());
        }
        values.push((limit(page) as i64 + 1).into());
        let _ = write!(sql, " ORDER BY {} DESC LIMIT ${}", self.id, values.len());
        Ok(sql)
    }
}

/// Jobs that fit a filter. They are walked along the index of the narrowest thing that is asked for (a subject, a repository, a
/// rule), each state by itself, so that a page costs the same however many jobs there are; of one subject there are few. Only
/// what is asked for beside it may be far between. All walks are one statement, or a job that changes its state between two of
/// them would be in none.
fn jobs_in(filter: &JobFilter, page: &PageRequest) -> Result<(String, Vec<Value<'static>>)> {
    let JobFilter { states, rule, source, repo, subject } = filter;
    let (by_subject, by_rule, by_repo) = (subject.is_some(), rule.is_some(), repo.is_some());
    // What is only looked at must not be taken for what is walked along.
    let state_column = if by_subject { "j.state || ''" } else { "j.state" };
    let repo_column = if by_subject { "j.repo || ''" } else { "j.repo" };
    let rule_column = if by_subject || by_repo { "j.rule || ''" } else { "j.rule" };
    let states = if states.is_empty() && !by_subject && (by_rule || by_repo) { &JobState::ALL } else { &states[..] };
    let mut states: Vec<_> = states.iter().map(|state| Some(state.as_str().to_owned())).collect();
    states.sort_unstable();
    states.dedup();
    if states.is_empty() {
        states.push(None);
    }
    let (mut walks, mut values) = (Vec::new(), Vec::new());
    for state in states {
        let conditions = [
            ("j.subject", subject.clone()),
            (state_column, state),
            (rule_column, rule.clone()),
            (repo_column, repo.clone()),
            ("j.source", source.clone()),
        ];
        let list = List { select: "SELECT j.id FROM jobs j", shelf: ANY, id: "j.id", conditions: &conditions };
        walks.push(format!("SELECT id FROM ({}) w{}", list.sql(page, &mut values)?, walks.len()));
    }
    // Every walk ends with the same limit.
    let (walks, limit) = (walks.join(" UNION ALL "), values.len());
    let sql = format!("{} WHERE j.id IN ({walks}) ORDER BY j.id DESC LIMIT ${limit}", rows::JOB);
    Ok((sql, values))
}

pub(super) fn limit(page: &PageRequest) -> usize {
    page.limit.max(1) as usize
}

/// Cuts off what is over; that there is something over tells that there is a next page.
pub(super) fn cut<T>(mut items: Vec<T>, page: &PageRequest, id: fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit(page);
    items.truncate(limit(page));
    let next = items.last().filter(|_| more).map(|last| cursor_of(&id(last)));
    Page { items, next }
}

/// The cursor of the page that begins after the item of this id.
pub fn cursor_of(id: &str) -> String {
    URL_SAFE_NO_PAD.encode(id)
}

/// A cursor is the id of the last item: a UUID.
pub(super) fn open_cursor(cursor: &str) -> Result<String> {
    let id = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let is_id = |id: &String| id.len() == 36 && id.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit());
    id.filter(is_id).ok_or(StoreError::BadCursor)
}

#[cfg(test)]
mod tests {
    use super::super::db;
    use super::*;

    /// With a million jobs every other way reads all of them.
    #[tokio::test]
    async fn a_page_of_jobs_walks_along_the_index_of_the_narrowest_that_is_asked_for() {
        let (_folder, mut conn) = db::empty().await;
        let all = JobFilter {
            states: vec![JobState::Lost, JobState::Held],
            rule: Some("fix".into()),
            source: Some("github".into()),
            repo: Some("acme/widgets".into()),
            subject: Some("github.com/acme/widgets@main".into()),
        };
        let (no_states, no_subject) = (Vec::new, || JobFilter { subject: None, ..all.clone() });
        let no_repo = || JobFilter { repo: None, source: None, ..no_subject() };
        let no_rule = || JobFilter { rule: None, ..no_repo() };
        let every = JobState::ALL.len();
        for (filter, walks, index) in [
            (JobFilter::default(), 1, "sqlite_autoindex_jobs_1"),
            (no_rule(), 2, "jobs_by_state (state=? AND id<?)"),
            (no_repo(), 2, "jobs_by_rule (rule=? AND state=? AND id<?)"),
            (JobFilter { states: no_states(), ..no_repo() }, every, "jobs_by_rule (rule=? AND state=? AND id<?)"),
            (no_subject(), 2, "jobs_by_repo (repo=? AND state=? AND id<?)"),
            (JobFilter { states: no_states(), ..no_subject() }, every, "jobs_by_repo (repo=? AND state=? AND id<?)"),
            (all.clone(), 2, "jobs_of_subject (subject=?"),
            (JobFilter { states: no_states(), ..all.clone() }, 1, "jobs_of_subject (subject=?"),
        ] {
            for cursor in [None, Some(cursor_of("01910a6e-0000-7000-8000-000000000000"))] {
                let index = if cursor.is_some() { index } else { index.trim_end_matches(" AND id<?)") };
                let (sql, values) = jobs_in(&filter, &PageRequest { limit: 50, cursor }).unwrap();
                let explain = query(format!("EXPLAIN QUERY PLAN {sql}"));
                let plan = values.into_iter().fold(explain, Query::bind).fetch_all(&mut conn).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
                // The first step fetches what the walks have found.
                let along: Vec<_> = plan[1..].iter().filter(|step| step.contains(" j USING")).collect();
                assert_eq!(along.len(), walks, "{filter:?}: {plan:#?}");
                assert!(along.iter().all(|step| step.contains(index)), "{filter:?}: {plan:#?}");
                let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
                assert_eq!(sorts, filter.subject.is_some(), "{filter:?}: {plan:#?}");
            }
        }
    }

    /// Those that are not filed are walked through by themselves, not along all that there are.
    #[tokio::test]
    async fn a_page_of_deliveries_of_a_place_walks_each_shelf_by_its_index() {
        let (_folder, mut conn) = db::empty().await;
        let conditions = [("d.outcome", Some("unmatched".to_owned())), ("d.repo", Some("acme/widgets".to_owned()))];
        for (shelf, index) in
            shelves(false).iter().zip(["deliveries_unfiled (unfiled=?)", "deliveries_of_repo (repo=?"])
        {
            for cursor in [None, Some(cursor_of("01910a6e-0000-7000-8000-000000000000"))] {
                let list = List { select: "SELECT d.* FROM deliveries d", shelf, id: "d.id", conditions: &conditions };
                let mut values = Vec::new();
                let sql = list.sql(&PageRequest { limit: 50, cursor }, &mut values).unwrap();
                let explain = query(format!("EXPLAIN QUERY PLAN {sql}"));
                let plan = values.into_iter().fold(explain, Query::bind).fetch_all(&mut conn).await.unwrap();
                let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
                assert!(plan[0].contains(index), "{sql}: {plan:#?}");
            }
        }
    }
}
