//! A sandbox under a clock that the test holds; every answer is checked against the OpenAPI document.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use hookrun::sandbox::{Sandbox, SandboxConfig};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::support::ManualClock;

pub(super) const ORG: i64 = 42;
pub(super) const TOKEN: &str = "first-token-of-the-sandbox";
pub(super) const OTHER_TOKEN: &str = "second-token-of-the-sandbox";

/// What came back.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }
}

pub(super) struct Bench {
    pub(super) sandbox: Arc<Sandbox>,
    pub(super) clock: Arc<ManualClock>,
}

/// Two tokens, two repositories, everything else as usual.
pub(super) fn config() -> SandboxConfig {
    let tokens = vec![TOKEN.to_owned().into(), OTHER_TOKEN.to_owned().into()];
    SandboxConfig { repos: vec!["acme/gears".to_owned()], ..SandboxConfig::new(tokens, ORG) }
}

impl Bench {
    pub(super) fn new(config: SandboxConfig) -> Self {
        let clock = ManualClock::new();
        // Not a whole second, so that it shows who drops the milliseconds.
        clock.advance(Duration::from_millis(123));
        Self { sandbox: Sandbox::new(config, clock.clone()), clock }
    }

    /// The usual sandbox without limits, for tests about something else.
    pub(super) fn unlimited() -> Self {
        Self::new(SandboxConfig { limits: None, ..config() })
    }

    pub(super) fn advance(&self, millis: u64) {
        self.clock.advance(Duration::from_millis(millis));
    }

    /// Sends a request as it is; fails if the connection would break.
    pub(super) async fn send(&self, request: Request<Body>) -> Reply {
        self.try_send(request).await.expect("an answer")
    }

    /// Sends a request as it is; none if the connection would break.
    pub(super) async fn try_send(&self, request: Request<Body>) -> Option<Reply> {
        let response = self.sandbox.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.ok()?;
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        Some(Reply { status: parts.status.as_u16(), headers: parts.headers, text })
    }

    /// Sends a call of the API and checks its answer against the OpenAPI document.
    pub(super) async fn call(&self, method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Reply {
        let reply = self.send(request(method, path, token, body)).await;
        check(method, path, &reply);
        reply
    }

    pub(super) async fn get(&self, path: &str) -> Value {
        let reply = self.call("GET", path, Some(TOKEN), None).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json()
    }

    pub(super) async fn post(&self, path: &str, body: Value) -> Value {
        let reply = self.call("POST", path, Some(TOKEN), Some(&body.to_string())).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text);
        reply.json()
    }

    /// Creates a run and gives its id.
    pub(super) async fn create(&self, prompt: &str) -> i64 {
        self.post(&org("agent/run"), json!({"prompt": prompt})).await["id"].as_i64().unwrap()
    }

    pub(super) async fn run(&self, id: i64) -> Value {
        self.get(&org(&format!("agent/run/{id}"))).await
    }
}

/// A path of the organization.
pub(super) fn org(rest: &str) -> String {
    format!("/v1/organizations/{ORG}/{rest}")
}

pub(super) fn request(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        request = request.header("content-type", "application/json");
    }
    request.body(body.map_or_else(Body::empty, |body| Body::from(body.to_owned()))).unwrap()
}

/// The OpenAPI document, made strict: a field that it does not name is an error.
fn openapi() -> Value {
    let mut document: Value = serde_json::from_str(include_str!("../../fixtures/codegen-openapi.json")).unwrap();
    for schema in document["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        if schema.get("properties").is_some() {
            schema["additionalProperties"] = json!(false);
        }
    }
    document
}

/// Fails unless the document declares the reply's status for this call and the body fits its schema.
pub(super) fn check(method: &str, path: &str, reply: &Reply) {
    let document = openapi();
    let path = path.split('?').next().unwrap();
    let name = document["paths"].as_object().unwrap().keys().filter(|name| fits(name, path));
    let name =
        name.min_by_key(|name| name.matches('{').count()).unwrap_or_else(|| panic!("{path} is not in the document"));
    let operation = &document["paths"][name][method.to_ascii_lowercase()];
    let declared = &operation["responses"][reply.status.to_string()];
    // The document forgets these for some calls, but they ask for a token and have a window like all others.
    let forgotten = ["repos", "organizations", "check-suite-settings", "generate", "{pr_id}"];
    let undeclared = declared.is_null()
        && matches!(reply.status, 403 | 429)
        && name.rsplit('/').next().is_some_and(|last| forgotten.contains(&last));
    let schema = if undeclared {
        json!({"$ref": "#/components/schemas/PermissionsErrorResponse"})
    } else {
        assert!(declared.is_object(), "{method} {name} declares no {}: {}", reply.status, reply.text);
        declared["content"]["application/json"]["schema"].clone()
    };
    let body = reply.json();
    let schema = json!({"allOf": [schema], "components": document["components"]});
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{method} {name} {}: {errors:?} in {body}", reply.status);
    // The document gives every field of its errors a default, so `{}` would fit: good ones really have them.
    if reply.status == StatusCode::UNPROCESSABLE_ENTITY {
        assert!(!body["detail"].as_array().unwrap().is_empty(), "{body}");
    } else if reply.status >= 400 {
        assert!(!body["message"].as_str().unwrap().is_empty(), "{body}");
        assert_eq!(body["status_code"], reply.status, "{body}");
    }
}

fn fits(name: &str, path: &str) -> bool {
    let (name, path): (Vec<&str>, Vec<&str>) = (name.split('/').collect(), path.split('/').collect());
    name.len() == path.len() && name.iter().zip(path).all(|(name, path)| name.starts_with('{') || *name == path)
}
