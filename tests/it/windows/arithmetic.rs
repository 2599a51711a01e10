//! The arithmetic of windows, held against a list of calls: whatever begins, ends and passes in whatever order.

use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::store::{CallId, Slot};
use proptest::prelude::*;

use super::world::{SetClock, open};
use crate::database::Database;

/// A step of a schedule.
#[derive(Clone, Debug)]
enum Step {
    Take(bool),
    End(prop::sample::Index),
    Pass(u64),
    /// As long as the store says.
    Wait,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => any::<bool>().prop_map(Step::Take),
        5 => any::<prop::sample::Index>().prop_map(Step::End),
        4 => (0_u64..2_500).prop_map(Step::Pass),
        2 => Just(Step::Wait),
        1 => Just(Step::Restart),
    ]
}

/// A call as the list knows it: the windows that it is charged to, the wide one first, and when it ended in each of them.
struct Known {
    id: Option<CallId>,
    windows: usize,
    began: u64,
    ended: [Option<u64>; 2],
}

/// The first time from `now` on at which a window has room, when nothing more happens; `None` when calls under way must end.
fn room(calls: &[Known], window: usize, (count, per): (usize, u64), now: u64) -> Option<u64> {
    let ends = || calls.iter().filter(|call| call.windows > window).map(|call| call.ended[window]);
    let open = ends().filter(Option::is_none).count();
    let mut free_at: Vec<u64> = ends().flatten().map(|at| at + per).filter(|at| *at > now).collect();
    free_at.sort_unstable();
    if open + free_at.len() < count {
        return Some(now);
    }
    free_at.get(open + free_at.len() - count).copied()
}

/// The most calls that can have arrived in one window, wherever each arrived between its begin and its end.
fn most(calls: &[Known], window: usize, per: u64, now: u64) -> usize {
    let spans = || {
        let charged = calls.iter().filter(|call| call.windows > window);
        charged.map(|call| (call.began, call.ended[window].unwrap_or(now)))
    };
    // Of all windows one that begins where some call ends holds the most.
    let counts = spans().map(|(_, begin)| spans().filter(|(began, end)| *began < begin + per && *end >= begin).count());
    counts.max().unwrap_or(0)
}

async fn play(steps: Vec<Step>, narrow: (u32, u64), wide: (u32, u64)) -> Result<(), TestCaseError> {
    let limits = ClassLimits {
        create: RateLimit::new(narrow.0, narrow.1),
        standard: RateLimit::new(wide.0, wide.1),
        ..ClassLimits::default()
    };
    let windows = [(wide.0 as usize, wide.1 * 1000), (narrow.0 as usize, narrow.1 * 1000)];
    let (clock, database) = (SetClock::new(false), Database::new().await);
    let mut store = open(&database, limits, clock.clone()).await;
    let mut calls: Vec<Known> = Vec::new();
    let mut until = None;
    for step in steps {
        let now = clock.time();
        match step {
            Step::Pass(millis) => clock.go_to(now + millis),
            Step::Wait => clock.go_to(until.take().unwrap_or(now).max(now)),
            Step::End(which) => {
                let mut open: Vec<_> = calls.iter_mut().filter(|call| call.ended[0].is_none()).collect();
                if !open.is_empty() {
                    let which = which.index(open.len());
                    let call = open.swap_remove(which);
                    call.ended = [Some(now); 2];
                    store.end_call(call.id.as_ref().unwrap()).await.unwrap();
                }
            }
            Step::Restart => {
                store.close().await.unwrap();
                drop(store);
                store = open(&database, limits, clock.clone()).await;
                // What was under way may arrive until its caller would have given up, but for no longer than a window.
                for call in calls.iter_mut().filter(|call| call.ended[0].is_none()) {
                    call.ended = windows.map(|(_, per)| Some((call.began + per).max(now)));
                }
            }
            Step::Take(is_narrow) => {
                let class = if is_narrow { CallClass::Create } else { CallClass::Standard };
                let charged = class.charged().len();
                let rooms: Vec<_> = (0..charged).map(|window| room(&calls, window, windows[window], now)).collect();
                let wanted = rooms.into_iter().collect::<Option<Vec<_>>>().and_then(|rooms| rooms.into_iter().max());
                match store.take_slots(class.charged(), "test").await.unwrap() {
                    Slot::Taken(id) => {
                        prop_assert_eq!(wanted, Some(now), "taken though a window is full");
                        calls.push(Known { id: Some(id), windows: charged, began: now, ended: [None; 2] });
                        for (window, (count, per)) in windows.into_iter().enumerate() {
                            prop_assert!(most(&calls, window, per, now) <= count, "too many in window {}", window);
                        }
                    }
                    Slot::Full { until: told, .. } => {
                        until = told.map(|at| clock.time_of(at));
                        // A call that was cut off by a restart may end later than is told, never earlier.
                        let cut_off = calls.iter().flat_map(|call| call.ended).flatten().any(|end| end > now);
                        if cut_off {
                            prop_assert!(wanted != Some(now) && (wanted.is_none() || until <= wanted));
                        } else {
                            prop_assert_eq!(until, wanted, "told at {}", now);
                        }
                    }
                }
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_slot_is_free_when_the_list_says_so_and_never_before(
        steps in prop::collection::vec(step(), 1..60), narrow in (1_u32..4, 1_u64..4), wide in (1_u32..6, 1_u64..4)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(play(steps, narrow, wide))?;
    }
}

/// What the list itself says, looked at once.
#[test]
fn the_list_knows_when_a_slot_is_free() {
    let call = |windows, began, ended| Known { id: None, windows, began, ended: [ended; 2] };
    let calls = [call(2, 0, Some(500)), call(1, 100, Some(900)), call(2, 200, None)];
    assert_eq!(room(&calls, 1, (2, 1000), 900), Some(1500));
    assert_eq!(room(&calls, 1, (1, 1000), 900), None);
    assert_eq!(room(&calls, 0, (3, 1000), 900), Some(1500));
    assert_eq!(room(&calls, 0, (2, 1000), 900), Some(1900));
    assert_eq!(room(&calls, 0, (4, 1000), 900), Some(900));
    assert_eq!(most(&calls, 0, 1000, 900), 3);
    let apart = [call(1, 0, Some(100)), call(1, 300, Some(400))];
    assert_eq!((most(&apart, 0, 200, 900), most(&apart, 0, 201, 900)), (1, 2));
}
