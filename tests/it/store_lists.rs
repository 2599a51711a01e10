//! Lists with cursors, counts, and what sweeping leaves.

use std::collections::HashSet;
use std::time::Duration;

use hookrun::model::acceptance::Acceptance;
use hookrun::model::event::Check;
use hookrun::model::job::{JobRequest, JobState};
use hookrun::model::subject::CheckUpdate;
use hookrun::store::{DeliveryFilter, JobFilter, PageRequest, Retention, RunFilter, StoreError, Swept};

use super::store_support::{House, request};

const DAY: Duration = Duration::from_hours(24);

fn page(limit: u32, cursor: Option<String>) -> PageRequest {
    PageRequest { limit, cursor }
}

#[tokio::test]
async fn pages_lose_and_double_nothing_while_news_arrives() {
    let house = House::new().await;
    let mut known = HashSet::new();
    for n in 0..25 {
        known.insert(house.accept(request(&format!("k{n}"), &n.to_string())).await.delivery);
        house.clock.advance(Duration::from_millis(n % 2));
    }
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let part = house.store.deliveries(&DeliveryFilter::default(), &page(4, cursor)).await.unwrap();
        assert!(part.items.len() <= 4);
        seen.extend(part.items.into_iter().map(|delivery| delivery.id));
        house.clock.advance(Duration::from_millis(1));
        house.store.accept(house.delivery()).await.unwrap();
        cursor = part.next;
        let Some(next) = &cursor else { break };
        assert!(next.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)));
    }
    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted_by(|left, right| left > right), "newest first");
    assert_eq!(seen.into_iter().collect::<HashSet<_>>(), known);
    for cursor in ["!", "", "bm90IGFuIGlk", "____"] {
        let bad = Some(cursor.to_owned());
        let deliveries = house.store.deliveries(&DeliveryFilter::default(), &page(4, bad.clone())).await;
        assert!(matches!(deliveries, Err(StoreError::BadCursor)), "{cursor}");
        let runs = house.store.runs(&RunFilter::default(), &page(4, bad)).await;
        assert!(matches!(runs, Err(StoreError::BadCursor)), "{cursor}");
    }
}

#[tokio::test]
async fn jobs_are_filtered_counted_and_paged_over_several_states() {
    let house = House::new().await;
    let mut jobs = Vec::new();
    for n in 0..9 {
        house.clock.advance(Duration::from_millis(1));
        let rule = if n % 3 == 0 { "review" } else { "fix" };
        let ask = JobRequest { rule: rule.into(), subject: format!("s{n}"), ..request(&n.to_string(), &n.to_string()) };
        jobs.push(house.queued(ask).await);
    }
    house.bring(&jobs[1].id, JobState::Held, 0).await;
    house.bring(&jobs[4].id, JobState::Running, 1).await;
    house.bring(&jobs[5].id, JobState::Dead, 0).await;
    let filter = JobFilter { states: vec![JobState::Held, JobState::Running, JobState::Dead], ..JobFilter::default() };
    let first = house.store.jobs(&filter, &page(2, None)).await.unwrap();
    let second = house.store.jobs(&filter, &page(2, first.next.clone())).await.unwrap();
    let ids: Vec<_> = first.items.iter().chain(&second.items).map(|job| job.id.as_str()).collect();
    assert_eq!((ids, second.next), (vec![jobs[5].id.as_str(), &jobs[4].id, &jobs[1].id], None));
    let review = JobFilter { rule: Some("review".into()), ..JobFilter::default() };
    assert_eq!(house.store.jobs(&review, &page(9, None)).await.unwrap().items.len(), 3);
    let subject = JobFilter { subject: Some("s4".into()), ..JobFilter::default() };
    assert_eq!(house.store.jobs(&subject, &page(9, None)).await.unwrap().items[0].id, jobs[4].id);
    let runs = house.store.runs(&RunFilter { rule: Some("fix".into()), ..RunFilter::default() }, &page(9, None)).await;
    assert_eq!(runs.unwrap().items[0].job, jobs[4].id);

    let counts = house.store.counts().await.unwrap();
    assert_eq!(counts.len(), JobState::ALL.len());
    for (state, count) in counts {
        let expected = match state {
            JobState::Queued => 6,
            JobState::Held | JobState::Running | JobState::Dead => 1,
            _ => 0,
        };
        assert_eq!(count, expected, "{state}");
    }
    assert_eq!(house.store.oldest_waiting().await.unwrap().unwrap().id, jobs[0].id);
    let rules = house.store.rule_counts().await.unwrap();
    let rules: Vec<_> = rules.iter().map(|it| (it.rule.as_str(), it.jobs, it.last.unwrap())).collect();
    assert_eq!(rules, [("fix", 6, jobs[8].created_at), ("review", 3, jobs[6].created_at)]);
}

/// A page over several states is of one moment: a job that goes from one to the other is in it, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_moves_between_states_is_neither_missed_nor_listed_twice() {
    let house = House::new().await;
    let job = house.queued(request("moves", "1")).await;
    let (store, id) = (house.store.clone(), job.id.clone());
    let moving = tokio::spawn(async move {
        for _ in 0..150 {
            store.hold(&id, None, "held").await.unwrap();
            store.retry(&id).await.unwrap();
        }
    });
    let filter = JobFilter { states: vec![JobState::Queued, JobState::Held], ..JobFilter::default() };
    loop {
        let listed = house.store.jobs(&filter, &page(9, None)).await.unwrap();
        assert_eq!(listed.items.iter().map(|job| &job.id).collect::<Vec<_>>(), [&job.id]);
        if moving.is_finished() {
            break;
        }
    }
    moving.await.unwrap();
}

#[tokio::test]
async fn sweeping_forgets_what_is_old_and_unneeded() {
    let house = House::new().await;
    let retention = Retention { bodies: 14 * DAY, records: 90 * DAY, claims: 400 * DAY };
    let ended = house.accept(request("ended", "1")).await;
    house.bring(&ended.jobs[0], JobState::Succeeded, 1).await;
    let open = house.accept(JobRequest { subject: "other".into(), ..request("open", "2") }).await;
    // More than one transaction's worth.
    let wave: Vec<_> = (0..1100).map(|_| house.delivery()).collect();
    for delivery in wave {
        house.store.accept(delivery).await.unwrap();
    }
    house.clock.advance(14 * DAY);
    let kept = house.store.sweep(&retention).await.unwrap();
    assert_eq!((kept.bodies, kept.deliveries, kept.jobs, kept.claims), (0, 0, 0, 0));
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(house.store.sweep(&retention).await.unwrap().bodies, 1101);
    assert!(house.store.body(&ended.delivery).await.unwrap().is_none());
    assert!(house.store.joined(&open.jobs[0]).await.unwrap()[0].body.is_some(), "an open job needs it");
    assert!(house.store.joined(&ended.jobs[0]).await.unwrap()[0].body.is_none());

    house.clock.advance(76 * DAY);
    let swept = house.store.sweep(&retention).await.unwrap();
    assert_eq!((swept.deliveries, swept.jobs, swept.claims), (1101, 1, 0));
    assert_eq!(house.store.job(&ended.jobs[0]).await.unwrap(), None);
    assert_eq!(house.store.run(1).await.unwrap(), None);
    assert_eq!(house.store.prompt(&ended.jobs[0]).await.unwrap(), None);
    assert!(house.store.joined(&ended.jobs[0]).await.unwrap().is_empty());
    assert_eq!(house.store.job(&open.jobs[0]).await.unwrap().unwrap().state, JobState::Queued);
    assert!(house.store.delivery(&open.delivery).await.unwrap().is_some());

    house.clock.advance(310 * DAY);
    assert_eq!(house.store.sweep(&retention).await.unwrap().claims, 3, "two claims and an attempt");
    assert_eq!(house.store.sweep(&retention).await.unwrap(), Swept::default());
}

#[tokio::test]
async fn bodies_that_arrived_together_come_back_apart_and_stay_while_an_open_job_needs_one_of_them() {
    let house = House::new().await;
    let wave = house.wave(40).await;
    let comes_back = async |sent: &Acceptance| {
        let stored = house.store.body(&sent.id).await.unwrap().expect("it is kept");
        assert_eq!((&stored.body, &stored.headers), (&sent.body, &sent.headers));
    };
    for (sent, _) in &wave {
        comes_back(sent).await;
    }
    // One that is stored with another delivery stays open.
    let mut open = None;
    for (sent, job) in &wave {
        let probe = format!("UPDATE deliveries SET reason = reason WHERE id = '{}' AND pack IS NOT NULL", sent.id);
        if open.is_none() && house.database.alter(&probe).await == 1 {
            open = Some((sent, job));
        } else {
            house.store.cancel(job, "nobody wants it").await.unwrap();
        }
    }
    let (sent, job) = open.expect("some came together");
    let retention = Retention { bodies: 14 * DAY, records: 90 * DAY, claims: 400 * DAY };
    house.clock.advance(15 * DAY);
    let mut gone = house.store.sweep(&retention).await.unwrap().bodies;
    assert!((2..39).contains(&gone), "{gone} rows for 39 bodies");
    for days in [0, 80] {
        house.clock.advance(days * DAY);
        gone += house.store.sweep(&retention).await.unwrap().bodies;
        comes_back(sent).await;
        assert_eq!(house.store.joined(job).await.unwrap()[0].body.as_ref(), Some(&sent.body));
    }
    house.store.cancel(job, "nobody wants it").await.unwrap();
    assert_eq!(house.store.sweep(&retention).await.unwrap().bodies, 1);
    assert!(gone < 39 && house.store.body(&sent.id).await.unwrap().is_none());
}

#[tokio::test]
async fn old_checks_are_forgotten_and_young_ones_are_not() {
    let house = House::new().await;
    let told = async |from: usize| {
        let mut delivery = house.delivery();
        let named = |n: usize| Check { name: format!("check {n:04}"), outcome: "failure".into(), ..Check::default() };
        let check = |n| CheckUpdate { host: "h".into(), repo: "r".into(), sha: format!("{}", n % 7), check: named(n) };
        delivery.checks = (from..1200).map(check).collect();
        house.store.accept(delivery).await.unwrap();
    };
    let retention = Retention { bodies: 14 * DAY, records: 90 * DAY, claims: 400 * DAY };
    told(0).await;
    house.clock.advance(60 * DAY);
    told(1100).await;
    house.clock.advance(31 * DAY);
    // More than one transaction's worth.
    assert_eq!(house.store.sweep(&retention).await.unwrap().others, 1100);
    house.clock.advance(60 * DAY);
    assert_eq!(house.store.sweep(&retention).await.unwrap().others, 100);
}

#[tokio::test]
async fn one_sweep_forgets_all_ended_jobs() {
    let house = House::new().await;
    let ask = |n: u32| JobRequest { subject: format!("s{n}"), ..request(&n.to_string(), &n.to_string()) };
    let asked: Vec<_> = (0..700).map(ask).collect();
    let accepted = house.store.accept(house.asking(asked)).await.unwrap();
    assert_eq!(accepted.jobs.len(), 700);
    for job in &accepted.jobs {
        house.store.cancel(job, "nobody wants it").await.unwrap();
    }
    house.clock.advance(91 * DAY);
    let retention = Retention { bodies: 14 * DAY, records: 90 * DAY, claims: 400 * DAY };
    assert_eq!(house.store.sweep(&retention).await.unwrap().jobs, 700);
    assert!(house.store.counts().await.unwrap().iter().all(|(_, count)| *count == 0));
}

#[tokio::test]
async fn repositories_are_replaced_and_found_in_any_case() {
    let house = House::new().await;
    assert_eq!(house.store.repos_saved_at().await.unwrap(), None);
    house.store.save_repos(&[("Acme/Widgets".into(), 3), ("acme/old".into(), 4)]).await.unwrap();
    house.store.save_repos(&[("Acme/Widgets".into(), 5)]).await.unwrap();
    assert_eq!(house.store.repo_id("acme/WIDGETS").await.unwrap(), Some(5));
    assert_eq!(house.store.repo_id("acme/old").await.unwrap(), None);
    assert!(house.store.repos_saved_at().await.unwrap().is_some());
}
