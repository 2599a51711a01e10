//! A folder with settings and rules, a database, and a sandbox to send to; every test builds its own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::cause::SECRET;
use crate::daemon::{BINARY, Daemon, OPERATOR, Process, http};

const TOKEN: &str = "a-codegen-token-for-tests";

const RULES: &str = r#"
[[rule]]
name = "fix"
on = ["ci.failed"]
repos = ["acme/widgets"]
settle = "0s"
limits = { rule = "1000000/day" }
prompt = "{{ event.repo }} failed at {{ event.sha }}"
"#;

/// Where a house keeps what it remembers.
pub(crate) struct Database {
    url: String,
}

impl Database {
    /// The database that tests use which are about no particular one: new and empty, for the house in this folder.
    pub(crate) fn fresh(folder: &Path) -> Self {
        if std::env::var("HOOKRUN_TEST_DATABASE").is_ok_and(|name| name == "postgres") {
            let server = std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL names the server");
            return Self::postgres(&server);
        }
        Self::sqlite(folder)
    }

    /// A new database on a server; `server` is the address of another database there.
    pub(crate) fn postgres(server: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("hookrun_test_proof_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // One of the same name is left of a process that had our number before.
        let (fresh, create) =
            (format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"), format!("CREATE DATABASE {name}"));
        let made = std::process::Command::new("psql").args([server, "-q", "-c", &fresh, "-c", &create]).status();
        let made = made.expect("psql is there");
        assert!(made.success());
        let at = server.find('?').unwrap_or(server.len());
        let (place, query) = server.split_at(at);
        let (place, _) = place.rsplit_once('/').expect("an address names a database");
        Self { url: format!("{place}/{name}{query}") }
    }

    /// One file in the house's folder, for tests about files.
    pub(crate) fn sqlite(folder: &Path) -> Self {
        Self { url: format!("sqlite:{}", folder.join("hookrun.db").display()) }
    }

    /// As the settings say it.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// The Codegen API played by a process of its own; it outlives every crash of a house.
pub(crate) struct Service {
    _folder: TempDir,
    _process: Process,
    pub(crate) address: String,
    http: reqwest::Client,
}

impl Service {
    /// A sandbox without limits, whose runs live for a quarter of a second.
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let command = [
            BINARY,
            "sandbox",
            "--listen",
            "127.0.0.1:0",
            "--token",
            TOKEN,
            "--org-id",
            "7",
            "--speed",
            "20",
            "--no-limits",
        ];
        let mut process = Process::start(&command.map(str::to_owned), folder.path(), "sandbox.log");
        let address = process.address().await.expect("the sandbox starts");
        Self { _folder: folder, _process: process, address, http: http() }
    }

    /// Adds lines to the fault script.
    pub(crate) async fn faults(&self, script: Value) {
        let told = self.http.post(format!("{}/sandbox/faults", self.address)).json(&script).send().await.unwrap();
        assert_eq!(told.status(), 200);
    }

    /// Every run that was ever made, by the sandbox's own record.
    pub(crate) async fn runs(&self) -> Vec<Value> {
        self.http.get(format!("{}/sandbox/runs", self.address)).send().await.unwrap().json().await.unwrap()
    }

    /// Makes a run that is none of ours, with the token that we use.
    pub(crate) async fn foreign_run(&self, metadata: Value) -> i64 {
        let url = format!("{}/v1/organizations/7/agent/run", self.address);
        let body = json!({"prompt": "somebody else's wish", "metadata": metadata});
        let answer = self.http.post(url).bearer_auth(TOKEN).json(&body).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["id"].as_i64().unwrap()
    }
}

/// A folder with settings, rules and a database.
pub(crate) struct House {
    folder: TempDir,
    _database: Database,
}

impl House {
    /// A house on a fresh database that sends to this address.
    pub(crate) fn new(api: &str) -> Self {
        Self::on(Database::fresh, api)
    }

    /// A house on a database of a given kind.
    pub(crate) fn on(database: impl FnOnce(&Path) -> Database, api: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = database(folder.path());
        let settings = format!(
            r#"
[webhooks]
listen = "127.0.0.1:0"
[admin]
listen = "127.0.0.1:0"
tokens = [{{ name = "ops", role = "operator", secret = "{OPERATOR}" }}]
[database]
url = "{}"
[codegen]
base_url = "{api}"
org_id = 7
token = "{TOKEN}"
poll_interval = "1s"
[codegen.limits]
create = "100000/60s"
standard = "100000/30s"
logs = "100000/60s"
[rules]
path = "rules.toml"
[sources.github]
kind = "github"
secrets = ["{SECRET}"]
"#,
            database.url()
        );
        std::fs::write(folder.path().join("hookrun.toml"), settings).unwrap();
        std::fs::write(folder.path().join("rules.toml"), RULES).unwrap();
        Self { folder, _database: database }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// What every process of this house has logged.
    pub(crate) fn log(&self) -> PathBuf {
        self.path().join("serve.log")
    }

    /// The command that serves, behind one that starts it in some way.
    pub(crate) fn command(behind: &[&str]) -> Vec<String> {
        [behind, &[BINARY, "serve", "--config", "hookrun.toml"]].concat().iter().map(ToString::to_string).collect()
    }

    /// Starts it.
    pub(crate) async fn serve(&self) -> Daemon {
        self.serve_behind(&[]).await
    }

    /// Starts it by another command, which must become it or stand before it.
    pub(crate) async fn serve_behind(&self, behind: &[&str]) -> Daemon {
        let started = self.try_serve(behind).await;
        let Ok(daemon) = started else {
            panic!("it ended before it listened:\n{}", std::fs::read_to_string(self.log()).unwrap())
        };
        daemon
    }

    /// Starts it by another command; when it ends before it listens, the process.
    pub(crate) async fn try_serve(&self, behind: &[&str]) -> Result<Daemon, Process> {
        let mut process = Process::start(&Self::command(behind), self.path(), "serve.log");
        let (Some(webhooks), Some(admin)) = (process.address().await, process.address().await) else {
            return Err(process);
        };
        Ok(Daemon { process, webhooks, admin, http: http(), log: self.log() })
    }
}
