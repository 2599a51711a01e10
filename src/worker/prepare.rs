//! What a job asks the service for: its prompt, rendered from everything that joined it, and its repository's id there.

use std::borrow::Cow;

use bytes::Bytes;

use super::Worker;
use crate::codegen::CreateRun;
use crate::model::delivery::SourceKind;
use crate::model::gate::Snapshot;
use crate::model::job::Job;
use crate::model::policy::Action;
use crate::model::run::{RepoTarget, Run};
use crate::model::subject::SubjectLookup;
use crate::rules::gates::Way;
use crate::rules::{JobContext, Rendered, Told, with_footer};
use crate::store::{Joined, StoreError};

/// What is asked of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A new run.
    Create(CreateRun),
    /// Something is said to a run.
    Resume {
        /// The run.
        run: i64,
        /// What is said, with its last line.
        prompt: String,
    },
    /// The change of a run is left alone from now on, and its agents stop.
    Ban {
        /// The run.
        run: i64,
    },
    /// Codegen may look after the change of a run again.
    Unban {
        /// The run.
        run: i64,
    },
    /// Set-up commands for a repository.
    SetupCommands {
        /// Codegen's id of the repository.
        repo_id: i64,
        /// What is to be minded, with its last line.
        prompt: String,
    },
}

impl Asked {
    /// What is said with it; nothing with a ban or the end of one.
    pub(super) fn prompt(&self) -> &str {
        match self {
            Self::Create(request) => &request.prompt,
            Self::Resume { prompt, .. } | Self::SetupCommands { prompt, .. } => prompt,
            Self::Ban { .. } | Self::Unban { .. } => "",
        }
    }
}

/// What is sent for a job.
pub(super) struct Prepared {
    pub(super) asked: Asked,
    /// What the decision is to say beside the gates; empty when there is nothing to say.
    pub(super) note: String,
}

impl Worker {
    /// Makes the request that goes this way; the inner error is why a person is needed.
    pub(super) async fn prepare(&self, snapshot: &Snapshot, way: Way) -> Result<Result<Prepared, String>, StoreError> {
        let job = &snapshot.job;
        let told = |run: i64, prompt: String| Prepared {
            asked: Asked::Resume { run, prompt },
            note: format!("said to run {run}"),
        };
        // What a rule asks for needs its leave, though a ban has no prompt; what is done to a job's run does not.
        if job.action == Action::Ban
            && !job.is_act()
            && let Err(reason) = self.render(snapshot, false).await?
        {
            return Ok(Err(reason));
        }
        match way {
            Way::Ban(run) => Ok(Ok(Prepared { asked: Asked::Ban { run }, note: String::new() })),
            Way::Unban(run) => Ok(Ok(Prepared { asked: Asked::Unban { run }, note: String::new() })),
            Way::Resume(run) if job.action == Action::Tell => {
                // Its words were settled when it was made.
                let words = job.message.as_deref().unwrap_or(&job.reason);
                Ok(Ok(told(run, with_footer(words, &job.id))))
            }
            Way::Resume(run) => {
                let rendered = self.render(snapshot, true).await?;
                Ok(rendered.map(|rendered| told(run, with_footer(&rendered.prompt, &job.id))))
            }
            Way::Start | Way::SetupCommands => self.prepare_new(snapshot, way).await,
        }
    }

    async fn prepare_new(&self, snapshot: &Snapshot, way: Way) -> Result<Result<Prepared, String>, StoreError> {
        let (inner, job) = (&self.inner, &snapshot.job);
        let rendered = match self.render(snapshot, false).await? {
            Ok(rendered) => rendered,
            Err(reason) => return Ok(Err(reason)),
        };
        let repo = self.repo(job, rendered.repo.as_deref()).await?;
        let prompt = with_footer(&rendered.prompt, &job.id);
        if way == Way::SetupCommands {
            let asked = |repo_id| Prepared { asked: Asked::SetupCommands { repo_id, prompt }, note: String::new() };
            return Ok(repo.map(asked));
        }
        let (repo_id, note) = match repo {
            Ok(id) => (Some(id), String::new()),
            Err(why) if inner.options.require_repo => return Ok(Err(why)),
            Err(why) => (None, format!("sent without a repository: {why}")),
        };
        let agent_type = Some(rendered.agent_type.to_owned());
        let request = CreateRun { job: job.id.clone(), prompt, repo_id, model: rendered.model, agent_type };
        Ok(Ok(Prepared { asked: Asked::Create(request), note }))
    }

    /// Renders the job under the rules in force; the inner error is why a person is needed.
    async fn render(&self, snapshot: &Snapshot, resumed: bool) -> Result<Result<Rendered, String>, StoreError> {
        let (inner, job) = (&self.inner, &snapshot.job);
        let joined = inner.store.joined(&job.id).await?;
        let payloads: Vec<Option<Bytes>> = joined.iter().map(payload).collect();
        let told: Vec<Told<'_>> = joined
            .iter()
            .zip(&payloads)
            .map(|(each, payload)| Told {
                event: &each.event,
                payload: payload.as_ref(),
                delivery: &each.delivery,
                received_at: each.received_at,
            })
            .collect();
        let previous = self.previous(job, &joined).await?;
        let context = JobContext {
            attempt: (snapshot.attempts.unwrap_or(0) + u32::from(!snapshot.sha_counted)).max(1),
            resumed,
            previous: previous.as_ref(),
            instance_key: inner.store.instance_key(),
        };
        let rendered = inner.rules.now().render(&job.rule, &told, &context);
        Ok(rendered.map_err(|error| format!("rule \"{}\": {error}", job.rule)))
    }

    /// The newest earlier run of ours on the job's subject.
    async fn previous(&self, job: &Job, joined: &[Joined]) -> Result<Option<Run>, StoreError> {
        let Some(newest) = joined.last().filter(|_| !job.subject.is_empty()) else { return Ok(None) };
        let lookup = SubjectLookup {
            key: job.subject.clone(),
            host: newest.event.host.clone(),
            repo: newest.event.repo.clone().unwrap_or_default(),
            ..SubjectLookup::default()
        };
        let store = &self.inner.store;
        let Some(run) = store.subject(&lookup).await?.and_then(|known| known.facts.last_run) else { return Ok(None) };
        Ok(store.run(run).await?.map(|record| record.run))
    }

    /// Codegen's id of a repository: by the settings, else, where the name is GitHub's, by Codegen's own list; the inner
    /// error is why there is none.
    async fn repo(&self, job: &Job, name: Option<&str>) -> Result<Result<i64, String>, StoreError> {
        let options = &self.inner.options;
        let Some(name) = name else { return Ok(Err("the job names no repository".to_owned())) };
        let kind = options.sources.get(&job.source).copied();
        let by_kind = || options.repos.get(&format!("{}:{name}", kind?.as_str()));
        let listed = match options.repos.get(&format!("{}:{name}", job.source)).or_else(by_kind) {
            Some(RepoTarget::Id(id)) => return Ok(Ok(*id)),
            Some(RepoTarget::Name(listed)) => listed.as_str(),
            None if kind == Some(SourceKind::Gitlab) => {
                return Ok(Err(format!("codegen.repos does not say what Codegen calls \"gitlab:{name}\"")));
            }
            None => name,
        };
        let id = self.inner.store.repo_id(listed).await?;
        Ok(id.ok_or_else(|| format!("Codegen's list of repositories does not name \"{listed}\"")))
    }
}

/// The JSON of a stored body: the body itself, or the `payload` field of the form that GitHub may send it in.
fn payload(joined: &Joined) -> Option<Bytes> {
    let body = joined.body.as_ref()?;
    let form = joined.headers.iter().any(|(name, value)| {
        name.eq_ignore_ascii_case("content-type") && value.starts_with("application/x-www-form-urlencoded")
    });
    if !form {
        return Some(body.clone());
    }
    let (_, payload) = form_urlencoded::parse(body).find(|(name, _)| name == "payload")?;
    Some(match payload {
        Cow::Borrowed(text) => Bytes::copy_from_slice(text.as_bytes()),
        Cow::Owned(text) => Bytes::from(text),
    })
}
