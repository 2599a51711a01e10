//! Which jobs are released, with which repository, and when they wait or are held.

use std::collections::BTreeMap;

use hookrun::model::job::JobState;
use hookrun::model::run::RepoTarget;
use hookrun::sandbox::{Call, Fault, When};

use super::bench::{Bench, Setting};

#[tokio::test]
async fn a_github_repository_is_mapped_by_the_services_own_list() {
    let bench = Bench::new().await;
    bench.fault(Call::Create, Fault::Slow { millis: 60_000, when: When::After });
    let early = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    let reason = bench.find(&early).await.reason;
    assert!(reason.contains("acme/widgets"), "{reason}");
    while bench.runs_of(&early).is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(bench.runs_of(&early)[0].repo_id, None, "no release waits for the list");

    bench.worker.repos_tick().await.unwrap();
    let mapped = bench.job().await;
    bench.worker.release_tick().await.unwrap();
    while bench.runs_of(&mapped).is_empty() {
        tokio::task::yield_now().await;
    }
    let id = bench.store.repo_id("acme/widgets").await.unwrap();
    assert!(id.is_some());
    assert_eq!(bench.runs_of(&mapped)[0].repo_id, id);
}

#[tokio::test]
async fn other_repositories_are_mapped_by_the_settings_only() {
    let repos = BTreeMap::from([
        ("gitlab:platform/pay".to_owned(), RepoTarget::Name("acme/widgets".to_owned())),
        ("gitlab:platform/by-id".to_owned(), RepoTarget::Id(77)),
        ("github:acme/renamed".to_owned(), RepoTarget::Id(78)),
    ]);
    let bench = Bench::with(Setting { repos, ..Setting::default() }).await;
    bench.worker.repos_tick().await.unwrap();
    let widgets = bench.store.repo_id("acme/widgets").await.unwrap();
    for (source, repo, wanted) in [
        ("gitlab", "platform/pay", widgets),
        ("gitlab", "platform/by-id", Some(77)),
        ("gitlab", "acme/widgets", None),
        ("github", "acme/renamed", Some(78)),
    ] {
        let job = bench.job_of(source, repo).await;
        bench.release().await;
        assert_eq!(bench.runs_of(&job)[0].repo_id, wanted, "{source}:{repo}");
    }
}

#[tokio::test]
async fn where_a_repository_is_required_an_unmapped_job_is_held() {
    let bench = Bench::with(Setting { require_repo: true, ..Setting::default() }).await;
    let job = bench.job_of("gitlab", "platform/unknown").await;
    bench.release().await;
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    assert!(held.reason.contains("gitlab:platform/unknown"), "{}", held.reason);
}

#[tokio::test]
async fn a_job_whose_rule_is_gone_is_held() {
    let rules = r#"
[[rule]]
name = "another"
on = ["ci.failed"]
repos = ["**"]
prompt = "Fix it."
"#;
    let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
    let job = bench.job().await;
    bench.release().await;
    let held = bench.find(&job).await;
    assert_eq!(held.state, JobState::Held);
    assert!(held.reason.contains("fix"), "{}", held.reason);
}

#[tokio::test]
async fn one_unfinished_run_for_each_subject_and_others_do_not_wait_for_it() {
    let bench = Bench::new().await;
    let first = bench.job_on("github", "acme/widgets", "main", &"a".repeat(40)).await;
    bench.advance(1);
    let second = bench.job_on("github", "acme/widgets", "main", &"b".repeat(40)).await;
    bench.advance(1);
    let other = bench.job_on("github", "acme/widgets", "other", &"c".repeat(40)).await;
    bench.release().await;
    assert_eq!(bench.state(&first).await, JobState::Running);
    assert_eq!(bench.state(&second).await, JobState::Queued);
    assert_eq!(bench.state(&other).await, JobState::Running, "a blocked subject blocked its whole lane");
    bench.advance(6);
    bench.worker.follow_tick().await.unwrap();
    bench.release().await;
    assert_eq!(bench.state(&second).await, JobState::Running);
}

#[tokio::test]
async fn the_prompt_knows_the_body_whether_it_came_as_json_or_in_a_form() {
    let rules = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "From {{ event.payload.from }}."
"#;
    let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
    for (source, wanted) in [("github", "From a form."), ("gitlab", "From JSON.")] {
        let job = bench.job_of(source, "acme/widgets").await;
        bench.release().await;
        let prompt = bench.store.prompt(&job).await.unwrap().unwrap();
        assert_eq!(prompt.lines().next(), Some(wanted));
    }
}

#[tokio::test]
async fn the_prompt_knows_which_attempt_it_is_and_the_run_before() {
    let rules = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["**"]
prompt = "Attempt {{ attempt }}, after {{ previous.id if previous else 'none' }}."
"#;
    let bench = Bench::with(Setting { rules, ..Setting::default() }).await;
    let mut before = "none".to_owned();
    for attempt in 1..=3 {
        let job = bench.job_on("github", "acme/widgets", "main", &format!("{attempt:040}")).await;
        bench.release().await;
        let prompt = bench.store.prompt(&job).await.unwrap().unwrap();
        assert_eq!(prompt.lines().next(), Some(format!("Attempt {attempt}, after {before}.").as_str()));
        before = bench.find(&job).await.run.unwrap().id.to_string();
        bench.advance(6);
        bench.worker.follow_tick().await.unwrap();
    }
    let beyond = bench.job_on("github", "acme/widgets", "main", &format!("{:040}", 4)).await;
    bench.release().await;
    let dead = bench.find(&beyond).await;
    assert_eq!(dead.state, JobState::Dead);
    assert!(dead.reason.contains("attempts"), "{}", dead.reason);
}
