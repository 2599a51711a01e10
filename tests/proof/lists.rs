//! Run lists that tell less than they should: late, without metadata, with runs that could be anybody's.

use serde_json::{Value, json};

use crate::audit::{audit, says};
use crate::cause::Cause;
use crate::daemon::Daemon;
use crate::house::{House, Service};
use crate::proxy::{CREATE, Play, Proxy};

/// The three need half a minute each, in which nothing happens: they wait side by side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_tells_less_makes_no_second_run() {
    tokio::join!(delayed(), without_metadata(), with_a_run_of_nobody());
}

/// New runs are listed up to 25 s after they were made.
async fn delayed() {
    let service = Service::start().await;
    service.faults(json!([{"on": "list", "times": null, "fault": {"kind": "hidden", "seconds": 25}}])).await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let daemon = house.serve().await;
    let mut answers = Vec::new();
    for cause in [Cause(1), Cause(2)] {
        proxy.plan(CREATE, cause.sha(), Play::CutAnswer(0));
        answers.push(daemon.take(cause).await);
    }
    audit(&daemon, &service, &answers).await;
}

/// A person must say whose a run is that carries no metadata; until then nothing is sent again.
async fn without_metadata() {
    let service = Service::start().await;
    service.faults(json!([{"on": "list", "times": null, "fault": {"kind": "no_metadata"}}])).await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let daemon = house.serve().await;
    let (made, unmade) = (Cause(1), Cause(2));
    proxy.plan(CREATE, made.sha(), Play::CutAnswer(0));
    proxy.plan(CREATE, unmade.sha(), Play::Instead(502));
    let answers = [daemon.take(made).await, daemon.take(unmade).await];
    let (first, second) = (job_of(&answers[0].said), job_of(&answers[1].said));

    for job in [first, second] {
        held_for_want_of_metadata(&daemon, job).await;
    }
    let runs = service.runs().await;
    assert_eq!(runs.len(), 1, "something was sent blindly: {runs:#?}");
    assert!(says(&runs[0], &made.sha()));
    daemon.act(&format!("jobs/{first}/adopt"), &json!({"run": runs[0]["id"]})).await;
    daemon.act(&format!("jobs/{second}/absent"), &json!({})).await;
    audit(&daemon, &service, &answers).await;
}

/// Somebody else's run without metadata: what has a run of its own is found all the same, the other waits for a person.
async fn with_a_run_of_nobody() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let daemon = house.serve().await;
    let (made, unmade) = (Cause(1), Cause(2));
    let mut lost = proxy.plan(CREATE, made.sha(), Play::CutAnswer(0));
    let mut refused = proxy.plan(CREATE, unmade.sha(), Play::Instead(502));
    let answers = [daemon.take(made).await, daemon.take(unmade).await];
    lost.length().await;
    refused.length().await;
    service.foreign_run(Value::Null).await;

    let second = job_of(&answers[1].said);
    held_for_want_of_metadata(&daemon, second).await;
    assert_eq!(service.runs().await.len(), 2, "something was sent blindly");
    daemon.act(&format!("jobs/{second}/absent"), &json!({})).await;
    audit(&daemon, &service, &answers).await;
}

fn job_of(said: &Value) -> &str {
    said["jobs"][0].as_str().unwrap()
}

async fn held_for_want_of_metadata(daemon: &Daemon, job: &str) {
    let held = daemon.job_in(job, &["held"]).await;
    assert!(held["reason"].as_str().unwrap().contains("no metadata"), "{held:#}");
}
