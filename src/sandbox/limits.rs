//! The limits that the sandbox enforces: one sliding window per user and class.

use std::collections::{HashMap, VecDeque};
use std::str::FromStr;

use crate::model::clock::Timestamp;
use crate::model::limits::{CallClass, ClassLimits, RateLimit};

/// The limit of one class as a flag gives it: `"create=10/60s"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitFlag {
    /// The class that it limits.
    pub class: CallClass,
    /// The limit.
    pub limit: RateLimit,
}

impl LimitFlag {
    /// Puts this limit in the place of its class.
    pub fn apply(self, limits: &mut ClassLimits) {
        match self.class {
            CallClass::Create => limits.create = self.limit,
            CallClass::Standard => limits.standard = self.limit,
            CallClass::SetupCommands => limits.setup_commands = self.limit,
            CallClass::LogAnalysis => limits.log_analysis = self.limit,
            CallClass::Logs => limits.logs = self.limit,
        }
    }
}

impl FromStr for LimitFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (class, limit) =
            text.split_once('=').ok_or_else(|| format!("\"{text}\" is no limit; write it as \"create=10/60s\""))?;
        Ok(Self { class: class.trim().parse()?, limit: limit.trim().parse()? })
    }
}

/// When the calls of each user and class that were let through arrived.
///
/// A call that was refused with 429 is not written down, so it delays nobody. Codegen does not say whether refused calls
/// count; this is the sandbox's choice, because it makes the windows exact: `count` calls in any window of `per`.
#[derive(Debug, Default)]
pub(super) struct Windows(HashMap<(i64, CallClass), VecDeque<Timestamp>>);

impl Windows {
    /// Whether one more call of `user` and `class` may arrive at `now`. A slot is free again exactly one window after
    /// the call that used it.
    pub(super) fn has_room(&mut self, user: i64, class: CallClass, limit: RateLimit, now: Timestamp) -> bool {
        let calls = self.0.entry((user, class)).or_default();
        while calls.front().is_some_and(|&arrived| arrived.plus(limit.per) <= now) {
            calls.pop_front();
        }
        calls.len() < limit.count as usize
    }

    /// Writes down a call that was let through.
    pub(super) fn charge(&mut self, user: i64, class: CallClass, now: Timestamp) {
        self.0.entry((user, class)).or_default().push_back(now);
    }
}
