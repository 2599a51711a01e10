//! The door: every call of the API with the slot that it needs in the window of its class.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::sync::OnceCell;

use super::error::{CallError, Denial, SetupError};
use super::http::{Answered, Http, HttpOptions};
use super::quota::Quota;
use super::verdict::About;
use super::wire::{CreateRun, Listing, Me, RepoRow, ResumeBody, RunRow, SetupBody, SetupRow, StopBody, Trace};
use crate::model::breaker::BreakerKind;
use crate::model::clock::Clock;
use crate::model::limits::CallClass;
use crate::model::run::Run;
use crate::store::{CallId, Slot, Store, Verdict};
use crate::telemetry::{self, Metric};

/// How many rows a page of a list has at most (OpenAPI: `limit <= 100`).
pub const PAGE: u32 = 100;
/// Who the token belongs to.
const ME: &str = "/v1/users/me";
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
    /// records the outcome ends the call. What it means for other calls is for [`Self::heard`].
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
        self.slotted(About::one_read(CallClass::Logs), "read trace", async move {
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
        self.slotted(About::all(CallClass::Standard), "list runs", async move {
            door.inner.http.get(&format!("{}/agent/runs", door.organization()), &query).await
        })
        .await
    }

    /// How far our clock is ahead of the service's, by the date of its newest answer: its times are that much older to us.
    pub fn ahead(&self) -> Duration {
        self.inner.http.ahead()
    }

    /// How many calls of this process in a row had no answer at all.
    pub fn unanswered(&self) -> u32 {
        self.inner.http.unanswered()
    }

    /// `GET …/agent/run/{id}`.
    pub async fn get_run(&self, id: i64) -> Result<RunRow, CallError> {
        let door = self.clone();
        self.slotted(About::one_read(CallClass::Standard), "get run", async move {
            door.inner.http.get(&format!("{}/agent/run/{id}", door.organization()), &[]).await
        })
        .await
    }

    /// `GET /v1/users/me`, asked once: a token belongs to one user for its life.
    pub async fn me(&self) -> Result<Me, CallError> {
        let door = self.clone();
        let ask = || {
            let call = async move { door.inner.http.get(ME, &[]).await };
            self.slotted(About::all(CallClass::Standard), "get user", call)
        };
        self.inner.me.get_or_try_init(ask).await.cloned()
    }

    /// `GET …/repos`: a page of the organisation's repositories after `skip` rows.
    pub async fn list_repos(&self, skip: u64, limit: u32) -> Result<Listing<RepoRow>, CallError> {
        let door = self.clone();
        let query = [("skip", skip.to_string()), ("limit", limit.to_string())];
        self.slotted(About::all(CallClass::Standard), "list repos", async move {
            door.inner.http.get(&format!("{}/repos", door.organization()), &query).await
        })
        .await
    }

    /// The harmless read that finds out whether a breaker which stops all calls can be closed; `None` when that is not due,
    /// or is done by another. An outage is over when anything is answered; the token and the organisation are proved by
    /// what only this organisation's own may read.
    pub async fn probe(&self, kind: BreakerKind) -> Result<Option<()>, CallError> {
        let about = About::all(CallClass::Standard);
        let door = self.clone();
        // A task of its own, as in `slotted`.
        let task = tokio::spawn(async move {
            let id = match door.inner.store.begin_probe(kind, "probe").await? {
                None => return Ok(None),
                Some(Slot::Taken(id)) => id,
                Some(Slot::Full { until, reason }) => return Err(CallError::NoSlot { until, reason }),
            };
            door.must_be_ours(&id).await?;
            let http = &door.inner.http;
            let answer = if kind == BreakerKind::Access {
                let path = format!("{}/agent/runs", door.organization());
                let query = [("limit", "1".to_owned())];
                door.measured(about.class, async { nothing(http.get::<Listing<RunRow>>(&path, &query).await) }).await
            } else {
                door.measured(about.class, async { nothing(http.get::<Me>(ME, &[]).await) }).await
            };
            door.ended(&id, about, &answer).await?;
            answer.map(Some)
        });
        task.await.unwrap_or_else(|_| Err(abandoned()))
    }

    /// Says what the end of a call means for others, before the call is ended: a 429 freezes its class and makes its window
    /// smaller; of the rest the breakers make what it is worth.
    pub async fn heard<T>(&self, call: &CallId, about: About, answer: &Result<T, CallError>) -> Result<(), CallError> {
        let (inner, class) = (&self.inner, about.class);
        let (verdict, reason) = match answer {
            Ok(_) => (Verdict::Done, String::new()),
            Err(failure) => {
                let Some(verdict) = about.verdict(failure) else { return Ok(()) };
                (verdict, failure.to_string())
            }
        };
        if let Err(CallError::NotTaken { denial: Denial::RateLimited { retry_after }, message }) = answer {
            let pause = retry_after.unwrap_or_else(|| inner.store.limits().of(class).per);
            let slots = inner.store.limited(call, class, pause, message).await?;
            tracing::warn!(%class, seconds = pause.as_secs(), slots, reason, "calls of this class are held back");
        }
        let judged = inner.store.judge(call, class, verdict, &reason).await?;
        for breaker in &judged.opened {
            tracing::warn!(%breaker, reason, "a breaker opened");
        }
        for breaker in &judged.closed {
            tracing::info!(%breaker, "a breaker closed: the service takes calls again");
        }
        Ok(())
    }

    fn organization(&self) -> String {
        format!("/v1/organizations/{}", self.inner.org_id)
    }

    /// Takes a slot, makes the call, and gives the slot back one window after the answer.
    async fn slotted<T: Send + Sync + 'static>(
        &self,
        about: About,
        purpose: &'static str,
        call: impl Future<Output = Answered<T>> + Send + 'static,
    ) -> Result<T, CallError> {
        let door = self.clone();
        // A task of its own: a caller who goes away in the middle must not leave a call that never ends.
        let task = tokio::spawn(async move {
            let id = match door.inner.store.take_slots(about.class.charged(), purpose).await? {
                Slot::Taken(id) => id,
                Slot::Full { until, reason } => return Err(CallError::NoSlot { until, reason }),
            };
            door.must_be_ours(&id).await?;
            let answer = door.measured(about.class, call).await;
            door.ended(&id, about, &answer).await?;
            answer
        });
        task.await.unwrap_or_else(|_| Err(abandoned()))
    }

    /// A process that hung may find that others have taken over its slots: a call of it would come on top of theirs.
    async fn must_be_ours(&self, call: &CallId) -> Result<(), CallError> {
        match self.inner.store.may_make(call).await {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            Err(error) => {
                // Nothing was sent; if that cannot be said either, the slot comes back by itself.
                let _ = self.inner.store.end_call(call).await;
                return Err(error.into());
            }
        }
        let reason = "this process was not heard of for too long".to_owned();
        Err(CallError::NoSlot { until: None, reason })
    }

    /// Says what the end of a call means, and ends it. An answer is an answer, whether or not what it means can be stored.
    async fn ended<T>(&self, call: &CallId, about: About, answer: &Result<T, CallError>) -> Result<(), CallError> {
        if let Err(error) = self.heard(call, about, answer).await {
            tracing::warn!(class = %about.class, %error, "what an answer says about other calls could not be stored");
        }
        Ok(self.inner.store.end_call(call).await?)
    }

    /// Makes the call, and counts it with its result and duration. Where the answer says that no calls are left, or asks to
    /// wait, its class is frozen until then; also where the call has failed.
    async fn measured<T>(&self, class: CallClass, call: impl Future<Output = Answered<T>>) -> Result<T, CallError> {
        let inner = &self.inner;
        let begun = inner.clock.now();
        let Answered { value, quota } = call.await;
        let result = value.as_ref().map_or_else(CallError::result, |_| "ok");
        telemetry::count(Metric::ApiCalls, &[("class", class.as_str()), ("result", result)]);
        telemetry::measure(Metric::ApiSeconds, &[], inner.clock.now().since(begun).as_secs_f64());
        let (wait, reason) = match quota {
            Quota::Open => return value,
            Quota::UsedUp(wait) => (wait, "the service says that no calls are left"),
            Quota::Down(wait) => (Some(wait), "the service is down and asks to wait"),
        };
        let until = inner.clock.now().plus(wait.unwrap_or_else(|| inner.store.limits().of(class).per));
        // What was carried out stays so, whether or not that can be stored.
        if let Err(error) = inner.store.freeze(class, until, reason).await {
            tracing::warn!(%class, %error, "the class could not be frozen");
        }
        value
    }
}

fn abandoned() -> CallError {
    CallError::Ambiguous("the call was abandoned".to_owned())
}

/// Only that there was an answer counts.
fn nothing<T>(Answered { value, quota }: Answered<T>) -> Answered<()> {
    Answered { value: value.map(drop), quota }
}
