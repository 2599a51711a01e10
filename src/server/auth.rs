//! Who may read and who may act: tokens with a role, and the browser's session that a token is traded for.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, COOKIE};
use hmac::{Hmac, KeyInit, Mac};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::model::access::{AccessToken, Role};
use crate::model::clock::Timestamp;

/// Name of the session cookie.
const COOKIE_NAME: &str = "hookrun_session";
/// How long a session lasts.
pub(super) const SESSION: Duration = Duration::from_hours(12);

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Name of the token; empty for anybody at a listener without tokens.
    pub(super) name: String,
    /// What it may do.
    pub(super) role: Role,
    /// Whether the browser sent its cookie, so that the request may come from another site's page.
    pub(super) by_cookie: bool,
}

struct Known {
    name: String,
    role: Role,
    hash: [u8; 32],
}

/// The tokens of the admin listener and the key that seals sessions.
pub(super) struct Keyring {
    known: Vec<Known>,
    session_key: [u8; 32],
}

impl Keyring {
    /// `instance_key` survives restarts, so sessions do too.
    pub(super) fn new(tokens: &[AccessToken], instance_key: &[u8; 32]) -> Self {
        let known = tokens
            .iter()
            .map(|token| Known {
                name: token.name.clone(),
                role: token.role,
                hash: Sha256::digest(token.secret.expose_secret()).into(),
            })
            .collect();
        Self { known, session_key: seal(instance_key, b"admin sessions") }
    }

    /// Whether any token is configured. Without one, everybody who reaches the listener may read.
    pub(super) fn is_open(&self) -> bool {
        self.known.is_empty()
    }

    /// Who sent these headers. An `Authorization` header counts alone, whatever the cookie says.
    pub(super) fn caller(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        let mut given = headers.get_all(AUTHORIZATION).iter();
        if let Some(value) = given.next() {
            let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
            let bearer = scheme.eq_ignore_ascii_case("bearer") && given.next().is_none();
            return if bearer { self.by_token(token.trim()) } else { None };
        }
        self.by_cookie(headers, now)
            .or_else(|| self.is_open().then(|| Caller { name: String::new(), role: Role::Viewer, by_cookie: false }))
    }

    /// Whose token this is. Every known token is compared, over hashes, so that time tells nothing.
    pub(super) fn by_token(&self, token: &str) -> Option<Caller> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let mut found = None;
        for known in &self.known {
            if bool::from(known.hash.ct_eq(&hash)) {
                found = Some(known);
            }
        }
        found.map(|known| Caller { name: known.name.clone(), role: known.role, by_cookie: false })
    }

    /// The value of `Set-Cookie` that begins a session of `caller`; `None` for somebody without a token.
    pub(super) fn begin_session(&self, caller: &Caller, now: Timestamp, secure: bool) -> Option<String> {
        let known = self.known.iter().find(|known| known.name == caller.name)?;
        let until = now.plus(SESSION).0;
        let value = format!("{}.{until}.{}", hex::encode(&known.name), hex::encode(self.mark(known, until)));
        Some(cookie(&value, SESSION.as_secs(), secure))
    }

    fn by_cookie(&self, headers: &HeaderMap, now: Timestamp) -> Option<Caller> {
        let value = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|pairs| pairs.split(';'))
            .find_map(|pair| pair.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))?;
        let mut parts = value.split('.');
        let (name, until, mark) = (parts.next()?, parts.next()?, parts.next()?);
        let known = self.known.iter().find(|known| hex::encode(&known.name) == name)?;
        let until: i64 = until.parse().ok()?;
        let genuine = bool::from(self.mark(known, until).as_slice().ct_eq(&hex::decode(mark).ok()?));
        (genuine && until > now.0).then(|| Caller { name: known.name.clone(), role: known.role, by_cookie: true })
    }

    /// Binds name, end and the token's own hash: a token that is changed or taken away ends its sessions.
    fn mark(&self, known: &Known, until: i64) -> [u8; 32] {
        let mut text = until.to_be_bytes().to_vec();
        text.extend_from_slice(&known.hash);
        text.extend_from_slice(known.name.as_bytes());
        seal(&self.session_key, &text)
    }
}

/// The value of `Set-Cookie` that ends a session.
pub(super) fn end_session() -> String {
    cookie("", 0, false)
}

fn cookie(value: &str, max_age: u64, secure: bool) -> String {
    let secure = if secure { "; Secure" } else { "" };
    format!("{COOKIE_NAME}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Strict{secure}")
}

fn seal(key: &[u8; 32], text: &[u8]) -> [u8; 32] {
    // A key is padded with zeros to the hash's block (RFC 2104); doing so here leaves no length that could be wrong.
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let mut mac = Hmac::<Sha256>::new(&block.into());
    mac.update(text);
    mac.finalize().into_bytes().into()
}
