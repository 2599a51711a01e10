//! A stored delivery is taken once more, on purpose: rules and gates are asked as ever, under a claim of its own.

use serde::Serialize;
use utoipa::ToSchema;

use super::Intake;
use super::decide::keep;
use super::explain::{Report, Restored, Unexplained};
use crate::model::acceptance::Acceptance;
use crate::model::decision::Ruling;
use crate::model::id::new_id;
use crate::store::StoreError;

/// What a replay did, or would do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Replay {
    /// The delivery that is replayed.
    pub of: String,
    /// The delivery that the replay was recorded as; null when it was dry.
    #[schema(required)]
    pub recorded_as: Option<String>,
    /// The jobs that were made or joined; of a dry one those that it would join.
    pub jobs: Vec<String>,
    /// What the rules and the store say.
    pub report: Report,
}

impl Intake {
    /// Takes a stored delivery once more: dry, or in earnest for whom `by` names. With `rule` only what that rule asks for
    /// is done. Each happening is claimed as `HAPPENING#replay-N`, so that what was done before does not stand against
    /// it; every gate still does. Nothing is learnt from it: it is old news.
    pub async fn replay(&self, id: &str, rule: Option<&str>, by: Option<&str>) -> Result<Replay, Unexplained> {
        let Restored { door, delivery, .. } = self.restore(id).await?;
        let now = self.clock.now();
        let rules = self.rules.now();
        let mut decided = self.decide_under(&rules, door, &delivery, &new_id(now), now).await?;
        let acceptance = &mut decided.acceptance;
        keep(acceptance, delivery);
        acceptance.subjects.clear();
        acceptance.checks.clear();
        acceptance.resets.clear();
        if let Some(rule) = rule {
            for (at, request) in &acceptance.requests {
                if request.rule != rule
                    && let Some(verdict) = acceptance.verdicts.get_mut(*at)
                {
                    verdict.decision = Ruling::NoMatch;
                    verdict.reason = format!("left out: only {rule} was replayed");
                }
            }
            acceptance.requests.retain(|(_, request)| request.rule == rule);
        }
        acceptance.replay_of = Some(id.to_owned());
        acceptance.sender_id = Some(match by {
            Some(by) => format!("replay of {id} by {by}"),
            None => format!("replay of {id}"),
        });
        self.claim_anew(acceptance).await?;
        let acceptance = acceptance.clone();
        let accepted = match by {
            Some(_) => self.store.accept(acceptance).await?,
            None => self.store.rehearse(acceptance).await?,
        };
        let mut report = Report::of(decided, rules.hash());
        report.stands(&accepted, by.is_some());
        let mut jobs: Vec<String> = report
            .verdicts
            .iter()
            .filter_map(|verdict| verdict.now.as_ref())
            .filter(|now| matches!(now.decision, "queued" | "joined"))
            .filter_map(|now| now.job.clone())
            .collect();
        jobs.dedup();
        Ok(Replay { of: id.to_owned(), recorded_as: by.map(|_| accepted.delivery), jobs, report })
    }

    async fn claim_anew(&self, acceptance: &mut Acceptance) -> Result<(), StoreError> {
        for (at, request) in &mut acceptance.requests {
            let before = self.store.replays(&request.rule, &request.happening).await?;
            request.happening = format!("{}#replay-{}", request.happening, before + 1);
            if let Some(verdict) = acceptance.verdicts.get_mut(*at) {
                verdict.happening = Some(request.happening.clone());
            }
        }
        Ok(())
    }
}
