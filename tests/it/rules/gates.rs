//! The gates before a job is sent, one by one and in their order.

use hookrun::model::clock::Timestamp;
use hookrun::model::gate::{Active, Freeze, GateOutcome, Snapshot, WindowUse};
use hookrun::model::job::Job;
use hookrun::model::limits::CallClass;
use hookrun::model::policy::Policy;
use hookrun::rules::gates::ask;

fn snapshot() -> Snapshot {
    let job = Job {
        id: "j".to_owned(),
        rule: "r".to_owned(),
        source: "github".to_owned(),
        key: "k".to_owned(),
        subject: "github.com/acme/widgets@fix".to_owned(),
        sha: Some("abc".to_owned()),
        failing: true,
        due_at: Timestamp(1_000),
        events: 1,
        revision: 1,
        ..Job::default()
    };
    let window = |class, limit| WindowUse { class, used: 0, limit, next_free: None };
    Snapshot {
        job,
        now: Timestamp(1_000),
        attempts: Some(0),
        windows: vec![window(CallClass::Create, 10), window(CallClass::Standard, 60)],
        ..Snapshot::default()
    }
}

#[track_caller]
fn answers(snapshot: &Snapshot, gate: &str, outcome: &GateOutcome) {
    let answer = ask(snapshot, &Policy::default());
    assert_eq!(answer.outcome, *outcome);
    assert_eq!(answer.records.last().unwrap().gate, gate);
}

fn wait(reason: &str, until: Option<i64>) -> GateOutcome {
    GateOutcome::Wait(reason.to_owned(), until.map(Timestamp))
}

#[test]
fn a_due_job_goes_and_every_gate_leaves_a_record() {
    let answer = ask(&snapshot(), &Policy::default());
    assert_eq!(answer.outcome, GateOutcome::Go);
    let records: Vec<_> =
        answer.records.iter().map(|record| (record.gate.as_str(), record.decision.as_str())).collect();
    let order = ["breaker", "settle", "attempts", "concurrency", "window"];
    assert_eq!(records, order.map(|gate| (gate, "pass")));
    assert_eq!(answer.records[2].reason, "attempt 1 of 3");
}

#[test]
fn a_frozen_class_stops_the_call_before_anything_else() {
    let freeze = |class, until| Freeze { class, until: Timestamp(until), reason: "plan limit (402)".to_owned() };
    let later = Snapshot { freezes: vec![freeze(CallClass::Create, 9_000)], now: Timestamp(0), ..snapshot() };
    answers(&later, "breaker", &wait("create calls are frozen: plan limit (402)", Some(9_000)));
    let over = Snapshot { freezes: vec![freeze(CallClass::Create, 1_000)], ..snapshot() };
    answers(&over, "window", &GateOutcome::Go);
    let other = Snapshot { freezes: vec![freeze(CallClass::Logs, 9_000)], ..snapshot() };
    answers(&other, "window", &GateOutcome::Go);
}

#[test]
fn settling_and_backoff_wait_until_due() {
    let early = Snapshot { now: Timestamp(999), ..snapshot() };
    answers(&early, "settle", &wait("settling: more events may join", Some(1_000)));
    let mut tried = early;
    tried.job.tries = 1;
    answers(&tried, "settle", &wait("waiting before the next try", Some(1_000)));
}

#[test]
fn ledger_unreadable_no_dispatch() {
    let blind = Snapshot { attempts: None, ..snapshot() };
    answers(&blind, "attempts", &wait("the count of attempts cannot be read", None));
}

#[test]
fn at_the_cap_a_new_commit_is_dead_and_a_counted_one_is_not() {
    let full = Snapshot { attempts: Some(3), ..snapshot() };
    let reason =
        "attempts: 3 commits of github.com/acme/widgets@fix were acted upon and the cap is 3; a person takes over";
    answers(&full, "attempts", &GateOutcome::Dead(reason.to_owned()));
    answers(&Snapshot { sha_counted: true, ..full.clone() }, "window", &GateOutcome::Go);
    let mut issue = full;
    issue.job.sha = None;
    answers(&issue, "window", &GateOutcome::Go);
    answers(&Snapshot { attempts: Some(2), ..snapshot() }, "window", &GateOutcome::Go);
}

#[test]
fn one_unfinished_run_per_subject() {
    let busy = Snapshot { active: Active { on_subject: 1, ..Active::default() }, ..snapshot() };
    answers(&busy, "concurrency", &wait("another run on github.com/acme/widgets@fix is not finished", None));
}

#[test]
fn a_full_window_waits_for_the_slot_that_frees_last() {
    let mut full = snapshot();
    full.windows[0] = WindowUse { class: CallClass::Create, used: 10, limit: 10, next_free: Some(Timestamp(5_000)) };
    answers(&full, "window", &wait("all 10 slots of create calls are used", Some(5_000)));
    full.windows[1] = WindowUse { class: CallClass::Standard, used: 60, limit: 60, next_free: Some(Timestamp(4_000)) };
    answers(&full, "window", &wait("all 10 slots of create calls are used", Some(5_000)));
    full.windows[1].next_free = None;
    answers(&full, "window", &wait("all 60 slots of standard calls are used", None));
    full.windows.pop();
    answers(&full, "window", &wait("the window of standard calls cannot be read", None));
}
