//! Somebody else uses the token: 429s that our counting could not foresee, and what we make of them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hookrun::model::gate::WindowUse;
use hookrun::model::limits::{CallClass, ClassLimits};
use hookrun::store::{CallId, Slot, Store};

use super::world::{Dice, SetClock, open, seed};
use crate::database::Database;

const MINUTE: u64 = 60_000;
const WINDOW: Duration = Duration::from_mins(1);

async fn create(store: &Store) -> WindowUse {
    store.windows().await.unwrap()[0]
}

async fn take(store: &Store) -> CallId {
    match store.take_slots(CallClass::Create.charged(), "job").await.unwrap() {
        Slot::Taken(id) => id,
        full @ Slot::Full { .. } => panic!("{full:?}"),
    }
}

#[tokio::test]
async fn a_429_takes_slots_once_for_all_calls_of_a_burst_and_is_remembered() {
    let (clock, database) = (SetClock::new(false), Database::new().await);
    let store = open(&database, ClassLimits::default(), clock.clone()).await;
    let mut calls = Vec::new();
    for _ in 0..10 {
        calls.push(take(&store).await);
    }
    clock.go_to(500);
    let mut told = Vec::new();
    for call in &calls[7..] {
        told.push(store.limited(call, CallClass::Create, WINDOW, "429").await.unwrap());
        store.end_call(call).await.unwrap();
    }
    assert_eq!(told, [Some(9), None, None]);
    let window = create(&store).await;
    assert_eq!((window.limit, window.setting, window.shrunk_at.map(|at| clock.time_of(at))), (9, 10, Some(500)));
    assert_eq!(store.windows().await.unwrap()[1].limit, 60, "the class of the call and no other");

    store.close().await.unwrap();
    drop(store);
    let store = open(&database, ClassLimits::default(), clock.clone()).await;
    assert_eq!(create(&store).await.limit, 9);
    // One window of silence that it asked for, and one that is quiet.
    clock.go_to(500 + 2 * MINUTE - 1);
    assert_eq!(create(&store).await.limit, 9);
    clock.go_to(500 + 2 * MINUTE);
    let window = create(&store).await;
    assert_eq!((window.limit, window.shrunk_at), (10, None));
}

#[tokio::test]
async fn one_slot_is_always_left() {
    let (clock, database) = (SetClock::new(false), Database::new().await);
    let store = open(&database, ClassLimits::default(), clock.clone()).await;
    let mut left = Vec::new();
    for round in 1..8 {
        clock.go_to(round * MINUTE + round);
        let call = take(&store).await;
        left.push(store.limited(&call, CallClass::Create, Duration::ZERO, "429").await.unwrap().unwrap());
        store.end_call(&call).await.unwrap();
    }
    assert!(left.iter().all(|slots| *slots >= 1), "{left:?}");
    assert_eq!(*left.last().unwrap(), 1, "{left:?}");
}

/// What comes of hours with always something to send, while somebody else takes so many of ten creates a minute whatever we
/// do.
struct Shared {
    /// Of ours, by the hour.
    let_through: Vec<usize>,
    refused: Vec<usize>,
    store: Store,
    clock: Arc<SetClock>,
    database: Database,
}

async fn share(others: usize, hours: u64, seed: u64) -> Shared {
    let (clock, database, mut dice) = (SetClock::new(false), Database::new().await, Dice(seed));
    let store = open(&database, ClassLimits::default(), clock.clone()).await;
    let mut arrived: VecDeque<u64> = VecDeque::new();
    // When there is an answer, by the number of the call, or a look for a slot.
    let mut events = BinaryHeap::from([Reverse((0, None))]);
    let mut looks = BTreeSet::new();
    let mut sent: Vec<(CallId, bool)> = Vec::new();
    let (mut let_through, mut refused) = (vec![0; hours as usize], vec![0; hours as usize]);
    while let Some(Reverse((now, answer))) = events.pop().filter(|Reverse((now, _))| *now < hours * 60 * MINUTE) {
        clock.go_to(now);
        if let Some(call) = answer {
            let (id, was_let): &(CallId, bool) = &sent[call];
            if !was_let {
                store.limited(id, CallClass::Create, WINDOW, "429").await.unwrap();
            }
            store.end_call(id).await.unwrap();
        }
        let until = loop {
            match store.take_slots(CallClass::Create.charged(), "job").await.unwrap() {
                Slot::Full { until, .. } => break until,
                Slot::Taken(id) => {
                    while arrived.front().is_some_and(|at| at + MINUTE <= now) {
                        arrived.pop_front();
                    }
                    let was_let = arrived.len() < 10 - others;
                    if was_let {
                        arrived.push_back(now);
                    }
                    let of_hour = if was_let { &mut let_through } else { &mut refused };
                    of_hour[(now / MINUTE / 60) as usize] += 1;
                    events.push(Reverse((now + dice.between(10, 2_000), Some(sent.len()))));
                    sent.push((id, was_let));
                }
            }
        };
        if let Some(until) = until.map(|at| clock.time_of(at)).filter(|at| looks.insert(*at)) {
            events.push(Reverse((until, None)));
        }
    }
    Shared { let_through, refused, store, clock, database }
}

#[tokio::test]
async fn what_others_leave_is_used_with_few_429s_and_comes_back_when_they_are_gone() {
    let seed = seed(7);
    println!("HOOKRUN_TEST_SEED={seed}");
    for others in [3, 7] {
        let Shared { let_through, refused, store, clock, database } = share(others, 4, seed).await;
        println!("{others} others: let through {let_through:?}, refused {refused:?}");
        let ours = (10 - others) * 60;
        for (hour, (through, refused)) in let_through.iter().zip(&refused).enumerate().skip(1) {
            assert!(through * 100 >= ours * 75, "seed {seed}, {others} others, hour {hour}: {through} of {ours}");
            assert!(
                refused * 20 <= *through,
                "seed {seed}, {others} others, hour {hour}: {refused} of {through} refused"
            );
        }
        assert!(create(&store).await.limit < 10);
        // They are gone; the slowest that all can come back is ten steps of sixteen windows.
        clock.go_to(clock.time() + 161 * MINUTE);
        assert_eq!(create(&store).await.limit, 10);
        drop(database);
    }
}

#[tokio::test]
async fn alone_nothing_is_ever_taken() {
    let Shared { let_through, refused, store, database: _database, .. } = share(0, 1, seed(8)).await;
    assert_eq!((refused[0], create(&store).await.shrunk_at), (0, None));
    assert!(let_through[0] >= 570, "{let_through:?}");
}
