//! Budgets: how much each scope has started. They are windows in `calls`, whose class is a scope with a name.

use std::time::Duration;

use serde_json::json;

use super::Store;
use super::calls::{self, CallId};
use super::db::{Conn, Tx, many, query, runs};
use super::errors::{Result, StoreError};
use super::notices::{self, Saying};
use crate::model::clock::Timestamp;
use crate::model::gate::{BudgetUse, Snapshot};
use crate::model::job::Job;
use crate::model::notice::NoticeKind;
use crate::model::policy::{Bound, Limit, Policy, Scope};
use crate::model::span::show_span;
use crate::telemetry::{self, Metric};

/// The longest rate that rules can name: so long the rows are kept.
pub(super) const LONGEST: Duration = Duration::from_hours(24 * 7);

/// How many runs a rule has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Started {
    /// The rule.
    pub rule: String,
    /// Within a day.
    pub day: u64,
    /// Within a week.
    pub week: u64,
}

/// How much of a rate is used.
pub(super) async fn use_of(
    conn: &mut Conn,
    (scope, name): (Scope, &str),
    limit: u32,
    per: Duration,
    now: Timestamp,
) -> Result<BudgetUse> {
    let (used, next_free) = calls::window_use(conn, &scope.budget(name), limit, per, now).await?;
    Ok(BudgetUse { scope, limit, per, used, next_free })
}

/// Charges every scope that the job has, whatever limits there are: one that is written later counts what was before.
/// A budget counts from when the call began, so its rows have ended from the start.
pub(super) async fn charge(tx: &mut Tx, call: &CallId, job: &Job, now: Timestamp) -> Result<()> {
    let named = Scope::ALL.into_iter().filter_map(|scope| job.name_in(scope).map(|name| scope.budget(name)));
    let budgets: Vec<String> = named.collect();
    for run in runs(&budgets) {
        let mut query = many("INSERT INTO calls (id, class, purpose, began_at, ended_at)", run.len(), 5, "");
        for budget in run {
            query = query.bind(&call.0).bind(budget).bind(&job.id).bind(now.0).bind(now.0);
        }
        query.execute(tx).await?;
    }
    Ok(())
}

/// Gives back what a job was charged, because nothing was started; whether there was anything.
pub(super) async fn give_back(tx: &mut Tx, job: &str) -> Result<bool> {
    let delete = query("DELETE FROM calls WHERE purpose = $1 AND class LIKE '%:%'");
    Ok(delete.bind(job).execute(tx).await? > 0)
}

/// Says once that a budget comes to its end: when a job that is charged to it uses the last fifth.
pub(super) async fn warn(tx: &mut Tx, snapshot: &Snapshot, policy: &Policy, now: Timestamp) -> Result<()> {
    for each in rates(&snapshot.job, policy) {
        let Some(before) = snapshot.budgets.iter().find(|it| it.scope == each.scope && each.is(it)) else { continue };
        let now_used = BudgetUse { used: before.used + 1, ..*before };
        if !nearly_used(&now_used) {
            continue;
        }
        let about = each.scope.budget(each.name);
        let per = show_span(each.per);
        let text = format!("{about}: {} of {} runs in {per} are used", now_used.used, each.count);
        let details =
            json!({ "scope": each.scope, "used": now_used.used, "limit": each.count, "per_ms": millis(each.per) });
        let saying = Saying { kind: NoticeKind::Budget, about: &about, job: &snapshot.job, text: &text, details };
        if notices::say(tx, &saying, now).await? {
            telemetry::count(Metric::BudgetWarnings, &[("scope", each.scope.as_str())]);
            tracing::warn!(budget = about, used = now_used.used, limit = each.count, per, "a budget is nearly used");
        }
    }
    Ok(())
}

/// A rate that binds a job.
pub(super) struct Rate<'a> {
    pub(super) scope: Scope,
    pub(super) name: &'a str,
    pub(super) count: u32,
    pub(super) per: Duration,
}

impl Rate<'_> {
    fn is(&self, used: &BudgetUse) -> bool {
        used.limit == self.count && used.per == self.per
    }
}

/// The rates of a policy that bind a job.
pub(super) fn rates<'a>(job: &'a Job, policy: &'a Policy) -> impl Iterator<Item = Rate<'a>> {
    policy.limits.iter().filter_map(|limit| match limit.bound {
        Bound::Rate { count, per } => {
            job.name_in(limit.scope).map(|name| Rate { scope: limit.scope, name, count, per })
        }
        Bound::Running(_) => None,
    })
}

/// Four fifths or more.
fn nearly_used(budget: &BudgetUse) -> bool {
    u64::from(budget.used) * 5 >= u64::from(budget.limit) * 4
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

/// How many jobs that have or may have an unfinished run there are in a scope, beside one.
pub(super) async fn running_in(conn: &mut Conn, scope: Scope, name: &str, beside: &str) -> Result<u32> {
    let row = query(running(scope)).bind(name).bind(beside).fetch_one(conn).await?;
    Ok(row.try_get::<i64>("running")? as u32)
}

fn running(scope: Scope) -> String {
    let column = match scope {
        Scope::All => "'' = $1",
        Scope::File => "file = $1",
        Scope::Rule => "rule = $1",
        // Few jobs are active; a repository may have had any number.
        Scope::Repo => "repo || '' = $1",
        Scope::Subject => "subject = $1",
        Scope::Person => "person = $1",
    };
    format!("SELECT COUNT(*) AS running FROM jobs WHERE active = 1 AND {column} AND id <> $2")
}

impl Store {
    /// How much of these limits is used now, each with the name that it is about (`""` for all); in the same order. For
    /// a limit of unfinished runs `per` is zero.
    pub async fn budget_uses(&self, limits: &[(String, Limit)]) -> Result<Vec<BudgetUse>> {
        let mut conn = self.inner.db.read().await?;
        let now = self.inner.clock.now();
        let mut uses = Vec::with_capacity(limits.len());
        for (name, Limit { scope, bound }) in limits {
            uses.push(match *bound {
                Bound::Rate { count, per } => use_of(&mut conn, (*scope, name), count, per, now).await?,
                Bound::Running(limit) => {
                    let running = running_in(&mut conn, *scope, name, "").await?;
                    BudgetUse { scope: *scope, limit, per: Duration::ZERO, used: running, next_free: None }
                }
            });
        }
        Ok(uses)
    }

    /// The names in a scope that have started most within a week, the first of them first.
    pub async fn fullest(&self, scope: Scope, limit: u32) -> Result<Vec<String>> {
        let mut conn = self.inner.db.read().await?;
        let found = query(
            "SELECT class FROM calls WHERE class >= $1 AND class < $2 AND began_at > $3 \
             GROUP BY class ORDER BY COUNT(*) DESC, class LIMIT $4",
        )
        .bind(format!("{scope}:"))
        .bind(format!("{scope};"))
        .bind(self.inner.clock.now().minus(LONGEST).0)
        .bind(i64::from(limit))
        .fetch_all(&mut conn)
        .await?;
        let names = found.iter().map(|row| {
            let class: &str = row.try_get("class")?;
            Ok(class.split_once(':').map_or(class, |(_, name)| name).to_owned())
        });
        names.collect()
    }

    /// How many runs each rule has started within a day and within a week, those with most first.
    pub async fn started(&self) -> Result<Vec<Started>> {
        let mut conn = self.inner.db.read().await?;
        let now = self.inner.clock.now();
        let found = query(
            "SELECT class, COUNT(*) AS week, SUM(CASE WHEN began_at > $1 THEN 1 ELSE 0 END) AS day FROM calls \
             WHERE class >= 'rule:' AND class < 'rule;' AND began_at > $2 GROUP BY class ORDER BY week DESC, class",
        )
        .bind(now.minus(Duration::from_hours(24)).0)
        .bind(now.minus(LONGEST).0)
        .fetch_all(&mut conn)
        .await?;
        let started = found.iter().map(|row| {
            let class: &str = row.try_get("class")?;
            let count = |column| Ok::<_, StoreError>(row.try_get::<i64>(column)?.max(0) as u64);
            let rule = class.strip_prefix("rule:").unwrap_or(class).to_owned();
            Ok(Started { rule, day: count("day")?, week: count("week")? })
        });
        started.collect()
    }

    /// Settles the notices of budgets that have room again; how many.
    pub async fn settle_budgets(&self) -> Result<u64> {
        let mut tx = self.inner.db.begin().await?;
        let now = self.inner.clock.now();
        let mut settled = 0;
        for notice in notices::open(&mut tx, NoticeKind::Budget).await? {
            let number = |key| notice.details.get(key).and_then(serde_json::Value::as_u64);
            let (Some(limit), Some(per)) = (number("limit"), number("per_ms")) else { continue };
            let (limit, per) = (u32::try_from(limit).unwrap_or(u32::MAX), Duration::from_millis(per));
            let (used, _) = calls::window_use(&mut tx, &notice.about, limit, per, now).await?;
            if !nearly_used(&BudgetUse { scope: Scope::All, limit, per, used, next_free: None }) {
                notices::settle(&mut tx, NoticeKind::Budget, &notice.about, now).await?;
                settled += 1;
            }
        }
        tx.commit().await?;
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::super::db::{self, query};
    use super::{Scope, running};

    /// Every release of a job asks it, and all deliveries wait meanwhile.
    #[tokio::test]
    async fn who_runs_is_counted_among_the_few_that_are_active() {
        let (_folder, mut conn) = db::empty().await;
        for scope in [Scope::All, Scope::File, Scope::Rule, Scope::Repo, Scope::Subject, Scope::Person] {
            let explain = query(format!("EXPLAIN QUERY PLAN {}", running(scope))).bind("x").bind("x");
            let plan = explain.fetch_all(&mut conn).await.unwrap();
            let plan: Vec<String> = plan.iter().map(|row| row.try_get("detail").unwrap()).collect();
            let few = ["jobs_active (active=?", "jobs_of_subject (subject=?"];
            assert!(plan.len() == 1 && few.iter().any(|index| plan[0].contains(index)), "{scope}: {plan:#?}");
        }
    }
}
