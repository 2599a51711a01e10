//! The way in as a whole: signed bodies through the real verifier, rules and store.

mod attempts;
mod context;
mod dry;
mod heads;
mod kept;
mod late;
mod once;
mod stale;
mod subjects;
mod told;
mod whole;

use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use hookrun::intake::{Door, Intake, Receipt, Rejection};
use hookrun::model::acceptance::{Acceptance, Accepted};
use hookrun::model::clock::Clock;
use hookrun::model::clock::Timestamp;
use hookrun::model::decision::Ruling;
use hookrun::model::delivery::{DeliveryOutcome, DeliveryRecord, SourceKind};
use hookrun::model::id::new_id;
use hookrun::model::job::Job;
use hookrun::model::policy::Terms;
use hookrun::model::subject::{Facts, SubjectLookup};
use hookrun::rules::gates;
use hookrun::rules::{JobContext, Live, Places, Told, compile};
use hookrun::store::{JobFilter, PageRequest, Release, Released};
use hookrun::webhook::{Auth, SourceSpec, verify};
use serde_json::Value;

use crate::store_support::{CREATE, House, alive};
use crate::webhook_support::{NOW, headers, secret, signed, source};

/// One rule that repairs failed checks.
const FIX: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["acme/*"]
prompt = "Fix {{ event.sha }}:{% for check in failed %} {{ check.name }}{% endfor %}."
"#;

/// Intake and store, with a repository's hook, its organisation's hook, one that may speak for little, and a tracker
/// that cannot sign.
struct Room {
    house: House,
    intake: Intake,
    rules: Arc<Live>,
}

impl Room {
    async fn new(rules: &str) -> Self {
        Self::with(House::new().await, rules)
    }

    fn with(house: House, text: &str) -> Self {
        let read = |name: &str| Err(format!("no file \"{name}\""));
        let loaded = compile(vec![("rules.toml".to_owned(), text.to_owned())], &Terms::default(), &read);
        let rules =
            Arc::new(Live::new(loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.problems)), Timestamp::default()));
        let store = house.store.clone();
        let intake = Intake::new(doors(), rules.clone(), store, house.clock.clone());
        Self { house, intake, rules }
    }

    /// A new process on the same file, with these rules.
    async fn restart(self, rules: &str) -> Self {
        let Self { house, intake, .. } = self;
        drop(intake);
        Self::with(house.restart().await, rules)
    }

    /// A new process after this one was killed, with these rules.
    async fn killed(self, rules: &str) -> Self {
        let Self { house, intake, .. } = self;
        drop(intake);
        Self::with(house.killed().await, rules)
    }

    fn advance(&self, seconds: u64) {
        self.house.clock.advance(Duration::from_secs(seconds));
    }

    async fn post(&self, source: &str, headers: &HeaderMap, body: &str) -> Result<Receipt, Rejection> {
        self.intake.receive(source, headers, body.to_owned().into()).await
    }

    /// A GitHub event by way of a source.
    async fn send_by(&self, source: &str, event: &str, body: &Value) -> Receipt {
        let body = body.to_string();
        self.post(source, &signed(SourceKind::Github, event, body.as_bytes()), &body).await.unwrap()
    }

    async fn send(&self, event: &str, body: &Value) -> Receipt {
        self.send_by("repo-hook", event, body).await
    }

    /// What would be committed of a GitHub event.
    async fn decided(&self, event: &str, body: &Value) -> Acceptance {
        let door = Door { spec: github("repo-hook"), repos: Places::new(&["**".to_owned()]).unwrap() };
        let body = body.to_string();
        let headers = signed(SourceKind::Github, event, body.as_bytes());
        let delivery = verify(&door.spec, &headers, &body.into(), NOW).unwrap();
        let now = self.house.clock.now();
        self.intake.decide(&door, delivery, &new_id(now), now).await.unwrap()
    }

    /// A GitHub event whose requests are altered before they are committed.
    async fn altered(&self, event: &str, body: &Value, alter: impl FnOnce(&mut Acceptance)) -> Accepted {
        let mut acceptance = self.decided(event, body).await;
        alter(&mut acceptance);
        self.house.store.accept(acceptance).await.unwrap()
    }

    /// What Jira tells, signed.
    async fn jira(&self, body: &Value) -> Receipt {
        let body = body.to_string();
        self.post("tracker", &signed(SourceKind::Jira, "", body.as_bytes()), &body).await.unwrap()
    }

    /// What is known of a branch of `acme/widgets`.
    async fn known(&self, branch: &str) -> Facts {
        let key = format!("github.com/acme/widgets@{branch}");
        let lookup = SubjectLookup { key, ..SubjectLookup::default() };
        self.house.store.subject(&lookup).await.unwrap().unwrap().facts
    }

    async fn head(&self, branch: &str) -> Option<String> {
        self.known(branch).await.head_sha
    }

    async fn delivery(&self, receipt: &Receipt) -> DeliveryRecord {
        self.house.store.delivery(&receipt.delivery).await.unwrap().unwrap()
    }

    /// Sends what must make one new job.
    async fn queued(&self, event: &str, body: &Value) -> Job {
        let receipt = self.send(event, body).await;
        let verdicts = self.delivery(&receipt).await.verdicts;
        assert_eq!((receipt.outcome, receipt.jobs.len()), (DeliveryOutcome::Accepted, 1), "{verdicts:?}");
        self.house.job(&receipt.jobs[0]).await
    }

    /// Sends what the only rule must deny; the reason.
    async fn denied(&self, event: &str, body: &Value) -> String {
        let receipt = self.send(event, body).await;
        let delivery = self.delivery(&receipt).await;
        assert_eq!(delivery.verdicts.len(), 1, "{delivery:?}");
        assert_eq!((delivery.verdicts[0].decision, receipt.jobs.len()), (Ruling::Denied, 0), "{delivery:?}");
        delivery.verdicts[0].reason.clone()
    }

    async fn jobs(&self) -> Vec<Job> {
        let page = PageRequest { limit: 100, cursor: None };
        self.house.store.jobs(&JobFilter::default(), &page).await.unwrap().items
    }

    /// Asks the real gates about a job.
    async fn release(&self, job: &Job) -> Released {
        let policy = self.rules.now().policy(&job.rule);
        let request = Release {
            job: job.id.clone(),
            revision: self.house.job(&job.id).await.revision,
            prompt: self.prompt(job).await,
            note: String::new(),
            told: None,
            classes: CREATE.to_vec(),
            policy: policy.clone(),
        };
        self.house.store.release(request, |snapshot| gates::ask(snapshot, &policy)).await.unwrap()
    }

    /// Releases a job that must go, and starts its run.
    async fn run(&self, job: &Job, run: i64) {
        match self.release(job).await {
            Released::Go { call, .. } => self.house.store.run_created(&job.id, &call, &alive(run)).await.unwrap(),
            other => panic!("it does not go: {other:?}"),
        }
    }

    /// The prompt of a job as it is rendered when it is sent.
    async fn prompt(&self, job: &Job) -> String {
        let joined = self.house.store.joined(&job.id).await.unwrap();
        let told: Vec<Told<'_>> = joined
            .iter()
            .map(|each| Told {
                event: &each.event,
                payload: each.body.as_ref(),
                delivery: &each.delivery,
                received_at: each.received_at,
            })
            .collect();
        let context = JobContext::first(self.house.store.instance_key());
        self.rules.now().render(&job.rule, &told, &context).unwrap().prompt
    }
}

fn github(name: &str) -> SourceSpec {
    SourceSpec { name: name.to_owned(), ..source(SourceKind::Github) }
}

fn doors() -> Vec<Door> {
    let everywhere = || Places::new(&["**".to_owned()]).unwrap();
    let tracker = SourceSpec {
        name: "automation".to_owned(),
        auth: Auth::Header {
            name: "x-hookrun-token".try_into().unwrap(),
            secrets: vec![secret("main", "a header secret of the tests")],
        },
        event: Some("issue.transitioned".to_owned()),
        ..source(SourceKind::Jira)
    };
    vec![
        Door { spec: github("repo-hook"), repos: everywhere() },
        Door { spec: github("org-hook"), repos: everywhere() },
        Door { spec: github("narrow"), repos: Places::new(&["acme/tools".to_owned()]).unwrap() },
        Door { spec: tracker, repos: everywhere() },
        Door { spec: SourceSpec { name: "tracker".to_owned(), ..source(SourceKind::Jira) }, repos: everywhere() },
    ]
}

/// What Jira's Automation sends, which proves itself by a header.
fn by_header() -> HeaderMap {
    headers(&[("content-type", "application/json"), ("x-hookrun-token", "a header secret of the tests")])
}
