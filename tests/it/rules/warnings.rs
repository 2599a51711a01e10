//! What the reader says about rules that can be used, but hardly mean what they say.

use std::collections::BTreeSet;

use hookrun::model::policy::{Bound, FileTerms, Terms};
use hookrun::model::problem::Severity;
use hookrun::rules::compile;
use hookrun::webhook::understand;

use super::rule;
use crate::webhook_support::{Real, deliver, real_payloads};

fn under(terms: &Terms, text: &str) -> Vec<(String, String)> {
    let files = vec![("rules.toml".to_owned(), text.to_owned())];
    let loaded = compile(files, terms, &|name| Err(format!("no file \"{name}\"")));
    assert!(loaded.problems.iter().all(|problem| problem.severity == Severity::Warning), "{:?}", loaded.problems);
    assert!(loaded.rules.is_some());
    loaded.problems.into_iter().map(|problem| (problem.message, problem.help.unwrap_or_default())).collect()
}

/// The warnings about one rule that has a limit.
fn warnings(keys: &str) -> Vec<String> {
    told(keys).into_iter().map(|(message, _)| message).collect()
}

fn told(keys: &str) -> Vec<(String, String)> {
    let repos = if keys.contains("repos =") { "" } else { "repos = [\"**\"]\n" };
    let prompt = if keys.contains("action =") { "" } else { "prompt = 'go'\n" };
    let limits = if keys.contains("limits =") { "" } else { "limits = { rule = \"9/day\" }\n" };
    under(&Terms::default(), &format!("[[rule]]\nname = \"r\"\n{repos}{prompt}{limits}{keys}\n"))
}

#[test]
fn a_live_rule_without_any_limit_is_told_once_for_each_file() {
    let text = |more: &str| {
        let one = |name: &str| {
            format!("[[rule]]\nname = \"{name}\"\non = [\"push\"]\nrepos = [\"acme/{name}\"]\nprompt = 'go'\n{more}\n")
        };
        ["a", "b", "c", "d", "e"].map(one).concat()
    };
    let usual = Terms::default();
    let expected = "nothing but attempts limits how much is started by \"a\", \"b\", \"c\" and 2 more";
    let help = "e.g. limits = { rule = \"50/day\" }, in the rule or in [defaults]";
    assert_eq!(under(&usual, &text("")), [(expected.to_owned(), help.to_owned())]);
    for still in ["limits = { rule = \"2 running\" }", "approval = { first = 3 }"] {
        assert_eq!(under(&usual, &text(still)).len(), 1, "{still}");
    }
    for enough in [
        "limits = { subject = \"2/day\" }",
        "approval = \"always\"",
        "approval = { above = \"3/day\" }",
        "mode = \"shadow\"",
        "mode = \"off\"",
    ] {
        assert_eq!(under(&usual, &text(enough)), [], "{enough}");
    }
    let day = Bound::Rate { count: 9, per: std::time::Duration::from_hours(24) };
    assert_eq!(under(&Terms { all: vec![day], ..Terms::default() }, &text("")), []);
    let file = FileTerms { limits: vec![day], ..FileTerms::default() };
    let terms = Terms { files: [("rules.toml".to_owned(), file)].into(), ..Terms::default() };
    assert_eq!(under(&terms, &text("")), []);
}

#[test]
fn native_names_that_no_host_sends_are_told_with_the_nearest() {
    let one = |name: &str| told(&format!("on = [\"{name}\"]")).pop().unwrap_or_default();
    let line = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    let none = |host: &str, name: &str| format!("no event of {host} is named \"{name}\"");
    for (name, host, bare, help) in [
        ("github:chekc_run.completed", "GitHub", "chekc_run.completed", "did you mean \"github:check_run.completed\"?"),
        ("github:check_run.complete", "GitHub", "check_run.complete", "did you mean \"github:check_run.completed\"?"),
        ("github:check_run", "GitHub", "check_run", "write \"github:check_run.*\", or one of its actions"),
        ("github:push.created", "GitHub", "push.created", "write \"github:push\""),
        ("gitlab:merge_requets.open", "GitLab", "merge_requets.open", "did you mean \"gitlab:merge_request.open\"?"),
        ("jira:issue_update", "Jira", "issue_update", "did you mean \"jira:issue_updated\"?"),
        (
            "our-hub:check_run.x",
            "any host",
            "check_run.x",
            "its actions are completed, created, requested_action, rerequested",
        ),
    ] {
        assert_eq!(one(name), line(&none(host, bare), help), "{name}");
    }
    for good in [
        "github:check_run.completed",
        "github:check_*",
        "github:check_run.*",
        "github:release.published",
        "github:push",
        "gitlab:pipeline.failed",
        "jira:issue_updated",
        "jira:comment_*",
        "gitlab:ci.failed",
        "our-hub:note.create",
    ] {
        assert_eq!(one(good), line("", ""), "{good}");
    }
}

#[test]
fn every_event_of_a_real_host_has_a_known_name() {
    let Some(real) = real_payloads() else { return };
    let told = |payload: &Real| understand(&deliver(payload.kind, &payload.event, &payload.body).unwrap());
    let names: BTreeSet<String> = real.iter().flat_map(|real| told(real).events).map(|event| event.native).collect();
    assert!(names.len() > 100);
    // Made up by those who tested with them.
    let made_up = [
        "github:issue_comment.labeled",
        "github:workflow_job.My workflow_job",
        "github:workflow_run.My workflow_run",
        "gitlab:merge_request.action_we_do_not_support",
        "gitlab:pipeline.fail",
    ];
    let known = |name: &&String| warnings(&format!("on = [{name:?}]")).is_empty() || made_up.contains(&name.as_str());
    let unknown: Vec<&String> = names.iter().filter(|name| !known(name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn a_review_has_few_states() {
    let expected = [(
        "no host tells of a review that is \"changes-requested\"".to_owned(),
        "did you mean \"changes_requested\"?".to_owned(),
    )];
    assert_eq!(told("on = [\"review.submitted\"]\nto = [\"changes-requested\", \"Approved\"]"), expected);
}

#[test]
fn keys_that_can_never_hold_are_told() {
    for (keys, expected) in [
        ("on = [\"issue.opened\"]\nbase = [\"main\"]", "\"base\" never holds for issue.opened"),
        ("on = [\"issue.opened\"]\nbranches = [\"main\"]", "\"branches\" never holds for issue.opened"),
        ("on = [\"push\"]\nprojects = [\"OPS\"]", "\"projects\" never holds for push"),
        ("on = [\"push\"]\nto = [\"x\"]", "push tells no new value: \"to\" never holds"),
        ("on = [\"push\"]\nchecks = [\"unit\"]", "\"checks\" is for ci.*, and asks nothing of push"),
        ("on = [\"issue.opened\"]\nper = \"commit\"", "issue.opened has no commit: per = \"commit\" never holds"),
        ("on = [\"issue.opened\"]\nsettle = \"checks\"", "issue.opened has no commit whose checks could end"),
        ("on = [\"!*\"]", "\"on\" bars every event: the rule never matches"),
        ("on = [\"ci.failed\"]\nbranches = [\"main\", \"!main\"]", "\"main\" is wanted and barred: \"!main\" wins"),
        (
            "on = [\"change.opened\"]\nlabels = [\"Agent\", \"!agent\"]",
            "\"Agent\" is wanted and barred: \"!agent\" wins",
        ),
        ("on = [\"push\"]\nrepos = [\"acme/x\", \"!acme/*\"]", "\"acme/x\" is wanted and barred: \"!acme/*\" wins"),
        ("on = [\"push\", \"push\"]", "\"push\" stands twice"),
        ("on = [\"push\"]\nfollow_up = 'x'", "\"follow_up\" is never said: the rule resumes no run"),
        (
            "on = [\"github:check_suite.completed\", \"github:workflow_run.*\"]\nchecks = [\"!codecov/**\"]",
            "suites and workflows name no single check: \"checks\" never holds",
        ),
    ] {
        assert_eq!(warnings(keys), [expected], "{keys}");
    }
    let ban = "on = [\"change.labeled\"]\naction = \"ban\"\nprompt = 'x'";
    assert_eq!(warnings(ban), ["a ban says nothing to anybody: the prompt is not used"]);
}

#[test]
fn what_may_hold_is_not_warned_of() {
    for keys in [
        "on = [\"ci.*\", \"push\"]\nbase = [\"main\"]\nchecks = [\"!codecov/**\"]\nsettle = \"checks\"",
        "on = [\"*\"]\nbranches = [\"main\"]\nprojects = [\"OPS\"]\nto = [\"x\"]",
        "on = [\"ci.failed\"]\nbranches = [\"**\", \"!main\"]\nlabels = [\"kind/*\", \"!kind/bad\"]",
        "on = [\"push\"]\nrepos = [\"github:acme/x\", \"!gitlab:acme/x\"]\nwho = [\"mia\", \"!joe\"]",
        "on = [\"github:check_suite.completed\", \"github:check_run.completed\"]\nchecks = [\"unit\"]",
        "on = [\"change.labeled\"]\naction = \"ban\"",
    ] {
        assert_eq!(warnings(keys), Vec::<String>::new(), "{keys}");
    }
    let defaults = "[defaults]\nchecks = [\"!codecov/**\"]\nbase = [\"main\"]\nlimits = { rule = \"1/day\" }\n\
                    [[rule]]\nname = \"r\"\non = [\"issue.opened\"]\nrepos = [\"**\"]\nprompt = 'go'\nbase = []\n";
    assert_eq!(under(&Terms::default(), defaults), [], "what defaults say is meant for many");
}

fn two(first: &str, second: &str) -> Vec<String> {
    let text = format!(
        "[defaults]\nlimits = {{ rule = \"1/day\" }}\nprompt = 'go'\non = [\"ci.failed\"]\nrepos = [\"acme/*\"]\n\
         [[rule]]\nname = \"a\"\n{first}\n[[rule]]\nname = \"b\"\n{second}\n"
    );
    under(&Terms::default(), &text).into_iter().map(|(message, _)| message).collect()
}

#[test]
fn a_rule_behind_a_wider_one_of_its_word_never_acts() {
    let shadowed = ["the rule never acts: \"a\" comes before it and matches whatever it matches"];
    let one_of = |keys: &str| format!("one_of = \"ci\"\n{keys}");
    for (wide, narrow) in [
        ("", ""),
        ("", "branches = [\"main\"]"),
        ("repos = [\"acme/**\"]", "repos = [\"acme/x\", \"acme/y-*\"]"),
        ("on = [\"ci.*\"]", ""),
        ("branches = [\"!main\"]", "branches = [\"fix/*\", \"!main\"]"),
        ("", "when = \"event.outcome == 'x'\""),
        ("command = []", "labels = [\"x\"]"),
    ] {
        assert_eq!(two(&one_of(wide), &one_of(narrow)), shadowed, "{wide} / {narrow}");
    }
    for (first, second) in [
        ("branches = [\"main\"]", ""),
        ("branches = [\"!main\"]", "branches = [\"fix/*\"]"),
        ("repos = [\"acme/x\"]", "repos = [\"acme/*\"]"),
        ("when = \"event.outcome == 'x'\"", ""),
        ("who = [\"mia\"]", ""),
        ("mode = \"shadow\"", ""),
        ("on = [\"ci.failed\", \"!github:check_run.*\"]", ""),
        ("", "allow = [\"forks\"]"),
    ] {
        assert_eq!(two(&one_of(first), &one_of(second)), Vec::<String>::new(), "{first} / {second}");
    }
    assert_eq!(two("one_of = \"ci\"", "one_of = \"look\"\nprompt = 'x'"), Vec::<String>::new());
}

#[test]
fn a_rule_that_says_the_same_as_another_is_told() {
    assert_eq!(two("", ""), ["the rule says the same as \"a\": each event starts both"]);
    for second in
        ["prompt = 'look'", "branches = [\"main\"]", "mode = \"off\"", "action = \"ban\"", "repos = [\"acme/x\"]"]
    {
        assert_eq!(two("", second), Vec::<String>::new(), "{second}");
    }
}

#[test]
fn warnings_do_not_keep_rules_from_working() {
    assert_eq!(rule("on = [\"push\", \"push\"]").rules().count(), 1);
}

#[test]
fn ten_thousand_rules_are_compared_in_a_bounded_way() {
    // Each of them alike and of one word: with every pair compared this would never end.
    let one = |n: usize| format!("[[rule]]\nname = \"r{n}\"\nbranches = [\"b{n}\"]\n");
    let rules: String = (0..10_000).map(one).collect();
    let defaults = "[defaults]\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt = 'go'\none_of = \"x\"\n";
    assert_eq!(under(&Terms::default(), &format!("{defaults}{rules}")).len(), 1);
}
