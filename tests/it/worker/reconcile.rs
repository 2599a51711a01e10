//! Creates without an answer: found, proved absent, or left to a person; never sent blindly.

use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Uri;
use axum::{Json, Router};
use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::sandbox::{Call, Fault, FaultRule, When};
use serde_json::json;
use tokio::net::TcpListener;

use super::bench::Bench;

/// A job whose create was lost.
async fn lost(when: When) -> (Bench, String) {
    let bench = Bench::new().await;
    bench.fault(Call::Create, Fault::Lost { when });
    let job = bench.job().await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    (bench, job)
}

async fn reconcile(bench: &Bench) {
    bench.worker.reconcile_tick().await.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_found_and_adopted_with_exactly_one_run() {
    let (bench, job) = lost(When::After).await;
    bench.advance(30);
    reconcile(&bench).await;
    let adopted = bench.find(&job).await;
    assert_eq!(adopted.state, JobState::Running);
    assert_eq!(adopted.run.unwrap().id, bench.runs_of(&job)[0].id);
    bench.advance(3600);
    bench.release().await;
    assert_eq!(bench.runs_of(&job).len(), 1);
}

#[tokio::test]
async fn a_create_that_never_arrived_is_sent_again_exactly_once() {
    let (bench, job) = lost(When::Before).await;
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Queued);
    bench.advance(59);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 1, "not at once");
    bench.advance(1);
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.advance(3600);
    reconcile(&bench).await;
    bench.release().await;
    assert_eq!(bench.runs_of(&job).len(), 1);
    assert_eq!(bench.calls(Call::Create).len(), 2);
}

#[tokio::test]
async fn nothing_is_concluded_before_the_run_is_sure_to_be_listed() {
    let (bench, job) = lost(When::Before).await;
    let ended = bench.clock.now();
    bench.advance(29);
    let again = bench.worker.reconcile_tick().await.unwrap();
    assert_eq!(again, Some(ended.plus(std::time::Duration::from_secs(30))));
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    assert!(bench.calls(Call::List).is_empty());
}

#[tokio::test]
async fn a_list_that_cannot_be_read_proves_nothing() {
    for fault in [
        Fault::Error { status: 503, when: When::Before },
        Fault::Html { status: 200, when: When::Before },
        Fault::Truncated {},
        Fault::Lost { when: When::After },
        Fault::Error { status: 403, when: When::Before },
        Fault::RateLimited { retry_after: Some(3) },
    ] {
        let (bench, job) = lost(When::After).await;
        bench.fault(Call::List, fault.clone());
        bench.advance(30);
        let again = bench.worker.reconcile_tick().await.unwrap().unwrap();
        assert_eq!(bench.state(&job).await, JobState::Uncertain, "{fault:?}");
        bench.clock.advance(again.since(bench.clock.now()));
        // An organisation that may not be read stops everything until a probe has read it.
        if let [breaker] = &bench.store.breakers().await.unwrap()[..] {
            bench.clock.advance(breaker.until.since(bench.clock.now()));
            bench.worker.probe_tick().await.unwrap();
        }
        reconcile(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{fault:?}");
    }
}

#[tokio::test]
async fn a_run_without_metadata_could_be_it_and_a_person_is_asked() {
    for when in [When::Before, When::After] {
        let (bench, job) = lost(when).await;
        let stranger = bench.stranger().await;
        bench.sandbox.faults([FaultRule::always(Call::List, Fault::NoMetadata {})]);
        bench.advance(30);
        reconcile(&bench).await;
        let held = bench.find(&job).await;
        assert_eq!(held.state, JobState::Held, "{when:?}");
        assert!(held.reason.contains("without metadata") || held.reason.contains("no metadata"), "{}", held.reason);
        if when == When::Before {
            assert!(held.reason.contains(&stranger.to_string()), "{}", held.reason);
        }
        bench.advance(3600);
        bench.release().await;
        assert_eq!(bench.calls(Call::Create).len(), 2, "{when:?}: sent although it may exist");
    }
}

#[tokio::test]
async fn runs_of_other_jobs_and_of_other_people_are_no_doubt() {
    let bench = Bench::new().await;
    let known = bench.job().await;
    bench.release().await;
    bench.fault(Call::Create, Fault::Lost { when: When::Before });
    let job = bench.job().await;
    bench.release().await;
    // The service tells nobody's metadata, but the only run there is belongs to the other job.
    bench.sandbox.faults([FaultRule::always(Call::List, Fault::NoMetadata {})]);
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&known).await, JobState::Running);
    assert_eq!(bench.state(&job).await, JobState::Queued);
}

#[tokio::test]
async fn a_run_made_long_before_the_call_is_no_doubt() {
    let bench = Bench::new().await;
    bench.stranger().await;
    bench.advance(301);
    bench.fault(Call::Create, Fault::Lost { when: When::Before });
    let job = bench.job().await;
    bench.release().await;
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Queued);
}

#[tokio::test]
async fn the_pass_goes_on_until_rows_that_are_too_old() {
    let bench = Bench::unlimited().await;
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    let job = bench.job().await;
    bench.release().await;
    // Newer runs push the one that is sought to the third page.
    bench.fill(230).await;
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert_eq!(bench.calls(Call::List).len(), 3);
}

#[tokio::test]
async fn a_restart_between_sending_and_the_answer_makes_no_second_run() {
    let bench = Bench::new().await;
    bench.fault(Call::Create, Fault::Slow { millis: 60_000, when: When::After });
    let job = bench.job().await;
    // A life of its own, which ends in the middle of the call.
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let worker = bench.worker.clone();
    life.spawn(async move { worker.release_tick().await.map(drop) }).await.unwrap().unwrap();
    while bench.runs_of(&job).is_empty() {
        tokio::task::yield_now().await;
    }
    life.shutdown_background();
    let bench = bench.restart().await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    bench.release().await;
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.advance(3600);
    bench.release().await;
    assert_eq!(bench.runs_of(&job).len(), 1);
    assert_eq!(bench.calls(Call::Create).len(), 1);
}

/// A service whose lists name many rows and show none.
async fn hollow() -> SocketAddr {
    let answer = |uri: Uri| async move {
        if uri.path().ends_with("/users/me") {
            return Json(json!({"id": 1}));
        }
        Json(json!({"items": [], "total": 500, "page": 1, "size": 100, "pages": 5}))
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
    address
}

#[tokio::test]
async fn a_page_without_rows_of_a_list_that_has_some_proves_nothing() {
    let (bench, job) = lost(When::After).await;
    let bench = bench.restart_before(hollow().await).await;
    bench.advance(30);
    let again = bench.worker.reconcile_tick().await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    assert_eq!(again, Some(bench.clock.now().plus(Duration::from_secs(30))));
    bench.advance(900);
    reconcile(&bench).await;
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    assert_eq!(held.reason, "the list of runs does not reach back to the call: say adopt or absent");
}

#[tokio::test]
async fn a_list_that_does_not_show_what_was_made_before_proves_nothing() {
    let bench = Bench::new().await;
    bench.job().await;
    bench.release().await;
    bench.advance(1);
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    let job = bench.job().await;
    bench.release().await;
    bench.sandbox.faults([FaultRule::always(Call::List, Fault::Hidden { seconds: 3600 })]);
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    bench.sandbox.clear_faults();
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert_eq!(bench.runs_of(&job).len(), 1);
}

#[tokio::test]
async fn a_create_that_made_no_run_three_times_is_for_a_person() {
    let (mut bench, job) = lost(When::Before).await;
    for _ in 0..2 {
        bench.advance(30);
        reconcile(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Queued);
        bench = bench.restart().await;
        bench.fault(Call::Create, Fault::Lost { when: When::Before });
        bench.advance(60);
        bench.release().await;
        assert_eq!(bench.state(&job).await, JobState::Uncertain);
    }
    bench.advance(30);
    reconcile(&bench).await;
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    assert_eq!(held.reason, "the list of runs shows none for 3 of its creates: say adopt or absent");
    bench.advance(3600);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 3);
    // What a person says is no proof by the list: it is counted anew.
    bench.store.absent(&job, "mia looked").await.unwrap();
    bench.fault(Call::Create, Fault::Lost { when: When::Before });
    bench.release().await;
    bench.advance(30);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Queued);
}

#[tokio::test]
async fn a_run_that_names_a_job_is_its_own_though_another_had_its_id() {
    let bench = Bench::new().await;
    let before = bench.job().await;
    bench.release().await;
    let bench = bench.restart_forgetful().await;
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    let job = bench.job_on("github", "acme/widgets", "another", &"b".repeat(40)).await;
    bench.release().await;
    bench.advance(30);
    reconcile(&bench).await;
    let found = bench.find(&job).await;
    assert_eq!((found.state, found.run.unwrap().id), (JobState::Running, bench.runs_of(&job)[0].id));
    assert_eq!(bench.state(&before).await, JobState::Lost);
}
