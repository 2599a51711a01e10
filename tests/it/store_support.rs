//! A store on a real file with a clock that tests move, and deliveries to feed it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookrun::model::acceptance::{Acceptance, Accepted};
use hookrun::model::clock::Clock;
use hookrun::model::decision::{Ruling, Verdict};
use hookrun::model::event::{Event, Kind, Subject};
use hookrun::model::gate::{GateAnswer, GateOutcome};
use hookrun::model::id::new_id;
use hookrun::model::job::{Job, JobRequest, JobState};
use hookrun::model::limits::{CallClass, ClassLimits};
use hookrun::model::policy::Policy;
use hookrun::model::run::Run;
use hookrun::store::{CallId, Release, Released, Store};

use super::database::Database;
use super::support::ManualClock;

pub(crate) const SUBJECT: &str = "github.com/acme/widgets@fix";
pub(crate) const CREATE: [CallClass; 2] = [CallClass::Create, CallClass::Standard];

pub(crate) struct House {
    pub(crate) database: Database,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
}

impl House {
    pub(crate) async fn new() -> Self {
        let database = Database::new().await;
        let clock = ManualClock::new();
        let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
        Self { database, clock, store }
    }

    /// Ends the store and opens it again, as a new process would.
    pub(crate) async fn restart(self) -> Self {
        let Self { database, clock, store } = self;
        store.close().await.unwrap();
        drop(store);
        let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
        Self { database, clock, store }
    }

    /// What another process finds after this one was killed: the files as they lie there now.
    pub(crate) async fn killed(self) -> Self {
        let Self { database, clock, store } = self;
        let database = database.found_after_kill().await;
        drop(store);
        let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
        Self { database, clock, store }
    }

    pub(crate) fn delivery(&self) -> Acceptance {
        let now = self.clock.now();
        let event = Event {
            kind: Some(Kind::CiFailed),
            native: "github:check_run.completed".into(),
            source: "github".into(),
            host: "github.com".into(),
            repo: Some("acme/widgets".into()),
            subject: Subject { key: SUBJECT.into(), ..Subject::default() },
            ..Event::default()
        };
        Acceptance {
            id: new_id(now),
            source: "github".into(),
            secret_label: "main".into(),
            body: Bytes::from_static(b"{\"a\":1}"),
            headers: vec![("x-github-event".into(), "check_run".into())],
            received_at: now,
            native: event.native.clone(),
            events: vec![event],
            reason: "no rule wants it".into(),
            ..Acceptance::default()
        }
    }

    pub(crate) fn asking(&self, requests: impl IntoIterator<Item = JobRequest>) -> Acceptance {
        let mut delivery = self.delivery();
        for request in requests {
            delivery.verdicts.push(verdict(&request.rule));
            delivery.requests.push((delivery.verdicts.len() - 1, request));
        }
        delivery
    }

    /// Accepts so many deliveries at once, each with a body of its own and a job; one of them is too large to share a pack.
    pub(crate) async fn wave(&self, size: usize) -> Vec<(Acceptance, String)> {
        let first = self.delivery().id;
        let asks = (0..size).map(|n| {
            let ask =
                JobRequest { subject: format!("s{n}"), ..request(&format!("k{n} of a wave"), &format!("wave/{n}")) };
            let words = if n == 10 { 60_000 } else { 2_800 + n };
            Acceptance {
                // One behind the other, as ids are that are made at different times.
                id: format!("{first}-{n:02}"),
                body: format!("{{\"n\":{n},\"text\":\"{}\"}}", "word ".repeat(words)).into(),
                headers: vec![("x-github-delivery".into(), n.to_string())],
                ..self.asking([ask])
            }
        });
        let tasks: Vec<_> = asks
            .map(|ask| {
                let (store, asked) = (self.store.clone(), ask.clone());
                (ask, tokio::spawn(async move { store.accept(asked).await.unwrap().jobs.remove(0) }))
            })
            .collect();
        let mut wave = Vec::new();
        for (ask, task) in tasks {
            wave.push((ask, task.await.unwrap()));
        }
        wave
    }

    pub(crate) async fn accept(&self, request: JobRequest) -> Accepted {
        self.store.accept(self.asking([request])).await.unwrap()
    }

    /// Accepts a request that must make a job.
    pub(crate) async fn queued(&self, request: JobRequest) -> Job {
        let accepted = self.accept(request).await;
        assert_eq!(accepted.verdicts[0].decision, Ruling::Queued);
        self.job(&accepted.jobs[0]).await
    }

    pub(crate) async fn job(&self, id: &str) -> Job {
        self.store.job(id).await.unwrap().expect("the job is stored")
    }

    pub(crate) async fn state(&self, id: &str) -> JobState {
        self.job(id).await.state
    }

    pub(crate) async fn release(&self, id: &str) -> Released {
        let revision = self.job(id).await.revision;
        self.store.release(release(id, revision), |_| answer(GateOutcome::Go)).await.unwrap()
    }

    /// Releases a job that must go.
    pub(crate) async fn send(&self, id: &str) -> CallId {
        match self.release(id).await {
            Released::Go { call, .. } => call,
            other => panic!("{id} does not go: {other:?}"),
        }
    }

    pub(crate) async fn run(&self, id: &str, run: i64) {
        let call = self.send(id).await;
        self.store.run_created(id, &call, &alive(run)).await.unwrap();
    }

    /// Brings a queued job to a state by a legal way.
    pub(crate) async fn bring(&self, id: &str, state: JobState, run: i64) {
        let end = |word: &str| Run { status: Some(word.into()), ..alive(run) };
        match state {
            JobState::Queued => {}
            JobState::Held => self.store.hold(id, None, "a person is needed").await.unwrap(),
            JobState::Cancelled => self.store.cancel(id, "nobody wants it").await.unwrap(),
            JobState::Dead => {
                let revision = self.job(id).await.revision;
                let dead = GateOutcome::Dead("attempts".into());
                self.store.release(release(id, revision), |_| answer(dead)).await.unwrap();
            }
            JobState::Submitting => drop(self.send(id).await),
            JobState::Uncertain => {
                let call = self.send(id).await;
                self.store.unanswered(id, &call, "timed out").await.unwrap();
            }
            JobState::Running => self.run(id, run).await,
            JobState::Lost => {
                self.run(id, run).await;
                self.store.give_up(id, "too old").await.unwrap();
            }
            JobState::Succeeded | JobState::Failed | JobState::Stopped => {
                self.run(id, run).await;
                let word = match state {
                    JobState::Succeeded => "COMPLETE",
                    JobState::Failed => "ERROR",
                    _ => "STOPPED",
                };
                self.store.observe(&[end(word)]).await.unwrap();
            }
            JobState::Superseded => panic!("only a job that comes back supersedes another"),
        }
        assert_eq!(self.state(id).await, state);
    }

    pub(crate) async fn counted(&self, job: &str) -> Option<u32> {
        let job = self.job(job).await;
        self.store.snapshots(vec![(job, Policy::default())]).await.unwrap()[0].attempts
    }
}

pub(crate) fn verdict(rule: &str) -> Verdict {
    Verdict {
        rule: rule.into(),
        decision: Ruling::Queued,
        reason: String::new(),
        inputs: serde_json::Map::new(),
        rules_hash: "hash".into(),
        event: 0,
        happening: None,
        key: None,
        job: None,
    }
}

/// A request of the rule `fix` that is due at once.
pub(crate) fn request(key: &str, happening: &str) -> JobRequest {
    JobRequest {
        rule: "fix".into(),
        key: key.into(),
        per_commit: false,
        happening: happening.into(),
        subject: SUBJECT.into(),
        repo: Some("acme/widgets".into()),
        sha: Some("a1".into()),
        failing: true,
        settle_max: Duration::from_mins(30),
        ..JobRequest::default()
    }
}

pub(crate) fn release(job: &str, revision: i64) -> Release {
    Release {
        job: job.into(),
        revision,
        prompt: format!("Fix it.\nhookrun job {job}"),
        note: String::new(),
        told: None,
        classes: CREATE.to_vec(),
        policy: Policy::default(),
    }
}

pub(crate) fn answer(outcome: GateOutcome) -> GateAnswer {
    GateAnswer { outcome, records: Vec::new() }
}

pub(crate) fn alive(id: i64) -> Run {
    Run { id, status: Some("ACTIVE".into()), ..Run::default() }
}
