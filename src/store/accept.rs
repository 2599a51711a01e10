//! The accept transaction: deliveries, what they teach, claims and the jobs that they make or join.

use std::collections::HashSet;

use super::bodies::Pack;
use super::db::{Tx, many, query, runs};
use super::errors::{Result, StoreError};
use super::joining::{Arriving, Jobs, Standing};
use super::writer::Prepared;
use super::{rows, stale, subjects};
use crate::model::acceptance::{Acceptance, Accepted};
use crate::model::clock::Timestamp;
use crate::model::decision::Ruling;
use crate::model::delivery::DeliveryOutcome;

/// Writes a group of deliveries, in the order in which they arrived. Answers also when the queue has to be looked at because
/// of it.
pub(super) async fn group(
    tx: &mut Tx,
    group: &[Prepared],
    packs: &[Pack<'_>],
    now: Timestamp,
) -> Result<(Vec<Accepted>, Option<Timestamp>)> {
    let learnt = subjects::learn(tx, group.iter().map(|prepared| &prepared.acceptance), now).await?;
    // Before the claims: the delivery that makes a job pointless may ask for the one that takes its place.
    let on_stale = group.iter().rev().map(|it| &it.acceptance.on_stale).find(|rules| !rules.is_empty());
    let acts = stale::act_upon(tx, &learnt.turns, on_stale.map_or(&[], Vec::as_slice), now).await?;
    let mut claimed = claim(tx, group, now).await?;
    let mut jobs = Jobs::default();
    let mut accepted = Vec::with_capacity(group.len());
    for prepared in group {
        accepted.push(settle(tx, prepared, &mut claimed, &mut jobs, now).await?);
    }
    let due = if learnt.woken || acts { Some(now) } else { jobs.first_due() };
    jobs.write(tx, now).await?;
    write_deliveries(tx, group, &accepted, packs).await?;
    write_bodies(tx, packs).await?;
    Ok((accepted, due))
}

/// Claims what nobody has claimed; the answer holds each fresh claim once, for the first in the group that wants it.
async fn claim(tx: &mut Tx, group: &[Prepared], now: Timestamp) -> Result<HashSet<(String, String)>> {
    let mut wanted = HashSet::new();
    let requests =
        group.iter().flat_map(|it| &it.acceptance.requests).map(|(_, request)| (&request.rule, &request.happening));
    let distinct: Vec<_> = requests.filter(|claim| wanted.insert(*claim)).collect();
    for (_, request) in group.iter().flat_map(|it| &it.acceptance.requests) {
        let Some(held) = request.claim_for else { continue };
        query("DELETE FROM claims WHERE rule = $1 AND happening = $2 AND claimed_at <= $3")
            .bind(&request.rule)
            .bind(&request.happening)
            .bind(now.minus(held).0)
            .execute(tx)
            .await?;
    }
    let mut claimed = HashSet::new();
    for run in runs(&distinct) {
        let mut query = many(
            "INSERT INTO claims (rule, happening, claimed_at)",
            run.len(),
            3,
            "ON CONFLICT (rule, happening) DO NOTHING RETURNING rule, happening",
        );
        for (rule, happening) in run {
            query = query.bind(*rule).bind(*happening).bind(now.0);
        }
        for row in query.fetch_all(tx).await? {
            claimed.insert((row.try_get("rule")?, row.try_get("happening")?));
        }
    }
    Ok(claimed)
}

/// Carries out what the rules asked for one delivery and finishes their verdicts.
async fn settle<'g>(
    tx: &mut Tx,
    Prepared { acceptance, .. }: &'g Prepared,
    claimed: &mut HashSet<(String, String)>,
    jobs: &mut Jobs<'g>,
    now: Timestamp,
) -> Result<Accepted> {
    let mut verdicts = acceptance.verdicts.clone();
    let mut made = Vec::new();
    for (at, request) in &acceptance.requests {
        let verdict = verdicts.get_mut(*at).ok_or(StoreError::Conflict("a request without a verdict".into()))?;
        verdict.key = Some(request.key.clone());
        verdict.happening = Some(request.happening.clone());
        if !claimed.remove(&(request.rule.clone(), request.happening.clone())) {
            verdict.decision = Ruling::Duplicate;
            "this rule has acted on this happening before".clone_into(&mut verdict.reason);
            continue;
        }
        let event = acceptance
            .events
            .get(verdict.event)
            .ok_or(StoreError::Conflict("a verdict about an event that is not there".into()))?;
        let arriving = Arriving {
            delivery: &acceptance.id,
            source: &acceptance.source,
            received_at: acceptance.received_at,
            event,
        };
        let (decision, job) = match jobs.take(tx, request, arriving, now).await? {
            Standing::New(job) => (Ruling::Queued, job),
            Standing::Joins(job) => {
                "joined the job that waits for this key".clone_into(&mut verdict.reason);
                (Ruling::Joined, job)
            }
            Standing::FollowUp(job) => {
                "a follow-up to the run of this commit".clone_into(&mut verdict.reason);
                (Ruling::Queued, job)
            }
            Standing::Late(job) => {
                "the one run of this commit was sent already".clone_into(&mut verdict.reason);
                (Ruling::Late, job)
            }
        };
        verdict.decision = decision;
        if decision != Ruling::Late && !made.contains(&job) {
            made.push(job.clone());
        }
        verdict.job = Some(job);
    }
    let (outcome, reason) = outcome(acceptance, made.len());
    Ok(Accepted { delivery: acceptance.id.clone(), outcome, reason, jobs: made, verdicts })
}

fn outcome(acceptance: &Acceptance, jobs: usize) -> (DeliveryOutcome, String) {
    if acceptance.requests.is_empty() {
        return (acceptance.outcome, acceptance.reason.clone());
    }
    match jobs {
        0 => (DeliveryOutcome::Duplicate, "every rule that matches has acted on this before".to_owned()),
        1 => (DeliveryOutcome::Accepted, "1 job".to_owned()),
        many => (DeliveryOutcome::Accepted, format!("{many} jobs")),
    }
}

async fn write_deliveries(tx: &mut Tx, group: &[Prepared], accepted: &[Accepted], packs: &[Pack<'_>]) -> Result<()> {
    let row = |first, (member, at): &(usize, usize)| Some((group.get(*member)?, accepted.get(*member)?, first, *at));
    // In the order of their ids, as far as packs are: each row is then written behind the last.
    let rows: Vec<_> =
        packs.iter().flat_map(|pack| pack.members.iter().filter_map(|member| row(pack.first, member))).collect();
    let files_later = !tx.is_postgres();
    for run in runs(&rows) {
        let mut query = many(
            "INSERT INTO deliveries (id, source, secret_label, sender_id, body_sha256, body_bytes, received_at, native, \
             kind, subject, repo, outcome, reason, verdicts, sha, happening, unfiled, pack, pack_at, replay_of)",
            run.len(),
            20,
            "",
        );
        for (Prepared { acceptance, size, .. }, accepted, pack, at) in run {
            let event = acceptance.events.first();
            query = query
                .bind(&acceptance.id)
                .bind(&acceptance.source)
                .bind(&acceptance.secret_label)
                .bind(&acceptance.sender_id)
                // It is worked out from the body when somebody asks. To drop the column SQLite would take as much memory as
                // the table has pages.
                .bind("")
                .bind(*size as i64)
                .bind(acceptance.received_at.0)
                .bind(&acceptance.native)
                .bind(event.and_then(|event| event.kind).map(crate::model::event::Kind::as_str))
                .bind(event.map(|event| event.subject.key.as_str()).filter(|key| !key.is_empty()))
                .bind(event.and_then(|event| event.repo.as_deref().or(event.project.as_deref())))
                .bind(accepted.outcome.as_str())
                .bind(&accepted.reason)
                .bind(rows::to_json(&accepted.verdicts))
                .bind(event.and_then(|event| event.sha.as_deref()))
                .bind(event.map(|event| event.happening.as_str()))
                .bind(i64::from(files_later))
                .bind(Some(*pack).filter(|pack| *pack != acceptance.id))
                .bind(*at as i64)
                .bind(&acceptance.replay_of);
        }
        query.execute(tx).await?;
    }
    Ok(())
}

async fn write_bodies(tx: &mut Tx, packs: &[Pack<'_>]) -> Result<()> {
    for run in runs(packs) {
        let mut query = many("INSERT INTO bodies (delivery, received_at, headers, body, last)", run.len(), 5, "");
        for Pack { first, last, received_at, headers, block, .. } in run {
            query = query
                .bind(*first)
                .bind(received_at.0)
                .bind(headers)
                .bind(&**block)
                .bind(Some(*last).filter(|last| last != first));
        }
        query.execute(tx).await?;
    }
    Ok(())
}
