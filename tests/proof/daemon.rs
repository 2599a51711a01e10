//! One process of ours: started, talked to over HTTP, signalled, killed.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::cause::Cause;
use crate::wait::until;

pub(crate) const OPERATOR: &str = "an-operator-token-for-tests";

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_hookrun");

/// A client without proxies, and without connections that outlive the process at their other end.
pub(crate) fn http() -> reqwest::Client {
    // The second test in the process finds it installed; that is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().pool_max_idle_per_host(4).timeout(Duration::from_mins(1)).build().unwrap()
}

/// A running command that is killed when the test is over.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Process {
    /// Starts a command in a folder; what it logs is added to the file `log` there.
    pub(crate) fn start(command: &[String], folder: &Path, log: &str) -> Self {
        let log = OpenOptions::new().create(true).append(true).open(folder.join(log)).unwrap();
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .current_dir(folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", command[0]));
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// The `http://address` in the next line that has one; none when the process ends before.
    pub(crate) async fn address(&mut self) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.stdout.read_line(&mut line).await.unwrap_or(0) == 0 {
                return None;
            }
            if let Some(at) = line.find("http://") {
                let rest = &line[at + 7..];
                let end = rest.find(|c: char| c == '/' || c.is_whitespace()).unwrap_or(rest.len());
                return Some(format!("http://{}", &rest[..end]));
            }
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id().expect("it has not ended")
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill").args([name, &self.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it as `kill -9` does and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
    }

    /// Waits for its end; the exit code, if it was not killed.
    pub(crate) async fn wait(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// Whether it has ended.
    pub(crate) fn is_over(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }
}

/// A `hookrun serve` that listens.
pub(crate) struct Daemon {
    pub(crate) process: Process,
    pub(crate) webhooks: String,
    pub(crate) admin: String,
    pub(crate) http: reqwest::Client,
    pub(crate) log: PathBuf,
}

/// What a webhook was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) cause: Cause,
    pub(crate) status: u16,
    pub(crate) said: Value,
}

impl Answer {
    /// Whether we said that it is kept.
    pub(crate) fn acknowledged(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

/// Sends the webhook of a cause; none when no answer came.
pub(crate) async fn send(http: &reqwest::Client, webhooks: &str, cause: Cause) -> Option<Answer> {
    let mut request = http.post(format!("{webhooks}/webhooks/github")).body(cause.body());
    for (name, value) in cause.headers() {
        request = request.header(name, value);
    }
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    // An acknowledgement counts from its first line on, though the rest of it is lost.
    Some(Answer { cause, status, said: answer.json().await.unwrap_or_default() })
}

impl Daemon {
    /// Sends the webhook of a cause, which must be acknowledged.
    pub(crate) async fn take(&self, cause: Cause) -> Answer {
        let answer = send(&self.http, &self.webhooks, cause).await.expect("an answer");
        assert!(answer.acknowledged(), "{answer:?}");
        answer
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let url = format!("{}/api/v1/{path}", self.admin);
        let answer = self.http.get(url).bearer_auth(OPERATOR).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.json().await.unwrap()
    }

    /// What it says to whoever asks whether webhooks may be sent to it: the status, and when to ask again.
    pub(crate) async fn readiness(&self) -> (u16, Option<String>) {
        let answer = self.http.get(format!("{}/readyz", self.webhooks)).send().await.unwrap();
        let again = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (answer.status().as_u16(), again)
    }

    /// Does what an operator may.
    pub(crate) async fn act(&self, path: &str, body: &Value) -> Value {
        let url = format!("{}/api/v1/{path}", self.admin);
        let answer = self.http.post(url).bearer_auth(OPERATOR).json(body).send().await.unwrap();
        let (status, said) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 200, "{path}: {said}");
        serde_json::from_str(&said).unwrap()
    }

    /// Every item of a list, over all its pages.
    pub(crate) async fn all(&self, list: &str) -> Vec<Value> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let mut page =
                self.get(&format!("{list}{}limit=100{cursor}", if list.contains('?') { '&' } else { '?' })).await;
            items.append(page["items"].as_array_mut().unwrap());
            let Some(next) = page["next"].as_str() else { return items };
            cursor = format!("&cursor={next}");
        }
    }

    /// The job, as soon as it is in one of these states.
    pub(crate) async fn job_in(&self, id: &str, states: &[&str]) -> Value {
        until(&format!("job {id} in {states:?}"), async || {
            let job = self.get(&format!("jobs/{id}")).await;
            job["state"].as_str().is_some_and(|state| states.contains(&state)).then_some(job)
        })
        .await
    }

    /// Everything that processes of this house have logged so far.
    pub(crate) fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}
