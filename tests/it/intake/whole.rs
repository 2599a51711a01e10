//! Way in, brakes, worker and the service as one: what a team sees of the rules that it wrote.

use std::sync::Arc;

use hookrun::intake::{Intake, Receipt};
use hookrun::model::clock::Clock;
use hookrun::model::decision::Ruling;
use hookrun::model::delivery::SourceKind;
use hookrun::model::job::{Job, JobState};
use hookrun::rules::Live;
use hookrun::sandbox::Call;
use hookrun::store::{JobFilter, PageRequest};
use serde_json::{Value, json};

use super::doors;
use super::told::{MIA, begun, change, check, ended, push_over, sha, ticket};
use crate::webhook_support::signed;
use crate::worker::bench::{self, Bench, Setting};

const RULES: &str = r#"
[defaults]
then = ["resume", "start"]
[[rule]]
name = "ticket"
on = ["issue.transitioned"]
to = ["To Do"]
projects = ["OPS"]
repos = ["**"]
repo = "acme/widgets"
prompt = "Do {{ event.issue.key }}."
[[rule]]
name = "build"
one_of = "ci"
on = ["ci.failed"]
checks = ["check-1*"]
repos = ["acme/*"]
settle = "checks"
on_stale = "tell"
prompt = "Fix{% for check in failed %} {{ check.name }}{% endfor %}."
[[rule]]
name = "rest"
one_of = "ci"
on = ["ci.failed"]
repos = ["acme/*"]
settle = "0s"
on_stale = "ban"
prompt = "See to {{ event.sha }}."
"#;

/// The whole of hookrun, with a service that is played.
struct Whole {
    bench: Bench,
    intake: Intake,
}

impl Whole {
    async fn new() -> Self {
        let bench = Bench::with(Setting { rules: RULES, ..Setting::default() }).await;
        let live = Arc::new(Live::new(bench::rules(RULES), bench.clock.now()));
        let intake = Intake::new(doors(), live, bench.store.clone(), bench.clock.clone());
        Self { bench, intake }
    }

    async fn told(&self, source: &str, kind: SourceKind, event: &str, body: &Value) -> Receipt {
        let body = body.to_string();
        let headers = signed(kind, event, body.as_bytes());
        self.intake.receive(source, &headers, body.into()).await.unwrap()
    }

    async fn github(&self, event: &str, body: &Value) -> Receipt {
        self.told("repo-hook", SourceKind::Github, event, body).await
    }

    async fn jira(&self, body: &Value) -> Receipt {
        self.told("tracker", SourceKind::Jira, "", body).await
    }

    /// The one job that a delivery made or joined.
    async fn job(&self, receipt: &Receipt) -> Job {
        assert_eq!(receipt.jobs.len(), 1, "{:?}", self.bench.store.delivery(&receipt.delivery).await);
        self.bench.find(&receipt.jobs[0]).await
    }

    async fn jobs_of(&self, rule: &str) -> Vec<Job> {
        let filter = JobFilter { rule: Some(rule.to_owned()), ..JobFilter::default() };
        let page = PageRequest { limit: 100, cursor: None };
        self.bench.store.jobs(&filter, &page).await.unwrap().items
    }

    /// Lets time pass, and everything be sent and seen that is due by then.
    async fn passes(&self, seconds: u64) {
        self.bench.advance(seconds);
        self.bench.worker.follow_tick().await.unwrap();
        self.bench.release().await;
    }

    /// How many runs were made, told and banned at the service.
    fn calls(&self) -> [usize; 3] {
        [Call::Create, Call::Resume, Call::Ban].map(|call| self.bench.calls(call).len())
    }
}

#[tokio::test]
async fn a_ticket_and_the_checks_of_its_branch_are_one_runs_work_until_that_is_stale() {
    let all = Whole::new().await;
    let moved = json!([{"fieldId": "status", "fromString": "Open", "toString": "To Do"}]);
    let ticket = all.job(&all.jira(&ticket("acme.atlassian.net", "OPS-17", &moved)).await).await;
    all.passes(0).await;
    assert_eq!((all.calls(), all.bench.state(&ticket.id).await), ([1, 0, 0], JobState::Running));

    // The branch belongs to the ticket. Of the two rules for red checks the first acts, once, when all checks have ended.
    all.github("push", &push_over(&sha(0), &sha(1), "ops-17", MIA)).await;
    all.github("pull_request", &change(7, &sha(1), "ops-17", "acme/widgets", MIA)).await;
    for id in [10, 11] {
        all.github("check_run", &begun(id, &sha(1), "ops-17")).await;
    }
    let receipt = all.github("check_run", &check(10, &sha(1), Some("ops-17"), "failure")).await;
    let red = all.job(&receipt).await;
    let said = all.bench.store.delivery(&receipt.delivery).await.unwrap().unwrap().verdicts;
    let said: Vec<_> = said.iter().map(|each| (each.rule.as_str(), each.decision)).collect();
    assert_eq!(said, [("build", Ruling::Queued), ("rest", Ruling::NoMatch)]);
    assert_eq!(red.context, ticket.context);
    all.passes(120).await;
    assert_eq!(all.bench.state(&ticket.id).await, JobState::Succeeded);
    assert_eq!((all.calls(), all.bench.state(&red.id).await), ([1, 0, 0], JobState::Queued), "a check is not finished");
    let joined = all.job(&all.github("check_run", &check(11, &sha(1), Some("ops-17"), "failure")).await).await;
    assert_eq!((joined.id.as_str(), joined.events), (red.id.as_str(), 2));
    all.passes(31).await;
    let red = all.bench.find(&red.id).await;
    assert_eq!((all.calls(), red.state, red.resumed), ([1, 1, 0], JobState::Running, true), "{:?}", red.gates);
    let run = red.run.clone().unwrap();
    assert_eq!(Some(run.id), all.bench.find(&ticket.id).await.run.map(|run| run.id));
    let prompt = all.bench.store.prompt(&red.id).await.unwrap().unwrap();
    assert!(prompt.contains("Fix check-10 check-11."), "{prompt}");

    // Somebody pushes while it works: the run is told, once, and nothing else is started.
    all.github("push", &push_over(&sha(1), &sha(2), "ops-17", MIA)).await;
    all.github("push", &push_over(&sha(1), &sha(2), "ops-17", MIA)).await;
    all.passes(0).await;
    assert_eq!(all.calls(), [1, 2, 0]);
    let told = all.jobs_of("build").await.remove(0);
    assert_eq!((told.target, told.follows.as_deref()), (Some(run.id), Some(red.id.as_str())));

    // What the other rule started is banned when its change is closed.
    let other = change(8, &sha(3), "other", "acme/widgets", MIA);
    all.github("pull_request", &other).await;
    let rest = all.job(&all.github("check_run", &check(20, &sha(3), Some("other"), "failure")).await).await;
    all.passes(0).await;
    assert_eq!((rest.rule.as_str(), all.calls()), ("rest", [2, 2, 0]));
    all.github("pull_request", &ended(other, false)).await;
    all.passes(0).await;
    assert_eq!(all.calls(), [2, 2, 1]);
    all.passes(10).await;
    all.passes(10).await;
    assert_eq!(all.calls(), [2, 2, 1], "that is all");
    for rule in ["ticket", "build", "rest"] {
        for job in all.jobs_of(rule).await {
            assert!(job.state.is_ended(), "{job:?}");
        }
    }
}
