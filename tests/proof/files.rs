//! A database file that somebody else has locked, that cannot be written, or that holds something else.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use crate::audit::{audit, quiet};
use crate::cause::Cause;
use crate::daemon::{Answer, send};
use crate::disk::in_own_namespace;
use crate::house::{Database, House, Service};
use crate::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_database_refuses_webhooks_until_the_lock_is_gone() {
    let service = Service::start().await;
    let house = House::on(Database::sqlite, &service.address);
    let daemon = house.serve().await;
    let mut answers = vec![daemon.take(Cause(0)).await];

    let other = rusqlite::Connection::open(house.path().join("hookrun.db")).unwrap();
    other.busy_timeout(std::time::Duration::from_secs(30)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = send(&daemon.http, &daemon.webhooks, Cause(1)).await.expect("an answer");
    assert_eq!(refused.status, 503, "{refused:?}");
    answers.push(refused);
    let log = daemon.logged();
    assert!(log.contains("locked"), "{log}");
    let says = async |wanted: (u16, Option<String>)| (daemon.readiness().await == wanted).then_some(());
    until("that it says that it is not ready", async || says((503, Some("5".to_owned()))).await).await;

    other.execute_batch("ROLLBACK").unwrap();
    until("that it says that it is ready", async || says((200, None)).await).await;
    let again = async || send(&daemon.http, &daemon.webhooks, Cause(1)).await.filter(Answer::acknowledged);
    answers.push(until("an acknowledgement", again).await);
    audit(&daemon, &service, &answers).await;
}

/// Starts it where it must not start, and gives what it says.
async fn refuses(house: &House, behind: &[&str]) -> String {
    let Err(mut process) = house.try_serve(behind).await else { panic!("it started") };
    assert_eq!(process.wait().await, Some(1));
    let log = std::fs::read_to_string(house.log()).unwrap();
    quiet(&log);
    assert!(log.contains("hookrun.db"), "it does not say which file:\n{log}");
    log
}

#[tokio::test]
async fn a_read_only_folder_is_named_and_it_does_not_start() {
    let house = House::on(|folder| Database::sqlite(&folder.join("disk")), "http://127.0.0.1:9");
    std::fs::create_dir(house.path().join("disk")).unwrap();
    house.serve().await.process.kill().await;
    std::fs::write(house.log(), "").unwrap();
    let behind = in_own_namespace("mount --bind disk disk && mount -o remount,ro,bind disk");
    let said = refuses(&house, &behind.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(said.to_lowercase().contains("read-only"), "{said}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_as_it_is() {
    let house = House::on(Database::sqlite, "http://127.0.0.1:9");
    let garbage = "not a database at all\n".repeat(1000);
    std::fs::write(house.path().join("hookrun.db"), &garbage).unwrap();
    let said = refuses(&house, &[]).await;
    assert!(said.contains("not a database"), "{said}");
    assert_eq!(std::fs::read_to_string(house.path().join("hookrun.db")).unwrap(), garbage);
}

/// Writes nonsense over everything but the first page, which says that it is a database.
fn spoil(file: &std::path::Path) {
    let bytes = std::fs::metadata(file).unwrap().len();
    let mut file = OpenOptions::new().write(true).open(file).unwrap();
    file.seek(SeekFrom::Start(4096)).unwrap();
    file.write_all(&vec![0xa5; bytes as usize - 4096]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spoilt_pages_are_told_and_end_nothing() {
    let service = Service::start().await;
    let house = House::on(Database::sqlite, &service.address);
    let file = house.path().join("hookrun.db");
    let mut daemon = house.serve().await;
    let answers = [daemon.take(Cause(0)).await];
    audit(&daemon, &service, &answers).await;
    // A clean end folds the log into the file.
    daemon.process.signal("-TERM");
    assert_eq!(daemon.process.wait().await, Some(0));
    let sound = std::fs::read(&file).unwrap();

    // Found at the start.
    spoil(&file);
    std::fs::write(house.log(), "").unwrap();
    let said = refuses(&house, &[]).await;
    assert!(said.contains("malformed"), "{said}");

    // Found while it runs: neither an acknowledgement of what is not kept, nor an end of the process.
    std::fs::write(&file, sound).unwrap();
    let mut daemon = house.serve().await;
    spoil(&file);
    until("somebody to notice", async || {
        let list = format!("{}/api/v1/deliveries", daemon.admin);
        let asked = daemon.http.get(list).bearer_auth(crate::daemon::OPERATOR).send().await.unwrap();
        (asked.status() == 500).then_some(())
    })
    .await;
    let answer = send(&daemon.http, &daemon.webhooks, Cause(1)).await.expect("an answer");
    if answer.acknowledged() {
        // What the writer has in memory may be enough to go on; then the log holds it.
        let log = std::fs::read(house.path().join("hookrun.db-wal")).unwrap();
        let delivery = answer.said["delivery"].as_str().unwrap();
        let kept = log.windows(delivery.len()).any(|bytes| bytes == delivery.as_bytes());
        assert!(kept, "{answer:?} was acknowledged and is lost");
    }
    let health = daemon.http.get(format!("{}/healthz", daemon.webhooks)).send().await.unwrap();
    assert_eq!((health.status().as_u16(), daemon.process.is_over()), (200, false));
    let log = daemon.logged();
    assert!(log.contains("malformed"), "{log}");
    quiet(&log);
}
