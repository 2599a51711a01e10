//! Whose turn it is: priority, ageing, lanes in turns, and nobody for ever behind others.

use std::time::Duration;

use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::job::JobRequest;
use hookrun::model::pause::{Pause, Paused};
use hookrun::model::policy::Priority;
use hookrun::model::run::Run;
use hookrun::store::Released;

use super::store_support::{House, alive, request};

fn of(rule: &str, priority: Priority, number: u32) -> JobRequest {
    let key = format!("{rule}-{number}");
    JobRequest {
        rule: rule.into(),
        subject: key.clone(),
        sha: Some(key.clone()),
        failing: false,
        priority,
        ..request(&key, &key)
    }
}

/// Sends the first candidate and ends its run; its rule.
async fn serve(house: &House, run: i64) -> Option<String> {
    let first = house.store.candidates(1, &[]).await.unwrap().into_iter().next()?;
    let Released::Go { job, call } = house.release(&first.id).await else { panic!("it goes") };
    house.store.run_created(&job.id, &call, &alive(run)).await.unwrap();
    house.store.observe(&[Run { status: Some("COMPLETE".into()), ..alive(run) }]).await.unwrap();
    Some(job.rule)
}

#[tokio::test]
async fn lanes_take_turns_even_while_the_clock_stands() {
    let house = House::new().await;
    for number in 0..3 {
        house.queued(of("busy", Priority::Normal, number)).await;
    }
    house.clock.advance(Duration::from_millis(1));
    for number in 0..2 {
        house.queued(of("quiet", Priority::Normal, number)).await;
    }
    let mut order = Vec::new();
    while let Some(rule) = serve(&house, order.len() as i64).await {
        order.push(rule);
    }
    assert_eq!(order, ["busy", "quiet", "busy", "quiet", "busy"]);
}

#[tokio::test]
async fn people_go_first_and_waiting_lifts_the_others_up_to_them() {
    let house = House::new().await;
    house.queued(of("background", Priority::Background, 0)).await;
    house.clock.advance(Duration::from_mins(89));
    for (rule, priority) in [("normal", Priority::Normal), ("people", Priority::People), ("urgent", Priority::Urgent)] {
        house.queued(of(rule, priority, 0)).await;
        house.clock.advance(Duration::from_millis(1));
    }
    let order = async || {
        let candidates = house.store.candidates(9, &[]).await.unwrap();
        let ids: Vec<_> = candidates.iter().map(|job| job.id.clone()).collect();
        assert_eq!(house.store.line(&[]).await.unwrap().order(), ids, "what is shown is what is done");
        candidates.into_iter().map(|job| job.rule).collect::<Vec<_>>()
    };
    assert_eq!(order().await, ["people", "background", "urgent", "normal"]);
    house.clock.advance(Duration::from_mins(1));
    assert_eq!(order().await, ["background", "people", "urgent", "normal"], "it has waited for three classes");
    house.clock.advance(Duration::from_hours(9));
    assert_eq!(order().await, ["background", "normal", "people", "urgent"], "then by time alone");
}

/// For a day twice as much comes as can be sent. A person's job goes within two turns, and whoever is in no hurry waits
/// its classes out and then takes its turn.
#[tokio::test]
async fn nobody_is_starved_in_a_day_with_twice_as_much_work_as_slots() {
    let house = House::new().await;
    let slot = Duration::from_mins(10);
    let mut sent: Vec<(String, Duration)> = Vec::new();
    for turn in 0..144_u32 {
        for flood in 0..2 {
            house.queued(of("flood", Priority::Normal, turn * 2 + flood)).await;
        }
        if turn % 12 == 0 {
            house.queued(of("people", Priority::People, turn)).await;
            house.queued(of("background", Priority::Background, turn)).await;
        }
        let first = house.store.candidates(1, &[]).await.unwrap().remove(0);
        let waited = house.clock.now().since(first.due_at);
        sent.push((serve(&house, i64::from(turn)).await.unwrap(), waited));
        house.clock.advance(slot);
    }
    let longest = |rule: &str| sent.iter().filter(|(of, _)| of == rule).map(|(_, waited)| *waited).max().unwrap();
    let count = |rule: &str| sent.iter().filter(|(of, _)| of == rule).count();
    assert_eq!(count("people"), 12);
    assert!(longest("people") <= slot * 2, "{:?}", longest("people"));
    assert!(count("background") >= 11);
    assert!(longest("background") <= Duration::from_mins(90) + slot * 2, "{:?}", longest("background"));
}

#[tokio::test]
async fn what_is_paused_is_no_candidate_until_the_pause_ends_or_is_lifted() {
    let house = House::new().await;
    let job = house.queued(of("fix", Priority::Normal, 0)).await;
    let other = JobRequest { repo: Some("acme/other".into()), ..of("other", Priority::Normal, 1) };
    let other = house.queued(other).await;
    let candidates = async || {
        let found = house.store.candidates(9, &[]).await.unwrap();
        found.into_iter().map(|job| job.rule).collect::<Vec<_>>()
    };
    let pause = |what: Paused, until: Option<Timestamp>| Pause {
        what,
        reason: "release day".into(),
        by: "mia".into(),
        since: house.clock.now(),
        until,
    };
    for (what, left) in [
        (Paused::All, vec![]),
        (Paused::Source("github".into()), vec![]),
        (Paused::Rule("fix".into()), vec!["other"]),
        (Paused::Repo("acme/widgets".into()), vec!["other"]),
        (Paused::Subject(job.subject.clone()), vec!["other"]),
        (Paused::Subject(other.subject.clone()), vec!["fix"]),
    ] {
        house.store.pause(&pause(what.clone(), None)).await.unwrap();
        assert_eq!(candidates().await, left, "{what}");
        assert_eq!(house.store.pauses().await.unwrap(), [pause(what.clone(), None)]);
        assert!(house.store.unpause(&what).await.unwrap());
        assert!(!house.store.unpause(&what).await.unwrap());
        assert_eq!(candidates().await.len(), 2, "{what}");
    }
    let until = house.clock.now().plus(Duration::from_hours(4));
    house.store.pause(&pause(Paused::All, Some(until))).await.unwrap();
    assert!(candidates().await.is_empty());
    assert_eq!(house.store.next_due().await.unwrap(), Some(until), "somebody comes back when it ends");
    house.clock.set(until);
    assert_eq!(candidates().await.len(), 2);
    assert!(house.store.pauses().await.unwrap().is_empty());
}
