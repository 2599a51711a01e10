//! The commands that ask, as their users type them: the real binary beside a real daemon, or with files alone.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, House, OPERATOR, SECRET, failed_check};

const SHA: &str = "ec26c3e57ca3a959ca5aad62de7213c562f8c821";

/// Runs the binary and answers when it has ended.
fn run(folder: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A daemon whose rule passes over main.
struct Asked {
    house: House,
    daemon: Daemon,
}

impl Asked {
    fn new() -> Self {
        let house = House::new();
        let rules = house.path().join("rules.toml");
        let text = std::fs::read_to_string(&rules).unwrap();
        std::fs::write(&rules, text.replace("settle =", "branches = [\"!main\"]\nsettle =")).unwrap();
        std::fs::write(house.path().join("token"), OPERATOR).unwrap();
        let daemon = house.serve();
        Self { house, daemon }
    }

    /// What a command answers that must succeed.
    fn ask(&self, arguments: &[&str]) -> String {
        let remote = ["--url", &self.daemon.admin, "--token-file", "token"];
        let output = run(&self.house.path(), &[arguments, &remote].concat(), &[]);
        assert!(output.status.success(), "{arguments:?}: {}", out(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    async fn failed(&self, id: u64, branch: &str) -> Value {
        self.daemon.post(&failed_check(id, SHA).replace("fix/login", branch), SECRET).await.1
    }
}

#[tokio::test]
async fn from_a_rule_that_did_not_fire_to_the_reason_in_one_command() {
    let asked = Asked::new();
    let said = asked.failed(71, "main").await;
    let reason = "branches: main is not wanted";
    for arguments in [
        &["why", "https://github.com/acme/widgets/runs/71"][..],
        &["why", "ec26c3e"],
        &["why", "--rule", "fix", "--since", "8h"],
        &["explain", "--delivery", said["delivery"].as_str().unwrap()],
    ] {
        let told = asked.ask(arguments);
        assert!(told.contains(reason), "{arguments:?}:\n{told}");
        assert!(!told.contains('\u{1b}'), "colour where nobody looks:\n{told}");
    }
    let json: Value = serde_json::from_str(&asked.ask(&["why", "ec26c3e", "--json"])).unwrap();
    assert_eq!(json["steps"][0]["delivery"], said["delivery"]);
    let never = asked.ask(&["why", "https://github.com/acme/widgets/pull/42"]);
    assert!(never.contains("ever came") && never.contains("/webhooks/github"), "{never}");
}

#[tokio::test]
async fn from_an_idea_for_a_rule_to_what_it_would_have_done_without_sending_anything() {
    let asked = Asked::new();
    let id = asked.failed(71, "main").await["delivery"].as_str().unwrap().to_owned();
    let folder = asked.house.path();
    let wider = std::fs::read_to_string(folder.join("rules.toml")).unwrap().replace("branches = [\"!main\"]\n", "");
    std::fs::write(folder.join("new.toml"), wider.replace("prompt = ", "prompt_file = \"new.md\" #")).unwrap();
    std::fs::write(folder.join("new.md"), "Mend {{ event.sha }}").unwrap();

    let diff = asked.ask(&["rules", "diff", "--since", "7d", "--rules", "new.toml"]);
    assert!(diff.contains("+1 would match") && diff.contains(&id), "{diff}");
    let dry = asked.ask(&["replay", "--since", "2d"]);
    assert!(dry.contains("1 deliveries, a rule acts on 0") && dry.contains("dry"), "{dry}");

    // The delivery becomes a test of the new rule.
    let exported = asked.ask(&["deliveries", "export", &id]);
    std::fs::write(folder.join("main-red.json"), exported).unwrap();
    let test = "\n[[test]]\nname = \"main too\"\ndelivery = \"main-red.json\"\n\
                expect = { rule = \"fix\", decision = \"queued\", prompt = [\"Mend ec26\"] }\n";
    let rules = std::fs::read_to_string(folder.join("new.toml")).unwrap();
    std::fs::write(folder.join("new.toml"), rules + test).unwrap();
    let tested = run(&folder, &["test", "--rules", "new.toml", "--config", "hookrun.toml"], &[]);
    assert!(tested.status.success(), "{}", out(&tested));
    assert!(out(&tested).contains("ok      main too"), "{}", out(&tested));
    assert_eq!(asked.daemon.get("jobs").await["items"], serde_json::json!([]));
    // The shipped rules ask about three hosts, and these settings have a source of one.
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rules.toml");
    let tested = run(&folder, &["test", "--rules", shipped.to_str().unwrap(), "--config", "hookrun.toml"], &[]);
    assert!(out(&tested).contains("11 tests, all hold"), "{}", out(&tested));
}

#[tokio::test]
async fn a_replay_in_earnest_makes_a_job_after_the_first_was_cancelled() {
    let asked = Asked::new();
    let said = asked.failed(71, "fix/login").await;
    let id = said["delivery"].as_str().unwrap();
    asked.daemon.job_in(said["jobs"][0].as_str().unwrap(), &["succeeded"]).await;
    // The one run of the commit was sent: a replay is late like any other delivery.
    let dry = asked.ask(&["replay", id]);
    assert!(dry.contains("now       late") && dry.contains("dry: nothing was done"), "{dry}");
    let done = asked.ask(&["replay", id, "--execute"]);
    assert!(done.contains("recorded as delivery"), "{done}");
    assert_eq!(asked.daemon.get("deliveries").await["items"].as_array().unwrap().len(), 2);
    assert_eq!(asked.daemon.get("jobs").await["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_stands_in_the_way_of_asking_is_said_plainly() {
    let asked = Asked::new();
    let (folder, url) = (asked.house.path(), asked.daemon.admin.as_str());
    for (arguments, env, code, expected) in [
        (&["why", "ec26c3e", "--url", "http://127.0.0.1:1"][..], &[][..], 1, "nobody answers at http://127.0.0.1:1"),
        (&["why", "ec26c3e", "--url", url], &[], 1, "wants a token"),
        (
            &["why", "ec26c3e", "--url", url],
            &[("HOOKRUN_TOKEN", "another-token-than-theirs")],
            1,
            "does not know this token",
        ),
        (&["why", "12"], &[("HOOKRUN_URL", url), ("HOOKRUN_TOKEN", OPERATOR)], 1, "there is no run 12 of ours"),
        // The settings' token is used where the address is given; their own address is any free port.
        (&["why", "12", "--url", url, "--config", "hookrun.toml"], &[], 1, "there is no run 12 of ours"),
        (&["why", "12", "--config", "hookrun.toml"], &[], 1, "give the address with --url"),
        (&["why", "12", "--config", "none.toml"], &[], 78, "none.toml"),
        (&["why"], &[], 1, "why what?"),
        (&["why", "12", "--url", "nonsense"], &[], 1, "is no address"),
    ] {
        let output = run(&folder, arguments, env);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", out(&output));
        assert!(out(&output).contains(expected), "{arguments:?}: {}", out(&output));
        assert!(!out(&output).contains(OPERATOR), "a token is shown");
    }
}

#[test]
fn the_tests_of_the_shipped_rules_hold_and_one_that_does_not_shows_both_sides() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let tested = run(root, &["test"], &[]);
    assert!(tested.status.success(), "{}", out(&tested));
    assert!(out(&tested).contains("11 tests, all hold"), "{}", out(&tested));
    let one = run(root, &["test", "draft", "--json"], &[]);
    let one: Value = serde_json::from_slice(&one.stdout).unwrap();
    assert_eq!(one.as_array().unwrap().len(), 1, "{one}");

    let folder = tempfile::tempdir().unwrap();
    let rules = "[[rule]]\nname = \"fix\"\non = [\"ci.failed\"]\nrepos = [\"**\"]\nprompt = \"go {{ event.sha }}\"\n\
                 [[test]]\nname = \"wrong\"\ndelivery = \"red.json\"\n\
                 expect = { decision = \"queued\", key = \"x\", prompt = [\"stay\"] }\n\
                 [[test]]\nname = \"told twice\"\ngiven = [\"red.json\"]\ndelivery = \"red.json\"\n\
                 expect = { decision = \"queued\" }\n\
                 [[test]]\nname = \"no file\"\ndelivery = \"none.json\"\nexpect = { decision = \"queued\" }\n";
    std::fs::write(folder.path().join("rules.toml"), rules).unwrap();
    let red = format!("{{\"headers\": {{\"X-GitHub-Event\": \"check_run\"}}, \"body\": {}}}", failed_check(1, SHA));
    std::fs::write(folder.path().join("red.json"), &red).unwrap();
    let tested = run(folder.path(), &["test", "--rules", "rules.toml"], &[]);
    let said = out(&tested);
    assert_eq!(tested.status.code(), Some(1), "{said}");
    for expected in [
        "failed  wrong",
        "- expected  key x",
        "acme/widgets@ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        "- expected  a prompt with \"stay\"",
        "go ec26c3e57ca3a959ca5aad62de7213c562f8c821",
        "fix says duplicate",
        "none.json",
        "3 failed",
    ] {
        assert!(said.contains(expected), "it does not say {expected}:\n{said}");
    }
    let explained = run(folder.path(), &["explain", "red.json", "--rules", "rules.toml"], &[]);
    assert!(out(&explained).contains("every condition holds"), "{}", out(&explained));
    // The same body without its headers' file, and with a control character that a terminal would obey.
    std::fs::write(
        folder.path().join("body.json"),
        failed_check(1, SHA).replace("acme/widgets", "acme/wid\\u001b[31mgets"),
    )
    .unwrap();
    let arguments =
        ["explain", "--file", "body.json", "--header", "X-GitHub-Event: check_run", "--rules", "rules.toml"];
    let explained = run(folder.path(), &arguments, &[]);
    assert!(explained.status.success(), "{}", out(&explained));
    assert!(
        out(&explained).contains("check_run.completed") && !out(&explained).contains('\u{1b}'),
        "{}",
        out(&explained)
    );
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "it left something behind");
}
