//! Stopping: what has begun is finished, what is waited for is named, and a second signal cuts off.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::audit::audit;
use crate::cause::Cause;
use crate::house::{House, Service};
use crate::proxy::{CREATE, Play, Proxy};
use crate::wait::until;

/// Each waits for something most of the time: side by side.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopping_finishes_what_has_begun_within_its_grace() {
    tokio::join!(finishes(), is_cut_off(), ends_within_its_grace());
}

async fn finishes() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut daemon = house.serve().await;
    let (release, released) = oneshot::channel();
    let mut called = proxy.plan(CREATE, Cause(0).sha(), Play::Hold(released));
    let mut answers = vec![daemon.take(Cause(0)).await];
    called.length().await;
    // A webhook of which half has arrived.
    let address = daemon.webhooks.trim_start_matches("http://").to_owned();
    let mut sender = TcpStream::connect(&address).await.unwrap();
    let request = Cause(1).raw();
    sender.write_all(&request[..request.len() - 10]).await.unwrap();
    until("the half to be read", async || is_read(&daemon.webhooks).then_some(())).await;

    daemon.process.signal("-TERM");
    until("the listener to close", async || TcpStream::connect(&address).await.is_err().then_some(())).await;
    until("what it waits for", async || {
        let log = daemon.logged();
        let line = log.lines().rev().find(|line| line.contains("waiting for tasks to end"))?;
        (line.contains("submit") && line.contains("webhooks")).then_some(())
    })
    .await;
    sender.write_all(&request[request.len() - 10..]).await.unwrap();
    let mut said = String::new();
    sender.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("HTTP/1.1 202"), "{said}");
    release.send(()).unwrap();
    assert_eq!(daemon.process.wait().await, Some(0));

    let daemon = house.serve().await;
    let job = daemon.get(&format!("jobs/{}", answers[0].said["jobs"][0].as_str().unwrap())).await;
    assert!(["running", "succeeded"].contains(&job["state"].as_str().unwrap()), "the answer was not kept: {job:#}");
    // The one that was half sent was acknowledged, so it is there: sent again it is old news.
    let again = daemon.take(Cause(1)).await;
    assert_eq!(again.said["outcome"], "duplicate", "{again:?}");
    answers.push(again);
    audit(&daemon, &service, &answers).await;
}

/// Whether nothing that was sent to this address waits in the system to be read.
fn is_read(address: &str) -> bool {
    let port: u16 = address.rsplit(':').next().unwrap().parse().unwrap();
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let local = format!("0100007F:{port:04X}");
    let mut established = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    established.any(|fields| fields.len() > 4 && fields[1] == local && fields[3] == "01")
        && table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).all(|fields| {
            fields.len() < 5 || fields[1] != local || fields[3] != "01" || fields[4].ends_with(":00000000")
        })
}

async fn is_cut_off() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut daemon = house.serve().await;
    let (_never, held) = oneshot::channel();
    let mut called = proxy.plan(CREATE, Cause(0).sha(), Play::Hold(held));
    let answers = [daemon.take(Cause(0)).await];
    called.length().await;
    daemon.process.signal("-TERM");
    let address = daemon.webhooks.trim_start_matches("http://").to_owned();
    until("the first signal", async || TcpStream::connect(&address).await.is_err().then_some(())).await;
    assert!(!daemon.process.is_over());
    daemon.process.signal("-TERM");
    assert_eq!(daemon.process.wait().await, Some(1));
    assert!(daemon.logged().contains("dropping tasks"), "{}", daemon.logged());

    let daemon = house.serve().await;
    // The call would have ended by its own time-out half a minute later.
    let job = daemon.get(&format!("jobs/{}", answers[0].said["jobs"][0].as_str().unwrap())).await;
    assert!(job["reason"].as_str().unwrap().contains("stopped while the call was under way"), "{job:#}");
    audit(&daemon, &service, &answers).await;
}

async fn ends_within_its_grace() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut daemon = house.serve().await;
    let (_never, held) = oneshot::channel();
    let mut called = proxy.plan(CREATE, Cause(0).sha(), Play::Hold(held));
    let answers = [daemon.take(Cause(0)).await];
    called.length().await;
    daemon.process.signal("-TERM");
    let ended = tokio::time::timeout(Duration::from_mins(1), daemon.process.wait()).await;
    assert_eq!(ended.expect("an end within the grace of 35 s"), Some(0));
    // That it was not answered is known, so nobody needs to find out again.
    let daemon = house.serve().await;
    let job = daemon.get(&format!("jobs/{}", answers[0].said["jobs"][0].as_str().unwrap())).await;
    assert_eq!(job["state"], "uncertain", "{job:#}");
    assert!(job["reason"].as_str().unwrap().contains("did not answer in time"), "{job:#}");
}
