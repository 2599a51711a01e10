//! The real binary as its users start it: `sandbox` and `serve` as processes, webhooks by HTTP, kill -9.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{install_tls, until};

pub(crate) const SECRET: &str = "a-webhook-secret-for-tests";
pub(crate) const OPERATOR: &str = "an-operator-token-for-tests";
const TOKEN: &str = "a-codegen-token-for-tests";

const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["acme/widgets"]
settle = "0s"
limits = { rule = "50/day" }
prompt = "{{ event.repo }} failed at {{ event.sha }}"
"#;

/// A client without proxies.
pub(crate) fn http() -> reqwest::Client {
    install_tls();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// A process of ours that is killed when the test is over.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Process {
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hookrun"))
            .args(arguments)
            .current_dir(folder)
            .env_clear()
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(folder.join(format!("{}.log", arguments[0]))).unwrap())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The `http://address` in the next line that has one.
    pub(crate) fn address(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "it ended before it said where it listens");
            if let Some(at) = line.find("http://") {
                let rest = &line[at + 7..];
                let end = rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
                return format!("http://{}", &rest[..end]);
            }
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Stops it and waits until it has written all that it had to.
    pub(crate) fn end(&mut self) {
        self.signal("-TERM");
        assert_eq!(self.wait(), Some(0));
    }

    fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder with settings and rules, and a sandbox to send to.
pub(crate) struct House {
    folder: tempfile::TempDir,
    _sandbox: Process,
    sandbox: String,
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(&[])
    }

    fn with(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let arguments =
            [&["sandbox", "--listen", "127.0.0.1:0", "--token", TOKEN, "--org-id", "7", "--speed", "20"], flags];
        let mut sandbox = Process::start(&arguments.concat(), folder.path());
        let address = sandbox.address();
        let settings = format!(
            r#"
[webhooks]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
tokens = [{{ name = "ops", role = "operator", secret = "{OPERATOR}" }}]
[codegen]
base_url = "{address}"
org_id = 7
token = "{TOKEN}"
poll_interval = "1s"
[rules]
path = "rules.toml"
[sources.github]
kind = "github"
secrets = ["{SECRET}"]
"#
        );
        std::fs::write(folder.path().join("hookrun.toml"), settings).unwrap();
        std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
        Self { folder, _sandbox: sandbox, sandbox: address }
    }

    pub(crate) fn serve(&self) -> Daemon {
        let mut process = Process::start(&["serve", "--config", "hookrun.toml"], self.folder.path());
        let webhooks = process.address();
        let admin = process.address();
        Daemon { process, webhooks, admin, http: http() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    async fn runs(&self) -> Value {
        let url = format!("{}/v1/organizations/7/agent/runs", self.sandbox);
        let http = http();
        http.get(url).bearer_auth(TOKEN).send().await.unwrap().json().await.unwrap()
    }
}

pub(crate) struct Daemon {
    process: Process,
    webhooks: String,
    pub(crate) admin: String,
    http: reqwest::Client,
}

impl Daemon {
    pub(crate) async fn post(&self, body: &str, secret: &str) -> (u16, Value) {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let answer = self
            .http
            .post(format!("{}/webhooks/github", self.webhooks))
            .header("content-type", "application/json")
            .header("x-github-event", "check_run")
            .header("x-github-delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")
            .header("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes())))
            .body(body.to_owned())
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/v1/{path}", self.admin);
        self.http.get(url).bearer_auth(OPERATOR).send().await.unwrap().json().await.unwrap()
    }

    /// The job, as soon as it is in one of these states.
    pub(crate) async fn job_in(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("job {id} in {states:?}"), async || {
            let job = self.get(&format!("jobs/{id}")).await;
            job["state"].as_str().is_some_and(|state| states.contains(&state)).then_some(job)
        })
        .await
    }
}

/// A failed check run on a branch of the repository itself.
pub(crate) fn failed_check(id: u64, sha: &str) -> String {
    json!({
        "action": "completed",
        "check_run": {
            "id": id, "name": "unit-tests", "head_sha": sha, "status": "completed", "conclusion": "failure",
            "html_url": format!("https://github.com/acme/widgets/runs/{id}"), "completed_at": "2026-01-15T10:03:12Z",
            "output": {"title": "3 tests failed", "summary": "see log"},
            "check_suite": {"id": 5, "head_branch": "fix/login", "head_sha": sha},
            "app": {"slug": "github-actions"}, "pull_requests": [],
        },
        "repository": {"id": 1, "name": "widgets", "full_name": "acme/widgets", "private": false,
            "html_url": "https://github.com/acme/widgets", "default_branch": "main"},
        "sender": {"login": "mia", "id": 2, "type": "User"},
    })
    .to_string()
}

#[tokio::test]
async fn a_signed_webhook_becomes_one_finished_run() {
    let house = House::new();
    let daemon = house.serve();
    let body = failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821");

    let (status, said) = daemon.post(&body, SECRET).await;
    assert_eq!((status, &said["outcome"]), (202, &json!("accepted")), "{said:#}");
    let job = said["jobs"][0].as_str().unwrap();
    let ended = daemon.job_in(job, &["succeeded"]).await;

    assert_eq!(ended["run"]["status"], "COMPLETE");
    let (status, again) = daemon.post(&body, SECRET).await;
    assert_eq!((status, &again["outcome"]), (200, &json!("duplicate")));
    let runs = house.runs().await;
    assert_eq!(runs["total"], 1);
    assert_eq!(runs["items"][0]["metadata"], json!({"hookrun": {"job": job}}));
    assert_eq!(runs["items"][0]["id"], ended["run"]["id"]);
}

#[tokio::test]
async fn a_forged_webhook_leaves_nothing_behind() {
    let house = House::new();
    let daemon = house.serve();
    let (status, said) =
        daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), "another-secret-of-theirs").await;
    assert_eq!(status, 401, "{said:#}");
    assert_eq!(daemon.get("deliveries").await["items"], json!([]));
    assert_eq!(daemon.get("jobs").await["items"], json!([]));
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let house = House::new();
    let mut daemon = house.serve();
    let (_, first) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let (_, second) = daemon.post(&failed_check(2, "b4f2a3e57ca3a959ca5aad62de7213c562f8c822"), SECRET).await;
    daemon.process.signal("-KILL");
    daemon.process.wait();

    let daemon = house.serve();
    for said in [first, second] {
        let job = said["jobs"][0].as_str().unwrap();
        // Killed between the call and its answer a job is uncertain until its run is found; that takes half a minute of
        // waiting by design, so here it is enough that it is alive and known.
        daemon.job_in(job, &["succeeded", "running", "uncertain"]).await;
    }
    assert!(house.runs().await["total"].as_i64().unwrap() <= 2);
}

#[tokio::test]
async fn killed_before_the_answer_to_a_create_it_finds_its_run_and_makes_no_second_one() {
    let house = House::new();
    // The run is made; its answer would come long after the daemon is gone.
    let script = json!([{"on": "create", "fault": {"kind": "slow", "millis": 60_000, "when": "after"}}]);
    let told = http().post(format!("{}/sandbox/faults", house.sandbox)).json(&script).send().await.unwrap();
    assert_eq!(told.status(), 200);
    let mut daemon = house.serve();
    let (_, said) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let job = said["jobs"][0].as_str().unwrap();
    // Asked by the sandbox's own path, which is charged to no window: a 429 would be no answer.
    let made = format!("{}/sandbox/runs", house.sandbox);
    until("the run", async || {
        let runs: Vec<Value> = http().get(&made).send().await.unwrap().json().await.unwrap();
        (!runs.is_empty()).then_some(())
    })
    .await;
    daemon.process.signal("-KILL");
    daemon.process.wait();

    let daemon = house.serve();
    assert_eq!(daemon.get(&format!("jobs/{job}")).await["state"], "uncertain");
    // A run is sure to be listed half a minute after the call that made it has ended, and not before.
    let ended = daemon.job_in(job, &["succeeded"]).await;
    let runs = house.runs().await;
    assert_eq!((&runs["total"], &runs["items"][0]["id"]), (&json!(1), &ended["run"]["id"]));
}

#[tokio::test]
async fn a_second_serve_on_the_same_database_refuses_to_start() {
    let house = House::new();
    let _daemon = house.serve();
    let second = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["serve", "--config", "hookrun.toml"])
        .current_dir(house.path())
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("hookrun.db") && said.contains("another"), "{said}");
}

#[tokio::test]
async fn changed_rules_count_on_sighup_and_broken_ones_are_told_while_the_old_ones_work() {
    let house = House::new();
    let mut daemon = house.serve();
    let before = daemon.get("status").await["rules"].clone();
    assert_eq!((&before["stale"], &before["problems"]), (&json!(false), &json!([])));
    let rules = async |expected: &str, fits: fn(&Value) -> bool| {
        until(expected, async || {
            let rules = daemon.get("status").await["rules"].take();
            fits(&rules).then_some(rules)
        })
        .await
    };
    let write = |text: &str| std::fs::write(house.path().join("rules.toml"), text).unwrap();

    write(&format!("{RULES}{}", RULES.replace("\"fix\"", "\"fix-too\"")));
    daemon.process.signal("-HUP");
    let now = rules("the second rule", |rules| rules["count"] == 2).await;
    assert_ne!(now["hash"], before["hash"]);
    let names = daemon.get("rules").await;
    assert_eq!(names["items"][1]["name"], "fix-too");

    write(&RULES.replace("ci.failed", "ci.faild"));
    daemon.process.signal("-HUP");
    let broken = rules("the breakage", |rules| rules["stale"] == true).await;
    assert_eq!((&broken["hash"], &broken["loaded_at"]), (&now["hash"], &now["loaded_at"]));
    let drawn = broken["problems"][0]["text"].as_str().unwrap();
    assert!(drawn.contains("rules.toml:4:7") && drawn.contains("^^^^^^^^^^"), "{drawn}");
    let (_, said) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let delivery = daemon.get(&format!("deliveries/{}", said["delivery"].as_str().unwrap())).await;
    assert_eq!(delivery["verdicts"][0]["rules_hash"], now["hash"], "{delivery:#}");
    assert_eq!(said["jobs"].as_array().unwrap().len(), 2);

    write(RULES);
    daemon.process.signal("-HUP");
    let repaired = rules("the repair", |rules| rules["stale"] == false).await;
    assert_eq!((&repaired["hash"], &repaired["count"]), (&before["hash"], &json!(1)));
    daemon.process.end();
}

#[tokio::test]
async fn sigterm_ends_it_cleanly() {
    let house = House::new();
    let mut daemon = house.serve();
    daemon.process.end();
}

#[test]
fn wrong_settings_and_rules_exit_78_with_every_problem() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("hookrun.toml"),
        "[codegen]\norg_id = \"seven\"\ntokn = \"x\"\n[rules]\npath = \"rules.toml\"\n[sources.github]\nkind = \"github\"\nsecrets = [\"short\"]\n",
    )
    .unwrap();
    std::fs::write(folder.path().join("rules.toml"), "[[rule]]\nname = \"a\"\non = [\"ci.faild\"]\nrepoz = [\"**\"]\n")
        .unwrap();
    for command in ["check", "serve"] {
        let out = Command::new(env!("CARGO_BIN_EXE_hookrun"))
            .args([command, "--config", "hookrun.toml"])
            .current_dir(folder.path())
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(78), "{said}");
        for expected in [
            "hookrun.toml:2:",
            "hookrun.toml:3:",
            "tokn",
            "hookrun.toml:8:",
            "rules.toml:3:",
            "ci.failed",
            "rules.toml:4:",
            "repos",
        ] {
            assert!(said.contains(expected), "{command} does not say {expected}:\n{said}");
        }
        assert!(!said.contains("\"short\""), "a secret is shown:\n{said}");
    }
    let (code, problems) = check_json(folder.path());
    assert_eq!(code, Some(78));
    let faild = problems.iter().find(|problem| problem["message"].as_str().unwrap().contains("ci.faild")).unwrap();
    assert_eq!((&faild["severity"], &faild["origin"]), (&json!("error"), &json!("rules.toml")));
    assert_eq!(faild["place"], json!({"line": 3, "column": 7, "width": 10, "text": "on = [\"ci.faild\"]"}));
}

fn check_json(folder: &Path) -> (Option<i32>, Vec<Value>) {
    let out = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["check", "--json", "--config", "hookrun.toml"])
        .current_dir(folder)
        .env_clear()
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&out.stderr), "");
    (out.status.code(), serde_json::from_slice(&out.stdout).unwrap())
}

/// A repository of rules holds no token and no organization: its CI asks about the rules alone.
#[test]
fn rules_are_checked_alone_where_no_settings_are_given() {
    let folder = tempfile::tempdir().unwrap();
    let check = |arguments: &[&str], variable: Option<(&str, &str)>| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hookrun"));
        command.arg("check").args(arguments).current_dir(folder.path()).env_clear().envs(variable);
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned())
    };
    let write = |kind: &str| {
        let rule = format!(
            "[[rule]]\nname = \"a\"\non = [\"{kind}\"]\nrepos = [\"acme/*\"]\nlimits = {{ rule = \"9/day\" }}\nprompt = 'x'\n"
        );
        std::fs::write(folder.path().join("mine.toml"), rule).unwrap();
    };
    write("push");
    let (code, said) = check(&["--rules", "mine.toml"], None);
    assert!(code == Some(0) && said.contains("all good") && said.contains("no settings were given"), "{said}");
    assert_eq!(check(&["--rules", "mine.toml", "--json"], None), (Some(0), "[]\n".to_owned()));
    write("pusch");
    let (code, said) = check(&["--rules", "mine.toml"], None);
    assert!(code == Some(78) && said.contains("mine.toml:3:"), "{said}");
    // Whoever gives one setting is told what is wrong with all of them.
    for (arguments, variable) in [
        (&["--rules", "mine.toml", "--database", "sqlite:x.db"][..], None),
        (&["--rules", "mine.toml"], Some(("HOOKRUN_LOG__LEVEL", "info"))),
    ] {
        let (code, said) = check(arguments, variable);
        assert!(code == Some(78) && said.contains("codegen.token"), "{said}");
    }
}

#[test]
fn warnings_do_not_fail_a_check_and_rules_are_checked_under_the_ceilings_of_the_settings() {
    let house = House::new();
    let settings = std::fs::read_to_string(house.path().join("hookrun.toml")).unwrap();
    let write = |more: &str| std::fs::write(house.path().join("hookrun.toml"), format!("{settings}{more}")).unwrap();
    write("[sources.open]\nkind = \"github\"\ninsecure_unsigned = true\n");
    let (code, problems) = check_json(&house.path());
    assert_eq!(code, Some(0), "{problems:#?}");
    assert!(problems.iter().all(|problem| problem["severity"] == "warning"), "{problems:#?}");
    assert!(
        problems.iter().any(|problem| problem["message"].as_str().unwrap().contains("insecure_unsigned")),
        "{problems:#?}"
    );
    write("[limits]\nall = [\"50/day\"]\n[rules.files.\"rules.toml\"]\nlimits = [\"2 running\"]\n");
    let settings = std::fs::read_to_string(house.path().join("hookrun.toml")).unwrap();
    std::fs::write(house.path().join("hookrun.toml"), settings.replace("org_id = 7", "org_id = 7\ncost = 0.8"))
        .unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["check", "--config", "hookrun.toml"])
        .current_dir(house.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    for expected in ["all rules: at most 50/day (about 40.00 USD)", "rules.toml: at most 2 running (about 1.60 USD)"] {
        assert!(said.contains(expected), "{said}");
    }
    write("[rules.files.\"rule.toml\"]\nlimits = [\"50/day\"]\n");
    let (code, problems) = check_json(&house.path());
    assert_eq!((code, problems.len()), (Some(78), 1), "{problems:#?}");
    assert_eq!(problems[0]["help"], "did you mean \"rules.toml\"?");
}

#[test]
fn the_demo_ends_by_itself_when_all_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(["demo", "--once"])
        .current_dir(folder.path())
        .env_clear()
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success(), "{said}\n{}", String::from_utf8_lossy(&out.stderr));
    for expected in ["GitHub", "GitLab", "Jira", "refused", "duplicate", "finished"] {
        assert!(said.contains(expected), "it does not say {expected}:\n{said}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "it left something behind");
}
