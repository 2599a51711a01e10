//! Whether a request was signed with a key: pure arithmetic over raw bytes, in constant time. Malformed signatures cost as
//! much as wrong ones, so that the time of a refusal tells nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::model::clock::Timestamp;

/// How far a Standard Webhooks timestamp may lie from now, either way, inclusive, in seconds (the reference libraries).
const TOLERANCE_SECONDS: i64 = 300;
/// How many signatures one request may carry; senders that rotate keys use two.
const MAX_SIGNATURES: usize = 16;

/// Whether `header` is `sha256=` and the hex HMAC-SHA256 of `body` (GitHub's `X-Hub-Signature-256`, Jira's
/// `X-Hub-Signature`). No other method is known, least of all `sha1`.
pub fn hub_matches(key: &[u8], header: &[u8], body: &[u8]) -> bool {
    let mut claimed = [0; 32];
    let well_formed =
        header.strip_prefix(b"sha256=").is_some_and(|digits| hex::decode_to_slice(digits, &mut claimed).is_ok());
    let genuine = hmac(key, &[body]).is_some_and(|mac| mac.verify_slice(&claimed).is_ok());
    well_formed && genuine
}

/// Spends on `body` what checking one signature costs.
pub(super) fn in_vain(body: &[u8]) {
    std::hint::black_box(hmac(b"nobody signs with this", &[body]).map(Mac::finalize));
}

/// The three headers of a Standard Webhooks request (version 1.0.0).
#[derive(Clone, Copy, Debug)]
pub struct Standard<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, unix seconds.
    pub timestamp: &'a str,
    /// `webhook-signature`: entries `version,base64`, separated by spaces.
    pub signature: &'a str,
}

impl Standard<'_> {
    /// Whether the timestamp is canonical and within 300 seconds of `now`, both ways.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        let digits = self.timestamp.as_bytes();
        let canonical = (1..=12).contains(&digits.len()) && digits[0] != b'0' && digits.iter().all(u8::is_ascii_digit);
        canonical
            && self.timestamp.parse::<i64>().is_ok_and(|at| (now.0.div_euclid(1000) - at).abs() <= TOLERANCE_SECONDS)
    }

    /// Whether one of the `v1` entries is the HMAC-SHA256 of `id.timestamp.body`; other versions are skipped.
    pub fn matches(&self, key: &[u8], body: &[u8]) -> bool {
        // Computed once, however many signatures there are: a stranger must not get 16 passes over 25 MiB for one request.
        let parts = [self.id.as_bytes(), b".", self.timestamp.as_bytes(), b".", body];
        let Some(genuine) = hmac(key, &parts).map(|mac| mac.finalize().into_bytes()) else { return false };
        // A dot in the id would let bytes move between id and timestamp under the same signature.
        !self.id.is_empty()
            && !self.id.contains('.')
            && self.signature.split(' ').count() <= MAX_SIGNATURES
            && self
                .signature
                .split(' ')
                .filter_map(|entry| STANDARD.decode(entry.strip_prefix("v1,")?).ok())
                .any(|claimed| bool::from(genuine.as_slice().ct_eq(&claimed)))
    }
}

/// Whether two secrets are the same; hashing both first hides the length as well.
pub fn token_matches(key: &[u8], given: &[u8]) -> bool {
    Sha256::digest(key).ct_eq(&Sha256::digest(given)).into()
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Option<Hmac<Sha256>> {
    // The crate takes an empty key, with which everybody can sign.
    if key.is_empty() {
        return None;
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    for part in parts {
        mac.update(part);
    }
    Some(mac)
}
