//! The commands that operate a running hookrun, as a person types them, against the real binary.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::daemon::{Daemon, House, OPERATOR, SECRET, failed_check, http};

/// What a command wrote, and how it ended.
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Runs the program with these arguments; nobody sits at the terminal.
fn run(daemon: &Daemon, arguments: &[&str]) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_hookrun"))
        .args(arguments)
        .env_clear()
        .env("HOOKRUN_URL", &daemon.admin)
        .env("HOOKRUN_TOKEN", OPERATOR)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Said {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The same, which must go well.
fn done(daemon: &Daemon, arguments: &[&str]) -> Said {
    let said = run(daemon, arguments);
    assert_eq!(said.code, Some(0), "{arguments:?}: {} {}", said.out, said.err);
    said
}

#[tokio::test]
async fn a_pause_holds_what_comes_in_until_it_is_lifted() {
    let house = House::new();
    let daemon = house.serve();
    let paused = done(&daemon, &["pause", "--for", "4h", "--reason", "the bill"]);
    assert!(paused.out.contains("paused: all") && paused.out.contains("hookrun resume all"), "{}", paused.out);
    let (_, said) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let job = said["jobs"][0].as_str().unwrap().to_owned();

    let status = done(&daemon, &["status"]);
    for shown in ["paused: all by ops", "the bill", "queued 1", "create", "0 of 10"] {
        assert!(status.out.contains(shown), "{shown} in {}", status.out);
    }
    let jobs = done(&daemon, &["jobs", "--state", "queued", "--rule", "fix"]);
    assert!(jobs.out.contains(&job) && jobs.out.starts_with("JOB"), "{}", jobs.out);
    assert_eq!(done(&daemon, &["jobs", "--json"]).json()["items"][0]["id"], job.as_str());
    let one = done(&daemon, &["job", &job]);
    assert!(one.out.contains("github.com/acme/widgets") && one.out.contains("GATE"), "{}", one.out);
    let look = done(&daemon, &["cancel", "--rule", "fix", "--state", "queued"]);
    assert!(look.out.contains("would be cancelled: 1") && look.out.contains("--execute"), "{}", look.out);

    let lifted = done(&daemon, &["resume"]);
    assert!(lifted.out.contains("waiting in it: 1") && lifted.out.contains("lifted: all"), "{}", lifted.out);
    daemon.job_in(&job, &["succeeded"]).await;
    let again = run(&daemon, &["resume"]);
    assert_eq!(again.code, Some(1));
    assert!(again.err.contains("not paused"), "{}", again.err);
}

#[tokio::test]
async fn many_are_cancelled_by_rule_and_one_is_repeated() {
    let house = House::new();
    let daemon = house.serve();
    done(&daemon, &["pause", "rule:fix"]);
    let (_, said) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let job = said["jobs"][0].as_str().unwrap().to_owned();
    let cancelled = done(&daemon, &["cancel", "--rule", "fix", "--execute"]);
    assert!(cancelled.out.contains("cancelled: 1"), "{}", cancelled.out);
    let retried = done(&daemon, &["retry", &job, "--json"]).json();
    assert_eq!((&retried["retry_of"], &retried["state"]), (&job.as_str().into(), &"queued".into()));
    let second = retried["id"].as_str().unwrap();
    let one = done(&daemon, &["cancel", second]);
    assert!(one.out.contains(second) && one.out.contains("cancelled"), "{}", one.out);
    for (arguments, word) in [
        (&["cancel"][..], "--older-than"),
        (&["approve", second], "approval"),
        (&["job", "none"], "no such job"),
        (&["pause", "moon"], "source"),
    ] {
        let refused = run(&daemon, arguments);
        assert_eq!(refused.code, Some(1), "{arguments:?}");
        assert!(refused.err.contains(word), "{arguments:?}: {}", refused.err);
    }
}

#[tokio::test]
async fn what_is_asked_of_a_run_reaches_the_service_by_a_job() {
    let house = House::new();
    let daemon = house.serve();
    let (_, said) = daemon.post(&failed_check(1, "ec26c3e57ca3a959ca5aad62de7213c562f8c821"), SECRET).await;
    let made = daemon.job_in(said["jobs"][0].as_str().unwrap(), &["succeeded"]).await;
    let run = made["run"]["id"].to_string();
    for (act, body) in [("resume", r#"{"prompt": "Add a test."}"#), ("ban", ""), ("unban", "")] {
        let url = format!("{}/api/v1/runs/{run}/{act}", daemon.admin);
        let asked = http().post(url).bearer_auth(OPERATOR).body(body).send().await.unwrap();
        assert_eq!(asked.status(), 200, "{act}");
        let job: Value = asked.json().await.unwrap();
        let ended = daemon.job_in(job["id"].as_str().unwrap(), &["succeeded", "dead", "held"]).await;
        assert_eq!(ended["state"], "succeeded", "{act}: {ended:#}");
        match act {
            "resume" => {
                let prompt = ended["prompt"].as_str().unwrap();
                assert!(prompt.starts_with("Add a test.\n\nhookrun job "), "{prompt}");
                assert_eq!(ended["run"]["id"].to_string(), run, "no second run");
            }
            act => assert!(ended["reason"].as_str().unwrap().contains(&format!("is {act}ned")), "{ended:#}"),
        }
    }
}
