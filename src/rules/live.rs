//! The rules in force: everybody asks for them anew at each delivery and each release, so that a reload counts at once.

use std::sync::{Arc, PoisonError, RwLock};

use super::RuleSet;

/// The rules in force, shared by everyone who asks them.
#[derive(Debug)]
pub struct Live {
    now: RwLock<Arc<RuleSet>>,
}

impl Live {
    /// Begins with these.
    pub fn new(rules: RuleSet) -> Self {
        Self { now: RwLock::new(Arc::new(rules)) }
    }

    /// The rules in force now. Hold them for one decision, not longer.
    pub fn now(&self) -> Arc<RuleSet> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force.
    pub fn replace(&self, rules: RuleSet) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }
}
