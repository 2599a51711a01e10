//! The loops by themselves, under the real clock.

use std::sync::Arc;
use std::time::Duration;

use hookrun::lifecycle::{Ending, Lifecycle};
use hookrun::model::clock::{Clock, SystemClock};
use hookrun::model::job::JobState;
use hookrun::sandbox::{SandboxConfig, Speed};

use crate::database::on_postgres;
use crate::support::install_tls;

use super::bench::{Setting, accept, config, open_store, sandbox, worker};

/// When nobody was woken for so long, nobody does anything.
const QUIET: Duration = Duration::from_millis(300);
/// Half of the time after which the release looks by itself, where nobody shares the database.
const LOOK: Duration = Duration::from_secs(30);

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

    // The first may meet the release at its first look. The second is accepted while every loop sleeps, as far as it can be
    // seen from here, so that the release must be woken by it.
    for (runs, sha) in [(1, "a"), (2, "b")] {
        while tokio::time::timeout(QUIET, store.woken()).await.is_ok() {}
        let job = accept(&store, clock.now(), ("github", "acme/widgets"), sha, &sha.repeat(40), false).await;
        let job = loop {
            let job = store.job(&job).await.unwrap().unwrap();
            if job.state == JobState::Succeeded {
                break job;
            }
            tokio::task::yield_now().await;
        };
        let waited = job.submitted_at.unwrap().since(job.created_at);
        assert!(on_postgres() || waited < LOOK, "the release found it by a look of its own: after {waited:?}");
        assert_eq!(sandbox.runs().len(), runs);
    }
    assert_eq!(life.stop(Duration::from_mins(5)).await, Ending::Clean);
}
