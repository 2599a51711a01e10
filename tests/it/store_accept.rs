//! Accepting: joining, claims, group commit, what survives a restart.

use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use hookrun::model::acceptance::Acceptance;
use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::decision::Ruling;
use hookrun::model::delivery::DeliveryOutcome;
use hookrun::model::event::Check;
use hookrun::model::job::{JobRequest, JobState};
use hookrun::model::limits::ClassLimits;
use hookrun::model::policy::Policy;
use hookrun::model::subject::CheckUpdate;
use hookrun::store::StoreError;

use super::database::on_postgres;
use super::store_support::{House, alive, request};

#[tokio::test]
async fn every_row_of_the_joining_table_holds() {
    use JobState::{Cancelled, Dead, Failed, Held, Lost, Queued, Running, Stopped, Submitting, Succeeded, Uncertain};
    let table = [
        (Queued, Ruling::Joined, Ruling::Joined),
        (Held, Ruling::Joined, Ruling::Joined),
        (Submitting, Ruling::Late, Ruling::Queued),
        (Uncertain, Ruling::Late, Ruling::Queued),
        (Running, Ruling::Late, Ruling::Queued),
        (Succeeded, Ruling::Late, Ruling::Queued),
        (Failed, Ruling::Late, Ruling::Queued),
        (Stopped, Ruling::Late, Ruling::Queued),
        (Lost, Ruling::Late, Ruling::Queued),
        (Cancelled, Ruling::Queued, Ruling::Queued),
        (Dead, Ruling::Queued, Ruling::Queued),
    ];
    for (row, (state, per_commit, other)) in table.into_iter().enumerate() {
        for (per, expected) in [(true, per_commit), (false, other)] {
            // A store for each row: ten creates a minute are all there are.
            let house = House::new().await;
            let ask = |happening: &str| JobRequest { per_commit: per, ..request("k", happening) };
            let job = house.queued(ask("first")).await;
            house.bring(&job.id, state, row as i64 + 1).await;
            let next = house.accept(ask("second")).await;
            let verdict = &next.verdicts[0];
            assert_eq!(verdict.decision, expected, "{state}, per commit: {per}");
            assert_eq!(verdict.job.as_ref() == Some(&job.id), expected != Ruling::Queued, "{state}, per commit: {per}");
            let outcome = if expected == Ruling::Late { DeliveryOutcome::Duplicate } else { DeliveryOutcome::Accepted };
            assert_eq!((next.outcome, next.jobs.len()), (outcome, usize::from(expected != Ruling::Late)), "{state}");
            let events = if expected == Ruling::Joined { 2 } else { 1 };
            assert_eq!(house.job(&job.id).await.events, events, "{state}, per commit: {per}");
            assert_eq!(house.store.joined(&job.id).await.unwrap().len(), events as usize);
        }
    }
}

#[tokio::test]
async fn a_job_that_may_have_a_run_swallows_no_event_while_a_person_is_asked() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    house.bring(&job.id, JobState::Uncertain, 0).await;
    house.store.hold(&job.id, None, "a row without metadata").await.unwrap();
    let other = house.queued(request("k", "2")).await;
    assert_ne!(other.id, job.id);
    // Its subject is not free: the run may be there.
    assert!(house.store.candidates(10, &[]).await.unwrap().is_empty());
    assert_eq!(house.store.snapshots(vec![(other.clone(), Policy::default())]).await.unwrap()[0].active.on_subject, 1);
    // Nobody may send it again without saying that there is none.
    assert!(matches!(house.store.retry(&job.id).await, Err(StoreError::Conflict(_))));
    house.store.adopt(&job.id, &alive(7), "a person said so").await.unwrap();
    assert_eq!(house.job(&job.id).await.run.unwrap().id, 7);
    assert_eq!(house.state(&other.id).await, JobState::Queued);
}

#[tokio::test]
async fn a_job_that_comes_back_takes_what_waits_under_its_key_and_goes_on_joining() {
    let house = House::new().await;
    let first = house.queued(request("k", "1")).await;
    let call = house.send(&first.id).await;
    let second = house.queued(JobRequest { sha: Some("b2".into()), ..request("k", "2") }).await;
    let retry_at = house.clock.now().plus(Duration::from_mins(1));
    house.store.not_taken(&first.id, &call, "429", retry_at).await.unwrap();
    assert_eq!(house.state(&second.id).await, JobState::Superseded);
    let back = house.job(&first.id).await;
    assert_eq!((back.state, back.events, back.sha.as_deref()), (JobState::Queued, 2, Some("b2")));
    // The older job is the open one, though the newer one is the newest.
    let third = house.accept(request("k", "3")).await;
    assert_eq!((third.verdicts[0].decision, &third.jobs), (Ruling::Joined, &vec![first.id.clone()]));
    let back = house.job(&first.id).await;
    assert_eq!((back.events, back.due_at), (3, retry_at), "news does not shorten a backoff");
    let joined = house.store.joined(&first.id).await.unwrap();
    assert_eq!(joined.len(), 3);
    assert_eq!(joined[0].body.as_deref(), Some(b"{\"a\":1}".as_slice()));
}

#[tokio::test]
async fn a_retry_that_takes_over_a_failure_is_an_attempt() {
    let house = House::new().await;
    let first = house.queued(request("k", "1")).await;
    house.bring(&first.id, JobState::Succeeded, 1).await;
    let retry = house.store.retry(&first.id).await.unwrap();
    let call = house.send(&retry).await;
    house.queued(JobRequest { sha: Some("b2".into()), ..request("k", "2") }).await;
    house.store.not_taken(&retry, &call, "429", house.clock.now()).await.unwrap();
    house.run(&retry, 2).await;
    assert_eq!(house.counted(&retry).await, Some(2));
}

#[tokio::test]
async fn the_newest_job_is_known_even_within_one_millisecond() {
    let house = House::new().await;
    // Random parts of ids would put these in any order.
    for round in 0..20 {
        let job = house.queued(JobRequest { per_commit: true, ..request("k", &format!("{round}a")) }).await;
        house.store.cancel(&job.id, "not wanted").await.unwrap();
    }
    let last = house.queued(JobRequest { per_commit: true, ..request("k", "last") }).await;
    house.run(&last.id, 1).await;
    let late = house.accept(JobRequest { per_commit: true, ..request("k", "late") }).await;
    assert_eq!((late.verdicts[0].decision, late.verdicts[0].job.as_ref()), (Ruling::Late, Some(&last.id)));
}

#[tokio::test]
async fn joining_waits_for_quiet_but_not_for_ever() {
    let house = House::new().await;
    let minute = Duration::from_mins(1);
    let ask = |happening: &str| JobRequest { settle: minute, settle_max: minute * 2, ..request("k", happening) };
    let job = house.queued(ask("0")).await;
    assert_eq!(job.due_at, job.created_at.plus(minute));
    house.clock.advance(Duration::from_secs(30));
    house.accept(ask("1")).await;
    let joined = house.job(&job.id).await;
    assert_eq!((joined.due_at, joined.events), (job.created_at.plus(minute + minute / 2), 2));
    assert!(joined.revision > job.revision);
    house.clock.advance(Duration::from_secs(55));
    house.accept(ask("2")).await;
    assert_eq!(house.job(&job.id).await.due_at, job.created_at.plus(minute * 2));
}

#[tokio::test]
async fn five_copies_make_one_job_and_are_all_recorded() {
    let house = House::new().await;
    let copy = || house.store.accept(house.asking([request("k", "check 1 ended")]));
    let all = tokio::join!(copy(), copy(), copy(), copy(), copy());
    let all = <[_; 5]>::from(all).map(Result::unwrap);
    let queued = all.iter().filter(|it| it.outcome == DeliveryOutcome::Accepted).count();
    let duplicate = all.iter().filter(|it| it.outcome == DeliveryOutcome::Duplicate).count();
    assert_eq!((queued, duplicate), (1, 4));
    for one in &all {
        let stored = house.store.delivery(&one.delivery).await.unwrap().unwrap();
        assert_eq!((stored.outcome, &stored.verdicts, &stored.reason), (one.outcome, &one.verdicts, &one.reason));
        assert!(!stored.reason.is_empty());
    }
    // Across a restart too, and another rule may still act on it.
    let house = house.restart().await;
    assert_eq!(house.accept(request("k", "check 1 ended")).await.outcome, DeliveryOutcome::Duplicate);
    house.queued(JobRequest { rule: "review".into(), ..request("k", "check 1 ended") }).await;
}

#[tokio::test]
async fn what_was_accepted_survives_a_restart() {
    let house = House::new().await;
    let key = *house.store.instance_key();
    let delivery = house.asking([request("k", "1")]);
    let accepted = house.store.accept(delivery.clone()).await.unwrap();
    let house = house.restart().await;
    assert_eq!(*house.store.instance_key(), key);
    let body = house.store.body(&accepted.delivery).await.unwrap().unwrap();
    assert_eq!((body.body, body.headers, body.source), (delivery.body, delivery.headers, delivery.source));
    let joined = house.store.joined(&accepted.jobs[0]).await.unwrap();
    assert_eq!((&joined[0].event, joined[0].received_at), (&delivery.events[0], delivery.received_at));
    assert_eq!(house.store.job_deliveries(&accepted.jobs[0], 100).await.unwrap(), vec![accepted.delivery]);
}

#[tokio::test]
async fn what_was_being_sent_is_uncertain_after_a_restart_and_its_call_has_ended() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    house.send(&job.id).await;
    house.clock.advance(Duration::from_secs(5));
    let house = house.restart().await;
    let uncertain = house.store.uncertain().await.unwrap();
    assert_eq!(uncertain.len(), 1);
    let began_at = job.created_at;
    assert_eq!((uncertain[0].began_at, uncertain[0].ended_at), (began_at, began_at.plus(Duration::from_secs(5))));
    let create = house.store.windows().await.unwrap()[0];
    assert!(create.used == 1 && create.next_free.is_none());
    // What was under way may have arrived until its caller would have given up, 30 s after it began.
    house.clock.advance(Duration::from_secs(84));
    assert_eq!(house.store.windows().await.unwrap()[0].used, 1);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.store.windows().await.unwrap()[0].used, 0);
}

#[tokio::test]
async fn many_at_once_share_commits_and_only_the_bad_one_fails() {
    let house = House::new().await;
    let before = house.store.commits();
    let first = house.delivery();
    let mut wave: Vec<_> = (0..63).map(|n| house.asking([request(&format!("k{n}"), &n.to_string())])).collect();
    wave.insert(30, first.clone());
    let tasks: Vec<_> = wave
        .into_iter()
        .map(|delivery| {
            let store = house.store.clone();
            tokio::spawn(async move { store.accept(delivery).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let after = house.store.commits();
    assert_eq!(after.deliveries - before.deliveries, 64);
    assert!(after.transactions - before.transactions < 64, "{after:?}");

    // The same id again cannot be stored; its neighbours can.
    let (left, right) = (house.delivery(), house.delivery());
    let (left, bad, right) =
        tokio::join!(house.store.accept(left), house.store.accept(first), house.store.accept(right));
    assert!(matches!(bad, Err(StoreError::Database(_))), "{bad:?}");
    assert!(house.store.delivery(&left.unwrap().delivery).await.unwrap().is_some());
    assert!(house.store.delivery(&right.unwrap().delivery).await.unwrap().is_some());
}

#[tokio::test]
async fn one_process_owns_the_file_and_a_closed_store_takes_nothing() {
    let house = House::new().await;
    let second = house.database.open(ClassLimits::default(), house.clock.clone()).await;
    match (on_postgres(), second) {
        (false, Err(StoreError::Owned { .. })) => {}
        // It may be shared, and says nothing of those that use it.
        (true, Ok(second)) => second.close().await.unwrap(),
        (_, other) => panic!("{other:?}"),
    }
    house.store.ping().await.unwrap();
    house.store.close().await.unwrap();
    assert!(matches!(house.store.accept(house.delivery()).await, Err(StoreError::Busy(_))));
    assert!(matches!(house.store.ping().await, Err(StoreError::Busy(_))));
}

#[tokio::test]
async fn a_delivery_that_matches_nothing_is_kept_as_it_was_given() {
    let house = House::new().await;
    let mut delivery = house.delivery();
    delivery.outcome = DeliveryOutcome::NotUnderstood;
    delivery.received_at = Timestamp(5);
    let accepted = house.store.accept(delivery).await.unwrap();
    assert_eq!((accepted.outcome, accepted.reason.as_str()), (DeliveryOutcome::NotUnderstood, "no rule wants it"));
    let stored = house.store.delivery(&accepted.delivery).await.unwrap().unwrap();
    assert_eq!((stored.body_bytes, stored.received_at, stored.kind.as_deref()), (7, Timestamp(5), Some("ci.failed")));
}

#[tokio::test]
async fn news_of_a_commits_checks_wake_the_jobs_that_were_put_aside_for_it() {
    let house = House::new().await;
    let job = house.queued(request("k", "1")).await;
    let far = house.clock.now().plus(Duration::from_hours(1));
    house.database.alter(&format!("UPDATE jobs SET not_before = {}", far.0)).await;
    let tell = async |sha: &str| {
        let check = Check { name: "lint".into(), outcome: "success".into(), ..Check::default() };
        let (host, repo) = ("github.com".to_owned(), "acme/widgets".to_owned());
        let mut delivery = house.delivery();
        delivery.checks.push(CheckUpdate { host, repo, sha: sha.into(), check });
        let woken = pin!(house.store.woken());
        house.store.accept(delivery).await.unwrap();
        let woken = woken.poll(&mut Context::from_waker(Waker::noop())).is_ready();
        (house.store.candidates(10, &[]).await.unwrap().len(), woken)
    };
    // Where news goes through the database, that of an earlier commit may arrive at any time.
    let quiet = |woken: bool| !woken || on_postgres();
    let (due, woken) = tell("b2").await;
    assert!(due == 0 && quiet(woken));
    assert_eq!(tell("a1").await, (1, true));
    assert_eq!(house.store.candidates(10, &[]).await.unwrap()[0].id, job.id);
    let (due, woken) = tell("a1").await;
    assert!(due == 1 && quiet(woken), "nobody is asleep");
}

#[tokio::test]
async fn a_job_that_is_due_after_the_next_look_wakes_nobody() {
    let house = House::new().await;
    let due_in = |key: &str, settle: Duration| {
        house.asking([JobRequest { settle, settle_max: Duration::from_hours(2), ..request(key, key) }])
    };
    let wakes = async |delivery: Acceptance| {
        let woken = pin!(house.store.woken());
        house.store.accept(delivery).await.unwrap();
        woken.poll(&mut Context::from_waker(Waker::noop())).is_ready()
    };
    let minute = Duration::from_mins(1);
    assert!(wakes(due_in("a", 10 * minute)).await, "nobody has said when they look next");
    house.store.candidates(10, &[]).await.unwrap();
    assert_eq!(house.store.next_due().await.unwrap(), Some(house.clock.now().plus(10 * minute)));
    // Other processes have to be told in any case.
    assert_eq!(wakes(due_in("b", 20 * minute)).await, on_postgres());
    assert!(wakes(due_in("c", 5 * minute)).await);
    assert!(wakes(due_in("d", Duration::ZERO)).await);
    // Who looks is woken by everything until they have said when they look again.
    house.store.candidates(10, &[]).await.unwrap();
    assert!(wakes(due_in("e", 20 * minute)).await);
}
