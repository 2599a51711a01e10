//! What the gates look at: read in the transaction that releases a job, and for showing why one waits.

use super::calls::Obstacles;
use super::db::{Conn, query};
use super::errors::{Result, StoreError};
use super::{Store, budgets, pauses, rows};
use crate::model::clock::Timestamp;
use crate::model::gate::{Active, BudgetUse, ChecksNow, Snapshot};
use crate::model::job::Job;
use crate::model::limits::ClassLimits;
use crate::model::pause::Pause;
use crate::model::policy::{Action, Approval, Bound, Policy, Scope, Then};
use crate::model::subject::Facts;

/// The group in which attempts are counted: all rules together.
pub(super) const GROUP: &str = "";

/// What all snapshots of a moment share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) obstacles: Obstacles,
    pauses: Vec<Pause>,
}

impl Common {
    pub(super) async fn read(conn: &mut Conn, limits: &ClassLimits, now: Timestamp) -> Result<Self> {
        let obstacles = Obstacles::read(conn, limits, now).await?;
        let pauses = pauses::in_force(conn, now).await?;
        Ok(Self { obstacles, pauses })
    }

    /// Reads what the job and its policy ask for, and nothing else.
    pub(super) async fn snapshot(
        &self,
        conn: &mut Conn,
        job: Job,
        policy: &Policy,
        now: Timestamp,
    ) -> Result<Snapshot> {
        let (attempts, sha_counted) = attempts(conn, &job).await?;
        let (facts, sha_was_head) = facts(conn, &job).await?;
        let checks = checks(conn, &job, policy).await?;
        let resumes = policy.then.contains(&Then::Resume) || job.action == Action::Ban;
        Ok(Snapshot {
            now,
            facts,
            sha_was_head,
            green: checks.green,
            pauses: self.pauses.iter().filter(|pause| pause.what.concerns(&job)).cloned().collect(),
            active: active(conn, &job, policy).await?,
            attempts,
            sha_counted,
            checks: policy.settle_checks.then_some(checks.now),
            budgets: budgets(conn, &job, policy, now).await?,
            sent_by_rule: if matches!(policy.approval, Approval::First(_)) {
                sent_by(conn, &job.rule).await?
            } else {
                0
            },
            newest_run: if resumes { newest_run(conn, &job).await? } else { None },
            run_to_come: run_to_come(conn, &job).await?,
            freezes: self.obstacles.freezes.clone(),
            windows: self.obstacles.windows.clone(),
            breakers: self.obstacles.breakers.clone(),
            job,
        })
    }
}

/// How many commits were acted upon, and whether the job's own is one of them. A count that cannot be read is unknown,
/// so that nothing is sent, and says so; it takes nobody else with it.
pub(super) async fn attempts(conn: &mut Conn, job: &Job) -> Result<(Option<u32>, bool)> {
    let row = query(
        "SELECT (SELECT COUNT(*) FROM attempts WHERE grp = $2 AND subject = $1 AND cleared_by IS NULL) AS attempts, \
         (SELECT COUNT(*) FROM attempts WHERE grp = $2 AND subject = $1 AND sha = $3 AND cleared_by IS NULL) AS counted",
    )
    .bind(&job.subject)
    .bind(GROUP)
    .bind(job.sha.as_deref().unwrap_or_default())
    .fetch_one(conn)
    .await;
    match row {
        Ok(row) => Ok((Some(row.try_get::<i64>("attempts")? as u32), row.try_get::<i64>("counted")? > 0)),
        Err(error @ StoreError::Busy(_)) => Err(error),
        Err(error) => {
            tracing::error!(job = job.id, %error, "the count of attempts cannot be read, so nothing is sent");
            Ok((None, false))
        }
    }
}

/// What is known of the subject, and whether the job's commit was its head at some time; only for a job that can go
/// stale by it.
async fn facts(conn: &mut Conn, job: &Job) -> Result<(Option<Facts>, bool)> {
    if !job.stale_on.head && !job.stale_on.closed {
        return Ok((None, false));
    }
    let row = query(
        "SELECT s.facts, EXISTS (SELECT 1 FROM heads h WHERE h.host = s.host AND h.repo = s.repo AND h.sha = $2 \
         AND h.subject = s.key) AS was_head FROM subjects s WHERE s.key = $1",
    )
    .bind(&job.subject)
    .bind(job.sha.as_deref().unwrap_or_default())
    .fetch_optional(conn)
    .await?;
    let Some(row) = row else { return Ok((None, false)) };
    Ok((Some(rows::json("subjects", "facts", row.try_get("facts")?)?), row.try_get("was_head")?))
}

/// What the checks of a commit say.
struct Checks {
    green: bool,
    now: ChecksNow,
}

async fn checks(conn: &mut Conn, job: &Job, policy: &Policy) -> Result<Checks> {
    let mut said = Checks { green: false, now: ChecksNow { unfinished: 0, last_seen: None } };
    let (Some((host, _)), Some(repo), Some(sha)) = (job.subject.split_once('/'), &job.repo, &job.sha) else {
        return Ok(said);
    };
    if !policy.settle_checks && !job.stale_on.green {
        return Ok(said);
    }
    let found = query("SELECT aggregate, outcome, seen_at FROM checks WHERE host = $1 AND repo = $2 AND sha = $3")
        .bind(host)
        .bind(repo)
        .bind(sha)
        .fetch_all(conn)
        .await?;
    let (mut succeeded, mut fit) = (false, true);
    for row in &found {
        let outcome: &str = row.try_get("outcome")?;
        if row.try_get::<i64>("aggregate")? == 1 {
            succeeded |= outcome.eq_ignore_ascii_case("success");
        } else {
            // A suite that nobody ever runs stays unfinished for ever: only single checks are waited for.
            said.now.unfinished += u32::from(!has_ended(outcome));
        }
        fit &= super::subjects::is_fit(outcome);
        said.now.last_seen = said.now.last_seen.max(Some(Timestamp(row.try_get("seen_at")?)));
    }
    said.green = succeeded && fit;
    Ok(said)
}

/// Whether a check has an outcome, and not only a state on its way to one; words that we do not know are outcomes.
pub(super) fn has_ended(outcome: &str) -> bool {
    const ON_THE_WAY: [&str; 10] = [
        "queued",
        "in_progress",
        "requested",
        "waiting",
        "pending",
        "created",
        "preparing",
        "running",
        "scheduled",
        "waiting_for_resource",
    ];
    !ON_THE_WAY.iter().any(|word| outcome.eq_ignore_ascii_case(word))
}

async fn active(conn: &mut Conn, job: &Job, policy: &Policy) -> Result<Active> {
    let row = query("SELECT COUNT(*) AS active FROM jobs WHERE busy = $1 AND id <> $2")
        .bind(&job.context)
        .bind(&job.id)
        .fetch_one(&mut *conn)
        .await?;
    let mut active = Active { on_subject: row.try_get::<i64>("active")? as u32, ..Active::default() };
    for limit in policy.limits.iter().filter(|limit| matches!(limit.bound, Bound::Running(_))) {
        let Some(name) = job.name_in(limit.scope) else { continue };
        let count = match limit.scope {
            // Counted above, by context.
            Scope::Subject => continue,
            Scope::All => &mut active.all,
            Scope::File => &mut active.file,
            Scope::Rule => &mut active.rule,
            Scope::Repo => &mut active.repo,
            Scope::Person => &mut active.person,
        };
        *count = budgets::running_in(&mut *conn, limit.scope, name, &job.id).await?;
    }
    Ok(active)
}

async fn budgets(conn: &mut Conn, job: &Job, policy: &Policy, now: Timestamp) -> Result<Vec<BudgetUse>> {
    let mut uses = Vec::new();
    for rate in budgets::rates(job, policy) {
        uses.push(budgets::use_of(&mut *conn, (rate.scope, rate.name), rate.count, rate.per, now).await?);
    }
    if let Approval::Above { count, per } = policy.approval {
        uses.push(budgets::use_of(&mut *conn, (Scope::Rule, &job.rule), count, per, now).await?);
    }
    Ok(uses)
}

async fn sent_by(conn: &mut Conn, rule: &str) -> Result<u64> {
    let row = query("SELECT sent FROM rule_counts WHERE rule = $1").bind(rule).fetch_optional(conn).await?;
    Ok(row.map_or(Ok(0), |row| row.try_get::<i64>("sent"))?.max(0) as u64)
}

/// The newest run of the context that the service still knows. One that looks for set-up commands knows nothing of the work.
async fn newest_run(conn: &mut Conn, job: &Job) -> Result<Option<i64>> {
    let row = query(
        "SELECT run FROM jobs WHERE context = $1 AND run IS NOT NULL AND id <> $2 AND state <> 'lost' \
         AND action <> 'setup_commands' ORDER BY run DESC LIMIT 1",
    )
    .bind(Some(&job.context).filter(|context| !context.is_empty()))
    .bind(&job.id)
    .fetch_optional(conn)
    .await?;
    row.map(|row| row.try_get("run")).transpose()
}

/// Whether the job that this one follows may yet have a run that is not known.
async fn run_to_come(conn: &mut Conn, job: &Job) -> Result<bool> {
    let (Some(follows), None) = (&job.follows, job.target) else { return Ok(false) };
    let row = query("SELECT 1 FROM jobs WHERE id = $1 AND active = 1 AND run IS NULL")
        .bind(follows)
        .fetch_optional(conn)
        .await?;
    Ok(row.is_some())
}

impl Store {
    /// What the gates would look at for these jobs now; for showing why each waits.
    pub async fn snapshots(&self, waiting: Vec<(Job, Policy)>) -> Result<Vec<Snapshot>> {
        let mut conn = self.inner.db.read().await?;
        let now = self.inner.clock.now();
        let common = Common::read(&mut conn, &self.inner.limits, now).await?;
        let mut snapshots = Vec::with_capacity(waiting.len());
        for (job, policy) in waiting {
            snapshots.push(common.snapshot(&mut conn, job, &policy, now).await?);
        }
        Ok(snapshots)
    }
}
