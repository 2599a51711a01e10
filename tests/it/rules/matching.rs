//! Which events a rule is about: kinds, places, labels, commands, keys of jobs, and the index.

use std::time::Duration;

use hookrun::model::decision::Ruling::{Denied, NoMatch, Shadow};
use hookrun::model::event::{Event, Kind, Origin};
use hookrun::model::subject::Facts;

use super::*;

#[test]
fn meaning_1_star_stops_at_the_slash_and_bang_wins_in_any_order() {
    let at = |repo: &str| Event { repo: Some(repo.to_owned()), ..ci() };
    let one = rule("on = [\"ci.*\"]\nrepos = [\"!acme/secret\", \"acme/*\"]");
    queues(&one, &at("acme/widgets"), None);
    says(&one, &at("acme/sub/widgets"), None, NoMatch, "repos: acme/sub/widgets is not wanted");
    says(&one, &at("acme/secret"), None, NoMatch, "repos: acme/secret is not wanted");
    let deep = rule("on = [\"ci.*\"]\nrepos = [\"acme/**\"]");
    queues(&deep, &at("acme/sub/widgets"), None);
    let all_but = rule("on = [\"ci.*\"]\nrepos = [\"!acme/secret\"]");
    queues(&all_but, &at("other/one"), None);
    says(&all_but, &at("acme/secret"), None, NoMatch, "repos: acme/secret is not wanted");
}

#[test]
fn meaning_1_two_stars_cross_the_slash_inside_a_name_too() {
    let branch = |pattern: &str, name: &str| {
        let one = rule(&format!("on = [\"ci.*\"]\nbranches = [{pattern:?}]"));
        judge(&one, &Event { branch: Some(name.to_owned()), ..ci() }, None).verdict.decision != NoMatch
    };
    for (pattern, name, matches) in [
        ("release**", "release", true),
        ("release**", "release/1.0", true),
        ("release**", "release-2/1/0", true),
        ("release**", "a/release", false),
        ("!release**", "release/1.0", false),
        ("**-e2e", "build / test-e2e", true),
        ("**-e2e", "build / test", false),
        ("a**z", "a/b/c/z", true),
        ("a**z", "az", true),
        ("a**z", "a/b/c", false),
        ("***", "a/b", true),
        ("{main,rel**}", "rel/1", true),
        ("{main,**}", "a/b", true),
        ("x\\***", "x*a/b", true),
        ("x\\***", "xa/b", false),
        ("[*]**", "*a/b", true),
        ("[!]*]x**", "yx/b", true),
        ("[!]*]x**", "*x/b", false),
        // A part that is nothing else keeps its meaning.
        ("**/fix", "fix", true),
        ("**/fix", "a/b/fix", true),
        ("**/fix", "prefix", false),
        ("a/**/z", "a/z", true),
        ("a/**/z", "a/b/c/z", true),
        ("a/**", "a", false),
        ("{a,b}/**", "b/c/d", true),
        ("{**/a,b}", "x/y/a", true),
        ("{**/a,b}", "a", true),
        // One star stops.
        ("release*", "release/1.0", false),
        ("a*/z*", "ab/c/z", false),
    ] {
        assert_eq!(branch(pattern, name), matches, "{pattern} {name}");
    }
    let but = rule("on = [\"ci.*\"]\nchecks = [\"!**-e2e\"]");
    let mut event = ci();
    event.checks[0].name = "build / test-e2e".to_owned();
    says(&but, &event, None, NoMatch, "checks: build / test-e2e is not wanted");
}

#[test]
fn meaning_1_a_prefix_names_a_source_or_its_kind() {
    for (prefix, matches) in [("github", true), ("gitlab", false), ("work", true)] {
        let event = Event { source: "work".to_owned(), ..ci() };
        let one = rule(&format!("on = [\"ci.failed\"]\nrepos = [\"{prefix}:acme/*\"]"));
        assert_eq!(judge(&one, &event, None).verdict.decision == NoMatch, !matches, "{prefix}");
    }
    let gitlab_only = rule("on = [\"gitlab:ci.failed\"]");
    assert!(judge_with(&gitlab_only, &ci(), None, "{}").is_empty());
    queues(&rule("on = [\"github:ci.failed\"]"), &ci(), None);
}

#[test]
fn on_takes_kinds_native_names_globs_and_exceptions() {
    let names = |on: &str, event: &Event| !judge_with(&rule(&format!("on = {on}")), event, None, "{}").is_empty();
    assert!(names("[\"ci.failed\"]", &ci()));
    assert!(names("[\"*\"]", &ci()));
    assert!(!names("[\"*\", \"!ci.*\"]", &ci()));
    assert!(names("[\"!push\"]", &ci()));
    assert!(names("[\"github:check_run.completed\"]", &ci()));
    assert!(names("[\"github:check_*\"]", &ci()));
    assert!(!names("[\"github:check_suite.completed\"]", &ci()));
    assert!(!names("[\"ci.failed\", \"!github:check_run.*\"]", &ci()));
    let star = Event { kind: None, native: "github:watch.started".to_owned(), ..ci() };
    assert!(names("[\"github:watch.started\"]", &star));
    assert!(!names("[\"*\"]", &star), "a kind glob means our kinds");
}

#[test]
fn branches_base_and_projects_are_conditions() {
    let main = rule("on = [\"ci.failed\"]\nbranches = [\"main\", \"release/**\"]");
    says(&main, &ci(), None, NoMatch, "branches: fix is not wanted");
    queues(&main, &Event { branch: Some("release/1/2".to_owned()), ..ci() }, None);
    says(&main, &Event { branch: None, ..ci() }, None, Denied, "branch unknown: subscribe to pull_request");
    let base = rule("on = [\"ci.failed\", \"change.opened\", \"push\"]\nbase = [\"main\"]");
    queues(&base, &change(), None);
    says(&base, &ci(), None, Denied, "base unknown: subscribe to pull_request");
    let push = Event { kind: Some(Kind::Push), ..ci() };
    says(&base, &push, None, NoMatch, "base: no change is not wanted");
    let shop = rule("on = [\"issue.*\"]\nprojects = [\"SHOP\"]");
    says(&shop, &ticket("Done"), None, NoMatch, "projects: OPS is not wanted");
}

#[test]
fn to_is_the_new_value_and_labels_are_those_it_has() {
    let moved = rule("on = [\"issue.transitioned\"]\nto = [\"Ready for agent\"]");
    queues(&moved, &ticket("ready for agent"), None);
    says(&moved, &ticket("Done"), None, NoMatch, "to: Done is not wanted");
    let opt_out = rule("on = [\"change.opened\", \"ci.failed\", \"tag.pushed\"]\nlabels = [\"!no-agent\"]");
    queues(&opt_out, &change(), None);
    let barred = Event { labels: Some(vec!["No-Agent".to_owned()]), ..change() };
    says(&opt_out, &barred, None, NoMatch, "labels: No-Agent is not wanted");
    let reason = "labels unknown: subscribe to pull_request, or give this rule labels = []";
    says(&opt_out, &ci(), None, Denied, reason);
    let known = Facts { labels: Some(vec!["no-agent".to_owned()]), ..Facts::default() };
    says(&opt_out, &ci(), Some(&known), NoMatch, "labels: no-agent is not wanted");
    queues(&opt_out, &Event { kind: Some(Kind::TagPushed), labels: None, ..ci() }, None);
    let wanted = rule("on = [\"change.opened\"]\nlabels = [\"kind/*\", \"agent\"]");
    says(&wanted, &change(), None, NoMatch, "labels: bug is not wanted");
    queues(&wanted, &Event { labels: Some(vec!["kind/bug".to_owned()]), ..change() }, None);
}

#[test]
fn a_command_stands_at_the_start_of_a_line_and_not_in_a_quotation() {
    let one = rule(
        "on = [\"comment.created\"]\ncommand = [\"/agent\", \"@acme-agent\"]\nprompt = '[{{ event.comment.args }}]'",
    );
    let args = |body: &str| judge(&one, &comment(body), None).rendered.map(|rendered| rendered.prompt);
    assert_eq!(args("/agent fix it\nand the docs").as_deref(), Some("[fix it and the docs]"));
    assert_eq!(args("Well.\n  @Acme-Agent: please").as_deref(), Some("[please]"));
    assert_eq!(args("/agent").as_deref(), Some("[]"));
    assert_eq!(args("```\n/agent x\n```\n/agent y").as_deref(), Some("[y]"));
    for quiet in
        ["> /agent fix", "use /agent", "```sh\n/agent fix\n```", "~~~\n/agent\n", "    /agent", "/agents", "/agentur"]
    {
        assert_eq!(args(quiet), None, "{quiet}");
        says(&one, &comment(quiet), None, NoMatch, "command: not in the comment");
    }
}

#[test]
fn a_native_name_goes_around_neither_the_command_nor_the_checks() {
    let agent = rule("on = [\"comment.created\", \"github:issue_comment.edited\"]\ncommand = [\"/agent\"]");
    let edited = |body: &str| Event { kind: None, native: "github:issue_comment.edited".to_owned(), ..comment(body) };
    says(&agent, &edited("thanks"), None, NoMatch, "command: not in the comment");
    queues(&agent, &edited("/agent fix it"), None);
    let lint = rule("on = [\"github:check_run.completed\"]\nwho = [\"anyone\"]\nchecks = [\"lint\"]");
    let neutral = |name: &str| {
        let mut event = Event { kind: None, outcome: Some("neutral".to_owned()), ..ci() };
        event.checks[0].name = name.to_owned();
        event
    };
    says(&lint, &neutral("docs"), None, NoMatch, "checks: docs is not wanted");
    queues(&lint, &neutral("lint"), None);
}

#[test]
fn per_makes_the_key_and_settle_the_wait() {
    let key = |keys: &str, event: &Event| {
        let request = judge(&rule(keys), event, None).request.unwrap();
        (request.key, request.per_commit, request.settle)
    };
    let minute = Duration::from_mins(1);
    assert_eq!(key("on = [\"ci.failed\"]", &ci()), (format!("acme/widgets@{SHA}"), true, minute));
    assert_eq!(
        key("on = [\"change.*\"]", &change()),
        ("github.com/change/42/opened".to_owned(), false, Duration::ZERO)
    );
    let subject = "on = [\"ci.failed\"]\nper = \"subject\"\nsettle = \"5m\"";
    assert_eq!(key(subject, &ci()), ("github.com/acme/widgets@fix".to_owned(), false, Duration::from_mins(5)));
    let branch = "on = [\"ci.failed\"]\nper = \"branch\"";
    let mut unknown = ci();
    unknown.subject.origin = Origin::Unknown;
    assert_eq!(key(&format!("{branch}\nallow = [\"forks\"]"), &unknown).0, "github.com/acme/widgets@fix");
    let template = "on = [\"ci.failed\"]\nper = \"{{ event.repo }}/{{ event.outcome }}\"";
    assert_eq!(key(template, &ci()).0, "acme/widgets/failure");
    let none = Event { sha: None, ..ci() };
    says(&rule("on = [\"ci.failed\"]"), &none, None, Denied, "per: the commit is unknown");
}

#[test]
fn two_long_keys_that_begin_alike_are_two() {
    let one = rule("on = [\"ci.failed\"]\nper = \"{{ event.url }}\"");
    let key = |end: &str| {
        let event = Event { url: Some(format!("https://ci.example/{}/{end}", "long".repeat(200))), ..ci() };
        judge(&one, &event, None).request.unwrap().key
    };
    assert_ne!(key("1"), key("2"));
    assert_eq!(key("1"), key("1"));
    assert!(key("1").len() < 400, "{}", key("1"));
}

#[test]
fn shadow_decides_and_never_asks_for_a_job_and_off_is_not_asked() {
    let shadow = rule("on = [\"ci.failed\"]\nmode = \"shadow\"");
    let judgement = judge(&shadow, &ci(), None);
    assert_eq!(judgement.verdict.decision, Shadow);
    assert_eq!(judgement.request, None);
    assert!(judgement.rendered.is_some());
    says(&rule("on = [\"ci.failed\"]\nmode = \"off\""), &ci(), None, NoMatch, "mode: the rule is off");
}

#[test]
fn a_verdict_carries_hash_key_happening_and_the_actual_value() {
    let one = rule("on = [\"ci.failed\"]\nbranches = [\"main\"]");
    let verdict = judge(&one, &ci(), None).verdict;
    assert_eq!(verdict.inputs["branches"], "fix");
    assert_eq!(verdict.rules_hash, one.hash());
    assert_eq!(verdict.happening, None);
    let verdict = judge(&rule("on = [\"ci.failed\"]"), &ci(), None).verdict;
    assert_eq!(verdict.happening.as_deref(), Some("github.com/check_run/1/1"));
    assert_eq!(verdict.key, Some(format!("acme/widgets@{SHA}")));
}

#[test]
fn same_guid_to_two_rules_both_must_run() {
    let text = "[defaults]\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt = 'go'\n[[rule]]\nname = \"a\"\n[[rule]]\nname = \"b\"\n";
    let requests: Vec<_> =
        judge_with(&rules(text), &ci(), None, "{}").into_iter().filter_map(|one| one.request).collect();
    assert_eq!(requests.iter().map(|request| request.rule.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(requests[0].happening, requests[1].happening);
}

#[test]
fn ten_thousand_rules_of_other_kinds_and_repositories_are_not_asked() {
    let pair = |n: u32| {
        let repos = if n.is_multiple_of(2) { format!("acme/other-{n}") } else { format!("acme/team-{n}-*") };
        format!(
            "[[rule]]\nname = \"kind-{n}\"\non = [\"push\"]\nrepos = [\"**\"]\n\
             [[rule]]\nname = \"repo-{n}\"\non = [\"ci.failed\"]\nrepos = [\"{repos}\"]\n"
        )
    };
    let others: String = (0..5_000).map(pair).collect();
    let mine = "[[rule]]\nname = \"mine\"\non = [\"ci.failed\"]\nrepos = [\"acme/wid*\"]\n";
    let text = format!("[defaults]\nprompt = 'go'\n{others}{mine}");
    let many = rules(&text);
    let verdicts = judge_with(&many, &ci(), None, "{}");
    assert_eq!(verdicts.iter().map(|one| one.verdict.rule.as_str()).collect::<Vec<_>>(), ["mine"]);
    assert!(many.candidates(&ci()));
    assert!(!many.candidates(&Event { repo: Some("none/x".to_owned()), ..ci() }));
    assert!(!many.candidates(&change()));
}

#[test]
fn ten_thousand_rules_of_other_branches_are_not_asked() {
    let one = |n: u32| {
        let branch = if n.is_multiple_of(2) { format!("team-{n}") } else { format!("team-{n}/**") };
        format!("[[rule]]\nname = \"r{n}\"\nbranches = [\"{branch}\"]\n")
    };
    let others: String = (0..10_000).map(one).collect();
    let text = format!(
        "[defaults]\non = [\"ci.failed\"]\nrepos = [\"acme/*\"]\nprompt = 'go'\n{others}\
         [[rule]]\nname = \"fixes\"\nbranches = [\"fi*\"]\n[[rule]]\nname = \"all\"\nbranches = [\"!main\"]\n"
    );
    let many = rules(&text);
    let asked = |event: &Event| -> Vec<String> {
        judge_with(&many, event, None, "{}").into_iter().map(|one| one.verdict.rule).collect()
    };
    assert_eq!(asked(&ci()), ["fixes", "all"]);
    let at = |branch: &str| Event { branch: Some(branch.to_owned()), ..ci() };
    assert_eq!(asked(&at("team-7/x/y")), ["r7", "all"]);
    assert_eq!(asked(&at("team-8")), ["r8", "all"]);
    let elsewhere = Event { repo: Some("other/x".to_owned()), ..ci() };
    assert!(asked(&elsewhere).is_empty());
    let untold = Event { branch: None, ..ci() };
    assert_eq!(asked(&untold).len(), 10_002, "each that asks for the branch says that nobody told it");
}

#[test]
fn up_to_thirty_two_rules_of_a_kind_all_leave_a_verdict() {
    let text = |count: u32| {
        let one = |n: u32| format!("[[rule]]\nname = \"r{n}\"\nrepos = [\"acme/other-{n}\"]\nbranches = [\"b{n}\"]\n");
        format!("[defaults]\non = [\"ci.failed\"]\nprompt = 'go'\n{}", (0..count).map(one).collect::<String>())
    };
    assert_eq!(judge_with(&rules(&text(32)), &ci(), None, "{}").len(), 32);
    assert_eq!(judge_with(&rules(&text(33)), &ci(), None, "{}").len(), 0);
}
