//! Out of file handles: many idle connections take them all; when they close it goes on by itself.

use tokio::net::TcpStream;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, http, send};
use crate::house::{House, Service};
use crate::wait::until;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_file_handles_nothing_is_lost_and_it_recovers() {
    let service = Service::start().await;
    let house = House::new(&service.address);
    let daemon = house.serve_behind(&["sh", "-c", "ulimit -n 64 && exec \"$@\"", "sh"]).await;
    let mut answers = vec![daemon.take(Cause(0)).await];

    let address = daemon.webhooks.trim_start_matches("http://").to_owned();
    let mut idle = Vec::new();
    until("the last handle to be taken", async || {
        idle.push(TcpStream::connect(&address).await.unwrap());
        daemon.logged().contains("cannot accept connections").then_some(())
    })
    .await;
    // One whose connection is there already is still served, or refused; never acknowledged and forgotten.
    for cause in (1..6).map(Cause) {
        answers.extend(send(&daemon.http, &daemon.webhooks, cause).await);
    }

    drop(idle);
    for cause in (1..12).map(Cause) {
        let again = async || send(&http(), &daemon.webhooks, cause).await.filter(Answer::acknowledged);
        answers.push(until("an acknowledgement", again).await);
    }
    audit(&daemon, &service, &answers).await;
    let told = daemon.logged().lines().filter(|line| line.contains("cannot accept connections")).count();
    assert!(told < 1000, "it was told {told} times");
}
