//! What one rule said to everything that came in a time: counts by reason, and what came nearest.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use utoipa::ToSchema;

use super::tell::distance;
use crate::model::problem::nearest;
use crate::server::admin::Admin;
use crate::server::problem::Refusal;
use crate::store::PageRequest;

/// Deliveries that are read at once, and at most.
const PAGE: u32 = 500;
const MOST: u64 = 50_000;

/// Near misses and reasons that are told.
const NEAREST: usize = 10;
const REASONS: usize = 20;

/// What one rule said.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::server) struct RuleStory {
    /// The rule.
    pub(in crate::server) rule: String,
    /// The short answer.
    pub(in crate::server) answer: String,
    /// Since when.
    #[schema(format = DateTime)]
    pub(in crate::server) since: String,
    /// How many deliveries came in that time.
    pub(in crate::server) deliveries: u64,
    /// How many of them the rule was asked about: those of a kind in its `on`.
    pub(in crate::server) asked: u64,
    /// Whether there were more deliveries than are looked at; the newest were then left out.
    pub(in crate::server) cut: bool,
    /// What it said, most frequent first.
    pub(in crate::server) said: Vec<Count>,
    /// What came nearest to acting and did not, nearest first.
    pub(in crate::server) nearest: Vec<Miss>,
    /// What came that the rule was not asked about, most frequent first.
    pub(in crate::server) others: Vec<Count>,
}

/// How often something was said or came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::server) struct Count {
    /// What: `decision: reason`, or an event's name.
    pub(in crate::server) what: String,
    /// How often.
    pub(in crate::server) times: u64,
}

/// A delivery on which the rule nearly acted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(in crate::server) struct Miss {
    /// The delivery.
    pub(in crate::server) delivery: String,
    /// When it came.
    #[schema(format = DateTime)]
    pub(in crate::server) received_at: String,
    /// What it was about.
    #[schema(required)]
    pub(in crate::server) subject: Option<String>,
    /// What the rule said.
    pub(in crate::server) decision: String,
    /// Why.
    pub(in crate::server) reason: String,
}

/// Tells what a rule said to each delivery of so long.
pub(in crate::server) async fn of_rule(admin: &Admin, rule: &str, since: Duration) -> Result<RuleStory, Refusal> {
    let until = admin.clock.now();
    let from = until.minus(since);
    let mut page = PageRequest { limit: PAGE, cursor: None };
    let (mut deliveries, mut asked, mut acted) = (0, 0, 0);
    let mut said: BTreeMap<String, u64> = BTreeMap::new();
    let mut others: BTreeMap<String, u64> = BTreeMap::new();
    let mut misses: Vec<(usize, Miss)> = Vec::new();
    let cut = loop {
        let batch = admin.store.deliveries_between(from, until, None, &page).await?;
        for delivery in batch.items {
            deliveries += 1;
            let Some(verdict) = delivery.verdicts.iter().filter(|it| it.rule == rule).min_by_key(|it| distance(it))
            else {
                *others.entry(delivery.kind.unwrap_or(delivery.native)).or_default() += 1;
                continue;
            };
            asked += 1;
            let decision = verdict.decision.as_str();
            *said.entry(format!("{decision}: {}", verdict.reason)).or_default() += 1;
            match distance(verdict) {
                0 => acted += 1,
                far => misses.push((
                    far,
                    Miss {
                        delivery: delivery.id,
                        received_at: delivery.received_at.to_rfc3339(),
                        subject: delivery.subject,
                        decision: decision.to_owned(),
                        reason: verdict.reason.clone(),
                    },
                )),
            }
        }
        // The nearest, and of those the newest.
        misses.sort_by(|left, right| left.0.cmp(&right.0).then_with(|| right.1.delivery.cmp(&left.1.delivery)));
        misses.truncate(NEAREST);
        page.cursor = batch.next;
        if page.cursor.is_none() || deliveries >= MOST {
            break page.cursor.is_some();
        }
    };
    let nearest: Vec<Miss> = misses.into_iter().map(|(_, miss)| miss).collect();
    Ok(RuleStory {
        answer: answer(admin, rule, deliveries, asked, acted, nearest.first()),
        rule: rule.to_owned(),
        since: from.to_rfc3339(),
        deliveries,
        asked,
        cut,
        said: most(said),
        nearest,
        others: most(others),
    })
}

fn most(counts: BTreeMap<String, u64>) -> Vec<Count> {
    let mut counts: Vec<Count> = counts.into_iter().map(|(what, times)| Count { what, times }).collect();
    counts.sort_by_key(|count| std::cmp::Reverse(count.times));
    counts.truncate(REASONS);
    counts
}

fn answer(admin: &Admin, rule: &str, deliveries: u64, asked: u64, acted: u64, miss: Option<&Miss>) -> String {
    let rules = (admin.rules)().rules;
    let Some(known) = rules.iter().find(|known| known.name == rule) else {
        let near = nearest(rule, rules.iter().map(|known| known.name.as_str()));
        let near = near.map_or_else(|| ".".to_owned(), |near| format!("; did you mean \"{near}\"?"));
        return format!("There is no rule \"{rule}\" in force{near}");
    };
    let mode = match known.mode.as_str() {
        "live" => String::new(),
        mode => format!(" Its mode is \"{mode}\", so it cannot send."),
    };
    let said = match (deliveries, asked, acted, miss) {
        (0, ..) => "No delivery came in that time: look at the host's webhook page.".to_owned(),
        (_, 0, ..) => {
            format!("{deliveries} deliveries came, none of a kind that it waits for ({}).", known.on.join(", "))
        }
        (_, _, 0, Some(miss)) => format!(
            "It was asked about {asked} of {deliveries} deliveries and acted on none. The nearest: {}, {}.",
            miss.decision.replace('_', " "),
            miss.reason
        ),
        _ => format!("It was asked about {asked} of {deliveries} deliveries and acted on {acted}."),
    };
    format!("{said}{mode}")
}
