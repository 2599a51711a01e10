//! What the reader says about rules that are wrong.

use hookrun::model::policy::Terms;
use hookrun::rules::compile;

fn problems(text: &str) -> String {
    let read = |name: &str| match name {
        "bad.md" => Ok("Hello\n{{ event.rep }}".to_owned()),
        "issue.md" => Ok("{% include 'key.md' %}".to_owned()),
        "key.md" => Ok("{{ event.issue.key }}".to_owned()),
        _ => Err(format!("\"{name}\" cannot be read: no such file")),
    };
    let loaded = compile(vec![("rules.toml".to_owned(), text.to_owned())], &Terms::default(), &read);
    assert!(loaded.rules.is_none());
    loaded.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn misspelt_and_mistyped_keys_and_events_are_told_at_once() {
    let text = r#"[[rule]]
name = "a"
on = ["ci.faild", "github:x", "c[i"]
repo = ["acme/*"]
whoo = ["mia"]
mode = "lve"
settle = 60
prompt = 'go'
"#;
    let expected = r#"error: the rule has no "repos"
 --> rules.toml:1:1
  |
1 | [[rule]]
  | ^^^^^^^^
  = help: say where, e.g. repos = ["acme/*"]; ["**"] means all

error: there is no event "ci.faild"
 --> rules.toml:3:7
  |
3 | on = ["ci.faild", "github:x", "c[i"]
  |       ^^^^^^^^^^
  = help: did you mean "ci.failed"?

error: "c[i" is no pattern: unclosed character class; missing ']'
 --> rules.toml:3:31
  |
3 | on = ["ci.faild", "github:x", "c[i"]
  |                               ^^^^^

error: "repo" must be text, not a list
 --> rules.toml:4:8
  |
4 | repo = ["acme/*"]
  |        ^^^^^^^^^^

error: a rule has no key "whoo"
 --> rules.toml:5:1
  |
5 | whoo = ["mia"]
  | ^^^^
  = help: did you mean "who"?

error: "mode" must be one of "live", "shadow", "off"
 --> rules.toml:6:8
  |
6 | mode = "lve"
  |        ^^^^^
  = help: did you mean "live"?

error: "settle" must be text, not a number
 --> rules.toml:7:10
  |
7 | settle = 60
  |          ^^
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn groups_patterns_spans_and_double_names_are_checked() {
    let text = r#"[[rule]]
name = "a"
on = ["push"]
repos = ["@paymets", "acme/["]
settle = "60"
per = "comit"
allow = ["draft"]
prompt = 'go'
[groups]
payments = ["acme/pay", "@x"]
[[rule]]
name = "a"
on = []
repos = ["**"]
"#;
    let expected = r#"error: there is no group "paymets"
 --> rules.toml:4:10
  |
4 | repos = ["@paymets", "acme/["]
  |          ^^^^^^^^^^
  = help: did you mean "@payments"?

error: "acme/[" is no pattern: unclosed character class; missing ']'
 --> rules.toml:4:22
  |
4 | repos = ["@paymets", "acme/["]
  |                      ^^^^^^^^

error: "60" is no span of time; write it as "60s", "30m", "24h" or "14d"
 --> rules.toml:5:10
  |
5 | settle = "60"
  |          ^^^^

error: "per" must be "commit", "subject", "branch", "event" or a template
 --> rules.toml:6:7
  |
6 | per = "comit"
  |       ^^^^^^^
  = help: did you mean "commit"?

error: "allow" must be one of "drafts", "forks", "bots", "agent"
 --> rules.toml:7:10
  |
7 | allow = ["draft"]
  |          ^^^^^^^
  = help: did you mean "drafts"?

error: a group cannot name a group
  --> rules.toml:10:25
   |
10 | payments = ["acme/pay", "@x"]
   |                         ^^^^

error: the rule has no "prompt"
  --> rules.toml:11:1
   |
11 | [[rule]]
   | ^^^^^^^^
  = help: or give a "prompt_file"

error: two rules are named "a"
  --> rules.toml:12:8
   |
12 | name = "a"
   |        ^^^
  = help: the first is in rules.toml, line 2; decisions and jobs go by the name

error: "on" is empty: the rule would never match
  --> rules.toml:13:6
   |
13 | on = []
   |      ^^
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn meaning_3_misspelt_fields_are_found_when_rules_are_read() {
    let text = r#"[[rule]]
name = "a"
on = ["ci.failed"]
repos = ["**"]
when = "event.actor.logim == 'mia' and event['actor']['nam'] and event.issue and evnt"
prompt = '''
Hello
{{ failed | map(attribute='nmae') | join }} {{ event.repo | shout }} {{ event.repo.name }}
{% macro x() %}{% endmacro %}{{ event.repo.split('/') }}
'''
"#;
    let expected = r#"error: when: a person has no field "logim"
 --> rules.toml:5:14
  |
5 | when = "event.actor.logim == 'mia' and event['actor']['nam'] and event.issue and evnt"
  |              ^^^^^^^^^^^^
  = help: did you mean "login"?

error: when: a person has no field "nam"
 --> rules.toml:5:45
  |
5 | when = "event.actor.logim == 'mia' and event['actor']['nam'] and event.issue and evnt"
  |                                             ^^^^^^^^^^^^^^^^
  = help: did you mean "name"?

error: when: event.issue is never there for ci.failed
 --> rules.toml:5:66
  |
5 | when = "event.actor.logim == 'mia' and event['actor']['nam'] and event.issue and evnt"
  |                                                                  ^^^^^^^^^^^

error: when: there is no "evnt" here
 --> rules.toml:5:82
  |
5 | when = "event.actor.logim == 'mia' and event['actor']['nam'] and event.issue and evnt"
  |                                                                                  ^^^^
  = help: did you mean "event"?

error: prompt: check has no field "nmae"
 --> rules.toml:8:13
  |
8 | {{ failed | map(attribute='nmae') | join }} {{ event.repo | shout }} {{ event.repo.name }}
  |             ^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean "name"?

error: prompt: there is no filter "shout"
 --> rules.toml:8:61
  |
8 | {{ failed | map(attribute='nmae') | join }} {{ event.repo | shout }} {{ event.repo.name }}
  |                                                             ^^^^^

error: prompt: a plain value has no field "name"
 --> rules.toml:8:78
  |
8 | {{ failed | map(attribute='nmae') | join }} {{ event.repo | shout }} {{ event.repo.name }}
  |                                                                              ^^^^^^^^^^

error: prompt: "macro" is not part of the rules language
 --> rules.toml:9:4
  |
9 | {% macro x() %}{% endmacro %}{{ event.repo.split('/') }}
  |    ^^^^^^^^^^^^^^^^^^^^^^^
  = help: prompts have text, {{ values }}, if, for, set, with and include

error: prompt: values have no methods
 --> rules.toml:9:43
  |
9 | {% macro x() %}{% endmacro %}{{ event.repo.split('/') }}
  |                                           ^^^^^^^^^^^
  = help: use a filter, e.g. {{ event.repo | upper }}
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn a_fault_is_marked_inside_the_string_or_in_the_file_that_it_stands_in() {
    let text = r#"[[rule]]
name = "a"
on = ["push"]
repos = ["**"]
when = "event.sha =="
prompt = "Hi \u00e9 {{ event.shaa }}"
[[rule]]
name = "b"
on = ["push"]
repos = ["**"]
prompt_file = "none.md"
[[rule]]
name = "c"
on = ["push"]
repos = ["**"]
prompt = "x {% include 'bad.md' %}"
"#;
    let expected = r#"error: when: unexpected end of input, expected expression
 --> rules.toml:5:19
  |
5 | when = "event.sha =="
  |                   ^^

error: prompt: event has no field "shaa"
 --> rules.toml:6:10
  |
6 | prompt = "Hi \u00e9 {{ event.shaa }}"
  |          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
  = help: did you mean "sha"?

error: "none.md" cannot be read: no such file
  --> rules.toml:11:15
   |
11 | prompt_file = "none.md"
   |               ^^^^^^^^^

error: event has no field "rep"
 --> bad.md:2:4
  |
2 | {{ event.rep }}
  |    ^^^^^^^^^
  = help: did you mean "repo"?
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn toml_that_cannot_be_read_shows_where() {
    let text = r#"[[rule]
name = "a"
x = = 1
"#;
    let expected = r"error: unclosed array table, expected `]`
 --> rules.toml:1:8
  |
1 | [[rule]
  |        ^

error: extra `=`, expected nothing
 --> rules.toml:3:5
  |
3 | x = = 1
  |     ^

error: unexpected key or value, expected newline, `#`
 --> rules.toml:3:7
  |
3 | x = = 1
  |       ^
";
    assert_eq!(problems(text), expected);
}

#[test]
fn commands_need_comments_and_tests_need_their_keys() {
    let text = r#"[[rule]]
name = "a"
on = ["push"]
repos = ["**"]
prompt = 'go'
command = ["/agent"]
[[test]]
name = "t"
delivery = "x.json"
expect = { rule = "b", decision = "quued" }
[[test]]
nam = "t"
"#;
    let expected = r#"error: "command" is for comment.created, which is not in "on"
 --> rules.toml:6:11
  |
6 | command = ["/agent"]
  |           ^^^^^^^^^^

error: there is no rule "b"
  --> rules.toml:10:19
   |
10 | expect = { rule = "b", decision = "quued" }
   |                   ^^^
  = help: did you mean "a"?

error: "decision" must be one of "queued", "joined", "duplicate", "late", "shadow", "denied", "no_match", "failed"
  --> rules.toml:10:35
   |
10 | expect = { rule = "b", decision = "quued" }
   |                                   ^^^^^^^
  = help: did you mean "queued"?

error: the test has no "name"
  --> rules.toml:11:1
   |
11 | [[test]]
   | ^^^^^^^^

error: the test has no "delivery"
  --> rules.toml:11:1
   |
11 | [[test]]
   | ^^^^^^^^

error: the test has no "expect"
  --> rules.toml:11:1
   |
11 | [[test]]
   | ^^^^^^^^

error: a test has no key "nam"
  --> rules.toml:12:1
   |
12 | nam = "t"
   | ^^^
  = help: did you mean "name"?
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn defaults_stand_once_and_name_nothing() {
    let file = |name: &str, text: &str| (name.to_owned(), text.to_owned());
    let files = vec![
        file("a.toml", "[defaults]\nname = \"x\"\n[groups]\ng = []\n"),
        file("b.toml", "[defaults]\n[groups]\ng = []\n"),
    ];
    let messages: Vec<_> = compile(files, &Terms::default(), &|_| Err(String::new()))
        .problems
        .into_iter()
        .map(|problem| (problem.origin, problem.message))
        .collect();
    let expected = [
        ("a.toml", "defaults cannot give every rule the same name"),
        ("b.toml", "a second [defaults]: the first, in a.toml, counts for all files"),
        ("b.toml", "two groups are named \"g\""),
    ];
    assert_eq!(messages, expected.map(|(origin, message)| (origin.to_owned(), message.to_owned())));
}

#[test]
fn a_rule_replaces_what_the_defaults_say() {
    let text = "[defaults]\non = [\"push\"]\nrepos = [\"acme/*\"]\nprompt = 'general'\nmode = \"off\"\n[[rule]]\nname = \"a\"\nmode = \"live\"\nprompt_file = \"p.md\"\n";
    let rules = compile(vec![("rules.toml".to_owned(), text.to_owned())], &Terms::default(), &|_| Ok("own".to_owned()))
        .rules
        .unwrap();
    let summary = rules.rules().next().unwrap();
    assert_eq!((summary.mode, summary.on, summary.repos), ("live", vec!["push".to_owned()], vec!["acme/*".to_owned()]));
}

#[test]
fn a_broken_prompt_file_is_told_once_with_its_own_line() {
    let rule = |name: &str| {
        format!("[[rule]]\nname = \"{name}\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt_file = \"bad.md\"\n")
    };
    let told = problems(&(rule("a") + &rule("b")));
    assert_eq!(told.matches("--> bad.md:2:4").count(), 1, "{told}");
}

#[test]
fn a_prompt_file_is_checked_for_the_events_of_every_rule_that_names_it() {
    let rule = |on: &str| {
        format!("[[rule]]\nname = \"{on}\"\non = [\"{on}\"]\nrepos = [\"**\"]\nprompt_file = \"issue.md\"\n")
    };
    for text in [rule("issue.opened") + &rule("ci.failed"), rule("ci.failed") + &rule("issue.opened")] {
        let told = problems(&text);
        assert!(told.starts_with("error: event.issue is never there for ci.failed\n --> key.md:1:4\n"), "{told}");
        assert_eq!(told.matches("error: ").count(), 1, "{told}");
    }
}

/// Rules that are wrong in every key about how much, when and by whose leave.
const WRONG_TERMS: &str = r#"[[rule]]
name = "a"
on = ["ci.failed"]
repos = ["**"]
prompt = 'go'
limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
approval = { above = "2 running", first = 10 }
hours = "Mon-Fry 07:00-19:00"
priority = "urgnet"
action = "tell"
then = ["start", "resume"]
on_stale = "kill"
settle = "1h"
settle_max = "30"
follow_up = "{{ event.rep }}"
"#;

#[test]
fn limits_approval_hours_and_ways_are_checked_at_once() {
    let expected = r#"error: 0 attempts would let nothing through
 --> rules.toml:6:23
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                       ^
  = help: to stop a rule set mode = "off"

error: "10/dya" is no limit; write it as "10/hour", "50/day", "200/week" or "2 running"; did you mean "10/day"?
 --> rules.toml:6:37
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                                     ^^^^^^^^

error: "0/day" would let nothing through; a rule is stopped by mode = "off"
 --> rules.toml:6:47
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                                               ^^^^^^^

error: "rule" must be text or a list, not a number
 --> rules.toml:6:64
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                                                                ^

error: limits has no key "persn"
 --> rules.toml:6:67
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                                                                   ^^^^^
  = help: did you mean "person"?

error: "ten" is no limit; write it as "10/hour", "50/day", "200/week" or "2 running"
 --> rules.toml:6:91
  |
6 | limits = { attempts = 0, subject = ["10/dya", "0/day"], rule = 5, persn = "1/day", repo = "ten" }
  |                                                                                           ^^^^^

error: approval has both "above" and "first"
 --> rules.toml:7:43
  |
7 | approval = { above = "2 running", first = 10 }
  |                                           ^^
  = help: choose one

error: "Fry" is no day; there are Mon, Tue, Wed, Thu, Fri, Sat, Sun
 --> rules.toml:8:9
  |
8 | hours = "Mon-Fry 07:00-19:00"
  |         ^^^^^^^^^^^^^^^^^^^^^

error: "priority" must be one of "urgent", "normal", "background"
 --> rules.toml:9:12
  |
9 | priority = "urgnet"
  |            ^^^^^^^^
  = help: did you mean "urgent"?

error: "action" must be one of "run", "setup_commands", "ban"
  --> rules.toml:10:10
   |
10 | action = "tell"
   |          ^^^^^^

error: "resume" after "start" is never tried
  --> rules.toml:11:18
   |
11 | then = ["start", "resume"]
   |                  ^^^^^^^^

error: "on_stale" must be one of "leave", "tell", "ban"
  --> rules.toml:12:12
   |
12 | on_stale = "kill"
   |            ^^^^^^

error: "settle" may be at most 30m, which is settle_max
  --> rules.toml:13:10
   |
13 | settle = "1h"
   |          ^^^^
  = help: give the rule a longer settle_max

error: "30" is no span of time; write it as "60s", "30m", "24h" or "14d"
  --> rules.toml:14:14
   |
14 | settle_max = "30"
   |              ^^^^

error: follow_up: event has no field "rep"
  --> rules.toml:15:17
   |
15 | follow_up = "{{ event.rep }}"
   |                 ^^^^^^^^^
  = help: did you mean "repo"?
"#;
    assert_eq!(problems(WRONG_TERMS), expected);
}

#[test]
fn what_says_nothing_is_an_error() {
    let text = r#"[[rule]]
name = "b"
on = ["ci.failed"]
repos = ["**"]
prompt = 'go'
approval = {}
then = []
settle = "31m"
"#;
    let expected = r#"error: approval says nothing
 --> rules.toml:6:12
  |
6 | approval = {}
  |            ^^
  = help: e.g. { above = "20/day" }, { first = 10 } or { wait = "24h" }

error: "then" is empty: nothing would ever be sent
 --> rules.toml:7:8
  |
7 | then = []
  |        ^^
  = help: e.g. then = ["resume", "start"]

error: "settle" may be at most 30m, which is settle_max
 --> rules.toml:8:10
  |
8 | settle = "31m"
  |          ^^^^^
  = help: give the rule a longer settle_max
"#;
    assert_eq!(problems(text), expected);
}

#[test]
fn files_that_include_each_other_are_told_with_the_chain() {
    let read = |name: &str| match name {
        "a.md" => Ok("A {% include 'b.md' %}".to_owned()),
        "b.md" => Ok("B\n{% include 'c.md' %}".to_owned()),
        "c.md" => Ok("C {% include 'b.md' %}".to_owned()),
        "twice.md" => Ok("{% include 'leaf.md' %}{% include 'leaf.md' %}".to_owned()),
        "leaf.md" => Ok("leaf".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    let rule =
        |file: &str| format!("[[rule]]\nname = \"r\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt_file = \"{file}\"\n");
    let files = |file: &str| vec![("rules.toml".to_owned(), rule(file))];
    let loaded = compile(files("a.md"), &Terms::default(), &read);
    let expected = r#"error: "b.md" would include itself without end: b.md -> c.md -> b.md
 --> c.md:1:14
  |
1 | C {% include 'b.md' %}
  |              ^^^^^^
"#;
    assert_eq!(loaded.problems.iter().map(ToString::to_string).collect::<String>(), expected);
    assert!(
        compile(files("twice.md"), &Terms::default(), &read).rules.is_some(),
        "to include a file twice is no circle"
    );
}

#[test]
fn a_test_may_expect_what_only_the_store_decides() {
    let one = |decision: &str| {
        format!(
            "[[rule]]\nname = \"r\"\non = [\"push\"]\nrepos = [\"**\"]\nprompt = 'go'\n[[test]]\nname = \"t\"\n\
             given = [\"a.json\"]\ndelivery = \"b.json\"\nexpect = {{ rule = \"r\", decision = \"{decision}\" }}\n"
        )
    };
    for decision in ["joined", "duplicate", "late"] {
        let files = vec![("rules.toml".to_owned(), one(decision))];
        let rules = compile(files, &Terms::default(), &|_| Err(String::new())).rules.unwrap();
        assert_eq!(rules.tests()[0].decision, decision);
    }
}

#[test]
fn a_kind_of_one_source_is_as_typed_as_the_kind_itself() {
    let text = |on: &str| {
        format!("[[rule]]\nname = \"a\"\non = [\"{on}\"]\nrepos = [\"**\"]\nwhen = \"event.issue\"\nprompt = 'go'\n")
    };
    for typed in ["github:ci.failed", "gitlab:ci.*"] {
        assert!(problems(&text(typed)).contains("event.issue is never there for ci."), "{typed}");
    }
    for native in ["github:check_run.completed", "github:push", "github:c*.*"] {
        let files = vec![("rules.toml".to_owned(), text(native))];
        assert!(compile(files, &Terms::default(), &|_| Err(String::new())).rules.is_some(), "{native}");
    }
}
