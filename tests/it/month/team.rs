//! The team: what happens when, told to the real way in, while the real worker sends to the sandbox.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use hookrun::intake::{Door, Intake};
use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::delivery::SourceKind;
use hookrun::model::limits::{ClassLimits, RateLimit};
use hookrun::model::run::RunPhase;
use hookrun::rules::{Live, Places, RuleSet};
use hookrun::sandbox::{Sandbox, SandboxConfig};
use hookrun::store::{PageRequest, RunFilter, Store};
use hookrun::webhook::SourceSpec;
use hookrun::worker::Worker;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::told::{self, AGENT, MIA};
use crate::database::Database;
use crate::support::{ManualClock, START, install_tls};
use crate::webhook_support::{signed, source};
use crate::worker::bench;

/// How often runs are looked at.
const POLL: Duration = Duration::from_secs(5);

/// In milliseconds.
const HOUR: i64 = 3_600_000;

/// Who keeps a change going.
#[derive(Clone, Copy, Debug)]
pub(super) enum Loop {
    /// Our agent pushes a bad fix so long after each of its runs.
    Agent(Duration),
    /// A person pushes now and then.
    People,
    /// Two bots answer each other, so long after each answer.
    Chat(Duration),
}

/// What happens at a moment.
#[derive(Clone, Debug)]
enum Happens {
    Opened(u32),
    Pushed(u32, &'static str),
    /// The checks of the newest commit fail, one after the other.
    Red(u32, String, u64),
    Comment(u32, &'static str),
    Flood(u64),
}

#[derive(Debug)]
struct Change {
    kind: Loop,
    head: String,
    by_people: usize,
}

pub(super) struct Team {
    clock: Arc<ManualClock>,
    sandbox: Arc<Sandbox>,
    store: Store,
    live: Arc<Live>,
    intake: Intake,
    worker: Worker,
    diary: BTreeMap<(Timestamp, u64), Happens>,
    changes: BTreeMap<u32, Change>,
    heard: HashSet<i64>,
    calls_seen: u64,
    commits: u64,
    noted: u64,
    /// When the worker wants to be called.
    next: Option<Timestamp>,
    dice: u64,
    _database: Database,
}

/// The repository of a change.
pub(super) fn repo(number: u32) -> String {
    format!("acme/part-{}", number % 3)
}

impl Team {
    pub(super) async fn new(rules: &'static str) -> Self {
        install_tls();
        let clock = ManualClock::new();
        let (sandbox, address) = bench::sandbox(SandboxConfig { ..bench::config() }, clock.clone()).await;
        let database = Database::new().await;
        let limits = ClassLimits { standard: RateLimit::new(60, 30), ..ClassLimits::default() };
        let store = bench::open_store(&database, limits, clock.clone()).await;
        let live = Arc::new(Live::new(bench::rules(rules), START));
        let setting = bench::Setting { limits, ..bench::Setting::default() };
        let stop = CancellationToken::new();
        let worker = bench::worker_under(live.clone(), &setting, address, &store, clock.clone(), POLL, &stop);
        let doors = ["repo-hook", "org-hook"].map(|name| Door {
            spec: SourceSpec { name: name.to_owned(), ..source(SourceKind::Github) },
            repos: Places::new(&["**".to_owned()]).unwrap(),
        });
        let intake = Intake::new(doors.into(), live.clone(), store.clone(), clock.clone());
        Self {
            clock,
            sandbox,
            store,
            live,
            intake,
            worker,
            diary: BTreeMap::new(),
            changes: BTreeMap::new(),
            heard: HashSet::new(),
            calls_seen: 0,
            commits: 0,
            noted: 0,
            next: None,
            dice: 7,
            _database: database,
        }
    }

    pub(super) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    pub(super) fn rules(&self) -> Arc<RuleSet> {
        self.live.now()
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn commits(&self) -> u64 {
        self.commits
    }

    pub(super) fn changes(&self) -> impl Iterator<Item = u32> {
        self.changes.keys().copied()
    }

    pub(super) fn kind(&self, number: u32) -> Loop {
        self.changes[&number].kind
    }

    pub(super) fn pushes_of_people(&self, number: u32) -> usize {
        self.changes[&number].by_people
    }

    /// A number below `sides`, the same in every run of the test.
    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn note(&mut self, at: Timestamp, what: Happens) {
        self.noted += 1;
        self.diary.insert((at, self.noted), what);
    }

    fn later(&self, by: Duration) -> Timestamp {
        self.clock.now().plus(by)
    }

    /// A person opens a change, some minutes from now.
    pub(super) fn opens_change(&mut self, number: u32, kind: Loop) {
        self.changes.insert(number, Change { kind, head: "0".repeat(40), by_people: 0 });
        let at = self.later(Duration::from_mins(u64::from(number)));
        self.note(at, Happens::Opened(number));
    }

    /// So many pushes at once to as many branches.
    pub(super) fn floods(&mut self, after: Duration, count: u64) {
        for number in 0..count {
            self.note(START.plus(after), Happens::Flood(number));
        }
    }

    /// Lets time pass; whatever happens meanwhile is told, sent and followed.
    pub(super) async fn lives(&mut self, span: Duration) {
        let end = self.later(span);
        loop {
            if self.next.is_some_and(|at| at <= self.clock.now()) {
                self.next = self.works().await;
            }
            let told = self.diary.keys().next().map(|(at, _)| *at);
            let at =
                [self.next, told].into_iter().flatten().min().unwrap_or(end).max(Timestamp(self.clock.now().0 + 1));
            if at >= end {
                self.was_never_refused();
                self.clock.set(end);
                return;
            }
            if at.0 / HOUR != self.clock.now().0 / HOUR {
                self.was_never_refused();
            }
            self.clock.set(at);
            while let Some(entry) = self.diary.first_entry().filter(|entry| entry.key().0 <= at) {
                let what = entry.remove();
                self.happens(what).await;
            }
        }
    }

    /// Everything that can be sent is, and every answer is in; answers when the worker wants to be called again.
    async fn works(&mut self) -> Option<Timestamp> {
        let followed = self.worker.follow_tick().await.unwrap();
        let released = self.worker.release_tick().await.unwrap();
        self.worker.sent().await;
        let alive = RunFilter { phase: Some(RunPhase::Alive), ..RunFilter::default() };
        let runs = self.store.runs(&alive, &PageRequest { limit: 100, cursor: None }).await.unwrap().items;
        let alive = runs.len();
        for each in runs {
            if !self.heard.insert(each.run.id) {
                continue;
            }
            let number = each.subject.rsplit_once("work-").and_then(|(_, number)| number.parse().ok());
            let Some(number) = number.filter(|number| self.changes.contains_key(number)) else { continue };
            match self.changes[&number].kind {
                Loop::Agent(pause) if each.rule == "fix" => {
                    self.note(self.later(Duration::from_secs(5) + pause), Happens::Pushed(number, AGENT));
                }
                Loop::Chat(pause) if each.rule == "answer" => {
                    self.note(self.later(pause), Happens::Comment(number, AGENT));
                    self.note(self.later(pause * 2), Happens::Comment(number, "helper[bot]"));
                }
                _ => {}
            }
        }
        // What was sent just now is looked at soon.
        let fresh = (alive > 0).then(|| self.later(POLL));
        [followed, released, fresh].into_iter().flatten().min()
    }

    /// The service has had to refuse nothing since the last look; it remembers ten thousand calls.
    fn was_never_refused(&mut self) {
        let calls = self.sandbox.calls();
        let first = calls.first().map_or(0, |call| call.number);
        assert!(first <= self.calls_seen + 1, "calls were forgotten before anybody looked");
        let refused: Vec<_> = calls.iter().filter(|call| call.status == Some(429)).collect();
        assert!(refused.is_empty(), "{refused:?}");
        self.calls_seen = calls.last().map_or(0, |call| call.number);
    }

    /// Tells it by one hook or both, some of it twice.
    async fn tell(&mut self, event: &str, body: &Value) {
        let body = body.to_string();
        let headers = signed(SourceKind::Github, event, body.as_bytes());
        let copies = 1 + self.roll(2);
        for copy in 0..copies {
            let hook = if copy % 2 == 0 { "repo-hook" } else { "org-hook" };
            let receipt = self.intake.receive(hook, &headers, body.clone().into()).await.unwrap();
            if !receipt.jobs.is_empty() {
                self.next = Some(self.clock.now());
            }
        }
    }

    async fn happens(&mut self, what: Happens) {
        let now = self.clock.now();
        match what {
            Happens::Opened(number) => {
                self.commits += 1;
                let head = told::sha(self.commits);
                self.tell("pull_request", &told::opened(&repo(number), number, &head, now)).await;
                self.changes.get_mut(&number).unwrap().head.clone_from(&head);
                self.note(self.later(Duration::from_mins(2)), Happens::Red(number, head, 0));
                match self.kind(number) {
                    Loop::People => self.note_next_push(number),
                    Loop::Chat(_) => {
                        self.note(self.later(Duration::from_mins(5)), Happens::Comment(number, "helper[bot]"));
                    }
                    Loop::Agent(_) => {}
                }
            }
            Happens::Pushed(number, by) => {
                self.commits += 1;
                let (repo, head) = (repo(number), told::sha(self.commits));
                let before = self.changes[&number].head.clone();
                self.tell("push", &told::push(&repo, &told::branch(number), &before, &head, by)).await;
                self.tell("pull_request", &told::synchronized(&repo, number, &before, &head, by, now)).await;
                let change = self.changes.get_mut(&number).unwrap();
                change.head.clone_from(&head);
                change.by_people += usize::from(by == MIA);
                self.note(self.later(Duration::from_mins(2)), Happens::Red(number, head, 0));
                if by == MIA {
                    self.note_next_push(number);
                }
            }
            Happens::Red(number, sha, which) => {
                let body = told::check(&repo(number), &told::branch(number), &sha, which, now);
                self.tell("check_run", &body).await;
                if which < 4 {
                    let pause = Duration::from_secs(5 + self.roll(40));
                    self.note(self.later(pause), Happens::Red(number, sha, which + 1));
                }
            }
            Happens::Comment(number, by) => {
                let body = told::comment(&repo(number), number, self.noted, by);
                self.tell("issue_comment", &body).await;
            }
            Happens::Flood(number) => {
                let sha = told::sha(1 << 40 | number);
                let body = told::push("acme/part-0", &format!("flood-{number}"), &"0".repeat(40), &sha, MIA);
                self.tell("push", &body).await;
            }
        }
    }

    /// A person pushes again within the next day.
    fn note_next_push(&mut self, number: u32) {
        let pause = Duration::from_mins(30 + self.roll(23 * 60));
        self.note(self.later(pause), Happens::Pushed(number, MIA));
    }
}

impl std::fmt::Debug for Team {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Team").field("commits", &self.commits).finish_non_exhaustive()
    }
}
