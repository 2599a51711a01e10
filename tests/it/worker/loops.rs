//! The loops by themselves, under the real clock.

use std::sync::Arc;
use std::time::Duration;

use hookrun::lifecycle::{Ending, Lifecycle};
use hookrun::model::clock::{Clock, SystemClock};
use hookrun::model::job::JobState;
use hookrun::sandbox::{SandboxConfig, Speed};

use crate::support::install_tls;

use super::bench::{Setting, accept, config, open_store, sandbox, worker};

#[tokio::test]
async fn a_job_goes_all_the_way_by_itself_and_the_loops_end_when_told() {
    install_tls();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let speed = Speed::new(100.0).unwrap();
    let (sandbox, address) = sandbox(SandboxConfig { speed, ..config() }, clock.clone()).await;
    let database = crate::database::Database::new().await;
    let setting = Setting::default();
    let store = open_store(&database, setting.limits, clock.clone()).await;
    let life = Lifecycle::new();
    worker(&setting, address, &store, clock.clone(), Duration::from_millis(50), &life.soft()).spawn(&life);

    // Accepted while every loop sleeps: the release must be woken by it.
    let job = accept(&store, clock.now(), ("github", "acme/widgets"), "main", &"a".repeat(40), false).await;
    while store.job(&job).await.unwrap().unwrap().state != JobState::Succeeded {
        tokio::task::yield_now().await;
    }
    assert_eq!(sandbox.runs().len(), 1);
    assert_eq!(life.stop(Duration::from_mins(5)).await, Ending::Clean);
}
