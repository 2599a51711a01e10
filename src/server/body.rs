//! Reading a webhook's body: raw bytes, capped, counted, timed, never decompressed.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use bytes::Bytes;
use tokio::time::Sleep;
use tokio::time::error::Elapsed;

use super::budget::{Budget, Holding};
use super::gather::Gather;
use super::problem::Refusal;

const MIB: usize = 1024 * 1024;
/// A body up to this size is counted in the small share.
const SMALL: usize = MIB;
/// How much of a refused body is still read, and for how long, so that its sender gets to see the answer: a socket
/// that is closed with unread bytes is reset, and most clients then report the reset and not the answer.
const LINGER_BYTES: usize = 64 * MIB;
const LINGER: Duration = Duration::from_secs(5);

/// How long a small body may take where small ones are crowded. Hosts send theirs in one go, and most do not send again what was
/// refused; strangers who send slowly must not keep them out.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the bodies of webhooks may cost.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Largest body, in bytes (GitHub and GitLab send at most 25 MiB).
    pub max_body: usize,
    /// Time from the end of the headers to the end of the body.
    pub timeout: Duration,
    /// Bytes that all bodies over 1 MiB may hold together.
    pub in_flight: usize,
    /// Bytes that all smaller bodies may hold together.
    pub in_flight_small: usize,
}

/// A body that has arrived, with its place in the budget.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) bytes: Bytes,
    /// Keeps the bytes counted for as long as they are used.
    pub(super) holding: Holding,
}

/// Reads bodies within [`BodyLimits`].
#[derive(Clone, Debug)]
pub(super) struct BodyReader {
    limits: BodyLimits,
    budget: Arc<Budget>,
}

impl BodyReader {
    pub(super) fn new(limits: BodyLimits) -> Self {
        Self { limits, budget: Budget::new(SMALL, limits.in_flight_small, limits.in_flight) }
    }

    /// Reads the whole body.
    pub(super) async fn read(&self, headers: &HeaderMap, mut body: Body) -> Result<Arrived, Refusal> {
        let refusal = match self.begin(headers) {
            Ok((gather, holding)) => match self.in_time(self.collect(&mut body, gather, holding)).await {
                Ok(Ok(arrived)) => return Ok(arrived),
                Ok(Err(refusal)) => refusal,
                Err(_) => return Err(Refusal::TooSlow),
            },
            Err(refusal) => refusal,
        };
        // A sender that waits for "100 Continue" has sent nothing and would only be asked to by reading.
        if !headers.contains_key(EXPECT) {
            tokio::spawn(tokio::time::timeout(LINGER, discard(body)));
        }
        Err(refusal)
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Elapsed> {
        tokio::time::timeout(self.limits.timeout, work).await
    }

    fn begin(&self, headers: &HeaderMap) -> Result<(Gather, Holding), Refusal> {
        let plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
        if !headers.get_all(CONTENT_ENCODING).iter().all(plain) {
            return Err(Refusal::UnsupportedMediaType("compressed bodies are not taken".into()));
        }
        let announced =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
        if announced.is_some_and(|bytes: u64| bytes > self.limits.max_body as u64) {
            return Err(Refusal::TooLarge(self.limits.max_body));
        }
        let size = announced.map_or(self.limits.max_body, |bytes| bytes as usize);
        Ok((Gather::begin(size), self.budget.begin(announced)))
    }

    async fn collect(&self, body: &mut Body, mut gather: Gather, mut holding: Holding) -> Result<Arrived, Refusal> {
        let mut patience = pin!(tokio::time::sleep(PATIENCE));
        while let Some(piece) = next_in_turn(body, &holding, patience.as_mut()).await? {
            if gather.len() + piece.len() > self.limits.max_body {
                return Err(Refusal::TooLarge(self.limits.max_body));
            }
            if !holding.grow(piece.len()) {
                return Err(busy("too many bytes in flight"));
            }
            gather.add(piece).map_err(|error| busy(&format!("no memory for a body: {error}")))?;
        }
        Ok(Arrived { bytes: gather.end(), holding })
    }
}

fn busy(cause: &str) -> Refusal {
    Refusal::Busy { retry_after_s: 5, cause: cause.to_owned() }
}

/// The next bytes of the body, unless it has taken longer than `patience` and keeps others out; `None` at its end.
async fn next_in_turn(
    body: &mut Body,
    holding: &Holding,
    mut patience: Pin<&mut Sleep>,
) -> Result<Option<Bytes>, Refusal> {
    loop {
        let crowds = holding.crowds();
        let look = async {
            if patience.is_elapsed() && !crowds {
                tokio::time::sleep(PATIENCE).await;
            } else {
                patience.as_mut().await;
            }
        };
        tokio::select! {
            biased;
            // What is there already is taken.
            piece = next_piece(body) => return piece,
            () = look => {}
        }
        if holding.crowds() {
            return Err(Refusal::TooSlow);
        }
    }
}

/// The next bytes of the body; `None` at its end.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    loop {
        let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await else { return Ok(None) };
        let frame = frame.map_err(|_| Refusal::BadRequest("the body broke off".into()))?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

async fn discard(mut body: Body) {
    let mut read = 0;
    while read < LINGER_BYTES {
        let Ok(Some(piece)) = next_piece(&mut body).await else { return };
        read += piece.len();
    }
}
