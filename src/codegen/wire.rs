//! Requests and answers of the Codegen API, read with tolerance: only what we act upon must be there.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value, json};

use crate::model::clock::Timestamp;
use crate::model::job::last_line;
use crate::model::run::{Run, RunChange};

/// The member of a run's metadata that is ours.
const TAG: &str = "hookrun";

/// What is asked for with `POST …/agent/run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateRun {
    /// The job that the run is made for; sent as `{"hookrun": {"job": "<id>"}}` in the run's metadata.
    pub job: String,
    /// The whole prompt; its last line names the job, for people and for whoever reads a trace.
    pub prompt: String,
    /// Codegen's own id of the repository; without one the agent chooses.
    pub repo_id: Option<i64>,
    /// The model; the organisation's own when there is none.
    pub model: Option<String>,
    /// `codegen` or `claude_code`; the organisation's own when there is none.
    pub agent_type: Option<String>,
}

#[derive(Serialize)]
struct CreateBody<'a> {
    prompt: &'a str,
    metadata: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo_id: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent_type: Option<&'a str>,
}

impl CreateRun {
    /// The request's JSON body.
    pub(super) fn body(&self) -> impl Serialize + '_ {
        CreateBody {
            prompt: &self.prompt,
            metadata: json!({ TAG: { "job": self.job } }),
            repo_id: self.repo_id,
            model: self.model.as_deref(),
            agent_type: self.agent_type.as_deref(),
        }
    }
}

/// What is said to a run with `POST …/agent/run/resume`.
#[derive(Serialize)]
pub(super) struct ResumeBody<'a> {
    pub(super) agent_run_id: i64,
    pub(super) prompt: &'a str,
}

/// Which run `ban`, `unban` and `remove-from-pr` are about.
#[derive(Serialize)]
pub(super) struct StopBody {
    pub(super) agent_run_id: i64,
}

/// What is asked for with `POST …/setup-commands/generate`.
#[derive(Serialize)]
pub(super) struct SetupBody<'a> {
    pub(super) repo_id: i64,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) prompt: &'a str,
}

/// The run that generates set-up commands, as the service answers it: by fewer words than other runs.
#[derive(Deserialize)]
pub(super) struct SetupRow {
    agent_run_id: i64,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    url: Option<String>,
}

impl From<SetupRow> for Run {
    fn from(row: SetupRow) -> Self {
        let SetupRow { agent_run_id, status, url } = row;
        Self { id: agent_run_id, status, url: url.and_then(web_url), ..Self::default() }
    }
}

/// Whose run a row is, as far as its metadata tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tag {
    /// It was made for this job of ours (of this or another installation).
    Job(String),
    /// Its metadata is somebody else's.
    Other,
    /// It has no metadata, or none that the service kept.
    Missing,
}

/// A run as create, get and list answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// The run.
    pub run: Run,
    /// When the service made it; `None` when it does not tell in a form that we know.
    pub created_at: Option<Timestamp>,
    /// Whose it is.
    pub tag: Tag,
}

#[derive(Deserialize)]
struct RunBody {
    id: i64,
    #[serde(default, deserialize_with = "lenient")]
    status: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    web_url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    result: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    summary: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    github_pull_requests: Option<Vec<PullRequestBody>>,
    #[serde(default, deserialize_with = "lenient")]
    metadata: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
struct PullRequestBody {
    #[serde(default, deserialize_with = "lenient")]
    title: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    url: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    head_branch_name: Option<String>,
}

impl<'de> Deserialize<'de> for RunRow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = RunBody::deserialize(deserializer)?;
        let pull_requests = body
            .github_pull_requests
            .unwrap_or_default()
            .into_iter()
            .map(|change| RunChange {
                url: change.url.and_then(web_url),
                title: change.title,
                branch: change.head_branch_name,
            })
            .collect();
        Ok(Self {
            run: Run {
                id: body.id,
                status: body.status,
                url: body.web_url.and_then(web_url),
                result: body.result,
                summary: body.summary,
                pull_requests,
            },
            created_at: body.created_at.as_deref().and_then(read_time),
            tag: read_tag(body.metadata.as_ref()),
        })
    }
}

fn read_tag(metadata: Option<&Map<String, Value>>) -> Tag {
    match metadata {
        None => Tag::Missing,
        // A service that drops what it was sent may as well answer an empty object.
        Some(metadata) if metadata.is_empty() => Tag::Missing,
        Some(metadata) => metadata
            .get(TAG)
            .and_then(|ours| ours.get("job")?.as_str())
            .map_or(Tag::Other, |job| Tag::Job(job.to_owned())),
    }
}

/// Keeps an address that a browser may open.
fn web_url(text: String) -> Option<String> {
    let url = reqwest::Url::parse(&text).ok()?;
    matches!(url.scheme(), "http" | "https").then_some(text)
}

/// Reads a moment as the service writes them: `2024-01-15T10:30:00Z` in its documentation, `2025-06-21 11:20:04.338398`
/// in answers; one without a zone is UTC.
pub fn read_time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let at = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let naive = text.parse::<jiff::civil::DateTime>().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(naive).ok()
    })?;
    Some(Timestamp(at.as_millisecond()))
}

/// One page of a list, newest first.
#[derive(Clone, Debug, Deserialize)]
pub struct Listing<T> {
    /// The rows.
    pub items: Vec<T>,
    /// How many rows there are in all, when the service tells.
    #[serde(default, deserialize_with = "lenient")]
    pub total: Option<u64>,
}

impl<T> Listing<T> {
    /// Whether this page, which began after `skip` rows, shows none of those that the service says are there: then it does
    /// not show the end of the list either.
    pub fn is_hollow(&self, skip: u64) -> bool {
        self.items.is_empty() && self.total.is_some_and(|total| total > skip)
    }

    /// Whether nothing follows this page, which began after `skip` rows.
    pub fn is_last(&self, skip: u64) -> bool {
        self.items.is_empty() || self.total.is_some_and(|total| skip + self.items.len() as u64 >= total)
    }
}

/// A part of a run's trace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Trace {
    /// The entries, in the order that was asked for.
    #[serde(rename = "logs")]
    pub entries: Vec<TraceEntry>,
    /// How many entries there are in all, when the service tells.
    #[serde(default, rename = "total_logs", deserialize_with = "lenient")]
    pub total: Option<u64>,
}

impl Trace {
    /// Whether nothing follows this part, which began after `skip` entries.
    pub fn is_last(&self, skip: u64) -> bool {
        self.entries.is_empty() || self.total.is_some_and(|total| skip + self.entries.len() as u64 >= total)
    }
}

/// One entry of a run's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceEntry {
    /// When it was made; `None` when the service does not tell in a form that we know.
    pub created_at: Option<Timestamp>,
    /// What was observed, as text: a prompt is the observation of an entry of the type `USER_MESSAGE`.
    observation: String,
}

#[derive(Deserialize)]
struct TraceEntryBody {
    #[serde(default, deserialize_with = "lenient")]
    created_at: Option<String>,
    #[serde(default)]
    observation: Value,
}

impl TraceEntry {
    /// Whether it shows the last line of what was sent for a job. Job ids are never used twice, so it need not be known
    /// where in the entry the line stands.
    pub fn names(&self, job: &str) -> bool {
        self.observation.contains(&last_line(job))
    }
}

impl<'de> Deserialize<'de> for TraceEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = TraceEntryBody::deserialize(deserializer)?;
        let observation = match body.observation {
            Value::String(text) => text,
            Value::Null => String::new(),
            other => other.to_string(),
        };
        Ok(Self { created_at: body.created_at.as_deref().and_then(read_time), observation })
    }
}

/// The user that the token belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Me {
    /// The user's id.
    pub id: i64,
}

/// A repository as Codegen knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RepoRow {
    /// Codegen's id for it (not the host's).
    pub id: i64,
    /// `owner/name` on GitHub.
    pub full_name: String,
}

/// Reads a member that may be missing, null or of another type than documented; all of these are `None`.
fn lenient<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(serde_json::from_value(Value::deserialize(deserializer)?).ok())
}
