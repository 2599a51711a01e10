//! Settings: defaults < file < environment < flags, read into typed values, with every problem found at once.

mod admin;
mod codegen;
mod findings;
mod layers;
mod path;
mod plain;
mod rules;
mod secrets;
mod source_text;
mod sources;
mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use admin::AdminWritten;
use codegen::CodegenWritten;
use findings::Findings;
use layers::Layers;
use path::KeyPath;
use rules::{CeilingsWritten, RulesWritten};
use sources::SourceWritten;
use values::{is_loopback, table, tables};

use crate::model::problem::Problem;

pub use admin::AdminSettings;
pub use codegen::CodegenSettings;
pub use plain::{DatabaseSettings, LogSettings, RetentionSettings, WebhookSettings, WorkerSettings};
pub use rules::RulesSettings;
pub use secrets::LabeledSecret;
pub use sources::{HeaderSecret, SourceSettings};

/// Everything that hookrun can be told, checked and ready to use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[webhooks]`: the public listener.
    pub webhooks: WebhookSettings,
    /// `[admin]`: the listener for people and their tools.
    pub admin: AdminSettings,
    /// `[worker]`: whether this process sends and follows.
    pub worker: WorkerSettings,
    /// `[database]`: where everything is remembered.
    pub database: DatabaseSettings,
    /// `[retention]`: for how long.
    pub retention: RetentionSettings,
    /// `[codegen]`: the agent service.
    pub codegen: CodegenSettings,
    /// `[rules]` and `[limits]`: where the rules are, and what binds all of them.
    pub rules: RulesSettings,
    /// `[sources.NAME]`: who may send webhooks, by name.
    pub sources: BTreeMap<String, SourceSettings>,
    /// `[log]`: what the program writes about itself.
    pub log: LogSettings,
}

/// Where settings come from. Nothing else is read: the caller hands in the environment.
#[derive(Clone, Debug, Default)]
pub struct Input {
    /// The settings file, if there is one.
    pub file: Option<PathBuf>,
    /// Variables as (name, value); those that are called `HOOKRUN_SECTION__KEY` are settings.
    pub env: Vec<(String, String)>,
    /// What the command line says; it wins over everything else.
    pub flags: Overrides,
}

/// Settings given on the command line.
#[derive(Clone, Debug, Default)]
pub struct Overrides(Vec<(&'static str, &'static str, String)>);

impl Overrides {
    /// The same with `value`, if there is one, for the setting `key` (`"webhooks.listen"`); problems with it name
    /// `flag` (`"--listen"`).
    #[must_use]
    pub fn with(mut self, flag: &'static str, key: &'static str, value: Option<String>) -> Self {
        self.0.extend(value.map(|value| (flag, key, value)));
        self
    }
}

/// The settings as they are written.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Settings of hookrun")]
struct Written {
    #[serde(deserialize_with = "table")]
    webhooks: WebhookSettings,
    #[serde(deserialize_with = "table")]
    admin: AdminWritten,
    #[serde(deserialize_with = "table")]
    worker: WorkerSettings,
    #[serde(deserialize_with = "table")]
    database: DatabaseSettings,
    #[serde(deserialize_with = "table")]
    retention: RetentionSettings,
    #[serde(deserialize_with = "table")]
    codegen: CodegenWritten,
    #[serde(deserialize_with = "table")]
    rules: RulesWritten,
    #[serde(deserialize_with = "table")]
    limits: CeilingsWritten,
    /// Who may send webhooks, by the name in `POST /webhooks/NAME`.
    #[serde(deserialize_with = "tables")]
    sources: BTreeMap<String, SourceWritten>,
    #[serde(deserialize_with = "table")]
    log: LogSettings,
}

const SECTIONS: [&str; 10] =
    ["webhooks", "admin", "worker", "database", "retention", "codegen", "rules", "limits", "sources", "log"];

impl Settings {
    /// Reads all layers: defaults < file < environment < flags. Answers the settings with warnings, or everything that
    /// is wrong, warnings included, in the order of the file. Reads the files that secrets are in, and nothing else.
    pub fn load(input: Input) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let (layers, warnings) = Layers::read(input, &SECTIONS)?;
        let mut findings = Findings::new(layers, warnings);
        let written: Written = findings.read();
        let settings = written.check(&mut findings);
        findings.finish(settings)
    }

    /// Whether an environment variable of this name is a setting.
    pub fn is_variable(name: &str) -> bool {
        name.strip_prefix(layers::PREFIX).is_some_and(|key| key.contains("__"))
    }

    /// What settings that may be wrong say about the rules, so that the problems of both can be told together; `None`
    /// when the file cannot be read at all.
    pub fn rules(input: Input) -> Option<RulesSettings> {
        let (layers, warnings) = Layers::read(input, &SECTIONS).ok()?;
        let mut findings = Findings::new(layers, warnings);
        let written: Written = findings.read();
        Some(written.rules.check(written.limits, &KeyPath::default().key("rules"), &mut findings))
    }
}

impl Written {
    fn check(mut self, findings: &mut Findings) -> Option<Settings> {
        let root = KeyPath::default();
        self.webhooks.check(&root.key("webhooks"), findings);
        self.database.check(&root.key("database"), findings);
        let alone = !self.database.is_shared();
        for (section, enabled) in [("webhooks", self.webhooks.enabled), ("worker", self.worker.enabled)] {
            if alone && !enabled {
                findings.doubtful(
                    &root.key(section).key("enabled"),
                    format!("`{section}` is off, and no other process can do its work beside a SQLite file"),
                    "use a PostgreSQL database to split the work",
                );
            }
        }
        let admin = self.admin.check(&root.key("admin"), findings);
        let names: Vec<String> = self.sources.keys().cloned().collect();
        let codegen = self.codegen.check(&root.key("codegen"), &names, findings);
        let rules = self.rules.check(self.limits, &root.key("rules"), findings);
        let local = is_loopback(self.webhooks.listen);
        let path = root.key("sources");
        if self.sources.is_empty() && !findings.is_reported(&path) {
            findings.doubtful(
                &path,
                "there are no `sources`, so that every webhook is refused",
                "add [sources.github]",
            );
        }
        let sources = self
            .sources
            .into_iter()
            .filter_map(|(name, source)| {
                let source = source.check(&name, local, &path.key(&name), findings)?;
                Some((name, source))
            })
            .collect();
        Some(Settings {
            webhooks: self.webhooks,
            admin,
            worker: self.worker,
            database: self.database,
            retention: self.retention,
            codegen: codegen?,
            rules,
            sources,
            log: self.log,
        })
    }
}

/// The annotated settings file: every setting with its default or an example. It is their documentation.
pub fn annotated_default() -> &'static str {
    include_str!("../../config/hookrun.toml")
}

/// The JSON schema of the settings file, made from the types that read it.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(Written).to_value()
}
