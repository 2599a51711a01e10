//! A disk that fills up: what cannot be kept is refused, and when there is room again it goes on without a restart.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::send;
use crate::house::{Database, House, Service};
use crate::wait::until;

/// The command that stands before another one and gives it a file system of its own, prepared by this script.
pub(crate) fn in_own_namespace(script: &str) -> Vec<String> {
    let root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let flags = if root { "-m" } else { "-rm" };
    let works = std::process::Command::new("unshare").args([flags, "true"]).status();
    assert!(
        works.is_ok_and(|status| status.success()),
        "a mount namespace is needed to play a full disk: run as root, or allow user namespaces (unshare -rm)"
    );
    ["unshare", flags, "sh", "-c", &format!("{script} && exec \"$@\""), "sh"].iter().map(ToString::to_string).collect()
}

/// A folder as the process sees it.
fn as_seen_by(process: u32, folder: &Path) -> PathBuf {
    PathBuf::from(format!("/proc/{process}/root{}", folder.display()))
}

/// Takes all the room that is left.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for size in [64 * 1024, 4096, 512, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
    path
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_webhooks_and_goes_on_when_there_is_room() {
    let service = Service::start().await;
    let house = House::on(|folder| Database::sqlite(&folder.join("disk")), &service.address);
    let disk = house.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let behind = in_own_namespace("mount -t tmpfs -o size=4m tmpfs disk");
    let daemon = house.serve_behind(&behind.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let mut answers = vec![daemon.take(Cause(0)).await];

    let filler = fill(&as_seen_by(daemon.process.id(), &disk));
    let mut refused = Vec::new();
    // What room the log had before is used first.
    for cause in (1..400).map(Cause) {
        let answer = send(&daemon.http, &daemon.webhooks, cause).await.expect("an answer");
        if !answer.acknowledged() {
            assert_eq!(answer.status, 503, "{answer:?}");
            refused.push(cause);
        }
        answers.push(answer);
        if refused.len() == 5 {
            break;
        }
    }
    assert_eq!(refused.len(), 5, "the disk was never full");
    assert!(daemon.logged().contains("full"), "{}", daemon.logged());
    until("that it says that it is not ready", async || {
        let answer = send(&daemon.http, &daemon.webhooks, refused[0]).await?;
        (answer.status == 503 && daemon.readiness().await.0 == 503).then_some(())
    })
    .await;

    std::fs::remove_file(filler).unwrap();
    until("readiness", async || (daemon.readiness().await.0 == 200).then_some(())).await;
    for cause in refused {
        let again =
            async || send(&daemon.http, &daemon.webhooks, cause).await.filter(crate::daemon::Answer::acknowledged);
        answers.push(until("an acknowledgement", again).await);
    }
    audit(&daemon, &service, &answers).await;
}
