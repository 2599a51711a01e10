//! What arrived at the sandbox and how it was answered.

use std::collections::VecDeque;

use axum::http::{Method, Uri};
use serde::Serialize;

use super::call::Call;
use super::fault::Fault;
use crate::model::clock::Timestamp;
use crate::model::limits::CallClass;

/// How many calls are remembered; older ones are forgotten.
const KEPT: usize = 10_000;

/// A request that arrived. Times are by the sandbox's clock, in unix milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallRecord {
    /// Counts all requests, from 1.
    pub number: u64,
    /// The call; null for a path or method that is not played.
    pub call: Option<Call>,
    /// The window that it belongs to, charged or not.
    pub class: Option<CallClass>,
    /// The HTTP method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Whose token it carried; null when it was missing or unknown.
    pub user_id: Option<i64>,
    /// When it had arrived whole.
    pub arrived_at: Timestamp,
    /// When its answer went out or its connection was closed; null while it waits, and for ever when the caller left
    /// first.
    pub answered_at: Option<Timestamp>,
    /// The status of the answer; null when there was none.
    pub status: Option<u16>,
    /// The fault that was played on it.
    pub fault: Option<Fault>,
}

/// The newest calls, oldest first.
#[derive(Debug, Default)]
pub(super) struct Journal {
    seen: u64,
    calls: VecDeque<CallRecord>,
}

impl Journal {
    /// Writes down an arrival and gives its number.
    pub(super) fn arrived(&mut self, call: Option<Call>, method: &Method, uri: &Uri, at: Timestamp) -> u64 {
        self.seen += 1;
        if self.calls.len() == KEPT {
            self.calls.pop_front();
        }
        self.calls.push_back(CallRecord {
            number: self.seen,
            call,
            class: call.map(Call::class),
            method: method.to_string(),
            path: uri.path_and_query().map_or_else(String::new, ToString::to_string),
            user_id: None,
            arrived_at: at,
            answered_at: None,
            status: None,
            fault: None,
        });
        self.seen
    }

    /// The call with this number, if it is still remembered.
    pub(super) fn find(&mut self, number: u64) -> Option<&mut CallRecord> {
        let first = self.calls.front()?.number;
        let index = usize::try_from(number.checked_sub(first)?).ok()?;
        self.calls.get_mut(index)
    }

    /// All calls that are remembered.
    pub(super) fn calls(&self) -> Vec<CallRecord> {
        self.calls.iter().cloned().collect()
    }
}
