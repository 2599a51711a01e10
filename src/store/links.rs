//! Links between tickets and code: the names by which tickets are mentioned, and which branch belongs to which of them.

use std::collections::{BTreeMap, BTreeSet};

use super::db::{Conn, Tx, many, query, runs, within};
use super::errors::Result;
use super::subjects::Known;
use super::{Store, jobs};
use crate::model::clock::Timestamp;
use crate::model::subject::SubjectUpdate;

/// Subjects by the mention under which they are known.
type Found = BTreeMap<String, BTreeSet<String>>;

/// Remembers the names by which tickets are mentioned.
pub(super) async fn learn_aliases(tx: &mut Tx, updates: &[&SubjectUpdate], now: Timestamp) -> Result<()> {
    let aliases: BTreeSet<_> =
        updates.iter().filter_map(|update| Some((update.alias.as_deref()?, update.key.as_str()))).collect();
    let aliases: Vec<_> = aliases.into_iter().collect();
    for run in runs(&aliases) {
        let mut query = many(
            "INSERT INTO aliases (alias, subject, seen_at)",
            run.len(),
            3,
            "ON CONFLICT (alias, subject) DO UPDATE SET seen_at = excluded.seen_at",
        );
        for (alias, subject) in run {
            query = query.bind(*alias).bind(*subject).bind(now.0);
        }
        query.execute(tx).await?;
    }
    Ok(())
}

/// Joins the subjects of a group to the tickets that they mention, those that are not joined yet.
pub(super) async fn join(tx: &mut Tx, known: &mut BTreeMap<&str, Known<'_>>) -> Result<()> {
    let loose = known.values().filter(|of| of.facts.part_of.is_none());
    let wanted: BTreeSet<&str> = loose.flat_map(|of| of.mentions.iter().copied()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let mut found = look_up(tx, &wanted.iter().copied().collect::<Vec<_>>()).await?;
    // An issue may be told of in this very group.
    for key in wanted.into_iter().filter(|mention| known.contains_key(mention)) {
        found.entry(key.to_owned()).or_default().insert(key.to_owned());
    }
    for (key, of) in known.iter_mut().filter(|(_, of)| of.facts.part_of.is_none()) {
        of.facts.part_of = only(&found, of.mentions.iter().copied()).filter(|ticket| ticket != key);
    }
    Ok(())
}

/// What waits or runs for a subject that stood for itself belongs from now on to what the subject is a part of: else the
/// run that works there would not be seen, and a second one started beside it.
pub(super) async fn move_jobs(tx: &mut Tx, known: &BTreeMap<&str, Known<'_>>) -> Result<()> {
    for (key, of) in known.iter().filter(|(_, of)| of.apart) {
        let Some(context) = &of.facts.part_of else { continue };
        query("UPDATE jobs SET context = $2 WHERE subject = $1 AND context = $1 AND ended_at IS NULL")
            .bind(*key)
            .bind(context)
            .execute(tx)
            .await?;
        for context in [*key, context.as_str()] {
            jobs::part_lanes(tx, context).await?;
        }
    }
    Ok(())
}

/// The one subject that is mentioned; none when nobody knows them or they are several.
fn only<'m>(found: &Found, mentions: impl Iterator<Item = &'m str>) -> Option<String> {
    let subjects: BTreeSet<_> = mentions.filter_map(|mention| found.get(mention)).flatten().collect();
    let mut subjects = subjects.into_iter();
    subjects.next().filter(|_| subjects.next().is_none()).cloned()
}

async fn look_up(conn: &mut Conn, mentions: &[&str]) -> Result<Found> {
    const ALIASES: &str = "SELECT alias AS mention, subject FROM aliases WHERE alias";
    const ISSUES: &str = "SELECT key AS mention, key AS subject FROM subjects WHERE key";
    // An alias contains no slash, the key of a subject does.
    let (issues, aliases): (Vec<&str>, Vec<&str>) = mentions.iter().partition(|mention| mention.contains('/'));
    let mut found = Found::new();
    for (select, mentions) in [(ALIASES, aliases), (ISSUES, issues)] {
        for run in runs(&mentions) {
            let query = run.iter().fold(within(select, run.len()), |query, mention| query.bind(*mention));
            for row in query.fetch_all(&mut *conn).await? {
                found.entry(row.try_get("mention")?).or_default().insert(row.try_get("subject")?);
            }
        }
    }
    Ok(found)
}

impl Store {
    /// The one known ticket or issue among `mentions` (aliases and keys); `None` when none or several are known.
    pub async fn mentioned(&self, mentions: &[String]) -> Result<Option<String>> {
        let mut conn = self.inner.db.read().await?;
        let mentions: Vec<_> = mentions.iter().map(String::as_str).collect();
        let found = look_up(&mut conn, &mentions).await?;
        Ok(only(&found, mentions.into_iter()))
    }
}
