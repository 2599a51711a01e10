//! `[codegen]`: the agent service, its limits, and how its repositories are called.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use schemars::JsonSchema;
use secrecy::{ExposeSecret as _, SecretString};
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::findings::Findings;
use super::layers::instead;
use super::path::KeyPath;
use super::secrets;
use super::values::{secret, span, table};
use crate::model::limits::{CallClass, ClassLimits, Headroom, RateLimit};
use crate::model::policy::Cost;
use crate::model::run::RepoTarget;

/// `[codegen]`, checked.
#[derive(Clone, Debug)]
pub struct CodegenSettings {
    /// Where the API is, without a slash at the end, e.g. `"https://api.codegen.com"`.
    pub base_url: String,
    /// Whether `base_url` may be http to another machine.
    pub insecure_http: bool,
    /// The organisation whose runs are created.
    pub org_id: i64,
    /// The bearer token.
    pub token: SecretString,
    /// The API's limits, less the headroom that is left to other users of the token.
    pub limits: ClassLimits,
    /// What is left to them.
    pub headroom: Headroom,
    /// What Codegen calls the repositories whose name differs there, by `"source-or-kind:full/path"`.
    pub repos: BTreeMap<String, RepoTarget>,
    /// Whether a job whose repository Codegen does not know is held instead of sent without one.
    pub require_repo: bool,
    /// How often the lists of runs are read while runs are active.
    pub poll_interval: Duration,
    /// How old a run becomes before it is no longer followed.
    pub give_up_after: Duration,
    /// What a run is estimated to cost, if that is known.
    pub cost: Option<Cost>,
}

/// `[codegen]`: the agent service.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CodegenWritten {
    /// Where the API is; https, or http to this machine.
    base_url: String,
    /// Lets `base_url` be http to another machine: the token then travels in the open.
    insecure_http: bool,
    /// The organisation whose runs are created. Required.
    org_id: Option<i64>,
    /// The bearer token. Required, or `token_file`, or the variable `HOOKRUN_CODEGEN__TOKEN`.
    #[serde(deserialize_with = "secret::some")]
    #[schemars(with = "Option<String>")]
    token: Option<SecretString>,
    /// The file that holds the token; a line break at its end does not count.
    token_file: Option<PathBuf>,
    /// The API's documented limits, as sliding windows.
    #[serde(deserialize_with = "table")]
    limits: LimitsWritten,
    /// How many calls of every window are left to other users of the token; or of each class, as a table: { create = 2,
    /// standard = 20 }.
    #[serde(deserialize_with = "headroom")]
    #[schemars(with = "HeadroomWritten")]
    headroom: Headroom,
    /// What Codegen calls the repositories whose name differs there (always those of GitLab): "gitlab:platform/pay/api"
    /// = "acme/pay-api", or the id there.
    repos: BTreeMap<String, RepoTarget>,
    /// Holds a job whose repository Codegen does not know, instead of sending it without one.
    require_repo: bool,
    /// How often the lists of runs are read while runs are active.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    poll_interval: Duration,
    /// How old a run becomes before it is no longer followed.
    #[serde(with = "span")]
    #[schemars(with = "span::Text")]
    give_up_after: Duration,
    /// What one run costs by your estimate, e.g. 0.8; told beside limits, and nothing is decided by it.
    #[schemars(range(min = 0.0))]
    cost: Option<f64>,
    /// What `cost` is in.
    currency: String,
}

impl Default for CodegenWritten {
    fn default() -> Self {
        Self {
            base_url: "https://api.codegen.com".to_owned(),
            insecure_http: false,
            org_id: None,
            token: None,
            token_file: None,
            limits: LimitsWritten::default(),
            headroom: Headroom::default(),
            repos: BTreeMap::new(),
            require_repo: false,
            poll_interval: Duration::from_secs(5),
            give_up_after: Duration::from_hours(24),
            cost: None,
            currency: "USD".to_owned(),
        }
    }
}

/// `[codegen.limits]`: "10/60s" is at most ten calls in any sixty seconds.
#[derive(Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
struct LimitsWritten {
    /// Creating a run.
    #[schemars(with = "String")]
    create: RateLimit,
    /// Every call without a limit of its own, creating included.
    #[schemars(with = "String")]
    standard: RateLimit,
    /// Generating set-up commands.
    #[schemars(with = "String")]
    setup_commands: RateLimit,
    /// Analysing the logs of a sandbox.
    #[schemars(with = "String")]
    log_analysis: RateLimit,
    /// Reading the trace of a run.
    #[schemars(with = "String")]
    logs: RateLimit,
}

impl Default for LimitsWritten {
    fn default() -> Self {
        let ClassLimits { create, standard, setup_commands, log_analysis, logs } = ClassLimits::default();
        Self { create, standard, setup_commands, log_analysis, logs }
    }
}

/// `headroom`: of every window, or of each.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[expect(dead_code, reason = "only its schema is used")]
enum HeadroomWritten {
    /// Of every window.
    All(u32),
    /// Of each class; 0 where nothing is said.
    Each {
        /// Of creating a run.
        #[schemars(default)]
        create: u32,
        /// Of every call without a limit of its own, creating included.
        #[schemars(default)]
        standard: u32,
        /// Of generating set-up commands.
        #[schemars(default)]
        setup_commands: u32,
        /// Of analysing the logs of a sandbox.
        #[schemars(default)]
        log_analysis: u32,
        /// Of reading the trace of a run.
        #[schemars(default)]
        logs: u32,
    },
}

fn headroom<'de, D: Deserializer<'de>>(from: D) -> Result<Headroom, D::Error> {
    struct Either;

    impl<'de> Visitor<'de> for Either {
        type Value = Headroom;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number from 0, or a table of them by class")
        }

        fn visit_i64<E: Error>(self, count: i64) -> Result<Headroom, E> {
            let all = u32::try_from(count).map(Headroom::all);
            all.map_err(|_| E::invalid_value(Unexpected::Signed(count), &self))
        }

        fn visit_u64<E: Error>(self, count: u64) -> Result<Headroom, E> {
            self.visit_i64(i64::try_from(count).unwrap_or(-1))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Headroom, A::Error> {
            Headroom::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_any(Either)
}

impl<'de> Deserialize<'de> for RepoTarget {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Target;

        impl Visitor<'_> for Target {
            type Value = RepoTarget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a repository's name or id")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<RepoTarget, E> {
                match name.split_once('/') {
                    Some((owner, rest)) if !owner.is_empty() && !rest.is_empty() => {
                        Ok(RepoTarget::Name(name.to_owned()))
                    }
                    _ => Err(E::custom(format!("\"{name}\" is no repository; write it as \"acme/widgets\""))),
                }
            }

            fn visit_i64<E: Error>(self, id: i64) -> Result<RepoTarget, E> {
                Ok(RepoTarget::Id(id))
            }
        }

        from.deserialize_any(Target)
    }
}

impl CodegenWritten {
    /// Checks the section and reads its token. `sources` are the names before the colon in `repos`, beside the kinds.
    pub(super) fn check(self, path: &KeyPath, sources: &[String], findings: &mut Findings) -> Option<CodegenSettings> {
        let base_url = self.checked_url(&path.key("base_url"), findings);
        let limits = self.usable_limits(path, findings);
        self.check_repos(&path.key("repos"), sources, findings);
        let org_path = path.key("org_id");
        match self.org_id {
            None => findings.missing(&org_path, "it is the number in the URL of your organisation's settings"),
            Some(id) if id < 1 => findings.wrong(&org_path, format!("`{org_path}` must be 1 or more")),
            Some(_) => {}
        }
        if self.cost.is_some_and(|cost| !cost.is_finite() || cost < 0.0) {
            let path = path.key("cost");
            findings.wrong(&path, format!("`{path}` must be 0 or more"));
        }
        let token = secrets::any(self.token, self.token_file, path, "token", findings).and_then(|(token, path)| {
            let text = token.expose_secret();
            let fit = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            if !fit {
                findings.wrong(&path, format!("`{path}` is empty, or has characters that no token has"));
            }
            fit.then_some(token)
        });
        Some(CodegenSettings {
            base_url,
            insecure_http: self.insecure_http,
            org_id: self.org_id?,
            token: token?,
            limits,
            headroom: self.headroom,
            repos: self.repos,
            require_repo: self.require_repo,
            poll_interval: self.poll_interval,
            give_up_after: self.give_up_after,
            cost: self.cost.map(|per_run| Cost { per_run, currency: self.currency }),
        })
    }

    fn checked_url(&self, path: &KeyPath, findings: &mut Findings) -> String {
        let wrong = match Url::parse(&self.base_url) {
            Err(error) => Some(format!("is no URL: {error}")),
            Ok(url) if !matches!(url.scheme(), "http" | "https") => Some("must begin with https://".to_owned()),
            Ok(url) if !url.username().is_empty() || url.password().is_some() => {
                Some("must not carry a user or a password".to_owned())
            }
            Ok(url) if url.query().is_some() || url.fragment().is_some() => {
                Some("must not carry a query or a fragment".to_owned())
            }
            Ok(url) if url.scheme() == "http" && !self.insecure_http && !to_this_machine(&url) => {
                Some("would send the token to another machine without https".to_owned())
            }
            Ok(_) => None,
        };
        if let Some(wrong) = wrong {
            findings.wrong(path, format!("`{path}` {wrong}"));
        }
        self.base_url.trim_end_matches('/').to_owned()
    }

    fn usable_limits(&self, path: &KeyPath, findings: &mut Findings) -> ClassLimits {
        let LimitsWritten { create, standard, setup_commands, log_analysis, logs } = self.limits;
        let limits = ClassLimits { create, standard, setup_commands, log_analysis, logs };
        let left = limits.without(self.headroom);
        if let Some(class) = CallClass::ALL.into_iter().find(|class| left.of(*class).count == 0) {
            let path = path.key("headroom");
            findings
                .wrong(&path, format!("`{path}` leaves no call of the class {class}, which has {}", limits.of(class)));
        }
        left
    }

    fn check_repos(&self, path: &KeyPath, sources: &[String], findings: &mut Findings) {
        let known: Vec<&str> = KINDS.into_iter().chain(sources.iter().map(String::as_str)).collect();
        for name in self.repos.keys() {
            match name.split_once(':') {
                Some((source, repo)) if known.contains(&source) && repo.contains('/') => {}
                Some((source, _)) if !known.contains(&source) => findings.wrong_so(
                    &path.key(name),
                    format!("\"{source}\" in `{}` is neither a source nor a kind of host", path.key(name)),
                    instead(source, known.iter().copied()),
                ),
                _ => findings.wrong_so(
                    &path.key(name),
                    format!("\"{name}\" in `{path}` names no repository"),
                    "write it as \"gitlab:platform/pay/api\"",
                ),
            }
        }
    }
}

const KINDS: [&str; 3] = ["github", "gitlab", "jira"];

fn to_this_machine(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.to_canonical().is_loopback())
    })
}
