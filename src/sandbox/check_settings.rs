//! What Codegen does by itself about failed checks, by repository: kept as it was put, and without effect on runs.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

/// The settings of every repository that were put; the others have the defaults.
#[derive(Debug, Default)]
pub(super) struct CheckSettings(HashMap<i64, Map<String, Value>>);

impl CheckSettings {
    /// A repository's settings, as a `CheckSuiteSettingsResponse`. Three repetitions are the default that the page on the
    /// checks auto-fixer names.
    pub(super) fn of(&self, repo: i64) -> Value {
        let mut settings = json!({
            "check_retry_count": 3,
            "ignored_checks": [],
            "check_retry_counts": {},
            "custom_prompts": {},
            "high_priority_apps": [],
            "available_check_suite_names": ["tests"],
        });
        for (name, value) in self.0.get(&repo).into_iter().flatten() {
            settings[name] = value.clone();
        }
        settings
    }

    /// Changes a repository's settings by the fields of a `CheckSuiteSettingsRequest`; a missing one and null change
    /// nothing.
    pub(super) fn put(&mut self, repo: i64, fields: Map<String, Value>) {
        let known =
            ["check_retry_count", "ignored_checks", "check_retry_counts", "custom_prompts", "high_priority_apps"];
        let given = fields.into_iter().filter(|(name, value)| known.contains(&name.as_str()) && !value.is_null());
        self.0.entry(repo).or_default().extend(given);
    }
}
