//! One call over HTTP: the request out, a bounded answer in, and what went wrong by class.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderValue};
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, Url, redirect, retry};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{CallError, SetupError};
use super::quota::{self, Quota, http_date};
use crate::model::clock::Clock;

/// The largest answer that is read: a page of a hundred runs with long results is far below it.
const ANSWER_MAX: usize = 8 << 20;
/// Servers of the service's kind close a connection that was idle for 5 s. One that may be closing is not used: a call
/// that is lost on it would be ambiguous.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// The connection to the service. It knows addresses and the token, but nothing of windows.
#[derive(Debug)]
pub(super) struct Http {
    client: Client,
    base: Url,
    token: SecretString,
    clock: Arc<dyn Clock>,
    /// By how many milliseconds our clock is ahead of the service's, by the date of its newest answer.
    ahead: AtomicI64,
    /// How many calls in a row had no answer at all.
    unanswered: AtomicU32,
}

/// What a call gave.
#[derive(Debug)]
pub(super) struct Answered<T> {
    /// What was asked for, or what the failure means.
    pub(super) value: Result<T, CallError>,
    /// What the answer says about further calls.
    pub(super) quota: Quota,
}

/// What an [`Http`] is made from.
pub(super) struct HttpOptions<'a> {
    pub(super) base_url: &'a str,
    pub(super) insecure_http: bool,
    pub(super) token: &'a SecretString,
    pub(super) connect_timeout: Duration,
    pub(super) call_timeout: Duration,
}

impl Http {
    pub(super) fn new(options: &HttpOptions<'_>, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        let (base, loopback) = read_base(options.base_url, options.insecure_http)?;
        if options.token.expose_secret().is_empty() {
            return Err(SetupError::Token);
        }
        let mut authorization = HeaderValue::from_str(&format!("Bearer {}", options.token.expose_secret()))
            .map_err(|_| SetupError::Token)?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([
            (AUTHORIZATION, authorization),
            (ACCEPT, HeaderValue::from_static("application/json")),
        ]);
        let mut client = Client::builder()
            .user_agent(concat!("hookrun/", env!("CARGO_PKG_VERSION")))
            .default_headers(headers)
            .redirect(redirect::Policy::none())
            // Every repetition is decided by the worker, and counted.
            .retry(retry::never())
            .connect_timeout(options.connect_timeout)
            .timeout(options.call_timeout)
            .pool_idle_timeout(IDLE_MAX)
            .https_only(base.scheme() == "https");
        if loopback {
            client = client.no_proxy();
        }
        let client = client.build().map_err(SetupError::Client)?;
        Ok(Self {
            client,
            base,
            token: options.token.clone(),
            clock,
            ahead: AtomicI64::new(0),
            unanswered: AtomicU32::new(0),
        })
    }

    /// `GET` of a path below the base address.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, String)]) -> Answered<T> {
        self.call(self.request(Method::GET, path).query(query)).await
    }

    /// `POST` of a JSON body to a path below the base address.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Answered<T> {
        self.call(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` of which only is asked whether it was carried out: any JSON will do as an answer, and none at all.
    pub(super) async fn tell(&self, path: &str, body: &impl Serialize) -> Answered<()> {
        let Answered { value, quota } = self.exchange(self.request(Method::POST, path).json(body)).await;
        let value = value.and_then(
            |(status, body)| {
                if body.is_empty() { Ok(()) } else { read::<IgnoredAny>(status, &body).map(drop) }
            },
        );
        Answered { value, quota }
    }

    /// How far our clock is ahead of the service's, as far as its answers tell; the time that an answer takes counts too.
    pub(super) fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::Relaxed).max(0) as u64)
    }

    /// How many calls in a row had no answer at all.
    pub(super) fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Relaxed)
    }

    fn compare_clocks(&self, headers: &HeaderMap) {
        if let Some(theirs) = headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?)) {
            self.ahead.store(self.clock.now().0 - theirs.0, Ordering::Relaxed);
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let mut url = self.base.clone();
        url.set_path(&format!("{}{path}", self.base.path().trim_end_matches('/')));
        self.client.request(method, url)
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Answered<T> {
        let Answered { value, quota } = self.exchange(request).await;
        Answered { value: value.and_then(|(status, body)| read(status, &body)), quota }
    }

    /// The status and the body of a success.
    async fn exchange(&self, request: RequestBuilder) -> Answered<(StatusCode, Vec<u8>)> {
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                return Answered { value: Err(CallError::from_transport(&error)), quota: Quota::Open };
            }
        };
        self.unanswered.store(0, Ordering::Relaxed);
        self.compare_clocks(answer.headers());
        let quota = quota::of(answer.status(), answer.headers(), self.clock.now());
        Answered { value: self.whole(answer).await, quota }
    }

    /// The rest of an answer that has begun.
    async fn whole(&self, mut answer: Response) -> Result<(StatusCode, Vec<u8>), CallError> {
        let status = answer.status();
        let headers = std::mem::take(answer.headers_mut());
        let mut body = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_MAX => body.extend_from_slice(&chunk),
                Ok(Some(_)) if status.is_success() => {
                    return Err(CallError::Ambiguous("the agent service's answer is larger than 8 MiB".to_owned()));
                }
                Err(error) if status.is_success() => return Err(CallError::from_transport(&error)),
                // The end; or the status of a failure is known, and the rest of its body would only add words.
                _ => break,
            }
        }
        if !status.is_success() {
            return Err(self.redacted(CallError::from_answer(status, &headers, &body, self.clock.now())));
        }
        Ok((status, body))
    }

    /// A service that repeats the token in its words does not bring it into logs and records.
    fn redacted(&self, error: CallError) -> CallError {
        let clean = |text: String| text.replace(self.token.expose_secret(), "[token]");
        match error {
            CallError::NotTaken { denial, message } => CallError::NotTaken { denial, message: clean(message) },
            CallError::Refused(message) => CallError::Refused(clean(message)),
            CallError::Ambiguous(message) => CallError::Ambiguous(clean(message)),
            other => other,
        }
    }
}

fn read<T: DeserializeOwned>(status: StatusCode, body: &[u8]) -> Result<T, CallError> {
    serde_json::from_slice(body).map_err(|error| {
        let what = if error.is_data() { "lacks what was asked for" } else { "is not readable as JSON" };
        CallError::Ambiguous(format!("the agent service answered {}, but the answer {what}", status.as_u16()))
    })
}

/// Reads the base address; the second value tells whether it is this machine.
fn read_base(text: &str, insecure_http: bool) -> Result<(Url, bool), SetupError> {
    let wrong = |what: &str| SetupError::BaseUrl(what.to_owned());
    let url = Url::parse(text).map_err(|error| SetupError::BaseUrl(error.to_string()))?;
    let host = url.host_str().ok_or_else(|| wrong("names no host"))?;
    let loopback = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("must not carry a user or password; the token is a setting of its own"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("must not carry a query or fragment"));
    }
    match url.scheme() {
        "https" => Ok((url, loopback)),
        "http" if loopback || insecure_http => Ok((url, loopback)),
        "http" => Err(wrong("must be https: the token would be sent in the clear")),
        other => Err(SetupError::BaseUrl(format!("must be https, not {other}"))),
    }
}
