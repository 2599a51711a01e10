//! What stands before every answer of the admin listener: `Host`, who asks, `Origin`, and the headers for browsers.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Redirect, Response};

use super::admin::Admin;
use super::api::only_asks;
use super::problem::{Cause, Refusal};
use crate::model::access::Role;

/// How long an answer may take, the request's body included.
const PATIENCE: Duration = Duration::from_secs(30);

/// No script, style or picture but our own files; nobody may frame a page or take its forms elsewhere.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Lets a request through or refuses it, and puts the security headers on whatever is answered.
pub(super) async fn guard(State(admin): State<Arc<Admin>>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let mut response = match admit(&admin, request) {
        Ok(request) => tokio::time::timeout(PATIENCE, next.run(request)).await.unwrap_or_else(|_| {
            let cause = format!("not answered within {} s", PATIENCE.as_secs());
            Refusal::Busy { retry_after_s: 5, cause }.into_response()
        }),
        Err(Refusal::Unauthenticated) if is_page(&path) => Redirect::to("/login").into_response(),
        Err(refusal) => refusal.into_response(),
    };
    if let Some(Cause(cause)) = response.extensions_mut().remove::<Cause>() {
        tracing::error!(%method, path, status = response.status().as_u16(), cause, "the admin listener failed");
    }
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value| headers.insert(name, HeaderValue::from_static(value));
    set(CONTENT_SECURITY_POLICY, POLICY);
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(X_FRAME_OPTIONS, "DENY");
    // Nobody else learns where a person was. With "no-referrer" a browser sends `Origin: null` with our own forms, too.
    set(REFERRER_POLICY, "same-origin");
    set(CACHE_CONTROL, "no-store");
    response
}

fn admit(admin: &Admin, mut request: Request) -> Result<Request, Refusal> {
    let headers = request.headers();
    let host = served_host(headers, &admin.hosts).ok_or(Refusal::Misdirected)?.to_owned();
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let path = request.uri().path();
    if !reads && headers.contains_key(ORIGIN) && !same_origin(headers, &host) {
        return Err(Refusal::Forbidden("the request comes from a page of another site"));
    }
    if path == "/login" || path.starts_with("/assets/") {
        return Ok(request);
    }
    let caller = admin.keyring.caller(headers, admin.clock.now()).ok_or(Refusal::Unauthenticated)?;
    if !reads {
        // A browser adds its cookie to what any page sends, but never lies about where that page came from.
        if caller.by_cookie && !headers.contains_key(ORIGIN) {
            return Err(Refusal::Forbidden("with a cookie, an act needs an Origin header"));
        }
        if caller.role < Role::Operator && path != "/logout" && !only_asks(path) {
            return Err(Refusal::Forbidden(if admin.keyring.is_open() {
                "acts need an operator token; give one in the settings (admin.tokens)"
            } else {
                "acts need an operator token; this one may only read"
            }));
        }
    }
    request.extensions_mut().insert(caller);
    Ok(request)
}

/// The `Host` of the request if it is one that we serve: a configured name, or the machine itself by a loopback
/// literal or `localhost`, which no name server can point elsewhere.
fn served_host<'a>(headers: &'a HeaderMap, served: &[String]) -> Option<&'a str> {
    let mut given = headers.get_all(HOST).iter();
    let (host, None) = (given.next()?.to_str().ok()?, given.next()) else { return None };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    let here = bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) || name.eq_ignore_ascii_case("localhost");
    let named = || served.iter().any(|known| known.eq_ignore_ascii_case(name) || known.eq_ignore_ascii_case(host));
    (here || named()).then_some(host)
}

/// Whether the one `Origin` names the host that was asked.
fn same_origin(headers: &HeaderMap, host: &str) -> bool {
    let mut given = headers.get_all(ORIGIN).iter();
    let (Some(origin), None) = (given.next(), given.next()) else { return false };
    origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
}

/// Whether a person looks at this path in a browser, who is then shown where to log in.
fn is_page(path: &str) -> bool {
    ["/", "/jobs", "/line", "/resume", "/why"].contains(&path)
        || ["/deliveries/", "/jobs/"].iter().any(|it| path.starts_with(it))
}
