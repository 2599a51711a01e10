//! The gates before a job is sent, one by one and in their order.

use std::time::Duration;

use hookrun::model::clock::Timestamp;
use hookrun::model::gate::{Active, BudgetUse, ChecksNow, Freeze, GateOutcome, Snapshot, WindowUse};
use hookrun::model::hours::Hours;
use hookrun::model::job::{Job, StaleOn};
use hookrun::model::limits::CallClass;
use hookrun::model::pause::{Pause, Paused};
use hookrun::model::policy::{Action, Approval, Bound, Limit, Policy, Scope, Then};
use hookrun::model::subject::Facts;
use hookrun::rules::gates::{Way, ask, waits_alone, way};
use jiff::tz::TimeZone;

const DAY: Duration = Duration::from_hours(24);

const ORDER: [&str; 11] =
    ["stale", "pause", "breaker", "settle", "hours", "approval", "attempts", "concurrency", "budget", "window", "then"];

fn snapshot() -> Snapshot {
    let job = Job {
        id: "j".to_owned(),
        rule: "r".to_owned(),
        source: "github".to_owned(),
        key: "k".to_owned(),
        subject: "github.com/acme/widgets@fix".to_owned(),
        context: "github.com/acme/widgets@fix".to_owned(),
        sha: Some("abc".to_owned()),
        failing: true,
        due_at: Timestamp(1_000),
        events: 1,
        revision: 1,
        ..Job::default()
    };
    let window = WindowUse::empty;
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
    says(snapshot, &Policy::default(), gate, outcome);
}

#[track_caller]
fn says(snapshot: &Snapshot, policy: &Policy, gate: &str, outcome: &GateOutcome) {
    let answer = ask(snapshot, policy);
    assert_eq!(answer.outcome, *outcome);
    assert_eq!(answer.records.last().unwrap().gate, gate);
}

fn hold(reason: &str) -> GateOutcome {
    GateOutcome::Hold(reason.to_owned())
}

fn superseded(reason: &str) -> GateOutcome {
    GateOutcome::Superseded(reason.to_owned())
}

fn rate(scope: Scope, count: u32) -> Limit {
    Limit { scope, bound: Bound::Rate { count, per: DAY } }
}

fn used(scope: Scope, limit: u32, used: u32, next_free: Option<i64>) -> BudgetUse {
    BudgetUse { scope, limit, per: DAY, used, next_free: next_free.map(Timestamp) }
}

fn running(scope: Scope, cap: u32) -> Limit {
    Limit { scope, bound: Bound::Running(cap) }
}

fn limits(limits: &[Limit]) -> Policy {
    Policy { limits: limits.to_vec(), ..Policy::default() }
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
    assert_eq!(records, ORDER.map(|gate| (gate, "pass")));
    assert_eq!(answer.records[6].reason, "attempt 1 of 3");
}

#[test]
fn a_frozen_class_stops_the_call_before_anything_else() {
    let freeze = |class, until| Freeze { class, until: Timestamp(until), reason: "plan limit (402)".to_owned() };
    let later = Snapshot { freezes: vec![freeze(CallClass::Create, 9_000)], now: Timestamp(0), ..snapshot() };
    answers(&later, "breaker", &wait("create calls are frozen: plan limit (402)", Some(9_000)));
    let over = Snapshot { freezes: vec![freeze(CallClass::Create, 1_000)], ..snapshot() };
    answers(&over, "then", &GateOutcome::Go);
    let other = Snapshot { freezes: vec![freeze(CallClass::Logs, 9_000)], ..snapshot() };
    answers(&other, "then", &GateOutcome::Go);
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
    answers(&Snapshot { sha_counted: true, ..full.clone() }, "then", &GateOutcome::Go);
    let mut issue = full;
    issue.job.sha = None;
    answers(&issue, "then", &GateOutcome::Go);
    answers(&Snapshot { attempts: Some(2), ..snapshot() }, "then", &GateOutcome::Go);
}

#[test]
fn one_unfinished_run_per_subject() {
    let busy = Snapshot { active: Active { on_subject: 1, ..Active::default() }, ..snapshot() };
    answers(&busy, "concurrency", &wait("another run on github.com/acme/widgets@fix is not finished", None));
}

#[test]
fn a_full_window_waits_for_the_slot_that_frees_last() {
    let mut full = snapshot();
    full.windows[0] = WindowUse { used: 10, next_free: Some(Timestamp(5_000)), ..full.windows[0] };
    answers(&full, "window", &wait("all 10 slots of create calls are used", Some(5_000)));
    full.windows[1] = WindowUse { used: 60, next_free: Some(Timestamp(4_000)), ..full.windows[1] };
    answers(&full, "window", &wait("all 10 slots of create calls are used", Some(5_000)));
    full.windows[1].next_free = None;
    answers(&full, "window", &wait("all 60 slots of standard calls are used", None));
    full.windows.pop();
    answers(&full, "window", &wait("the window of standard calls cannot be read", None));
}

fn facts(head: &str, open: Option<bool>) -> Facts {
    Facts { head_sha: Some(head.to_owned()), open, ..Facts::default() }
}

#[test]
fn a_newer_head_a_closed_change_and_success_make_a_job_stale_if_it_is_said_to_be() {
    let all = StaleOn { head: true, closed: true, green: true };
    let mut stale = Snapshot { facts: Some(facts("def", Some(true))), sha_was_head: true, ..snapshot() };
    answers(&stale, "then", &GateOutcome::Go);
    stale.job.stale_on = all;
    answers(&stale, "stale", &superseded("stale: the head of github.com/acme/widgets@fix is def now"));
    // The commit that a pipeline makes to try a merge was never a head.
    answers(&Snapshot { sha_was_head: false, ..stale.clone() }, "then", &GateOutcome::Go);
    let closed = Snapshot { facts: Some(facts("abc", Some(false))), ..stale.clone() };
    answers(&closed, "stale", &superseded("stale: github.com/acme/widgets@fix is closed"));
    let green = Snapshot { facts: Some(facts("abc", None)), green: true, ..stale.clone() };
    answers(&green, "stale", &superseded("stale: all checks of abc are green"));
    answers(&Snapshot { facts: None, ..stale }, "then", &GateOutcome::Go);
}

fn paused(what: Paused, until: Option<i64>) -> Pause {
    Pause { what, reason: "release day".into(), by: "mia".into(), since: Timestamp(0), until: until.map(Timestamp) }
}

#[test]
fn a_pause_waits_for_the_last_of_its_ends() {
    let pauses = vec![paused(Paused::All, Some(9_000)), paused(Paused::Rule("r".into()), Some(7_000))];
    let mut snapshot = Snapshot { pauses, ..snapshot() };
    answers(&snapshot, "pause", &wait("everything is paused by mia: release day", Some(9_000)));
    snapshot.pauses.push(paused(Paused::Repo("acme/widgets".into()), None));
    answers(&snapshot, "pause", &wait("repo acme/widgets is paused by mia: release day", None));
}

#[test]
fn settle_checks_waits_until_all_have_ended_and_no_news_came_for_half_a_minute() {
    let policy = Policy { settle_checks: true, ..Policy::default() };
    let mut open = Snapshot { now: Timestamp(60_000), ..snapshot() };
    open.job.settled_by = Timestamp(100_000);
    says(&open, &policy, "settle", &wait("the checks of the commit cannot be read", None));
    let checks = |unfinished, seen| Some(ChecksNow { unfinished, last_seen: Some(Timestamp(seen)) });
    open.checks = checks(2, 10_000);
    says(&open, &policy, "settle", &wait("2 of the commit's checks have not ended", None));
    assert!(waits_alone(&ask(&open, &policy)), "its lane goes on");
    open.checks = checks(0, 40_000);
    says(&open, &policy, "settle", &wait("every check has ended; another may follow", Some(70_000)));
    open.checks = checks(0, 30_000);
    says(&open, &policy, "then", &GateOutcome::Go);
    let late = Snapshot { now: Timestamp(100_000), checks: checks(2, 99_000), ..open };
    says(&late, &policy, "then", &GateOutcome::Go);
}

#[track_caller]
fn open_in_berlin(text: &str, now: &str, until: Option<&str>) {
    let hours = Hours::parse(text, TimeZone::get("Europe/Berlin").unwrap()).unwrap();
    let show = hours.show();
    let at = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    let policy = Policy { hours: Some(hours), ..Policy::default() };
    let snapshot = Snapshot { now: Timestamp(at(now)), ..snapshot() };
    match until {
        None => says(&snapshot, &policy, "then", &GateOutcome::Go),
        Some(until) => {
            says(&snapshot, &policy, "hours", &wait(&format!("outside of the hours {show}"), Some(at(until))));
        }
    }
}

#[test]
fn hours_wait_for_the_next_opening_over_weekends_midnight_and_the_change_of_the_clock() {
    let work = "Mon-Fri 07:00-19:00";
    open_in_berlin(work, "2026-03-27T17:59:59Z", None);
    // Friday evening in winter to Monday morning in summer time.
    open_in_berlin(work, "2026-03-27T18:00:00Z", Some("2026-03-30T05:00:00Z"));
    open_in_berlin(work, "2026-03-30T05:00:00Z", None);
    // The night in which two o'clock does not exist.
    open_in_berlin("Sun 02:30-05:00", "2026-03-29T00:59:59Z", Some("2026-03-29T01:30:00Z"));
    let night = "Fri 22:00-06:00";
    open_in_berlin(night, "2026-03-07T04:59:59Z", None);
    open_in_berlin(night, "2026-03-07T05:00:00Z", Some("2026-03-13T21:00:00Z"));
}

#[test]
fn approval_is_asked_always_above_a_rate_and_for_the_first_runs() {
    let asks = |approval| Policy { approval, approval_wait: Some(DAY), ..Policy::default() };
    let always = asks(Approval::Always);
    says(&snapshot(), &always, "approval", &hold("approval: the rule asks for it every time"));
    let record = ask(&snapshot(), &always).records.pop().unwrap();
    assert_eq!(record.until, Some(Timestamp(1_000).plus(DAY)));
    assert_eq!(record.inputs["wait"], "24h");
    let mut agreed = snapshot();
    agreed.job.approved = true;
    says(&agreed, &always, "then", &GateOutcome::Go);

    let first = asks(Approval::First(2));
    let sent = |sent_by_rule| Snapshot { sent_by_rule, ..snapshot() };
    says(&sent(1), &first, "approval", &hold("approval: the rule asks for it for the first 2 runs, and 1 were sent"));
    says(&sent(2), &first, "then", &GateOutcome::Go);

    let above = asks(Approval::Above { count: 5, per: DAY });
    says(&snapshot(), &above, "approval", &wait("what the rule has started cannot be read", None));
    let started = |count| Snapshot { budgets: vec![used(Scope::Rule, 5, count, None)], ..snapshot() };
    says(&started(4), &above, "then", &GateOutcome::Go);
    says(&started(5), &above, "approval", &hold("approval: the rule asks for it above 5 in 1d"));
}

#[test]
fn a_limit_of_the_subject_replaces_the_one_run_and_other_caps_stand_beside_it() {
    let on_subject = |count| Snapshot { active: Active { on_subject: count, ..Active::default() }, ..snapshot() };
    let two = limits(&[running(Scope::Subject, 2)]);
    says(&on_subject(1), &two, "then", &GateOutcome::Go);
    let reason = "2 runs of subject github.com/acme/widgets@fix are not finished and 2 is the most there may be";
    says(&on_subject(2), &two, "concurrency", &wait(reason, None));
    assert!(waits_alone(&ask(&on_subject(2), &two)));

    let mut everywhere = snapshot();
    everywhere.active = Active { on_subject: 0, all: 3, file: 3, rule: 3, repo: 3, person: 3 };
    (everywhere.job.file, everywhere.job.repo) = ("team.toml".into(), Some("acme/widgets".into()));
    for (scope, who, alone) in [
        (Scope::All, "3 runs", false),
        (Scope::File, "3 runs of file team.toml", false),
        (Scope::Rule, "3 runs of rule r", false),
        (Scope::Repo, "3 runs of repo acme/widgets", false),
    ] {
        let policy = limits(&[running(scope, 3)]);
        let reason = format!("{who} are not finished and 3 is the most there may be");
        says(&everywhere, &policy, "concurrency", &wait(&reason, None));
        assert_eq!(waits_alone(&ask(&everywhere, &policy)), alone, "{scope}");
        says(&everywhere, &limits(&[running(scope, 4)]), "then", &GateOutcome::Go);
    }
    let person = limits(&[running(Scope::Person, 3)]);
    says(&everywhere, &person, "then", &GateOutcome::Go);
    everywhere.job.person = Some("github:mia".into());
    let reason = "3 runs of person github:mia are not finished and 3 is the most there may be";
    says(&everywhere, &person, "concurrency", &wait(reason, None));
    assert!(waits_alone(&ask(&everywhere, &person)));
}

#[test]
fn a_budget_that_is_used_up_waits_for_room_and_drops_nothing() {
    let policy = limits(&[rate(Scope::Rule, 5), rate(Scope::All, 9)]);
    let with = |rule, all| Snapshot { budgets: vec![rule, all], ..snapshot() };
    let (rule, all) = (used(Scope::Rule, 5, 4, None), used(Scope::All, 9, 8, None));
    says(&with(rule, all), &policy, "then", &GateOutcome::Go);
    let (full, fuller) = (used(Scope::Rule, 5, 5, Some(7_000)), used(Scope::All, 9, 9, Some(8_000)));
    let reason = "the budget rule:r is used up: 5 of 5 runs in 1d";
    says(&with(full, all), &policy, "budget", &wait(reason, Some(7_000)));
    let reason = "the budget all: is used up: 9 of 9 runs in 1d";
    says(&with(full, fuller), &policy, "budget", &wait(reason, Some(8_000)));
    says(&snapshot(), &policy, "budget", &wait("the budget rule:r cannot be read", None));
    assert!(!waits_alone(&ask(&with(full, fuller), &policy)));

    let person = limits(&[rate(Scope::Person, 1)]);
    says(&snapshot(), &person, "then", &GateOutcome::Go);
    let mut asked = Snapshot { budgets: vec![used(Scope::Person, 1, 1, Some(7_000))], ..snapshot() };
    asked.job.person = Some("github:mia".into());
    assert!(waits_alone(&ask(&asked, &person)));
}

#[test]
fn gates_are_asked_in_their_order_when_every_one_would_say_no() {
    let mut no = Snapshot {
        facts: Some(facts("def", None)),
        sha_was_head: true,
        pauses: vec![paused(Paused::All, None)],
        freezes: vec![Freeze { class: CallClass::Create, until: Timestamp(9_000), reason: "402".into() }],
        attempts: Some(3),
        active: Active { on_subject: 1, ..Active::default() },
        budgets: vec![used(Scope::Rule, 1, 1, None)],
        ..snapshot()
    };
    no.windows[0].used = 10;
    no.job.stale_on.head = true;
    no.job.due_at = Timestamp(2_000);
    no.job.target = Some(-1);
    let closed = Hours::parse("Mon 00:00-00:01", TimeZone::UTC).unwrap();
    let policy = Policy {
        hours: Some(closed),
        approval: Approval::Always,
        limits: vec![rate(Scope::Rule, 1)],
        then: vec![Then::Resume],
        ..Policy::default()
    };
    let mut policy = policy;
    for gate in ORDER {
        let answer = ask(&no, &policy);
        assert_eq!(answer.records.last().unwrap().gate, gate);
        assert_ne!(answer.outcome, GateOutcome::Go);
        match gate {
            "stale" => no.job.stale_on.head = false,
            "pause" => no.pauses.clear(),
            "breaker" => no.freezes.clear(),
            "settle" => no.job.due_at = Timestamp(1_000),
            "hours" => policy.hours = None,
            "approval" => no.job.approved = true,
            "attempts" => no.attempts = Some(2),
            "concurrency" => no.active.on_subject = 0,
            "budget" => no.budgets[0].used = 0,
            "window" => no.windows[0].used = 0,
            _ => policy.then.push(Then::Start),
        }
    }
    assert_eq!(ask(&no, &policy).outcome, GateOutcome::Go);
}

#[test]
fn acts_on_runs_wait_for_nothing_but_breaker_and_window_and_a_tell_for_pauses() {
    let mut act = Snapshot {
        pauses: vec![paused(Paused::All, None)],
        attempts: None,
        active: Active { on_subject: 1, ..Active::default() },
        ..snapshot()
    };
    (act.job.action, act.job.target, act.job.events, act.job.due_at) = (Action::Ban, Some(7), 0, Timestamp(5_000));
    let policy = Policy { approval: Approval::Always, limits: vec![rate(Scope::Rule, 1)], ..Policy::default() };
    says(&act, &policy, "then", &GateOutcome::Go);
    assert_eq!(way(&act, &policy), Some(Way::Ban(7)));
    act.job.action = Action::Tell;
    says(&act, &policy, "pause", &wait("everything is paused by mia: release day", None));
    act.pauses.clear();
    says(&act, &policy, "then", &GateOutcome::Go);
    assert_eq!(way(&act, &policy), Some(Way::Resume(7)));
    act.job.target = None;
    act.newest_run = Some(3);
    says(&act, &policy, "then", &wait("it is not known yet which run it is for", None));
    // A rule whose action is to ban asks for leave like any other.
    (act.job.action, act.job.events, act.job.due_at) = (Action::Ban, 1, Timestamp(0));
    says(&act, &policy, "approval", &hold("approval: the rule asks for it every time"));
    says(&act, &Policy::default(), "then", &GateOutcome::Go);
    assert_eq!(way(&act, &Policy::default()), Some(Way::Ban(3)));
}

#[test]
fn then_is_tried_in_order_and_a_run_that_refused_is_not_told_again() {
    let then = |words: &[Then]| Policy { then: words.to_vec(), ..Policy::default() };
    let known = Snapshot { newest_run: Some(5), ..snapshot() };
    assert_eq!(way(&known, &then(&[Then::Resume, Then::Start])), Some(Way::Resume(5)));
    assert_eq!(way(&snapshot(), &then(&[Then::Resume, Then::Start])), Some(Way::Start));
    assert_eq!(way(&known, &then(&[Then::Start])), Some(Way::Start));
    let mut refused = known.clone();
    refused.job.target = Some(-1);
    assert_eq!(way(&refused, &then(&[Then::Resume, Then::Start])), Some(Way::Start));
    let why = "then: there is no run to resume, and the rule names no other way";
    says(&refused, &then(&[Then::Resume]), "then", &GateOutcome::Dead(why.to_owned()));
    let person = then(&[Then::Resume, Then::Hold]);
    says(&refused, &person, "then", &hold("then: a person decides; approve it to start a run"));
    refused.job.approved = true;
    assert_eq!(way(&refused, &person), Some(Way::Start));
    let mut follow_up = known;
    follow_up.job.target = Some(4);
    assert_eq!(way(&follow_up, &then(&[Then::Start])), Some(Way::Resume(4)), "whatever is there that is newer");
}
