//! What a person says about a create without an answer, and what a service that forgot everything does to jobs.

use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::model::run::Run;
use hookrun::sandbox::{Call, Fault, When};
use hookrun::store::StoreError;

use super::bench::Bench;

async fn uncertain(bench: &Bench) -> String {
    bench.fault(Call::Create, Fault::Lost { when: When::Before });
    let job = bench.job().await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    job
}

fn conflict(said: &Result<(), StoreError>) {
    assert!(matches!(said, Err(StoreError::Conflict(_))), "{said:?}");
}

#[tokio::test]
async fn a_run_that_belongs_to_another_job_cannot_be_adopted() {
    let bench = Bench::new().await;
    let other = bench.job().await;
    bench.release().await;
    let taken = bench.find(&other).await.run.unwrap();
    let job = uncertain(&bench).await;
    conflict(&bench.store.adopt(&job, &taken, "a slip").await);
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    bench.advance(5);
    bench.worker.follow_tick().await.unwrap();
    assert_eq!(bench.state(&other).await, JobState::Succeeded, "it is still followed");
}

#[tokio::test]
async fn what_a_person_settled_stays_settled() {
    let bench = Bench::new().await;
    let job = uncertain(&bench).await;
    bench.store.absent(&job, "mia said so").await.unwrap();
    conflict(&bench.store.absent(&job, "again").await);
    conflict(&bench.store.adopt(&job, &Run { id: 4711, ..Run::default() }, "too late").await);
    bench.advance(30);
    bench.worker.reconcile_tick().await.unwrap();
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert_eq!(bench.runs_of(&job).len(), 1);
    conflict(&bench.store.cancel(&job, "too late").await);
    assert!(bench.store.retry(&job).await.is_err(), "it has not ended");
}

#[tokio::test]
async fn an_id_that_a_service_set_up_anew_gives_again_belongs_to_the_newer_job() {
    let bench = Bench::new().await;
    let before = bench.job().await;
    bench.release().await;
    let run = bench.find(&before).await.run.unwrap();
    let job = uncertain(&bench).await;
    bench.store.absent(&job, "it made none").await.unwrap();
    // The answer that a service without a memory gives.
    let bench = bench.restart_forgetful().await;
    bench.advance(60);
    bench.release().await;
    let after = bench.find(&job).await;
    assert_eq!(after.run.as_ref().map(|run| run.id), Some(run.id));
    assert_eq!(bench.state(&before).await, JobState::Lost, "nobody waits for it for ever");
    bench.advance(5);
    bench.worker.follow_tick().await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_clock_that_was_set_back_holds_up_no_search() {
    let bench = Bench::unlimited().await;
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    let job = bench.job().await;
    bench.release().await;
    let bench = bench.restart_earlier(Duration::from_hours(1)).await;
    let uncertain = bench.store.uncertain().await.unwrap().remove(0);
    let now = bench.clock.now();
    assert_eq!((uncertain.job.id, uncertain.began_at, uncertain.ended_at), (job, now, now));
    // Not in an hour.
    let again = bench.worker.reconcile_tick().await.unwrap();
    assert_eq!(again, Some(now.plus(Duration::from_secs(30))));
}
