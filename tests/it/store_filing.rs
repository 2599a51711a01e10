//! Deliveries are filed for looking them up after they were taken; whether they are yet makes no difference to who asks.

use std::collections::BTreeSet;
use std::time::Duration;

use hookrun::model::limits::ClassLimits;
use hookrun::store::{DeliveryFilter, PageRequest, Sought};

use super::database::{Database, on_postgres};
use super::store_support::{House, SUBJECT};
use super::support::{ManualClock, until};

const REPO: &str = "acme/widgets";

/// What every way of looking finds, oldest first; the ways must agree.
async fn found(house: &House) -> Vec<String> {
    let of = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<BTreeSet<_>>();
    let ways = [
        Sought { subjects: of(&[SUBJECT]), ..Sought::default() },
        Sought { shas: of(&["a1b2"]), ..Sought::default() },
        Sought { objects: of(&["github.com/check_run/17"]), ..Sought::default() },
    ];
    let mut answers = Vec::new();
    for way in ways {
        let story = house.store.story(&way).await.unwrap();
        answers.push(story.deliveries.into_iter().map(|delivery| delivery.id).collect::<Vec<_>>());
    }
    let filters = [
        DeliveryFilter { repo: Some(REPO.to_owned()), ..DeliveryFilter::default() },
        DeliveryFilter { subject: Some(SUBJECT.to_owned()), ..DeliveryFilter::default() },
    ];
    for filter in filters {
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = house.store.deliveries(&filter, &PageRequest { limit: 2, cursor }).await.unwrap();
            seen.extend(page.items.into_iter().map(|delivery| delivery.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        seen.reverse();
        answers.push(seen);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:#?}");
    let last = house.store.last_of_repo(REPO).await.unwrap().map(|delivery| delivery.id);
    assert_eq!(last.as_ref(), answers[0].last());
    answers.remove(0)
}

async fn take(house: &House) -> String {
    house.clock.advance(Duration::from_millis(1));
    let mut delivery = house.delivery();
    delivery.events[0].sha = Some("a1b2c3".to_owned());
    "github.com/check_run/17/2026-01-15T10:03:12Z".clone_into(&mut delivery.events[0].happening);
    house.store.accept(delivery).await.unwrap().delivery
}

#[tokio::test]
async fn what_is_not_filed_yet_is_found_like_the_rest() {
    let house = House::new().await;
    let mut taken = Vec::new();
    for _ in 0..3 {
        taken.push(take(&house).await);
        assert_eq!(found(&house).await, taken);
    }
    if !on_postgres() {
        until("a quiet moment, in which everything is filed", async || (unfiled(&house) == 0).then_some(())).await;
    }
    assert_eq!(found(&house).await, taken);
    for _ in 0..2 {
        taken.push(take(&house).await);
        assert_eq!(found(&house).await, taken, "on both shelves");
    }
    // A process before this one may have left some.
    let house = house.killed().await;
    assert_eq!(found(&house).await, taken);
    if !on_postgres() {
        until("what was left is filed", async || (unfiled(&house) == 0).then_some(())).await;
    }
    assert_eq!(found(&house).await, taken);
}

fn unfiled(house: &House) -> i64 {
    let conn = rusqlite::Connection::open(house.database.file()).unwrap();
    conn.busy_timeout(Duration::from_secs(5)).unwrap();
    conn.query_row("SELECT COUNT(*) FROM deliveries WHERE unfiled = 1", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn an_underscore_in_the_key_of_a_ticket_stands_for_itself() {
    let house = House::new().await;
    for key in ["A_B-1", "AXB-1"] {
        let mut delivery = house.delivery();
        delivery.events[0].repo = None;
        delivery.events[0].project = Some("A_B".to_owned());
        delivery.events[0].subject.key = format!("acme.atlassian.net/{key}");
        house.clock.advance(Duration::from_millis(1));
        house.store.accept(delivery).await.unwrap();
    }
    let called = house.store.subjects_called("A_B-1").await.unwrap();
    assert_eq!(called.into_iter().collect::<Vec<_>>(), ["acme.atlassian.net/A_B-1"]);
}

/// Nothing but commits made later would fold it otherwise, and each of them would wait for that.
#[tokio::test]
async fn the_log_is_folded_into_the_file_while_it_is_open() {
    let database = Database::sqlite();
    let clock = ManualClock::new();
    let store = database.open(ClassLimits::default(), clock).await.unwrap();
    until("the file to hold what only its log held", async || {
        let size = std::fs::metadata(database.file()).unwrap().len();
        (size > 200_000).then_some(())
    })
    .await;
    store.close().await.unwrap();
    assert!(!std::path::Path::new(&format!("{}-wal", database.file().display())).exists());
}
