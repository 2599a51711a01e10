//! The brakes on the whole way: budgets, caps, approval, pauses and attempts, as a rule's words set them.

use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::model::pause::{Pause, Paused};
use hookrun::model::policy::Action;
use hookrun::sandbox::Call;
use hookrun::store::{Asking, PageRequest};

use super::bench::{Bench, Setting};

macro_rules! rule {
    ($keys:literal) => {
        concat!("[[rule]]\nname = 'fix'\non = ['ci.failed']\nrepos = ['**']\nprompt = 'Fix it.'\n", $keys)
    };
}

async fn bench(rules: &'static str) -> Bench {
    Bench::with(Setting { rules, ..Setting::default() }).await
}

/// Lets the runs that are under way end.
async fn end_runs(bench: &Bench) {
    bench.advance(6);
    bench.worker.follow_tick().await.unwrap();
}

async fn on(bench: &Bench, branch: &str, number: u32) -> String {
    bench.job_on("github", "acme/widgets", branch, &format!("{number:040x}")).await
}

async fn hand_offs(bench: &Bench) -> usize {
    bench.store.notices(true, &PageRequest { limit: 100, cursor: None }).await.unwrap().items.len()
}

#[tokio::test]
async fn a_subject_without_budget_waits_and_its_lane_goes_on() {
    let bench = bench(rule!("limits = { subject = '1/day' }")).await;
    let first = on(&bench, "main", 1).await;
    bench.release().await;
    end_runs(&bench).await;
    let started = bench.find(&first).await.submitted_at.unwrap();
    let second = on(&bench, "main", 2).await;
    bench.advance(1);
    let other = on(&bench, "other", 3).await;
    let again = bench.release().await;
    let day = Duration::from_hours(24);
    assert_eq!(again, Some(started.plus(day)));
    assert_eq!(bench.state(&second).await, JobState::Queued);
    assert_eq!(bench.state(&other).await, JobState::Running, "one blocked job held up its lane");
    bench.clock.set(started.plus(day));
    bench.release().await;
    assert_eq!(bench.state(&second).await, JobState::Running);
}

#[tokio::test]
async fn a_rule_without_budget_waits_as_a_whole_over_a_restart() {
    let bench = bench(rule!("limits = { rule = '2/hour' }")).await;
    bench.jobs(3).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 2);
    let began = bench.clock.now();
    bench.advance(60);
    let bench = bench.restart().await;
    let hour = began.plus(Duration::from_hours(1));
    assert_eq!(bench.release().await, Some(hour));
    assert_eq!(bench.calls(Call::Create).len(), 2);
    bench.clock.set(hour);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 3);
}

#[tokio::test]
async fn a_cap_of_running_jobs_goes_on_as_soon_as_one_has_ended() {
    let bench = bench(rule!("limits = { rule = '2 running' }")).await;
    bench.jobs(3).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 2);
    end_runs(&bench).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 3);
}

#[tokio::test]
async fn a_subject_may_have_as_many_runs_as_its_rule_says() {
    let bench = bench(rule!("limits = { subject = '2 running' }")).await;
    for number in 1..=3 {
        on(&bench, "main", number).await;
    }
    bench.advance(1);
    let other = on(&bench, "other", 4).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 3);
    assert_eq!(bench.state(&other).await, JobState::Running, "one blocked job held up its lane");
    end_runs(&bench).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 4, "at once, though it was set aside");
}

#[tokio::test]
async fn who_needs_approval_is_held_and_answered_by_time() {
    let bench = bench(rule!("approval = { first = 1, wait = '2h' }")).await;
    let (yes, no) = (on(&bench, "main", 1).await, on(&bench, "other", 2).await);
    let time_up = bench.clock.now().plus(Duration::from_hours(2));
    assert_eq!(bench.release().await, Some(time_up));
    assert_eq!((bench.state(&yes).await, bench.state(&no).await), (JobState::Held, JobState::Held));
    assert!(bench.calls(Call::Create).is_empty());
    bench.store.approve(&yes, "mia").await.unwrap();
    bench.release().await;
    assert_eq!(bench.state(&yes).await, JobState::Running);
    bench.clock.set(time_up);
    bench.release().await;
    let cancelled = bench.find(&no).await;
    assert_eq!(
        (cancelled.state, cancelled.reason.as_str()),
        (JobState::Cancelled, "approval: nobody agreed within 2h")
    );
    // One was sent: nobody is asked any more.
    let next = on(&bench, "third", 3).await;
    bench.release().await;
    assert_eq!(bench.state(&next).await, JobState::Running);
}

#[tokio::test]
async fn a_pause_within_a_burst_stops_sending_and_consumes_nothing() {
    let bench = bench(rule!("")).await;
    let jobs = bench.jobs(15).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 10);
    let until = bench.clock.now().plus(Duration::from_hours(4));
    let pause = Pause {
        what: Paused::Rule("fix".into()),
        reason: "release day".into(),
        by: "mia".into(),
        since: bench.clock.now(),
        until: Some(until),
    };
    bench.store.pause(&pause).await.unwrap();
    bench.advance(120);
    bench.job().await;
    assert_eq!(bench.release().await, Some(until));
    assert_eq!(bench.calls(Call::Create).len(), 10);
    for job in &jobs {
        let job = bench.find(job).await;
        assert_eq!(job.revision == 0, job.state == JobState::Queued, "a pause rewrites nothing");
    }
    let bench = bench.restart().await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 10, "it is remembered");
    bench.store.unpause(&pause.what).await.unwrap();
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 16);
}

#[tokio::test]
async fn ledger_unreadable_nothing_is_dispatched_until_it_can_be_read() {
    let bench = bench(rule!("")).await;
    let job = bench.job().await;
    bench.spoil("ALTER TABLE attempts RENAME TO elsewhere").await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Queued);
    assert!(bench.calls(Call::Create).is_empty());
    bench.spoil("ALTER TABLE elsewhere RENAME TO attempts").await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
}

#[tokio::test]
async fn a_loop_with_31_minutes_between_its_rounds_is_capped_and_handed_off_once() {
    let bench = bench(rule!("")).await;
    for round in 1..=8 {
        let job = on(&bench, "main", round).await;
        bench.release().await;
        let state = if round <= 3 { JobState::Running } else { JobState::Dead };
        assert_eq!(bench.state(&job).await, state, "round {round}");
        assert_eq!(hand_offs(&bench).await, usize::from(round > 3), "round {round}");
        end_runs(&bench).await;
        bench.advance(31 * 60);
    }
    assert_eq!(bench.calls(Call::Create).len(), 3);
}

#[tokio::test]
async fn a_loop_of_successes_is_caught_by_a_budget() {
    let bench = bench(rule!("limits = { subject = '4/day' }")).await;
    for round in 1..=8 {
        on(&bench, "main", round).await;
        bench.release().await;
        end_runs(&bench).await;
        // Every round makes it green, and somebody else breaks it again.
        bench.store.reset_attempts("github.example/acme/widgets@main").await.unwrap();
        bench.advance(600);
    }
    assert_eq!(bench.calls(Call::Create).len(), 4);
}

#[tokio::test]
async fn more_lanes_than_are_looked_at_in_one_go_are_all_looked_at() {
    let bench = bench(rule!("limits = { repo = '1/day' }")).await;
    let lanes = 70;
    for number in 0..lanes {
        bench.job_of("github", &format!("acme/r{number}")).await;
    }
    while bench.release().await.is_some_and(|at| at.since(bench.clock.now()) <= Duration::from_mins(1)) {
        bench.advance(60);
    }
    let sent = bench.calls(Call::Create).len();
    assert_eq!(sent, lanes);
    for number in 0..lanes {
        bench.job_of("github", &format!("acme/r{number}")).await;
    }
    // All of these lanes wait for their budgets; one that is free comes last.
    bench.advance(60);
    let free = bench.job_of("github", "acme/free").await;
    bench.release().await;
    assert_eq!(bench.state(&free).await, JobState::Running);
    assert_eq!(bench.calls(Call::Create).len(), sent + 1);
}

impl Bench {
    /// Does something to the database behind the store's back.
    async fn spoil(&self, statement: &'static str) {
        self.database.alter(statement).await;
    }
}

/// `config/rules.toml` says of `mode = "off"` that nothing that waits is lost: hundreds of jobs must not each need a person.
#[tokio::test]
async fn the_jobs_of_a_rule_that_is_off_wait_and_go_on_when_it_is_live_again() {
    let mut bench = bench(rule!("")).await;
    let mut jobs = Vec::new();
    for number in 1..=3 {
        jobs.push(on(&bench, &format!("fix-{number}"), number).await);
    }
    bench.advance(60);
    for (mode, rules) in [("off", rule!("mode = 'off'\n")), ("shadow", rule!("mode = 'shadow'\n"))] {
        bench = bench.restart_under(rules).await;
        bench.release().await;
        assert!(bench.calls(Call::Create).is_empty(), "{mode}");
        for job in &jobs {
            let found = bench.find(job).await;
            assert_eq!(found.state, JobState::Queued, "{mode}: {}", found.reason);
        }
    }
    bench = bench.restart_under(rule!("")).await;
    bench.release().await;
    for job in &jobs {
        assert_eq!(bench.state(job).await, JobState::Running);
    }
}

#[tokio::test]
async fn what_a_person_says_to_a_run_goes_out_though_its_rule_is_off() {
    let bench = bench(rule!("")).await;
    let job = on(&bench, "fix", 1).await;
    bench.advance(60);
    bench.release().await;
    let run = bench.find(&job).await.run.unwrap().id;
    end_runs(&bench).await;
    let bench = bench.restart_under(rule!("mode = 'off'\n")).await;
    let asking = Asking { action: Action::Tell, run, reason: "ops asks", words: Some("Go on.") };
    bench.store.ask_of_run(&bench.find(&job).await, &asking).await.unwrap();
    bench.release().await;
    assert_eq!(bench.calls(Call::Resume).len(), 1);
}
