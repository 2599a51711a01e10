//! Runs are followed to their end, at the price of few calls.

use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::model::limits::{ClassLimits, RateLimit};
use hookrun::sandbox::{Call, Fault, When};

use super::bench::Bench;

async fn follow(bench: &Bench) -> Option<hookrun::model::clock::Timestamp> {
    bench.worker.follow_tick().await.unwrap()
}

async fn running(bench: &Bench) -> (String, i64) {
    let job = bench.job().await;
    bench.release().await;
    let run = bench.find(&job).await.run.unwrap().id;
    (job, run)
}

#[tokio::test]
async fn a_run_is_followed_to_its_end_with_result_and_changes() {
    let bench = Bench::new().await;
    // A run that knows its repository opens a change there.
    bench.worker.repos_tick().await.unwrap();
    let (job, _) = running(&bench).await;
    assert_eq!(follow(&bench).await, Some(bench.clock.now().plus(Duration::from_secs(5))));
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.advance(5);
    follow(&bench).await;
    let done = bench.find(&job).await;
    assert_eq!(done.state, JobState::Succeeded);
    let run = done.run.unwrap();
    assert!(run.result.is_some() && run.pull_requests[0].branch.is_some(), "{run:?}");
    bench.advance(5);
    assert_eq!(follow(&bench).await, None, "nothing is left to follow");
}

#[tokio::test]
async fn complete_with_no_pr_is_an_end_like_any_other() {
    // Its repository is not known to it: it opens no change.
    let bench = Bench::new().await;
    let (job, _) = running(&bench).await;
    bench.advance(5);
    follow(&bench).await;
    let done = bench.find(&job).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert!(done.run.unwrap().pull_requests.is_empty());
    bench.advance(5);
    assert_eq!(follow(&bench).await, None, "nobody waits for a change that never comes");
}

#[tokio::test]
async fn every_end_has_its_state() {
    for (word, state) in [
        ("COMPLETE", JobState::Succeeded),
        ("completed", JobState::Succeeded),
        ("ERROR", JobState::Failed),
        ("OUT_OF_TOKENS", JobState::Failed),
        ("STOPPED", JobState::Stopped),
        ("CANCELLED", JobState::Stopped),
    ] {
        let bench = Bench::new().await;
        let (job, run) = running(&bench).await;
        assert!(bench.sandbox.hold(run, Some(word.to_owned())));
        follow(&bench).await;
        assert_eq!(bench.state(&job).await, state, "{word}");
    }
}

#[tokio::test]
async fn unknown_words_and_null_are_not_ended_until_the_give_up_age() {
    for word in [Some("PONDERING".to_owned()), None] {
        let bench = Bench::new().await;
        let (job, run) = running(&bench).await;
        assert!(bench.sandbox.hold(run, word.clone()));
        bench.advance(24 * 3600 - 1);
        follow(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{word:?}");
        bench.advance(5);
        follow(&bench).await;
        let given_up = bench.find(&job).await;
        assert_eq!(given_up.state, JobState::Lost, "{word:?}");
        assert!(given_up.reason.contains("1d"), "{}", given_up.reason);

        // A lost run is still looked at, seldom, and its end is not missed.
        assert!(bench.sandbox.release(run));
        bench.advance(600);
        follow(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Succeeded, "{word:?}");
    }
}

#[tokio::test]
async fn a_lost_run_is_looked_at_every_ten_minutes_for_a_day() {
    let bench = Bench::new().await;
    let (job, run) = running(&bench).await;
    assert!(bench.sandbox.hold(run, None));
    bench.advance(24 * 3600);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Lost);
    let before = bench.calls(Call::List).len();
    for _ in 0..24 * 60 {
        bench.advance(60);
        follow(&bench).await;
    }
    let looks = bench.calls(Call::List).len() - before;
    assert!((140..=145).contains(&looks), "{looks} looks in a day");
    bench.advance(3600);
    assert_eq!(follow(&bench).await, None);
}

#[tokio::test]
async fn a_run_that_the_service_does_not_know_is_lost_at_once() {
    let bench = Bench::new().await;
    let (job, _) = running(&bench).await;
    bench.fault(Call::List, Fault::Hidden { seconds: 3600 });
    bench.fault(Call::Get, Fault::Error { status: 404, when: When::Before });
    follow(&bench).await;
    let lost = bench.find(&job).await;
    assert_eq!(lost.state, JobState::Lost);
    assert!(lost.reason.contains("does not know"), "{}", lost.reason);
}

#[tokio::test]
async fn a_run_that_the_list_does_not_show_is_asked_for_by_itself() {
    let bench = Bench::new().await;
    let (job, _) = running(&bench).await;
    bench.advance(6);
    bench.fault(Call::List, Fault::Hidden { seconds: 3600 });
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!(bench.calls(Call::Get).len(), 1);
}

#[tokio::test]
async fn following_250_runs_costs_three_calls() {
    let bench = Bench::unlimited().await;
    let jobs = bench.jobs(250).await;
    while bench.sandbox.runs().len() < jobs.len() {
        bench.release().await;
        bench.advance(1);
    }
    bench.advance(6);
    follow(&bench).await;
    assert_eq!(bench.calls(Call::List).len(), 3);
    assert!(bench.calls(Call::Get).is_empty());
    for job in &jobs {
        assert_eq!(bench.state(job).await, JobState::Succeeded);
    }
}

#[tokio::test]
async fn a_pass_that_a_full_window_interrupts_goes_on_where_it_was() {
    let bench = Bench::unlimited().await;
    let jobs = bench.jobs(250).await;
    while bench.sandbox.runs().len() < jobs.len() {
        bench.release().await;
        bench.advance(1);
    }
    bench.advance(60);
    // Reading may use two of the four slots; the first of all goes to asking who we are.
    let standard = RateLimit::new(4, 30);
    let bench = bench.restart_with(ClassLimits { standard, ..ClassLimits::default() }).await;
    let begun = bench.clock.now();
    follow(&bench).await;
    assert_eq!(bench.calls(Call::List).len(), 1);
    while bench.calls(Call::List).len() < 3 {
        let again = follow(&bench).await.unwrap();
        bench.clock.advance(again.since(bench.clock.now()));
    }
    assert!(bench.clock.now() >= begun.plus(Duration::from_secs(30)));
    assert!(bench.calls(Call::Get).is_empty());
    for job in &jobs {
        assert_eq!(bench.state(job).await, JobState::Succeeded);
    }
}

#[tokio::test]
async fn runs_of_other_people_in_between_cost_no_more_than_asking_for_each() {
    let bench = Bench::unlimited().await;
    let (job, _) = running(&bench).await;
    bench.fill(500).await;
    bench.advance(6);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!((bench.calls(Call::List).len(), bench.calls(Call::Get).len()), (1, 1));
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_asked_less_often_and_loses_nothing() {
    let bench = Bench::new().await;
    let (job, _) = running(&bench).await;
    bench.advance(6);
    let mut waits = Vec::new();
    for _ in 0..4 {
        // Whoever the token belongs to is told: the service is there.
        bench.worker.probe_tick().await.unwrap();
        bench.fault(Call::List, Fault::Error { status: 502, when: When::Before });
        let again = follow(&bench).await.unwrap();
        let wait = again.since(bench.clock.now());
        waits.push(wait.as_secs());
        bench.clock.advance(wait);
    }
    assert_eq!(waits, [5, 10, 20, 40]);
    assert_eq!(bench.state(&job).await, JobState::Running);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}
