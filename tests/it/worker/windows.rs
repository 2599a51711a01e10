//! The windows: never more than they allow, and nothing left idle.

use std::time::Duration;

use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::job::JobState;
use hookrun::model::limits::{ClassLimits, RateLimit};
use hookrun::model::policy::Action;
use hookrun::sandbox::Call;

use super::bench::{Bench, Setting};
use crate::support::START;

/// Lets the worker live for `span`: every tick whenever it wants to come again.
async fn live(bench: &Bench, span: Duration) {
    let end = bench.clock.now().plus(span);
    while bench.clock.now() < end {
        let mut again = vec![bench.worker.repos_tick().await.unwrap()];
        again.push(bench.worker.follow_tick().await.unwrap());
        again.push(bench.release().await);
        again.push(bench.worker.reconcile_tick().await.unwrap());
        // What was just released is to be followed.
        again.push(bench.worker.follow_tick().await.unwrap());
        let next = again.into_iter().flatten().min().unwrap_or(end).min(end);
        assert!(next > bench.clock.now(), "a tick wants to come again at once");
        bench.clock.advance(next.since(bench.clock.now()));
    }
}

fn arrivals(bench: &Bench, call: Call) -> Vec<Timestamp> {
    bench.calls(call).iter().map(|record| record.arrived_at).collect()
}

#[tokio::test]
async fn ten_minutes_with_sixty_jobs_pass_without_a_429_and_without_an_idle_slot() {
    let bench = Bench::new().await;
    let jobs = bench.jobs(60).await;
    live(&bench, Duration::from_mins(10)).await;
    assert!(bench.sandbox.calls().iter().all(|call| call.status == Some(200)), "{:?}", bench.sandbox.calls());
    let ideal: Vec<Timestamp> = (0..60).map(|n| START.plus(Duration::from_mins(n / 10))).collect();
    assert_eq!(arrivals(&bench, Call::Create), ideal);
    for job in &jobs {
        assert_eq!(bench.state(job).await, JobState::Succeeded);
        assert_eq!(bench.runs_of(job).len(), 1);
    }
}

#[tokio::test]
async fn reading_never_starves_releases_where_the_standard_window_is_small() {
    let limits = ClassLimits { standard: RateLimit::new(6, 30), ..ClassLimits::default() };
    let bench = Bench::with(Setting { limits, enforced: Some(limits), ..Setting::default() }).await;
    // Every job is charged to both windows by us: three creates in 30 s go through whatever is read.
    bench.jobs(20).await;
    live(&bench, Duration::from_mins(5)).await;
    assert!(bench.sandbox.calls().iter().all(|call| call.status == Some(200)));
    let creates = arrivals(&bench, Call::Create);
    assert_eq!(creates.len(), 20);
    let last = creates.last().unwrap().since(START);
    assert!(last <= Duration::from_mins(3), "the last create came after {last:?}");
}

/// Runs that have ended before anybody can look: only their traces tell that they were told something.
const QUICK: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "Fix it.\nsandbox: life=0ms"
then = ["resume", "start"]
"#;

#[tokio::test]
async fn creates_resumes_and_traces_together_pass_without_a_429() {
    let limits = ClassLimits { logs: RateLimit::new(3, 60), ..ClassLimits::default() };
    let bench = Bench::with(Setting { limits, enforced: Some(limits), rules: QUICK, ..Setting::default() }).await;
    let first = bench.jobs(10).await;
    live(&bench, Duration::from_secs(30)).await;
    let mut jobs = Vec::new();
    for job in &first {
        let run = bench.find(job).await.run.unwrap().id;
        let follow_up = bench.job().await;
        bench.turn(&follow_up, Action::Run, Some(run)).await;
        jobs.push(follow_up);
    }
    jobs.extend(bench.jobs(10).await);
    live(&bench, Duration::from_mins(10)).await;
    assert!(bench.sandbox.calls().iter().all(|call| call.status == Some(200)), "{:?}", bench.sandbox.calls());
    for job in &jobs {
        assert_eq!(bench.state(job).await, JobState::Succeeded);
    }
    assert_eq!((bench.calls(Call::Create).len(), bench.calls(Call::Resume).len()), (20, 10));
    // A resume counts as a create, as far as we are concerned: ten in a minute, whatever they are.
    let mut begun = arrivals(&bench, Call::Create);
    begun.extend(arrivals(&bench, Call::Resume));
    begun.sort();
    assert_eq!(begun, (0..30).map(|n| START.plus(Duration::from_mins(n / 10))).collect::<Vec<_>>());
    assert_eq!(bench.calls(Call::Logs).len(), 10, "one trace for each that was quick, three in a minute");
}

#[tokio::test]
async fn slots_are_remembered_over_a_restart() {
    let bench = Bench::new().await;
    bench.jobs(15).await;
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 10);
    bench.advance(20);
    let bench = bench.restart().await;
    assert_eq!(bench.release().await, Some(START.plus(Duration::from_mins(1))));
    assert_eq!(bench.calls(Call::Create).len(), 10);
    bench.advance(40);
    bench.release().await;
    assert_eq!(bench.calls(Call::Create).len(), 15);
}
