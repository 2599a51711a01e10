//! The door: every call of the API with the slot that it needs in the window of its class.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::error::{CallError, Denial, SetupError};
use super::http::{Http, HttpOptions};
use super::wire::{CreateRun, Listing, Me, RepoRow, ResumeBody, RunRow, SetupBody, SetupRow, StopBody, Trace};
use crate::model::clock::Clock;
use crate::model::limits::CallClass;
use crate::model::run::Run;
use crate::store::{Slot, Store};
use crate::telemetry::{self, Metric};

/// How many rows a page of a list has at most (OpenAPI: `limit <= 100`).
pub const PAGE: u32 = 100;
/// How long a plan without runs left holds back a class: a slow probe.
const BILLING_PAUSE: Duration = Duration::from_mins(30);
/// How long a token or organisation that is refused holds back everything.
const ACCESS_PAUSE: Duration = Duration::from_mins(5);
/// How long an organisation without repositories, or a wrong address, holds back a class.
const CONFIG_PAUSE: Duration = Duration::from_mins(10);

/// What a [`Codegen`] is made from.
#[derive(Clone, Debug)]
pub struct CodegenOptions {
    /// Where the API is, e.g. `https://api.codegen.com`; plain http only on loopback, unless `insecure_http`.
    pub base_url: String,
    /// Lets the token travel to another machine in the clear.
    pub insecure_http: bool,
    /// The organisation.
    pub org_id: i64,
    /// The token.
    pub token: SecretString,
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How long a whole call may take.
    pub call_timeout: Duration,
}

impl CodegenOptions {
    /// Options with the usual time-outs: 5 s to connect, 30 s for a whole call.
    pub fn new(base_url: impl Into<String>, org_id: i64, token: SecretString) -> Self {
        Self {
            base_url: base_url.into(),
            insecure_http: false,
            org_id,
            token,
            connect_timeout: Duration::from_secs(5),
            call_timeout: Duration::from_secs(30),
        }
    }
}

/// The Codegen API for one token and organisation; a cheap handle.
#[derive(Clone, Debug)]
pub struct Codegen {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    http: Http,
    org_id: i64,
    store: Store,
    clock: Arc<dyn Clock>,
    me: OnceCell<Me>,
}

impl Codegen {
    /// Makes the door. Nothing is sent. A `rustls` crypto provider must have been installed for the process.
    pub fn new(options: &CodegenOptions, store: Store, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let http = Http::new(
            &HttpOptions {
                base_url: &options.base_url,
                insecure_http: options.insecure_http,
                token: &options.token,
                connect_timeout: options.connect_timeout,
                call_timeout: options.call_timeout,
            },
            Arc::clone(&clock),
        )?;
        let inner = Inner { http, org_id: options.org_id, store, clock, me: OnceCell::new() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// `POST …/agent/run`. The caller holds the slots: the transaction that releases a job takes them, and whoever
    /// records the outcome ends the call. What the failure means for other calls is for [`Self::hold_back`].
    pub async fn create(&self, request: &CreateRun) -> Result<RunRow, CallError> {
        let path = format!("{}/agent/run", self.organization());
        self.measured(CallClass::Create, self.inner.http.post(&path, &request.body())).await
    }

    /// `POST …/agent/run/resume`: says something to a run, which then works on. The caller holds the slots, as for
    /// [`Self::create`]. 404 says that the service does not know the run, and a refusal that it takes nothing more.
    pub async fn resume(&self, run: i64, prompt: &str) -> Result<RunRow, CallError> {
        let path = format!("{}/agent/run/resume", self.organization());
        let body = ResumeBody { agent_run_id: run, prompt };
        self.measured(CallClass::Create, self.inner.http.post(&path, &body)).await
    }

    /// `POST …/agent/run/ban`: stops the agents of the run's change, and Codegen leaves the change alone from then on. To
    /// do so twice is the same as once. The caller holds the slot.
    pub async fn ban(&self, run: i64) -> Result<(), CallError> {
        let path = format!("{}/agent/run/ban", self.organization());
        self.measured(CallClass::Standard, self.inner.http.tell(&path, &StopBody { agent_run_id: run })).await
    }

    /// `POST …/agent/run/unban`: Codegen may look after the run's change again. The caller holds the slot.
    pub async fn unban(&self, run: i64) -> Result<(), CallError> {
        let path = format!("{}/agent/run/unban", self.organization());
        self.measured(CallClass::Standard, self.inner.http.tell(&path, &StopBody { agent_run_id: run })).await
    }

    /// `POST …/setup-commands/generate` for a repository, by Codegen's own id of it: a run that finds out how the
    /// repository is set up. An empty prompt is not sent. The caller holds the slot.
    pub async fn setup_commands(&self, repo_id: i64, prompt: &str) -> Result<Run, CallError> {
        let path = format!("{}/setup-commands/generate", self.organization());
        let body = SetupBody { repo_id, prompt };
        let call = self.inner.http.post::<SetupRow>(&path, &body);
        self.measured(CallClass::SetupCommands, call).await.map(Run::from)
    }

    /// `GET …/agent/run/{id}/logs`: `limit` entries (100 at most) of a run's trace after `skip`, the oldest first or the
    /// newest.
    pub async fn logs(&self, run: i64, newest_first: bool, skip: u64, limit: u32) -> Result<Trace, CallError> {
        let query = [("reverse", newest_first.to_string()), ("skip", skip.to_string()), ("limit", limit.to_string())];
        let door = self.clone();
        self.slotted(CallClass::Logs, "read trace", async move {
            // The one call whose path is not below that of the organisation.
            let path = format!("/v1/alpha/organizations/{}/agent/run/{run}/logs", door.inner.org_id);
            door.inner.http.get(&path, &query).await
        })
        .await
    }

    /// `GET …/agent/runs`: a page of the token's own runs that came over the API, newest first, after `skip` rows.
    pub async fn list_runs(&self, skip: u64, limit: u32) -> Result<Listing<RunRow>, CallError> {
        let me = self.me().await?;
        let query = [
            ("source_type", "API".to_owned()),
            ("user_id", me.id.to_string()),
            ("skip", skip.to_string()),
            ("limit", limit.to_string()),
        ];
        let door = self.clone();
        self.slotted(CallClass::Standard, "list runs", async move {
            door.inner.http.get(&format!("{}/agent/runs", door.organization()), &query).await
        })
        .await
    }

    /// How far our clock is ahead of the service's, by the date of its newest answer: its times are that much older to us.
    pub fn ahead(&self) -> Duration {
        self.inner.http.ahead()
    }

    /// `GET …/agent/run/{id}`.
    pub async fn get_run(&self, id: i64) -> Result<RunRow, CallError> {
        let door = self.clone();
        self.slotted(CallClass::Standard, "get run", async move {
            door.inner.http.get(&format!("{}/agent/run/{id}", door.organization()), &[]).await
        })
        .await
    }

    /// `GET /v1/users/me`, asked once: a token belongs to one user for its life.
    pub async fn me(&self) -> Result<Me, CallError> {
        let door = self.clone();
        let ask = || {
            self.slotted(CallClass::Standard, "get user", async move { door.inner.http.get("/v1/users/me", &[]).await })
        };
        self.inner.me.get_or_try_init(ask).await.cloned()
    }

    /// `GET …/repos`: a page of the organisation's repositories after `skip` rows.
    pub async fn list_repos(&self, skip: u64, limit: u32) -> Result<Listing<RepoRow>, CallError> {
        let door = self.clone();
        let query = [("skip", skip.to_string()), ("limit", limit.to_string())];
        self.slotted(CallClass::Standard, "list repos", async move {
            door.inner.http.get(&format!("{}/repos", door.organization()), &query).await
        })
        .await
    }

    /// Stops the classes that a failed call of this class speaks for: 401 and 403 every class for five minutes; its own
    /// class on 402 for 30 minutes, on 404 for ten minutes, on 429 for as long as it asks, or a full window. Not for a 404
    /// that is about one run or repository only.
    pub async fn hold_back(&self, class: CallClass, failure: &CallError) -> Result<(), CallError> {
        let CallError::NotTaken { denial, message } = failure else { return Ok(()) };
        match denial {
            Denial::Connect => Ok(()),
            Denial::Unauthorized | Denial::Forbidden => self.freeze_all(message).await,
            Denial::Billing => self.freeze(class, BILLING_PAUSE, message).await,
            Denial::NotFound => self.freeze(class, CONFIG_PAUSE, message).await,
            Denial::RateLimited { retry_after } => self.freeze_limited(class, *retry_after, message).await,
        }
    }

    fn organization(&self) -> String {
        format!("/v1/organizations/{}", self.inner.org_id)
    }

    /// Takes a slot of `class`, makes the call, and gives the slot back one window after the answer.
    async fn slotted<T: Send + 'static>(
        &self,
        class: CallClass,
        purpose: &'static str,
        call: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> Result<T, CallError> {
        let door = self.clone();
        // A task of its own: a caller who goes away in the middle must not leave a call that never ends.
        let task = tokio::spawn(async move {
            let id = match door.inner.store.take_slots(&[class], purpose).await? {
                Slot::Taken(id) => id,
                Slot::Full { until, reason } => return Err(CallError::NoSlot { until, reason }),
            };
            let answer = door.measured(class, call).await;
            door.inner.store.end_call(&id).await?;
            if let Err(CallError::NotTaken { denial, message }) = &answer {
                match denial {
                    Denial::RateLimited { retry_after } => door.freeze_limited(class, *retry_after, message).await?,
                    Denial::Unauthorized => door.freeze_all(message).await?,
                    // One object that we may not see says nothing about the others.
                    Denial::Connect | Denial::Billing | Denial::Forbidden | Denial::NotFound => {}
                }
            }
            answer
        });
        task.await.unwrap_or_else(|_| Err(CallError::Ambiguous("the call was abandoned".to_owned())))
    }

    /// Makes the call, and counts it with its result and duration.
    async fn measured<T>(
        &self,
        class: CallClass,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let begun = self.inner.clock.now();
        let answer = call.await;
        let result = answer.as_ref().map_or_else(CallError::result, |_| "ok");
        telemetry::count(Metric::ApiCalls, &[("class", class.as_str()), ("result", result)]);
        telemetry::measure(Metric::ApiSeconds, &[], self.inner.clock.now().since(begun).as_secs_f64());
        answer
    }

    async fn freeze_limited(
        &self,
        class: CallClass,
        retry_after: Option<Duration>,
        reason: &str,
    ) -> Result<(), CallError> {
        let pause = retry_after.unwrap_or_else(|| self.inner.store.limits().of(class).per);
        self.freeze(class, pause, reason).await
    }

    async fn freeze_all(&self, reason: &str) -> Result<(), CallError> {
        for class in CallClass::ALL {
            self.freeze(class, ACCESS_PAUSE, reason).await?;
        }
        Ok(())
    }

    async fn freeze(&self, class: CallClass, pause: Duration, reason: &str) -> Result<(), CallError> {
        let until = self.inner.clock.now().plus(pause);
        tracing::warn!(%class, until = until.to_rfc3339(), reason, "calls of this class are held back");
        Ok(self.inner.store.freeze(class, until, reason).await?)
    }
}
