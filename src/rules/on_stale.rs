//! Which rules want to be heard about runs that have become stale.

use super::RuleSet;
use super::file::Mode;
use crate::model::policy::OnStale;

impl RuleSet {
    /// The rules whose `on_stale` is not "leave", and what it is. Only live rules may have anything sent.
    pub fn on_stale(&self) -> Vec<(String, OnStale)> {
        let live = self.rules.iter().filter(|rule| rule.mode == Mode::Live);
        let all = live.map(|rule| (&rule.name, rule.policy.on_stale));
        all.filter(|(_, wanted)| *wanted != OnStale::Leave).map(|(name, wanted)| (name.clone(), wanted)).collect()
    }
}
