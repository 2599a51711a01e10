//! Stopping: softly, hard, by a crash, and what is said meanwhile.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookrun::lifecycle::{Ending, Lifecycle};

const GRACE: Duration = Duration::from_secs(12);

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn lines(&self) -> Vec<String> {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap().lines().map(str::to_owned).collect()
    }

    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .without_time()
            .with_ansi(false)
            .with_target(false)
            .with_writer(move || to.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_that_end_when_asked_end_cleanly() {
    let life = Lifecycle::new();
    let soft = life.soft();
    life.spawn("worker", async move { soft.cancelled().await });
    assert_eq!(life.stop(GRACE).await, Ending::Clean);
    assert!(life.hard().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn a_task_that_ends_early_stops_everything() {
    let (log, _guard) = Log::start();
    let life = Lifecycle::new();
    let soft = life.soft();
    life.spawn("worker", async move { soft.cancelled().await });
    life.spawn("listener", async {});
    life.soft().cancelled().await;
    assert_eq!(life.stop(GRACE).await, Ending::Crashed);
    assert_eq!(log.lines(), ["ERROR a task ended early: it likely crashed; stopping task=\"listener\""]);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_stops_everything() {
    let life = Lifecycle::new();
    life.spawn("worker", async { panic!("planted") });
    life.soft().cancelled().await;
    assert_eq!(life.stop(GRACE).await, Ending::Crashed);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_named_and_dropped() {
    let (log, _guard) = Log::start();
    let life = Lifecycle::new();
    let held = Arc::new(());
    let holder = Arc::clone(&held);
    life.spawn("stuck", async move {
        std::future::pending::<()>().await;
        drop(holder);
    });
    life.spawn("also stuck", std::future::pending());
    assert_eq!(life.stop(GRACE).await, Ending::Killed);
    assert_eq!(
        log.lines(),
        [
            " INFO waiting for tasks to end tasks=\"stuck, also stuck\" seconds_left=7",
            " INFO waiting for tasks to end tasks=\"stuck, also stuck\" seconds_left=2",
            " WARN dropping tasks that have not ended tasks=\"stuck, also stuck\"",
        ]
    );
    assert_eq!(Arc::strong_count(&held), 1, "the dropped task still holds its values");
}

#[tokio::test(start_paused = true)]
async fn the_second_request_does_not_wait() {
    let life = Lifecycle::new();
    life.spawn("stuck", std::future::pending());
    life.ask_to_stop();
    assert!(life.soft().is_cancelled() && !life.hard().is_cancelled());
    life.ask_to_stop();
    let ended = tokio::time::timeout(Duration::from_secs(2), life.stop(GRACE)).await;
    assert_eq!(ended, Ok(Ending::Killed));
}

#[tokio::test(start_paused = true)]
async fn what_was_cut_off_is_not_clean_though_it_is_gone_already() {
    // Which of two things that are both over is looked at first is left to chance.
    for _ in 0..50 {
        let life = Lifecycle::new();
        let alive = Arc::new(());
        let held = Arc::clone(&alive);
        life.spawn("stuck", async move {
            std::future::pending::<()>().await;
            drop(held);
        });
        life.ask_to_stop();
        life.ask_to_stop();
        while Arc::strong_count(&alive) > 1 {
            tokio::task::yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(life.stop(GRACE).await, Ending::Killed);
    }
}

#[tokio::test]
async fn a_hang_up_asks_for_a_look_and_stops_nothing() {
    let life = Lifecycle::new();
    life.watch_hang_ups().unwrap();
    let sent = std::process::Command::new("kill").args(["-HUP", &std::process::id().to_string()]).status();
    assert!(sent.unwrap().success());
    life.hung_up().await;
    assert!(!life.soft().is_cancelled());
}
