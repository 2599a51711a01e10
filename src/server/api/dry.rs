//! What would follow: explaining, exporting and replaying deliveries, and comparing rules.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Extension, State};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::params::{Content, Id, Large, Params, page, span};
use crate::intake::{Compared, Recorded, Replay, Report, RuleReport, Shift, Unexplained, candidate};
use crate::model::clock::Timestamp;
use crate::model::delivery::DeliveryRecord;
use crate::server::admin::Admin;
use crate::server::auth::Caller;
use crate::server::problem::{Refusal, Refusals};
use crate::store::{Page, StoreError, cursor_of};

/// How long one answer over many deliveries may work; the next page goes on.
const WORK: Duration = Duration::from_secs(10);

/// Examples of each rule in one page of a comparison.
const EXAMPLES: usize = 5;

/// Decides a stored delivery again under the rules in force, with what is known now; nothing is changed by it.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}/explain", operation_id = "explainDelivery", tag = "reading",
    params(("id" = String, Path, description = "Our id.")),
    responses((status = 200, description = "What follows from it.", body = Report), Refusals))]
pub(super) async fn explain(State(admin): State<Arc<Admin>>, Id(id): Id) -> Result<Json<Report>, Refusal> {
    Ok(Json(admin.intake.explain(&id).await?))
}

/// A request that is not stored.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Given<'a> {
    /// The source that it would come by; if not given, the first of the kind that its headers tell.
    source: Option<String>,
    /// Its headers.
    headers: BTreeMap<String, String>,
    /// Its body.
    #[serde(borrow)]
    #[schema(value_type = Object)]
    body: &'a RawValue,
}

/// Decides a request that is not stored, as if its sender had proved itself; nothing is changed by it.
#[utoipa::path(post, path = "/api/v1/explain", operation_id = "explain", tag = "reading", request_body = Given,
    responses((status = 200, description = "What would follow from it.", body = Report), Refusals))]
pub(super) async fn explain_given(
    State(admin): State<Arc<Admin>>,
    Large(body): Large,
) -> Result<Json<Report>, Refusal> {
    let Given { source, headers, body } = serde_json::from_slice(&body).map_err(|error| {
        Refusal::BadRequest(format!("the body must be {{\"headers\": {{…}}, \"body\": {{…}}}}: {error}").into())
    })?;
    let recorded = Recorded::new(headers, Bytes::copy_from_slice(body.get().as_bytes()));
    Ok(Json(admin.intake.explain_recorded(source.as_deref(), &recorded).await?))
}

/// A stored delivery as the tests of rules read it: `{"headers": {…}, "body": {…}}`. Signatures are never stored.
#[utoipa::path(get, path = "/api/v1/deliveries/{id}/export", operation_id = "exportDelivery", tag = "reading",
    params(("id" = String, Path, description = "Our id.")),
    responses((status = 200, description = "Headers and body.", body = Object), Refusals))]
pub(super) async fn export(State(admin): State<Arc<Admin>>, Id(id): Id) -> Result<Json<Box<RawValue>>, Refusal> {
    Ok(Json(admin.intake.export(&id).await?))
}

/// How a delivery is replayed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ReplayBody {
    /// Whether jobs are made; otherwise it is only told what would be.
    #[serde(default)]
    execute: bool,
    /// Only what this rule asks for.
    rule: Option<String>,
}

/// Takes a stored delivery once more: dry, unless `execute` says otherwise. Every gate still applies.
#[utoipa::path(post, path = "/api/v1/deliveries/{id}/replay", operation_id = "replayDelivery", tag = "acting",
    params(("id" = String, Path, description = "Our id.")), request_body = ReplayBody,
    responses((status = 200, description = "What was done, or would be.", body = Replay), Refusals))]
pub(super) async fn replay(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Id(id): Id,
    Content(body): Content,
) -> Result<Json<Replay>, Refusal> {
    let body: ReplayBody = serde_json::from_slice(&body)
        .map_err(|error| Refusal::BadRequest(format!("the body must be {{\"execute\": false}}: {error}").into()))?;
    let by = body.execute.then_some(caller.name.as_str());
    if by.is_some() {
        tracing::info!(delivery = id, by, "a delivery is replayed");
    }
    Ok(Json(admin.intake.replay(&id, body.rule.as_deref(), by).await?))
}

/// Which deliveries, and how.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ReplaysQuery {
    /// Those that came in the last so long, e.g. `2d`.
    since: String,
    /// Of this source.
    source: Option<String>,
    /// Only what this rule asks for.
    rule: Option<String>,
    /// Whether jobs are made; otherwise it is only told what would be.
    #[serde(default)]
    execute: bool,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A part of many replays, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Replays {
    /// Those on which a rule acts.
    items: Vec<ReplayItem>,
    /// How many deliveries were looked at.
    deliveries: u64,
    /// How many could not be: their body is gone, or their source.
    unreadable: u64,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// One delivery that was replayed, or would be.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ReplayItem {
    /// The delivery.
    of: String,
    /// When it came.
    #[schema(format = DateTime)]
    received_at: String,
    /// The host's name for what happened.
    native: String,
    /// The delivery that the replay was recorded as; null when it was dry.
    #[schema(required)]
    recorded_as: Option<String>,
    /// The jobs that were made or joined.
    jobs: Vec<String>,
    /// What the rules that act say.
    verdicts: Vec<RuleReport>,
}

/// Takes the stored deliveries of a time once more: dry, unless `execute` says otherwise. Every gate still applies.
#[utoipa::path(post, path = "/api/v1/replay", operation_id = "replay", tag = "acting", params(ReplaysQuery),
    responses((status = 200, description = "One page.", body = Replays), Refusals))]
pub(super) async fn replays(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Params(query): Params<ReplaysQuery>,
) -> Result<Json<Replays>, Refusal> {
    let mut batch = Batch::read(&admin, &query.since, query.source.as_deref(), query.limit, query.cursor).await?;
    let by = query.execute.then_some(caller.name.as_str());
    if by.is_some() {
        tracing::info!(since = query.since, rule = query.rule, by, "deliveries are replayed");
    }
    let mut items = Vec::new();
    while let Some(record) = batch.next(&admin) {
        let replay = admin.intake.replay(&record.id, query.rule.as_deref(), by).await;
        let Some(replay) = batch.count(replay)? else { continue };
        let mut verdicts = replay.report.verdicts;
        verdicts.retain(|verdict| verdict.request.is_some());
        if !verdicts.is_empty() {
            items.push(ReplayItem {
                of: replay.of,
                received_at: record.received_at.to_rfc3339(),
                native: record.native,
                recorded_as: replay.recorded_as,
                jobs: replay.jobs,
                verdicts,
            });
        }
    }
    Ok(Json(Replays { items, deliveries: batch.looked, unreadable: batch.unreadable, next: batch.cursor }))
}

/// Rules that are not in force.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CandidateBody {
    /// The rule files, in their order.
    files: Vec<TextFile>,
    /// Prompt files and includes that they name, by name.
    #[serde(default)]
    beside: BTreeMap<String, String>,
}

/// A file.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct TextFile {
    /// Its name.
    name: String,
    /// What stands in it.
    text: String,
}

/// Which deliveries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DiffQuery {
    /// Those that came in the last so long, e.g. `7d`.
    since: String,
    /// Of this source.
    source: Option<String>,
    /// How many, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// `next` of the page before.
    cursor: Option<String>,
}

/// A part of a comparison.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Diff {
    /// Hash of the rules in force.
    in_force: String,
    /// Hash of the others.
    candidate: String,
    /// Every rule that matches under one of them.
    rules: Vec<RuleDiff>,
    /// How many deliveries were looked at.
    deliveries: u64,
    /// How many could not be: their body is gone, or their source.
    unreadable: u64,
    /// The cursor of the next page; null on the last one.
    #[schema(required)]
    next: Option<String>,
}

/// How one rule's answers shift.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct RuleDiff {
    /// The rule.
    rule: String,
    /// How many deliveries it would match that it does not match in force.
    starts: u64,
    /// How many it would match no longer.
    stops: u64,
    /// How many it matches as before, but under another key, with another prompt, or in another mode.
    changes: u64,
    /// How many it matches exactly as before.
    stays: u64,
    /// Some of those that start, stop or change.
    examples: Vec<Example>,
}

/// A delivery to which a rule's answer shifts.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Example {
    /// The delivery.
    delivery: String,
    /// When it came.
    #[schema(format = DateTime)]
    received_at: String,
    /// The host's name for what happened.
    native: String,
    /// What it was about.
    #[schema(required)]
    subject: Option<String>,
    /// `starts`, `stops` or `changes`.
    shift: &'static str,
    /// What the rule says in force.
    #[schema(required)]
    was: Option<String>,
    /// What it would say.
    #[schema(required)]
    would: Option<String>,
}

/// Asks the rules in force and others about stored deliveries, dry, oldest first.
#[utoipa::path(post, path = "/api/v1/rules/diff", operation_id = "diffRules", tag = "reading", params(DiffQuery),
    request_body = CandidateBody, responses((status = 200, description = "One page.", body = Diff), Refusals))]
pub(super) async fn diff(
    State(admin): State<Arc<Admin>>,
    Params(query): Params<DiffQuery>,
    Large(body): Large,
) -> Result<Json<Diff>, Refusal> {
    let CandidateBody { files, beside } = serde_json::from_slice(&body)
        .map_err(|error| Refusal::BadRequest(format!("the body must be {{\"files\": […]}}: {error}").into()))?;
    let files = files.into_iter().map(|file| (file.name, file.text)).collect();
    let terms = admin.intake.terms();
    // Compiling thousands of rules takes a while; requests are not kept waiting by it.
    let loaded = tokio::task::spawn_blocking(move || candidate(files, &beside, &terms))
        .await
        .map_err(|error| Refusal::Internal(error.to_string()))?;
    let Some(others) = loaded.rules else {
        let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
        return Err(Refusal::BadRequest(format!("the rules have errors:\n{}", problems.join("\n")).into()));
    };
    let mut batch = Batch::read(&admin, &query.since, query.source.as_deref(), query.limit, query.cursor).await?;
    let mut rules: BTreeMap<String, RuleDiff> = BTreeMap::new();
    while let Some(record) = batch.next(&admin) {
        let compared = admin.intake.compare(&record.id, &others).await;
        for Compared { rule, shift, was, would } in batch.count(compared)?.unwrap_or_default() {
            let of_rule = rules.entry(rule.clone()).or_insert_with(|| RuleDiff { rule, ..RuleDiff::default() });
            let (count, shift) = match shift {
                Shift::Starts => (&mut of_rule.starts, "starts"),
                Shift::Stops => (&mut of_rule.stops, "stops"),
                Shift::Changes => (&mut of_rule.changes, "changes"),
                Shift::Stays => {
                    of_rule.stays += 1;
                    continue;
                }
            };
            *count += 1;
            if of_rule.examples.len() < EXAMPLES {
                of_rule.examples.push(Example {
                    delivery: record.id.clone(),
                    received_at: record.received_at.to_rfc3339(),
                    native: record.native.clone(),
                    subject: record.subject.clone(),
                    shift,
                    was,
                    would,
                });
            }
        }
    }
    Ok(Json(Diff {
        in_force: (admin.rules)().hash,
        candidate: others.hash().to_owned(),
        rules: rules.into_values().collect(),
        deliveries: batch.looked,
        unreadable: batch.unreadable,
        next: batch.cursor,
    }))
}

/// A page of stored deliveries that is worked through until it is done or the time is up. The pages end with what had come
/// when the first of them was asked for: what comes meanwhile is not added to what somebody wanted.
struct Batch {
    records: std::vec::IntoIter<DeliveryRecord>,
    began: Timestamp,
    until: Timestamp,
    looked: u64,
    unreadable: u64,
    /// Where the next page begins.
    cursor: Option<String>,
    last: Option<String>,
}

impl Batch {
    async fn read(
        admin: &Admin,
        since: &str,
        source: Option<&str>,
        limit: Option<u32>,
        cursor: Option<String>,
    ) -> Result<Self, Refusal> {
        let began = admin.clock.now();
        let from = began.minus(span(since)?);
        let (until, cursor) = match cursor {
            Some(cursor) => {
                let (until, cursor) = cursor
                    .split_once('.')
                    .and_then(|(until, cursor)| Some((Timestamp(until.parse().ok()?), cursor.to_owned())))
                    .ok_or(StoreError::BadCursor)?;
                (until, Some(cursor))
            }
            None => (began, None),
        };
        let page = page(limit, cursor)?;
        let Page { items, next } = admin.store.deliveries_between(from, until, source, &page).await?;
        let cursor = next.map(|next| cursor_until(until, &next));
        Ok(Self { records: items.into_iter(), began, until, looked: 0, unreadable: 0, cursor, last: None })
    }

    /// The next delivery; when the time is up there is none, and the next page begins here.
    fn next(&mut self, admin: &Admin) -> Option<DeliveryRecord> {
        if let Some(last) = &self.last
            && admin.clock.now().since(self.began) > WORK
            && self.records.len() > 0
        {
            self.cursor = Some(cursor_until(self.until, &cursor_of(last)));
            return None;
        }
        let record = self.records.next()?;
        self.looked += 1;
        self.last = Some(record.id.clone());
        Some(record)
    }

    /// What was told of the delivery; `None`, and counted, when it cannot be read any more.
    fn count<T>(&mut self, told: Result<T, Unexplained>) -> Result<Option<T>, Refusal> {
        match told {
            Ok(told) => Ok(Some(told)),
            Err(Unexplained::Store(error)) => Err(error.into()),
            Err(_) => {
                self.unreadable += 1;
                Ok(None)
            }
        }
    }
}

/// Where the next page begins, with the end of the last one.
fn cursor_until(until: Timestamp, cursor: &str) -> String {
    format!("{}.{cursor}", until.0)
}
