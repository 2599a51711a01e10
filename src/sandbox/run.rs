//! The life of a run: what its status, result, changes and trace are at a moment of the clock.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::direction::Direction;
use super::speed::Speed;
use crate::model::clock::Timestamp;
use crate::model::run::{RunPhase, phase_of};

/// A run; all that is said about it is computed from the clock when it is asked for.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) id: i64,
    pub(super) organization_id: i64,
    pub(super) user_id: i64,
    pub(super) created_at: Timestamp,
    pub(super) repo_id: Option<i64>,
    /// The full name of its repository, if the sandbox knows that one.
    pub(super) repo: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    /// What made it, by the OpenAPI's `ApiAgentRunSourceType`.
    pub(super) source: &'static str,
    /// Whether its change is left alone.
    pub(super) banned: bool,
    /// The first began with the creation, the others with a resume; never empty.
    first: Life,
    later: Vec<Life>,
}

/// The time from a prompt to the end that it leads to.
#[derive(Debug)]
pub(super) struct Life {
    began: Timestamp,
    span: Duration,
    prompt: String,
    direction: Direction,
    /// Since when, and in which status, the run was put and held from outside.
    held: Option<(Timestamp, Option<String>)>,
}

impl Life {
    /// A life that begins now.
    pub(super) fn new(now: Timestamp, prompt: String, speed: Speed) -> Self {
        let direction = Direction::of(&prompt);
        Self { began: now, span: speed.shorten(direction.life), prompt, direction, held: None }
    }

    /// ACTIVE at once (so the live service answers a create), EVALUATION in the last fifth, then the directed end.
    fn status(&self, now: Timestamp) -> Option<&str> {
        match &self.held {
            Some((_, status)) => status.as_deref(),
            None if now >= self.after(5) => Some(&self.direction.status),
            None if now >= self.after(4) => Some("EVALUATION"),
            None => Some("ACTIVE"),
        }
    }

    /// The moment at which so many fifths of this life are over.
    fn after(&self, fifths: u32) -> Timestamp {
        self.began.plus(self.span.saturating_mul(fifths) / 5)
    }

    /// How this life ended and when, if it has by `now`.
    fn end(&self, now: Timestamp) -> Option<(Timestamp, RunPhase)> {
        let phase = phase_of(self.status(now)).0;
        let at = self.held.as_ref().map_or_else(|| self.after(5), |(since, _)| *since);
        (phase != RunPhase::Alive).then_some((at, phase))
    }

    /// The last moment of this life that has happened by `now`.
    fn until(&self, now: Timestamp) -> Timestamp {
        self.held.as_ref().map_or(now, |(since, _)| *since)
    }

    fn title(&self) -> String {
        self.prompt
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())
            .unwrap_or("Untitled")
            .chars()
            .take(72)
            .collect()
    }

    /// What it says at its end; a failure says nothing unless directed.
    fn result(&self, phase: RunPhase) -> Option<String> {
        let default = (phase == RunPhase::Succeeded).then(|| format!("Done: {}", self.title()));
        self.direction.result.clone().or(default)
    }
}

/// What a run consists of when it is created.
pub(super) struct NewRun {
    pub(super) id: i64,
    pub(super) organization_id: i64,
    pub(super) user_id: i64,
    pub(super) repo_id: Option<i64>,
    pub(super) repo: Option<String>,
    pub(super) metadata: Option<Map<String, Value>>,
    pub(super) source: &'static str,
    pub(super) life: Life,
}

impl Run {
    /// A run whose first life begins.
    pub(super) fn new(new: NewRun) -> Self {
        let NewRun { id, organization_id, user_id, repo_id, repo, metadata, source, life } = new;
        let (created_at, later) = (life.began, Vec::new());
        Self {
            id,
            organization_id,
            user_id,
            created_at,
            repo_id,
            repo,
            metadata,
            source,
            banned: false,
            first: life,
            later,
        }
    }

    /// Bans its change: an agent that works on it stops at once. `CANCELLED`, because the OpenAPI speaks of the column of
    /// that name to which a stopped run goes.
    pub(super) fn ban(&mut self, now: Timestamp) {
        self.banned = true;
        if phase_of(self.status(now)).0 == RunPhase::Alive {
            self.hold(Some((now, Some("CANCELLED".to_owned()))));
        }
    }

    /// Begins another life; a held status is let go.
    pub(super) fn resume(&mut self, life: Life) {
        self.later.push(life);
    }

    /// Puts the run into a status and keeps it there, or lets it go on by the clock.
    pub(super) fn hold(&mut self, held: Option<(Timestamp, Option<String>)>) {
        self.later.last_mut().unwrap_or(&mut self.first).held = held;
    }

    fn last(&self) -> &Life {
        self.later.last().unwrap_or(&self.first)
    }

    /// Each life with the moment up to which it is looked at: the next one's beginning, or `now`.
    fn lives(&self, now: Timestamp) -> impl Iterator<Item = (&Life, Timestamp)> {
        let ends = self.later.iter().map(|life| life.began).chain([now]);
        [&self.first].into_iter().chain(&self.later).zip(ends)
    }

    /// The status word at `now`.
    pub(super) fn status(&self, now: Timestamp) -> Option<&str> {
        self.last().status(now)
    }

    /// Every prompt that it was given, in order.
    pub(super) fn prompts(&self) -> Vec<String> {
        [&self.first].into_iter().chain(&self.later).map(|life| life.prompt.clone()).collect()
    }

    /// The run as an `AgentRunResponse`.
    pub(super) fn describe(&self, now: Timestamp) -> Value {
        let life = self.last();
        let end = life.end(now);
        json!({
            "id": self.id,
            "organization_id": self.organization_id,
            "status": self.status(now),
            "created_at": self.created_at.to_rfc3339(),
            "web_url": format!("https://app.codegen.com/agent/trace/{}", self.id),
            "result": end.and_then(|(_, phase)| life.result(phase)),
            "summary": end.map(|_| format!("Sandbox run: {}", life.title())),
            "source_type": self.source,
            "github_pull_requests": self.pull_requests(now),
            "metadata": self.metadata,
        })
    }

    /// One pull request once a life of a run of a known repository completed.
    pub(super) fn pull_requests(&self, now: Timestamp) -> Vec<Value> {
        let Some(repo) = &self.repo else { return Vec::new() };
        self.lives(now)
            .find_map(|(life, until)| match life.end(until) {
                Some((at, RunPhase::Succeeded)) if life.direction.pull_request => Some((life, at)),
                _ => None,
            })
            .map(|(life, at)| {
                json!({
                    "id": self.id,
                    "title": life.title(),
                    "url": format!("https://github.com/{repo}/pull/{}", self.id),
                    "created_at": at.to_rfc3339(),
                    "head_branch_name": format!("codegen/run-{}", self.id),
                })
            })
            .into_iter()
            .collect()
    }

    /// The trace up to `now`, oldest first, as `AgentRunLogResponse`s. Types and fields: Codegen's page on agent run
    /// logs; a prompt is the observation of a `USER_MESSAGE`.
    pub(super) fn logs(&self, now: Timestamp) -> Vec<Value> {
        let mut logs = Vec::new();
        for (life, until) in self.lives(now) {
            let mut step = |at: Timestamp, kind: &str, more: Value| {
                if at <= life.until(until) {
                    logs.push(self.log(at, kind, more));
                }
            };
            step(life.began, "USER_MESSAGE", json!({"observation": life.prompt}));
            step(life.after(1), "PLAN_EVALUATION", json!({"thought": "Look at what was asked, then act on it."}));
            let search = json!({
                "tool_name": "ripgrep_search",
                "thought": "Find the place that this is about.",
                "tool_input": {"query": life.title()},
                "tool_output": {"matches": 0, "files": []},
                "observation": {"status": "success"},
            });
            step(life.after(3), "ACTION", search);
            match life.end(until) {
                Some((at, RunPhase::Succeeded)) => {
                    step(at, "FINAL_ANSWER", json!({"observation": life.result(RunPhase::Succeeded)}));
                }
                Some((at, RunPhase::Failed)) => {
                    let status = life.status(until);
                    step(
                        at,
                        "ERROR",
                        json!({"observation": life.result(RunPhase::Failed).or(status.map(str::to_owned))}),
                    );
                }
                _ => {}
            }
        }
        logs
    }

    fn log(&self, at: Timestamp, kind: &str, more: Value) -> Value {
        let mut log = json!({
            "agent_run_id": self.id,
            "created_at": at.to_rfc3339(),
            "tool_name": null,
            "message_type": kind,
            "thought": null,
            "observation": null,
            "tool_input": null,
            "tool_output": null,
        });
        if let (Some(log), Value::Object(more)) = (log.as_object_mut(), more) {
            log.extend(more);
        }
        log
    }
}
