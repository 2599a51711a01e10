//! A worker whose ticks the test calls by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use hookrun::codegen::{Codegen, CodegenOptions};
use hookrun::model::acceptance::Acceptance;
use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::decision::{Ruling, Verdict};
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::{Event, Kind, Origin, Subject};
use hookrun::model::id::new_id;
use hookrun::model::job::{Job, JobRequest, JobState};
use hookrun::model::limits::{ClassLimits, RateLimit};
use hookrun::model::policy::{Action, Policy, Terms};
use hookrun::model::run::RepoTarget;
use hookrun::rules::{Live, RuleSet, load};
use hookrun::sandbox::{Call, CallRecord, Fault, FaultRule, Sandbox, SandboxConfig, SandboxRun, serve};
use hookrun::store::{Retention, Store, StoreError};
use hookrun::worker::{Worker, WorkerOptions};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, on_postgres};
use crate::support::{ManualClock, install_tls};

const ORG: i64 = 42;
const TOKEN: &str = "the-token-of-the-sandbox";

/// What differs from the usual bench.
pub(crate) struct Setting {
    pub(crate) limits: ClassLimits,
    /// What the sandbox enforces.
    pub(crate) enforced: Option<ClassLimits>,
    pub(crate) rules: &'static str,
    pub(crate) repos: BTreeMap<String, RepoTarget>,
    pub(crate) require_repo: bool,
    pub(crate) call_timeout: Duration,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            limits: ClassLimits::default(),
            enforced: Some(ClassLimits::default()),
            rules: RULES,
            repos: BTreeMap::new(),
            require_repo: false,
            call_timeout: Duration::from_secs(30),
        }
    }
}

/// The usual rules.
pub(crate) const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "Fix {{ event.repo }} at {{ event.sha }}."
"#;

pub(crate) struct Bench {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) store: Store,
    pub(crate) worker: Worker,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) stop: CancellationToken,
    setting: Setting,
    address: SocketAddr,
    made: AtomicU32,
    pub(crate) database: Arc<Database>,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        Self::with(Setting::default()).await
    }

    pub(crate) async fn with(setting: Setting) -> Self {
        install_tls();
        let clock = ManualClock::new();
        let mut config = config();
        config.limits = setting.enforced;
        let (sandbox, address) = sandbox(config, clock.clone()).await;
        let database = Arc::new(Database::new().await);
        Self::open(sandbox, clock, setting, address, database).await
    }

    /// A service without limits, and windows that never matter.
    pub(crate) async fn unlimited() -> Self {
        let much = RateLimit::new(1000, 1);
        let limits = ClassLimits { create: much, standard: much, ..ClassLimits::default() };
        Self::with(Setting { limits, enforced: None, ..Setting::default() }).await
    }

    /// A service whose port is closed.
    pub(crate) async fn unreachable() -> Self {
        let bench = Self::new().await;
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        Self { address: closed, ..bench }.restart().await
    }

    async fn open(
        sandbox: Arc<Sandbox>,
        clock: Arc<ManualClock>,
        setting: Setting,
        address: SocketAddr,
        database: Arc<Database>,
    ) -> Self {
        let store = open_store(&database, setting.limits, clock.clone()).await;
        let stop = CancellationToken::new();
        let worker = worker(&setting, address, &store, clock.clone(), Duration::from_secs(5), &stop);
        Self { sandbox, store, worker, clock, stop, setting, address, made: AtomicU32::new(0), database }
    }

    /// Closes the store without a word to anybody, and starts again on the same file.
    pub(crate) async fn restart(self) -> Self {
        let Self { sandbox, store, worker, clock, setting, address, database, .. } = self;
        store.close().await.unwrap();
        drop((worker, store));
        Self::open(sandbox, clock, setting, address, database).await
    }

    /// The same before a service that remembers nothing.
    pub(crate) async fn restart_forgetful(mut self) -> Self {
        (self.sandbox, self.address) = sandbox(config(), self.clock.clone()).await;
        self.restart().await
    }

    /// The same before another service.
    pub(crate) async fn restart_before(mut self, service: SocketAddr) -> Self {
        self.address = service;
        self.restart().await
    }

    /// The same after a restart by a clock that was set back.
    pub(crate) async fn restart_earlier(self, by: Duration) -> Self {
        self.clock.set(self.clock.now().minus(by));
        self.restart().await
    }

    /// The same after a restart with other limits.
    pub(crate) async fn restart_with(mut self, limits: ClassLimits) -> Self {
        self.setting.limits = limits;
        self.restart().await
    }

    /// The same after a restart under other rules.
    pub(crate) async fn restart_under(mut self, rules: &'static str) -> Self {
        self.setting.rules = rules;
        self.restart().await
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub(crate) fn fault(&self, on: Call, fault: Fault) {
        self.sandbox.faults([FaultRule::once(on, fault)]);
    }

    /// Somebody else with the same token makes a run without metadata; its id.
    pub(crate) async fn stranger(&self) -> i64 {
        let address = format!("http://{}/v1/organizations/{ORG}/agent/run", self.address);
        let body = serde_json::json!({"prompt": "Something else."});
        let answer = reqwest::Client::new().post(address).bearer_auth(TOKEN).json(&body).send().await.unwrap();
        let run: serde_json::Value = answer.json().await.unwrap();
        run["id"].as_i64().unwrap()
    }

    /// Somebody else says something to a run.
    pub(crate) async fn tell(&self, run: i64, prompt: &str) {
        let address = format!("http://{}/v1/organizations/{ORG}/agent/run/resume", self.address);
        let body = serde_json::json!({"agent_run_id": run, "prompt": prompt});
        let sent = reqwest::Client::new().post(address).bearer_auth(TOKEN).json(&body).send().await.unwrap();
        sent.error_for_status().unwrap();
    }

    /// Somebody else with the same token makes so many runs with metadata of his own.
    pub(crate) async fn fill(&self, count: u32) {
        let address = format!("http://{}/v1/organizations/{ORG}/agent/run", self.address);
        let body = serde_json::json!({"prompt": "Something else.", "metadata": {"tool": "another"}});
        let client = reqwest::Client::new();
        for _ in 0..count {
            client.post(&address).bearer_auth(TOKEN).json(&body).send().await.unwrap().error_for_status().unwrap();
        }
    }

    /// Accepts a failed check of a branch of its own; the id of the job that it makes.
    pub(crate) async fn job(&self) -> String {
        self.job_of("github", "acme/widgets").await
    }

    pub(crate) async fn job_of(&self, source: &str, repo: &str) -> String {
        let number = self.made.fetch_add(1, Ordering::SeqCst);
        self.job_on(source, repo, &format!("branch-{number}"), &format!("{number:040x}")).await
    }

    pub(crate) async fn job_on(&self, source: &str, repo: &str, branch: &str, sha: &str) -> String {
        let resumes = self.setting.rules.contains("then = [\"resume\"");
        accept(&self.store, self.clock.now(), (source, repo), branch, sha, resumes).await
    }

    /// Accepts so many jobs.
    pub(crate) async fn jobs(&self, count: u32) -> Vec<String> {
        let mut jobs = Vec::new();
        for _ in 0..count {
            jobs.push(self.job().await);
        }
        jobs
    }

    /// Makes a queued job ask for something else than a new run.
    pub(crate) async fn turn(&self, job: &str, action: Action, target: Option<i64>) {
        let kind = if action == Action::Run { "resume" } else { action.as_str() };
        let (action, target) = (action.as_str(), target.map_or("NULL".to_owned(), |run| run.to_string()));
        // The lane ends with the kind of call.
        let lane = format!("REPLACE(REPLACE(lane, '\u{1f}resume?', '\u{1f}run'), '\u{1f}run', '\u{1f}{kind}')");
        let set = format!("action = '{action}', target = {target}, lane = {lane}");
        self.alter(&format!("UPDATE jobs SET {set} WHERE id = '{job}' AND state = 'queued'")).await;
    }

    /// Makes a queued job one that is to be said to the run of another, which is not known yet.
    pub(crate) async fn wait_for(&self, job: &str, other: &str) {
        let set = format!("follows = '{other}', target = NULL");
        self.alter(&format!("UPDATE jobs SET {set} WHERE id = '{job}' AND state = 'queued'")).await;
    }

    /// Makes the stored bodies of a job unreadable.
    pub(crate) async fn lose_body(&self, job: &str) {
        let nothing = if on_postgres() { "'\\x00'" } else { "x'00'" };
        let of = format!("SELECT delivery FROM job_events WHERE job = '{job}'");
        self.alter(&format!("UPDATE bodies SET body = {nothing} WHERE delivery = ({of})")).await;
    }

    async fn alter(&self, one_row: &str) {
        assert_eq!(self.database.alter(one_row).await, 1);
    }

    /// Releases what can be released and waits for the answers.
    pub(crate) async fn release(&self) -> Option<Timestamp> {
        let again = self.worker.release_tick().await.unwrap();
        self.worker.sent().await;
        again
    }

    pub(crate) async fn find(&self, job: &str) -> Job {
        self.store.job(job).await.unwrap().unwrap()
    }

    pub(crate) async fn state(&self, job: &str) -> JobState {
        self.find(job).await.state
    }

    /// How many commits of a job's subject count as acted upon.
    pub(crate) async fn counted(&self, job: &str) -> u32 {
        let job = self.find(job).await;
        self.store.snapshots(vec![(job, Policy::default())]).await.unwrap()[0].attempts.unwrap()
    }

    /// The runs of a job at the service.
    pub(crate) fn runs_of(&self, job: &str) -> Vec<SandboxRun> {
        let wanted = serde_json::json!({ "hookrun": { "job": job } });
        let mut runs = self.sandbox.runs();
        runs.retain(|run| run.metadata.as_ref().is_some_and(|metadata| wanted.as_object() == Some(metadata)));
        runs
    }

    /// The calls of one kind that reached the service.
    pub(crate) fn calls(&self, call: Call) -> Vec<CallRecord> {
        self.sandbox.calls().into_iter().filter(|record| record.call == Some(call)).collect()
    }
}

/// The usual sandbox.
pub(crate) fn config() -> SandboxConfig {
    SandboxConfig::new(vec![TOKEN.into()], ORG)
}

/// A worker on this store for the sandbox at this address.
pub(crate) fn worker(
    setting: &Setting,
    address: SocketAddr,
    store: &Store,
    clock: Arc<dyn Clock>,
    poll: Duration,
    stop: &CancellationToken,
) -> Worker {
    worker_under(
        Arc::new(Live::new(rules(setting.rules), Timestamp::default())),
        setting,
        address,
        store,
        clock,
        poll,
        stop,
    )
}

/// The same under rules that others share.
pub(crate) fn worker_under(
    live: Arc<Live>,
    setting: &Setting,
    address: SocketAddr,
    store: &Store,
    clock: Arc<dyn Clock>,
    poll: Duration,
    stop: &CancellationToken,
) -> Worker {
    let mut options = CodegenOptions::new(format!("http://{address}"), ORG, TOKEN.into());
    options.call_timeout = setting.call_timeout;
    let codegen = Codegen::new(&options, store.clone(), clock.clone()).unwrap();
    let sources = [("github", SourceKind::Github), ("gitlab", SourceKind::Gitlab)];
    let options = WorkerOptions {
        sources: sources.map(|(name, kind)| (name.to_owned(), kind)).into(),
        repos: setting.repos.clone(),
        require_repo: setting.require_repo,
        poll,
        give_up: Duration::from_hours(24),
        retention: Retention {
            bodies: Duration::from_hours(24 * 14),
            records: Duration::from_hours(24 * 90),
            claims: Duration::from_hours(24 * 400),
        },
    };
    Worker::new(options, store.clone(), codegen, live, clock, stop.clone())
}

/// A sandbox on a port of its own.
pub(crate) async fn sandbox(config: SandboxConfig, clock: Arc<dyn Clock>) -> (Arc<Sandbox>, SocketAddr) {
    let sandbox = Sandbox::new(config, clock);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, sandbox.clone(), std::future::pending()));
    (sandbox, address)
}

/// The store in a database.
pub(crate) async fn open_store(database: &Database, limits: ClassLimits, clock: Arc<dyn Clock>) -> Store {
    loop {
        match database.open(limits, clock.clone()).await {
            // Tasks of a life before this one are still being let go.
            Err(StoreError::Owned { .. }) => tokio::task::yield_now().await,
            other => return other.unwrap(),
        }
    }
}

/// Accepts a failed check for a rule that tells a run first or starts one; the id of the job that it makes.
pub(crate) async fn accept(
    store: &Store,
    now: Timestamp,
    (source, repo): (&str, &str),
    branch: &str,
    sha: &str,
    resumes: bool,
) -> String {
    let subject = format!("{source}.example/{repo}@{branch}");
    let happening = format!("suite {sha}");
    let event = Event {
        kind: Some(Kind::CiFailed),
        native: "github:check_suite.completed".to_owned(),
        source: source.to_owned(),
        host: format!("{source}.example"),
        repo: Some(repo.to_owned()),
        subject: Subject { key: subject.clone(), origin: Origin::Base },
        branch: Some(branch.to_owned()),
        sha: Some(sha.to_owned()),
        happening: happening.clone(),
        ..Event::default()
    };
    let request = JobRequest {
        rule: "fix".to_owned(),
        key: format!("{repo}@{sha}"),
        per_commit: true,
        follow_up: resumes,
        happening: happening.clone(),
        subject,
        repo: Some(repo.to_owned()),
        sha: Some(sha.to_owned()),
        failing: true,
        settle_max: Duration::from_mins(30),
        ..JobRequest::default()
    };
    let verdict = Verdict {
        rule: "fix".to_owned(),
        decision: Ruling::Queued,
        reason: String::new(),
        inputs: serde_json::Map::new(),
        rules_hash: "hash".to_owned(),
        event: 0,
        happening: Some(happening),
        key: Some(request.key.clone()),
        job: None,
    };
    // GitHub sends forms to hooks that are set so.
    let (content_type, body) = match source {
        "github" => ("application/x-www-form-urlencoded", "payload=%7B%22from%22%3A%22a+form%22%7D"),
        _ => ("application/json", r#"{"from":"JSON"}"#),
    };
    let accepted = store
        .accept(Acceptance {
            id: new_id(now),
            source: source.to_owned(),
            secret_label: "1".to_owned(),
            body: body.into(),
            headers: vec![("content-type".to_owned(), content_type.to_owned())],
            received_at: now,
            native: event.native.clone(),
            events: vec![event],
            verdicts: vec![verdict],
            requests: vec![(0, request)],
            ..Acceptance::default()
        })
        .await
        .unwrap();
    accepted.jobs[0].clone()
}

/// Rules as a file holds them.
pub(crate) fn rules(text: &str) -> RuleSet {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.toml");
    std::fs::write(&path, text).unwrap();
    let loaded = load(&path, &Terms::default());
    loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}
