//! Forgetting: what is older than it need be goes, a few hundred rows a transaction so that nobody waits for it.

use std::sync::PoisonError;
use std::time::Duration;

use super::db::{Query, query, runs, within};
use super::errors::Result;
use super::{Store, budgets, calls, queue};

/// Rows that go in one transaction, at most.
const ROWS: i64 = 500;

/// How often so many checks are looked at in one sweep, at most: with a million of them the next one goes on there.
const LOOKS: usize = 40;

/// What a check is found by: host, repository, commit, name, and whether it stands for a whole suite.
pub(super) type CheckKey = (String, String, String, String, i64);

fn bind_check<'q>(query: Query<'q>, (host, repo, sha, name, aggregate): &'q CheckKey) -> Query<'q> {
    query.bind(host).bind(repo).bind(sha).bind(name).bind(*aggregate)
}

/// How long things are kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Bodies; longer while an open job needs them.
    pub bodies: Duration,
    /// Deliveries with their verdicts, ended jobs with their events, prompts and runs.
    pub records: Duration,
    /// Claims and attempts: what makes a cause one run.
    pub claims: Duration,
}

/// How many rows went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Packs of bodies that arrived together.
    pub bodies: u64,
    /// Deliveries.
    pub deliveries: u64,
    /// Ended jobs.
    pub jobs: u64,
    /// Claims and attempts.
    pub claims: u64,
    /// Calls, budgets, turns of lanes, ended pauses, settled notices, heads, checks, aliases and subjects.
    pub others: u64,
}

/// Walks from the oldest on, by id: ids sort by time, so a young row ends the walk, and no index on the time is needed.
const BODIES: Walk = Walk {
    look: "SELECT b.delivery AS id, b.received_at, EXISTS (SELECT 1 FROM job_events e JOIN jobs j ON j.id = e.job \
        WHERE e.delivery BETWEEN b.delivery AND COALESCE(b.last, b.delivery) AND j.ended_at IS NULL) AS needed \
        FROM bodies b WHERE b.delivery > $1 \
        ORDER BY b.delivery LIMIT $2",
    delete: "DELETE FROM bodies WHERE delivery",
};
/// A pack of bodies goes with the delivery that it is stored with: that one stays while an open job needs any of them.
const DELIVERIES: Walk = Walk {
    look: "SELECT d.id, d.received_at, EXISTS (SELECT 1 FROM job_events e JOIN jobs j ON j.id = e.job \
        WHERE e.delivery BETWEEN d.id AND COALESCE(b.last, d.id) AND j.ended_at IS NULL) AS needed \
        FROM deliveries d LEFT JOIN bodies b ON b.delivery = d.id WHERE d.id > $1 \
        ORDER BY d.id LIMIT $2",
    delete: "DELETE FROM deliveries WHERE id",
};

/// A run goes with the job that it is kept beside: that one stays while one follows the run that is younger or has not ended.
const JOBS: &str = "DELETE FROM jobs WHERE id IN \
    (SELECT o.id FROM jobs o WHERE o.ended_at IS NOT NULL AND o.ended_at < $1 AND NOT EXISTS \
    (SELECT 1 FROM runs r JOIN jobs f ON f.run = r.id WHERE r.job = o.id AND f.id <> o.id \
    AND (f.ended_at IS NULL OR f.ended_at >= $1)) ORDER BY o.ended_at LIMIT $2)";
const CLAIMS: &str = "DELETE FROM claims WHERE (rule, happening) IN \
    (SELECT rule, happening FROM claims WHERE claimed_at < $1 ORDER BY claimed_at LIMIT $2)";
const ATTEMPTS: &str = "DELETE FROM attempts WHERE (subject, sha, grp) IN \
    (SELECT subject, sha, grp FROM attempts WHERE made_at < $1 ORDER BY made_at LIMIT $2)";
/// Calls of the API; budgets are kept for as long as rules may count them.
const CALLS: &str = "DELETE FROM calls WHERE (id, class) IN (SELECT id, class FROM calls WHERE class IN \
    ('create', 'standard', 'setup_commands', 'log_analysis', 'logs') AND ended_at < $1 LIMIT $2)";
const BUDGETS: &str = "DELETE FROM calls WHERE (id, class) IN \
    (SELECT id, class FROM calls WHERE ended_at < $1 ORDER BY ended_at LIMIT $2)";
const LANES: &str = "DELETE FROM lanes WHERE lane IN \
    (SELECT lane FROM lanes WHERE served_at < $1 ORDER BY served_at LIMIT $2)";
const PAUSES: &str = "DELETE FROM pauses WHERE (scope, name) IN \
    (SELECT scope, name FROM pauses WHERE until_at < $1 LIMIT $2)";
const NOTICES: &str = "DELETE FROM notices WHERE id IN \
    (SELECT id FROM notices WHERE settled_at < $1 ORDER BY settled_at LIMIT $2)";
const HEADS: &str = "DELETE FROM heads WHERE (host, repo, sha, subject) IN \
    (SELECT host, repo, sha, subject FROM heads WHERE seen_at < $1 ORDER BY seen_at LIMIT $2)";
const ALIASES: &str = "DELETE FROM aliases WHERE (alias, subject) IN \
    (SELECT alias, subject FROM aliases WHERE seen_at < $1 ORDER BY seen_at LIMIT $2)";
const SUBJECTS: &str = "DELETE FROM subjects WHERE key IN \
    (SELECT key FROM subjects WHERE updated_at < $1 ORDER BY updated_at LIMIT $2)";

struct Walk {
    look: &'static str,
    delete: &'static str,
}

impl Store {
    /// Forgets what is older than it need be. What belongs to a delivery or a job goes with it.
    pub async fn sweep(&self, retention: &Retention) -> Result<Swept> {
        let now = self.inner.clock.now();
        let (bodies, records, claims) =
            (now.minus(retention.bodies).0, now.minus(retention.records).0, now.minus(retention.claims).0);
        let window = calls::longest_window(&self.inner.limits);
        let (windows, budgets) = (now.minus(window).0, now.minus(budgets::LONGEST.max(window)).0);
        let turns = now.minus(queue::TURNS).0;
        let mut swept = Swept { bodies: self.walk(&BODIES, bodies).await?, ..Swept::default() };
        swept.jobs = self.forget(JOBS, records).await?;
        swept.deliveries = self.walk(&DELIVERIES, records).await?;
        swept.claims = self.forget(CLAIMS, claims).await? + self.forget(ATTEMPTS, claims).await?;
        // A commit that is forgotten earlier than its subject could turn a fork's check into one of ours.
        let others = [
            (CALLS, windows),
            (BUDGETS, budgets),
            (LANES, turns),
            (PAUSES, now.0),
            (NOTICES, records),
            (HEADS, claims),
            (ALIASES, claims),
            (SUBJECTS, claims),
        ];
        for (delete, before) in others {
            swept.others += self.forget(delete, before).await?;
        }
        swept.others += self.forget_checks(records).await?;
        Ok(swept)
    }

    /// Deletes in transactions of at most [`ROWS`] rows until nothing is left to delete.
    async fn forget(&self, delete: &'static str, before: i64) -> Result<u64> {
        let mut gone = 0;
        loop {
            let mut tx = self.inner.db.begin().await?;
            let deleted = query(delete).bind(before).bind(ROWS).execute(&mut tx).await?;
            tx.commit().await?;
            gone += deleted;
            if deleted < ROWS as u64 {
                return Ok(gone);
            }
        }
    }

    /// The same for checks. They have no index on their time, which every one that arrives would pay for: a part of them is
    /// looked at each time, by their key, and the next part the next time.
    async fn forget_checks(&self, before: i64) -> Result<u64> {
        let mut gone = 0;
        let mut place = self.inner.swept_checks.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for _ in 0..LOOKS {
            let mut conn = self.inner.db.read().await?;
            let found = query(
                "SELECT host, repo, sha, name, aggregate, seen_at FROM checks \
                 WHERE (host, repo, sha, name, aggregate) > ($1, $2, $3, $4, $5) \
                 ORDER BY host, repo, sha, name, aggregate LIMIT $6",
            );
            let found = bind_check(found, &place).bind(ROWS).fetch_all(&mut conn).await?;
            drop(conn);
            let mut old = Vec::new();
            for row in &found {
                let text = |column| row.try_get::<String>(column);
                place = (text("host")?, text("repo")?, text("sha")?, text("name")?, row.try_get("aggregate")?);
                if row.try_get::<i64>("seen_at")? < before {
                    old.push(place.clone());
                }
            }
            if !old.is_empty() {
                let mut tx = self.inner.db.begin().await?;
                for key in &old {
                    // It may have been told once more since.
                    let delete = query(
                        "DELETE FROM checks WHERE host = $1 AND repo = $2 AND sha = $3 AND name = $4 AND aggregate = $5 \
                         AND seen_at < $6",
                    );
                    gone += bind_check(delete, key).bind(before).execute(&mut tx).await?;
                }
                tx.commit().await?;
            }
            if found.len() < ROWS as usize {
                place = CheckKey::default();
                break;
            }
        }
        *self.inner.swept_checks.lock().unwrap_or_else(PoisonError::into_inner) = place;
        Ok(gone)
    }

    /// The same along a primary key, passing over what a job that has not ended needs.
    async fn walk(&self, walk: &Walk, before: i64) -> Result<u64> {
        let mut gone = 0;
        let mut last = String::new();
        loop {
            let mut tx = self.inner.db.begin().await?;
            let found = query(walk.look).bind(&last).bind(ROWS).fetch_all(&mut tx).await?;
            let mut old = Vec::with_capacity(found.len());
            let mut young = found.len() < ROWS as usize;
            for row in &found {
                last = row.try_get("id")?;
                if row.try_get::<i64>("received_at")? >= before {
                    young = true;
                } else if !row.try_get::<bool>("needed")? {
                    old.push(last.clone());
                }
            }
            for run in runs(&old) {
                let query = run.iter().fold(within(walk.delete, run.len()), Query::bind);
                gone += query.execute(&mut tx).await?;
            }
            tx.commit().await?;
            if young {
                return Ok(gone);
            }
        }
    }
}
