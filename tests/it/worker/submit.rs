//! What becomes of a create, whatever its answer.

use std::time::Duration;

use hookrun::model::job::JobState;
use hookrun::model::limits::CallClass;
use hookrun::sandbox::{Call, Fault, FaultRule, When};

use super::bench::{Bench, Setting};
use crate::support::START;

#[tokio::test]
async fn a_created_run_is_stored_with_its_address_and_its_job() {
    let bench = Bench::new().await;
    let job = bench.job().await;
    bench.release().await;
    let runs = bench.runs_of(&job);
    assert_eq!(runs.len(), 1);
    let sha = format!("{:040x}", 0);
    assert_eq!(runs[0].prompts, [format!("Fix acme/widgets at {sha}.\n\nhookrun job {job}")]);
    let stored = bench.find(&job).await;
    assert_eq!(stored.state, JobState::Running);
    let run = stored.run.unwrap();
    assert_eq!(run.id, runs[0].id);
    assert!(run.url.unwrap().starts_with("http"));
    assert_eq!(bench.store.prompt(&job).await.unwrap().unwrap(), runs[0].prompts[0]);
}

/// A job whose create met this fault.
async fn play(fault: Fault) -> (Bench, String) {
    let bench = Bench::new().await;
    bench.fault(Call::Create, fault);
    let job = bench.job().await;
    bench.release().await;
    (bench, job)
}

#[tokio::test]
async fn a_429_stops_creates_for_a_window_where_it_does_not_say_how_long() {
    let (bench, job) = play(Fault::RateLimited { retry_after: None }).await;
    let waiting = bench.find(&job).await;
    assert_eq!(waiting.state, JobState::Queued);
    assert!(waiting.reason.contains("429"), "{}", waiting.reason);
    let until = START.plus(Duration::from_mins(1));
    let freezes = bench.store.freezes().await.unwrap();
    let frozen: Vec<_> = freezes.iter().map(|freeze| (freeze.class, freeze.until)).collect();
    assert_eq!(frozen, [(CallClass::Create, until)]);
    assert_eq!(bench.release().await, Some(until));
    bench.advance(60);
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert_eq!(bench.find(&job).await.attempt, 1, "the first try counted as an attempt");
}

#[tokio::test]
async fn a_429_waits_as_long_as_it_says() {
    let (bench, job) = play(Fault::RateLimited { retry_after: Some(7) }).await;
    assert_eq!(bench.release().await, Some(START.plus(Duration::from_secs(7))));
    bench.advance(7);
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
}

#[tokio::test]
async fn an_unfit_request_is_dead() {
    let (bench, job) = play(Fault::Error { status: 422, when: When::Before }).await;
    let dead = bench.find(&job).await;
    assert_eq!(dead.state, JobState::Dead);
    assert!(dead.reason.contains("422"), "{}", dead.reason);
    assert!(bench.store.freezes().await.unwrap().is_empty());
    bench.advance(3600);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 1);
}

#[tokio::test]
async fn an_answer_that_tells_nothing_leaves_the_job_uncertain() {
    let ambiguous = [
        (Fault::Error { status: 500, when: When::Before }, 0),
        (Fault::Error { status: 503, when: When::After }, 1),
        (Fault::Lost { when: When::Before }, 0),
        (Fault::Lost { when: When::After }, 1),
        (Fault::Html { status: 200, when: When::Before }, 0),
        (Fault::Html { status: 502, when: When::After }, 1),
        (Fault::Truncated {}, 1),
    ];
    for (fault, runs) in ambiguous {
        let (bench, job) = play(fault.clone()).await;
        assert_eq!(bench.state(&job).await, JobState::Uncertain, "{fault:?}");
        assert_eq!(bench.runs_of(&job).len(), runs, "{fault:?}");
        bench.advance(3600);
        bench.release().await;
        assert_eq!(bench.calls(Call::Create).len(), 1, "{fault:?}: sent again blindly");
    }
}

#[tokio::test]
async fn an_answer_that_comes_too_late_leaves_the_job_uncertain() {
    let setting = Setting { call_timeout: Duration::from_millis(500), ..Setting::default() };
    let bench = Bench::with(setting).await;
    bench.fault(Call::Create, Fault::Slow { millis: 60_000, when: When::After });
    let job = bench.job().await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
}

#[tokio::test]
async fn a_bent_answer_is_still_a_run() {
    for fault in
        [Fault::Status { status: None }, Fault::Status { status: Some("PONDERING".to_owned()) }, Fault::NoMetadata {}]
    {
        let (bench, job) = play(fault.clone()).await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{fault:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_holds_up_nobody_else() {
    let bench = Bench::new().await;
    bench.fault(Call::Create, Fault::Slow { millis: 60_000, when: When::Before });
    let slow = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    // The first create is under way; the second is answered all the same.
    let second = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    while bench.state(&second).await != JobState::Running {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.state(&slow).await, JobState::Submitting);
}

#[tokio::test]
async fn told_to_stop_it_releases_nothing_more_and_finishes_what_is_under_way() {
    let bench = Bench::new().await;
    bench.sandbox.faults([FaultRule::always(Call::Create, Fault::Slow { millis: 300, when: When::After })]);
    let under_way = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    bench.stop.cancel();
    let late = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    bench.worker.sent().await;
    assert_eq!(bench.state(&under_way).await, JobState::Running);
    assert_eq!(bench.state(&late).await, JobState::Queued);
    assert_eq!(bench.calls(Call::Create).len(), 1);
}
