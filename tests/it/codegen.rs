//! The door to the Codegen API: what it understands, what failures mean, and how calls pass their windows.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hookrun::codegen::wire::read_time;
use hookrun::codegen::{
    CallError, Codegen, CodegenOptions, CreateRun, Denial, Listing, RunRow, SetupError, Tag, Trace,
};
use hookrun::model::breaker::BreakerKind;
use hookrun::model::clock::{Clock, Timestamp};
use hookrun::model::limits::{CallClass, ClassLimits, RateLimit};
use hookrun::store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::database::Database;
use crate::support::{ManualClock, START, install_tls};

const TOKEN: &str = "a-token-that-nobody-may-see";

/// A door to `address` with a store of its own.
struct Door {
    codegen: Codegen,
    store: Store,
    clock: Arc<ManualClock>,
    _database: Database,
}

async fn door(address: SocketAddr, limits: ClassLimits) -> Door {
    install_tls();
    let database = Database::new().await;
    let clock = ManualClock::new();
    let store = database.open(limits, clock.clone()).await.unwrap();
    let mut options = CodegenOptions::new(format!("http://{address}"), 7, TOKEN.into());
    options.call_timeout = Duration::from_secs(20);
    let codegen = Codegen::new(&options, store.clone(), clock.clone()).unwrap();
    Door { codegen, store, clock, _database: database }
}

/// A server that answers every request with the same bytes and closes the connection; the requests that it got come out
/// of the receiver.
async fn canned(answer: impl Into<Vec<u8>>) -> (SocketAddr, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (heard, requests) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let request = whole_request(&mut stream).await;
            // Nobody listens any more when the test is over.
            let _ = heard.send(request);
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    });
    (address, requests)
}

async fn whole_request(stream: &mut tokio::net::TcpStream) -> String {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return text;
            }
        }
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        assert!(read > 0, "the request ended in the middle: {text}");
        request.extend_from_slice(&part[..read]);
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}", body.len())
}

fn request() -> CreateRun {
    CreateRun {
        job: "job-1".to_owned(),
        prompt: "Fix it.\n\nhookrun job job-1".to_owned(),
        repo_id: Some(3),
        model: None,
        agent_type: None,
    }
}

async fn create(answer: impl Into<Vec<u8>>) -> Result<RunRow, CallError> {
    let (address, _requests) = canned(answer).await;
    door(address, ClassLimits::default()).await.codegen.create(&request()).await
}

#[test]
fn times_are_read_with_and_without_a_zone() {
    assert_eq!(read_time("2024-01-15T10:30:00Z"), Some(Timestamp(1_705_314_600_000)));
    assert_eq!(read_time("2024-01-15T11:30:00+01:00"), Some(Timestamp(1_705_314_600_000)));
    assert_eq!(read_time("2024-01-15 10:30:00.338398"), Some(Timestamp(1_705_314_600_338)));
    assert_eq!(read_time("2024-01-15T10:30:00"), Some(Timestamp(1_705_314_600_000)));
    assert_eq!(read_time("yesterday"), None);
}

#[test]
fn a_row_is_read_with_tolerance() {
    let row: RunRow = serde_json::from_str(
        r#"{"id": 5, "organization_id": 7, "status": null, "created_at": "2024-01-15 10:30:00", "result": {"odd": 1},
            "web_url": "javascript:alert(1)", "github_pull_requests": [{"id": 1, "created_at": "x", "title": null,
            "url": "https://github.com/acme/widgets/pull/4", "head_branch_name": "fix"}], "metadata": {"mine": 1}, "new": []}"#,
    )
    .unwrap();
    assert_eq!(row.run.id, 5);
    assert_eq!((row.run.status, row.run.url, row.run.result), (None, None, None));
    assert_eq!(row.created_at, Some(Timestamp(1_705_314_600_000)));
    assert_eq!(row.run.pull_requests[0].branch.as_deref(), Some("fix"));
    assert_eq!(row.tag, Tag::Other);

    let bare: RunRow = serde_json::from_str(r#"{"id": 6, "github_pull_requests": null}"#).unwrap();
    assert_eq!((bare.created_at, bare.tag), (None, Tag::Missing));
    let empty: RunRow = serde_json::from_str(r#"{"id": 6, "metadata": {}}"#).unwrap();
    assert_eq!(empty.tag, Tag::Missing);
    let ours: RunRow = serde_json::from_str(r#"{"id": 6, "metadata": {"hookrun": {"job": "j", "more": 1}}}"#).unwrap();
    assert_eq!(ours.tag, Tag::Job("j".to_owned()));
    assert!(serde_json::from_str::<RunRow>(r#"{"status": "ACTIVE"}"#).is_err(), "a run without id is no run");
}

#[test]
fn a_list_without_total_ends_with_an_empty_page() {
    let page: Listing<RunRow> = serde_json::from_str(r#"{"items": [{"id": 1}]}"#).unwrap();
    assert!(!page.is_last(0));
    let empty: Listing<RunRow> = serde_json::from_str(r#"{"items": [], "total": null}"#).unwrap();
    assert!(empty.is_last(1));
    let counted: Listing<RunRow> = serde_json::from_str(r#"{"items": [{"id": 1}], "total": 101}"#).unwrap();
    assert!(counted.is_last(100) && !counted.is_last(99));
}

#[tokio::test]
async fn a_create_carries_token_agent_and_tag() {
    let (address, mut requests) = canned(answer("200 OK", "", r#"{"id": 42, "status": "ACTIVE"}"#)).await;
    let row = door(address, ClassLimits::default()).await.codegen.create(&request()).await.unwrap();
    assert_eq!(row.run.id, 42);
    let request = requests.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let head = head.to_lowercase();
    assert!(head.starts_with("post /v1/organizations/7/agent/run http/1.1"), "{head}");
    assert!(head.contains(&format!("authorization: bearer {TOKEN}")), "{head}");
    assert!(head.contains(&format!("user-agent: hookrun/{}", env!("CARGO_PKG_VERSION"))), "{head}");
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let wanted = serde_json::json!({
        "prompt": "Fix it.\n\nhookrun job job-1",
        "metadata": {"hookrun": {"job": "job-1"}},
        "repo_id": 3,
    });
    assert_eq!(body, wanted);
}

#[tokio::test]
async fn every_answer_has_its_class() {
    let limited = |seconds: Option<u64>| Denial::RateLimited { retry_after: seconds.map(Duration::from_secs) };
    let cases = [
        ("401 Unauthorized", "", r#"{"detail":"Bad token"}"#, Denial::Unauthorized, ": Bad token"),
        ("402 Payment Required", "", r#"{"message":"Used up","status_code":402}"#, Denial::Billing, ": Used up"),
        ("403 Forbidden", "", r#"{"message":"No access\u0000 \n here"}"#, Denial::Forbidden, ": No access here"),
        ("404 Not Found", "", "", Denial::NotFound, ""),
        ("404 Not Found", "", "<html>not here</html>", Denial::NotFound, ""),
        ("307 Temporary Redirect", "location: http://127.0.0.1:1/\r\n", "", Denial::NotFound, ""),
        ("429 Too Many Requests", "", "{}", limited(None), ""),
        ("429 Too Many Requests", "retry-after: 7\r\n", r#"{"detail":"slow"}"#, limited(Some(7)), ": slow"),
        ("429 Too Many Requests", "retry-after: 99999999999999999999999\r\n", "", limited(Some(600)), ""),
        ("429 Too Many Requests", "retry-after: soon\r\n", "", limited(None), ""),
        ("429 Too Many Requests", "retry-after: -1\r\n", "", limited(None), ""),
        (
            "429 Too Many Requests",
            "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n",
            "",
            limited(Some(30)),
            "",
        ),
        ("429 Too Many Requests", "retry-after: Sun, 06 Nov 1994 08:50:07 GMT\r\n", "", limited(Some(0)), ""),
    ];
    for (status, headers, body, wanted, words) in cases {
        let error = create(answer(status, headers, body)).await.unwrap_err();
        let CallError::NotTaken { denial, message } = error else { panic!("{status} {headers}: {error:?}") };
        assert_eq!(denial, wanted, "{status} {headers}");
        assert_eq!(message, format!("the agent service answered {}{words}", &status[..3]));
    }
}

#[tokio::test]
async fn what_can_never_be_taken_is_refused() {
    let detail = r#"{"detail":[{"loc":["body","prompt"],"msg":"Field required","type":"missing","input":"secret"}]}"#;
    for (status, body, wanted) in [
        ("422 Unprocessable Entity", detail, "the agent service answered 422: body.prompt Field required"),
        ("400 Bad Request", "", "the agent service answered 400"),
        ("413 Payload Too Large", "<html/>", "the agent service answered 413"),
    ] {
        let error = create(answer(status, "", body)).await.unwrap_err();
        assert!(matches!(&error, CallError::Refused(_)), "{error:?}");
        assert_eq!(error.to_string(), wanted);
    }
}

#[tokio::test]
async fn what_may_have_been_taken_is_ambiguous() {
    let huge = format!(r#"{{"id": 1, "result": "{}"}}"#, "x".repeat(8 << 20));
    for bytes in [
        answer("500 Internal Server Error", "", r#"{"message":"oops"}"#),
        answer("502 Bad Gateway", "", "<html>bad gateway</html>"),
        answer("503 Service Unavailable", "retry-after: 1\r\n", ""),
        answer("408 Request Timeout", "", ""),
        answer("200 OK", "", "<html>hello</html>"),
        answer("200 OK", "", r#"{"id": 1"#),
        answer("200 OK", "", r#"{"status": "ACTIVE"}"#),
        answer("204 No Content", "", ""),
        answer("200 OK", "", &huge),
        "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": 1}".to_owned(),
        "no HTTP at all\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let error = create(bytes.clone()).await.unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, CallError::Ambiguous(_)), "{}: {error:?}", &bytes[..bytes.len().min(80)]);
        assert!(message.len() < 300 && !message.contains("html"), "{message}");
    }
}

#[tokio::test]
async fn a_service_that_never_answers_is_ambiguous() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let Door { store, clock, .. } = &door(address, ClassLimits::default()).await;
    let mut options = CodegenOptions::new(format!("http://{address}"), 7, TOKEN.into());
    options.call_timeout = Duration::from_millis(50);
    let codegen = Codegen::new(&options, store.clone(), clock.clone()).unwrap();
    // The listener's queue takes the connection; nobody ever reads from it.
    let error = codegen.create(&request()).await.unwrap_err();
    assert!(matches!(error, CallError::Ambiguous(_)), "{error:?}");
}

#[tokio::test]
async fn a_closed_port_is_certainly_not_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = door(address, ClassLimits::default()).await.codegen.create(&request()).await.unwrap_err();
    assert!(matches!(error, CallError::NotTaken { denial: Denial::Connect, .. }), "{error:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let (other, mut strayed) = canned(answer("200 OK", "", r#"{"id": 1}"#)).await;
    let (address, _) = canned(answer("302 Found", &format!("location: http://{other}/v1/elsewhere\r\n"), "")).await;
    let error = door(address, ClassLimits::default()).await.codegen.get_run(1).await.unwrap_err();
    assert!(error.is_not_found(), "{error:?}");
    assert!(strayed.try_recv().is_err(), "the redirect was followed, token and all");
}

#[tokio::test]
async fn the_token_is_never_shown() {
    let (address, _) = canned(answer("403 Forbidden", "", &format!(r#"{{"message":"no user for {TOKEN}"}}"#))).await;
    let Door { codegen, .. } = door(address, ClassLimits::default()).await;
    let error = codegen.create(&request()).await.unwrap_err();
    assert_eq!(error.to_string(), "the agent service answered 403: no user for [token]");
    assert!(!format!("{codegen:?}").contains(TOKEN));
}

#[tokio::test]
async fn an_address_that_would_give_the_token_away_is_refused() {
    let Door { store, clock, .. } = &door("127.0.0.1:9".parse().unwrap(), ClassLimits::default()).await;
    let try_base =
        |base: &str| Codegen::new(&CodegenOptions::new(base, 7, TOKEN.into()), store.clone(), clock.clone()).map(drop);
    for base in ["https://api.codegen.com", "https://x.modal.run/base/", "http://localhost:1", "http://[::1]:1"] {
        try_base(base).unwrap();
    }
    for base in [
        "http://api.codegen.com",
        "ftp://localhost",
        "https://u:p@api.codegen.com",
        "https://a.b/?q",
        "api.codegen.com",
    ] {
        assert!(matches!(try_base(base), Err(SetupError::BaseUrl(_))), "{base}");
    }
    let asked_for = CodegenOptions::new("http://api.codegen.com", 7, TOKEN.into());
    Codegen::new(&CodegenOptions { insecure_http: true, ..asked_for }, store.clone(), clock.clone()).unwrap();
    for token in ["", "two\nlines"] {
        let options = CodegenOptions::new("https://api.codegen.com", 7, token.into());
        assert!(matches!(Codegen::new(&options, store.clone(), clock.clone()), Err(SetupError::Token)), "{token:?}");
    }
}

#[tokio::test]
async fn a_reading_call_holds_its_slot_for_one_window_after_the_answer() {
    let (address, _) = canned(answer("200 OK", "", r#"{"id": 1, "status": "ACTIVE"}"#)).await;
    let limits = ClassLimits { standard: RateLimit::new(2, 30), ..ClassLimits::default() };
    let Door { codegen, clock, .. } = &door(address, limits).await;
    codegen.get_run(1).await.unwrap();
    clock.advance(Duration::from_secs(10));
    codegen.get_run(1).await.unwrap();
    let error = codegen.get_run(1).await.unwrap_err();
    let CallError::NoSlot { until, .. } = error else { panic!("{error:?}") };
    assert_eq!(until, Some(START.plus(Duration::from_secs(30))));
    clock.advance(Duration::from_secs(20));
    codegen.get_run(1).await.unwrap();
    assert!(matches!(codegen.get_run(1).await, Err(CallError::NoSlot { .. })));
}

#[tokio::test]
async fn a_429_stops_only_the_class_of_its_call() {
    for (header, pause) in [("retry-after: 12\r\n", 12), ("", 30)] {
        let (address, _) = canned(answer("429 Too Many Requests", header, "{}")).await;
        let Door { codegen, store, .. } = &door(address, ClassLimits::default()).await;
        assert!(codegen.get_run(1).await.is_err());
        let freezes = store.freezes().await.unwrap();
        assert_eq!(freezes.len(), 1, "{freezes:?}");
        assert_eq!((freezes[0].class, freezes[0].until), (CallClass::Standard, START.plus(Duration::from_secs(pause))));
        let error = codegen.get_run(1).await.unwrap_err();
        assert!(
            matches!(error, CallError::NoSlot { until: Some(until), .. } if until == freezes[0].until),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_token_stops_every_class() {
    let (address, _) = canned(answer("401 Unauthorized", "", "")).await;
    let Door { codegen, store, .. } = &door(address, ClassLimits::default()).await;
    assert!(codegen.get_run(1).await.is_err());
    let breakers = store.breakers().await.unwrap();
    assert_eq!(breakers.iter().map(|breaker| breaker.name).collect::<Vec<_>>(), [BreakerKind::Access]);
    assert_eq!(breakers[0].classes, CallClass::ALL);
    assert!(matches!(codegen.logs(1, true, 0, 1).await, Err(CallError::NoSlot { .. })));
}

#[tokio::test]
async fn an_answer_without_calls_left_or_that_asks_to_wait_stops_its_class_until_then() {
    for (status, headers, seconds) in [
        ("200 OK", "ratelimit: \"default\";r=0;t=12\r\n", 12),
        ("200 OK", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 9\r\n", 9),
        ("200 OK", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 99999999\r\n", 600),
        ("200 OK", "x-ratelimit-remaining: 0\r\n", 30),
        ("200 OK", "x-ratelimit-remaining: 1\r\nx-ratelimit-reset: 9\r\n", 0),
        ("200 OK", "x-ratelimit-remaining: no\r\n", 0),
        ("404 Not Found", "x-ratelimit-remaining: 0\r\nx-ratelimit-reset: 9\r\n", 9),
        ("500 Internal Server Error", "ratelimit: \"default\";r=0;t=12\r\n", 12),
        ("503 Service Unavailable", "retry-after: 20\r\n", 20),
        ("503 Service Unavailable", "retry-after: 99999\r\n", 60),
        ("503 Service Unavailable", "", 0),
        ("500 Internal Server Error", "retry-after: 20\r\n", 0),
    ] {
        let (address, _requests) = canned(answer(status, headers, r#"{"id": 1}"#)).await;
        let Door { codegen, store, clock, .. } = &door(address, ClassLimits::default()).await;
        assert_eq!(codegen.get_run(1).await.is_ok(), status == "200 OK", "{status} {headers}");
        let freezes = store.freezes().await.unwrap();
        let until = freezes.iter().map(|freeze| (freeze.class, freeze.until.since(clock.now()).as_secs()));
        let wanted: Vec<_> = (seconds > 0).then_some((CallClass::Standard, seconds)).into_iter().collect();
        assert_eq!(until.collect::<Vec<_>>(), wanted, "{status} {headers}");
        let again = codegen.get_run(1).await;
        assert_eq!(matches!(again, Err(CallError::NoSlot { .. })), seconds > 0, "{status} {headers}");
        assert_eq!(again.is_ok(), seconds == 0 && status == "200 OK", "{status} {headers}");
    }
}

#[tokio::test]
async fn a_reader_who_goes_away_leaves_no_open_call() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = ClassLimits { standard: RateLimit::new(1, 60), ..ClassLimits::default() };
    let Door { codegen, clock, .. } = &door(address, limits).await;
    let reader = tokio::spawn({
        let codegen = codegen.clone();
        async move { codegen.get_run(1).await.map(drop) }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    whole_request(&mut stream).await;
    reader.abort();
    assert!(reader.await.unwrap_err().is_cancelled());
    stream.write_all(answer("200 OK", "", r#"{"id": 1}"#).as_bytes()).await.unwrap();
    // The next call waits until the abandoned one has ended; then its slot is free one window later.
    loop {
        match codegen.get_run(1).await {
            Err(CallError::NoSlot { until: Some(until), .. }) => {
                clock.advance(until.since(clock.now()));
                break;
            }
            Err(CallError::NoSlot { until: None, .. }) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
    let next = tokio::spawn({
        let codegen = codegen.clone();
        async move { codegen.get_run(1).await.map(drop) }
    });
    let (mut stream, _) = listener.accept().await.unwrap();
    whole_request(&mut stream).await;
    stream.write_all(answer("200 OK", "", r#"{"id": 1}"#).as_bytes()).await.unwrap();
    next.await.unwrap().unwrap();
}

/// The request as the service would read it, held to Codegen's OpenAPI document: the call is declared, every parameter of
/// the query is, and the body fits.
fn held_to_the_document(request: &str) -> (String, serde_json::Value) {
    let document: serde_json::Value = serde_json::from_str(include_str!("../fixtures/codegen-openapi.json")).unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut line = head.lines().next().unwrap().split(' ');
    let (method, target) = (line.next().unwrap().to_lowercase(), line.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let fits = |name: &str| {
        name.split('/').count() == path.split('/').count()
            && name.split('/').zip(path.split('/')).all(|(name, part)| name.starts_with('{') || name == part)
    };
    let names = document["paths"].as_object().unwrap().keys().filter(|name| fits(name));
    let name = names.min_by_key(|name| name.matches('{').count()).unwrap_or_else(|| panic!("{path} is no path"));
    let call = &document["paths"][name][&method];
    assert!(call.is_object(), "{method} {name}");
    for (key, _) in form_urlencoded::parse(query.as_bytes()) {
        let declared = call["parameters"].as_array().unwrap();
        assert!(declared.iter().any(|it| it["in"] == "query" && it["name"] == *key), "{method} {name} knows no {key}");
    }
    let schema = &call["requestBody"]["content"]["application/json"]["schema"];
    if schema.is_null() {
        assert_eq!(body, "");
        return (format!("{method} {target}"), serde_json::Value::Null);
    }
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let schema = serde_json::json!({"allOf": [schema], "components": document["components"]});
    let errors: Vec<String> =
        jsonschema::draft202012::new(&schema).unwrap().iter_errors(&body).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{method} {name}: {errors:?}");
    (format!("{method} {target}"), body)
}

#[tokio::test]
async fn every_request_is_one_that_the_document_declares() {
    let answer = answer("200 OK", "", r#"{"id": 5, "agent_run_id": 5, "items": [], "total": 0, "logs": []}"#);
    let (address, mut requests) = canned(answer).await;
    let Door { codegen, .. } = door(address, ClassLimits::default()).await;
    let row = codegen.resume(5, "Still red.\n\nhookrun job j").await.unwrap();
    assert_eq!(row.run.id, 5);
    codegen.ban(5).await.unwrap();
    codegen.unban(5).await.unwrap();
    assert_eq!(codegen.setup_commands(101, "Use make.").await.unwrap().id, 5);
    codegen.setup_commands(101, "").await.unwrap();
    codegen.logs(5, true, 100, 50).await.unwrap();
    codegen.create(&request()).await.unwrap();
    codegen.get_run(5).await.unwrap();
    codegen.list_runs(0, 100).await.unwrap();
    codegen.list_repos(0, 100).await.unwrap();
    let mut sent = Vec::new();
    while let Ok(request) = requests.try_recv() {
        sent.push(held_to_the_document(&request));
    }
    let run = serde_json::json!({"agent_run_id": 5});
    let org = "/v1/organizations/7";
    let wanted = [
        (
            format!("post {org}/agent/run/resume"),
            serde_json::json!({"agent_run_id": 5, "prompt": "Still red.\n\nhookrun job j"}),
        ),
        (format!("post {org}/agent/run/ban"), run.clone()),
        (format!("post {org}/agent/run/unban"), run.clone()),
        (format!("post {org}/setup-commands/generate"), serde_json::json!({"repo_id": 101, "prompt": "Use make."})),
        (format!("post {org}/setup-commands/generate"), serde_json::json!({"repo_id": 101})),
        (
            "get /v1/alpha/organizations/7/agent/run/5/logs?reverse=true&skip=100&limit=50".to_owned(),
            serde_json::Value::Null,
        ),
    ];
    assert_eq!(sent[..wanted.len()], wanted);
    assert_eq!(sent.len(), wanted.len() + 5, "and who we are, before the list");
}

#[tokio::test]
async fn a_ban_is_carried_out_whatever_a_success_says() {
    for (status, body) in
        [("200 OK", "{}"), ("200 OK", "null"), ("200 OK", ""), ("204 No Content", ""), ("202 Accepted", "[1]")]
    {
        let (address, _requests) = canned(answer(status, "", body)).await;
        let Door { codegen, .. } = door(address, ClassLimits::default()).await;
        codegen.ban(5).await.unwrap_or_else(|error| panic!("{status} {body}: {error}"));
    }
    let (address, _requests) = canned(answer("200 OK", "", "<html>log in</html>")).await;
    let error = door(address, ClassLimits::default()).await.codegen.ban(5).await.unwrap_err();
    assert!(matches!(error, CallError::Ambiguous(_)), "{error:?}");
}

#[test]
fn a_trace_is_read_with_tolerance() {
    let trace: Trace = serde_json::from_str(
        r#"{"id": 5, "total_logs": "many", "logs": [
            {"agent_run_id": 5, "created_at": "2024-01-15 10:30:00", "observation": "Do it.\n\nhookrun job j1"},
            {"agent_run_id": 5, "created_at": null, "observation": {"text": "hookrun job j2"}, "new": 1},
            {"observation": null}, {}]}"#,
    )
    .unwrap();
    let named = |job: &str| trace.entries.iter().map(|entry| entry.names(job)).collect::<Vec<_>>();
    assert_eq!(named("j1"), [true, false, false, false]);
    assert_eq!(named("j2"), [false, true, false, false]);
    assert_eq!(trace.entries[0].created_at, Some(Timestamp(1_705_314_600_000)));
    assert_eq!(trace.entries[1].created_at, None);
    assert!(!trace.is_last(0), "nobody says how many there are");
    let counted: Trace = serde_json::from_str(r#"{"logs": [{}], "total_logs": 101}"#).unwrap();
    assert!(counted.is_last(100) && !counted.is_last(99));
}

#[tokio::test]
async fn a_trace_is_charged_to_its_own_window() {
    let (address, _requests) = canned(answer("429 Too Many Requests", "", "{}")).await;
    let Door { codegen, store, .. } = &door(address, ClassLimits::default()).await;
    assert!(codegen.logs(5, true, 0, 100).await.is_err());
    assert!(codegen.get_run(5).await.is_err());
    let used: Vec<u32> = store.windows().await.unwrap().iter().map(|window| window.used).collect();
    assert_eq!(used, [0, 2, 0, 0, 1], "and to the one that all calls of a token may share");
    let frozen: Vec<CallClass> = store.freezes().await.unwrap().iter().map(|freeze| freeze.class).collect();
    assert_eq!(frozen, [CallClass::Logs, CallClass::Standard]);
}
