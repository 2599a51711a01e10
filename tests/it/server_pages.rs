//! The pages as text: what a stranger wrote is shown and never runs, and the fragment tells what changed.

use axum::http::StatusCode;

use crate::server_support::{Answer, OPERATOR, World, ask, get};

/// The page with its slashes as people see them; the escaping writes them as entities.
fn read(answer: &Answer) -> String {
    answer.body.replace("&#x2f;", "/")
}

/// Fails if any of a stranger's text stands in the page as markup.
fn harmless(page: &str) {
    for markup in ["<script>document", "<img", "onerror=\"", "href=\"javascript:"] {
        assert!(!page.contains(markup), "{markup} in {page}");
    }
}

#[tokio::test]
async fn outside_text_is_shown_as_text() {
    let (world, story) = World::with_a_story().await;
    let admin = world.admin();
    let pages = [
        "/".to_owned(),
        "/fragment/dashboard".to_owned(),
        format!("/jobs/{}", story.running),
        format!("/jobs/{}", story.queued),
        format!("/jobs/{}", story.held),
        format!("/deliveries/{}", story.denied),
    ];
    for path in pages {
        let answer = get(&admin, &path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        assert!(answer.body.contains("&lt;script&gt;document"), "{path} shows it: {}", answer.body);
        harmless(&answer.body);
    }
    for path in ["/jobs/none", "/deliveries/none", "/deliveries/%3Cscript%3E"] {
        let answer = get(&admin, path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        harmless(&answer.body);
    }
}

#[tokio::test]
async fn the_dashboard_answers_what_runs_what_waits_and_why() {
    let (world, story) = World::with_a_story().await;
    let page = read(&get(&world.admin(), "/").await);
    for shown in [
        "1 waiting, 1 for a person",
        "Needs attention",
        "github.com/acme/w@waiting",
        "settling since",
        "in 42 s",
        "the rule is gone",
        "timed out after 30 s",
        "href=\"https://codegen.example/agent/trace/4711\"",
        "run 4711",
        "2 of 10 in 1m",
        "answer-mention</b> <span class=\"said\">denied</span>",
        "1 rule does not match",
        "<noscript><meta http-equiv=\"refresh\"",
    ] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    for link in [format!("/jobs/{}", story.running), format!("/deliveries/{}", story.denied)] {
        assert!(page.contains(&format!("href=\"{link}\"")), "{link}");
    }
    assert!(!page.contains(" style=") && !page.contains("<style"), "the policy allows no inline style");
}

#[tokio::test]
async fn an_empty_dashboard_says_what_to_do() {
    let world = World::empty().await;
    let page = read(&get(&world.admin(), "/").await);
    for shown in ["All quiet", "Nothing has arrived yet", "/webhooks/github", "No agent is at work", "Nothing waits"] {
        assert!(page.contains(shown), "{shown} in {page}");
    }
}

#[tokio::test]
async fn the_fragment_is_sent_again_only_when_something_changed() {
    let (world, _) = World::with_a_story().await;
    let admin = world.admin();
    let first = get(&admin, "/fragment/dashboard").await;
    let etag = first.header("etag").to_owned();
    let token = format!("Bearer {OPERATOR}");
    let headers = [("authorization", token.as_str()), ("if-none-match", etag.as_str())];
    // Time alone changes nothing: the page lets it run on by itself.
    world.clock.advance(std::time::Duration::from_secs(5));
    let same = ask(&admin, "GET", "/fragment/dashboard", &headers, "").await;
    assert_eq!((same.status, same.body.as_str()), (StatusCode::NOT_MODIFIED, ""));

    world.accept_job("fix-failed-checks", "github.com/acme/w@newer").await;
    let next = ask(&admin, "GET", "/fragment/dashboard", &headers, "").await;
    assert_eq!(next.status, StatusCode::OK);
    assert_ne!(next.header("etag"), etag);
    assert!(read(&next).contains("github.com/acme/w@newer") && !read(&first).contains("github.com/acme/w@newer"));
    let rev = |page: &str, id: &str| {
        let section = page.split(&format!("id=\"{id}\"")).nth(1).unwrap();
        section.split("data-rev=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    assert_eq!(rev(&first.body, "running"), rev(&next.body, "running"), "this section may keep its place");
    assert_ne!(rev(&first.body, "waiting"), rev(&next.body, "waiting"));
}
