//! Stale work stops: what waits is superseded, and what runs is told or banned where its rule says so.

use std::collections::HashSet;

use super::db::{Conn, Tx, query};
use super::errors::Result;
use super::heads::was_head;
use super::jobs::{self, NewJob};
use super::subjects::Turn;
use super::{Store, rows};
use crate::model::clock::Timestamp;
use crate::model::id::new_id;
use crate::model::job::{Job, StaleOn};
use crate::model::policy::{Action, OnStale, Priority};

/// So often one run is told something of itself at most: an agent that pushes in the name of a person would otherwise be
/// told of its own pushes for ever.
const MOST_ACTS: i64 = 3;

/// Open jobs of a subject end as superseded. What follows says which of them.
const SUPERSEDE: &str = "UPDATE jobs SET state = 'superseded', reason = $2, updated_at = $3, ended_at = $3, \
    hold_until = NULL, revision = revision + 1 WHERE subject = $1 AND ended_at IS NULL AND open = 1";

/// What a group turned: at most one change of each kind for each subject counts, the last.
pub(super) async fn act_upon(
    tx: &mut Tx,
    turns: &[Turn<'_>],
    on_stale: &[(String, OnStale)],
    now: Timestamp,
) -> Result<bool> {
    let mut made = false;
    for (at, turn) in turns.iter().enumerate() {
        if !turns[at + 1..].iter().any(|later| later.is_like(turn)) {
            supersede(tx, turn, now).await?;
            made |= tell(tx, turn, on_stale, now).await?;
        }
    }
    Ok(made)
}

async fn supersede(tx: &mut Tx, turn: &Turn<'_>, now: Timestamp) -> Result<()> {
    let reason = turn.reason();
    let statement = |which: &str| format!("{SUPERSEDE} AND {which}");
    match turn {
        // A commit that was never known as a head may be newer than what we were told of.
        Turn::Moved { update, .. } => {
            query(statement(
                "stale_on LIKE '%head%' AND sha <> $4 AND EXISTS (SELECT 1 FROM heads h WHERE h.host = $5 \
                 AND h.repo = $6 AND h.sha = jobs.sha AND h.subject = $1)",
            ))
            .bind(&update.key)
            .bind(reason)
            .bind(now.0)
            .bind(&update.facts.head_sha)
            .bind(&update.host)
            .bind(&update.repo)
            .execute(tx)
            .await?
        }
        Turn::Closed { update, .. } => {
            query(statement("stale_on LIKE '%closed%'")).bind(&update.key).bind(reason).bind(now.0).execute(tx).await?
        }
        Turn::Green { subject, sha } => {
            query(statement("stale_on LIKE '%green%' AND sha = $4"))
                .bind(*subject)
                .bind(reason)
                .bind(now.0)
                .bind(*sha)
                .execute(tx)
                .await?
        }
    };
    Ok(())
}

/// Makes the acts that rules want for runs on what has turned; answers whether there is one.
async fn tell(tx: &mut Tx, turn: &Turn<'_>, on_stale: &[(String, OnStale)], now: Timestamp) -> Result<bool> {
    let (Some(told), false) = (turn.told(), on_stale.is_empty()) else { return Ok(false) };
    let mut made = false;
    // Several jobs may follow one run: it is told once.
    let mut runs = HashSet::new();
    for job in running(tx, told.subject).await? {
        let wanted = on_stale.iter().find(|(rule, _)| *rule == job.rule).map(|(_, wanted)| *wanted);
        let action = match wanted {
            Some(OnStale::Tell) => Action::Tell,
            Some(OnStale::Ban) => Action::Ban,
            Some(OnStale::Leave) | None => continue,
        };
        let concerned = match (turn, &job.sha) {
            (Turn::Moved { update, .. }, Some(sha)) => {
                job.stale_on.head && Some(sha) != update.facts.head_sha.as_ref() && was_head(tx, update, sha).await?
            }
            (Turn::Closed { .. }, _) => job.stale_on.closed,
            _ => false,
        };
        if concerned && job.run.as_ref().is_none_or(|run| runs.insert((run.id, action.as_str()))) {
            let act = Act { action, of: &job, cause: &told.cause, reason: &told.sentence, sha: told.sha };
            made |= act.make_once(tx, now).await?.is_some();
        }
    }
    Ok(made)
}

/// Which jobs of a subject have, or may have, a run that works.
const WORKS: &str = "WHERE j.subject = $1 AND j.ended_at IS NULL AND j.action = 'run' AND \
    j.state || '' IN ('submitting', 'uncertain', 'running') ORDER BY j.id";

async fn running(conn: &mut Conn, subject: &str) -> Result<Vec<Job>> {
    let select = format!("{} {WORKS}", rows::JOB);
    let found = query(select).bind(subject).fetch_all(conn).await?;
    found.iter().map(rows::job).collect()
}

/// What a run is told of, and by what name it is known whether it was told.
struct Told<'t> {
    subject: &'t str,
    /// The commit that is the head now, if that is what happened.
    sha: Option<&'t str>,
    cause: String,
    sentence: String,
}

impl Turn<'_> {
    fn is_like(&self, other: &Turn<'_>) -> bool {
        match (self, other) {
            (Turn::Moved { update, .. }, Turn::Moved { update: other, .. })
            | (Turn::Closed { update, .. }, Turn::Closed { update: other, .. }) => update.key == other.key,
            (Turn::Green { subject, sha }, Turn::Green { subject: other, sha: theirs }) => {
                subject == other && sha == theirs
            }
            _ => false,
        }
    }

    /// Why a job that waited is pointless.
    fn reason(&self) -> String {
        match self {
            Turn::Moved { update, .. } => {
                format!(
                    "a newer commit: {} is the head of its branch now",
                    update.facts.head_sha.as_deref().unwrap_or("?")
                )
            }
            Turn::Closed { update, change } => {
                let how = if update.merged { "merged" } else { "closed" };
                match change {
                    Some(number) => format!("its change #{number} was {how}"),
                    None => format!("{} was {how}", update.key),
                }
            }
            Turn::Green { sha, .. } => format!("every check of {sha} is green now"),
        }
    }

    /// What a run is told. The sentences go into prompts: nothing in them is text from outside.
    fn told(&self) -> Option<Told<'_>> {
        match self {
            Turn::Moved { update, telling: true } => {
                let sha = update.facts.head_sha.as_deref()?;
                let shown = if is_commit(sha) { sha } else { "another commit" };
                let sentence = format!(
                    "The head of the branch that you work on has moved to {shown}, and it was not you who pushed it. \
                     Take the newer commit into account before you go on."
                );
                Some(Told { subject: &update.key, sha: Some(sha), cause: format!("head:{sha}"), sentence })
            }
            Turn::Closed { update, change } if !update.by_agent => {
                let what = change.map_or_else(|| "issue".to_owned(), |number| format!("change #{number}"));
                let how = if update.merged { "merged" } else { "closed" };
                let sentence = format!("The {what} that you work on was {how}. Stop here: nothing more is to be done.");
                Some(Told { subject: &update.key, sha: None, cause: "closed".to_owned(), sentence })
            }
            _ => None,
        }
    }
}

fn is_commit(sha: &str) -> bool {
    sha.len() >= 7 && sha.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Something that is done to the run of a job.
struct Act<'a> {
    action: Action,
    of: &'a Job,
    /// What it is done for; one act of an action for a run and a cause.
    cause: &'a str,
    /// The whole sentence: it is what the run is told, and what is shown.
    reason: &'a str,
    sha: Option<&'a str>,
}

impl Act<'_> {
    fn key(&self) -> String {
        // Who the run is may not be known yet, whose it is always is.
        format!("{}:{}:{}", self.action.as_str(), self.of.id, self.cause)
    }

    /// Makes the job, unless one was made for this before or the run was told often enough.
    async fn make_once(&self, tx: &mut Tx, now: Timestamp) -> Result<Option<String>> {
        let row = query(
            "SELECT COUNT(*) AS acts, COUNT(CASE WHEN rule = $2 AND key = $3 THEN 1 END) AS same FROM jobs \
             WHERE follows = $1 AND action IN ('tell', 'ban')",
        )
        .bind(&self.of.id)
        .bind(&self.of.rule)
        .bind(self.key())
        .fetch_one(tx)
        .await?;
        if row.try_get::<i64>("same")? > 0 || row.try_get::<i64>("acts")? >= MOST_ACTS {
            return Ok(None);
        }
        self.make(tx, now).await.map(Some)
    }

    async fn make(&self, tx: &mut Tx, now: Timestamp) -> Result<String> {
        let id = new_id(now);
        let of = self.of;
        let new = NewJob {
            id: &id,
            rule: &of.rule,
            source: &of.source,
            key: &self.key(),
            subject: &of.subject,
            context: &of.context,
            file: &of.file,
            person: None,
            priority: Priority::People,
            action: self.action,
            resumes: false,
            target: of.run.as_ref().map(|run| run.id),
            follows: Some(&of.id),
            message: Some(self.reason),
            // What was said of a head is pointless once that has moved on or its change is closed.
            stale_on: StaleOn { head: self.sha.is_some(), closed: self.sha.is_some(), green: false },
            repo: of.repo.as_deref(),
            sha: self.sha,
            failing: false,
            created_at: now,
            due_at: now,
            settled_by: now,
            events: 0,
            retry_of: None,
            reason: self.reason,
        };
        jobs::insert(tx, &[new], now).await?;
        Ok(id)
    }
}

impl Store {
    /// Makes a job that tells or bans a run (its `target`), for the rule and subject of the job `of` whose run it is;
    /// answers its id, or that of an equal one that waits. It has the priority of people and no events; `reason` is the
    /// whole sentence, which a tell says to the run, and stays in [`Job::message`] when the job's own reason changes.
    pub async fn make_act(&self, action: Action, target: i64, of: &str, reason: &str) -> Result<String> {
        let mut tx = self.inner.db.begin().await?;
        let mut of = jobs::get(&mut tx, of).await?;
        of.run = of
            .run
            .filter(|run| run.id == target)
            .or(Some(crate::model::run::Run { id: target, ..crate::model::run::Run::default() }));
        let act = Act { action, of: &of, cause: "asked", reason, sha: None };
        let waiting = query("SELECT id FROM jobs WHERE rule = $1 AND key = $2 AND open = 1")
            .bind(&of.rule)
            .bind(act.key())
            .fetch_optional(&mut tx)
            .await?;
        let id = match waiting {
            Some(row) => row.try_get("id")?,
            None => act.make(&mut tx, self.inner.clock.now()).await?,
        };
        tx.commit_and_wake().await?;
        Ok(id)
    }
}

/// A run that has ended, or was never made, is told nothing any more: that would wake it.
pub(super) async fn drop_acts(tx: &mut Tx, of: &str, reason: &str, now: Timestamp) -> Result<()> {
    query(
        "UPDATE jobs SET state = 'superseded', reason = $2, updated_at = $3, ended_at = $3, revision = revision + 1 \
         WHERE follows = $1 AND action IN ('tell', 'ban') AND open = 1",
    )
    .bind(of)
    .bind(reason)
    .bind(now.0)
    .execute(tx)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::db::{self, query};
    use super::super::{rows, subjects};

    /// With a million jobs every other way reads far too many of them, in the transaction that everybody waits for.
    #[tokio::test]
    async fn what_turns_stale_is_found_by_its_subject_and_what_is_parked_by_its_commit() {
        let (_folder, mut conn) = db::empty().await;
        for (statement, index) in [
            (format!("{} AND stale_on LIKE '%head%' AND sha <> $4", super::SUPERSEDE), "jobs_of_subject (subject=?"),
            (format!("{} {}", rows::JOB, super::WORKS), "jobs_of_subject (subject=?"),
            (format!("{} IN ($1, $2)", subjects::PARKED), "jobs_of_sha (sha=?)"),
            ("SELECT COUNT(*) FROM jobs WHERE follows = $1 AND action IN ('tell', 'ban')".to_owned(), "jobs_following"),
        ] {
            let explain = format!("EXPLAIN QUERY PLAN {statement}");
            let mut asked = query(explain);
            for _ in 0..statement.matches('$').count().min(4) {
                asked = asked.bind("");
            }
            let steps = asked.fetch_all(&mut conn).await.unwrap();
            let plan: Vec<String> = steps.iter().map(|row| row.try_get("detail").unwrap()).collect();
            assert!(plan.iter().any(|step| step.contains(index)), "{statement}: {plan:#?}");
            assert!(!plan.iter().any(|step| step.starts_with("SCAN")), "{statement}: {plan:#?}");
        }
    }
}
