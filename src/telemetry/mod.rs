//! Logs, spans and metrics: how the program tells what it does.

mod lines;

use std::io::{self, IsTerminal, stderr};

use metrics::{Label, SetRecorderError};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::model::delivery::DeliveryOutcome;
use crate::model::limits::CallClass;
use crate::model::policy::Scope;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The level is no filter.
    #[error("the log level is wrong: {0}")]
    Level(#[from] ParseError),
    /// There is no thread for it.
    #[error("the log cannot start: {0}")]
    Thread(#[from] io::Error),
    /// Another log is running in this process.
    #[error("the log cannot start: {0}")]
    Log(#[from] TryInitError),
    /// The metrics are described wrongly.
    #[error("the metrics cannot start: {0}")]
    Metrics(#[from] BuildError),
    /// Other metrics are running in this process.
    #[error("the metrics cannot start: {0}")]
    Recorder(#[from] SetRecorderError<PrometheusRecorder>),
}

/// Whether `level` is a filter that [`start_log`] would take.
pub fn check_level(level: &str) -> Result<(), ParseError> {
    EnvFilter::try_new(level).map(drop)
}

/// Starts the log on standard error, so that standard output stays for data. Once per process, which ends with
/// [`end_log`].
pub fn start_log(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(level)?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(lines::ToStderr::start()?);
    match format {
        LogFormat::Text => log.with_ansi(stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => log.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// Waits until all that was told so far is written out; what is told later still comes.
pub fn end_log() {
    lines::flush();
}

/// What is measured. The labels of each are those that its help text names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Requests to `/webhooks/…`.
    WebhookRequests,
    /// Their sizes.
    WebhookBytes,
    /// Verified deliveries.
    Deliveries,
    /// Time from the last byte of a request to its answer.
    AcceptSeconds,
    /// Requests per group commit.
    GroupSize,
    /// Calls to the agent service.
    ApiCalls,
    /// How long they took.
    ApiSeconds,
    /// Status words of runs that we do not know.
    UnknownStatus,
    /// Requests refused before they were deliveries.
    Refused,
    /// Runs that are followed.
    RunsActive,
    /// Whether the rules in force are not those of the files.
    RulesStale,
    /// Changes of the rule files that were seen.
    RulesReloads,
    /// Budgets that came to their last fifth.
    BudgetWarnings,
    /// Subjects that were handed to a person.
    HandOffs,
    /// Which build runs.
    BuildInfo,
}

#[derive(Clone, Copy)]
enum Shape {
    Counter,
    Gauge,
    Histogram(&'static [f64]),
}

const SECONDS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
const BYTES: &[f64] = &[1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 26_214_400.0];
const GROUPS: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];
/// The answers of the public listener (HTTP status).
const ANSWERS: [&str; 10] = ["200", "202", "400", "401", "405", "408", "413", "415", "500", "503"];
const RESULTS: [&str; 5] = ["ok", "limited", "refused", "failed", "unanswered"];
/// What becomes of changed rule files.
const RELOADS: [&str; 2] = ["taken", "refused"];
const REASONS: [&str; 13] = [
    "source_unknown",
    "signature_missing",
    "signature_wrong",
    "token_missing",
    "token_wrong",
    "stale",
    "malformed",
    "media_type",
    "method",
    "size",
    "timeout",
    "overload",
    "internal",
];

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 15] = [
        Self::WebhookRequests,
        Self::WebhookBytes,
        Self::Deliveries,
        Self::AcceptSeconds,
        Self::GroupSize,
        Self::ApiCalls,
        Self::ApiSeconds,
        Self::UnknownStatus,
        Self::Refused,
        Self::RunsActive,
        Self::RulesStale,
        Self::RulesReloads,
        Self::BudgetWarnings,
        Self::HandOffs,
        Self::BuildInfo,
    ];

    fn describe(self) -> (&'static str, Shape, &'static str) {
        use Shape::{Counter, Gauge, Histogram};
        match self {
            Self::WebhookRequests => {
                ("hookrun_webhook_requests_total", Counter, "Webhook requests by answer (HTTP status)")
            }
            Self::WebhookBytes => ("hookrun_webhook_bytes", Histogram(BYTES), "Size of webhook bodies"),
            Self::Deliveries => ("hookrun_deliveries_total", Counter, "Verified deliveries by outcome"),
            Self::AcceptSeconds => {
                ("hookrun_accept_seconds", Histogram(SECONDS), "Time from a request's last byte to its answer")
            }
            Self::GroupSize => ("hookrun_group_size", Histogram(GROUPS), "Requests that one commit took"),
            Self::ApiCalls => ("hookrun_api_calls_total", Counter, "Calls to the Codegen API by class and result"),
            Self::ApiSeconds => ("hookrun_api_seconds", Histogram(SECONDS), "Duration of calls to the Codegen API"),
            Self::UnknownStatus => {
                ("hookrun_unknown_status_total", Counter, "Runs seen with a status word that is not known")
            }
            Self::Refused => ("hookrun_refused_total", Counter, "Requests refused, by reason"),
            Self::RunsActive => ("hookrun_runs_active", Gauge, "Runs that are followed"),
            Self::RulesStale => {
                ("hookrun_rules_stale", Gauge, "1 while the rule files are broken and older rules stay in force")
            }
            Self::RulesReloads => {
                ("hookrun_rules_reloads_total", Counter, "Changes of the rule files that were seen, by result")
            }
            Self::BudgetWarnings => {
                ("hookrun_budget_warnings_total", Counter, "Budgets used to 80 % or more, by scope; once until settled")
            }
            Self::HandOffs => {
                ("hookrun_hand_offs_total", Counter, "Subjects handed to a person at their cap of attempts")
            }
            Self::BuildInfo => ("hookrun_build_info", Gauge, "Always 1; the label says which version runs"),
        }
    }

    /// Its name in `/metrics`.
    pub fn name(self) -> &'static str {
        self.describe().0
    }

    /// The label sets that exist from the start, so that a rate is known before the first event.
    fn label_sets(self) -> Vec<Vec<(&'static str, &'static str)>> {
        let each = |label: &'static str, values: &[&'static str]| values.iter().map(|v| vec![(label, *v)]).collect();
        match self {
            Self::WebhookRequests => each("answer", &ANSWERS),
            Self::Deliveries => each("outcome", &DeliveryOutcome::ALL.map(DeliveryOutcome::as_str)),
            Self::ApiCalls => CallClass::ALL
                .into_iter()
                .flat_map(|class| RESULTS.map(|result| vec![("class", class.as_str()), ("result", result)]))
                .collect(),
            Self::Refused => each("reason", &REASONS),
            Self::RulesReloads => each("result", &RELOADS),
            Self::BudgetWarnings => each("scope", &Scope::ALL.map(Scope::as_str)),
            Self::BuildInfo => each("version", &[env!("CARGO_PKG_VERSION")]),
            _ => vec![Vec::new()],
        }
    }
}

fn labels(pairs: &[(&'static str, &str)]) -> Vec<Label> {
    pairs.iter().map(|(name, value)| Label::new(*name, (*value).to_owned())).collect()
}

/// Adds one to a counter.
pub fn count(metric: Metric, pairs: &[(&'static str, &str)]) {
    metrics::counter!(metric.name(), labels(pairs)).increment(1);
}

/// Sets a gauge.
pub fn set(metric: Metric, pairs: &[(&'static str, &str)], value: f64) {
    metrics::gauge!(metric.name(), labels(pairs)).set(value);
}

/// Adds a measurement to a histogram: seconds, bytes or a number of requests, as its name says.
pub fn measure(metric: Metric, pairs: &[(&'static str, &str)], value: f64) {
    metrics::histogram!(metric.name(), labels(pairs)).record(value);
}

/// The metrics of this process, as `/metrics` shows them.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Starts measuring. Once per process; before it, measurements go nowhere.
    pub fn start() -> Result<Self, TelemetryError> {
        let (recorder, metrics) = Self::recorder()?;
        metrics::set_global_recorder(recorder)?;
        Ok(metrics)
    }

    /// A recorder on which every metric stands at zero already, and the view on it.
    pub fn recorder() -> Result<(PrometheusRecorder, Self), TelemetryError> {
        let mut builder = PrometheusBuilder::new();
        for metric in Metric::ALL {
            if let (name, Shape::Histogram(buckets), _) = metric.describe() {
                builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)?;
            }
        }
        let recorder = builder.build_recorder();
        metrics::with_local_recorder(&recorder, || Metric::ALL.into_iter().for_each(create));
        let metrics = Self(recorder.handle());
        Ok((recorder, metrics))
    }

    /// Everything measured so far, in the text format of Prometheus.
    pub fn render(&self) -> String {
        self.0.render()
    }

    /// Folds measurements into their buckets; without it they pile up in memory while nobody scrapes. Call it every few
    /// seconds.
    pub fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn create(metric: Metric) {
    let (name, shape, help) = metric.describe();
    match shape {
        Shape::Counter => metrics::describe_counter!(name, help),
        Shape::Gauge => metrics::describe_gauge!(name, help),
        Shape::Histogram(_) => metrics::describe_histogram!(name, help),
    }
    for pairs in metric.label_sets() {
        match shape {
            Shape::Counter => metrics::counter!(name, labels(&pairs)).absolute(0),
            Shape::Gauge => set(metric, &pairs, f64::from(u8::from(metric == Metric::BuildInfo))),
            Shape::Histogram(_) => drop(metrics::histogram!(name, labels(&pairs))),
        }
    }
}
