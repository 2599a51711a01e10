//! What other rules would have said to a stored delivery: both sets are asked the same way, dry.

use std::collections::{BTreeMap, BTreeSet};

use super::Intake;
use super::decide::Decided;
use super::explain::{Restored, Unexplained};
use crate::model::decision::Ruling;
use crate::model::policy::Terms;
use crate::rules::{self, Loaded, Rendered, RuleSet};

/// How a rule's answer to a delivery shifts when other rules come into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shift {
    /// It would match now.
    Starts,
    /// It would match no longer.
    Stops,
    /// It matches as before, but under another key, with another prompt, or in shadow mode.
    Changes,
    /// It matches, and all is as before.
    Stays,
}

/// One rule's two answers to a delivery, one of which matches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// The rule.
    pub rule: String,
    /// What became of its answer.
    pub shift: Shift,
    /// What it says under the rules in force, as `decision: reason`; `None` when it is not asked there.
    pub was: Option<String>,
    /// What it would say under the others.
    pub would: Option<String>,
}

/// What one rule says, as far as it is compared.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    decision: Ruling,
    reason: String,
    key: Option<String>,
    sends: Option<Rendered>,
}

impl Said {
    fn matches(&self) -> bool {
        matches!(self.decision, Ruling::Queued | Ruling::Shadow)
    }

    fn told(&self) -> String {
        format!("{}: {}", self.decision.as_str(), self.reason)
    }
}

/// Compiles rules that are no file here: `files` are rule files as (name, text), `beside` the prompt files and includes
/// that they name. What the settings say about all rules binds them as it binds those in force.
pub fn candidate(files: Vec<(String, String)>, beside: &BTreeMap<String, String>, terms: &Terms) -> Loaded {
    rules::compile(files, terms, &|name| {
        beside.get(name).cloned().ok_or_else(|| format!("there is no file \"{name}\""))
    })
}

impl Intake {
    /// What binds the rules in force, and so whatever is to take their place.
    pub fn terms(&self) -> Terms {
        self.rules.now().terms().clone()
    }

    /// Asks the rules in force and `others` about a stored delivery; only rules that match under one of them are told.
    /// Both are asked with what is known of the subject now.
    pub async fn compare(&self, id: &str, others: &RuleSet) -> Result<Vec<Compared>, Unexplained> {
        let restored = self.restore(id).await?;
        let mut was = self.asked(&self.rules.now(), &restored, id).await?;
        let mut would = self.asked(others, &restored, id).await?;
        let names: BTreeSet<String> = was.keys().chain(would.keys()).cloned().collect();
        let compare = |rule: String| {
            let (was, would) = (was.remove(&rule), would.remove(&rule));
            let shift = match (was.as_ref().is_some_and(Said::matches), would.as_ref().is_some_and(Said::matches)) {
                (false, false) => return None,
                (false, true) => Shift::Starts,
                (true, false) => Shift::Stops,
                (true, true) if was == would => Shift::Stays,
                (true, true) => Shift::Changes,
            };
            Some(Compared { rule, shift, was: was.map(|said| said.told()), would: would.map(|said| said.told()) })
        };
        Ok(names.into_iter().filter_map(compare).collect())
    }

    /// The answer of each rule: the one that matches if it is asked about several events.
    async fn asked(
        &self,
        rules: &RuleSet,
        restored: &Restored<'_>,
        id: &str,
    ) -> Result<BTreeMap<String, Said>, Unexplained> {
        let Restored { door, delivery, received_at } = restored;
        let Decided { acceptance, rendered } = self.decide_under(rules, door, delivery, id, *received_at).await?;
        let mut answers: BTreeMap<String, Said> = BTreeMap::new();
        for (verdict, sends) in acceptance.verdicts.into_iter().zip(rendered) {
            let said = Said { decision: verdict.decision, reason: verdict.reason, key: verdict.key, sends };
            if !answers.get(&verdict.rule).is_some_and(Said::matches) {
                answers.insert(verdict.rule, said);
            }
        }
        Ok(answers)
    }
}
