//! Settings: defaults < file < environment < flags, read into typed values, with every problem found at once.

mod admin;
mod codegen;
mod plain;
mod secrets;
mod sources;
mod values;

use std::collections::BTreeMap;

pub use admin::{AdminSettings, AdminToken, Role};
pub use codegen::{CodegenSettings, RepoTarget};
pub use plain::{DatabaseSettings, LogSettings, RetentionSettings, RulesSettings, WebhookSettings};
pub use secrets::LabeledSecret;
pub use sources::{HeaderSecret, SigningToken, SourceSettings};

/// Everything that hookrun can be told, checked and ready to use.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `[webhooks]`: the public listener.
    pub webhooks: WebhookSettings,
    /// `[admin]`: the listener for people and their tools.
    pub admin: AdminSettings,
    /// `[database]`: where everything is remembered.
    pub database: DatabaseSettings,
    /// `[retention]`: for how long.
    pub retention: RetentionSettings,
    /// `[codegen]`: the agent service.
    pub codegen: CodegenSettings,
    /// `[rules]`: where the rules are.
    pub rules: RulesSettings,
    /// `[sources.NAME]`: who may send webhooks, by name.
    pub sources: BTreeMap<String, SourceSettings>,
    /// `[log]`: what the program writes about itself.
    pub log: LogSettings,
}
