//! Builds and joins everything; the only place that knows all rooms.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::HeaderName;
use secrecy::ExposeSecret;
use tokio::net::TcpListener;

use crate::codegen::{Codegen, CodegenOptions};
use crate::config::{LabeledSecret, RulesSettings, Settings, SourceSettings};
use crate::intake::{Door, Intake};
use crate::lifecycle::{Ending, Lifecycle};
use crate::model::clock::Clock;
use crate::model::delivery::SourceKind;
use crate::model::policy::{Approval, Policy};
use crate::model::span::show_span;
use crate::rules::gates;
use crate::rules::{InForce, Live, Places, Reload, RuleSummary};
use crate::server::{Admin, AdminParts, BodyLimits, RuleInForce, RulesInForce, Webhooks, serve};
use crate::store::{Retention, Store, StoreOptions};
use crate::telemetry::Metrics;
use crate::webhook::{Auth, NamedSecret, SourceSpec};
use crate::worker::{Worker, WorkerOptions};

/// How long a connection may take to send a request's head, or stay idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How often samples of histograms are folded; without it they pile up while nobody scrapes.
const METRICS_UPKEEP: Duration = Duration::from_secs(1);

/// How long stopping may take before what is left is cut off: a call to the API may take 30 seconds.
const GRACE: Duration = Duration::from_secs(35);

/// A running hookrun.
#[derive(Debug)]
pub struct App {
    /// Where webhooks are received.
    pub webhooks: SocketAddr,
    /// Where the status API and the dashboard are, if this process has them.
    pub admin: Option<SocketAddr>,
    lifecycle: Lifecycle,
    store: Store,
}

impl App {
    /// Opens the store, binds both listeners and starts every task.
    pub async fn start(
        settings: Settings,
        rules: Arc<Live>,
        metrics: Metrics,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let lifecycle = Lifecycle::new();
        let url = settings.database.url.expose_secret().to_owned();
        // Which file is said here; another address may carry a password.
        let file = url.strip_prefix("sqlite:").map(str::to_owned);
        let place = file.as_ref().map_or_else(String::new, |file| format!(" {file}"));
        let database = file.unwrap_or_else(|| "PostgreSQL".to_owned());
        let store = Store::open(StoreOptions { url, limits: settings.codegen.limits }, clock.clone())
            .await
            .with_context(|| format!("cannot open the database{place}"))?;
        let public = bind(settings.webhooks.listen).await?;
        let private = if settings.admin.enabled { Some(bind(settings.admin.listen).await?) } else { None };
        let (webhooks, admin) = (public.local_addr()?, private.as_ref().map(TcpListener::local_addr).transpose()?);

        let doors = settings.sources.values().map(door).collect::<anyhow::Result<Vec<_>>>()?;
        let intake = Arc::new(Intake::new(doors, rules.clone(), store.clone(), clock.clone()));
        let limits = body_limits(&settings);
        let receiving = intake.clone();
        let receive = move |source: String, headers, body| {
            let intake = receiving.clone();
            async move { intake.receive(&source, &headers, body).await }
        };
        let listener = Webhooks::new(receive, store.clone(), clock.clone(), limits);
        let router = if settings.webhooks.enabled { listener.router() } else { listener.health() };
        let (soft, hard) = (lifecycle.soft(), lifecycle.hard());
        lifecycle.spawn("webhooks", serve(public, router, soft.clone(), hard.clone(), HEAD_TIMEOUT));

        if let Some(private) = private {
            let router = Admin::new(admin_parts(&settings, &rules, &store, intake, metrics.clone(), &clock)).router();
            lifecycle.spawn("admin", serve(private, router, soft.clone(), hard, HEAD_TIMEOUT));
        }

        let token = settings.codegen.token.clone();
        let mut options = CodegenOptions::new(settings.codegen.base_url.clone(), settings.codegen.org_id, token);
        options.insecure_http = settings.codegen.insecure_http;
        let codegen = Codegen::new(&options, store.clone(), clock.clone())?;
        let RulesSettings { path, terms } = settings.rules.clone();
        let rules_at = path.display().to_string();
        let reload = Reload::new(path, terms, rules.clone(), clock.clone());
        let waiting = store.clone();
        let changed = move || {
            let store = waiting.clone();
            async move {
                // What was put aside under the old rules may go under the new ones.
                if let Err(error) = store.unpark_all().await {
                    tracing::warn!(%error, "jobs that were put aside wait until their time under the new rules");
                }
            }
        };
        lifecycle.spawn("rules", reload.keep(lifecycle.clone(), changed));
        if settings.worker.enabled {
            let worker = Worker::new(worker_options(&settings), store.clone(), codegen, rules, clock, soft.clone());
            worker.spawn(&lifecycle);
        }
        let upkeep = metrics.clone();
        lifecycle.spawn("metrics", async move {
            while soft.run_until_cancelled(tokio::time::sleep(METRICS_UPKEEP)).await.is_some() {
                upkeep.upkeep();
            }
        });
        let dashboard = admin.map(|admin| admin.to_string());
        tracing::info!(
            %webhooks, admin = dashboard, database, rules = rules_at, version = env!("CARGO_PKG_VERSION"), "hookrun is up"
        );
        Ok(Self { webhooks, admin, lifecycle, store })
    }

    /// Signals, and how it is stopped.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.lifecycle
    }

    /// Runs until somebody stops it, finishes what has begun, and tells whether every task ended as it should.
    pub async fn run_until_stopped(self) -> bool {
        self.lifecycle.soft().cancelled().await;
        let clean = self.lifecycle.stop(GRACE).await == Ending::Clean;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the database was not closed cleanly; the next start recovers");
        }
        clean
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// A configured source as the verifier and the intake know it.
pub(crate) fn door(source: &SourceSettings) -> anyhow::Result<Door> {
    let secrets = |list: &[LabeledSecret]| {
        list.iter().map(|it| NamedSecret::new(&*it.label, &it.secret)).collect::<Result<Vec<_>, _>>()
    };
    let auth = if source.unsigned {
        Auth::Unsigned
    } else if let Some(header) = &source.header_secret {
        let name = HeaderName::try_from(header.name.as_str())
            .with_context(|| format!("\"{}\" is no header name", header.name))?;
        Auth::Header { name, secrets: vec![NamedSecret::new(&*header.label, &header.secret)?] }
    } else if source.kind == SourceKind::Gitlab {
        let signing = source.signing_tokens.iter().map(|it| NamedSecret::signing(&*it.label, &it.secret));
        Auth::Gitlab {
            signing: signing.collect::<Result<_, _>>()?,
            tokens: secrets(&source.tokens)?,
            allow_token_fallback: source.allow_token_fallback,
        }
    } else {
        Auth::Hmac(secrets(&source.secrets)?)
    };
    let spec = SourceSpec {
        name: source.name.clone(),
        kind: source.kind,
        auth,
        agents: source.agents.as_slice().into(),
        max_age: source.max_age,
        event: source.event.clone(),
    };
    let repos =
        Places::new(&source.repos).map_err(|error| anyhow::anyhow!("sources.{}.repos: {error}", source.name))?;
    Ok(Door { spec, repos })
}

fn body_limits(settings: &Settings) -> BodyLimits {
    BodyLimits {
        max_body: settings.webhooks.max_body,
        timeout: settings.webhooks.body_timeout,
        in_flight: settings.webhooks.max_in_flight,
        in_flight_small: settings.webhooks.max_in_flight_small,
    }
}

fn admin_parts(
    settings: &Settings,
    rules: &Arc<Live>,
    store: &Store,
    intake: Arc<Intake>,
    metrics: Metrics,
    clock: &Arc<dyn Clock>,
) -> AdminParts {
    let (listed, rules) = (rules.clone(), rules.clone());
    AdminParts {
        store: store.clone(),
        intake,
        clock: clock.clone(),
        tokens: settings.admin.tokens.clone(),
        hosts: settings.admin.hosts.clone(),
        sources: settings.sources.values().map(|source| (source.name.clone(), source.kind)).collect(),
        rules: Box::new(move || shown(&listed.in_force())),
        policy: Box::new(move |job| rules.now().policy(&job.rule)),
        gates: Box::new(gates::ask),
        cost: settings.codegen.cost.clone(),
        headroom: settings.codegen.headroom,
        metrics: Box::new(move || metrics.render()),
    }
}

fn shown(now: &InForce) -> RulesInForce {
    let rule = |rule: RuleSummary| {
        let policy = now.rules.policy(&rule.name);
        RuleInForce {
            brakes: brakes(&policy),
            name: rule.name,
            mode: rule.mode.to_owned(),
            on: rule.on,
            repos: rule.repos,
            file: policy.file,
            limits: policy.limits,
            attempts: policy.attempts,
        }
    };
    RulesInForce {
        hash: now.rules.hash().to_owned(),
        rules: now.rules.rules().map(rule).collect(),
        loaded_at: now.loaded_at,
        stale: now.stale,
        problems: now.problems.clone(),
    }
}

/// What stands in a rule's way beside limits, in words.
fn brakes(policy: &Policy) -> Vec<String> {
    let approval = match policy.approval {
        Approval::Never => None,
        Approval::Always => Some("approval always".to_owned()),
        Approval::Above { count, per } => Some(format!("approval above {count}/{}", show_span(per))),
        Approval::First(count) => Some(format!("approval for the first {count}")),
    };
    let hours = policy.hours.as_ref().map(|hours| format!("hours {}", hours.show()));
    approval.into_iter().chain(hours).collect()
}

fn worker_options(settings: &Settings) -> WorkerOptions {
    WorkerOptions {
        sources: settings.sources.values().map(|source| (source.name.clone(), source.kind)).collect(),
        repos: settings.codegen.repos.clone(),
        require_repo: settings.codegen.require_repo,
        poll: settings.codegen.poll_interval,
        give_up: settings.codegen.give_up_after,
        retention: Retention {
            bodies: settings.retention.bodies,
            records: settings.retention.records,
            claims: settings.retention.claims,
        },
    }
}
