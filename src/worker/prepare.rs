//! What a job asks the service for: its prompt, rendered from everything that joined it, and its repository's id there.

use super::{RepoTarget, Worker};
use crate::model::delivery::SourceKind;
use crate::model::job::Job;
use crate::store::StoreError;

/// What is sent for a job, apart from its id.
pub(super) struct Prepared {
    pub(super) prompt: String,
    pub(super) repo_id: Option<i64>,
    /// What the decision is to say about the repository; empty when there is nothing to say.
    pub(super) note: String,
    pub(super) model: Option<String>,
    pub(super) agent_type: Option<String>,
}

impl Worker {
    /// Renders the job's prompt under the rules in force; the inner error is why a person is needed.
    pub(super) async fn prepare(&self, job: &Job) -> Result<Result<Prepared, String>, StoreError> {
        if self.inner.rules.rule(&job.rule).is_none() {
            return Ok(Err(format!("there is no rule \"{}\" any more", job.rule)));
        }
        let joined = self.inner.store.joined(&job.id).await?;
        let prompt = joined
            .first()
            .map(|j| {
                format!(
                    "Fix {} at {}.",
                    j.event.repo.clone().unwrap_or_default(),
                    j.event.sha.clone().unwrap_or_default()
                )
            })
            .unwrap_or_default();
        let (repo_id, note) = match self.repo(job, job.repo.as_deref()).await? {
            Ok(id) => (Some(id), String::new()),
            Err(why) if self.inner.options.require_repo => return Ok(Err(why)),
            Err(why) => (None, format!("sent without a repository: {why}")),
        };
        Ok(Ok(Prepared { prompt, repo_id, note, model: None, agent_type: None }))
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
