//! The rules in force: everybody asks for them anew at each delivery and each release, so that a reload counts at once.

use std::sync::{Arc, PoisonError, RwLock};

use super::RuleSet;
use crate::model::clock::Timestamp;
use crate::model::problem::Problem;

/// The rules in force, shared by everyone who asks them.
#[derive(Debug)]
pub struct Live {
    now: RwLock<Arc<InForce>>,
}

/// Rules, and what is known of the files that they were read from.
#[derive(Clone, Debug)]
pub struct InForce {
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// Since when they are in force.
    pub loaded_at: Timestamp,
    /// Whether the files have changed since and cannot be used.
    pub stale: bool,
    /// What is wrong with the files as they are now; warnings only, unless the rules are stale.
    pub problems: Vec<Problem>,
}

impl Live {
    /// Begins with these.
    pub fn new(rules: RuleSet, loaded_at: Timestamp) -> Self {
        let begin = InForce { rules: Arc::new(rules), loaded_at, stale: false, problems: Vec::new() };
        Self { now: RwLock::new(Arc::new(begin)) }
    }

    /// The rules in force now. Hold them for one decision, not longer.
    pub fn now(&self) -> Arc<RuleSet> {
        self.in_force().rules.clone()
    }

    /// The rules in force now, with what is known of their files.
    pub fn in_force(&self) -> Arc<InForce> {
        self.now.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts others in force, with the warnings about them. Answers whether that is news: they say something else, or
    /// the files were broken before.
    pub fn replace(&self, rules: RuleSet, warnings: Vec<Problem>, at: Timestamp) -> bool {
        let before = self.in_force();
        let other = before.rules.hash() != rules.hash();
        let loaded_at = if other { at } else { before.loaded_at };
        self.set(InForce { rules: Arc::new(rules), loaded_at, stale: false, problems: warnings });
        other || before.stale
    }

    /// Leaves the rules as they are, because their files are broken. Answers whether that is news: a breakage that was
    /// not told yet.
    pub fn refuse(&self, problems: Vec<Problem>) -> bool {
        let before = self.in_force();
        let news = !before.stale || before.problems != problems;
        self.set(InForce { stale: true, problems, ..InForce::clone(&before) });
        news
    }

    fn set(&self, now: InForce) {
        *self.now.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(now);
    }
}
