//! What is known about subjects, their commits and checks, and when their attempts are counted anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sqlx::Row;

use super::errors::Result;
use super::sqlite::{Conn, Tx};
use super::{Store, notices, rows, sql};
use crate::model::acceptance::{Acceptance, AttemptReset};
use crate::model::clock::Timestamp;
use crate::model::notice::NoticeKind;
use crate::model::subject::{CheckUpdate, Facts, KnownSubject, SubjectLookup, SubjectUpdate};

/// After one of our runs has ended its push may still arrive; so long no push counts as a person's.
const RUN_ECHO: Duration = Duration::from_mins(15);

/// Adds what a group of deliveries says, in the order in which they arrived.
pub(super) async fn learn<'g>(
    tx: &mut Tx<'_>,
    group: impl Iterator<Item = &'g Acceptance> + Clone,
    now: Timestamp,
) -> Result<()> {
    let updates: Vec<&SubjectUpdate> = group.clone().flat_map(|acceptance| &acceptance.subjects).collect();
    absorb(tx, &updates, now).await?;
    let checks: Vec<&CheckUpdate> = group.clone().flat_map(|acceptance| &acceptance.checks).collect();
    note_checks(tx, &checks, now).await?;
    for reset in group.flat_map(|acceptance| &acceptance.resets) {
        reset_attempts(tx, reset, now).await?;
    }
    Ok(())
}

/// Lays updates over what is stored.
pub(super) async fn absorb(tx: &mut Tx<'_>, updates: &[&SubjectUpdate], now: Timestamp) -> Result<()> {
    let mut known: BTreeMap<&str, (&SubjectUpdate, Facts)> = BTreeMap::new();
    let mut heads = BTreeSet::new();
    for update in updates {
        if !known.contains_key(update.key.as_str()) {
            let facts = facts_of(tx, &update.key).await?.unwrap_or_default();
            known.insert(&update.key, (update, facts));
        }
        if let Some((latest, facts)) = known.get_mut(update.key.as_str()) {
            facts.absorb(update.facts.clone());
            *latest = update;
        }
        if let Some(sha) = &update.facts.head_sha {
            heads.insert((&update.host, &update.repo, sha, &update.key));
        }
    }
    // What is known of the subject counts, not what this delivery repeats of it: a fork stays one though nobody says so.
    let heads: Vec<_> = heads
        .into_iter()
        .map(|head| (head, known.get(head.3.as_str()).is_some_and(|(_, facts)| facts.fork == Some(true))))
        .collect();
    let known: Vec<_> = known.into_values().collect();
    for run in sql::runs(&known) {
        let mut query = sql::many(
            "INSERT INTO subjects (key, host, repo, change_number, facts, updated_at)",
            run.len(),
            6,
            "ON CONFLICT (key) DO UPDATE SET host = excluded.host, repo = excluded.repo, \
             change_number = excluded.change_number, facts = excluded.facts, updated_at = excluded.updated_at",
        );
        for (update, facts) in run {
            query = query
                .bind(&update.key)
                .bind(&update.host)
                .bind(&update.repo)
                .bind(facts.change.map(|number| number as i64))
                .bind(rows::to_json(facts))
                .bind(now.0);
        }
        query.execute(&mut **tx).await?;
    }
    for run in sql::runs(&heads) {
        let mut query = sql::many(
            "INSERT INTO heads (host, repo, sha, subject, fork, seen_at)",
            run.len(),
            6,
            "ON CONFLICT (host, repo, sha, subject) DO UPDATE SET fork = excluded.fork, seen_at = excluded.seen_at",
        );
        for ((host, repo, sha, key), fork) in run {
            query = query.bind(*host).bind(*repo).bind(*sha).bind(*key).bind(i64::from(*fork)).bind(now.0);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

async fn facts_of(conn: &mut Conn, key: &str) -> Result<Option<Facts>> {
    let row = sqlx::query("SELECT facts FROM subjects WHERE key = $1").bind(key).fetch_optional(conn).await?;
    row.map(|row| rows::json("subjects", "facts", row.try_get("facts")?)).transpose()
}

async fn note_checks(tx: &mut Tx<'_>, checks: &[&CheckUpdate], now: Timestamp) -> Result<()> {
    let mut newest = BTreeMap::new();
    for update in checks {
        newest.insert((&update.host, &update.repo, &update.sha, &update.check.name, update.check.aggregate), update);
    }
    let newest: Vec<_> = newest.into_values().collect();
    let unfit: BTreeSet<_> = newest.iter().filter(|it| !is_fit(&it.check.outcome)).map(|it| &it.sha).collect();
    for sha in unfit {
        // Its success was told before all of its checks were known.
        sqlx::query("UPDATE attempts SET cleared_by = NULL WHERE cleared_by = $1").bind(sha).execute(&mut **tx).await?;
    }
    for run in sql::runs(&newest) {
        let mut query = sql::many(
            "INSERT INTO checks (host, repo, sha, name, aggregate, outcome, seen_at)",
            run.len(),
            7,
            "ON CONFLICT (host, repo, sha, name, aggregate) DO UPDATE SET outcome = excluded.outcome, \
             seen_at = excluded.seen_at",
        );
        for update in run {
            query = query
                .bind(&update.host)
                .bind(&update.repo)
                .bind(&update.sha)
                .bind(&update.check.name)
                .bind(i64::from(update.check.aggregate))
                .bind(&update.check.outcome)
                .bind(now.0);
        }
        query.execute(&mut **tx).await?;
    }
    Ok(())
}

/// Whether a check is good or does not matter; what else there is, is red or has not ended.
pub(super) fn is_fit(outcome: &str) -> bool {
    let fit = ["success", "neutral", "skipped", "cancelled", "canceled", "stale", "manual"];
    fit.iter().any(|word| outcome.eq_ignore_ascii_case(word))
}

/// Counts a subject's attempts from zero again, unless something that only the store knows stands against it.
async fn reset_attempts(tx: &mut Tx<'_>, reset: &AttemptReset, now: Timestamp) -> Result<()> {
    let subject = match reset {
        AttemptReset::Green { subject, host, repo, sha } => {
            let checks = sqlx::query("SELECT outcome FROM checks WHERE host = $1 AND repo = $2 AND sha = $3")
                .bind(host)
                .bind(repo)
                .bind(sha)
                .fetch_all(&mut **tx)
                .await?;
            for check in checks {
                if !is_fit(check.try_get("outcome")?) {
                    return Ok(());
                }
            }
            // Not forgotten: a check of this commit that turns red later takes it back.
            sqlx::query("UPDATE attempts SET cleared_by = $2 WHERE subject = $1 AND cleared_by IS NULL")
                .bind(subject)
                .bind(sha)
                .execute(&mut **tx)
                .await?;
            return notices::settle(tx, NoticeKind::HandOff, subject, now).await;
        }
        AttemptReset::HumanPush { subject } => {
            let ours = sqlx::query(
                "SELECT 1 FROM jobs WHERE busy = $1 UNION ALL SELECT 1 FROM jobs \
                 WHERE subject = $1 AND ended_at > $2 AND submitted_at IS NOT NULL LIMIT 1",
            )
            .bind(subject)
            .bind(now.minus(RUN_ECHO).0)
            .fetch_optional(&mut **tx)
            .await?;
            if ours.is_some() {
                return Ok(());
            }
            subject
        }
    };
    sqlx::query("DELETE FROM attempts WHERE subject = $1").bind(subject).execute(&mut **tx).await?;
    notices::settle(tx, NoticeKind::HandOff, subject, now).await
}

impl Store {
    /// What is known of an event's subject: of a fork's change that has this head, before anything else; else by key,
    /// by change number, by commit.
    pub async fn subject(&self, lookup: &SubjectLookup) -> Result<Option<KnownSubject>> {
        let mut conn = self.inner.readers.acquire().await?;
        let by_head = match &lookup.sha {
            Some(sha) => {
                sqlx::query(
                    "SELECT s.key, s.facts, h.fork FROM heads h JOIN subjects s ON s.key = h.subject \
                 WHERE h.host = $1 AND h.repo = $2 AND h.sha = $3 ORDER BY h.fork DESC, h.seen_at DESC LIMIT 1",
                )
                .bind(&lookup.host)
                .bind(&lookup.repo)
                .bind(sha)
                .fetch_optional(&mut *conn)
                .await?
            }
            None => None,
        };
        if let Some(row) = &by_head
            && row.try_get::<i64, _>("fork")? == 1
        {
            return known(row).map(Some);
        }
        if let Some(facts) = facts_of(&mut conn, &lookup.key).await? {
            return Ok(Some(KnownSubject { key: lookup.key.clone(), facts }));
        }
        if let Some(number) = lookup.change {
            let row = sqlx::query(
                "SELECT key, facts FROM subjects WHERE host = $1 AND repo = $2 AND change_number = $3 \
                 ORDER BY updated_at DESC LIMIT 1",
            )
            .bind(&lookup.host)
            .bind(&lookup.repo)
            .bind(number as i64)
            .fetch_optional(&mut *conn)
            .await?;
            if let Some(row) = row {
                return known(&row).map(Some);
            }
        }
        by_head.as_ref().map(known).transpose()
    }
}

fn known(row: &sqlx::sqlite::SqliteRow) -> Result<KnownSubject> {
    Ok(KnownSubject { key: row.try_get("key")?, facts: rows::json("subjects", "facts", row.try_get("facts")?)? })
}
