//! A clock that was set back or forward by an hour while the daemon was down.

use std::path::PathBuf;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, Daemon};
use crate::house::{House, Service};
use crate::proxy::{CREATE, Play, Proxy};

/// The library that shifts the clock of a process.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap().map(|entry| entry.unwrap().path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.exists());
    found.expect("libfaketime is missing: install it (Debian: apt-get install faketime)")
}

async fn serve_at(house: &House, shift: &str) -> Daemon {
    let preload = format!("LD_PRELOAD={}", library().display());
    let shift = format!("FAKETIME={shift}");
    house.serve_behind(&["env", &preload, &shift, "FAKETIME_DONT_FAKE_MONOTONIC=1"]).await
}

/// One house: a job that is uncertain before the clock moves, one after, one that just goes through.
async fn moved(before: &'static str, after: &'static str, crowd: usize) {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut daemon = serve_at(&house, before).await;
    let mut answers: Vec<Answer> = Vec::new();
    let mut unanswered = proxy.plan(CREATE, Cause(0).sha(), Play::CutAnswer(0));
    answers.push(daemon.take(Cause(0)).await);
    unanswered.length().await;
    let mut killed = proxy.plan(CREATE, Cause(1).sha(), Play::CutRequest(usize::MAX));
    answers.push(daemon.take(Cause(1)).await);
    killed.length().await;
    daemon.process.kill().await;

    let daemon = serve_at(&house, after).await;
    let mut unanswered = proxy.plan(CREATE, Cause(2).sha(), Play::CutAnswer(0));
    for cause in (2..5).map(Cause) {
        answers.push(daemon.take(cause).await);
    }
    unanswered.length().await;
    // Other people's runs stand between ours and the top of the list.
    for _ in 0..crowd {
        service.foreign_run(serde_json::json!({"theirs": true})).await;
    }
    audit(&daemon, &service, &answers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hour_back_or_forward_loses_nothing_and_doubles_nothing() {
    tokio::join!(moved("+0", "-1h", 0), moved("+0", "+1h", 0), moved("+1h", "+0", 130), moved("-1h", "+1h", 130));
}
