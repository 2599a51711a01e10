//! The row of a job: how one is made, and how its state changes, checked every time.

use super::db::{Conn, Tx, many, query, runs};
use super::errors::{Result, StoreError};
use super::{rows, stale};
use crate::model::clock::Timestamp;
use crate::model::job::{Job, JobState, StaleOn};
use crate::model::policy::{Action, Priority};

/// What a new job starts with.
#[derive(Debug)]
pub(super) struct NewJob<'a> {
    pub(super) id: &'a str,
    pub(super) rule: &'a str,
    pub(super) source: &'a str,
    pub(super) key: &'a str,
    pub(super) subject: &'a str,
    pub(super) context: &'a str,
    pub(super) file: &'a str,
    pub(super) person: Option<&'a str>,
    pub(super) priority: Priority,
    pub(super) action: Action,
    /// Whether it is told to the newest run of its context, if there is one.
    pub(super) resumes: bool,
    pub(super) target: Option<i64>,
    pub(super) follows: Option<&'a str>,
    pub(super) message: Option<&'a str>,
    pub(super) stale_on: StaleOn,
    pub(super) repo: Option<&'a str>,
    pub(super) sha: Option<&'a str>,
    pub(super) failing: bool,
    pub(super) created_at: Timestamp,
    pub(super) due_at: Timestamp,
    pub(super) settled_by: Timestamp,
    pub(super) events: i64,
    pub(super) retry_of: Option<&'a str>,
    pub(super) reason: &'a str,
}

/// Lets jobs of the same context or person be asked again that a gate had set aside.
const WAKE: &str = "UPDATE jobs SET not_before = 0 WHERE id IN ( \
     SELECT p.id FROM jobs e CROSS JOIN jobs p WHERE e.id = $1 AND p.context = e.context AND p.not_before > 0 UNION \
     SELECT p.id FROM jobs e CROSS JOIN jobs p WHERE e.id = $1 AND p.person = e.person AND p.not_before > 0)";

/// How the lane of a job of a rule that resumes ends; while there is no run to tell, with a mark behind it.
const RESUMES: &str = "\u{1f}resume";

/// What [`part_lanes`] does to the jobs that the end of the statement names.
const PART: &str = "UPDATE jobs SET lane = RTRIM(lane, '?') || CASE WHEN target > 0 OR (target IS NULL AND ( \
     EXISTS (SELECT 1 FROM jobs f WHERE f.id = jobs.follows AND f.active = 1 AND f.run IS NULL) \
     OR EXISTS (SELECT 1 FROM jobs r WHERE r.context = jobs.context AND r.run IS NOT NULL AND r.state <> 'lost' \
     AND r.action <> 'setup_commands' AND r.context <> ''))) THEN '' ELSE '?' END \
     WHERE open = 1 AND (lane LIKE $1 OR lane LIKE $2) AND id";

/// The open jobs of a context.
const OF_CONTEXT: &str = "IN (SELECT id FROM jobs WHERE subject = $3 AND context = $3 AND ended_at IS NULL UNION \
     SELECT id FROM jobs WHERE context = $3 AND context <> subject AND ended_at IS NULL)";

/// Makes queued jobs. Lanes are what a blocked head must not hold up for others.
pub(super) async fn insert(tx: &mut Tx, made: &[NewJob<'_>], now: Timestamp) -> Result<()> {
    for run in runs(made) {
        let mut query = many(
            "INSERT INTO jobs (id, rule, source, key, lane, subject, context, file, person, priority, action, target, \
             follows, message, stale_on, repo, sha, failing, state, reason, created_at, due_at, settled_by, \
             updated_at, events, retry_of)",
            run.len(),
            26,
            "",
        );
        for job in run {
            query = query
                .bind(job.id)
                .bind(job.rule)
                .bind(job.source)
                .bind(job.key)
                .bind(lane(job))
                .bind(job.subject)
                .bind(job.context)
                .bind(job.file)
                .bind(job.person)
                .bind(job.priority.rank())
                .bind(job.action.as_str())
                .bind(job.target)
                .bind(job.follows)
                .bind(job.message)
                .bind(rows::stale_words(job.stale_on))
                .bind(job.repo)
                .bind(job.sha)
                .bind(i64::from(job.failing))
                .bind(JobState::Queued.as_str())
                .bind(job.reason)
                .bind(job.created_at.0)
                .bind(job.due_at.0)
                .bind(job.settled_by.0)
                .bind(now.0)
                .bind(job.events)
                .bind(job.retry_of);
        }
        query.execute(tx).await?;
    }
    for job in made.iter().filter(|job| may_be_told(job)) {
        part_lane(tx, job.id).await?;
    }
    Ok(())
}

/// What takes turns with others: jobs of one priority, rule, repository, source and kind of call.
fn lane(job: &NewJob<'_>) -> String {
    let place = [&job.priority.rank().to_string(), job.rule, job.repo.unwrap_or_default(), job.source].join("\u{1f}");
    if may_be_told(job) { format!("{place}{RESUMES}?") } else { format!("{place}\u{1f}{}", job.action.as_str()) }
}

fn may_be_told(job: &NewJob<'_>) -> bool {
    job.action == Action::Run && (job.resumes || job.target.is_some() || job.follows.is_some())
}

/// Jobs of a context that are told to a run take turns apart from those that start one: what holds back starts alone must
/// hold up nothing else. To be asked when the context got a run or lost one.
pub(super) async fn part_lanes(tx: &mut Tx, context: &str) -> Result<()> {
    part(tx, OF_CONTEXT, context).await
}

/// The same for a job that begins to wait.
async fn part_lane(tx: &mut Tx, job: &str) -> Result<()> {
    part(tx, "= $3", job).await
}

async fn part(tx: &mut Tx, which: &str, of: &str) -> Result<()> {
    query(format!("{PART} {which}"))
        .bind(format!("%{RESUMES}"))
        .bind(format!("%{RESUMES}?"))
        .bind(of)
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether a job is one of a rule that tells a run before it starts one.
pub(super) async fn resumes(conn: &mut Conn, job: &str) -> Result<bool> {
    let select = query("SELECT 1 FROM jobs WHERE id = $1 AND (lane LIKE $2 OR lane LIKE $3)");
    let select = select.bind(job).bind(format!("%{RESUMES}")).bind(format!("%{RESUMES}?"));
    Ok(select.fetch_optional(conn).await?.is_some())
}

/// One job with its run.
pub(super) async fn find(conn: &mut Conn, id: &str) -> Result<Option<Job>> {
    let row = query(by_id(rows::JOB)).bind(id).fetch_optional(conn).await?;
    row.as_ref().map(rows::job).transpose()
}

/// One job with its run, which must be there.
pub(super) async fn get(conn: &mut Conn, id: &str) -> Result<Job> {
    find(conn, id).await?.ok_or_else(|| StoreError::NotFound(format!("job {id}")))
}

/// One job that nobody else changes until the write ends; `None` where somebody holds it just now, or it is gone.
pub(super) async fn lock(tx: &mut Tx, id: &str) -> Result<Option<Job>> {
    let sql = by_id(rows::JOB);
    let sql = if tx.is_postgres() { format!("{sql} FOR UPDATE OF j SKIP LOCKED") } else { sql };
    query(sql).bind(id).fetch_optional(tx).await?.as_ref().map(rows::job).transpose()
}

fn by_id(select: &'static str) -> String {
    format!("{select} WHERE j.id = $1")
}

/// How a job's state changes.
#[derive(Debug)]
pub(super) struct Change<'a> {
    pub(super) job: &'a str,
    /// The states that it may come from; each must be allowed to become `to`.
    pub(super) from: &'a [JobState],
    pub(super) to: JobState,
    pub(super) reason: &'a str,
    /// A new due time, for those that go back to the queue.
    pub(super) due_at: Option<Timestamp>,
}

/// Changes a job's state and answers the one it came from. Checks that the change is legal and that one row changed.
pub(super) async fn change(tx: &mut Tx, change: &Change<'_>, now: Timestamp) -> Result<JobState> {
    let job = get(tx, change.job).await?;
    let before = job.state;
    if !change.from.contains(&before) || !before.may_become(change.to) {
        return Err(StoreError::Conflict(format!("job {} is {before} and cannot become {}", change.job, change.to)));
    }
    if change.to == JobState::Queued {
        merge_open(tx, change.job, now).await?;
    }
    // One that is held may have been sent, too.
    if (before.is_active() || before == JobState::Held)
        && (change.to.is_ended() || matches!(change.to, JobState::Lost | JobState::Queued))
    {
        let reason = match change.to {
            JobState::Queued => "there is no run that it could be said to",
            _ => "the run that it was for has ended",
        };
        stale::drop_acts(tx, change.job, reason, now).await?;
    }
    let ended_at = (change.to.is_ended() || change.to == JobState::Lost).then_some(now.0);
    let changed = query(
        "UPDATE jobs SET state = $3, reason = $4, updated_at = $5, ended_at = $6, due_at = COALESCE($7, due_at), \
         submitted_at = CASE WHEN $3 = 'queued' THEN NULL ELSE submitted_at END, \
         attempt = CASE WHEN $3 = 'queued' THEN 0 ELSE attempt END, hold_until = NULL, not_before = 0, \
         revision = revision + 1 WHERE id = $1 AND state = $2",
    )
    .bind(change.job)
    .bind(before.as_str())
    .bind(change.to.as_str())
    .bind(change.reason)
    .bind(now.0)
    .bind(ended_at)
    .bind(change.due_at.map(|at| at.0))
    .execute(tx)
    .await?;
    affected_one(changed, change.job)?;
    if change.to.is_ended() || change.to == JobState::Lost {
        // Whoever waited for the end of this one is looked at again.
        query(WAKE).bind(change.job).execute(tx).await?;
    }
    if change.to == JobState::Queued {
        part_lane(tx, change.job).await?;
    } else if change.to.is_ended() || [before, change.to].contains(&JobState::Lost) {
        // Its run is one to tell no more, or again; or none comes of it.
        part_lanes(tx, &job.context).await?;
    }
    Ok(before)
}

/// A person wants it now: it goes before all that nobody waits for. A lane begins with its rank, one digit.
pub(super) async fn promote(tx: &mut Tx, job: &Job) -> Result<()> {
    let rank = Priority::People.rank();
    query("UPDATE jobs SET priority = $2, lane = $3 || SUBSTR(lane, 2) WHERE id = $1")
        .bind(&job.id)
        .bind(rank)
        .bind(rank.to_string())
        .execute(tx)
        .await?;
    Ok(())
}

/// An update that must have changed one row.
pub(super) fn affected_one(changed: u64, job: &str) -> Result<()> {
    if changed == 1 { Ok(()) } else { Err(StoreError::Conflict(format!("job {job} changed meanwhile"))) }
}

/// A job that comes back to the queue takes over what a newer one of the same rule and key has gathered meanwhile: two
/// open jobs of one key would be two runs of one cause.
async fn merge_open(tx: &mut Tx, job: &str, now: Timestamp) -> Result<()> {
    let other = query(
        "SELECT o.id, o.events, o.sha, o.failing, j.events AS mine FROM jobs j JOIN jobs o ON o.rule = j.rule AND o.key = j.key \
         AND o.id <> j.id AND o.open = 1 WHERE j.id = $1",
    )
    .bind(job)
    .fetch_optional(tx)
    .await?;
    let Some(row) = other else { return Ok(()) };
    let (other, theirs, mine): (String, i64, i64) = (row.try_get("id")?, row.try_get("events")?, row.try_get("mine")?);
    let joined = Change {
        job: &other,
        from: &[JobState::Queued, JobState::Held],
        to: JobState::Superseded,
        reason: "joined an earlier job of the same key that came back to the queue",
        due_at: None,
    };
    Box::pin(change(tx, &joined, now)).await?;
    copy_events(tx, &other, job, mine).await?;
    // It acts upon the newest commit that was told, and that is an attempt even if a person asked for the job before.
    query("UPDATE jobs SET events = $2, sha = COALESCE($3, sha), failing = CASE WHEN $4 = 1 THEN 1 ELSE failing END WHERE id = $1")
        .bind(job)
        .bind(mine + theirs)
        .bind(row.try_get::<Option<&str>>("sha")?)
        .bind(row.try_get::<i64>("failing")?)
        .execute(tx)
        .await?;
    Ok(())
}

/// Whether a job of this rule and key is open.
pub(super) async fn open_of_key(conn: &mut Conn, rule: &str, key: &str) -> Result<bool> {
    let row = query("SELECT 1 FROM jobs WHERE rule = $1 AND key = $2 AND open = 1")
        .bind(rule)
        .bind(key)
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

/// Gives a job the events of another, after those that it has `already`.
pub(super) async fn copy_events(tx: &mut Tx, from: &str, to: &str, already: i64) -> Result<()> {
    query(
        "INSERT INTO job_events (job, seq, delivery, received_at, event) \
         SELECT $2, seq + $3, delivery, received_at, event FROM job_events WHERE job = $1",
    )
    .bind(from)
    .bind(to)
    .bind(already)
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::db::{self, Tx, query};
    use super::{Change, NewJob};
    use crate::model::clock::Timestamp;
    use crate::model::job::{JobState, StaleOn};
    use crate::model::policy::{Action, Priority};

    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn job<'a>(id: &'a str, context: &'a str, resumes: bool) -> NewJob<'a> {
        NewJob {
            id,
            // Nothing in a name is taken for the end of a lane.
            rule: "resume?",
            source: "resume",
            key: id,
            subject: context,
            context,
            file: "",
            person: None,
            priority: Priority::Normal,
            action: Action::Run,
            resumes,
            target: None,
            follows: None,
            message: None,
            stale_on: StaleOn::default(),
            repo: Some("resume/resume?"),
            sha: None,
            failing: false,
            created_at: NOW,
            due_at: NOW,
            settled_by: NOW,
            events: 1,
            retry_of: None,
            reason: "",
        }
    }

    async fn lane(tx: &mut Tx, id: &str) -> String {
        let row = query("SELECT lane FROM jobs WHERE id = $1").bind(id).fetch_one(tx).await.unwrap();
        row.try_get::<String>("lane").unwrap().replace('\u{1f}', " ")
    }

    #[tokio::test]
    async fn a_job_stands_in_the_lane_of_what_it_will_be_and_moves_with_the_runs_of_its_context() {
        let (_folder, mut tx) = db::empty().await;
        let told = NewJob { target: Some(7), ..job("told", "t", false) };
        let new = [job("starts", "a", false), job("first", "b", true), job("second", "b", true), told];
        super::insert(&mut tx, &new, NOW).await.unwrap();
        let place = "2 resume? resume/resume? resume";
        for (id, kind) in [("starts", "run"), ("first", "resume?"), ("second", "resume?"), ("told", "resume")] {
            assert_eq!(lane(&mut tx, id).await, format!("{place} {kind}"), "{id}");
        }

        // The run of the first is known; what follows it, and what comes later, is told.
        query("UPDATE jobs SET state = 'running' WHERE id = 'first'").execute(&mut tx).await.unwrap();
        super::super::runs::join(&mut tx, "first", 9).await.unwrap();
        super::insert(&mut tx, &[job("third", "b", true)], NOW).await.unwrap();
        for id in ["second", "third"] {
            assert_eq!(lane(&mut tx, id).await, format!("{place} resume"), "{id}");
        }
        let second = super::get(&mut tx, "second").await.unwrap();
        super::promote(&mut tx, &second).await.unwrap();
        assert_eq!(lane(&mut tx, "second").await, format!("0{} resume", &place[1..]));

        let lost = Change { job: "first", from: &[JobState::Running], to: JobState::Lost, reason: "", due_at: None };
        super::change(&mut tx, &lost, NOW).await.unwrap();
        assert_eq!(lane(&mut tx, "second").await, format!("0{} resume?", &place[1..]));
        assert_eq!(lane(&mut tx, "third").await, format!("{place} resume?"));
        assert_eq!(lane(&mut tx, "told").await, format!("{place} resume"));
        let seen = Change { job: "first", from: &[JobState::Lost], to: JobState::Running, reason: "", due_at: None };
        super::change(&mut tx, &seen, NOW).await.unwrap();
        assert_eq!(lane(&mut tx, "third").await, format!("{place} resume"));
        super::change(&mut tx, &lost, NOW).await.unwrap();
        super::change(&mut tx, &Change { to: JobState::Succeeded, ..seen }, NOW).await.unwrap();
        assert_eq!(lane(&mut tx, "third").await, format!("{place} resume"));
        for (id, resumes) in [("starts", false), ("first", true), ("third", true)] {
            assert_eq!(super::resumes(&mut tx, id).await.unwrap(), resumes, "{id}");
        }
    }

    #[tokio::test]
    async fn who_follows_a_job_that_ends_without_a_run_starts_one() {
        let (_folder, mut tx) = db::empty().await;
        super::insert(&mut tx, &[job("first", "b", true)], NOW).await.unwrap();
        query("UPDATE jobs SET state = 'submitting' WHERE id = 'first'").execute(&mut tx).await.unwrap();
        super::insert(&mut tx, &[NewJob { follows: Some("first"), ..job("next", "b", true) }], NOW).await.unwrap();
        assert!(lane(&mut tx, "next").await.ends_with(" resume"));
        let dead = Change { job: "first", from: &[JobState::Submitting], to: JobState::Dead, reason: "", due_at: None };
        super::change(&mut tx, &dead, NOW).await.unwrap();
        assert!(lane(&mut tx, "next").await.ends_with(" resume?"));
    }

    /// Every job of a rule that resumes asks it as it is made, and every job as it ends.
    #[tokio::test]
    async fn lanes_are_parted_without_walking_the_jobs() {
        let (_folder, mut conn) = db::empty().await;
        for which in [super::OF_CONTEXT, "= $3"] {
            let explain = format!("EXPLAIN QUERY PLAN {} {which}", super::PART);
            let rows = query(explain).bind("x").bind("x").bind("x").fetch_all(&mut conn).await.unwrap();
            let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
            assert!(plan.iter().any(|step| step.contains("sqlite_autoindex_jobs_1 (id=?)")), "{plan:#?}");
            assert!(plan.iter().any(|step| step.contains("jobs_of_context (context=?")), "{plan:#?}");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN jobs") || step.contains("jobs_open")), "{plan:#?}");
        }
    }

    /// A job ends often, and a budget may have set all of a bad day's jobs aside.
    #[tokio::test]
    async fn who_waited_for_an_end_is_found_by_context_and_person() {
        let (_folder, mut conn) = db::empty().await;
        let explain = format!("EXPLAIN QUERY PLAN {}", super::WAKE);
        let rows = query(explain).bind("x").fetch_all(&mut conn).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.try_get("detail").unwrap()).collect();
        for index in ["jobs_parked_within (context=?)", "jobs_parked_for (person=?)"] {
            assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:#?}");
        }
        assert!(!plan.iter().any(|step| step.starts_with("SCAN") || step.contains("jobs_parked ")), "{plan:#?}");
    }
}
