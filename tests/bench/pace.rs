//! How well the limits of the API are used: a limiter of the bench's own stands before the sandbox, counts every arrival,
//! and never trusts what the product counts itself. Time is compressed by short windows.
//!
//! Prints, for each round: the time to send a hundred jobs over what the limit and the latency of the answers allow, with
//! the calls that the limiter refused; the time from the answer to a webhook to the POST that it causes, over one loopback
//! round trip; and once the list calls that one look at 10,000 runs takes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hmac::{Hmac, KeyInit, Mac};
use hookrun::model::clock::{Clock, SystemClock};
use hookrun::model::limits::ClassLimits;
use hookrun::sandbox::{Sandbox, SandboxConfig};
use hookrun::store::{Store, StoreOptions};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

const SECRET: &str = "bench-secret-of-enough-bytes";
const TOKEN: &str = "the-token-of-the-sandbox";
const ORG: i64 = 42;
const ROUNDS: usize = 3;
/// Jobs that are sent under a limit, and the limit: ten in a second.
const JOBS: usize = 100;
const LIMIT: usize = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// How long the service thinks about a creation.
const LATENCY: Duration = Duration::from_millis(20);
/// Webhooks whose way to the service is timed.
const TIMED: usize = 100;
/// Runs that are followed.
const RUNS: i64 = 10_000;

/// A creation as the limiter saw it.
#[derive(Clone, Copy)]
struct Seen {
    arrived: Instant,
    answered: Instant,
}

/// What stands before the sandbox.
struct Limiter {
    /// How many creations may arrive in a window; `None` is any number.
    limit: Option<usize>,
    latency: Duration,
    recent: Mutex<VecDeque<Instant>>,
    seen: Mutex<Vec<Seen>>,
    refused: Mutex<usize>,
    /// The `skip` of every list call.
    lists: Mutex<Vec<u64>>,
    arrived: Notify,
}

impl Limiter {
    fn new(limit: Option<usize>, latency: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit,
            latency,
            recent: Mutex::default(),
            seen: Mutex::default(),
            refused: Mutex::default(),
            lists: Mutex::default(),
            arrived: Notify::new(),
        })
    }

    /// Whether a creation that arrives now is within the limit, wherever the window begins.
    fn admits(&self, now: Instant) -> bool {
        let mut recent = lock(&self.recent);
        while recent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            recent.pop_front();
        }
        let room = self.limit.is_none_or(|limit| recent.len() < limit);
        if room {
            recent.push_back(now);
        }
        room
    }
}

fn lock<T>(it: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    it.lock().expect("nobody panics with it")
}

async fn limit(State(limiter): State<Arc<Limiter>>, request: Request, next: Next) -> Response {
    let arrived = Instant::now();
    let path = request.uri().path();
    if path.ends_with("/agent/runs") {
        let skip = request.uri().query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("skip="));
        lock(&limiter.lists).push(skip.and_then(|skip| skip.parse().ok()).unwrap_or(0));
    }
    if request.method() != Method::POST || !path.ends_with("/agent/run") {
        return next.run(request).await;
    }
    if !limiter.admits(arrived) {
        *lock(&limiter.refused) += 1;
        return StatusCode::TOO_MANY_REQUESTS.into_response();
    }
    let at = {
        let mut seen = lock(&limiter.seen);
        seen.push(Seen { arrived, answered: arrived });
        seen.len() - 1
    };
    limiter.arrived.notify_waiters();
    let response = next.run(request).await;
    tokio::time::sleep(limiter.latency).await;
    lock(&limiter.seen)[at].answered = Instant::now();
    response
}

/// A service of which nothing but its runs is asked.
fn listing() -> Router {
    // Not older than what the product remembers of them: it does not look for a run below those that are older.
    let made = SystemClock::new().now().plus(Duration::from_mins(1)).to_rfc3339();
    let page = move |request: Request<Body>| async move {
        let skip: i64 = request
            .uri()
            .query()
            .unwrap_or_default()
            .split('&')
            .find_map(|pair| pair.strip_prefix("skip=")?.parse().ok())
            .unwrap_or(0);
        let row = |n| {
            serde_json::json!({"id": RUNS - n, "status": "ACTIVE", "created_at": made, "source_type": "API",
                "organization_id": ORG, "metadata": {"hookrun": {"job": format!("job-{}", RUNS - n)}}})
        };
        let items: Vec<_> = (skip..(skip + 100).min(RUNS)).map(row).collect();
        axum::Json(
            serde_json::json!({"items": items, "total": RUNS, "page": skip / 100 + 1, "size": 100, "pages": RUNS / 100}),
        )
    };
    let me = || async { axum::Json(serde_json::json!({"id": 1, "github_username": "bench", "role": "ADMIN"})) };
    Router::new().route("/v1/organizations/{org}/agent/runs", get(page)).route("/v1/users/me", get(me))
}

async fn bind(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream: &mut tokio::net::TcpStream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// The product, started on a fresh folder.
struct Product {
    process: Child,
    webhooks: String,
    client: reqwest::Client,
    sent: usize,
}

impl Product {
    async fn start(binary: &str, folder: &Path, service: SocketAddr, create: &str) -> Self {
        let settings = format!(
            "[webhooks]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n\
             [database]\nurl = \"sqlite:{folder}/pace.db\"\n\
             [codegen]\nbase_url = \"http://{service}\"\norg_id = {ORG}\ntoken = \"{TOKEN}\"\npoll_interval = \"1s\"\n\
             [codegen.limits]\ncreate = \"{create}\"\nstandard = \"10000/1s\"\n\
             [rules]\npath = \"{folder}/rules.toml\"\n\
             [sources.github]\nkind = \"github\"\nsecrets = [\"{SECRET}\"]\n[log]\nlevel = \"warn\"\n",
            folder = folder.display()
        );
        let rules = "[[rule]]\nname = \"fix\"\non = [\"ci.failed\"]\nrepos = [\"acme/*\"]\nsettle = \"0s\"\n\
                     limits = { rule = \"100000/hour\" }\nprompt = \"Fix {{ event.repo }} at {{ event.sha }}.\"\n";
        std::fs::write(folder.join("hookrun.toml"), settings).expect("the folder is ours");
        std::fs::write(folder.join("rules.toml"), rules).expect("the folder is ours");
        let mut process = Command::new(binary)
            .args(["serve", "--config"])
            .arg(folder.join("hookrun.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .expect("the product starts");
        let mut lines = BufReader::new(process.stdout.take().expect("it is piped")).lines();
        let webhooks = loop {
            let line = lines.next_line().await.expect("it can be read").expect("it says where it listens");
            if let Some((_, address)) = line.split_once("http://").filter(|_| line.starts_with("webhooks")) {
                break format!("http://{}/webhooks/github", address.split('/').next().unwrap_or_default());
            }
        };
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { process, webhooks, client, sent: 0 }
    }

    /// Sends one failed check of a commit and branch of its own; answers when the 2xx was there.
    async fn fail_a_check(&mut self) -> Instant {
        self.sent += 1;
        let n = self.sent;
        let body = serde_json::json!({"action": "completed", "check_run": {
            "id": n, "name": "unit", "head_sha": format!("{n:040x}"), "status": "completed", "conclusion": "failure",
            "completed_at": "2026-01-15T10:03:12Z", "html_url": format!("https://github.com/acme/widgets/runs/{n}"),
            "check_suite": {"id": n, "head_branch": format!("b{n}"), "head_sha": format!("{n:040x}")}, "pull_requests": []},
            "repository": {"id": 1, "name": "widgets", "full_name": "acme/widgets", "private": true,
                "html_url": "https://github.com/acme/widgets"},
            "sender": {"login": "mia", "id": 1, "type": "User"}})
        .to_string();
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("any key");
        mac.update(body.as_bytes());
        let answer = self
            .client
            .post(&self.webhooks)
            .header("content-type", "application/json")
            .header("x-github-event", "check_run")
            .header("x-github-delivery", format!("bench-{n}"))
            .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(body)
            .send()
            .await
            .expect("it is answered");
        let at = Instant::now();
        assert_eq!(answer.status(), StatusCode::ACCEPTED, "a job is made");
        answer.bytes().await.expect("the answer is read");
        at
    }

    async fn end(mut self) {
        self.process.start_kill().expect("it runs");
        self.process.wait().await.expect("it ends");
    }
}

/// A folder for one round, empty.
fn fresh(folder: &str, name: &str) -> std::path::PathBuf {
    let path = Path::new(folder).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).expect("the folder is ours");
    path
}

async fn service(limiter: &Arc<Limiter>) -> SocketAddr {
    let mut config = SandboxConfig::new(vec![TOKEN.to_owned().into()], ORG);
    config.limits = None;
    let sandbox = Sandbox::new(config, Arc::new(SystemClock::new()));
    bind(sandbox.router().layer(axum::middleware::from_fn_with_state(limiter.clone(), limit))).await
}

/// Waits until so many creations were answered.
async fn answered(limiter: &Limiter, count: usize) {
    loop {
        let done = {
            let seen = lock(&limiter.seen);
            seen.len() >= count && seen.iter().all(|it| it.answered > it.arrived)
        };
        if done {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The time that the sends of `seen` took, over the shortest that the limit and their own latencies allow.
fn over_ideal(seen: &[Seen]) -> f64 {
    let first = seen[0].arrived;
    let mut ends: Vec<Duration> = Vec::with_capacity(seen.len());
    for (n, call) in seen.iter().enumerate() {
        // A slot is free one window after the answer to the call that used it.
        let free = if n < LIMIT { Duration::ZERO } else { ends[n - LIMIT] + WINDOW };
        ends.push(free + (call.answered - call.arrived));
        ends.sort();
    }
    let took = seen.iter().map(|call| call.answered - first).max().unwrap_or_default();
    took.as_secs_f64() / ends.last().copied().unwrap_or_default().as_secs_f64()
}

async fn drain(binary: &str, folder: &str) {
    let limiter = Limiter::new(Some(LIMIT), LATENCY);
    let address = service(&limiter).await;
    let mut product = Product::start(binary, &fresh(folder, "drain"), address, &format!("{LIMIT}/1s")).await;
    for _ in 0..JOBS {
        product.fail_a_check().await;
    }
    answered(&limiter, JOBS).await;
    println!("drain: {:.4} {}", over_ideal(&lock(&limiter.seen)), *lock(&limiter.refused));
    product.end().await;
}

async fn reaction(binary: &str, folder: &str) {
    let limiter = Limiter::new(None, Duration::ZERO);
    let address = service(&limiter).await;
    let mut product = Product::start(binary, &fresh(folder, "reaction"), address, "10000/1s").await;
    let (mut ways, mut trips) = (Vec::new(), Vec::new());
    for n in 0..TIMED {
        let begun = Instant::now();
        let pong = product.client.get(format!("http://{address}/nothing")).send().await.expect("it is answered");
        pong.bytes().await.expect("the answer is read");
        trips.push(begun.elapsed().as_secs_f64());
        let taken = product.fail_a_check().await;
        while lock(&limiter.seen).len() <= n {
            let arrival = limiter.arrived.notified();
            if lock(&limiter.seen).len() <= n {
                arrival.await;
            }
        }
        let posted = lock(&limiter.seen)[n].arrived;
        ways.push(posted.saturating_duration_since(taken).as_secs_f64());
        // The call under way is over before the next begins: what is timed is a free slot and an idle worker.
        answered(&limiter, n + 1).await;
    }
    let middle = |times: &mut Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2] * 1e6
    };
    println!("reaction: {:.1} {:.1}", middle(&mut ways), middle(&mut trips));
    product.end().await;
}

/// Runs that the product has to follow, in its database before it starts.
async fn fill(folder: &Path) {
    let path = folder.join("pace.db");
    let url = format!("sqlite:{}", path.display());
    let clock = Arc::new(SystemClock::new());
    let store = Store::open(StoreOptions { url, limits: ClassLimits::default() }, clock.clone()).await;
    store.expect("the store opens").close().await.expect("the store closes");
    let conn = rusqlite::Connection::open(&path).expect("the file opens");
    let now = clock.now().0;
    conn.execute_batch(&format!(
        "BEGIN; WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {RUNS}) \
         INSERT INTO jobs (id, rule, source, key, lane, subject, repo, failing, state, reason, created_at, due_at, \
         settled_by, updated_at, submitted_at, answered_at, context, run) \
         SELECT 'job-' || n, 'fix', 'github', 'k' || n, 'l', 's' || n, 'acme/widgets', 1, 'running', '', {now}, {now}, {now}, \
         {now}, {now}, {now}, 's' || n, n FROM numbers; \
         WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {RUNS}) \
         INSERT INTO runs (id, job, status, phase, pull_requests, created_at, seen_at) \
         SELECT n, 'job-' || n, 'ACTIVE', 'alive', '[]', {now}, {now} FROM numbers; COMMIT;"
    ))
    .expect("the runs are written");
}

async fn follow(binary: &str, folder: &str) {
    let limiter = Limiter::new(None, Duration::ZERO);
    let address = bind(listing().layer(axum::middleware::from_fn_with_state(limiter.clone(), limit))).await;
    let place = fresh(folder, "follow");
    fill(&place).await;
    let product = Product::start(binary, &place, address, "10/60s").await;
    // A round is over when the next begins at the top.
    let tops = || lock(&limiter.lists).iter().filter(|skip| **skip == 0).count();
    while tops() < 3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let lists = lock(&limiter.lists).clone();
    let rounds: Vec<usize> = lists.split(|skip| *skip == 0).map(|pages| pages.len() + 1).collect();
    println!("follow: {}", rounds[1]);
    product.end().await;
}

/// Measures all of it with the product at `binary`, in folders below `folder`.
pub(crate) async fn run(binary: &str, folder: &str) {
    // The second part in the process finds it installed; that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for _ in 0..ROUNDS {
        drain(binary, folder).await;
        reaction(binary, folder).await;
    }
    follow(binary, folder).await;
}
