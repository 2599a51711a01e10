//! What is known about subjects, their commits and checks, and when their attempts are counted anew.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::db::{Conn, Row, Tx, many, query, runs, within};
use super::errors::Result;
use super::heads::Heads;
use super::{Store, links, notices, rows};
use crate::model::acceptance::{Acceptance, AttemptReset};
use crate::model::clock::Timestamp;
use crate::model::notice::NoticeKind;
use crate::model::subject::{CheckUpdate, Facts, KnownSubject, SubjectLookup, SubjectUpdate};

/// Every queued job of these commits that a gate has put aside.
pub(super) const PARKED: &str =
    "UPDATE jobs SET not_before = 0 WHERE not_before > 0 AND ended_at IS NULL AND submitted_at IS NULL AND sha";

/// After one of our runs has ended its push may still arrive; so long no push counts as a person's.
const RUN_ECHO: Duration = Duration::from_mins(15);

/// What is told again within this time and says nothing new is not written again: when it was seen serves forgetting, and
/// twenty checks of one commit come in a minute.
pub(super) const LASTS: Duration = Duration::from_mins(1);

/// What a group of deliveries changed of what is known.
#[derive(Debug, Default)]
pub(super) struct Learnt<'g> {
    /// What may make jobs pointless.
    pub(super) turns: Vec<Turn<'g>>,
    /// Whether a job that was parked until its checks end may be looked at again.
    pub(super) woken: bool,
}

/// Something that may make jobs of a subject pointless.
#[derive(Clone, Debug)]
pub(super) enum Turn<'g> {
    /// Its head is another commit now.
    Moved {
        update: &'g SubjectUpdate,
        /// Whether a run is told: somebody is known to have pushed, and it was none of ours.
        telling: bool,
    },
    /// Its change or issue was closed.
    Closed { update: &'g SubjectUpdate, change: Option<u64> },
    /// Every check of this commit of it is green.
    Green { subject: &'g str, sha: &'g str },
}

/// Adds what a group of deliveries says, in the order in which they arrived.
pub(super) async fn learn<'g>(
    tx: &mut Tx,
    group: impl Iterator<Item = &'g Acceptance> + Clone,
    now: Timestamp,
) -> Result<Learnt<'g>> {
    let updates: Vec<&SubjectUpdate> = group.clone().flat_map(|acceptance| &acceptance.subjects).collect();
    let mut turns = absorb(tx, &updates, now).await?;
    let checks: Vec<&CheckUpdate> = group.clone().flat_map(|acceptance| &acceptance.checks).collect();
    let woken = note_checks(tx, &checks, now).await?;
    for reset in group.flat_map(|acceptance| &acceptance.resets) {
        turns.extend(reset_attempts(tx, reset, now).await?);
    }
    Ok(Learnt { turns, woken })
}

/// What is known of a subject, and what a group adds to it.
pub(super) struct Known<'u> {
    pub(super) latest: &'u SubjectUpdate,
    pub(super) facts: Facts,
    /// What its deliveries seem to mention.
    pub(super) mentions: Vec<&'u str>,
    /// Whether it stood for itself until now.
    pub(super) apart: bool,
    /// The facts as they are stored, if they were written lately.
    fresh: Option<Facts>,
}

/// Lays updates over what is stored; answers what turned by that.
pub(super) async fn absorb<'u>(tx: &mut Tx, updates: &[&'u SubjectUpdate], now: Timestamp) -> Result<Vec<Turn<'u>>> {
    links::learn_aliases(tx, updates, now).await?;
    let mut known: BTreeMap<&str, Known<'u>> = BTreeMap::new();
    let mut stored = facts_of_all(tx, updates).await?;
    let mut heads = Heads::read(tx, updates).await?;
    let mut turns = Vec::new();
    for update in updates {
        if !known.contains_key(update.key.as_str()) {
            let (facts, fresh) = match stored.remove(&update.key) {
                Some((facts, written)) => {
                    let fresh = (written.plus(LASTS) > now).then(|| facts.clone());
                    (facts, fresh)
                }
                None => (Facts::default(), None),
            };
            let apart = facts.part_of.is_none();
            known.insert(&update.key, Known { latest: update, facts, mentions: Vec::new(), apart, fresh });
        }
        let Some(of) = known.get_mut(update.key.as_str()) else { continue };
        of.latest = update;
        of.mentions.extend(update.mentions.iter().map(String::as_str));
        let mut newer = update.facts.clone();
        if heads.is_old(update, of.facts.head_sha.as_ref()) {
            newer.head_sha = None;
            newer.last_pusher = None;
        }
        let (head, open) = (of.facts.head_sha.clone(), of.facts.open);
        of.facts.absorb(newer);
        if update.deleted && update.head_before == head {
            of.facts.head_sha = None;
        }
        if of.facts.head_sha.is_some() && of.facts.head_sha != head {
            let by_others = update.facts.last_pusher.is_some() && !update.by_agent && of.facts.ours != Some(true);
            turns.push(Turn::Moved { update, telling: by_others });
        }
        if of.facts.open == Some(false) && open != Some(false) {
            turns.push(Turn::Closed { update, change: of.facts.change });
        }
        heads.add(update);
    }
    links::join(tx, &mut known).await?;
    links::move_jobs(tx, &known).await?;
    heads.write(tx, &known, now).await?;
    write(tx, known, now).await?;
    Ok(turns)
}

async fn write(tx: &mut Tx, known: BTreeMap<&str, Known<'_>>, now: Timestamp) -> Result<()> {
    let changed: Vec<_> = known.into_values().filter(|of| of.fresh.as_ref() != Some(&of.facts)).collect();
    for run in runs(&changed) {
        // A comment on a change that is over names nothing but its number.
        let mut query = many(
            "INSERT INTO subjects (key, host, repo, change_number, facts, updated_at)",
            run.len(),
            6,
            "ON CONFLICT (key) DO UPDATE SET change_number = COALESCE(excluded.change_number, subjects.change_number), facts = excluded.facts, \
             updated_at = excluded.updated_at",
        );
        for Known { latest, facts, .. } in run {
            query = query
                .bind(&latest.key)
                .bind(&latest.host)
                .bind(&latest.repo)
                .bind(facts.change.map(|number| number as i64))
                .bind(rows::to_json(facts))
                .bind(now.0);
        }
        query.execute(tx).await?;
    }
    Ok(())
}

/// What is stored of the subjects of these updates, by their keys, and when it was written.
async fn facts_of_all(conn: &mut Conn, updates: &[&SubjectUpdate]) -> Result<BTreeMap<String, (Facts, Timestamp)>> {
    let keys: BTreeSet<&String> = updates.iter().map(|update| &update.key).collect();
    let mut found = BTreeMap::new();
    for run in runs(&keys.into_iter().collect::<Vec<_>>()) {
        let select = within("SELECT key, facts, updated_at FROM subjects WHERE key", run.len());
        for row in run.iter().fold(select, |query, key| query.bind(*key)).fetch_all(conn).await? {
            let facts = rows::json("subjects", "facts", row.try_get("facts")?)?;
            found.insert(row.try_get("key")?, (facts, Timestamp(row.try_get("updated_at")?)));
        }
    }
    Ok(found)
}

async fn facts_of(conn: &mut Conn, key: &str) -> Result<Option<Facts>> {
    let row = query("SELECT facts FROM subjects WHERE key = $1").bind(key).fetch_optional(conn).await?;
    row.map(|row| rows::json("subjects", "facts", row.try_get("facts")?)).transpose()
}

/// Keeps the state of checks; answers whether a job waited for one of them.
async fn note_checks(tx: &mut Tx, checks: &[&CheckUpdate], now: Timestamp) -> Result<bool> {
    let mut newest = BTreeMap::new();
    for update in checks {
        newest.insert((&update.host, &update.repo, &update.sha, &update.check.name, update.check.aggregate), update);
    }
    let newest: Vec<_> = newest.into_values().collect();
    if newest.is_empty() {
        return Ok(false);
    }
    // Where nothing has been cleared and nothing is parked, one question spares two statements for each commit.
    let concerned = query(
        "SELECT EXISTS (SELECT 1 FROM attempts WHERE cleared_by IS NOT NULL) AS cleared, \
         EXISTS (SELECT 1 FROM jobs WHERE not_before > 0) AS parked",
    );
    let concerned = concerned.fetch_one(tx).await?;
    let unfit: BTreeSet<_> = newest.iter().filter(|it| !is_fit(&it.check.outcome)).map(|it| &it.sha).collect();
    let unfit = if concerned.try_get("cleared")? { unfit.into_iter().collect() } else { Vec::new() };
    for run in runs(&unfit) {
        // Its success was told before all of its checks were known.
        let update = within("UPDATE attempts SET cleared_by = NULL WHERE cleared_by", run.len());
        run.iter().fold(update, |query, sha| query.bind(*sha)).execute(tx).await?;
    }
    for run in runs(&newest) {
        let mut query = many(
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
        query.execute(tx).await?;
    }
    if !concerned.try_get::<bool>("parked")? {
        return Ok(false);
    }
    let commits: BTreeSet<_> = newest.iter().map(|it| &it.sha).collect();
    unpark(tx, &commits.into_iter().collect::<Vec<_>>()).await
}

/// Jobs that were put aside until something is known of their commit are looked at again.
async fn unpark(tx: &mut Tx, commits: &[&String]) -> Result<bool> {
    let mut woken = 0;
    for run in runs(commits) {
        let query = run.iter().fold(within(PARKED, run.len()), |query, sha| query.bind(*sha));
        woken += query.execute(tx).await?;
    }
    Ok(woken > 0)
}

/// Whether a check is good or does not matter; what else there is, is red or has not ended.
pub(super) fn is_fit(outcome: &str) -> bool {
    let fit = ["success", "neutral", "skipped", "cancelled", "canceled", "stale", "manual"];
    fit.iter().any(|word| outcome.eq_ignore_ascii_case(word))
}

/// Counts a subject's attempts from zero again, unless something that only the store knows stands against it.
async fn reset_attempts<'g>(tx: &mut Tx, reset: &'g AttemptReset, now: Timestamp) -> Result<Option<Turn<'g>>> {
    let subject = match reset {
        AttemptReset::Green { subject, host, repo, sha } => {
            let checks = query("SELECT outcome FROM checks WHERE host = $1 AND repo = $2 AND sha = $3")
                .bind(host)
                .bind(repo)
                .bind(sha)
                .fetch_all(tx)
                .await?;
            for check in checks {
                if !is_fit(check.try_get("outcome")?) {
                    return Ok(None);
                }
            }
            // Not forgotten: a check of this commit that turns red later takes it back.
            query("UPDATE attempts SET cleared_by = $2 WHERE subject = $1 AND cleared_by IS NULL")
                .bind(subject)
                .bind(sha)
                .execute(tx)
                .await?;
            notices::settle(tx, NoticeKind::HandOff, subject, now).await?;
            return Ok(Some(Turn::Green { subject, sha }));
        }
        AttemptReset::HumanPush { subject } => {
            // The run may have been asked for by the ticket that the branch belongs to.
            let context = facts_of(tx, subject).await?.and_then(|facts| facts.part_of);
            let ours = query(
                "SELECT 1 FROM jobs WHERE busy IN ($1, $3) UNION ALL SELECT 1 FROM jobs \
                 WHERE subject = $1 AND (ended_at > $2 OR ended_at IS NULL) AND submitted_at IS NOT NULL \
                 UNION ALL SELECT 1 FROM jobs WHERE context = $3 AND run IS NOT NULL AND ended_at > $2 LIMIT 1",
            )
            .bind(subject)
            .bind(now.minus(RUN_ECHO).0)
            .bind(context.as_ref().unwrap_or(subject))
            .fetch_optional(tx)
            .await?;
            if ours.is_some() {
                return Ok(None);
            }
            subject
        }
    };
    query("DELETE FROM attempts WHERE subject = $1").bind(subject).execute(tx).await?;
    notices::settle(tx, NoticeKind::HandOff, subject, now).await?;
    Ok(None)
}

impl Store {
    /// What is known of an event's subject: of a fork's change that has this head, before anything else; else by key,
    /// by change number, by commit.
    pub async fn subject(&self, lookup: &SubjectLookup) -> Result<Option<KnownSubject>> {
        let mut conn = self.inner.db.read().await?;
        let by_head = match &lookup.sha {
            Some(sha) => {
                query(
                    "SELECT s.key, s.facts, h.fork FROM heads h JOIN subjects s ON s.key = h.subject \
                 WHERE h.host = $1 AND h.repo = $2 AND h.sha = $3 ORDER BY h.fork DESC, h.seen_at DESC LIMIT 1",
                )
                .bind(&lookup.host)
                .bind(&lookup.repo)
                .bind(sha)
                .fetch_optional(&mut conn)
                .await?
            }
            None => None,
        };
        if let Some(row) = &by_head
            && row.try_get::<i64>("fork")? == 1
        {
            return known(row).map(Some);
        }
        if let Some(facts) = facts_of(&mut conn, &lookup.key).await? {
            return Ok(Some(KnownSubject { key: lookup.key.clone(), facts }));
        }
        if let Some(number) = lookup.change {
            let row = query(
                "SELECT key, facts FROM subjects WHERE host = $1 AND repo = $2 AND change_number = $3 \
                 ORDER BY updated_at DESC LIMIT 1",
            )
            .bind(&lookup.host)
            .bind(&lookup.repo)
            .bind(number as i64)
            .fetch_optional(&mut conn)
            .await?;
            if let Some(row) = row {
                return known(&row).map(Some);
            }
        }
        by_head.as_ref().map(known).transpose()
    }
}

fn known(row: &Row) -> Result<KnownSubject> {
    Ok(KnownSubject { key: row.try_get("key")?, facts: rows::json("subjects", "facts", row.try_get("facts")?)? })
}
