//! What rules say about their jobs: limits, approval, hours, and what is asked of the service.

use std::collections::BTreeMap;
use std::time::Duration;

use hookrun::model::clock::Timestamp;
use hookrun::model::decision::Ruling::{Denied, NoMatch};
use hookrun::model::event::{Check, Event, Kind};
use hookrun::model::job::StaleOn;
use hookrun::model::policy::{
    Action, Approval, Bound, FileTerms, Limit, OnStale, Policy, Priority, Scope, Terms, Then,
};
use hookrun::model::problem::Severity::Error;
use hookrun::model::subject::Facts;
use hookrun::rules::{JobContext, RenderError, Told, compile};

use super::*;

const DAY: Duration = Duration::from_hours(24);

fn policy(keys: &str) -> Policy {
    rule(&format!("on = [\"ci.failed\"]\n{keys}")).policy("r")
}

fn rate(scope: Scope, count: u32, per: Duration) -> Limit {
    Limit { scope, bound: Bound::Rate { count, per } }
}

#[test]
fn a_rule_that_says_nothing_has_the_usual_policy() {
    let usual = policy("");
    let expected = Policy { rules_hash: usual.rules_hash.clone(), file: "rules.toml".to_owned(), ..Policy::default() };
    assert_eq!(usual, expected);
    assert_eq!(usual.rules_hash.len(), 64);
}

#[test]
fn limits_are_rates_and_caps_one_or_many() {
    let said = policy(
        "limits = { attempts = 5, subject = [\"10/day\", \"2 running\"], rule = \"50/hour\", repo = \"3/week\", person = [\"1/day\"] }",
    );
    assert_eq!(said.attempts, 5);
    let expected = [
        rate(Scope::Subject, 10, DAY),
        Limit { scope: Scope::Subject, bound: Bound::Running(2) },
        rate(Scope::Rule, 50, Duration::from_hours(1)),
        rate(Scope::Repo, 3, 7 * DAY),
        rate(Scope::Person, 1, DAY),
    ];
    assert_eq!(said.limits, expected);
    let spelt: Vec<String> = expected.iter().map(|limit| limit.bound.to_string()).collect();
    assert_eq!(spelt, ["10/day", "2 running", "50/hour", "3/week", "1/day"]);
}

#[test]
fn limits_of_defaults_are_laid_under_key_by_key() {
    let text = "[defaults]\nlimits = { attempts = 2, rule = \"50/day\", repo = \"9/day\" }\n[[rule]]\nname = \"r\"\n\
                on = [\"push\"]\nrepos = [\"**\"]\nprompt = 'go'\nlimits = { rule = [\"5/day\"], person = \"1/day\" }\n";
    let said = rules(text).policy("r");
    assert_eq!(said.attempts, 2);
    let expected = [rate(Scope::Rule, 5, DAY), rate(Scope::Repo, 9, DAY), rate(Scope::Person, 1, DAY)];
    assert_eq!(said.limits, expected);
}

#[test]
fn approval_of_defaults_is_laid_under_key_by_key() {
    let said = |own: &str| {
        let text = format!(
            "[defaults]\napproval = {{ first = 10, wait = \"24h\" }}\n[[rule]]\nname = \"r\"\non = [\"push\"]\n\
             repos = [\"**\"]\nprompt = 'go'\n{own}"
        );
        let policy = rules(&text).policy("r");
        (policy.approval, policy.approval_wait)
    };
    assert_eq!(said(""), (Approval::First(10), Some(DAY)));
    let above = Approval::Above { count: 20, per: DAY };
    assert_eq!(said("approval = { above = \"20/day\" }"), (above, Some(DAY)));
    assert_eq!(said("approval = { first = 2 }"), (Approval::First(2), Some(DAY)));
    assert_eq!(said("approval = { wait = \"7d\" }"), (Approval::First(10), Some(7 * DAY)));
    assert_eq!(said("approval = \"never\""), (Approval::Never, None), "a word stands for itself");
}

#[test]
fn approval_is_a_word_or_a_table() {
    let said = |keys: &str| {
        let policy = policy(keys);
        (policy.approval, policy.approval_wait)
    };
    assert_eq!(said("approval = \"never\""), (Approval::Never, None));
    assert_eq!(said("approval = \"always\""), (Approval::Always, None));
    let day = Some(DAY);
    assert_eq!(said("approval = { wait = \"24h\" }"), (Approval::Always, day));
    let above = Approval::Above { count: 20, per: DAY };
    assert_eq!(said("approval = { above = \"20/day\", wait = \"24h\" }"), (above, day));
    assert_eq!(said("approval = { first = 10 }"), (Approval::First(10), None));
}

#[test]
fn hours_are_in_the_settings_timezone_and_utc_without_one() {
    let text =
        "[[rule]]\nname = \"r\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt = 'go'\nhours = \"Mon-Fri 07:00-19:00\"\n";
    let opens = |timezone: Option<&str>| {
        let terms = Terms { timezone: timezone.map(str::to_owned), ..Terms::default() };
        let rules = under(&terms, text);
        // Thursday, 2026-01-15 00:00 UTC.
        rules.policy("r").hours.unwrap().closed_until(Timestamp(1_768_435_200_000)).unwrap().0 - 1_768_435_200_000
    };
    assert_eq!(opens(None), 7 * 3_600_000);
    assert_eq!(opens(Some("Europe/Berlin")), 6 * 3_600_000);
    assert_eq!(policy("hours = \"always\"").hours, None);
}

#[test]
fn only_live_rules_have_runs_told_that_they_are_stale() {
    for (mode, wanted) in [("live", 1), ("shadow", 0), ("off", 0)] {
        let rules = rule(&format!("on = [\"ci.failed\"]\non_stale = \"tell\"\nmode = \"{mode}\""));
        assert_eq!(rules.on_stale().len(), wanted, "{mode}");
    }
}

#[test]
fn then_action_stale_and_settle_checks_reach_the_policy() {
    let said = policy("then = [\"resume\", \"hold\"]\non_stale = \"tell\"\nsettle = \"checks\"");
    assert_eq!(said.then, [Then::Resume, Then::Hold]);
    assert_eq!(said.on_stale, OnStale::Tell);
    assert!(said.settle_checks);
    assert_eq!(policy("on_stale = \"ban\"").on_stale, OnStale::Ban);
    for (word, action) in [("run", Action::Run), ("setup_commands", Action::SetupCommands), ("ban", Action::Ban)] {
        assert_eq!(policy(&format!("action = \"{word}\"")).action, action);
    }
}

#[test]
fn only_a_run_needs_a_prompt() {
    for action in ["ban", "setup_commands"] {
        let text = format!("[[rule]]\nname = \"r\"\non = [\"ci.failed\"]\nrepos = [\"**\"]\naction = \"{action}\"\n");
        let judgement = super::judge(&rules(&text), &ci(), None);
        assert_eq!(judgement.request.unwrap().action.as_str(), action);
        assert_eq!(judgement.rendered.unwrap().prompt, "");
    }
}

#[test]
fn a_request_says_what_its_rule_says() {
    let one = rule(
        "on = [\"ci.failed\"]\nthen = [\"resume\", \"start\"]\npriority = \"urgent\"\nsettle = \"checks\"\nsettle_max = \"2h\"",
    );
    let request = judge(&one, &ci(), None).request.unwrap();
    assert!(request.follow_up);
    assert_eq!(request.priority, Priority::Urgent);
    assert_eq!((request.settle, request.settle_max), (Duration::from_secs(30), Duration::from_hours(2)));
    assert_eq!(request.file, "rules.toml");
    assert_eq!((request.person, request.action), (None, Action::Run));
    let usual = judge(&rule("on = [\"ci.failed\"]"), &ci(), None).request.unwrap();
    assert!(!usual.follow_up);
    assert_eq!((usual.priority, usual.settle_max), (Priority::Normal, Duration::from_mins(30)));
}

#[test]
fn meaning_6_what_a_person_asks_for_by_command_goes_first_and_is_no_attempt() {
    let one = rule("on = [\"comment.created\"]\ncommand = [\"/agent\"]\nper = \"subject\"\npriority = \"background\"");
    let request = judge(&one, &comment("/agent fix it"), None).request.unwrap();
    assert_eq!(request.priority, Priority::People);
    assert_eq!(request.person.as_deref(), Some("github:mia"));
    assert!(!request.failing);
    let listening = rule("on = [\"comment.created\"]\npriority = \"background\"");
    let request = judge(&listening, &comment("hello"), None).request.unwrap();
    assert_eq!(request.priority, Priority::Background, "a comment alone asks for nothing");
}

#[test]
fn a_person_is_who_acted_for_others_to_react_and_no_machine() {
    let who = |event: &Event| judge(&rule("on = [\"*\"]\nallow = [\"bots\"]"), event, None).request.unwrap().person;
    assert_eq!(who(&ticket("Done")).as_deref(), Some("jira:5b10"));
    let labeled = Event { kind: Some(Kind::ChangeLabeled), ..change() };
    assert_eq!(who(&labeled).as_deref(), Some("github:mia"));
    assert_eq!(who(&Event { actor: Some(bot("helper[bot]")), ..labeled }), None);
    assert_eq!(who(&ci()), None, "a failed check is nobody's request");
    assert_eq!(who(&Event { kind: Some(Kind::Push), ..ci() }), None);
    assert_eq!(who(&change()), None, "to open a change asks for nothing");
}

#[test]
fn what_makes_a_job_pointless_depends_on_what_happened() {
    let stale =
        |keys: &str, event: &Event, facts: Option<&Facts>| judge(&rule(keys), event, facts).request.unwrap().stale_on;
    let (head, closed, green) = (true, true, true);
    let any = "on = [\"*\"]\nallow = [\"drafts\"]";
    assert_eq!(stale(any, &ci(), None), StaleOn { head, closed: false, green });
    let open = Facts { open: Some(true), ..Facts::default() };
    assert_eq!(stale(any, &ci(), Some(&open)), StaleOn { head, closed, green });
    let push = Event { kind: Some(Kind::Push), ..ci() };
    assert_eq!(stale(any, &push, None), StaleOn { head, closed: false, green: false });
    assert_eq!(stale(any, &change(), None), StaleOn { head: false, closed, green: false });
    let by_commit = format!("{any}\nper = \"commit\"");
    assert_eq!(stale(&by_commit, &change(), None), StaleOn { head, closed, green: false });
    let merged = Event { kind: Some(Kind::ChangeMerged), ..change() };
    assert_eq!(stale(any, &merged, None), StaleOn::default());
    assert_eq!(stale(any, &ticket("Done"), None), StaleOn { closed, ..StaleOn::default() });
    let shut = Facts { open: Some(false), ..Facts::default() };
    assert_eq!(stale(any, &ticket("Done"), Some(&shut)), StaleOn::default(), "it was closed before");
    let asked = "on = [\"comment.created\"]\ncommand = [\"/agent\"]\nper = \"commit\"";
    let on_change = Event { sha: Some(SHA.to_owned()), ..comment("/agent") };
    assert!(!stale(asked, &on_change, None).head, "a person who asks means whatever is there");
}

#[test]
fn a_resumed_run_is_told_the_follow_up() {
    let said = |keys: &str, resumed: bool| {
        let rules = rule(&format!("on = [\"ci.failed\"]\nthen = [\"resume\", \"start\"]\n{keys}"));
        let event = ci();
        let told = Told { event: &event, payload: None, delivery: "d1", received_at: Timestamp(0) };
        let job = JobContext { resumed, ..JobContext::first(&KEY) };
        rules.render("r", &[told], &job).unwrap().prompt
    };
    let keys =
        "prompt = 'Fix {{ event.repo }}'\nfollow_up = 'Still red: {{ failed | length }} of {{ events | length }}'";
    assert_eq!(said(keys, false), "Fix acme/widgets");
    assert_eq!(said(keys, true), "Still red: 1 of 1");
    assert_eq!(said("prompt = 'again {{ resumed }}'\nfollow_up = ''", true), "again true");
}

#[test]
fn one_of_lets_the_first_live_rule_that_matches_act() {
    let text = |mode: &str| {
        format!(
            "[defaults]\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt = 'go'\n\
             [[rule]]\nname = \"main\"\none_of = \"ci\"\nbranches = [\"main\"]\n\
             [[rule]]\nname = \"first\"\none_of = \"ci\"\nmode = \"{mode}\"\n\
             [[rule]]\nname = \"other\"\none_of = \"look\"\n\
             [[rule]]\nname = \"second\"\none_of = \"ci\"\nlabels = []\n"
        )
    };
    let said = |mode: &str| {
        let all = judge_with(&rules(&text(mode)), &ci(), None, "{}");
        all.iter().map(|one| (one.verdict.rule.clone(), one.verdict.reason.clone())).collect::<Vec<_>>()
    };
    let holds = "every condition holds";
    let line = |rule: &str, reason: &str| (rule.to_owned(), reason.to_owned());
    let expected = [
        line("main", "branches: fix is not wanted"),
        line("first", holds),
        line("other", holds),
        line("second", "one_of ci: first acts"),
    ];
    assert_eq!(said("live"), expected);
    assert_eq!(said("off").last(), Some(&line("second", holds)));
    assert_eq!(said("shadow").last(), Some(&line("second", holds)), "shadow never stands in the way");
    let all = judge_with(&rules(&text("live")), &ci(), None, "{}");
    assert_eq!(all[3].verdict.decision, NoMatch);
    assert_eq!(all[3].one_of.as_deref(), Some("ci"));
}

#[test]
fn meaning_7_checks_needs_single_checks_and_one_that_failed_must_be_wanted() {
    let named = |names: &[&str]| {
        let check = |name: &&str| Check { name: (*name).to_owned(), ..Check::default() };
        Event { checks: names.iter().map(check).collect(), ..ci() }
    };
    let but = rule(
        "on = [\"ci.failed\"]\nchecks = [\"!codecov/**\"]\nprompt = '{% for c in failed %}{{ c.name }} {% endfor %}{{ event.check.name }}'",
    );
    says(&but, &named(&["codecov/patch"]), None, NoMatch, "checks: codecov/patch is not wanted");
    queues(&but, &named(&["codecov/patch", "unit"]), None);
    let told = judge(&but, &named(&["codecov/patch", "unit"]), None).rendered.unwrap().prompt;
    assert_eq!(told, "unit unit", "what never counts is not told either");
    let only = rule("on = [\"ci.*\", \"push\"]\nchecks = [\"build*\", \"lint\"]");
    queues(&only, &named(&["test", "build (18)"]), None);
    says(&only, &named(&["test"]), None, NoMatch, "checks: test is not wanted");
    let mut suite = named(&["github-actions"]);
    suite.checks[0].aggregate = true;
    says(&but, &suite, None, NoMatch, "checks: the event names no single check");
    queues(&only, &Event { kind: Some(Kind::Push), checks: Vec::new(), ..ci() }, None);
}

/// Compiles rules under terms of the settings, as a file of a folder.
fn under(terms: &Terms, text: &str) -> RuleSet {
    let files = vec![("rules/team.toml".to_owned(), text.to_owned())];
    let loaded = compile(files, terms, &|name| Err(format!("no file \"{name}\"")));
    loaded.rules.unwrap_or_else(|| panic!("{:?}", loaded.problems))
}

fn team(repos: &[&str]) -> Terms {
    let file = FileTerms {
        repos: repos.iter().map(|repo| (*repo).to_owned()).collect(),
        limits: vec![Bound::Rate { count: 30, per: DAY }],
    };
    let files = BTreeMap::from([("team.toml".to_owned(), file)]);
    Terms { timezone: None, all: vec![Bound::Running(10)], files }
}

const ANYWHERE: &str = "[[rule]]\nname = \"r\"\non = [\"*\"]\nrepos = [\"**\"]\nlimits = { rule = \"5/day\" }\n";

#[test]
fn ceilings_are_laid_over_every_rule() {
    let rules = under(&team(&[]), &format!("{ANYWHERE}prompt = 'go'\n"));
    let expected =
        [rate(Scope::Rule, 5, DAY), Limit { scope: Scope::All, bound: Bound::Running(10) }, rate(Scope::File, 30, DAY)];
    let policy = rules.policy("r");
    assert_eq!((policy.file.as_str(), policy.limits), ("team.toml", expected.to_vec()));
    let gone = rules.policy("gone");
    assert_eq!(gone.limits, expected[1..2], "what holds for all holds for a job without a rule too");
}

#[test]
fn a_file_cannot_act_outside_of_its_repositories_whatever_its_rules_say() {
    let rules = under(&team(&["acme/*", "OPS"]), &format!("{ANYWHERE}prompt = 'go'\n"));
    queues(&rules, &ci(), None);
    queues(&rules, &ticket("Done"), None);
    let elsewhere = Event { repo: Some("other/x".to_owned()), ..ci() };
    says(&rules, &elsewhere, None, Denied, "ceiling: the settings keep team.toml out of other/x");
    let shop = Event { project: Some("SHOP".to_owned()), ..ticket("Done") };
    says(&rules, &shop, None, Denied, "ceiling: the settings keep team.toml out of SHOP");

    let sent = under(&team(&["acme/*"]), &format!("{ANYWHERE}repo = 'other/{{{{ event.branch }}}}'\nprompt = 'go'\n"));
    says(&sent, &ci(), None, Denied, "ceiling: the settings keep team.toml out of other/fix");
    let event = ci();
    let told = Told { event: &event, payload: None, delivery: "d1", received_at: Timestamp(0) };
    let refused = sent.render("r", &[told], &JobContext::first(&KEY));
    assert_eq!(refused, Err(RenderError::Ceiling("other/fix".to_owned(), "team.toml".to_owned())));
}

#[test]
fn places_outside_of_the_ceiling_are_errors_as_far_as_they_can_be_known() {
    let text = "[[rule]]\nname = \"r\"\non = [\"*\"]\nrepos = [\"acme/x\", \"other/x\", \"other/*\", \"ac*\", \"!other/y\"]\n\
                projects = [\"OPS\"]\nrepo = \"other/z\"\nprompt = 'go'\n";
    let files = vec![("rules/team.toml".to_owned(), text.to_owned())];
    let loaded = compile(files, &team(&["acme/*"]), &|_| Err(String::new()));
    assert!(loaded.rules.is_none());
    let told: Vec<_> = loaded.problems.iter().map(|problem| problem.message.as_str()).collect();
    let outside = |place: &str| format!("\"{place}\" is outside of what the settings allow");
    assert_eq!(told, ["other/x", "other/*", "OPS", "other/z"].map(outside));
    let help = "[rules.files.\"team.toml\"] repos in the settings says where the rules of this file may act";
    assert_eq!(loaded.problems[0].help.as_deref(), Some(help));
}

#[test]
fn terms_that_cannot_be_used_are_told() {
    let mut terms = team(&["acme/["]);
    terms.timezone = Some("Europe/Berlinn".to_owned());
    let files = vec![("rules/team.toml".to_owned(), String::new())];
    let loaded = compile(files, &terms, &|_| Err(String::new()));
    let told: Vec<_> = loaded.problems.iter().map(|problem| (problem.severity, problem.message.as_str())).collect();
    let expected = [
        (Error, "there is no time zone \"Europe/Berlinn\""),
        (
            Error,
            "repos of the rules file \"team.toml\": \"acme/[\" is no pattern: unclosed character class; missing ']'",
        ),
    ];
    assert_eq!(told, expected);
}
