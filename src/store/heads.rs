//! The commits that were heads of subjects: which news of a head is old, and to which subject a commit belongs.

use std::collections::{BTreeMap, BTreeSet};

use super::db::{Conn, Tx, many, query, runs, within};
use super::errors::Result;
use super::subjects::{Known, LASTS};
use crate::model::clock::Timestamp;
use crate::model::subject::{SubjectUpdate, is_elsewhere};

/// The heads that a group of deliveries tells of: host, repository, commit and subject.
#[derive(Debug, Default)]
pub(super) struct Heads<'u> {
    told: BTreeSet<(&'u str, &'u str, &'u str, &'u str)>,
    /// Those that were known before, as a fork's or not, and when they were seen.
    stored: BTreeMap<[String; 4], (bool, Timestamp)>,
    /// Heads that were there before a push; nobody says that they are heads now.
    before: BTreeSet<(&'u str, &'u str, &'u str, &'u str)>,
}

fn owned((host, repo, sha, key): (&str, &str, &str, &str)) -> [String; 4] {
    [host, repo, sha, key].map(str::to_owned)
}

/// Whether a commit is known as a head that the subject of an update has or had. One that is not may be newer than what we
/// were told of.
pub(super) async fn was_head(conn: &mut Conn, of: &SubjectUpdate, sha: &str) -> Result<bool> {
    let known = query("SELECT 1 FROM heads WHERE host = $1 AND repo = $2 AND sha = $3 AND subject = $4")
        .bind(&of.host)
        .bind(&of.repo)
        .bind(sha)
        .bind(&of.key)
        .fetch_optional(conn)
        .await?;
    Ok(known.is_some())
}

impl<'u> Heads<'u> {
    /// Nothing yet, beside what is known of the heads that these updates tell of.
    pub(super) async fn read(conn: &mut Conn, updates: &[&'u SubjectUpdate]) -> Result<Self> {
        let mut heads = Self::default();
        let commits: BTreeSet<&String> = updates.iter().filter_map(|update| update.facts.head_sha.as_ref()).collect();
        for run in runs(&commits.into_iter().collect::<Vec<_>>()) {
            let select = within("SELECT host, repo, sha, subject, fork, seen_at FROM heads WHERE sha", run.len());
            for row in run.iter().fold(select, |query, sha| query.bind(*sha)).fetch_all(conn).await? {
                let text = |column| row.try_get::<String>(column);
                let head = [text("host")?, text("repo")?, text("sha")?, text("subject")?];
                heads.stored.insert(head, (row.try_get("fork")?, Timestamp(row.try_get("seen_at")?)));
            }
        }
        Ok(heads)
    }

    /// Whether the head that is told is old news: it was a head of the subject before, and it is not pushed over the head
    /// that the subject has now. So a push that is told again, or overtaken by a later one, moves nothing back.
    pub(super) fn is_old(&self, update: &SubjectUpdate, present: Option<&String>) -> bool {
        let (Some(sha), Some(present)) = (&update.facts.head_sha, present) else { return false };
        if sha == present || update.head_before.as_ref() == Some(present) {
            return false;
        }
        let head = (update.host.as_str(), update.repo.as_str(), sha.as_str(), update.key.as_str());
        self.told.contains(&head) || self.before.contains(&head) || self.stored.contains_key(&owned(head))
    }

    /// Remembers the head of an update, and the one before it.
    pub(super) fn add(&mut self, update: &'u SubjectUpdate) {
        let head = |sha| (update.host.as_str(), update.repo.as_str(), sha, update.key.as_str());
        self.told.extend(update.facts.head_sha.as_deref().map(head));
        self.before.extend(update.head_before.as_deref().map(head));
    }

    /// Writes them. What is known of the subject counts, not what a delivery repeats of it: a fork stays one though
    /// nobody says so, for the repository that it is a fork of.
    pub(super) async fn write(self, tx: &mut Tx, known: &BTreeMap<&str, Known<'_>>, now: Timestamp) -> Result<()> {
        const TOLD: &str = "ON CONFLICT (host, repo, sha, subject) DO UPDATE SET fork = excluded.fork, \
            seen_at = excluded.seen_at";
        const BEFORE: &str = "ON CONFLICT (host, repo, sha, subject) DO NOTHING";
        for (heads, conflict) in [(self.told, TOLD), (self.before, BEFORE)] {
            let is_fork = |(host, repo, _, key): (&str, &str, &str, &'u str)| {
                let told = || known.get(key).is_some_and(|of| of.facts.fork == Some(true));
                is_elsewhere(key, host, repo).unwrap_or_else(told)
            };
            let is_news = |head: (&str, &str, &str, &'u str)| match self.stored.get(&owned(head)) {
                Some((fork, seen_at)) => *fork != is_fork(head) || seen_at.plus(LASTS) <= now,
                None => true,
            };
            let heads: Vec<_> = heads.into_iter().filter(|head| is_news(*head)).collect();
            for run in runs(&heads) {
                let mut query =
                    many("INSERT INTO heads (host, repo, sha, subject, fork, seen_at)", run.len(), 6, conflict);
                for head @ (host, repo, sha, key) in run {
                    let fork = i64::from(is_fork(*head));
                    query = query.bind(*host).bind(*repo).bind(*sha).bind(*key).bind(fork).bind(now.0);
                }
                query.execute(tx).await?;
            }
        }
        Ok(())
    }
}
