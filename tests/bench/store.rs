//! What the store costs, for `scripts/bench`: grouped against single commits, and its questions at a thousand and at a
//! million jobs. Prints one line of numbers for each measurement.
//!
//! ```text
//! store group URL SECONDS      deliveries a second from 64 tasks, through the store
//! store single URL SECONDS     the same rows with a transaction for each
//! store fill PATH JOBS         a SQLite store with so many queued jobs
//! store size PATH SMALL-PATH   what each question costs in the first, over the second
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hookrun::model::acceptance::Acceptance;
use hookrun::model::clock::{Clock, SystemClock, Timestamp};
use hookrun::model::decision::{Ruling, Verdict};
use hookrun::model::event::{Check, Event, Kind, Origin, Subject};
use hookrun::model::gate::{GateAnswer, GateOutcome};
use hookrun::model::id::new_id;
use hookrun::model::job::{Job, JobRequest};
use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::model::policy::{Action, Policy};
use hookrun::model::run::Run;
use hookrun::model::subject::{CheckUpdate, Facts, SubjectUpdate};
use hookrun::store::{CallId, JobFilter, PageRequest, Release, Released, Store, StoreOptions};

/// Tasks that accept at once.
const TASKS: usize = 64;
/// When the jobs of a filled store were made; they are due a day later.
const MADE: Timestamp = Timestamp(1_772_366_400_000);
const DAY: Duration = Duration::from_hours(24);
/// Rules and repositories of a filled store, so that there are a hundred lanes.
const TENS: i64 = 10;
/// How often each question is asked in a round, and how many rounds there are.
const TIMES: usize = 20;
const ROUNDS: usize = 5;

/// A clock that is set by hand, so that the same jobs can wait and be due.
#[derive(Debug)]
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        self.now()
    }
}

/// Does what the arguments say.
pub(crate) async fn run(arguments: &[&str]) {
    match arguments[..] {
        ["group", url, seconds] => group(url, span(seconds)).await,
        ["single", url, seconds] if url.starts_with("sqlite:") => single(url, span(seconds)).await,
        ["single", url, seconds] => single_postgres(url, span(seconds)).await,
        ["fill", path, jobs] => fill(path, jobs.parse().expect("JOBS is a number")).await,
        ["size", large, small] => size(large, small).await,
        _ => println!("group URL SECONDS | single URL SECONDS | fill PATH JOBS | size PATH SMALL-PATH"),
    }
}

fn span(seconds: &str) -> Duration {
    Duration::from_secs_f64(seconds.parse().expect("SECONDS is a number"))
}

/// Windows that never stand in the way.
fn much() -> ClassLimits {
    let much = RateLimit::new(1_000_000, 1);
    ClassLimits { create: much, standard: much, setup_commands: much, ..ClassLimits::default() }
}

async fn open(url: &str, clock: Arc<dyn Clock>) -> Store {
    Store::open(StoreOptions { url: url.to_owned(), limits: much() }, clock).await.expect("the store opens")
}

/// A body like that of a check run: 14.4 kB that pack to about a quarter.
fn body(n: u64) -> Bytes {
    let line = |at| format!("- case {at}: expected \"{at}\", got \"{}\" in tests/unit/cart_{at}.py of {n}\\n", at + n);
    let text = format!("{{\"id\":{n},\"summary\":\"{}\"}}", (0..200).map(line).collect::<String>());
    text.bytes().take(14_400).collect()
}

fn event(n: u64) -> Event {
    Event {
        kind: Some(Kind::CiFailed),
        native: "github:check_run.completed".to_owned(),
        source: "github".to_owned(),
        host: "github.com".to_owned(),
        repo: Some("acme/widgets".to_owned()),
        sha: Some(format!("{n:040x}")),
        happening: format!("github.com/check_run/{n}/1"),
        subject: Subject { key: format!("github.com/acme/widgets@b{n}"), origin: Origin::Base },
        ..Event::default()
    }
}

/// A delivery that no rule wants.
fn delivery(n: u64, now: Timestamp) -> Acceptance {
    Acceptance {
        id: new_id(now),
        source: "github".to_owned(),
        secret_label: "first".to_owned(),
        sender_id: Some(format!("bench-{n}")),
        body: body(n),
        headers: vec![("x-github-event".to_owned(), "check_run".to_owned())],
        received_at: now,
        native: "github:check_run.completed".to_owned(),
        events: vec![event(n)],
        reason: "no rule wants it".to_owned(),
        ..Acceptance::default()
    }
}

/// A delivery that makes a job, and tells of its branch and its check as one of GitHub does.
fn asking(n: u64, now: Timestamp) -> Acceptance {
    let mut acceptance = delivery(n, now);
    let event = &acceptance.events[0];
    let (host, repo, sha) = (event.host.clone(), "acme/widgets".to_owned(), format!("{n:040x}"));
    acceptance.subjects.push(SubjectUpdate {
        key: event.subject.key.clone(),
        host: host.clone(),
        repo: repo.clone(),
        facts: Facts { branch: Some(format!("b{n}")), head_sha: Some(sha.clone()), ..Facts::default() },
        ..SubjectUpdate::default()
    });
    let check = Check { name: "unit-tests 5".to_owned(), outcome: "failure".to_owned(), ..Check::default() };
    acceptance.checks.push(CheckUpdate { host, repo, sha, check });
    let request = JobRequest {
        rule: format!("rule-{}", n % TENS as u64),
        key: format!("accepted-{n}"),
        happening: event.happening.clone(),
        subject: event.subject.key.clone(),
        context: event.subject.key.clone(),
        repo: event.repo.clone(),
        sha: event.sha.clone(),
        failing: true,
        ..JobRequest::default()
    };
    let verdict = Verdict {
        rule: request.rule.clone(),
        decision: Ruling::Queued,
        reason: "every condition holds".to_owned(),
        inputs: serde_json::Map::new(),
        rules_hash: "bench".to_owned(),
        event: 0,
        happening: Some(request.happening.clone()),
        key: Some(request.key.clone()),
        job: None,
    };
    acceptance.verdicts.push(verdict);
    acceptance.requests.push((0, request));
    acceptance
}

async fn group(url: &str, span: Duration) {
    let clock = Arc::new(SystemClock::new());
    let store = open(url, clock.clone()).await;
    let (count, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (store, clock, count) = (store.clone(), clock.clone(), count.clone());
            tokio::spawn(async move {
                while begun.elapsed() < span {
                    let n = count.fetch_add(1, Ordering::Relaxed);
                    store.accept(delivery(n, clock.now())).await.expect("it is accepted");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    let each = store.commits();
    println!(
        "{:.1} a second, {:.1} in a transaction",
        count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64(),
        each.deliveries as f64 / each.transactions as f64
    );
    store.close().await.expect("the store closes");
}

/// As the store writes it: SQLite files it for looking up later, PostgreSQL at once.
fn delivery_row(unfiled: u8) -> String {
    format!(
        "INSERT INTO deliveries (id, source, secret_label, sender_id, body_sha256, body_bytes, received_at, native, kind, \
         subject, repo, outcome, reason, verdicts, sha, happening, unfiled) \
         VALUES ($1, $2, $3, $4, '', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, {unfiled})"
    )
}
const BODY: &str = "INSERT INTO bodies (delivery, received_at, headers, body) VALUES ($1, $2, $3, $4)";

/// The rows that the store writes for [`delivery`], each delivery in a transaction of its own.
async fn single(url: &str, span: Duration) {
    let clock = Arc::new(SystemClock::new());
    open(url, clock.clone()).await.close().await.expect("the store closes");
    let path = url.trim_start_matches("sqlite:");
    let mut conn = rusqlite::Connection::open(path).expect("the file opens");
    conn.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 4000;")
        .expect("the pragmas hold");
    let row = delivery_row(1);
    let (mut count, begun) = (0, Instant::now());
    while begun.elapsed() < span {
        let it = delivery(count, clock.now());
        let packed = lz4_flex::block::compress_prepend_size(&it.body);
        let event = &it.events[0];
        let tx = conn.transaction().expect("it begins");
        tx.prepare_cached(&row)
            .and_then(|mut insert| {
                insert.execute(rusqlite::params![
                    it.id,
                    it.source,
                    it.secret_label,
                    it.sender_id,
                    it.body.len() as i64,
                    it.received_at.0,
                    it.native,
                    "ci.failed",
                    event.subject.key,
                    event.repo,
                    "unmatched",
                    it.reason,
                    "[]",
                    event.sha,
                    event.happening
                ])
            })
            .expect("it is written");
        tx.prepare_cached(BODY)
            .and_then(|mut insert| insert.execute(rusqlite::params![it.id, it.received_at.0, "[]", packed]))
            .expect("it is written");
        tx.commit().expect("it is committed");
        count += 1;
    }
    println!("{:.1} a second", count as f64 / begun.elapsed().as_secs_f64());
}

/// The same on PostgreSQL from as many connections as it takes well: one statement for each delivery.
async fn single_postgres(url: &str, span: Duration) {
    let clock = Arc::new(SystemClock::new());
    open(url, clock.clone()).await.close().await.expect("the store closes");
    let pool = sqlx::postgres::PgPoolOptions::new().max_connections(16).connect(url).await.expect("it connects");
    let sql = format!(
        "WITH d AS ({}) INSERT INTO bodies (delivery, received_at, headers, body) VALUES ($1, $6, '[]', $16)",
        delivery_row(0)
    );
    let sql: Arc<str> = sql.into();
    let (count, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..TASKS)
        .map(|_| {
            let (pool, clock, count, sql) = (pool.clone(), clock.clone(), count.clone(), sql.clone());
            tokio::spawn(async move {
                while begun.elapsed() < span {
                    let it = delivery(count.fetch_add(1, Ordering::Relaxed), clock.now());
                    let packed = lz4_flex::block::compress_prepend_size(&it.body);
                    let event = &it.events[0];
                    sqlx::query(sqlx::AssertSqlSafe(sql.to_string()))
                        .bind(&it.id)
                        .bind(&it.source)
                        .bind(&it.secret_label)
                        .bind(&it.sender_id)
                        .bind(it.body.len() as i64)
                        .bind(it.received_at.0)
                        .bind(&it.native)
                        .bind("ci.failed")
                        .bind(&event.subject.key)
                        .bind(&event.repo)
                        .bind("unmatched")
                        .bind(&it.reason)
                        .bind("[]")
                        .bind(&event.sha)
                        .bind(&event.happening)
                        .bind(packed)
                        .execute(&pool)
                        .await
                        .expect("it is written");
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("no task panics");
    }
    println!("{:.1} a second", count.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64());
}

/// What came with each job of a filled store, but for its body: a delivery, the claim of what happened, the event that it is
/// about, and what is known of its branch and of its commit.
const BESIDE: &str = "
    CREATE TEMP TABLE filled AS SELECT id, rule, subject, repo, sha, created_at AS at, 'filled ' || sha AS happening FROM jobs;
    INSERT INTO deliveries (id, source, secret_label, sender_id, body_sha256, body_bytes, received_at, native, kind, subject,
        repo, outcome, reason, verdicts, sha, happening)
        SELECT 'd' || id, 'github', 'first', sha, '', 14400, at, 'github:check_run.completed', 'ci.failed', subject, repo,
        'accepted', '1 job', '[]', sha, happening FROM filled;
    INSERT INTO claims (rule, happening, claimed_at) SELECT rule, happening, at FROM filled;
    INSERT INTO job_events (job, seq, delivery, received_at, event) SELECT id, 1, 'd' || id, at, '{}' FROM filled;
    INSERT INTO subjects (key, host, repo, facts, updated_at) SELECT subject, 'github.com', repo, '{}', at FROM filled;
    INSERT INTO heads (host, repo, sha, subject, fork, seen_at) SELECT 'github.com', repo, sha, subject, 0, at FROM filled;
    INSERT INTO checks (host, repo, sha, name, aggregate, outcome, seen_at)
        SELECT 'github.com', repo, sha, 'unit-tests 5', 0, 'failure', at FROM filled;
    DROP TABLE filled;";

/// A store with so many queued jobs in a hundred lanes, all of one class but one, due a day after they were made.
async fn fill(path: &str, jobs: i64) {
    let clock = Arc::new(Hands(AtomicI64::new(MADE.0)));
    open(&format!("sqlite:{path}"), clock).await.close().await.expect("the store closes");
    let conn = rusqlite::Connection::open(path).expect("the file opens");
    conn.execute_batch("PRAGMA journal_mode = wal; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")
        .expect("the pragmas hold");
    let due = MADE.plus(DAY).0;
    let rows = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {jobs}), \
         facts AS (SELECT n, CASE WHEN n = {jobs} THEN 'setup_commands' ELSE 'run' END AS action, \
         'rule-' || (n % {TENS}) AS rule, 'acme/repo-' || (n / {TENS} % {TENS}) AS repo, \
         'github.com/acme/widgets@filled-' || n AS subject FROM numbers) \
         INSERT INTO jobs (id, rule, source, key, lane, subject, repo, sha, failing, state, reason, created_at, due_at, \
         settled_by, updated_at, context, action, events) \
         SELECT '0190' || (1000000000 + n), rule, 'github', 'filled-' || n, \
         '2' || char(31) || rule || char(31) || repo || char(31) || 'github' || char(31) || action, subject, repo, \
         printf('%040x', n), 1, 'queued', 'waits', {made}, {due}, {due}, {made}, subject, action, 1 FROM facts;",
        made = MADE.0
    );
    conn.execute_batch(&rows).expect("the jobs are written");
    conn.execute_batch(BESIDE).expect("what came with them is written");
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);").expect("the log is folded");
}

/// A store of a size, and what is asked of it.
struct Sized {
    store: Store,
    clock: Arc<Hands>,
    made: u64,
}

impl Sized {
    async fn open(path: &str) -> Self {
        let clock = Arc::new(Hands(AtomicI64::new(MADE.0)));
        let store = open(&format!("sqlite:{path}"), clock.clone()).await;
        Self { store, clock, made: 0 }
    }

    fn set(&self, at: Timestamp) {
        self.clock.0.store(at.0, Ordering::SeqCst);
    }

    /// Time passes, so that windows and turns do not pile up in one moment.
    fn tick(&self) {
        self.set(self.clock.now().plus(Duration::from_secs(2)));
    }

    async fn accept(&mut self) {
        self.made += 1;
        self.store.accept(asking(self.made, self.clock.now())).await.expect("it is accepted");
    }

    /// What the worker does to send the next run, the call included.
    async fn claim(&self) -> (Job, CallId) {
        let candidates = self.store.candidates(u32::MAX, &[]).await.expect("there are candidates");
        let job = candidates.into_iter().find(|job| job.action == Action::Run).expect("a run is due");
        let release = Release {
            job: job.id.clone(),
            revision: job.revision,
            prompt: format!("Fix it.\nhookrun job {}", job.id),
            note: String::new(),
            told: None,
            classes: vec![CallClass::Create, CallClass::Standard],
            policy: Policy::default(),
        };
        let go = |_: &_| GateAnswer { outcome: GateOutcome::Go, records: Vec::new() };
        match self.store.release(release, go).await.expect("it is asked") {
            Released::Go { call, .. } => (job, call),
            other => unreachable!("nothing stands in its way: {other:?}"),
        }
    }

    /// Makes a run, and answers its id.
    async fn begin(&mut self) -> i64 {
        self.made += 1;
        let (job, call) = self.claim().await;
        let id = MADE.0 + self.made as i64;
        let run = Run { id, status: Some("ACTIVE".to_owned()), ..Run::default() };
        self.store.run_created(&job.id, &call, &run).await.expect("it is noted");
        id
    }

    /// The same while no run can be started: what else there is goes all the same.
    async fn claim_past_blocked(&self) {
        let frozen = self.store.freezes().await.expect("they are read");
        let windows = self.store.windows().await.expect("they are read");
        assert!(!windows.is_empty() && frozen.iter().any(|it| it.class == CallClass::Create), "creates are frozen");
        let candidates = self.store.candidates(u32::MAX, &[]).await.expect("there are candidates");
        let other = candidates.iter().find(|job| job.action == Action::SetupCommands).expect("the other lane is seen");
        // It is looked at and not sent, so that it is there the next time.
        self.store.snapshots(vec![(other.clone(), Policy::default())]).await.expect("it is looked at");
    }
}

/// One question of the bench.
#[derive(Clone, Copy)]
enum Question {
    NothingDue,
    Claim,
    Accept,
    Complete,
    Counts,
    Page,
    Blocked,
}

const QUESTIONS: [(Question, &str); 7] = [
    (Question::NothingDue, "claim with all in backoff"),
    (Question::Claim, "claim"),
    (Question::Accept, "accept"),
    (Question::Complete, "complete"),
    (Question::Counts, "counts"),
    (Question::Page, "one page of a list"),
    (Question::Blocked, "claim with one class blocked"),
];

/// Asks one question many times; answers the median in microseconds.
async fn ask(question: Question, at: &mut Sized) -> f64 {
    let backoff = matches!(question, Question::NothingDue);
    let present = at.clock.now().max(MADE.plus(2 * DAY));
    at.set(if backoff { MADE.plus(Duration::from_hours(1)) } else { present });
    if matches!(question, Question::Blocked) {
        let until = at.clock.now().plus(Duration::from_mins(10));
        at.store.freeze(CallClass::Create, until, "a bench").await.expect("it is frozen");
    }
    let mut times = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        if !backoff {
            at.tick();
        }
        // A run that is to end is first made.
        let run = match question {
            Question::Complete => Some(at.begin().await),
            _ => None,
        };
        let begun = Instant::now();
        match question {
            Question::NothingDue => {
                assert!(at.store.candidates(u32::MAX, &[]).await.expect("it is asked").is_empty(), "nothing is due");
                assert!(at.store.next_due().await.expect("it is asked").is_some(), "something will be");
            }
            Question::Claim => drop(at.claim().await),
            Question::Accept => at.accept().await,
            Question::Complete => {
                let done = Run { id: run.unwrap_or_default(), status: Some("COMPLETE".to_owned()), ..Run::default() };
                assert_eq!(at.store.observe(&[done]).await.expect("it is seen").len(), 1, "the job ends");
            }
            Question::Counts => {
                at.store.counts().await.expect("they are counted");
                at.store.rule_counts().await.expect("they are counted");
            }
            Question::Page => {
                let page = PageRequest { limit: 100, cursor: None };
                at.store.jobs(&JobFilter::default(), &page).await.expect("it is read");
            }
            Question::Blocked => at.claim_past_blocked().await,
        }
        times.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    match question {
        Question::NothingDue => at.set(present),
        // The freeze is over.
        Question::Blocked => at.set(at.clock.now().plus(Duration::from_mins(11))),
        _ => {}
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

async fn size(large: &str, small: &str) {
    let (mut large, mut small) = (Sized::open(large).await, Sized::open(small).await);
    // A first look at everything, so that neither side pays for a cold file.
    for (question, _) in QUESTIONS {
        ask(question, &mut large).await;
        ask(question, &mut small).await;
    }
    for _ in 0..ROUNDS {
        for (question, name) in QUESTIONS {
            let (many, few) = (ask(question, &mut large).await, ask(question, &mut small).await);
            println!("{name}: {many:.1} {few:.1}");
        }
    }
}
