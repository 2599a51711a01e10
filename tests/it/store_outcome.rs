//! What became of a commit, as far as CI tells.

use hookrun::model::acceptance::Acceptance;
use hookrun::model::event::Check;
use hookrun::model::job::{JobRequest, JobState};
use hookrun::model::outcome::Outcome;
use hookrun::model::run::Run;
use hookrun::model::subject::{CheckUpdate, Facts, SubjectUpdate};

use super::store_support::{House, SUBJECT, alive, request};

/// A delivery that says that this is the head now.
async fn head(house: &House, sha: &str) {
    let update = SubjectUpdate {
        key: SUBJECT.into(),
        host: "github.com".into(),
        repo: "acme/widgets".into(),
        facts: Facts { head_sha: Some(sha.into()), ..Facts::default() },
        ..SubjectUpdate::default()
    };
    house.store.accept(Acceptance { subjects: vec![update], ..house.delivery() }).await.unwrap();
}

async fn check(house: &House, sha: &str, name: &str, outcome: &str) {
    let check = Check { name: name.into(), outcome: outcome.into(), ..Check::default() };
    let update = CheckUpdate { host: "github.com".into(), repo: "acme/widgets".into(), sha: sha.into(), check };
    house.store.accept(Acceptance { checks: vec![update], ..house.delivery() }).await.unwrap();
}

#[tokio::test]
async fn ci_tells_whether_a_run_fixed_its_commit() {
    let house = House::new().await;
    let job = house.queued(JobRequest { sha: Some("a1".into()), failing: true, ..request("k", "1") }).await;
    let outcome = async || house.store.outcome_of(&job.id).await.unwrap();
    house.run(&job.id, 1).await;
    head(&house, "a1").await;
    assert_eq!(outcome().await, None, "its run works");
    house.store.observe(&[Run { status: Some("COMPLETE".into()), ..alive(1) }]).await.unwrap();
    assert_eq!(house.state(&job.id).await, JobState::Succeeded);
    assert_eq!(outcome().await, Some(Outcome::NoChange));
    head(&house, "b2").await;
    assert_eq!(outcome().await, None, "nothing is known of the new commit");
    check(&house, "b2", "lint", "success").await;
    check(&house, "b2", "test", "in_progress").await;
    assert_eq!(outcome().await, None, "a check has not ended");
    check(&house, "b2", "test", "success").await;
    assert_eq!(outcome().await, Some(Outcome::Fixed));
    check(&house, "b2", "e2e", "failure").await;
    assert_eq!(outcome().await, Some(Outcome::StillRed));
    head(&house, "c3").await;
    check(&house, "c3", "e2e", "skipped").await;
    assert_eq!(outcome().await, None, "what was skipped tells nothing");
}

#[tokio::test]
async fn a_job_for_no_failing_commit_has_no_outcome() {
    let house = House::new().await;
    let job = house.queued(JobRequest { sha: Some("a1".into()), failing: false, ..request("k", "1") }).await;
    house.run(&job.id, 1).await;
    head(&house, "a1").await;
    house.store.observe(&[Run { status: Some("COMPLETE".into()), ..alive(1) }]).await.unwrap();
    assert_eq!(house.store.outcome_of(&job.id).await.unwrap(), None);
}
