//! The dashboard in a real Chromium: what a person sees, that it keeps itself true, that nothing foreign runs.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use hookrun::server::serve;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::server_support::{OPERATOR, World};

/// Where Chromium is; without one, this fails where nobody would read a message (CI) and says so elsewhere.
#[expect(clippy::print_stderr, reason = "whoever runs the tests must see that this one did not")]
fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "CI needs a Chromium: apt-get install chromium");
        eprintln!(
            "NOT TESTED: no Chromium was found, so nobody has looked at the dashboard (apt-get install chromium)"
        );
    }
    found
}

/// The document as it stands after the page has lived for `millis` of its own time.
async fn document_after(chromium: &PathBuf, url: &str, millis: u32) -> String {
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args(["--disable-background-networking", "--disable-component-update", "--disable-sync", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--virtual-time-budget={millis}"))
        .arg(url)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_sees_the_state_and_it_stays_true() {
    let Some(chromium) = chromium() else { return };
    let (world, story) = World::with_a_story().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    // The second fragment that the script asks for tells of a job that the page did not know when it was served: a
    // page that shows it has renewed itself.
    let (admin, asked) = (world.admin_with(Vec::new()), AtomicU32::new(0));
    let life = Arc::new((world, asked));
    let router = admin.layer(from_fn(move |request: Request, next: Next| {
        let life = Arc::clone(&life);
        async move {
            let (world, asked) = &*life;
            if request.uri().path() == "/fragment/dashboard" && asked.fetch_add(1, Ordering::SeqCst) == 1 {
                world.accept_job("fix-failed-checks", "github.com/acme/w@came-later").await;
            }
            next.run(request).await
        }
    }));
    let served = tokio::spawn(serve(listener, router, stop.clone(), stop.clone(), Duration::from_secs(30)));

    let page = document_after(&chromium, &format!("http://{address}/"), 5000).await;
    for shown in ["github.com/acme/w@waiting", "settling since", "the rule is gone", "run 4711", "Needs attention"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    assert!(page.contains("github.com/acme/w@came-later"), "the page has not renewed itself: {page}");
    assert!(page.contains("data-state=\"live\""), "it says that it is live: {page}");
    // Chromium writes text back escaped; a stranger's tags would have become elements.
    assert!(page.contains("&lt;script&gt;document.title='owned'"), "{page}");
    assert!(!page.contains("<title>owned") && !page.contains("<img"), "{page}");
    assert!(page.contains("for a person — hookrun</title>"), "{page}");

    let job = document_after(&chromium, &format!("http://{address}/jobs/{}", story.running), 1000).await;
    assert!(job.contains("hookrun job ") && job.contains("What the run says"), "{job}");
    assert!(!job.contains("<title>owned") && !job.contains("href=\"javascript:"), "{job}");
    stop.cancel();
    served.await.unwrap();
}

/// What a person does, as the script that every page loads: logs in, then pauses everything by the form of the dashboard.
const PERSON: &str = r#"
if (location.pathname === "/login") {
  document.querySelector("input[name=token]").value = "TOKEN";
  document.querySelector("main form").submit();
} else if (!sessionStorage.getItem("acted")) {
  sessionStorage.setItem("acted", "yes");
  const pause = document.querySelector("form[action='/pause']");
  pause.querySelector("input[name=reason]").value = "by hand";
  pause.submit();
}
"#;

/// What a browser says of where a form comes from hangs on the headers of the page that held it.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_logs_in_and_acts_by_the_forms_of_the_pages() {
    let Some(chromium) = chromium() else { return };
    let world = World::empty().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let router = world.admin().layer(from_fn(async |request: Request, next: Next| {
        if request.uri().path() == "/assets/app.js" {
            return ([(CONTENT_TYPE, "text/javascript")], PERSON.replace("TOKEN", OPERATOR)).into_response();
        }
        next.run(request).await
    }));
    let served = tokio::spawn(serve(listener, router, stop.clone(), stop.clone(), Duration::from_secs(30)));

    let page = document_after(&chromium, &format!("http://{address}/"), 5000).await;
    let pauses = world.store.pauses().await.unwrap();
    assert!(pauses.iter().any(|pause| pause.reason == "by hand" && pause.by == "ops"), "{pauses:?}: {page}");
    assert!(page.contains("by hand"), "{page}");
    stop.cancel();
    served.await.unwrap();
}
