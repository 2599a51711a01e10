//! Breakers, from the answer that opens one to the answer that closes it: what waits, what goes on, and the one probe.

use std::time::Duration;

use hookrun::model::breaker::{Breaker, BreakerKind};
use hookrun::model::clock::Clock;
use hookrun::model::job::JobState;
use hookrun::model::limits::CallClass;
use hookrun::model::policy::{Action, Policy};
use hookrun::rules::gates;
use hookrun::sandbox::{Call, Fault, FaultRule, When};
use hookrun::store::{CallId, Slot, Verdict};

use crate::support::START;
use crate::worker::bench::{self, Bench, Setting};
use crate::worker::told::RULES as RESUMING;

fn refusal(status: u16) -> Fault {
    Fault::Error { status, when: When::Before }
}

/// A service that answers every call of this kind so.
fn always(bench: &Bench, on: Call, fault: Fault) {
    bench.sandbox.faults([FaultRule::always(on, fault)]);
}

async fn open(bench: &Bench) -> Vec<Breaker> {
    bench.store.breakers().await.unwrap()
}

async fn names(bench: &Bench) -> Vec<BreakerKind> {
    open(bench).await.iter().map(|breaker| breaker.name).collect()
}

/// Seconds until the next probe of the only breaker.
async fn next_probe(bench: &Bench) -> u64 {
    let [breaker] = &open(bench).await[..] else { panic!("one breaker is open") };
    breaker.until.since(bench.clock.now()).as_secs()
}

/// What the gates say to a queued job: the reason, and until when in seconds.
async fn waits(bench: &Bench, job: &str) -> (String, Option<u64>) {
    let job = bench.find(job).await;
    assert_eq!(job.state, JobState::Queued);
    let snapshot = bench.store.snapshots(vec![(job, Policy::default())]).await.unwrap().remove(0);
    let record = gates::ask(&snapshot, &Policy::default()).records.pop().unwrap();
    assert_eq!((record.gate.as_str(), record.decision.as_str()), ("breaker", "wait"), "{}", record.reason);
    (record.reason, record.until.map(|until| until.since(bench.clock.now()).as_secs()))
}

/// A run that has been made, and is followed.
async fn running(bench: &Bench) -> i64 {
    let job = bench.job().await;
    bench.release().await;
    bench.find(&job).await.run.unwrap().id
}

/// Nothing was spent on what was not done: no attempt, no budget.
async fn spent_nothing(bench: &Bench, jobs: &[String]) {
    for job in jobs {
        let job = bench.find(job).await;
        assert_eq!(job.state, JobState::Queued);
        let snapshot = bench.store.snapshots(vec![(job, Policy::default())]).await.unwrap().remove(0);
        assert_eq!((snapshot.attempts, snapshot.sha_counted), (Some(0), false));
    }
    assert_eq!(bench.store.started().await.unwrap(), []);
}

#[tokio::test]
async fn a_refused_token_stops_everything_and_is_tried_by_reading_less_and_less_often() {
    for status in [401, 403] {
        let bench = Bench::unlimited().await;
        let run = running(&bench).await;
        always(&bench, Call::Create, refusal(status));
        always(&bench, Call::List, refusal(status));
        let jobs = bench.jobs(3).await;
        bench.advance(60);
        bench.release().await;
        let ban = bench.job_of("github", "acme/another").await;
        bench.turn(&ban, Action::Ban, Some(run)).await;
        let breaker = open(&bench).await.remove(0);
        assert_eq!((breaker.name, breaker.probes, breaker.since), (BreakerKind::Access, 0, bench.clock.now()));
        assert_eq!(breaker.classes, CallClass::ALL);
        let (reason, until) = waits(&bench, &jobs[0]).await;
        assert!(reason.starts_with("breaker access:") && reason.contains(&status.to_string()), "{reason}");
        assert_eq!(until, Some(300));

        // Nothing goes out, not even a read; what was under way when it opened was refused like the first.
        let calls = bench.sandbox.calls().len();
        let mut probes = Vec::new();
        for _ in 0..4 {
            bench.advance(next_probe(&bench).await - 1);
            bench.release().await;
            bench.worker.follow_tick().await.unwrap();
            assert_eq!(bench.worker.probe_tick().await.unwrap(), Some(bench.clock.now().plus(Duration::from_secs(1))));
            bench.advance(1);
            bench.release().await;
            bench.worker.probe_tick().await.unwrap();
            probes.push(next_probe(&bench).await);
        }
        assert_eq!(probes, [450, 675, 1012, 1518], "half as long again");
        assert_eq!(bench.sandbox.calls().len(), calls + 4, "only the probes");

        bench.sandbox.clear_faults();
        bench.advance(next_probe(&bench).await);
        bench.worker.probe_tick().await.unwrap();
        assert!(open(&bench).await.is_empty(), "the organisation can be read again");
        bench.release().await;
        for job in &jobs {
            let sent = bench.find(job).await;
            assert_eq!((sent.state, sent.attempt), (JobState::Running, 1));
            assert_eq!(bench.runs_of(job).len(), 1);
        }
        assert_eq!(bench.state(&ban).await, JobState::Succeeded);
    }
}

#[tokio::test]
async fn one_run_that_may_not_be_read_stops_nothing() {
    let bench = Bench::unlimited().await;
    running(&bench).await;
    bench.fill(150).await;
    bench.advance(6);
    bench.fault(Call::Get, refusal(403));
    bench.fault(Call::Logs, refusal(403));
    bench.worker.follow_tick().await.unwrap();
    assert!(open(&bench).await.is_empty());
}

#[tokio::test]
async fn a_used_up_plan_holds_back_what_starts_runs_and_nothing_else() {
    let bench = Bench::new().await;
    let run = running(&bench).await;
    let first = bench.calls(Call::Create).len();
    bench.advance(120);
    always(&bench, Call::Create, refusal(402));
    let jobs = bench.jobs(20).await;
    bench.release().await;
    assert_eq!(names(&bench).await, [BreakerKind::Billing]);
    let met = bench.calls(Call::Create).len() - first;
    assert!(met <= 10, "the calls that were under way together");
    let (reason, until) = waits(&bench, &jobs[19]).await;
    assert!(reason.starts_with("breaker billing: no runs are started:") && reason.contains("402"), "{reason}");
    assert_eq!(until, Some(1800));

    // Following, banning and telling go on.
    bench.worker.follow_tick().await.unwrap();
    assert!(!bench.calls(Call::List).is_empty());
    let tell = bench.job_of("github", "acme/another").await;
    bench.turn(&tell, Action::Tell, Some(run)).await;
    bench.advance(60);
    bench.release().await;
    assert_eq!((bench.state(&tell).await, bench.calls(Call::Resume).len()), (JobState::Running, 1));
    let ban = bench.job_of("github", "acme/a-third").await;
    bench.turn(&ban, Action::Ban, Some(run)).await;
    bench.release().await;
    assert_eq!(bench.state(&ban).await, JobState::Succeeded);

    // One create in half an hour, never all ten.
    let mut asked = met + first;
    bench.advance(1740 - 1);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), asked);
    for _ in 0..3 {
        bench.advance(1);
        bench.release().await;
        bench.worker.probe_tick().await.unwrap();
        asked += 1;
        assert_eq!(bench.calls(Call::Create).len(), asked, "exactly one");
        assert_eq!(next_probe(&bench).await, 1800);
        bench.advance(1799);
        bench.release().await;
        assert_eq!(bench.calls(Call::Create).len(), asked);
    }
    for job in &jobs {
        assert_eq!((bench.state(job).await, bench.find(job).await.attempt <= 1), (JobState::Queued, true));
    }

    // Somebody has paid: the next probe is a job like every other, and the rest follows at once.
    bench.sandbox.clear_faults();
    bench.advance(1);
    bench.release().await;
    // (A tick looks again while something moves: the rest may follow in the same one if the answer is quick.)
    let asked_now = bench.calls(Call::Create).len();
    assert!([asked + 1, asked + 10].contains(&asked_now), "{asked_now}");
    assert!(open(&bench).await.is_empty());
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), asked + 10, "as many as the window lets through");
    bench.advance(60);
    bench.release().await;
    for job in &jobs {
        assert_eq!((bench.state(job).await, bench.runs_of(job).len()), (JobState::Running, 1));
    }
}

#[tokio::test]
async fn an_organisation_without_repositories_is_tried_every_ten_minutes() {
    let bench = Bench::new().await;
    always(&bench, Call::Create, refusal(404));
    let jobs = bench.jobs(2).await;
    bench.release().await;
    assert_eq!((names(&bench).await, next_probe(&bench).await), (vec![BreakerKind::NotFound], 600));
    spent_nothing(&bench, &jobs).await;
    let met = bench.calls(Call::Create).len();
    for probes in 1..4 {
        bench.advance(600);
        bench.release().await;
        assert_eq!(bench.calls(Call::Create).len(), met + probes);
        assert_eq!((open(&bench).await[0].probes, next_probe(&bench).await), (probes as u32, 600));
    }
    bench.worker.repos_tick().await.unwrap();
    assert!(!bench.calls(Call::Repos).is_empty(), "reading goes on");
    bench.sandbox.clear_faults();
    bench.advance(600);
    bench.release().await;
    assert!(open(&bench).await.is_empty());
    bench.release().await;
    for job in &jobs {
        assert_eq!((bench.state(job).await, bench.find(job).await.attempt), (JobState::Running, 1));
    }
}

#[tokio::test]
async fn a_single_502_stops_nothing_and_three_in_a_row_stop_everything() {
    let bench = Bench::unlimited().await;
    for _ in 0..2 {
        bench.fault(Call::Repos, refusal(502));
        bench.worker.repos_tick().await.unwrap();
        bench.advance(60);
        assert!(open(&bench).await.is_empty());
    }
    // An answer, whatever it says, ends the row.
    bench.fault(Call::Repos, refusal(404));
    bench.worker.repos_tick().await.unwrap();
    for _ in 0..3 {
        bench.advance(60);
        assert!(open(&bench).await.is_empty());
        bench.fault(Call::Repos, refusal(503));
        bench.worker.repos_tick().await.unwrap();
    }
    assert_eq!(names(&bench).await, [BreakerKind::Outage]);
    let job = bench.job().await;
    bench.release().await;
    assert!(bench.calls(Call::Create).is_empty());
    let (reason, until) = waits(&bench, &job).await;
    assert!(reason.starts_with("breaker outage: no calls go out:") && reason.contains("503"), "{reason}");
    assert_eq!(until, Some(5));
    let mut probes = Vec::new();
    always(&bench, Call::Me, Fault::Lost { when: When::Before });
    for _ in 0..6 {
        bench.advance(next_probe(&bench).await);
        bench.worker.probe_tick().await.unwrap();
        probes.push(next_probe(&bench).await);
    }
    assert_eq!(probes, [10, 20, 40, 60, 60, 60]);
    // The first answer closes it, and what waits goes at once.
    bench.sandbox.clear_faults();
    bench.advance(60);
    let woken = bench.store.woken();
    assert_eq!(bench.worker.probe_tick().await.unwrap(), None);
    woken.await;
    assert!(open(&bench).await.is_empty());
    bench.release().await;
    let sent = bench.find(&job).await;
    assert_eq!((sent.state, sent.attempt), (JobState::Running, 1));
}

#[tokio::test]
async fn failures_that_are_far_apart_are_no_outage() {
    let bench = Bench::unlimited().await;
    for _ in 0..6 {
        bench.fault(Call::Repos, refusal(500));
        bench.worker.repos_tick().await.unwrap();
        bench.advance(301);
    }
    assert!(open(&bench).await.is_empty());
}

#[tokio::test]
async fn a_service_that_cannot_be_reached_costs_no_job_anything() {
    let bench = Bench::unreachable().await;
    let jobs = bench.jobs(4).await;
    bench.release().await;
    assert_eq!(names(&bench).await, [BreakerKind::Outage]);
    let mut seconds = Vec::new();
    for _ in 0..5 {
        seconds.push(next_probe(&bench).await);
        bench.advance(next_probe(&bench).await);
        bench.release().await;
        bench.worker.probe_tick().await.unwrap();
    }
    assert_eq!(seconds, [5, 10, 20, 40, 60]);
    spent_nothing(&bench, &jobs).await;
    for job in &jobs {
        assert!(bench.find(job).await.due_at <= START.plus(Duration::from_secs(5)), "no wait of its own");
        assert!(bench.find(job).await.tries <= 1, "it was sent again to find out");
    }
}

#[tokio::test]
async fn a_breaker_that_opens_again_soon_goes_on_with_its_waits() {
    let bench = Bench::unlimited().await;
    always(&bench, Call::Repos, refusal(500));
    // Whoever asks for repositories gets nothing, though the service is there.
    let mut waits = Vec::new();
    for _ in 0..3 {
        while open(&bench).await.is_empty() {
            bench.worker.repos_tick().await.unwrap();
            bench.advance(60);
        }
        let breaker = open(&bench).await.remove(0);
        waits.push(breaker.until.since(breaker.since).as_secs());
        bench.worker.probe_tick().await.unwrap();
        assert!(open(&bench).await.is_empty());
    }
    assert_eq!(waits, [5, 10, 20]);
}

#[tokio::test]
async fn an_operator_closes_a_breaker_and_the_same_answer_opens_it_again() {
    let bench = Bench::new().await;
    bench.fault(Call::Create, refusal(402));
    let first = bench.job().await;
    bench.release().await;
    assert_eq!(names(&bench).await, [BreakerKind::Billing]);
    assert!(!bench.store.release_breaker(BreakerKind::Access).await.unwrap(), "that one is not open");
    let woken = bench.store.woken();
    assert!(bench.store.release_breaker(BreakerKind::Billing).await.unwrap());
    woken.await;
    bench.fault(Call::Create, refusal(402));
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 2);
    assert_eq!((names(&bench).await, next_probe(&bench).await), (vec![BreakerKind::Billing], 1800));
    assert!(bench.store.release_breaker(BreakerKind::Billing).await.unwrap());
    bench.release().await;
    assert_eq!((bench.state(&first).await, bench.find(&first).await.attempt), (JobState::Running, 1));
}

#[tokio::test]
async fn a_breaker_survives_a_restart_and_its_probe_does_not() {
    // Whether the rule only starts runs or tells one where it can.
    for rules in [bench::RULES, RESUMING] {
        let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
        bench.fault(Call::Create, refusal(402));
        let job = bench.job().await;
        bench.release().await;
        let before = open(&bench).await;
        bench.advance(600);
        let bench = bench.restart().await;
        assert_eq!(open(&bench).await, before);
        bench.release().await;
        assert_eq!(bench.calls(Call::Create).len(), 1);
        bench.advance(1200);
        // The probe is under way when the process ends.
        let probe = bench.store.take_slots(CallClass::Create.charged(), "probe").await.unwrap();
        assert!(matches!(probe, Slot::Taken(_)), "{probe:?}");
        bench.release().await;
        assert_eq!((bench.calls(Call::Create).len(), open(&bench).await[0].probing), (1, true));
        let bench = bench.restart().await;
        let breaker = open(&bench).await.remove(0);
        assert!(!breaker.probing && breaker.until == bench.clock.now(), "{breaker:?}");
        bench.release().await;
        assert_eq!((bench.state(&job).await, open(&bench).await), (JobState::Running, Vec::new()));
    }
}

async fn denied(bench: &Bench, kind: BreakerKind, calls: u32) -> Vec<CallId> {
    let mut ids = Vec::new();
    for _ in 0..calls {
        match bench.store.take_slots(CallClass::Create.charged(), "test").await.unwrap() {
            Slot::Taken(id) => ids.push(id),
            full @ Slot::Full { .. } => panic!("{full:?}"),
        }
    }
    let denied = Verdict::Denied(kind);
    let judged = bench.store.judge(&ids[0], CallClass::Create, denied, "the first answer").await.unwrap();
    assert_eq!(judged.opened, [kind]);
    ids
}

#[tokio::test]
async fn of_many_that_ask_at_once_one_probes() {
    let bench = Bench::unlimited().await;
    let under_way = denied(&bench, BreakerKind::Billing, 3).await;
    // Answers to calls that were under way change nothing: neither the wait nor, if they went well, that it is open.
    let late = bench.store.judge(&under_way[1], CallClass::Create, Verdict::Denied(BreakerKind::Billing), "x").await;
    assert!(late.unwrap().is_empty());
    let late = bench.store.judge(&under_way[2], CallClass::Create, Verdict::Done, "").await;
    assert!(late.unwrap().is_empty());
    assert_eq!(next_probe(&bench).await, 1800);
    bench.advance(1800);
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = bench.store.clone();
        asked.spawn(async move { store.take_slots(CallClass::Create.charged(), "test").await.unwrap() });
    }
    let slots = asked.join_all().await;
    let taken: Vec<_> = slots.iter().filter(|slot| matches!(slot, Slot::Taken(_))).collect();
    let [Slot::Taken(probe)] = taken[..] else { panic!("{taken:?}") };
    // It tells nothing: another may go after a minute.
    bench.store.judge(probe, CallClass::Create, Verdict::Silent, "timed out").await.unwrap();
    bench.store.end_call(probe).await.unwrap();
    assert_eq!(next_probe(&bench).await, 60);
}

#[tokio::test]
async fn a_probe_that_is_never_heard_of_again_holds_nobody_up_for_ever() {
    let bench = Bench::unlimited().await;
    denied(&bench, BreakerKind::Access, 1).await;
    bench.advance(300);
    let probe = bench.store.begin_probe(BreakerKind::Access, "probe").await.unwrap();
    assert!(matches!(probe, Some(Slot::Taken(_))), "{probe:?}");
    assert_eq!(bench.store.begin_probe(BreakerKind::Access, "probe").await.unwrap(), None, "one is under way");
    bench.advance(450);
    let probe = bench.store.begin_probe(BreakerKind::Access, "probe").await.unwrap();
    assert!(matches!(probe, Some(Slot::Taken(_))), "{probe:?}");
}

#[tokio::test]
async fn a_late_answer_from_before_it_was_closed_does_not_open_it_again() {
    let bench = Bench::unlimited().await;
    let under_way = denied(&bench, BreakerKind::Billing, 2).await;
    bench.advance(1);
    bench.store.release_breaker(BreakerKind::Billing).await.unwrap();
    let denied = Verdict::Denied(BreakerKind::Billing);
    let late = bench.store.judge(&under_way[1], CallClass::Create, denied, "x").await.unwrap();
    assert!(late.is_empty() && open(&bench).await.is_empty());
}

#[tokio::test]
async fn a_clock_that_was_set_back_makes_no_breaker_last_longer_than_it_can() {
    let bench = Bench::new().await;
    bench.fault(Call::Create, refusal(402));
    bench.job().await;
    bench.release().await;
    let bench = bench.restart_earlier(Duration::from_hours(24)).await;
    assert!(next_probe(&bench).await <= 3600);
    assert_eq!(open(&bench).await[0].since, bench.clock.now());
}

#[tokio::test]
async fn set_up_commands_that_meet_a_used_up_plan_wait_for_it_too() {
    let bench = Bench::new().await;
    bench.worker.repos_tick().await.unwrap();
    bench.fault(Call::SetupCommands, refusal(402));
    let set_up = bench.job().await;
    bench.turn(&set_up, Action::SetupCommands, None).await;
    bench.release().await;
    let breaker = open(&bench).await.remove(0);
    assert_eq!((breaker.name, breaker.classes), (BreakerKind::Billing, vec![CallClass::SetupCommands]));
    // The service does not say that creates would meet it, so they find out for themselves.
    let create = bench.job_of("github", "acme/another").await;
    bench.release().await;
    assert_eq!((bench.state(&create).await, bench.state(&set_up).await), (JobState::Running, JobState::Queued));
    bench.advance(1800);
    bench.release().await;
    assert_eq!(bench.state(&set_up).await, JobState::Running);
    assert!(open(&bench).await.is_empty());
}
