//! The Codegen API played locally: for tests, dry runs, the demo and `hookrun sandbox`.
//!
//! It plays the calls of [`Call`] after Codegen's published OpenAPI document (version 1.0.0): documented fields and error
//! bodies, validation, pages, bearer tokens, organization ids and limits. Time comes from the clock that it is given and
//! every state is computed when it is asked for, so a test that holds the clock holds the sandbox.
//!
//! A call goes through: path and method (404, 405), token (403), window (429), fault, validation (422), organization
//! (403), the call. Every call past its token is charged to its window, unless it is answered 429. A missing or
//! unknown token is answered 403: that is the authentication failure that the OpenAPI documents; 401 stands only in the
//! prose of Codegen's page on agent run logs, and [`Fault::Error`] plays it.
//!
//! ```text
//! wire ── admit: organization (token), limits, fault ── play: asked (validation), runs, run ── answer ── wire
//! control: /sandbox/faults · /sandbox/calls · /sandbox/runs          journal: what arrived, how it was answered
//! ```

mod answer;
mod asked;
mod call;
mod check_settings;
mod control;
mod direction;
mod fault;
mod journal;
mod limits;
mod organization;
mod play;
mod run;
mod runs;
mod speed;
mod wire;

use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri};
use axum::serve::ListenerExt;
use secrecy::SecretString;
use thiserror::Error;
use tokio::net::TcpListener;

pub use self::call::Call;
pub use self::fault::{Fault, FaultRule, When};
pub use self::journal::CallRecord;
pub use self::limits::LimitFlag;
pub use self::runs::SandboxRun;
pub use self::speed::Speed;

use self::answer::Answer;
use self::asked::Asked;
use self::check_settings::CheckSettings;
use self::fault::Script;
use self::journal::Journal;
use self::limits::Windows;
use self::organization::Organization;
use self::play::Stage;
use self::runs::Runs;
use crate::model::clock::{Clock, Timestamp};
use crate::model::limits::ClassLimits;

/// What a sandbox is started with.
#[derive(Clone, Debug)]
pub struct SandboxConfig {
    /// The tokens that it knows; each belongs to a user of its own.
    pub tokens: Vec<SecretString>,
    /// The id of its one organization.
    pub org_id: i64,
    /// The windows that it enforces, for each token by itself; none at all if absent.
    pub limits: Option<ClassLimits>,
    /// How much faster than usual runs live.
    pub speed: Speed,
    /// The full names of its repositories beside `acme/widgets`.
    pub repos: Vec<String>,
    /// The fault script that it begins with.
    pub faults: Vec<FaultRule>,
}

impl SandboxConfig {
    /// The usual sandbox: the documented limits, lives of five seconds, one repository, no faults.
    pub fn new(tokens: Vec<SecretString>, org_id: i64) -> Self {
        let limits = Some(ClassLimits::default());
        Self { tokens, org_id, limits, speed: Speed::default(), repos: Vec::new(), faults: Vec::new() }
    }
}

/// What can be wrong with what the sandbox is told.
#[derive(Debug, Error)]
pub enum SandboxError {
    /// The text is no list of fault rules.
    #[error("the fault script cannot be read: {0}")]
    Script(#[from] serde_json::Error),
}

/// Reads a fault script: a JSON list of [`FaultRule`]s.
pub fn fault_script(text: &str) -> Result<Vec<FaultRule>, SandboxError> {
    Ok(serde_json::from_str(text)?)
}

/// A played Codegen API.
#[derive(Debug)]
pub struct Sandbox {
    organization: Organization,
    limits: Option<ClassLimits>,
    speed: Speed,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

/// What changes while it is played.
#[derive(Debug)]
struct State {
    runs: Runs,
    settings: CheckSettings,
    windows: Windows,
    script: Script,
    journal: Journal,
}

/// A call that may do its work.
#[derive(Debug)]
struct Admission {
    /// Whose token it carried.
    user: i64,
    /// What goes wrong with it.
    fault: Option<Fault>,
}

impl State {
    /// Charges a call to its window and takes the next line of the fault script; a 429 if the window has no room.
    fn admit(
        &mut self,
        user: i64,
        call: Call,
        limits: Option<&ClassLimits>,
        now: Timestamp,
    ) -> Result<Admission, Answer> {
        let class = call.class();
        let full = limits.is_some_and(|limits| !self.windows.has_room(user, class, limits.of(class), now));
        if full {
            return Err(Answer::documented(StatusCode::TOO_MANY_REQUESTS, call));
        }
        let fault = self.script.take(call);
        if limits.is_some() && !matches!(fault, Some(Fault::RateLimited { .. })) {
            self.windows.charge(user, class, now);
        }
        Ok(Admission { user, fault })
    }
}

impl Sandbox {
    /// A sandbox without runs.
    pub fn new(config: SandboxConfig, clock: Arc<dyn Clock>) -> Arc<Self> {
        let SandboxConfig { tokens, org_id, limits, speed, repos, faults } = config;
        let mut script = Script::default();
        script.add(faults);
        let runs = Runs::new(clock.now());
        let state = State {
            runs,
            settings: CheckSettings::default(),
            windows: Windows::default(),
            script,
            journal: Journal::default(),
        };
        let organization = Organization::new(org_id, tokens, &repos);
        Arc::new(Self { organization, limits, speed, clock, state: Mutex::new(state) })
    }

    /// Everything that it serves: the API under `/v1` and its own control paths under `/sandbox`.
    pub fn router(self: &Arc<Self>) -> Router {
        wire::routes(self).merge(control::routes(self))
    }

    /// Adds lines at the end of the fault script.
    pub fn faults(&self, rules: impl IntoIterator<Item = FaultRule>) {
        self.state().script.add(rules);
    }

    /// Forgets the fault script.
    pub fn clear_faults(&self) {
        self.state().script.clear();
    }

    /// The lines of the fault script that are not used up.
    pub fn pending_faults(&self) -> Vec<FaultRule> {
        self.state().script.left()
    }

    /// What arrived, oldest first; of very many calls the newest ten thousand.
    pub fn calls(&self) -> Vec<CallRecord> {
        self.state().journal.calls()
    }

    /// The runs as they are now, oldest first.
    pub fn runs(&self) -> Vec<SandboxRun> {
        self.state().runs.look(self.clock.now())
    }

    /// Puts a run into a status, any word or null, and keeps it there until it is released or resumed. False if there
    /// is no such run.
    pub fn hold(&self, run: i64, status: Option<String>) -> bool {
        let now = self.clock.now();
        self.state().runs.find(run).map(|run| run.hold(Some((now, status)))).is_some()
    }

    /// Lets a held run go on by the clock. False if there is no such run.
    pub fn release(&self, run: i64) -> bool {
        self.state().runs.find(run).map(|run| run.hold(None)).is_some()
    }

    /// Notes that a request for no call that is played has arrived, and gives its number.
    fn strayed(&self, method: &Method, uri: &Uri) -> u64 {
        let now = self.clock.now();
        self.state().journal.arrived(None, method, uri, now)
    }

    /// Notes that a call has arrived whole, and asks its token, its window and the fault script about it. The number is
    /// the call's; an error is the answer of a call that goes no further.
    fn arrived(&self, call: Call, parts: &Parts, token: Option<&str>) -> (u64, Result<Admission, Answer>) {
        let now = self.clock.now();
        let mut state = self.state();
        let number = state.journal.arrived(Some(call), &parts.method, &parts.uri, now);
        let Some(user) = token.and_then(|token| self.organization.user_of(token)) else {
            return (number, Err(Answer::error(StatusCode::FORBIDDEN, "The bearer token is missing or unknown.")));
        };
        let admission = state.admit(user, call, self.limits.as_ref(), now);
        if let Some(record) = state.journal.find(number) {
            record.user_id = Some(user);
            record.fault = admission.as_ref().ok().and_then(|admission| admission.fault.clone());
        }
        (number, admission)
    }

    /// Notes that a request was answered, or that its connection is closed without an answer.
    fn answered(&self, number: u64, status: Option<StatusCode>) {
        let now = self.clock.now();
        let mut state = self.state();
        if let Some(record) = state.journal.find(number) {
            record.answered_at = Some(now);
            record.status = status.map(|status| status.as_u16());
            tracing::debug!(call = ?record.call, status = record.status, fault = ?record.fault, "call answered");
        }
    }

    /// Does the work of a call, with the changes that a fault makes to its answer.
    fn play(&self, call: Call, user: i64, asked: &Asked, fault: Option<&Fault>) -> Answer {
        let now = self.clock.now();
        let unlisted = match fault {
            Some(Fault::Hidden { seconds }) => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        let mut state = self.state();
        let State { runs, settings, .. } = &mut *state;
        let mut answer = Stage {
            organization: &self.organization,
            runs,
            settings,
            speed: self.speed,
            now,
            user,
            listed_until: now.minus(unlisted),
        }
        .play(call, asked);
        if let Some(fault) = fault {
            wire::bend(&mut answer.body, fault);
        }
        answer
    }

    /// A panic in another thread leaves nothing half done here, so the state is good all the same.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the sandbox until `shutdown`; calls that are being answered are finished.
pub async fn serve(
    listener: TcpListener,
    sandbox: Arc<Sandbox>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers may be delayed");
        }
    });
    axum::serve(listener, sandbox.router()).with_graceful_shutdown(shutdown).await
}
