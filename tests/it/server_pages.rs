//! The pages as text: what a stranger wrote is shown and never runs, and the fragment tells what changed.

use axum::http::StatusCode;
use hookrun::model::problem::Problem;
use serde_json::json;

use crate::server_support::{Answer, HOSTILE, OPERATOR, Story, World, ask, get};

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

/// A world whose rule files are broken.
async fn broken() -> (World, Story) {
    let (mut world, story) = World::with_a_story().await;
    let text = format!("[[rule]]\non = [\"{HOSTILE}\"]\n");
    let problem = Problem::error("rules.toml", "it is no kind").at(&text, 15..20).help("did you mean \"push\"?");
    world.rules.stale = true;
    world.rules.problems = vec![problem];
    (world, story)
}

#[tokio::test]
async fn broken_rules_turn_every_page_amber_and_show_the_caret() {
    let (mut world, story) = broken().await;
    let admin = world.admin();
    let page = get(&admin, "/").await;
    harmless(&page.body);
    let page = read(&page);
    for shown in
        ["The rules are broken, so those that were read before stay in force", "<pre", "rules.toml:2:7\n", "^^^^^\n"]
    {
        assert!(page.contains(shown), "{shown} in {page}");
    }
    let job = get(&admin, &format!("/jobs/{}", story.queued)).await.body;
    assert!(job.contains("its files are broken"), "{job}");
    world.rules.stale = false;
    let whole = get(&world.admin(), "/").await.body;
    assert!(!whole.contains("broken"), "{whole}");
}

#[tokio::test]
async fn the_status_tells_the_rules_in_force_and_what_is_wrong_with_their_files() {
    let (world, _) = broken().await;
    let status = get(&world.admin(), "/api/v1/status").await.json();
    assert_eq!(status["cost"], json!({"per_run": 0.8, "currency": "EUR"}));
    let rules = &status["rules"];
    assert_eq!(rules["hash"], status["rules_hash"]);
    assert_eq!((&rules["stale"], &rules["count"]), (&json!(true), &json!(3)));
    assert_eq!(rules["loaded_at"], "2026-03-01T12:00:00.000Z");
    let problem = &rules["problems"][0];
    assert_eq!((&problem["severity"], &problem["file"]), (&json!("error"), &json!("rules.toml")));
    assert_eq!((&problem["line"], &problem["column"]), (&json!(2), &json!(7)));
    let drawn = problem["text"].as_str().unwrap();
    assert!(drawn.contains("2 | on = [") && drawn.contains("^^^^^"), "{drawn}");
    assert!(status["problems"][0]["message"].as_str().unwrap().starts_with("The rules are broken"));
    assert_eq!(status["problems"][0]["text"], drawn);
}
