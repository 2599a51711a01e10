//! `use`: rules that begin with a shipped one.

use hookrun::model::event::Event;
use hookrun::model::policy::Terms;
use hookrun::rules::compile;

use super::*;

fn messages(text: &str) -> Vec<(String, String)> {
    let files = vec![("rules.toml".to_owned(), text.to_owned())];
    let loaded = compile(files, &Terms::default(), &|name| Err(format!("no file \"{name}\"")));
    loaded.problems.into_iter().map(|problem| (problem.message, problem.help.unwrap_or_default())).collect()
}

#[test]
fn a_rule_begins_with_a_shipped_one_and_changes_some_keys() {
    let text = "[[rule]]\nname = \"ours\"\nuse = \"fix-failed-checks\"\nrepos = [\"acme/*\"]\nlabels = []\nlimits = { person = \"1/day\" }\n";
    let one = rules(text);
    let judgement = judge(&one, &ci(), None);
    assert_eq!(judgement.verdict.rule, "ours");
    let prompt = judgement.rendered.unwrap().prompt;
    assert!(prompt.contains("unit") && prompt.contains("acme/widgets"), "{prompt}");
    assert!(prompt.contains("House rules"), "the shipped house rules are included: {prompt}");
    let main = Event { branch: Some("main".to_owned()), ..ci() };
    assert_eq!(judge(&one, &main, None).verdict.reason, "branches: main is not wanted");
    assert_eq!(one.policy("ours").limits.len(), 2, "its limits lie over the shipped ones");
    let summary = one.rules().next().unwrap();
    assert_eq!((summary.file.as_str(), summary.repos), ("rules.toml", vec!["acme/*".to_owned()]));
}

#[test]
fn own_defaults_lie_under_the_shipped_rule_and_over_the_shipped_defaults() {
    let with = |defaults: &str| {
        let text = format!(
            "[defaults]\n{defaults}\n[[rule]]\nname = \"a\"\nuse = \"fix-failed-checks\"\nrepos = [\"acme/*\"]\n"
        );
        judge(&rules(&text), &Event { labels: Some(vec!["no-agent".to_owned()]), ..ci() }, None)
    };
    assert_eq!(with("").verdict.reason, "labels: no-agent is not wanted");
    let request = with("labels = []\nsettle = \"9m\"").request.unwrap();
    assert_eq!(request.settle.as_secs(), 60, "the shipped rule says 60s");
}

#[test]
fn a_shipped_prompt_is_never_mistaken_for_a_file_of_the_folder() {
    let text = "[[rule]]\nname = \"a\"\nuse = \"fix-failed-checks\"\nrepos = [\"**\"]\nlabels = []\n\
                [[rule]]\nname = \"b\"\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt_file = \"prompts/fix-checks.md\"\n";
    let files = vec![("rules.toml".to_owned(), text.to_owned())];
    let own = |_: &str| Ok("our own".to_owned());
    let set = compile(files, &Terms::default(), &own).rules.unwrap();
    let prompts: Vec<String> =
        judge_with(&set, &ci(), None, "{}").into_iter().map(|one| one.rendered.unwrap().prompt).collect();
    assert!(prompts[0].contains("unit"), "{}", prompts[0]);
    assert_eq!(prompts[1], "our own");
}

#[test]
fn a_shipped_rule_must_exist_and_where_it_acts_must_be_said() {
    let text = "[[rule]]\nname = \"a\"\nuse = \"fix-faild-checks\"\nrepos = [\"**\"]\non = [\"push\"]\nprompt = 'go'\n\
                [[rule]]\nname = \"b\"\nuse = \"red-main\"\n[[rule]]\nname = \"c\"\nuse = \"zzz\"\nrepos = [\"**\"]\non = [\"push\"]\nprompt = 'x'\n";
    let said = messages(text);
    let line = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    assert_eq!(said[0], line("there is no shipped rule \"fix-faild-checks\"", "did you mean \"fix-failed-checks\"?"));
    assert_eq!(said[1].0, "the rule has no \"repos\"");
    assert_eq!(said[2].0, "there is no shipped rule \"zzz\"");
    assert!(said[2].1.starts_with("there are fix-failed-checks, fix-failed-pipeline, "), "{}", said[2].1);
    assert_eq!(said.len(), 3);
}

#[test]
fn a_shipped_rule_tells_what_it_lacks() {
    let text = "[[rule]]\nname = \"a\"\nuse = \"ticket-ready-for-agent\"\nrepos = [\"**\"]\n";
    let expected = ("repo: there is no map \"repository\"".to_owned(), "add [maps.repository] to the rules".to_owned());
    assert_eq!(messages(text)[0], expected);
    assert!(
        messages(&format!("{text}[maps.repository]\nA = \"acme/a\"\n"))
            .iter()
            .all(|(message, _)| !message.contains("map"))
    );
}

#[test]
fn every_shipped_rule_can_be_used() {
    let names: Vec<String> = include_str!("../../../config/rules.toml")
        .lines()
        .filter_map(|line| Some(line.strip_prefix("name = \"")?.strip_suffix('"')?.to_owned()))
        .filter(|name| !name.contains(' '))
        .collect();
    assert_eq!(names.len(), 10);
    let rule = |name: &String| format!("[[rule]]\nname = \"{name}\"\nuse = \"{name}\"\nrepos = [\"acme/*\"]\n");
    let text = names.iter().map(rule).collect::<String>() + "[maps.repository]\nA = \"acme/a\"\n";
    assert_eq!(messages(&text), []);
}
