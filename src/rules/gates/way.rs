//! How a job is done once it may be: told to a run that is there, or by starting one, as the rule's `then` prefers.

use serde_json::{Map, Value, json};

use super::{Said, inputs};
use crate::model::gate::Snapshot;
use crate::model::policy::{Action, Policy, Then};

/// What is asked of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A new run.
    Start,
    /// This run is told.
    Resume(i64),
    /// The change of this run is left alone from now on, and its agents stop.
    Ban(i64),
    /// Codegen may look after the change of this run again.
    Unban(i64),
    /// Set-up commands for the repository.
    SetupCommands,
}

impl Way {
    /// The run that it is about, if that is there already.
    pub fn run(self) -> Option<i64> {
        match self {
            Self::Resume(run) | Self::Ban(run) | Self::Unban(run) => Some(run),
            Self::Start | Self::SetupCommands => None,
        }
    }
}

/// Why there is none: a person is asked, it is not known yet, or it can never be.
enum Without {
    Held(String),
    Unknown(String),
    Never(String),
}

/// The way of a job that may be sent now; `None` when there is none.
pub fn way(snapshot: &Snapshot, policy: &Policy) -> Option<Way> {
    choose(snapshot, policy).ok()
}

fn choose(snapshot: &Snapshot, policy: &Policy) -> Result<Way, Without> {
    let job = &snapshot.job;
    // A run that refused to be told is remembered by -1, so that the next word of `then` counts.
    let run = match job.target {
        Some(run) if run > 0 => Some(run),
        Some(_) => None,
        None => snapshot.newest_run,
    };
    let none = |what: &str| Without::Never(format!("there is no run to {what}"));
    if snapshot.run_to_come || (job.is_act() && job.target.is_none()) {
        return Err(Without::Unknown("it is not known yet which run it is for".to_owned()));
    }
    match job.action {
        Action::Tell => run.map(Way::Resume).ok_or_else(|| none("tell")),
        Action::Ban => run.map(Way::Ban).ok_or_else(|| none("ban")),
        Action::Unban => run.map(Way::Unban).ok_or_else(|| none("unban")),
        Action::SetupCommands => Ok(Way::SetupCommands),
        // What is to be said to one certain run is for no other, and makes none as long as that run listens.
        Action::Run if job.target.is_some_and(|run| run > 0) => run.map(Way::Resume).ok_or_else(|| none("tell")),
        Action::Run => {
            for word in &policy.then {
                match (word, run) {
                    (Then::Resume, Some(run)) => return Ok(Way::Resume(run)),
                    (Then::Resume, None) => {}
                    (Then::Start, _) => return Ok(Way::Start),
                    // Whoever approves it wants it done.
                    (Then::Hold, _) if job.approved => return Ok(Way::Start),
                    (Then::Hold, _) => {
                        return Err(Without::Held("then: a person decides; approve it to start a run".to_owned()));
                    }
                }
            }
            Err(Without::Never("then: there is no run to resume, and the rule names no other way".to_owned()))
        }
    }
}

/// Which way it goes.
pub(super) fn then(snapshot: &Snapshot, policy: &Policy) -> (Said, Map<String, Value>) {
    let job = &snapshot.job;
    let inputs = inputs(json!({ "then": policy.then, "newest_run": snapshot.newest_run, "target": job.target }));
    let said = match choose(snapshot, policy) {
        Ok(Way::Start) => Said::Pass("starts a run".to_owned()),
        Ok(Way::Resume(run)) => Said::Pass(format!("tells run {run}")),
        Ok(Way::Ban(run)) => Said::Pass(format!("bans the change of run {run}")),
        Ok(Way::Unban(run)) => Said::Pass(format!("unbans the change of run {run}")),
        Ok(Way::SetupCommands) => Said::Pass("asks for set-up commands".to_owned()),
        Err(Without::Held(reason)) => Said::Hold(reason, None),
        Err(Without::Unknown(reason)) => Said::Wait(reason, None),
        Err(Without::Never(reason)) => Said::Stop(reason),
    };
    (said, inputs)
}
