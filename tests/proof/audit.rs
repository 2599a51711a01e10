//! The end condition of every test here: what was acknowledged is kept, each cause has its one run, nothing is stuck.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::cause::Cause;
use crate::daemon::{Answer, Daemon};
use crate::house::Service;
use crate::wait::soon;

/// States in which a job still wants something from somebody.
const OPEN: &str = "queued,held,submitting,uncertain,running,lost";

/// Waits until every job has ended, then compares what the daemon says with what arrived at the service.
pub(crate) async fn audit(daemon: &Daemon, service: &Service, answers: &[Answer]) {
    ended(daemon).await;
    compare(daemon, &service.runs().await, answers).await;
}

/// The same for one of several houses that share a service: only what is about the causes of this one counts.
pub(crate) async fn audit_own(daemon: &Daemon, service: &Service, answers: &[Answer]) {
    ended(daemon).await;
    let mut runs = service.runs().await;
    runs.retain(|run| answers.iter().any(|answer| says(run, &answer.cause.sha())));
    compare(daemon, &runs, answers).await;
}

async fn ended(daemon: &Daemon) {
    let over = async || open(daemon).await["items"].as_array().unwrap().is_empty().then_some(());
    let all = soon(over).await.is_some();
    assert!(all, "jobs are stuck: {:#}", open(daemon).await);
}

async fn compare(daemon: &Daemon, runs: &[Value], answers: &[Answer]) {
    let jobs = daemon.all("jobs").await;
    kept(daemon, answers, &jobs).await;
    one_run_each(&jobs, runs);
    let caused: BTreeSet<Cause> = answers.iter().filter(|it| it.acknowledged()).map(|it| it.cause).collect();
    for cause in caused {
        let of = runs.iter().filter(|run| says(run, &cause.sha())).count();
        assert_eq!(of, 1, "{cause:?} was acknowledged and has {of} runs");
    }
    quiet(&daemon.logged());
}

async fn open(daemon: &Daemon) -> Value {
    daemon.get(&format!("jobs?state={OPEN}&limit=20")).await
}

/// Whether the prompt of a run speaks of this.
pub(crate) fn says(run: &Value, text: &str) -> bool {
    run["prompts"].as_array().unwrap().iter().any(|prompt| prompt.as_str().unwrap().contains(text))
}

/// Acknowledged is committed: every delivery and every job that a 2xx named is there.
async fn kept(daemon: &Daemon, answers: &[Answer], jobs: &[Value]) {
    let deliveries: BTreeSet<String> =
        daemon.all("deliveries").await.iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let jobs: BTreeSet<&str> = jobs.iter().map(|job| job["id"].as_str().unwrap()).collect();
    for answer in answers.iter().filter(|it| it.acknowledged() && it.said.is_object()) {
        let delivery = answer.said["delivery"].as_str().unwrap();
        assert!(deliveries.contains(delivery), "{answer:?} was acknowledged and is lost");
        for job in answer.said["jobs"].as_array().unwrap() {
            assert!(jobs.contains(job.as_str().unwrap()), "{answer:?} named a job that is lost");
        }
    }
}

/// Every job has succeeded with the one run that carries its id, and no run of ours belongs to nobody. No commit has two.
fn one_run_each(jobs: &[Value], runs: &[Value]) {
    let mut of_job = BTreeMap::<&str, Vec<&Value>>::new();
    for run in runs {
        if let Some(job) = run["metadata"]["hookrun"]["job"].as_str() {
            of_job.entry(job).or_default().push(run);
        }
    }
    let mut commits = BTreeSet::new();
    for job in jobs.iter().filter(|job| job["action"] == "run") {
        assert_eq!(job["state"], "succeeded", "{job:#}");
        let id = job["id"].as_str().unwrap();
        let made = of_job.remove(id).unwrap_or_default();
        assert_eq!(made.len(), 1, "job {id} has these runs: {made:#?}");
        assert_eq!(made[0]["id"], job["run"]["id"], "job {id} follows another run than its own");
        assert!(commits.insert(job["sha"].as_str().unwrap()), "two jobs for one commit: {job:#}");
    }
    assert!(of_job.is_empty(), "runs of jobs that nobody knows: {of_job:#?}");
}

/// Nothing in the log tells of a panic or of a task that crashed.
pub(crate) fn quiet(log: &str) {
    for word in ["panicked", "crashed", "does not fit the job"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(word)).collect();
        assert!(lines.is_empty(), "the log has a {word}: {lines:#?}");
    }
}

/// The comparison itself must see what it is there for: none, two, somebody else's.
#[test]
fn a_run_too_many_or_too_few_is_seen() {
    let job =
        |id: &str, run: i64| json!({"id": id, "action": "run", "state": "succeeded", "sha": id, "run": {"id": run}});
    let run = |id: i64, job: &str| json!({"id": id, "prompts": [], "metadata": {"hookrun": {"job": job}}});
    let fails = |jobs: &[Value], runs: &[Value]| std::panic::catch_unwind(|| one_run_each(jobs, runs)).is_err();
    one_run_each(&[job("a", 1), job("b", 2)], &[run(1, "a"), run(2, "b"), json!({"id": 3, "metadata": null})]);
    assert!(fails(&[job("a", 1)], &[]));
    assert!(fails(&[job("a", 1)], &[run(1, "a"), run(2, "a")]));
    assert!(fails(&[job("a", 1)], &[run(2, "a")]));
    assert!(fails(&[job("a", 1)], &[run(1, "a"), run(2, "b")]));
    let twin = json!({"id": "b", "action": "run", "state": "succeeded", "sha": "a", "run": {"id": 2}});
    assert!(fails(&[job("a", 1), twin], &[run(1, "a"), run(2, "b")]));
}
