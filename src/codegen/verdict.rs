//! What the end of a call says about the calls to come: the way from an answer to a verdict over breakers.

use super::error::{CallError, Denial};
use crate::model::breaker::BreakerKind;
use crate::model::limits::CallClass;
use crate::store::Verdict;

/// What a call was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// The class that its end speaks for: a resume counts as a create, which is our caution.
    pub class: CallClass,
    /// Whether it is about one run or repository, so that a 404 says nothing about others.
    pub one: bool,
    /// Whether it says nothing about others that it is denied, either.
    pub alone: bool,
}

impl About {
    /// A call that is about the organisation.
    pub fn all(class: CallClass) -> Self {
        Self { class, one: false, alone: false }
    }

    /// A call that does something to one run or repository.
    pub fn one(class: CallClass) -> Self {
        Self { class, one: true, alone: false }
    }

    /// A call that reads something of one run.
    pub fn one_read(class: CallClass) -> Self {
        Self { class, one: true, alone: true }
    }

    /// The verdict over a failure; `None` when no call was made.
    pub(super) fn verdict(self, failure: &CallError) -> Option<Verdict> {
        let starts = matches!(self.class, CallClass::Create | CallClass::SetupCommands);
        Some(match failure {
            CallError::NoSlot { .. } | CallError::Store(_) => return None,
            CallError::Ambiguous(_) => Verdict::Silent,
            CallError::Refused(_) => Verdict::Answered,
            CallError::NotTaken { denial, .. } => match denial {
                Denial::Connect => Verdict::Silent,
                Denial::Unauthorized => Verdict::Denied(BreakerKind::Access),
                Denial::Forbidden if !self.alone => Verdict::Denied(BreakerKind::Access),
                Denial::Billing if starts => Verdict::Denied(BreakerKind::Billing),
                Denial::NotFound if self.class == CallClass::Create && !self.one => {
                    Verdict::Denied(BreakerKind::NotFound)
                }
                Denial::Forbidden | Denial::Billing | Denial::NotFound | Denial::RateLimited { .. } => {
                    Verdict::Answered
                }
            },
        })
    }
}
