//! What became of the commits that jobs acted upon: read from what is known of their subjects and checks.

use super::db::{Conn, query};
use super::errors::Result;
use super::snapshot::has_ended;
use super::subjects::is_fit;
use super::{Store, jobs, rows};
use crate::model::job::{Job, JobState};
use crate::model::outcome::Outcome;
use crate::model::subject::Facts;

impl Store {
    /// The outcome of a job by its id; `None` as long as it is not known.
    pub async fn outcome_of(&self, job: &str) -> Result<Option<Outcome>> {
        let mut conn = self.inner.db.read().await?;
        let Some(job) = jobs::find(&mut conn, job).await? else { return Ok(None) };
        outcome(&mut conn, &job).await
    }

    /// The outcomes of these jobs, in their order. Only jobs for a failing commit whose run has ended have one.
    pub async fn outcomes(&self, jobs: &[Job]) -> Result<Vec<Option<Outcome>>> {
        let mut conn = self.inner.db.read().await?;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs {
            outcomes.push(outcome(&mut conn, job).await?);
        }
        Ok(outcomes)
    }
}

async fn outcome(conn: &mut Conn, job: &Job) -> Result<Option<Outcome>> {
    use JobState::{Failed, Lost, Stopped, Succeeded};
    let over = matches!(job.state, Succeeded | Failed | Stopped | Lost) && job.failing;
    let Some(sha) = job.sha.as_deref().filter(|_| over) else { return Ok(None) };
    let known = query("SELECT host, repo, facts FROM subjects WHERE key = $1")
        .bind(&job.subject)
        .fetch_optional(&mut *conn)
        .await?;
    let Some(known) = known else { return Ok(None) };
    let facts: Facts = rows::json("subjects", "facts", known.try_get("facts")?)?;
    let Some(head) = facts.head_sha else { return Ok(None) };
    if head == sha {
        return Ok(Some(Outcome::NoChange));
    }
    let checks = query("SELECT outcome FROM checks WHERE host = $1 AND repo = $2 AND sha = $3")
        .bind(known.try_get::<&str>("host")?)
        .bind(known.try_get::<&str>("repo")?)
        .bind(&head)
        .fetch_all(&mut *conn)
        .await?;
    let (mut green, mut unfinished) = (false, false);
    for check in &checks {
        let word: &str = check.try_get("outcome")?;
        if !has_ended(word) {
            unfinished = true;
        } else if !is_fit(word) {
            return Ok(Some(Outcome::StillRed));
        } else {
            green |= word.eq_ignore_ascii_case("success");
        }
    }
    Ok((green && !unfinished).then_some(Outcome::Fixed))
}
