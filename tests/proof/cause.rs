//! What webhooks tell about: a failed check of a commit that no other cause has, signed as GitHub does.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;

pub(crate) const SECRET: &str = "a-webhook-secret-for-tests";

/// A failed check on a commit and a branch of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cause(pub(crate) u64);

impl Cause {
    /// The commit, by which its run is known again in the sandbox.
    pub(crate) fn sha(self) -> String {
        format!("{:040x}", u128::from(self.0) + (0xfeed_u128 << 100))
    }

    /// The webhook's body; always the same bytes, so that sending it again is a redelivery.
    pub(crate) fn body(self) -> String {
        let (id, sha) = (self.0, self.sha());
        json!({
            "action": "completed",
            "check_run": {
                "id": id, "name": "unit-tests", "head_sha": sha, "status": "completed", "conclusion": "failure",
                "html_url": format!("https://github.com/acme/widgets/runs/{id}"), "completed_at": "2026-01-15T10:03:12Z",
                "output": {"title": "3 tests failed", "summary": "see log"},
                "check_suite": {"id": 5, "head_branch": format!("fix/{id}"), "head_sha": sha},
                "app": {"slug": "github-actions"}, "pull_requests": [],
            },
            "repository": {"id": 1, "name": "widgets", "full_name": "acme/widgets", "private": false,
                "html_url": "https://github.com/acme/widgets", "default_branch": "main"},
            "sender": {"login": "mia", "id": 2, "type": "User"},
        })
        .to_string()
    }

    /// The headers of the webhook, with the signature of its body.
    pub(crate) fn headers(self) -> [(&'static str, String); 4] {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(self.body().as_bytes());
        [
            ("content-type", "application/json".to_owned()),
            ("x-github-event", "check_run".to_owned()),
            ("x-github-delivery", format!("72d3162e-cc78-11e3-81ab-{:012x}", self.0)),
            ("x-hub-signature-256", format!("sha256={}", hex::encode(mac.finalize().into_bytes()))),
        ]
    }

    /// The whole request as bytes, for tests that write to the socket themselves.
    pub(crate) fn raw(self) -> Vec<u8> {
        let body = self.body();
        let mut text =
            format!("POST /webhooks/github HTTP/1.1\r\nhost: localhost\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in self.headers() {
            text += &[name, ": ", &value, "\r\n"].concat();
        }
        format!("{text}\r\n{body}").into_bytes()
    }
}
