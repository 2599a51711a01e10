//! Jobs that make no run: what is told to one, bans, set-up commands; and runs that several jobs follow.

use std::time::Duration;

use hookrun::model::breaker::BreakerKind;
use hookrun::model::clock::Clock;
use hookrun::model::gate::{GateAnswer, GateOutcome};
use hookrun::model::job::JobState;
use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::model::policy::{Action, Policy};
use hookrun::model::run::Run;
use hookrun::sandbox::{Call, Fault, FaultRule, SandboxRun, When};
use hookrun::store::{Look, Release, Released, Retention, StoreError};

use super::bench::{Bench, Setting};

/// Rules that tell the run of a context before they start one.
pub(crate) const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "Fix {{ event.repo }} at {{ event.sha }}."
then = ["resume", "start"]
"#;

async fn bench() -> Bench {
    Bench::with(Setting { rules: RULES, ..Setting::default() }).await
}

/// A job whose run has completed; both ids.
async fn completed() -> (Bench, String, i64) {
    let bench = bench().await;
    let job = bench.job().await;
    bench.release().await;
    let run = bench.find(&job).await.run.unwrap().id;
    bench.advance(60);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    (bench, job, run)
}

/// A job that is to be said to this run.
async fn follow_up(bench: &Bench, run: i64) -> String {
    let job = bench.job().await;
    bench.turn(&job, Action::Run, Some(run)).await;
    job
}

async fn follow(bench: &Bench) {
    bench.worker.follow_tick().await.unwrap();
}

async fn reconcile(bench: &Bench) {
    bench.worker.reconcile_tick().await.unwrap();
}

fn seen(bench: &Bench, run: i64) -> SandboxRun {
    bench.sandbox.runs().into_iter().find(|each| each.id == run).unwrap()
}

/// How often the run was told something for this job.
fn told(bench: &Bench, run: i64, job: &str) -> usize {
    let line = format!("\n\nhookrun job {job}");
    seen(bench, run).prompts.iter().filter(|prompt| prompt.ends_with(&line)).count()
}

/// The resume answers as if it had not begun: the next looks may show an old end.
fn shows_its_old_end(bench: &Bench) {
    bench.fault(Call::Resume, Fault::Status { status: Some("COMPLETE".to_owned()) });
}

#[tokio::test]
async fn a_follow_up_makes_a_completed_run_live_again_and_ends_once() {
    let (bench, first, run) = completed().await;
    let job = follow_up(&bench, run).await;
    bench.release().await;
    let sent = bench.find(&job).await;
    assert_eq!((sent.state, sent.resumed, sent.run.as_ref().map(|run| run.id)), (JobState::Running, true, Some(run)));
    assert_eq!(seen(&bench, run).status.as_deref(), Some("ACTIVE"));
    assert_eq!(bench.store.prompt(&job).await.unwrap().unwrap(), seen(&bench, run).prompts[1]);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.advance(5);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!(bench.state(&first).await, JobState::Succeeded);
    bench.advance(60);
    assert_eq!(bench.worker.follow_tick().await.unwrap(), None);
    assert_eq!((bench.calls(Call::Create).len(), bench.calls(Call::Resume).len()), (1, 1));
    assert_eq!(told(&bench, run, &job), 1);
    assert!(bench.calls(Call::Logs).is_empty(), "it was seen alive: its trace need not be read");
}

#[tokio::test]
async fn a_follow_up_that_was_quick_between_two_looks_is_found_in_the_trace() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    shows_its_old_end(&bench);
    bench.release().await;
    // Its life begins and ends unseen.
    bench.advance(6);
    follow(&bench).await;
    assert_eq!(bench.calls(Call::Logs).len(), 1);
    assert_eq!(bench.state(&job).await, JobState::Running, "an end counts that is seen after the message");
    bench.advance(5);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!(bench.calls(Call::Logs).len(), 1);
}

#[tokio::test]
async fn an_old_end_is_not_the_end_of_a_follow_up_and_traces_are_read_seldom() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    shows_its_old_end(&bench);
    bench.release().await;
    assert!(bench.sandbox.hold(run, Some("ERROR".to_owned())));
    bench.sandbox.faults([FaultRule::always(Call::Logs, Fault::Error { status: 502, when: When::Before })]);
    for _ in 0..720 {
        bench.advance(5);
        follow(&bench).await;
    }
    assert_eq!(bench.state(&job).await, JobState::Running);
    let calls = bench.calls(Call::Logs).len();
    assert!((10..=20).contains(&calls), "{calls} traces were read in an hour");
    bench.sandbox.clear_faults();
    bench.advance(300);
    follow(&bench).await;
    bench.advance(5);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Failed);
}

#[tokio::test]
async fn a_follow_up_whose_message_never_shows_is_given_up_in_the_end() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    shows_its_old_end(&bench);
    bench.release().await;
    bench.sandbox.faults([FaultRule::always(Call::Logs, Fault::Error { status: 404, when: When::Before })]);
    bench.advance(24 * 3600);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Lost);
}

#[tokio::test]
async fn an_answer_that_was_under_way_when_the_run_was_told_ends_nothing() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    let before = bench.clock.now();
    bench.advance(1);
    bench.release().await;
    let look = |asked_at| Look { asked_at, given_up_before: before };
    let old = Run { id: run, status: Some("COMPLETE".to_owned()), ..Run::default() };
    assert!(bench.store.observe_as_of(std::slice::from_ref(&old), look(before)).await.unwrap().is_empty());
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.store.observe_as_of(&[old], look(bench.clock.now())).await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_run_that_was_alive_before_it_was_told_shows_nothing_of_the_message() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    let before = bench.clock.now();
    bench.advance(1);
    shows_its_old_end(&bench);
    bench.release().await;
    let look = |asked_at| Look { asked_at, given_up_before: before };
    let run = |status: &str| [Run { id: run, status: Some(status.to_owned()), ..Run::default() }];
    bench.store.observe_as_of(&run("ACTIVE"), look(before)).await.unwrap();
    bench.store.observe_as_of(&run("COMPLETE"), look(bench.clock.now())).await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.store.observe_as_of(&run("ACTIVE"), look(bench.clock.now())).await.unwrap();
    bench.store.observe_as_of(&run("COMPLETE"), look(bench.clock.now())).await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}

#[tokio::test]
async fn bent_answers_to_a_resume_are_answers() {
    for status in [None, Some("PONDERING".to_owned())] {
        let (bench, _, run) = completed().await;
        let job = follow_up(&bench, run).await;
        bench.fault(Call::Resume, Fault::Status { status: status.clone() });
        bench.release().await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{status:?}");
        bench.advance(5);
        follow(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Succeeded, "{status:?}");
    }
}

#[tokio::test]
async fn a_run_that_can_no_more_be_told_is_left_and_the_next_way_is_tried() {
    for status in [404, 400, 409, 422] {
        let (bench, _, run) = completed().await;
        let job = follow_up(&bench, run).await;
        bench.fault(Call::Resume, Fault::Error { status, when: When::Before });
        bench.release().await;
        assert!(bench.store.freezes().await.unwrap().is_empty(), "{status}: one run says nothing about others");
        bench.release().await;
        let sent = bench.find(&job).await;
        assert_eq!((sent.state, sent.resumed, sent.target), (JobState::Running, false, Some(-1)), "{status}");
        assert_eq!(bench.runs_of(&job).len(), 1, "{status}");
        assert_eq!(sent.attempt, 1, "{status}: what was not told is no attempt");
    }
}

#[tokio::test]
async fn what_was_only_to_be_told_dies_with_its_run() {
    let (bench, _, run) = completed().await;
    let job = bench.job().await;
    bench.turn(&job, Action::Tell, Some(run)).await;
    bench.fault(Call::Resume, Fault::Error { status: 404, when: When::Before });
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Dead);
    assert_eq!(bench.calls(Call::Create).len(), 1);
}

#[tokio::test]
async fn a_denied_resume_is_queued_and_the_creates_held_back() {
    for (status, seconds) in [(401, 300), (402, 1800), (403, 300), (429, 60)] {
        let fault = match status {
            429 => Fault::RateLimited { retry_after: None },
            status => Fault::Error { status, when: When::Before },
        };
        let (bench, _, run) = completed().await;
        let job = follow_up(&bench, run).await;
        bench.fault(Call::Resume, fault);
        bench.release().await;
        let waiting = bench.find(&job).await;
        assert_eq!((waiting.state, waiting.resumed), (JobState::Queued, false), "{status}");
        let (freezes, breakers) = (bench.store.freezes().await.unwrap(), bench.store.breakers().await.unwrap());
        assert_eq!(freezes.len() + breakers.len(), 1, "{status}: {freezes:?} {breakers:?}");
        let create = bench.job().await;
        bench.advance(seconds - 1);
        bench.release().await;
        assert_eq!(bench.state(&create).await, JobState::Queued, "{status}");
        assert_eq!(bench.calls(Call::Resume).len(), 1, "{status}");
        bench.advance(1);
        bench.worker.probe_tick().await.unwrap();
        bench.release().await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{status}");
        assert_eq!(bench.state(&create).await, JobState::Running, "{status}");
        assert_eq!(told(&bench, run, &job), 1, "{status}");
    }
}

/// A follow-up whose resume was lost.
async fn lost(when: When) -> (Bench, String, i64) {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    bench.fault(Call::Resume, Fault::Lost { when });
    bench.release().await;
    let uncertain = bench.find(&job).await;
    assert_eq!((uncertain.state, uncertain.resumed, uncertain.target), (JobState::Uncertain, true, Some(run)));
    (bench, job, run)
}

#[tokio::test]
async fn a_resume_without_an_answer_is_found_in_the_trace_and_followed() {
    let (bench, job, run) = lost(When::After).await;
    bench.advance(29);
    reconcile(&bench).await;
    assert!(bench.calls(Call::Logs).is_empty(), "nothing is concluded before it is sure to be in the trace");
    bench.advance(1);
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    bench.advance(3600);
    bench.release().await;
    assert_eq!((told(&bench, run, &job), bench.calls(Call::Create).len()), (1, 1));
}

#[tokio::test]
async fn a_resume_that_no_trace_shows_is_held_and_never_repeated_blindly() {
    let (bench, job, run) = lost(When::Before).await;
    bench.advance(30);
    reconcile(&bench).await;
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    let said = format!("the trace of run {run} does not show our message: say adopt or absent");
    assert_eq!(held.reason, said);
    assert!(bench.store.retry(&job).await.is_err());
    bench.advance(3600);
    reconcile(&bench).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Resume).len(), bench.calls(Call::Create).len()), (1, 1));

    let other = Run { id: run + 1, ..Run::default() };
    let wrong = bench.store.adopt(&job, &other, "a slip").await;
    assert!(matches!(wrong, Err(StoreError::Conflict(_))), "{wrong:?}");
    bench.store.absent(&job, "mia looked").await.unwrap();
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert_eq!(told(&bench, run, &job), 1);
}

#[tokio::test]
async fn a_person_may_say_that_the_run_was_told() {
    let (bench, job, run) = lost(When::After).await;
    bench.store.adopt(&job, &Run { id: run, ..Run::default() }, "mia looked").await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Running);
    bench.advance(6);
    follow(&bench).await;
    let done = bench.find(&job).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert!(done.run.unwrap().result.is_some(), "what is known of the run stays known");
}

#[tokio::test]
async fn a_trace_that_cannot_be_read_proves_nothing() {
    for fault in [
        Fault::Error { status: 503, when: When::Before },
        Fault::Html { status: 200, when: When::Before },
        Fault::Truncated {},
        Fault::RateLimited { retry_after: Some(3) },
    ] {
        let (bench, job, _) = lost(When::After).await;
        bench.fault(Call::Logs, fault.clone());
        bench.advance(30);
        let again = bench.worker.reconcile_tick().await.unwrap().unwrap();
        assert_eq!(bench.state(&job).await, JobState::Uncertain, "{fault:?}");
        bench.clock.advance(again.since(bench.clock.now()));
        reconcile(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Running, "{fault:?}");
    }
    for status in [403, 404] {
        let (bench, job, _) = lost(When::After).await;
        bench.fault(Call::Logs, Fault::Error { status, when: When::Before });
        bench.advance(30);
        reconcile(&bench).await;
        assert_eq!(bench.state(&job).await, JobState::Held, "{status}: a trace that is not there is for a person");
    }
}

#[tokio::test]
async fn a_trace_that_can_never_be_read_holds_up_no_other_search_and_is_for_a_person_in_the_end() {
    let (bench, job, run) = lost(When::After).await;
    bench.sandbox.faults([FaultRule::always(Call::Logs, Fault::Error { status: 502, when: When::Before })]);
    bench.advance(10);
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    let create = bench.job().await;
    bench.release().await;
    assert_eq!(bench.state(&create).await, JobState::Uncertain);
    bench.advance(20);
    reconcile(&bench).await;
    bench.advance(10);
    // So many answers that did not come may be an outage.
    bench.worker.probe_tick().await.unwrap();
    reconcile(&bench).await;
    assert_eq!(bench.state(&create).await, JobState::Running);
    for _ in 0..28 {
        bench.advance(30);
        bench.worker.probe_tick().await.unwrap();
        reconcile(&bench).await;
    }
    assert_eq!(bench.state(&job).await, JobState::Uncertain, "the service may be itself again in a while");
    for _ in 0..4 {
        bench.advance(30);
        bench.worker.probe_tick().await.unwrap();
        reconcile(&bench).await;
    }
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    let said = format!("the trace of run {run} cannot be read (");
    assert!(held.reason.starts_with(&said) && held.reason.ends_with("say adopt or absent"), "{}", held.reason);
    assert_eq!(told(&bench, run, &job), 1);
}

#[tokio::test]
async fn a_run_that_denies_what_is_asked_of_it_stops_the_others_once() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    bench.sandbox.faults([FaultRule::always(Call::Resume, Fault::Error { status: 403, when: When::Before })]);
    bench.release().await;
    assert_eq!(bench.store.breakers().await.unwrap()[0].name, BreakerKind::Access, "it may be the token");
    let create = bench.job().await;
    bench.advance(300);
    bench.worker.probe_tick().await.unwrap();
    bench.release().await;
    assert_eq!(bench.calls(Call::Resume).len(), 2);
    assert_eq!(bench.store.breakers().await.unwrap(), [], "the token was proved good");
    assert_eq!(bench.state(&create).await, JobState::Running);
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    assert!(held.reason.contains("403") && held.reason.ends_with("retry or cancel it"), "{}", held.reason);
    assert_eq!(bench.counted(&job).await, 0, "what was denied is no attempt");

    bench.sandbox.clear_faults();
    bench.store.retry(&job).await.unwrap();
    bench.release().await;
    assert_eq!((bench.state(&job).await, told(&bench, run, &job)), (JobState::Running, 1));
}

/// Of what is older than three months, but for what is needed.
async fn sweep(bench: &Bench) {
    let (bodies, records) = (Duration::from_hours(24 * 14), Duration::from_hours(24 * 90));
    bench.store.sweep(&Retention { bodies, records, claims: Duration::from_hours(24 * 400) }).await.unwrap();
}

#[tokio::test]
async fn a_run_that_somebody_follows_outlives_the_time_of_the_job_that_made_it() {
    let (bench, first, run) = completed().await;
    bench.advance(24 * 3600 * 91);
    let job = follow_up(&bench, run).await;
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    sweep(&bench).await;
    follow(&bench).await;
    bench.advance(5);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    sweep(&bench).await;
    assert!(bench.store.run(run).await.unwrap().is_some(), "a younger job may be followed up");
    bench.advance(24 * 3600 * 91);
    sweep(&bench).await;
    assert_eq!((bench.store.job(&first).await.unwrap(), bench.store.job(&job).await.unwrap()), (None, None));
    assert_eq!(bench.store.run(run).await.unwrap(), None);
}

async fn forget(bench: &Bench, run: i64) {
    assert_eq!(bench.database.alter(&format!("DELETE FROM runs WHERE id = {run}")).await, 1);
}

#[tokio::test]
async fn a_resume_without_an_answer_is_followed_though_its_run_was_forgotten() {
    let (bench, job, run) = lost(When::After).await;
    forget(&bench, run).await;
    bench.advance(30);
    reconcile(&bench).await;
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!(bench.store.run(run).await.unwrap().unwrap().job, job);
}

#[tokio::test]
async fn a_job_whose_run_was_forgotten_ends_with_it() {
    let bench = bench().await;
    let job = bench.job().await;
    bench.release().await;
    let run = bench.find(&job).await.run.unwrap().id;
    forget(&bench, run).await;
    bench.advance(5);
    follow(&bench).await;
    let ended = bench.find(&job).await;
    assert_eq!((ended.state, ended.run.unwrap().id), (JobState::Succeeded, run));
}

#[tokio::test]
async fn a_restart_between_telling_and_the_answer_tells_nobody_twice() {
    let (bench, _, run) = completed().await;
    bench.fault(Call::Resume, Fault::Slow { millis: 60_000, when: When::After });
    let job = follow_up(&bench, run).await;
    // A life of its own, which ends in the middle of the call.
    let life = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let worker = bench.worker.clone();
    life.spawn(async move { worker.release_tick().await.map(drop) }).await.unwrap().unwrap();
    while told(&bench, run, &job) == 0 {
        tokio::task::yield_now().await;
    }
    life.shutdown_background();
    let bench = bench.restart().await;
    assert_eq!(bench.state(&job).await, JobState::Uncertain);
    bench.release().await;
    bench.advance(30);
    reconcile(&bench).await;
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert_eq!((told(&bench, run, &job), bench.calls(Call::Create).len()), (1, 1));
}

#[tokio::test]
async fn one_run_may_have_two_jobs_and_its_end_is_the_end_of_both() {
    let bench = bench().await;
    let first = bench.job().await;
    bench.release().await;
    let run = bench.find(&first).await.run.unwrap().id;
    bench.advance(2);
    let second = bench.job().await;
    bench.turn(&second, Action::Tell, Some(run)).await;
    bench.release().await;
    follow(&bench).await;
    assert_eq!([bench.state(&first).await, bench.state(&second).await], [JobState::Running; 2]);
    bench.advance(5);
    follow(&bench).await;
    assert_eq!([bench.state(&first).await, bench.state(&second).await], [JobState::Succeeded; 2]);
    assert_eq!((bench.calls(Call::List).len(), bench.calls(Call::Get).len()), (2, 0));
    assert_eq!(bench.store.run(run).await.unwrap().unwrap().job, first, "the job that made it");
}

#[tokio::test]
async fn what_waits_to_be_said_to_the_run_of_a_follow_up_learns_which_it_is() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    // Of two jobs of one moment either may be the first.
    bench.advance(1);
    let next = bench.job().await;
    bench.wait_for(&next, &job).await;
    bench.fault(Call::Create, Fault::RateLimited { retry_after: None });
    bench.release().await;
    assert_eq!(bench.find(&next).await.target, Some(run));
}

#[tokio::test]
async fn both_jobs_of_a_run_that_is_gone_are_lost_once() {
    let bench = bench().await;
    let first = bench.job().await;
    bench.release().await;
    let run = bench.find(&first).await.run.unwrap().id;
    let second = bench.job().await;
    bench.turn(&second, Action::Tell, Some(run)).await;
    bench.release().await;
    bench.fault(Call::List, Fault::Hidden { seconds: 3600 });
    bench.fault(Call::Get, Fault::Error { status: 404, when: When::Before });
    follow(&bench).await;
    assert_eq!([bench.state(&first).await, bench.state(&second).await], [JobState::Lost; 2]);
    assert_eq!(bench.calls(Call::Get).len(), 1);
}

#[tokio::test]
async fn a_job_that_was_given_up_stays_so_while_another_follows_the_same_run() {
    let bench = bench().await;
    let old = bench.job().await;
    bench.release().await;
    let run = bench.find(&old).await.run.unwrap().id;
    assert!(bench.sandbox.hold(run, Some("PAUSED".to_owned())));
    bench.advance(24 * 3600);
    follow(&bench).await;
    let given_up = bench.find(&old).await;
    assert_eq!(given_up.state, JobState::Lost);
    let job = bench.job().await;
    bench.turn(&job, Action::Run, Some(run)).await;
    bench.release().await;
    assert!(bench.sandbox.hold(run, Some("ACTIVE".to_owned())));
    for _ in 0..5 {
        bench.advance(600);
        follow(&bench).await;
    }
    assert_eq!(bench.find(&old).await.ended_at, given_up.ended_at, "lost once, not at every look");
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert!(bench.sandbox.hold(run, Some("COMPLETE".to_owned())));
    bench.advance(600);
    follow(&bench).await;
    assert_eq!([bench.state(&old).await, bench.state(&job).await], [JobState::Succeeded; 2]);
}

#[tokio::test]
async fn a_ban_stops_the_run_and_is_done_at_once() {
    let bench = bench().await;
    let stopped = bench.job().await;
    bench.release().await;
    let run = bench.find(&stopped).await.run.unwrap().id;
    let ban = bench.job().await;
    bench.turn(&ban, Action::Ban, Some(run)).await;
    bench.release().await;
    let done = bench.find(&ban).await;
    assert_eq!(done.state, JobState::Succeeded);
    assert!(done.reason.contains(&format!("run {run} is banned")), "{}", done.reason);
    assert!(seen(&bench, run).banned);
    follow(&bench).await;
    assert_eq!(bench.state(&stopped).await, JobState::Stopped);
    let charged: Vec<u32> = bench.store.windows().await.unwrap().iter().map(|window| window.used).collect();
    // One create; the create, the ban, who we are and one list.
    assert_eq!(charged, [1, 4, 0, 0, 0]);
}

#[tokio::test]
async fn a_ban_without_an_answer_is_sent_again_once_and_then_a_person_is_asked() {
    let (bench, _, run) = completed().await;
    let ban = bench.job().await;
    bench.turn(&ban, Action::Ban, Some(run)).await;
    for state in [JobState::Queued, JobState::Held] {
        bench.fault(Call::Ban, Fault::Lost { when: When::Before });
        bench.release().await;
        assert_eq!(bench.state(&ban).await, JobState::Uncertain);
        reconcile(&bench).await;
        assert_eq!(bench.state(&ban).await, state);
    }
    bench.release().await;
    assert_eq!(bench.calls(Call::Ban).len(), 2);
    let wrong = bench.store.adopt(&ban, &Run { id: run + 1, ..Run::default() }, "a slip").await;
    assert!(matches!(wrong, Err(StoreError::Conflict(_))), "{wrong:?}");
    bench.store.adopt(&ban, &Run { id: run, ..Run::default() }, "mia saw that it is banned").await.unwrap();
    assert_eq!(bench.state(&ban).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_ban_of_a_run_that_is_gone_is_dead_and_holds_nothing_back() {
    let (bench, _, run) = completed().await;
    let ban = bench.job().await;
    bench.turn(&ban, Action::Ban, Some(run + 1)).await;
    bench.release().await;
    assert_eq!(bench.state(&ban).await, JobState::Dead);
    assert!(bench.store.freezes().await.unwrap().is_empty());
}

/// A job that is to generate set-up commands for a repository that the service knows.
async fn set_up() -> (Bench, String) {
    let bench = bench().await;
    bench.worker.repos_tick().await.unwrap();
    let job = bench.job().await;
    bench.turn(&job, Action::SetupCommands, None).await;
    (bench, job)
}

#[tokio::test]
async fn set_up_commands_make_a_run_that_is_followed() {
    let (bench, job) = set_up().await;
    bench.release().await;
    let running = bench.find(&job).await;
    assert_eq!(running.state, JobState::Running);
    assert!(running.run.unwrap().url.unwrap().starts_with("https://"));
    bench.advance(5);
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
    assert!(bench.calls(Call::Create).is_empty());
    let windows = bench.store.windows().await.unwrap();
    assert!(windows.iter().any(|window| window.class == CallClass::SetupCommands && window.used == 1), "{windows:?}");
}

#[tokio::test]
async fn set_up_commands_without_an_answer_are_for_a_person() {
    let (bench, job) = set_up().await;
    bench.fault(Call::SetupCommands, Fault::Lost { when: When::After });
    bench.release().await;
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Held);
    bench.advance(3600);
    bench.release().await;
    assert_eq!(bench.calls(Call::SetupCommands).len(), 1);
    let run = Run { id: bench.sandbox.runs()[0].id, ..Run::default() };
    bench.store.adopt(&job, &run, "mia found it").await.unwrap();
    follow(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}

#[tokio::test]
async fn set_up_commands_for_a_repository_that_is_not_there_are_dead_and_a_429_holds_back_only_them() {
    let (bench, job) = set_up().await;
    bench.fault(Call::SetupCommands, Fault::RateLimited { retry_after: None });
    bench.release().await;
    let freezes = bench.store.freezes().await.unwrap();
    assert_eq!(freezes.iter().map(|freeze| freeze.class).collect::<Vec<_>>(), [CallClass::SetupCommands]);
    bench.advance(60);
    bench.fault(Call::SetupCommands, Fault::Error { status: 404, when: When::Before });
    bench.release().await;
    assert_eq!(bench.state(&job).await, JobState::Dead);
    assert!(bench.store.freezes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_run_that_the_service_makes_instead_of_resuming_is_followed_as_the_jobs_own() {
    let (bench, _, run) = completed().await;
    let job = follow_up(&bench, run).await;
    let release = Release {
        job: job.clone(),
        revision: bench.find(&job).await.revision,
        prompt: String::new(),
        note: String::new(),
        told: Some(run),
        classes: vec![CallClass::Create, CallClass::Standard],
        policy: Policy::default(),
    };
    let go = |_: &_| GateAnswer { outcome: GateOutcome::Go, records: Vec::new() };
    let Released::Go { call, .. } = bench.store.release(release, go).await.unwrap() else { panic!("it waits") };
    let other = Run { id: run + 7, status: Some("ACTIVE".to_owned()), ..Run::default() };
    bench.store.run_created(&job, &call, &other).await.unwrap();
    let running = bench.find(&job).await;
    assert_eq!((running.resumed, running.run.unwrap().id), (false, run + 7));
    bench.store.observe(&[Run { status: Some("COMPLETE".to_owned()), ..other }]).await.unwrap();
    assert_eq!(bench.state(&job).await, JobState::Succeeded);
}

#[tokio::test]
async fn a_message_deep_in_a_long_trace_is_found() {
    let (bench, job, run) = lost(When::After).await;
    // Everything that was said since pushes it down to the second hundred.
    for _ in 0..60 {
        bench.advance(1);
        bench.tell(run, "Something else.").await;
    }
    reconcile(&bench).await;
    assert_eq!(bench.state(&job).await, JobState::Running);
    assert!(bench.calls(Call::Logs).len() >= 2, "one part of the trace does not hold it");
}

#[tokio::test]
async fn a_run_that_looked_for_set_up_commands_is_told_nothing_of_the_work() {
    let (bench, job) = set_up().await;
    bench.release().await;
    bench.advance(5);
    follow(&bench).await;
    let branch = bench.find(&job).await.subject.rsplit_once('@').unwrap().1.to_owned();
    let fix = bench.job_on("github", "acme/widgets", &branch, &"f".repeat(40)).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Create).len(), bench.calls(Call::Resume).len()), (1, 0));
    assert_eq!(bench.state(&fix).await, JobState::Running);
}

#[tokio::test]
async fn the_end_of_a_ban_without_an_answer_is_sent_again() {
    let (bench, _, run) = completed().await;
    let unban = bench.job().await;
    bench.turn(&unban, Action::Unban, Some(run)).await;
    bench.fault(Call::Unban, Fault::Lost { when: When::Before });
    bench.release().await;
    reconcile(&bench).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Unban).len(), bench.state(&unban).await), (2, JobState::Succeeded));
}

#[tokio::test]
async fn a_follow_up_whose_run_may_yet_come_starts_none_though_its_rule_allows_two_at_once() {
    let rules = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "Fix {{ event.sha }}."
then = ["resume", "start"]
limits = { subject = "2 running" }
"#;
    let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
    let first = bench.job_on("github", "acme/widgets", "fix", &"a".repeat(40)).await;
    bench.fault(Call::Create, Fault::Lost { when: When::After });
    bench.release().await;
    assert_eq!(bench.state(&first).await, JobState::Uncertain);
    let next = bench.job_on("github", "acme/widgets", "fix", &"b".repeat(40)).await;
    bench.wait_for(&next, &first).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Create).len(), bench.state(&next).await), (1, JobState::Queued));
    bench.advance(31);
    reconcile(&bench).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Create).len(), bench.calls(Call::Resume).len()), (1, 1));
}

#[tokio::test]
async fn a_ban_that_a_rule_asks_for_waits_while_the_rule_is_in_shadow_mode() {
    let rules = "[[rule]]\nname = \"fix\"\nmode = \"shadow\"\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt = \"x\"\n";
    let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
    let run = bench.stranger().await;
    let ban = bench.job().await;
    bench.turn(&ban, Action::Ban, Some(run)).await;
    bench.release().await;
    assert_eq!((bench.calls(Call::Ban).len(), bench.state(&ban).await), (0, JobState::Queued));
}

#[tokio::test]
async fn a_job_that_cannot_be_read_stops_nobody_behind_it() {
    let bench = bench().await;
    let (broken, next) = (bench.job().await, bench.job().await);
    bench.lose_body(&broken).await;
    bench.release().await;
    assert_eq!((bench.state(&broken).await, bench.state(&next).await), (JobState::Queued, JobState::Running));
}

#[tokio::test]
async fn what_is_told_to_a_run_does_not_wait_behind_a_start_that_a_used_up_plan_holds_back() {
    let bench = bench().await;
    let first = bench.job_on("github", "acme/widgets", "fix", &"a".repeat(40)).await;
    bench.release().await;
    let run = bench.find(&first).await.run.unwrap().id;
    bench.advance(60);
    follow(&bench).await;
    let refused = Fault::Error { status: 402, when: When::Before };
    bench.sandbox.faults([FaultRule::always(Call::Create, refused)]);
    let starts = bench.jobs(3).await;
    bench.release().await;
    assert_eq!(bench.store.breakers().await.unwrap().len(), 1);
    let tried = bench.calls(Call::Create).len();

    // Of the same rule and repository, and later.
    bench.advance(120);
    let tells = bench.job_on("github", "acme/widgets", "fix", &"b".repeat(40)).await;
    bench.release().await;
    assert_eq!((bench.state(&tells).await, told(&bench, run, &tells)), (JobState::Running, 1));
    assert_eq!(bench.calls(Call::Create).len(), tried);

    // The starts go on being tried one at a time, and all go at once when somebody has paid.
    bench.advance(1680);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), tried + 1);
    bench.sandbox.clear_faults();
    assert!(bench.store.release_breaker(BreakerKind::Billing).await.unwrap());
    bench.release().await;
    for job in &starts {
        assert_eq!((bench.state(job).await, bench.runs_of(job).len()), (JobState::Running, 1));
    }
}

#[tokio::test]
async fn what_began_to_wait_before_its_run_was_known_is_told_past_starts_too() {
    let limits = ClassLimits { create: RateLimit::new(1, 60), ..ClassLimits::default() };
    let bench = Bench::with(Setting { limits, enforced: Some(limits), rules: RULES, ..Setting::default() }).await;
    let first = bench.job_on("github", "acme/widgets", "fix", &"a".repeat(40)).await;
    bench.advance(1);
    // The one that meets the refusal waits again, from later on; the other is what stands before.
    let starts = bench.jobs(2).await;
    bench.advance(1);
    let tells = bench.job_on("github", "acme/widgets", "fix", &"b".repeat(40)).await;
    bench.release().await;
    let run = bench.find(&first).await.run.unwrap().id;
    bench.advance(60);
    bench.fault(Call::Create, Fault::Error { status: 402, when: When::Before });
    bench.release().await;
    assert_eq!(bench.store.breakers().await.unwrap().len(), 1);
    follow(&bench).await;
    bench.advance(60);
    bench.release().await;
    assert_eq!((bench.state(&tells).await, told(&bench, run, &tells)), (JobState::Running, 1));
    for start in starts {
        assert_eq!(bench.state(&start).await, JobState::Queued);
    }
}

#[tokio::test]
async fn what_was_to_be_told_to_a_run_that_got_lost_holds_up_nothing_that_is_told() {
    let (bench, _, run) = completed().await;
    let other = bench.job_on("github", "acme/widgets", "fix", &"a".repeat(40)).await;
    bench.release().await;
    bench.sandbox.faults([FaultRule::always(Call::Create, Fault::Error { status: 402, when: When::Before })]);
    bench.job().await;
    bench.release().await;
    assert_eq!(bench.store.breakers().await.unwrap().len(), 1);
    let start = bench.job_on("github", "acme/widgets", "fix", &"b".repeat(40)).await;
    bench.fault(Call::List, Fault::Hidden { seconds: 3600 });
    bench.fault(Call::Get, Fault::Error { status: 404, when: When::Before });
    bench.advance(6);
    follow(&bench).await;
    assert_eq!(bench.state(&other).await, JobState::Lost);
    let tells = bench.job_on("github", "acme/widgets", "branch-0", &"c".repeat(40)).await;
    bench.advance(60);
    bench.release().await;
    assert_eq!((bench.state(&tells).await, told(&bench, run, &tells)), (JobState::Running, 1));
    assert_eq!(bench.state(&start).await, JobState::Queued);
}

#[tokio::test]
async fn what_waits_to_know_its_run_while_the_plan_is_used_up_holds_up_nothing_that_is_told() {
    let (bench, _, run) = completed().await;
    let unknown = bench.job_on("github", "acme/widgets", "fix", &"a".repeat(40)).await;
    bench.fault(Call::Create, Fault::Lost { when: When::Before });
    bench.release().await;
    assert_eq!(bench.state(&unknown).await, JobState::Uncertain);
    bench.sandbox.faults([FaultRule::always(Call::Create, Fault::Error { status: 402, when: When::Before })]);
    bench.job().await;
    bench.release().await;
    assert_eq!(bench.store.breakers().await.unwrap().len(), 1);
    // Two that are told to a run, of which the first does not know to which.
    let first = bench.job().await;
    bench.turn(&first, Action::Tell, None).await;
    bench.wait_for(&first, &unknown).await;
    let second = bench.job().await;
    bench.turn(&second, Action::Tell, Some(run)).await;
    bench.advance(60);
    bench.release().await;
    assert_eq!((bench.state(&second).await, told(&bench, run, &second)), (JobState::Running, 1));
    assert_eq!(bench.state(&first).await, JobState::Queued);
}
