//! The organization that is played: its users (one for each token), repositories and integrations.

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// The repository that every sandbox has.
const FIRST_REPO: &str = "acme/widgets";
const FIRST_REPO_ID: i64 = 101;
const FIRST_USER_ID: i64 = 1001;
const NAME: &str = "Acme";

/// The one organization of a sandbox.
#[derive(Debug)]
pub(super) struct Organization {
    pub(super) id: i64,
    tokens: Vec<SecretString>,
    repos: Vec<String>,
}

impl Organization {
    /// An organization with one user for each token and with `acme/widgets` before the given repositories.
    pub(super) fn new(id: i64, tokens: Vec<SecretString>, more_repos: &[String]) -> Self {
        let mut repos = vec![FIRST_REPO.to_owned()];
        for repo in more_repos {
            if !repos.contains(repo) {
                repos.push(repo.clone());
            }
        }
        Self { id, tokens, repos }
    }

    /// The id of the user to whom `token` belongs.
    pub(super) fn user_of(&self, token: &str) -> Option<i64> {
        let index = self.tokens.iter().position(|known| known.expose_secret() == token)?;
        Some(FIRST_USER_ID + index as i64)
    }

    /// All users, as `UserResponse`s.
    pub(super) fn users(&self) -> Vec<Value> {
        (0..self.tokens.len() as i64).map(|index| user(FIRST_USER_ID + index)).collect()
    }

    /// One user, as a `UserResponse`.
    pub(super) fn user(&self, id: i64) -> Option<Value> {
        (FIRST_USER_ID..FIRST_USER_ID + self.tokens.len() as i64).contains(&id).then(|| user(id))
    }

    /// The full name of a repository.
    pub(super) fn repo(&self, id: i64) -> Option<&str> {
        let index = usize::try_from(id.checked_sub(FIRST_REPO_ID)?).ok()?;
        self.repos.get(index).map(String::as_str)
    }

    /// All repositories, as `RepoResponse`s.
    pub(super) fn repos(&self) -> Vec<Value> {
        (FIRST_REPO_ID..)
            .zip(&self.repos)
            .map(|(id, full_name)| {
                json!({
                    "id": id,
                    "name": full_name.rsplit('/').next(),
                    "full_name": full_name,
                    "description": null,
                    "github_id": (700_000_000 + id).to_string(),
                    "organization_id": self.id,
                    "visibility": "private",
                    "archived": false,
                    "setup_status": "completed",
                    "language": null,
                })
            })
            .collect()
    }

    /// The organization itself, as an `OrganizationResponse`.
    pub(super) fn describe(&self) -> Value {
        json!({
            "id": self.id,
            "name": NAME,
            "settings": {"enable_pr_creation": true, "enable_rules_detection": true},
        })
    }

    /// Its integrations, as an `OrganizationIntegrationsResponse`: GitHub is connected, the trackers are not.
    pub(super) fn integrations(&self) -> Value {
        let idle = |kind: &str| json!({"integration_type": kind, "active": false, "token_id": null, "installation_id": null, "metadata": null});
        let github = json!({
            "integration_type": "github",
            "active": true,
            "token_id": null,
            "installation_id": 50_001,
            "metadata": {"organization_name": NAME},
        });
        json!({
            "organization_id": self.id,
            "organization_name": NAME,
            "integrations": [github, idle("jira"), idle("linear"), idle("slack")],
            "total_active_integrations": 1,
        })
    }
}

fn user(id: i64) -> Value {
    let number = id - FIRST_USER_ID + 1;
    let first = number == 1;
    json!({
        "id": id,
        "email": format!("user-{number}@sandbox.example"),
        "github_user_id": (800_000 + number).to_string(),
        "github_username": format!("sandbox-user-{number}"),
        "avatar_url": null,
        "full_name": format!("Sandbox User {number}"),
        "role": if first { "ADMIN" } else { "MEMBER" },
        "is_admin": first,
    })
}
