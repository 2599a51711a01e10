//! Budgets, approvals, notices: what is charged, given back, held for a person and said once.

use std::time::Duration;

use hookrun::model::clock::Clock;
use hookrun::model::decision::GateRecord;
use hookrun::model::gate::{BudgetUse, GateAnswer, GateOutcome};
use hookrun::model::job::{Job, JobRequest, JobState};
use hookrun::model::notice::{Notice, NoticeKind};
use hookrun::model::policy::{Approval, Bound, Limit, Policy, Priority, Scope};
use hookrun::rules::gates;
use hookrun::store::{PageRequest, Release, Released, Retention, StoreError};

use super::store_support::{House, SUBJECT, alive, release, request};

const DAY: Duration = Duration::from_hours(24);

fn limit(scope: Scope, count: u32) -> Limit {
    Limit { scope, bound: Bound::Rate { count, per: DAY } }
}

/// A job of its own subject and commit that a person asked for.
fn asked(number: u32) -> JobRequest {
    JobRequest {
        subject: format!("s{number}"),
        sha: Some(format!("sha{number}")),
        file: "team.toml".into(),
        person: Some("github:mia".into()),
        ..request(&number.to_string(), &number.to_string())
    }
}

async fn release_under(house: &House, job: &Job, policy: &Policy) -> Released {
    let revision = house.job(&job.id).await.revision;
    let request = Release { policy: policy.clone(), ..release(&job.id, revision) };
    house.store.release(request, |snapshot| gates::ask(snapshot, policy)).await.unwrap()
}

async fn uses(house: &House) -> Vec<(Scope, u32)> {
    let names = [
        (Scope::All, ""),
        (Scope::File, "team.toml"),
        (Scope::Rule, "fix"),
        (Scope::Repo, "acme/widgets"),
        (Scope::Subject, "s1"),
        (Scope::Person, "github:mia"),
    ];
    let limits: Vec<_> = names.map(|(scope, name)| (name.to_owned(), limit(scope, 9))).into();
    house.store.budget_uses(&limits).await.unwrap().into_iter().map(|it| (it.scope, it.used)).collect()
}

async fn notices(house: &House, open_only: bool) -> Vec<Notice> {
    let page = PageRequest { limit: 10, cursor: None };
    house.store.notices(open_only, &page).await.unwrap().items
}

#[tokio::test]
async fn every_scope_is_charged_and_gets_back_what_was_certainly_not_started() {
    let house = House::new().await;
    let none: Vec<_> = Scope::ALL.map(|scope| (scope, 0)).into();
    let one: Vec<_> = Scope::ALL.map(|scope| (scope, 1)).into();
    let policy = Policy { approval: Approval::First(1), ..Policy::default() };
    let sent = async |job: &Job| {
        let job = house.job(&job.id).await;
        house.store.snapshots(vec![(job, policy.clone())]).await.unwrap()[0].sent_by_rule
    };
    let job = house.queued(asked(1)).await;
    let call = house.send(&job.id).await;
    assert_eq!((uses(&house).await, sent(&job).await), (one.clone(), 1));
    house.store.not_taken(&job.id, &call, "402", house.clock.now()).await.unwrap();
    assert_eq!((uses(&house).await, sent(&job).await), (none.clone(), 0));

    let call = house.send(&job.id).await;
    house.store.unanswered(&job.id, &call, "timed out").await.unwrap();
    assert_eq!(uses(&house).await, one, "it may have been started");
    house.store.absent(&job.id, "proved").await.unwrap();
    assert_eq!((uses(&house).await, sent(&job).await), (none.clone(), 0));

    let call = house.send(&job.id).await;
    house.store.refused(&job.id, &call, "422").await.unwrap();
    assert_eq!(uses(&house).await, none);
    // The window of the API knows all of these calls.
    assert_eq!(house.store.windows().await.unwrap()[0].used, 3);
}

#[tokio::test]
async fn a_run_that_shows_up_after_it_was_proved_absent_is_charged_after_all() {
    let house = House::new().await;
    let one: Vec<_> = Scope::ALL.map(|scope| (scope, 1)).into();
    let job = house.queued(asked(1)).await;
    let call = house.send(&job.id).await;
    house.store.unanswered(&job.id, &call, "timed out").await.unwrap();
    house.store.absent(&job.id, "the list does not show it").await.unwrap();
    assert_eq!(house.counted(&job.id).await, Some(0));
    house.store.run_created(&job.id, &call, &alive(7)).await.unwrap();
    let runs = house.job(&job.id).await;
    assert_eq!((runs.state, runs.attempt), (JobState::Running, 1));
    assert_eq!((uses(&house).await, house.counted(&job.id).await), (one, Some(1)));
    let policy = Policy { approval: Approval::First(1), ..Policy::default() };
    let snapshot = house.store.snapshots(vec![(runs, policy)]).await.unwrap().remove(0);
    assert_eq!(snapshot.sent_by_rule, 1);
}

#[tokio::test]
async fn a_budget_slides_over_a_restart_and_a_sweep() {
    let house = House::new().await;
    let policy = Policy { limits: vec![limit(Scope::Rule, 2)], ..Policy::default() };
    for number in 1..=2 {
        let job = house.queued(asked(number)).await;
        assert!(matches!(release_under(&house, &job, &policy).await, Released::Go { .. }));
        house.clock.advance(Duration::from_hours(2));
    }
    let third = house.queued(asked(3)).await;
    let free_at = third.created_at.plus(Duration::from_hours(20));
    let house = house.restart().await;
    let long = Duration::from_hours(24 * 90);
    house.store.sweep(&Retention { bodies: long, records: long, claims: long }).await.unwrap();
    let waits = release_under(&house, &third, &policy).await;
    assert!(matches!(&waits, Released::Waits { until: Some(at), .. } if *at == free_at), "{waits:?}");
    assert_eq!(house.state(&third.id).await, JobState::Queued, "it is not dropped");
    house.clock.set(free_at);
    assert!(matches!(release_under(&house, &third, &policy).await, Released::Go { .. }));
    // After the longest rate that there is they are forgotten.
    house.clock.advance(Duration::from_hours(24 * 7 + 1));
    let gone = house.store.sweep(&Retention { bodies: long, records: long, claims: long }).await.unwrap().others;
    assert!(gone >= 18, "{gone}");
}

#[tokio::test]
async fn a_budget_warns_once_at_four_fifths_and_is_quiet_again_when_there_is_room() {
    let house = House::new().await;
    let policy = Policy { limits: vec![limit(Scope::Rule, 5)], ..Policy::default() };
    for number in 1..=5 {
        let job = house.queued(asked(number)).await;
        release_under(&house, &job, &policy).await;
        assert_eq!(notices(&house, true).await.len(), usize::from(number >= 4), "after {number}");
    }
    let notice = notices(&house, true).await.remove(0);
    assert_eq!((notice.kind, notice.about.as_str()), (NoticeKind::Budget, "rule:fix"));
    assert_eq!(notice.text, "rule:fix: 4 of 5 runs in 1d are used");
    let rule = ("fix".to_owned(), limit(Scope::Rule, 5));
    let used = house.store.budget_uses(std::slice::from_ref(&rule)).await.unwrap();
    let next_free = Some(house.clock.now().plus(DAY));
    assert_eq!(used, [BudgetUse { scope: Scope::Rule, limit: 5, per: DAY, used: 5, next_free }]);
    assert_eq!(house.store.settle_budgets().await.unwrap(), 0);
    house.clock.advance(DAY);
    assert_eq!(house.store.settle_budgets().await.unwrap(), 1);
    assert!(notices(&house, true).await.is_empty());
    assert_eq!(notices(&house, false).await[0].settled_at, Some(house.clock.now()));
}

#[tokio::test]
async fn a_subject_is_handed_off_once_with_what_was_tried() {
    let house = House::new().await;
    let policy = Policy { attempts: 2, ..Policy::default() };
    let commit = |n: u32| JobRequest { sha: Some(format!("c{n}")), ..request(&n.to_string(), &n.to_string()) };
    for n in 1..=2 {
        let job = house.queued(commit(n)).await;
        house.bring(&job.id, JobState::Failed, i64::from(n)).await;
    }
    for n in 3..=5 {
        let job = house.queued(commit(n)).await;
        assert_eq!(release_under(&house, &job, &policy).await, Released::Dead);
    }
    let said = notices(&house, false).await;
    assert_eq!(said.len(), 1, "later ones die in silence");
    assert_eq!((said[0].kind, said[0].about.as_str()), (NoticeKind::HandOff, SUBJECT));
    let tried: Vec<_> =
        said[0].details.as_array().unwrap().iter().map(|it| (&it["sha"], &it["run"], &it["status"])).collect();
    assert_eq!(
        format!("{tried:?}"),
        r#"[(String("c1"), Number(1), String("ERROR")), (String("c2"), Number(2), String("ERROR"))]"#
    );

    assert_eq!(house.store.reset_attempts(SUBJECT).await.unwrap(), 2);
    assert!(notices(&house, true).await.is_empty(), "it is settled with its reason");
    let job = house.queued(commit(6)).await;
    assert!(matches!(release_under(&house, &job, &policy).await, Released::Go { .. }));
    let missing = house.store.settle_notice("nothing").await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))));
}

async fn held(house: &House, number: u32, policy: &Policy) -> Job {
    let job = house.queued(asked(number)).await;
    assert_eq!(release_under(house, &job, policy).await, Released::Held);
    house.job(&job.id).await
}

#[tokio::test]
async fn who_is_held_for_approval_goes_when_approved_and_is_cancelled_when_nobody_agrees() {
    let house = House::new().await;
    let policy = Policy { approval: Approval::Always, approval_wait: Some(DAY), ..Policy::default() };
    let (first, second) = (held(&house, 1, &policy).await, held(&house, 2, &policy).await);
    let time_up = house.clock.now().plus(DAY);
    assert!(first.waits_for_approval());
    assert_eq!(first.hold_until, Some(time_up));
    assert_eq!(house.store.next_due().await.unwrap(), Some(time_up));
    house.store.approve(&first.id, "mia").await.unwrap();
    let approved = house.job(&first.id).await;
    assert_eq!((approved.state, approved.approved, approved.priority), (JobState::Queued, true, Priority::People));
    assert_eq!((approved.reason.as_str(), approved.hold_until), ("approved by mia", None));
    assert!(matches!(house.store.approve(&first.id, "mia").await, Err(StoreError::Conflict(_))));
    assert!(matches!(release_under(&house, &approved, &policy).await, Released::Go { .. }));

    house.clock.set(time_up);
    assert!(matches!(house.store.approve(&second.id, "mia").await, Err(StoreError::Conflict(_))), "it is too late");
    assert_eq!(house.store.expire_approvals().await.unwrap(), 1);
    let cancelled = house.job(&second.id).await;
    assert_eq!(cancelled.state, JobState::Cancelled);
    assert_eq!(cancelled.reason, "approval: nobody agreed within 24h");
    assert_eq!(house.store.expire_approvals().await.unwrap(), 0);

    let other = house.queued(asked(3)).await;
    house.store.hold(&other.id, None, "the rule is gone").await.unwrap();
    assert!(matches!(house.store.approve(&other.id, "mia").await, Err(StoreError::Conflict(_))));
}

#[tokio::test]
async fn a_job_that_is_set_aside_lets_its_lane_go_on() {
    let house = House::new().await;
    let first = house.queued(asked(1)).await;
    house.clock.advance(Duration::from_millis(1));
    let second = house.queued(asked(2)).await;
    let ids = async || {
        let found = house.store.candidates(9, &[]).await.unwrap();
        found.into_iter().map(|job| job.id).collect::<Vec<_>>()
    };
    assert_eq!(ids().await, [first.id.as_str()]);
    let until = house.clock.now().plus(Duration::from_hours(1));
    house.store.park(&first.id, until).await.unwrap();
    assert_eq!(ids().await, [second.id.as_str()]);
    assert_eq!(house.store.next_due().await.unwrap(), Some(until));
    house.store.unpark_all().await.unwrap();
    assert_eq!(ids().await, [first.id.as_str()]);
    // Whoever waits for the same person is looked at again when a run of theirs ends.
    house.store.park(&first.id, until).await.unwrap();
    house.bring(&second.id, JobState::Succeeded, 7).await;
    assert_eq!(ids().await, [first.id.as_str()]);
}

#[tokio::test]
async fn every_record_of_the_gates_and_the_hash_of_the_rules_stay_with_the_job() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let record = GateRecord {
        gate: "stale".into(),
        decision: "stop".into(),
        reason: "closed".into(),
        until: None,
        inputs: serde_json::Map::new(),
    };
    let policy = Policy { rules_hash: "h1".into(), ..Policy::default() };
    let request = Release { policy, ..release(&job.id, job.revision) };
    let stale = GateAnswer { outcome: GateOutcome::Superseded("closed".into()), records: vec![record.clone()] };
    assert_eq!(house.store.release(request, |_| stale).await.unwrap(), Released::Superseded);
    let job = house.job(&job.id).await;
    assert_eq!((job.state, job.reason.as_str(), job.rules_hash.as_str()), (JobState::Superseded, "closed", "h1"));
    assert_eq!(job.gates, [record]);
}
