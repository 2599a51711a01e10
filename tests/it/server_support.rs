//! What the tests of the two listeners share: a held clock, a store with a story in it, and small clients.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use bytes::Bytes;
use hookrun::intake::{Door, Intake};
use hookrun::model::acceptance::Acceptance;
use hookrun::model::access::{AccessToken, Role};
use hookrun::model::breaker::BreakerKind;
use hookrun::model::clock::Clock;
use hookrun::model::decision::{GateRecord, Ruling, Verdict};
use hookrun::model::delivery::SourceKind;
use hookrun::model::event::{Event, Kind, Subject};
use hookrun::model::gate::{GateAnswer, GateOutcome};
use hookrun::model::id::new_id;
use hookrun::model::job::JobRequest;
use hookrun::model::limits::{CallClass, ClassLimits, Headroom};
use hookrun::model::policy::{Cost, Policy, Terms};
use hookrun::model::run::{Run, RunChange};
use hookrun::rules::{Live, Places, compile};
use hookrun::server::{Admin, AdminParts, RuleInForce, RulesInForce};
use hookrun::store::{Release, Released, Slot, Store};
use hookrun::webhook::SourceSpec;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::ServiceExt;

use crate::database::Database;
use crate::support::{ManualClock, START};
use crate::webhook_support::source;

/// What a stranger writes wherever text from outside is kept.
pub(crate) const HOSTILE: &str =
    r#"<script>document.title='owned'</script><img src=x onerror="document.title='owned'">"#;
pub(crate) const OPERATOR: &str = "operator-token-0123456789";
pub(crate) const VIEWER: &str = "viewer-token-0123456789ab";

/// The rule of [`World::intake`].
pub(crate) const RULE: &str = r#"
[[rule]]
name = "fix-failed-checks"
on = ["ci.failed"]
repos = ["acme/widgets"]
branches = ["!main"]
settle = "60s"
prompt = "Fix {{ event.sha }}"
"#;

/// A store in a folder of its own.
pub(crate) struct World {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) store: Store,
    /// What the admin listener is told of the rules in force.
    pub(crate) rules: RulesInForce,
    pub(crate) database: Database,
}

impl World {
    pub(crate) async fn empty() -> Self {
        let database = Database::new().await;
        let clock = ManualClock::new();
        let store = database.open(ClassLimits::default(), clock.clone()).await.unwrap();
        Self { clock, store, rules: rules(), database }
    }

    /// A store with one job in each state that the dashboard treats apart, told in a stranger's words.
    pub(crate) async fn with_a_story() -> (Self, Story) {
        let world = Self::empty().await;
        let running = world.accept_job("fix-failed-checks", &format!("github.com/acme/w@{HOSTILE}")).await;
        world.send(&running, Some(4711)).await;
        let uncertain = world.accept_job("fix-failed-checks", "github.com/acme/w@unanswered").await;
        world.send(&uncertain, None).await;
        let queued = world.accept_job("review-change", "github.com/acme/w@waiting").await;
        let held = world.accept_job("review-change", "github.com/acme/w@held").await;
        world.store.hold(&held, None, &format!("the rule is gone {HOSTILE}")).await.unwrap();
        world.store.freeze(CallClass::Logs, world.clock.now().plus(Duration::from_secs(90)), HOSTILE).await.unwrap();
        let verdict = verdict("answer-mention", Ruling::Denied, &format!("who: {HOSTILE} is no member"));
        let unmatched = world.acceptance(Some(Kind::CommentCreated), HOSTILE, vec![verdict], vec![]);
        let denied = world.store.accept(unmatched).await.unwrap().delivery;
        (world, Story { running, uncertain, queued, held, denied })
    }

    /// A read is answered with 401, in a stranger's words.
    pub(crate) async fn deny(&self) {
        let Slot::Taken(call) = self.store.take_slots(&[CallClass::Standard], "test").await.unwrap() else {
            panic!("a slot is free")
        };
        let denied = hookrun::store::Verdict::Denied(BreakerKind::Access);
        let words = format!("the agent service answered 401: {HOSTILE}");
        self.store.judge(&call, CallClass::Standard, denied, &words).await.unwrap();
        self.store.end_call(&call).await.unwrap();
    }

    pub(crate) fn acceptance(
        &self,
        kind: Option<Kind>,
        subject: &str,
        verdicts: Vec<Verdict>,
        requests: Vec<(usize, JobRequest)>,
    ) -> Acceptance {
        let event = Event {
            kind,
            native: format!("github:{HOSTILE}"),
            source: "github".to_owned(),
            host: "github.com".to_owned(),
            repo: Some(format!("acme/{HOSTILE}")),
            subject: Subject { key: subject.to_owned(), ..Subject::default() },
            happening: new_id(self.clock.now()),
            ..Event::default()
        };
        Acceptance {
            id: new_id(self.clock.now()),
            source: "github".to_owned(),
            secret_label: format!("first {HOSTILE}"),
            sender_id: Some(HOSTILE.to_owned()),
            body: Bytes::from_static(b"{}"),
            received_at: self.clock.now(),
            native: format!("github:{HOSTILE}"),
            events: vec![event],
            verdicts,
            requests,
            reason: format!("nobody waits for this {HOSTILE}"),
            ..Acceptance::default()
        }
    }

    /// Accepts a delivery that makes one job, a second after the one before; answers the job's id.
    pub(crate) async fn accept_job(&self, rule: &str, subject: &str) -> String {
        self.clock.advance(Duration::from_secs(1));
        let request = JobRequest {
            rule: rule.to_owned(),
            key: format!("{rule} {subject}"),
            per_commit: true,
            happening: format!("{rule} {subject}"),
            subject: subject.to_owned(),
            repo: Some(format!("acme/{HOSTILE}")),
            sha: Some("4f2a9c0e".to_owned()),
            failing: true,
            ..JobRequest::default()
        };
        let verdicts = vec![verdict(rule, Ruling::Queued, ""), verdict("quiet-rule", Ruling::NoMatch, "branch")];
        let acceptance = self.acceptance(Some(Kind::CiFailed), subject, verdicts, vec![(0, request)]);
        self.store.accept(acceptance).await.unwrap().jobs.remove(0)
    }

    /// Sends a job; the service answers with a run, or not at all.
    async fn send(&self, job: &str, run: Option<i64>) {
        let revision = self.store.job(job).await.unwrap().unwrap().revision;
        let release = Release {
            job: job.to_owned(),
            revision,
            prompt: format!("Fix it. {HOSTILE}\nhookrun job {job}"),
            note: String::new(),
            told: None,
            classes: vec![CallClass::Create, CallClass::Standard],
            policy: Policy::default(),
        };
        let go = |_: &_| GateAnswer { outcome: GateOutcome::Go, records: Vec::new() };
        let Released::Go { call, .. } = self.store.release(release, go).await.unwrap() else {
            panic!("the gates said go and a slot was free");
        };
        let Some(id) = run else {
            return self.store.unanswered(job, &call, "timed out after 30 s").await.unwrap();
        };
        let run = Run {
            id,
            status: Some(HOSTILE.to_owned()),
            url: Some("https://codegen.example/agent/trace/4711".to_owned()),
            result: Some(HOSTILE.to_owned()),
            summary: Some(HOSTILE.to_owned()),
            pull_requests: vec![RunChange {
                url: Some("javascript:document.title='owned'".to_owned()),
                title: Some(HOSTILE.to_owned()),
                branch: Some(HOSTILE.to_owned()),
            }],
        };
        self.store.run_created(job, &call, &run).await.unwrap();
    }

    /// The admin listener over this store, with an operator and a viewer.
    pub(crate) fn admin(&self) -> Router {
        self.admin_with(vec![
            AccessToken { name: "ops".to_owned(), role: Role::Operator, secret: OPERATOR.to_owned().into() },
            AccessToken { name: "eyes".to_owned(), role: Role::Viewer, secret: VIEWER.to_owned().into() },
        ])
    }

    /// A way in by one GitHub source, under one rule.
    pub(crate) fn intake(&self) -> Arc<Intake> {
        let loaded = compile(vec![("rules.toml".to_owned(), RULE.to_owned())], &Terms::default(), &|name| {
            Err(format!("no file {name}"))
        });
        let rules = Arc::new(Live::new(loaded.rules.unwrap(), START));
        let spec = SourceSpec { name: "github".to_owned(), ..source(SourceKind::Github) };
        let doors = vec![Door { spec, repos: Places::new(&["acme/*".to_owned()]).unwrap() }];
        Arc::new(Intake::new(doors, rules, self.store.clone(), self.clock.clone()))
    }

    pub(crate) fn admin_with(&self, tokens: Vec<AccessToken>) -> Router {
        let until = self.clock.now().plus(Duration::from_secs(42));
        let rules = self.rules.clone();
        Admin::new(AdminParts {
            store: self.store.clone(),
            intake: self.intake(),
            clock: self.clock.clone(),
            tokens,
            hosts: vec!["hookrun.example".to_owned()],
            sources: vec![("github".to_owned(), SourceKind::Github)],
            rules: Box::new(move || rules.clone()),
            policy: Box::new(|_| Policy::default()),
            gates: Box::new(move |snapshot, _| GateAnswer {
                outcome: GateOutcome::Wait(
                    format!("settling since {} {HOSTILE}", snapshot.job.created_at.0),
                    Some(until),
                ),
                records: vec![GateRecord {
                    gate: "settle".to_owned(),
                    decision: "wait".to_owned(),
                    reason: HOSTILE.to_owned(),
                    until: Some(until),
                    inputs: serde_json::Map::new(),
                }],
            }),
            cost: Some(Cost { per_run: 0.8, currency: "EUR".to_owned() }),
            headroom: Headroom::all(1),
            metrics: Box::new(|| "hookrun_up 1\n".to_owned()),
        })
        .router()
    }
}

fn rules() -> RulesInForce {
    let rule = |name: &str, mode: &str| RuleInForce {
        name: name.to_owned(),
        mode: mode.to_owned(),
        on: vec!["ci.failed".to_owned()],
        repos: vec!["**".to_owned()],
        ..RuleInForce::default()
    };
    let rules =
        vec![rule("fix-failed-checks", "live"), rule("review-change", "live"), rule("answer-mention", "shadow")];
    RulesInForce { hash: "9f8e7d6c5b4a3f2e".to_owned(), rules, loaded_at: START, ..RulesInForce::default() }
}

/// Ids of what happened in [`World::with_a_story`].
pub(crate) struct Story {
    pub(crate) running: String,
    pub(crate) uncertain: String,
    pub(crate) queued: String,
    pub(crate) held: String,
    pub(crate) denied: String,
}

fn verdict(rule: &str, decision: Ruling, reason: &str) -> Verdict {
    Verdict {
        rule: rule.to_owned(),
        decision,
        reason: reason.to_owned(),
        inputs: serde_json::Map::from_iter([("who".to_owned(), HOSTILE.into())]),
        rules_hash: "9f8e7d6c5b4a3f2e".to_owned(),
        event: 0,
        happening: None,
        key: None,
        job: None,
    }
}

/// An answer with its body read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Asks a router without a socket. `headers` may replace the usual `Host`.
pub(crate) async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if !headers.iter().any(|(name, _)| *name == "host") {
        request = request.header("host", "127.0.0.1:8081");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response: Response<Body> =
        router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    Answer { status: head.status, headers: head.headers, body: String::from_utf8(body.to_vec()).unwrap() }
}

/// The same with the operator's token.
pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    ask(router, "GET", path, &[("authorization", &format!("Bearer {OPERATOR}"))], "").await
}

/// The same as a POST.
pub(crate) async fn post(router: &Router, path: &str, body: &str) -> Answer {
    ask(router, "POST", path, &[("authorization", &format!("Bearer {OPERATOR}"))], body).await
}

/// One HTTP/1.1 connection, byte by byte.
pub(crate) struct Wire(TcpStream);

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self(TcpStream::connect(address).await.unwrap())
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads one answer with a `Content-Length`.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut bytes = Vec::new();
        let head = loop {
            if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "the connection ended before an answer");
        };
        let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
        let mut lines = text.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let fields: HashMap<String, String> = lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let length: usize = fields.get("content-length").map_or(0, |length| length.parse().unwrap());
        while bytes.len() < head + length {
            assert_ne!(self.0.read_buf(&mut bytes).await.unwrap(), 0, "the connection ended within an answer");
        }
        Answer {
            status,
            headers: HeaderMap::try_from(&fields).unwrap(),
            body: String::from_utf8(bytes[head..head + length].to_vec()).unwrap(),
        }
    }

    /// Waits until the other side closes; answers what came before.
    pub(crate) async fn end(mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A reset is an end as well.
        let _ = self.0.read_to_end(&mut bytes).await;
        bytes
    }
}
