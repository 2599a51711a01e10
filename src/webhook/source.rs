//! What the verifier needs to know of a configured source; the configuration builds it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::model::delivery::SourceKind;

/// The fewest bytes that a secret may have: shorter ones can be found by trying.
pub const MIN_SECRET_BYTES: usize = 16;
/// How many key bytes a Standard Webhooks secret may decode to (Standard Webhooks 1.0.0).
const SIGNING_KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
const SIGNING_PREFIX: &str = "whsec_";
const LENIENT_BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A configured sender, as far as its requests are concerned.
#[derive(Clone, Debug)]
pub struct SourceSpec {
    /// Its name, the last part of its URL.
    pub name: String,
    /// The kind of host; fixed by configuration, never guessed from a request.
    pub kind: SourceKind,
    /// How its requests prove that they are its own.
    pub auth: Auth,
    /// Logins that we have on this host, e.g. `codegen-sh[bot]`.
    pub agents: Arc<[String]>,
    /// Jira: how far the signed timestamp may lie from now; `None` takes any. A body without one is accepted.
    pub max_age: Option<Duration>,
    /// The event that every request of this source tells, in our words (`issue.transitioned`) or the host's own; for
    /// senders whose body does not say.
    pub event: Option<String>,
}

/// How a request proves that it comes from its source.
#[derive(Clone, Debug)]
pub enum Auth {
    /// HMAC-SHA256 of the raw body: GitHub's `X-Hub-Signature-256`, Jira's `X-Hub-Signature`.
    Hmac(Vec<NamedSecret>),
    /// GitLab: Standard Webhooks signatures, the plain token, or both.
    Gitlab {
        /// Signing tokens (`whsec_…`); when there is one, the signature is demanded.
        signing: Vec<NamedSecret>,
        /// Plain tokens for `X-Gitlab-Token`.
        tokens: Vec<NamedSecret>,
        /// Whether a request without a signature may pass with a plain token although a signing token is set.
        allow_token_fallback: bool,
    },
    /// A secret in a header of one's own choice; proves nothing about the body.
    Header {
        /// The header's name.
        name: axum::http::HeaderName,
        /// Its allowed values.
        secrets: Vec<NamedSecret>,
    },
    /// Nothing is proved. The configuration allows it on loopback only, by an alarming setting.
    Unsigned,
}

impl Auth {
    /// Whether every request of the source is signed, so that its body is known to be the sender's.
    pub(super) fn signs(&self) -> bool {
        match self {
            Self::Hmac(_) => true,
            Self::Gitlab { signing, allow_token_fallback, .. } => !signing.is_empty() && !allow_token_fallback,
            Self::Header { .. } | Self::Unsigned => false,
        }
    }
}

/// A secret with the name under which it may be shown.
#[derive(Clone)]
pub struct NamedSecret {
    label: String,
    key: SecretSlice<u8>,
}

/// Why a secret cannot be used. Never shows any of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Nothing there: anybody could sign with it.
    #[error("the secret is empty")]
    Empty,
    /// Too short to be safe.
    #[error("the secret has {0} bytes; at least 16 are needed")]
    Short(usize),
    /// Not of the form that GitLab gives out.
    #[error("the signing token must be \"whsec_\" followed by base64")]
    NotSigningToken,
    /// Decoded to a key of the wrong size.
    #[error("the signing token holds {0} bytes; 24 to 64 are needed")]
    SigningTokenSize(usize),
}

impl NamedSecret {
    /// A secret that is used as it stands.
    pub fn new(label: impl Into<String>, secret: &SecretString) -> Result<Self, SecretError> {
        let bytes = secret.expose_secret().as_bytes();
        match bytes.len() {
            0 => Err(SecretError::Empty),
            few if few < MIN_SECRET_BYTES => Err(SecretError::Short(few)),
            _ => Ok(Self { label: label.into(), key: bytes.to_vec().into() }),
        }
    }

    /// A Standard Webhooks signing token: `whsec_` and base64, padded or not, of 24 to 64 bytes.
    pub fn signing(label: impl Into<String>, token: &SecretString) -> Result<Self, SecretError> {
        let token = token.expose_secret();
        if token.is_empty() {
            return Err(SecretError::Empty);
        }
        let encoded = token.strip_prefix(SIGNING_PREFIX).ok_or(SecretError::NotSigningToken)?;
        let key = LENIENT_BASE64.decode(encoded).map_err(|_| SecretError::NotSigningToken)?;
        if !SIGNING_KEY_BYTES.contains(&key.len()) {
            return Err(SecretError::SigningTokenSize(key.len()));
        }
        Ok(Self { label: label.into(), key: key.into() })
    }

    /// The name under which it is shown.
    pub fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn key(&self) -> &[u8] {
        self.key.expose_secret()
    }
}

impl fmt::Debug for NamedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NamedSecret({:?})", self.label)
    }
}
