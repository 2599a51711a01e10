//! The calls themselves: each reads its request, changes the runs, and answers.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::answer::{Answer, page, page_at, pages};
use super::asked::{Asked, Checks};
use super::call::Call;
use super::check_settings::CheckSettings;
use super::organization::Organization;
use super::run::{Life, NewRun, Run};
use super::runs::Runs;
use super::speed::Speed;
use crate::model::clock::Timestamp;

/// Where runs come from, by the OpenAPI's `ApiAgentRunSourceType`.
const SOURCE_TYPES: [&str; 12] = [
    "LOCAL",
    "SLACK",
    "GITHUB",
    "GITHUB_CHECK_SUITE",
    "GITHUB_PR_REVIEW",
    "LINEAR",
    "API",
    "CHAT",
    "JIRA",
    "CLICKUP",
    "MONDAY",
    "SETUP_COMMANDS",
];

const PR_STATES: [&str; 4] = ["open", "closed", "draft", "ready_for_review"];

const AGENT_TYPES: [&str; 2] = ["codegen", "claude_code"];

/// What a call may look at and change.
pub(super) struct Stage<'a> {
    pub(super) organization: &'a Organization,
    pub(super) runs: &'a mut Runs,
    pub(super) settings: &'a mut CheckSettings,
    pub(super) speed: Speed,
    pub(super) now: Timestamp,
    /// Whose token it is.
    pub(super) user: i64,
    /// Runs created after this moment are not listed yet.
    pub(super) listed_until: Timestamp,
}

impl Stage<'_> {
    /// Plays a call.
    pub(super) fn play(&mut self, call: Call, asked: &Asked) -> Answer {
        match call {
            Call::Create => self.create(asked),
            Call::Get => self.get(asked),
            Call::List => self.list(asked),
            Call::Resume => self.resume(asked),
            Call::Ban | Call::RemoveFromPr => self.ban(asked, call, true),
            Call::Unban => self.ban(asked, call, false),
            Call::SetupCommands => self.setup_commands(asked),
            Call::Logs => self.logs(asked),
            Call::Organizations => self.organizations(asked),
            Call::Users => self.users(asked),
            Call::User => self.user(asked),
            Call::Me => Ok(Answer::ok(self.organization.user(self.user).unwrap_or_default())),
            Call::Repos => self.repos(asked),
            Call::Integrations => self.integrations(asked),
            Call::CheckSettings => self.check_settings(asked),
            Call::PutCheckSettings => self.put_check_settings(asked),
            Call::EditPr | Call::EditRepoPr => self.edit_pr(asked, call),
        }
        .unwrap_or_else(|refusal| refusal)
    }

    fn create(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let mut fields = checks.body();
        let (mut prompt, mut repo_id, mut metadata) = (String::new(), None, None);
        if checks.has_fields() {
            prompt = checks.text(&mut fields, "prompt");
            checks.optional_texts(&fields, "images");
            metadata = checks.optional_object(&mut fields, "metadata");
            repo_id = checks.optional_id(&fields, "repo_id");
            checks.optional_text(&fields, "model");
            checks.optional_choice(&fields, "agent_type", &AGENT_TYPES);
        }
        checks.done()?;
        self.own(org, Call::Create)?;
        let run = Run::new(NewRun {
            id: self.runs.next_id(),
            organization_id: org,
            user_id: self.user,
            repo_id,
            repo: repo_id.and_then(|id| self.organization.repo(id)).map(str::to_owned),
            metadata,
            source: "API",
            life: Life::new(self.now, prompt, self.speed),
        });
        let answer = Answer::ok(run.describe(self.now));
        self.runs.add(run);
        Ok(answer)
    }

    fn get(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let (id, org) = (checks.path_id("agent_run_id"), checks.path_id("org_id"));
        checks.done()?;
        self.own(org, Call::Get)?;
        let now = self.now;
        Ok(Answer::ok(self.run(id, Call::Get)?.describe(now)))
    }

    fn list(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let user = checks.query_id("user_id");
        let source = checks.query_choice("source_type", &SOURCE_TYPES);
        let (skip, limit) = checks.window();
        checks.done()?;
        self.own(org, Call::List)?;
        let rows = self
            .runs
            .newest_first()
            .filter(|run| user.is_none_or(|user| run.user_id == user))
            .filter(|run| run.created_at <= self.listed_until)
            .filter(|run| source.is_none_or(|source| source == run.source))
            .map(|run| run.describe(self.now))
            .collect();
        Ok(Answer::ok(page(rows, skip, limit)))
    }

    fn resume(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let mut fields = checks.body();
        let (mut id, mut prompt) = (0, String::new());
        if checks.has_fields() {
            id = checks.id(&fields, "agent_run_id");
            prompt = checks.text(&mut fields, "prompt");
            checks.optional_texts(&fields, "images");
        }
        checks.done()?;
        self.own(org, Call::Resume)?;
        let (now, speed) = (self.now, self.speed);
        let run = self.run(id, Call::Resume)?;
        run.resume(Life::new(now, prompt, speed));
        Ok(Answer::ok(run.describe(now)))
    }

    /// Bans a run's change or lifts the ban. The OpenAPI does not say what the answer holds.
    fn ban(&mut self, asked: &Asked, call: Call, banned: bool) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let fields = checks.body();
        let mut id = 0;
        if checks.has_fields() {
            id = checks.id(&fields, "agent_run_id");
            checks.optional_text(&fields, "before_card_order_id");
            checks.optional_text(&fields, "after_card_order_id");
        }
        checks.done()?;
        self.own(org, call)?;
        let now = self.now;
        let run = self.run(id, call)?;
        if banned {
            run.ban(now);
        } else {
            run.banned = false;
        }
        Ok(Answer::ok(json!({"success": true})))
    }

    fn setup_commands(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let mut fields = checks.body();
        let (mut repo_id, mut prompt) = (0, None);
        if checks.has_fields() {
            repo_id = checks.id(&fields, "repo_id");
            checks.optional_text(&fields, "prompt");
            prompt = fields.remove("prompt").and_then(|prompt| prompt.as_str().map(str::to_owned));
            checks.optional_text(&fields, "trigger_source");
        }
        checks.done()?;
        self.own(org, Call::SetupCommands)?;
        let Some(repo) = self.organization.repo(repo_id).map(str::to_owned) else {
            return Err(Answer::documented(StatusCode::NOT_FOUND, Call::SetupCommands));
        };
        // It writes commands into Codegen's settings and opens no pull request.
        let prompt = prompt.unwrap_or_else(|| format!("Generate set-up commands for {repo}."));
        let run = Run::new(NewRun {
            id: self.runs.next_id(),
            organization_id: org,
            user_id: self.user,
            repo_id: Some(repo_id),
            repo: None,
            metadata: None,
            source: "SETUP_COMMANDS",
            life: Life::new(self.now, prompt, self.speed),
        });
        let row = run.describe(self.now);
        self.runs.add(run);
        Ok(Answer::ok(json!({"agent_run_id": row["id"], "status": row["status"], "url": row["web_url"]})))
    }

    fn logs(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let (id, org) = (checks.path_id("agent_run_id"), checks.path_id("org_id"));
        let (skip, limit) = checks.window();
        let reverse = checks.query_flag("reverse");
        checks.done()?;
        self.own(org, Call::Logs)?;
        let now = self.now;
        let run = self.run(id, Call::Logs)?;
        let mut logs = run.logs(now);
        if reverse {
            logs.reverse();
        }
        let total = logs.len() as i64;
        let logs: Vec<Value> = logs.into_iter().skip(skip as usize).take(limit as usize).collect();
        let mut answer = run.describe(now);
        if let Some(fields) = answer.as_object_mut() {
            // AgentRunWithLogsResponse has no such fields.
            for name in ["summary", "source_type", "github_pull_requests"] {
                fields.remove(name);
            }
            fields.insert("logs".to_owned(), json!(logs));
            fields.insert("total_logs".to_owned(), json!(total));
            fields.insert("page".to_owned(), json!(page_at(skip, limit)));
            fields.insert("size".to_owned(), json!(limit));
            fields.insert("pages".to_owned(), json!(pages(total, limit)));
        }
        Ok(Answer::ok(answer))
    }

    fn organizations(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let (skip, limit) = checks.window();
        checks.done()?;
        Ok(Answer::ok(page(vec![self.organization.describe()], skip, limit)))
    }

    fn users(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let (skip, limit) = self.org_window(asked, Call::Users)?;
        Ok(Answer::ok(page(self.organization.users(), skip, limit)))
    }

    fn user(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let (org, id) = (checks.path_id("org_id"), checks.path_id("user_id"));
        checks.done()?;
        self.own(org, Call::User)?;
        let user = self.organization.user(id);
        user.map(Answer::ok).ok_or_else(|| Answer::documented(StatusCode::NOT_FOUND, Call::User))
    }

    fn repos(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let (skip, limit) = self.org_window(asked, Call::Repos)?;
        Ok(Answer::ok(page(self.organization.repos(), skip, limit)))
    }

    fn integrations(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        checks.done()?;
        self.own(org, Call::Integrations)?;
        Ok(Answer::ok(self.organization.integrations()))
    }

    fn check_settings(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let repo = self.settled_repo(Checks::of(asked), Call::CheckSettings)?;
        Ok(Answer::ok(self.settings.of(repo)))
    }

    fn put_check_settings(&mut self, asked: &Asked) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let fields = checks.body();
        if checks.has_fields() {
            checks.optional_number(&fields, "check_retry_count", 0, 10);
            checks.optional_texts(&fields, "ignored_checks");
            checks.optional_map(&fields, "check_retry_counts", Value::is_i64, "int_type", "integer");
            checks.optional_map(&fields, "custom_prompts", Value::is_string, "string_type", "string");
            checks.optional_texts(&fields, "high_priority_apps");
        }
        let repo = self.settled_repo(checks, Call::PutCheckSettings)?;
        self.settings.put(repo, fields);
        Ok(Answer::ok(json!({"success": true})))
    }

    /// The repository whose settings are meant; like `repo_id` of a create it may be any.
    fn settled_repo(&self, mut checks: Checks<'_>, call: Call) -> Result<i64, Answer> {
        let org = checks.path_id("org_id");
        let repo = checks.required_query_id("repo_id");
        checks.done()?;
        self.own(org, call)?;
        Ok(repo)
    }

    /// Edits the one pull request that a run has here; its number is the run's id.
    fn edit_pr(&mut self, asked: &Asked, call: Call) -> Result<Answer, Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        if call == Call::EditRepoPr {
            checks.path_id("repo_id");
        }
        let id = checks.path_id("pr_id");
        let mut fields = checks.body();
        let mut state = String::new();
        if checks.has_fields() {
            checks.required_choice(&fields, "state", &PR_STATES);
            state = checks.text(&mut fields, "state");
        }
        checks.done()?;
        self.own(org, call)?;
        let now = self.now;
        let known = self.runs.find(id).and_then(|run| run.pull_requests(now).into_iter().next());
        // The document declares no 404 here: what went wrong stands in the answer.
        let answer = if let Some(pr) = known {
            json!({"success": true, "url": pr["url"], "number": id, "title": pr["title"], "state": state, "error": null})
        } else {
            let error = "Pull request not found.";
            json!({"success": false, "url": null, "number": null, "title": null, "state": null, "error": error})
        };
        Ok(Answer::ok(answer))
    }

    fn org_window(&self, asked: &Asked, call: Call) -> Result<(i64, i64), Answer> {
        let mut checks = Checks::of(asked);
        let org = checks.path_id("org_id");
        let window = checks.window();
        checks.done()?;
        self.own(org, call)?;
        Ok(window)
    }

    /// 403 for an organization that the token's user is no member of.
    fn own(&self, org: i64, call: Call) -> Result<(), Answer> {
        if org == self.organization.id {
            return Ok(());
        }
        Err(Answer::documented(StatusCode::FORBIDDEN, call))
    }

    fn run(&mut self, id: i64, call: Call) -> Result<&mut Run, Answer> {
        self.runs.find(id).ok_or_else(|| Answer::documented(StatusCode::NOT_FOUND, call))
    }
}
