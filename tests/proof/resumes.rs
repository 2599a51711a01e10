//! Resumes carry no metadata: after a lost answer they are confirmed by the run's trace or held, never repeated blindly.

use serde_json::{Value, json};

use crate::audit::audit;
use crate::cause::Cause;
use crate::daemon::{Answer, Daemon};
use crate::house::{House, Service};
use crate::proxy::{Play, Proxy, RESUME};

/// A way in which a resume goes wrong.
struct Case {
    play: Play,
    /// Whether the daemon is killed at that point.
    killed: bool,
    /// Whether the service has heard it.
    heard: bool,
}

fn cases() -> Vec<Case> {
    vec![
        Case { play: Play::CutRequest(0), killed: true, heard: false },
        Case { play: Play::CutRequest(200), killed: true, heard: false },
        Case { play: Play::CutRequest(usize::MAX), killed: true, heard: true },
        Case { play: Play::CutAnswer(0), killed: false, heard: true },
        Case { play: Play::CutAnswer(100), killed: false, heard: true },
        Case {
            play: Play::Forge(b"HTTP/1.1 502 Bad\r\ncontent-length: 0\r\n\r\n".to_vec()),
            killed: false,
            heard: true,
        },
        Case { play: Play::Instead(502), killed: false, heard: false },
    ]
}

fn words(nth: usize) -> String {
    format!("and now number {nth} too")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_resume_without_an_answer_is_confirmed_by_the_trace_or_held() {
    let service = Service::start().await;
    let proxy = Proxy::start(&service.address).await;
    let house = House::new(&proxy.address);
    let mut daemon = house.serve().await;
    let (mut answers, mut runs) = (Vec::new(), Vec::new());
    for nth in 0..cases().len() {
        answers.push(daemon.take(Cause(nth as u64)).await);
    }
    for answer in &answers {
        runs.push(run_of(&daemon, answer).await);
    }

    let mut tells = Vec::new();
    for (nth, case) in cases().into_iter().enumerate() {
        let mut played = proxy.plan(RESUME, words(nth), case.play);
        let job = daemon.act(&format!("runs/{}/resume", runs[nth]), &json!({"prompt": words(nth)})).await;
        tells.push((job["id"].as_str().unwrap().to_owned(), case.heard));
        played.length().await;
        if case.killed {
            daemon.process.kill().await;
            daemon = house.serve().await;
        }
    }

    for (nth, (job, heard)) in tells.iter().enumerate() {
        if !heard {
            let held = daemon.job_in(job, &["held"]).await;
            assert!(held["reason"].as_str().unwrap().contains("does not show our message"), "{held:#}");
            assert_eq!(said(&service, &runs[nth], nth).await, 0, "it was said blindly");
            daemon.act(&format!("jobs/{job}/absent"), &json!({})).await;
        }
    }
    audit(&daemon, &service, &answers).await;
    for (nth, (job, _)) in tells.iter().enumerate() {
        assert_eq!(said(&service, &runs[nth], nth).await, 1, "of job {job}");
        assert_eq!(daemon.get(&format!("jobs/{job}")).await["state"], "succeeded");
    }
}

async fn run_of(daemon: &Daemon, answer: &Answer) -> Value {
    daemon.job_in(answer.said["jobs"][0].as_str().unwrap(), &["succeeded"]).await["run"]["id"].take()
}

/// How often a run was told the words of a case.
async fn said(service: &Service, run: &Value, nth: usize) -> usize {
    let runs = service.runs().await;
    let run = runs.iter().find(|it| it["id"] == *run).unwrap();
    run["prompts"].as_array().unwrap().iter().filter(|it| it.as_str().unwrap().contains(&words(nth))).count()
}
