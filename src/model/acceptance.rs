//! What the accept transaction takes and gives: one delivery with all that follows from it.

use super::clock::Timestamp;
use super::decision::Verdict;
use super::delivery::DeliveryOutcome;
use super::event::Event;
use super::job::JobRequest;
use super::policy::OnStale;
use super::subject::{CheckUpdate, SubjectUpdate};

/// A verified delivery with everything that is to be committed with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Acceptance {
    /// Our id for the delivery.
    pub id: String,
    /// The source.
    pub source: String,
    /// Label of the secret that matched.
    pub secret_label: String,
    /// The sender's delivery id.
    pub sender_id: Option<String>,
    /// The delivery that it repeats, if somebody asked for that.
    pub replay_of: Option<String>,
    /// The body as it arrived; stored compressed, apart from the row.
    pub body: bytes::Bytes,
    /// The headers that are needed to understand the body again (event name, content type, ids); never a secret one.
    pub headers: Vec<(String, String)>,
    /// When it arrived.
    pub received_at: Timestamp,
    /// The host's own event name.
    pub native: String,
    /// What it says; empty when it was not understood.
    pub events: Vec<Event>,
    /// What it adds to `subjects`.
    pub subjects: Vec<SubjectUpdate>,
    /// What it adds to `checks`.
    pub checks: Vec<CheckUpdate>,
    /// Subjects whose count of attempts it resets, if the conditions that only the store knows hold.
    pub resets: Vec<AttemptReset>,
    /// The rules that want to be heard about runs that have become stale, and what is done then. May be empty where the
    /// delivery moves no head and closes nothing.
    pub on_stale: Vec<(String, OnStale)>,
    /// Every verdict that a rule gave. The store finishes those that carry a request: queued, joined, duplicate, late.
    pub verdicts: Vec<Verdict>,
    /// What matching rules ask for, each with the index of its verdict.
    pub requests: Vec<(usize, JobRequest)>,
    /// What became of it if no request is carried out: ping, unmatched, not understood.
    pub outcome: DeliveryOutcome,
    /// Why, in words.
    pub reason: String,
}

/// A reason to count a subject's attempts from zero again. The two kinds are all there are, beside a person who retries a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttemptReset {
    /// A suite, workflow or pipeline succeeded: resets unless a check of the commit is known red or unfinished.
    Green {
        /// The subject.
        subject: String,
        /// The host of the commit.
        host: String,
        /// The repository of the commit.
        repo: String,
        /// The commit.
        sha: String,
    },
    /// A person pushed: resets unless a run of ours is active on the subject or ended less than 15 minutes ago.
    HumanPush {
        /// The subject.
        subject: String,
    },
}

/// What the accept transaction committed.
#[derive(Clone, Debug, PartialEq)]
pub struct Accepted {
    /// Our id for the delivery.
    pub delivery: String,
    /// What became of it.
    pub outcome: DeliveryOutcome,
    /// Why, in words.
    pub reason: String,
    /// The jobs that were made or joined, once each.
    pub jobs: Vec<String>,
    /// The finished verdicts.
    pub verdicts: Vec<Verdict>,
}
