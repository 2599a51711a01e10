//! Three replicas beside one PostgreSQL: each is killed in turn, one hangs, one is cut off, and the database restarts, while
//! webhooks arrive at all of them.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, Daemon, http, send};
use crate::house::{Database, House, Service};
use crate::wait::until;

/// A PostgreSQL of the test's own, which it may stop.
struct Server {
    folder: TempDir,
    url: String,
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // It does not run as root, and has to reach its folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).unwrap();
        let made = Command::new(Self::script()).arg("start").arg(folder.path().join("cluster")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let url = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        Self { folder, url }
    }

    fn script() -> &'static str {
        concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres")
    }

    /// As after a crash: nothing is finished, and what was committed is read back from the log.
    fn restart(&self) {
        let done =
            Command::new(Self::script()).arg("restart").arg(self.folder.path().join("cluster")).status().unwrap();
        assert!(done.success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = Command::new(Self::script()).arg("stop").arg(self.folder.path().join("cluster")).status();
    }
}

/// The way of one replica to the database, which can be cut.
struct Cable {
    address: String,
    whole: watch::Sender<bool>,
}

impl Cable {
    async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (whole, state) = watch::channel(true);
        let target = target.to_owned();
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut state, target) = (state.clone(), target.clone());
                tokio::spawn(async move {
                    if !*state.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = state.wait_for(|whole| !whole) => {}
                    }
                });
            }
        });
        Self { address, whole }
    }
}

/// Where webhooks may go: the replicas that are up.
type Doors = watch::Receiver<Vec<String>>;

/// Tells one cause after another to one replica after another, again until it is acknowledged; what was.
async fn tell_on(doors: Doors, next: Arc<AtomicU64>, stop: watch::Receiver<bool>) -> Vec<Answer> {
    let (http, mut answers) = (http(), Vec::new());
    let mut turn = 0_usize;
    while !*stop.borrow() {
        let cause = Cause(next.fetch_add(1, Ordering::Relaxed));
        loop {
            turn += 1;
            let door = {
                let doors = doors.borrow();
                doors.get(turn % doors.len().max(1)).cloned()
            };
            if let Some(door) = door
                && let Some(answer) = send(&http, &door, cause).await.filter(Answer::acknowledged)
            {
                answers.push(answer);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    answers
}

/// Waits until so many more causes were told.
async fn more(next: &AtomicU64, causes: u64) {
    let enough = next.load(Ordering::Relaxed) + causes;
    until("webhooks to be taken", async || (next.load(Ordering::Relaxed) >= enough).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_die_hang_or_lose_the_database_lose_nothing_and_repeat_nothing() {
    let server = Server::start();
    let service = Service::start().await;
    let database = Database::postgres(&server.url);
    let url = database.url().to_owned();
    let house = House::on(|_| database, &service.address);
    let place = url.split_once('@').unwrap().1.split_once('/').unwrap().0;
    let cable = Cable::to(place).await;
    let by_cable = format!("HOOKRUN_DATABASE__URL={}", url.replace(place, &cable.address));

    let mut replicas: Vec<Daemon> = Vec::new();
    for behind in [&[][..], &[], &["env", by_cable.as_str()]] {
        replicas.push(house.serve_behind(behind).await);
    }
    let doors = |replicas: &[Daemon]| replicas.iter().map(|it| it.webhooks.clone()).collect::<Vec<_>>();
    let (open, at) = watch::channel(doors(&replicas));
    let (stop, stopped) = watch::channel(false);
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for _ in 0..4 {
        senders.spawn(tell_on(at.clone(), next.clone(), stopped.clone()));
    }

    more(&next, 8).await;
    for turn in 0..replicas.len() {
        replicas[turn].process.kill().await;
        more(&next, 8).await;
        let behind: &[&str] = if turn == 2 { &["env", &by_cable] } else { &[] };
        replicas[turn] = house.serve_behind(behind).await;
        open.send_replace(doors(&replicas));
        more(&next, 8).await;
    }
    // One loses the database, the others go on; then all lose it.
    cable.whole.send_replace(false);
    more(&next, 8).await;
    let refuses = (503, Some("5".to_owned()));
    until("it not to be ready", async || (replicas[2].readiness().await == refuses).then_some(())).await;
    assert_eq!(replicas[1].readiness().await, (200, None));
    cable.whole.send_replace(true);
    until("it to be ready again", async || (replicas[2].readiness().await.0 == 200).then_some(())).await;
    more(&next, 8).await;
    server.restart();
    more(&next, 8).await;
    // One hangs for longer than it counts as alive, in the middle of whatever it does.
    let hung = replicas.remove(0);
    hung.process.signal("-STOP");
    open.send_replace(doors(&replicas));
    more(&next, 8).await;
    stop.send_replace(true);
    let answers: Vec<Answer> = senders.join_all().await.into_iter().flatten().collect();
    until("the others to take over", async || {
        let alive = replicas[0].get("status").await["replicas"].as_array().unwrap().len();
        (alive == 2).then_some(())
    })
    .await;
    hung.process.signal("-CONT");
    audit(&replicas[0], &service, &answers).await;
    until("it to be one of them again", async || {
        let alive = replicas[0].get("status").await["replicas"].as_array().unwrap().len();
        (alive == 3).then_some(())
    })
    .await;
}

/// A replica may take webhooks only, send only, or show only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_replica_takes_in_another_sends() {
    let service = Service::start().await;
    let server =
        std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL names the server; scripts/test starts one");
    let house = House::on(|_| Database::postgres(&server), &service.address);
    let takes = house.serve_behind(&["env", "HOOKRUN_WORKER__ENABLED=false"]).await;
    let answer = takes.take(Cause(1)).await;
    let job = answer.said["jobs"][0].as_str().unwrap().to_owned();
    let sends = house.serve_behind(&["env", "HOOKRUN_WEBHOOKS__ENABLED=false"]).await;
    takes.job_in(&job, &["succeeded"]).await;
    assert!(send(&takes.http, &sends.webhooks, Cause(2)).await.is_some_and(|answer| answer.status == 404));
    let ready = takes.http.get(format!("{}/readyz", sends.webhooks)).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    audit(&sends, &service, &[answer]).await;
}
