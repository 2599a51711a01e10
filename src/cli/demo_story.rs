//! The demo's story: the example deliveries of `config/tests`, signed as their hosts sign them.

use std::path::Path;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::model::clock::Timestamp;
use crate::model::id::random_key;

/// Repositories that the played API knows beside `acme/widgets`.
pub(super) const REPOS: [&str; 2] = ["acme/checkout", "acme/pay-api"];

/// The rules as they are shipped, with the files that they include.
const RULES: [(&str, &str); 3] = [
    ("rules.toml", include_str!("../../config/rules.toml")),
    ("prompts/fix-checks.md", include_str!("../../config/prompts/fix-checks.md")),
    ("prompts/house-rules.md", include_str!("../../config/prompts/house-rules.md")),
];

const CHANGE_OPENED: &str = include_str!("../../config/tests/github-change-opened.json");
const CHECK_FAILED: &str = include_str!("../../config/tests/github-check-failed.json");
const ISSUE_LABELED: &str = include_str!("../../config/tests/github-issue-labeled.json");
const MENTION: &str = include_str!("../../config/tests/github-mention.json");
const ALERT: &str = include_str!("../../config/tests/github-alert-opened.json");
const MERGE_REQUEST: &str = include_str!("../../config/tests/gitlab-merge-request-opened.json");
const PIPELINE: &str = include_str!("../../config/tests/gitlab-pipeline-failed.json");
const TICKET: &str = include_str!("../../config/tests/jira-ticket-ready.json");

/// Writes the shipped rules into a folder, with shorter times to settle: a demo is not a minute of waiting.
pub(super) fn write_rules(folder: &Path) -> anyhow::Result<()> {
    for (name, text) in RULES {
        let file = folder.join(name);
        if let Some(parent) = file.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let lines: Vec<_> =
            text.lines().map(|line| if line.starts_with("settle = ") { "settle = \"2s\"" } else { line }).collect();
        std::fs::write(&file, lines.join("\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// The webhook secrets of the demo's sources.
#[derive(Debug)]
pub(super) struct Keys {
    github: String,
    gitlab: [u8; 32],
    jira: String,
}

impl Keys {
    pub(super) fn new() -> Self {
        Self { github: hex::encode(random_key()), gitlab: random_key(), jira: hex::encode(random_key()) }
    }

    /// The sources as the settings file spells them.
    pub(super) fn sources(&self) -> String {
        format!(
            r#"[codegen.repos]
"gitlab:platform/pay/api" = "acme/pay-api"
[sources.github]
kind = "github"
secrets = [{{ label = "demo", secret = "{}" }}]
[sources.gitlab]
kind = "gitlab"
signing_tokens = [{{ label = "demo", secret = "whsec_{}" }}]
[sources.jira]
kind = "jira"
secrets = [{{ label = "demo", secret = "{}" }}]
"#,
            self.github,
            STANDARD.encode(self.gitlab),
            self.jira
        )
    }
}

/// One webhook of the story.
#[derive(Debug)]
pub(super) struct Chapter {
    pub(super) host: &'static str,
    pub(super) title: &'static str,
    pub(super) url: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
    /// The outcome that the answer must name, or `refused`.
    pub(super) expected: &'static str,
}

/// Everything that the demo sends, in order.
#[derive(Debug)]
pub(super) struct Story {
    pub(super) chapters: Vec<Chapter>,
}

impl Story {
    pub(super) fn new(keys: &Keys, webhooks: &str, now: Timestamp) -> anyhow::Result<Self> {
        let forger = Keys::new();
        let github = |keys: &Keys, title, file, expected| {
            let (headers, body) = read(file)?;
            let signature = format!("sha256={}", hex::encode(mac(keys.github.as_bytes(), &[body.as_bytes()])));
            anyhow::Ok(chapter(
                "GitHub",
                title,
                webhooks,
                body,
                with(headers, [("X-Hub-Signature-256", signature)]),
                expected,
            ))
        };
        let gitlab = |title, file, id: &str, expected| {
            let (headers, body) = read(file)?;
            let seconds = (now.0 / 1000).to_string();
            let signature = mac(&keys.gitlab, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body.as_bytes()]);
            let signature = format!("v1,{}", STANDARD.encode(signature));
            let signed =
                [("webhook-id", id.to_owned()), ("webhook-timestamp", seconds), ("webhook-signature", signature)];
            anyhow::Ok(chapter("GitLab", title, webhooks, body, with(headers, signed), expected))
        };
        let jira = |title, file, expected| {
            let (headers, body) = read(file)?;
            // Jira signs the time with the body; an old one would be refused as stale.
            let mut value: Value = serde_json::from_str(&body)?;
            value["timestamp"] = now.0.into();
            let body = value.to_string();
            let signature = format!("sha256={}", hex::encode(mac(keys.jira.as_bytes(), &[body.as_bytes()])));
            anyhow::Ok(chapter(
                "Jira",
                title,
                webhooks,
                body,
                with(headers, [("X-Hub-Signature", signature)]),
                expected,
            ))
        };
        let chapters = vec![
            github(keys, "a pull request is opened", CHANGE_OPENED, "accepted")?,
            github(keys, "one of its checks fails", CHECK_FAILED, "accepted")?,
            github(keys, "the same failure is told once more", CHECK_FAILED, "duplicate")?,
            github(&forger, "somebody sends it with a forged signature", CHECK_FAILED, "refused")?,
            github(keys, "an issue gets the label \"agent\"", ISSUE_LABELED, "accepted")?,
            github(keys, "a member writes \"@acme-agent …\" in a comment", MENTION, "accepted")?,
            github(keys, "a security alert is opened", ALERT, "unmatched")?,
            gitlab("a merge request is opened", MERGE_REQUEST, "demo-merge-request", "accepted")?,
            gitlab("its pipeline fails", PIPELINE, "demo-pipeline", "accepted")?,
            jira("a ticket moves to \"Ready for agent\"", TICKET, "accepted")?,
        ];
        Ok(Self { chapters })
    }
}

fn chapter(
    host: &'static str,
    title: &'static str,
    webhooks: &str,
    body: String,
    headers: Vec<(String, String)>,
    expected: &'static str,
) -> Chapter {
    let url = format!("{webhooks}/webhooks/{}", host.to_lowercase());
    Chapter { host, title, url, headers, body, expected }
}

/// An example delivery: its headers and its body as text.
fn read(file: &str) -> anyhow::Result<(Vec<(String, String)>, String)> {
    let mut file: Value = serde_json::from_str(file)?;
    let headers = serde_json::from_value::<std::collections::BTreeMap<String, String>>(file["headers"].take())?;
    Ok((headers.into_iter().collect(), file["body"].to_string()))
}

fn with<const N: usize>(mut headers: Vec<(String, String)>, more: [(&str, String); N]) -> Vec<(String, String)> {
    headers.extend(more.map(|(name, value)| (name.to_owned(), value)));
    headers
}

fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}
