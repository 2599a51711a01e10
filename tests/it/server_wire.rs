//! The public listener over real sockets: what it takes, what it refuses, how it ends.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use hookrun::intake::{Receipt, Rejection};
use hookrun::model::delivery::DeliveryOutcome;
use hookrun::server::{BodyLimits, Webhooks, serve};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::server_support::{Answer, Wire, World};

const MIB: usize = 1 << 20;
const LIMITS: BodyLimits = BodyLimits {
    max_body: 25 * MIB,
    timeout: Duration::from_secs(30),
    in_flight: 100 * MIB,
    in_flight_small: 32 * MIB,
};
const PROBLEM: &str = "application/problem+json";

/// A listener whose intake answers by what the path says; `blocked` is told of each request that waits for `open`.
struct Listening {
    address: SocketAddr,
    soft: CancellationToken,
    hard: CancellationToken,
    open: Arc<tokio::sync::Semaphore>,
    blocked: mpsc::UnboundedReceiver<usize>,
    served: JoinHandle<()>,
    world: World,
}

async fn listen(limits: BodyLimits, header_timeout: Duration) -> Listening {
    let world = World::empty().await;
    let open = Arc::new(tokio::sync::Semaphore::new(0));
    let (tell, blocked) = mpsc::unbounded_channel();
    let gate = Arc::clone(&open);
    let receive = move |source: String, headers: HeaderMap, body: Bytes| {
        let (gate, tell) = (Arc::clone(&gate), tell.clone());
        async move {
            if source == "slow" {
                tell.send(body.len()).unwrap();
                gate.acquire().await.unwrap().forget();
            }
            taken(&source, &headers, &body)
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let router = Webhooks::new(receive, world.store.clone(), world.clock.clone(), limits).router();
    let served = tokio::spawn(serve(listener, router, soft.clone(), hard.clone(), header_timeout));
    Listening { address, soft, hard, open, blocked, served, world }
}

async fn listening() -> Listening {
    listen(LIMITS, Duration::from_secs(30)).await
}

fn taken(source: &str, headers: &HeaderMap, body: &Bytes) -> Result<Receipt, Rejection> {
    let said = |name| headers.get_all(name).iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    match source {
        "github" | "slow" => Ok(Receipt {
            delivery: "d-1".to_owned(),
            outcome: DeliveryOutcome::Accepted,
            jobs: vec![format!("{} bytes", body.len())],
            notes: said("x-hub-signature-256"),
        }),
        "quiet" => Ok(Receipt {
            delivery: "d-2".to_owned(),
            outcome: DeliveryOutcome::Unmatched,
            jobs: Vec::new(),
            notes: Vec::new(),
        }),
        "malformed" => Err(Rejection::BadRequest("the body is no JSON object".to_owned())),
        "form" => Err(Rejection::UnsupportedMediaType("send application/json".to_owned())),
        "stale" => Err(Rejection::Stale),
        "full" => Err(Rejection::Overloaded { retry_after_s: 7 }),
        "broken" => Err(Rejection::Internal),
        _ => Err(Rejection::Unauthorized),
    }
}

fn post(source: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /webhooks/{source} HTTP/1.1\r\nhost: h\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

async fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::connect(address).await;
    wire.send(request).await;
    wire.answer().await
}

fn refused(answer: &Answer, status: StatusCode) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.header("content-type"), PROBLEM);
    assert_eq!(answer.json()["status"], status.as_u16());
    assert!(!answer.json()["detail"].as_str().unwrap().is_empty());
}

#[tokio::test]
async fn a_webhook_is_handed_over_as_it_came() {
    let listening = listening().await;
    let headers = "x-hub-signature-256: sha256=aa\r\nx-hub-signature-256: sha256=bb\r\ncontent-encoding: identity\r\n";
    let answer = once(listening.address, post("github", headers, "{\"a\":1}")).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    assert_eq!(answer.header("content-type"), "application/json");
    let expected = serde_json::json!({
        "delivery": "d-1", "outcome": "accepted", "jobs": ["7 bytes"], "notes": ["sha256=aa", "sha256=bb"],
    });
    assert_eq!(answer.json(), expected);

    let answer = once(listening.address, post("quiet", "", "{}")).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.json(), serde_json::json!({"delivery": "d-2", "outcome": "unmatched", "jobs": []}));
}

#[tokio::test]
async fn a_body_in_many_pieces_is_one_body_and_the_connection_goes_on() {
    let listening = listening().await;
    let mut wire = Wire::connect(listening.address).await;
    wire.send("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    for _ in 0..300 {
        wire.send(format!("400\r\n{}\r\n", "x".repeat(0x400))).await;
    }
    wire.send("0\r\n\r\n").await;
    assert_eq!(wire.answer().await.json()["jobs"][0], "307200 bytes");
    wire.send(post("github", "", "{}")).await;
    assert_eq!(wire.answer().await.json()["jobs"][0], "2 bytes");
}

#[tokio::test]
async fn only_webhooks_and_health_are_public() {
    let listening = listening().await;
    let ask = |method: &'static str, path: &'static str| {
        once(listening.address, format!("{method} {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"))
    };
    assert_eq!(ask("GET", "/healthz").await.json()["status"], "ok");
    assert_eq!(ask("GET", "/readyz").await.json()["status"], "ready");
    for path in ["/", "/webhooks", "/webhooks/", "/webhooks/github/more", "/api/v1/status", "/metrics", "/login"] {
        refused(&ask("GET", path).await, StatusCode::NOT_FOUND);
        refused(&ask("POST", path).await, StatusCode::NOT_FOUND);
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = ask(method, "/webhooks/github").await;
        refused(&answer, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.header("allow"), "POST");
    }
    refused(&ask("POST", "/healthz").await, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn strangers_cannot_tell_an_unknown_source_from_a_bad_signature() {
    let listening = listening().await;
    let mut answers = Vec::new();
    for source in ["unknown", "%FF%FE", "a%2Fb", "UPPER"] {
        let mut answer = once(listening.address, post(source, "", "{}")).await;
        refused(&answer, StatusCode::UNAUTHORIZED);
        answer.headers.remove("date");
        answers.push(answer);
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

#[tokio::test]
async fn every_rejection_has_its_status_and_inner_causes_stay_inside() {
    let listening = listening().await;
    let cases = BTreeMap::from([
        ("malformed", StatusCode::BAD_REQUEST),
        ("stale", StatusCode::BAD_REQUEST),
        ("form", StatusCode::UNSUPPORTED_MEDIA_TYPE),
        ("full", StatusCode::SERVICE_UNAVAILABLE),
        ("broken", StatusCode::INTERNAL_SERVER_ERROR),
    ]);
    for (source, status) in cases {
        let answer = once(listening.address, post(source, "", "{}")).await;
        refused(&answer, status);
        match source {
            "full" => assert_eq!(answer.header("retry-after"), "7"),
            "malformed" => assert_eq!(answer.json()["detail"], "the body is no JSON object"),
            "broken" => assert_eq!(answer.json()["detail"], "something went wrong here; the log says what"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn nothing_is_decompressed() {
    let listening = listening().await;
    for encoding in ["gzip", "identity, gzip", "br", ""] {
        let headers = format!("content-encoding: {encoding}\r\n");
        refused(&once(listening.address, post("github", &headers, "{}")).await, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}

#[tokio::test]
async fn a_body_over_the_cap_is_refused_before_and_while_it_comes() {
    let listening = listening().await;
    let cap = LIMITS.max_body;

    // Announced: refused before a byte of it was sent.
    let announced = format!("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-length: {}\r\n\r\n", cap + 1);
    refused(&once(listening.address, &announced).await, StatusCode::PAYLOAD_TOO_LARGE);

    // Announced, and sent before anything is read: the sender still sees the answer, not a reset.
    let mut wire = Wire::connect(listening.address).await;
    wire.send(&announced).await;
    wire.send(vec![b' '; cap + 1]).await;
    refused(&wire.answer().await, StatusCode::PAYLOAD_TOO_LARGE);

    // Not announced: refused when it grows too large.
    let mut wire = Wire::connect(listening.address).await;
    wire.send("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    wire.send(format!("{:x}\r\n", cap + 1)).await;
    wire.send(vec![b' '; cap + 1]).await;
    refused(&wire.answer().await, StatusCode::PAYLOAD_TOO_LARGE);

    // The largest that is allowed is taken.
    let mut wire = Wire::connect(listening.address).await;
    wire.send(post("github", "", &" ".repeat(cap))).await;
    assert_eq!(wire.answer().await.json()["jobs"][0], format!("{cap} bytes"));
}

#[tokio::test]
async fn a_sender_that_waits_for_continue_is_refused_without_its_body() {
    let listening = listening().await;
    let cap = LIMITS.max_body;
    let mut wire = Wire::connect(listening.address).await;
    let head = "POST /webhooks/github HTTP/1.1\r\nhost: h\r\nexpect: 100-continue\r\n";
    wire.send(format!("{head}content-length: {}\r\n\r\n", cap + 1)).await;
    refused(&wire.answer().await, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_slow_body_and_a_slow_head_are_timed_out() {
    let limits = BodyLimits { timeout: Duration::from_millis(30), ..LIMITS };
    let listening = listen(limits, Duration::from_millis(30)).await;
    let mut wire = Wire::connect(listening.address).await;
    wire.send("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-length: 100\r\n\r\n{").await;
    let answer = wire.answer().await;
    refused(&answer, StatusCode::REQUEST_TIMEOUT);
    assert_eq!(answer.header("connection"), "close");
    assert!(wire.end().await.is_empty(), "the connection ends with the answer");

    let mut wire = Wire::connect(listening.address).await;
    wire.send("POST /webhooks/github HTTP/1.1\r\nhost:").await;
    let last = String::from_utf8(wire.end().await).unwrap();
    assert!(last.is_empty() || last.starts_with("HTTP/1.1 408"), "{last}");
}

#[tokio::test]
async fn large_bodies_share_what_small_ones_never_need() {
    let limits = BodyLimits { in_flight: 10 * MIB, in_flight_small: 2 * MIB, ..LIMITS };
    let mut listening = listen(limits, Duration::from_secs(30)).await;

    // Announced and not sent: costs nothing.
    let mut silent = Wire::connect(listening.address).await;
    silent.send("POST /webhooks/slow HTTP/1.1\r\nhost: h\r\ncontent-length: 9000000\r\n\r\n").await;

    // A large body that has arrived and is being worked on holds its bytes …
    let mut first = Wire::connect(listening.address).await;
    first.send(post("slow", "", &" ".repeat(6 * MIB))).await;
    assert_eq!(listening.blocked.recv().await, Some(6 * MIB));
    // … so a second one does not fit, announced or not …
    let answer = once(listening.address, post("github", "", &" ".repeat(6 * MIB))).await;
    refused(&answer, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.header("retry-after"), "5");
    let mut grows = Wire::connect(listening.address).await;
    grows.send("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ntransfer-encoding: chunked\r\n\r\n").await;
    grows.send(format!("{:x}\r\n{}\r\n0\r\n\r\n", 6 * MIB, " ".repeat(6 * MIB))).await;
    refused(&grows.answer().await, StatusCode::SERVICE_UNAVAILABLE);
    // … but small ones do, as many as their own share holds.
    let mut small = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(listening.address).await;
        wire.send(post("slow", "", &" ".repeat(MIB))).await;
        assert_eq!(listening.blocked.recv().await, Some(MIB));
        small.push(wire);
    }
    refused(&once(listening.address, post("github", "", "{}")).await, StatusCode::SERVICE_UNAVAILABLE);

    // All is given back with the answers.
    listening.open.add_permits(3);
    for wire in small.iter_mut().chain([&mut first]) {
        assert_eq!(wire.answer().await.status, StatusCode::ACCEPTED);
    }
    let answer = once(listening.address, post("github", "", &" ".repeat(10 * MIB))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    let answer = once(listening.address, post("github", "", &" ".repeat(MIB))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn stopping_finishes_what_has_begun_and_takes_nothing_new() {
    let mut listening = listening().await;
    let idle = Wire::connect(listening.address).await;
    let mut busy = Wire::connect(listening.address).await;
    busy.send(post("slow", "", "{}")).await;
    listening.blocked.recv().await.unwrap();

    listening.soft.cancel();
    assert!(idle.end().await.is_empty(), "idle connections end at once");
    assert!(!listening.served.is_finished(), "a request is still under way");
    listening.open.add_permits(1);
    assert_eq!(busy.answer().await.status, StatusCode::ACCEPTED);
    listening.served.await.unwrap();
    assert!(TcpStream::connect(listening.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_hard_stop_waits_for_nobody() {
    let mut listening = listening().await;
    let mut busy = Wire::connect(listening.address).await;
    busy.send(post("slow", "", "{}")).await;
    listening.blocked.recv().await.unwrap();
    listening.soft.cancel();
    listening.hard.cancel();
    listening.served.await.unwrap();
    assert!(busy.end().await.is_empty(), "no answer is made up");
}

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn the_log_tells_what_became_of_a_request_and_nothing_that_it_held() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let listening = listening().await;
    let headers = "x-hub-signature-256: sha256=5ec7e7\r\nauthorization: Bearer 5ec7e7\r\n";
    // Other tests log without a subscriber, and whether a line is wanted is remembered for the process: so every line
    // is reached once, then asked about again on this thread.
    for round in ["not counted", "counted"] {
        tracing::callsite::rebuild_interest_cache();
        log.0.lock().unwrap().clear();
        for source in ["github", "unknown", "full", "5ec7e7%0Ainjected"] {
            let answer = once(listening.address, post(source, headers, "{\"token\": \"5ec7e7\"}")).await;
            assert_ne!(answer.status, StatusCode::NOT_FOUND, "{round}");
        }
    }
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains(": webhook ")).collect();
    assert_eq!(lines.len(), 4, "one line for each request: {text}");
    for word in ["source=\"github\"", "delivery=\"d-1\"", "outcome=\"accepted\"", "status=202", "millis=0"] {
        assert!(lines[0].contains(word), "{word} in {}", lines[0]);
    }
    assert!(lines[1].contains("WARN") && lines[1].contains("status=401"), "{}", lines[1]);
    assert!(lines[2].contains("ERROR") && lines[2].contains("cause="), "{}", lines[2]);
    assert!(!text.contains("5ec7e7"), "{text}");
}

#[tokio::test]
async fn whoever_asks_for_readiness_takes_one_turn_a_second_however_often_he_asks() {
    let listening = listening().await;
    let ready = || once(listening.address, "GET /readyz HTTP/1.1\r\nhost: h\r\n\r\n");
    assert_eq!(ready().await.status, StatusCode::OK);
    listening.world.store.close().await.unwrap();
    assert_eq!(ready().await.status, StatusCode::OK, "as it was a moment ago");
    listening.world.clock.advance(Duration::from_secs(1));
    for _ in 0..2 {
        let answer = ready().await;
        refused(&answer, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.header("retry-after"), "5");
    }
}

#[tokio::test]
async fn a_head_that_is_never_sent_whole_holds_up_no_end() {
    let mut listening = listen(LIMITS, Duration::from_hours(1)).await;
    let mut half = Wire::connect(listening.address).await;
    half.send("GET /healthz HTTP/1.1\r\n").await;
    // Answered after the half head was sent, so both connections are there.
    let mut slow = Wire::connect(listening.address).await;
    slow.send(post("slow", "", "{}")).await;
    listening.blocked.recv().await.unwrap();
    listening.soft.cancel();
    let end = tokio::time::timeout(Duration::from_mins(1), half.end()).await;
    assert_eq!(end.expect("it is not waited for"), b"");
    assert!(!listening.served.is_finished(), "a whole request is answered, however long that takes");
    listening.open.add_permits(1);
    assert_eq!(slow.answer().await.status, StatusCode::ACCEPTED);
    listening.served.await.unwrap();
}

/// The system has told their peers that they are connected.
#[tokio::test]
async fn what_had_connected_before_the_end_is_answered() {
    let world = World::empty().await;
    let receive = |source: String, headers: HeaderMap, body: Bytes| async move { taken(&source, &headers, &body) };
    let router = Webhooks::new(receive, world.store.clone(), world.clock.clone(), LIMITS).router();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut wire = Wire::connect(listener.local_addr().unwrap()).await;
    wire.send(post("github", "", "{}")).await;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    soft.cancel();
    serve(listener, router, soft, hard, Duration::from_secs(30)).await;
    assert_eq!(wire.answer().await.status, StatusCode::ACCEPTED);
}

/// What a host sends comes in one go; thirty strangers who send slowly must not fill the room of all small bodies.
#[tokio::test]
async fn slow_small_bodies_give_way_where_they_are_crowded() {
    let limits = BodyLimits { in_flight_small: 2 * MIB, timeout: Duration::from_hours(1), ..LIMITS };
    let listening = listen(limits, Duration::from_secs(30)).await;
    let mut slow = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(listening.address).await;
        let head = format!("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-length: {MIB}\r\n\r\n");
        wire.send(format!("{head}{}", " ".repeat(MIB - 100))).await;
        slow.push(wire);
    }
    let [first, second] = &mut slow[..] else { unreachable!() };
    let gave_way = async {
        tokio::select! { answer = first.answer() => answer, answer = second.answer() => answer }
    };
    let answer = tokio::time::timeout(Duration::from_mins(1), gave_way).await.expect("one gives way");
    refused(&answer, StatusCode::REQUEST_TIMEOUT);
    let answer = once(listening.address, post("github", "", &" ".repeat(MIB))).await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);

    // Where there is room a body may take its time.
    drop(slow);
    let mut alone = Wire::connect(listening.address).await;
    alone.send("POST /webhooks/github HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\n{").await;
    assert!(tokio::time::timeout(Duration::from_secs(3), alone.answer()).await.is_err());
    alone.send(" }").await;
    assert_eq!(alone.answer().await.status, StatusCode::ACCEPTED);
}
