//! The sandbox's misbehaviour: every fault does what it says, as often as it says, and no more.

use std::time::Duration;

use hookrun::sandbox::{Call, Fault, FaultRule, SandboxConfig, When, fault_script, serve};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::bench::{Bench, Reply, TOKEN, config, org, request};

fn script(text: &str) -> Vec<FaultRule> {
    fault_script(text).unwrap()
}

async fn create(bench: &Bench) -> Option<Reply> {
    bench
        .try_send(request("POST", &org("agent/run"), Some(TOKEN), Some(r#"{"prompt":"p","metadata":{"job":"1"}}"#)))
        .await
}

async fn list(bench: &Bench) -> Value {
    bench.get(&org("agent/runs")).await
}

#[tokio::test]
async fn errors_come_before_or_after_the_run_was_created() {
    let bench = Bench::unlimited();
    for (when, runs) in [("before", 0), ("after", 1)] {
        for status in [500, 502, 503, 504] {
            let before = bench.sandbox.runs().len();
            let fault = json!([{"on": "create", "fault": {"kind": "error", "status": status, "when": when}}]);
            bench.sandbox.faults(script(&fault.to_string()));
            let reply = create(&bench).await.unwrap();
            assert_eq!(reply.status, status);
            assert_eq!(reply.json()["status_code"], status);
            assert_eq!(bench.sandbox.runs().len() - before, runs, "{status} {when}");
        }
    }
    assert_eq!(create(&bench).await.unwrap().status, 200, "the script is used up");
}

#[tokio::test]
async fn a_documented_error_can_be_played() {
    let bench = Bench::unlimited();
    for (status, words) in [(402, "billing plan"), (404, "No repos found"), (401, "Unauthorized"), (403, "access")] {
        bench.sandbox.faults([FaultRule::once(Call::Create, Fault::Error { status, when: When::Before })]);
        let reply = create(&bench).await.unwrap();
        assert_eq!(reply.status, status);
        let message = reply.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(words), "{message}");
    }
    assert!(bench.sandbox.runs().is_empty());
}

#[tokio::test]
async fn rate_limits_come_with_and_without_retry_after() {
    let bench = Bench::unlimited();
    bench.sandbox.faults(script(
        r#"[{"on":"create","fault":{"kind":"rate_limited"}},{"on":"create","fault":{"kind":"rate_limited","retry_after":7}}]"#,
    ));
    let path = org("agent/run");
    let plain = bench.call("POST", &path, Some(TOKEN), Some(r#"{"prompt":"p"}"#)).await;
    assert_eq!((plain.status, plain.headers.get("retry-after")), (429, None));
    let told = bench.call("POST", &path, Some(TOKEN), Some(r#"{"prompt":"p"}"#)).await;
    assert_eq!(told.status, 429);
    assert_eq!(told.headers["retry-after"], "7");
    assert!(bench.sandbox.runs().is_empty());
}

/// Sends a create over a real connection and gives all bytes that come back until it is closed.
async fn raw_create(bench: &Bench) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(listener, bench.sandbox.clone(), async { stopped.await.unwrap() }));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let body = r#"{"prompt":"p"}"#;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        org("agent/run"),
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    // A reset is as good an end as a close.
    let _ = stream.read_to_end(&mut bytes).await;
    stop.send(()).unwrap();
    server.await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn a_lost_answer_leaves_no_byte_on_the_wire() {
    let bench = Bench::unlimited();
    for (when, runs) in [(When::Before, 0), (When::After, 1)] {
        bench.sandbox.faults([FaultRule::once(Call::Create, Fault::Lost { when })]);
        let before = bench.sandbox.runs().len();
        let bytes = raw_create(&bench).await;
        assert!(bytes.is_empty(), "{}", String::from_utf8_lossy(&bytes));
        assert_eq!(bench.sandbox.runs().len() - before, runs, "{when:?}");
        let call = bench.sandbox.calls().pop().unwrap();
        assert_eq!((call.status, call.fault), (None, Some(Fault::Lost { when })));
        assert!(call.answered_at.is_some());
    }
    let bytes = raw_create(&bench).await;
    assert!(bytes.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&bytes));
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_takes_its_time_and_at_most_a_minute() {
    let bench = Bench::unlimited();
    for (millis, when, takes) in
        [(1500, When::Before, 1500), (1500, When::After, 1500), (86_400_000, When::After, 60_000)]
    {
        bench.sandbox.faults([FaultRule::once(Call::Create, Fault::Slow { millis, when })]);
        let before = bench.sandbox.runs().len();
        let early = tokio::time::timeout(Duration::from_millis(takes - 1), create(&bench)).await;
        assert!(early.is_err(), "{millis} {when:?}");
        let made = bench.sandbox.runs().len() - before;
        assert_eq!(made, usize::from(when == When::After), "a caller that gives up stops only what was not done");
        let call = bench.sandbox.calls().pop().unwrap();
        assert_eq!((call.status, call.answered_at), (None, None));
        bench.sandbox.faults([FaultRule::once(Call::Create, Fault::Slow { millis, when })]);
        let late = tokio::time::timeout(Duration::from_millis(takes + 1), create(&bench)).await;
        assert_eq!(late.expect("in time").unwrap().status, 200);
    }
}

#[tokio::test]
async fn a_status_can_be_any_word_or_null_in_every_answer_about_runs() {
    let bench = Bench::unlimited();
    bench.sandbox.faults(script(
        r#"[{"times":3,"fault":{"kind":"status","status":"DAYDREAMING"}},{"on":"list","fault":{"kind":"status","status":null}}]"#,
    ));
    let run = create(&bench).await.unwrap().json();
    assert_eq!(run["status"], "DAYDREAMING");
    assert_eq!(bench.run(run["id"].as_i64().unwrap()).await["status"], "DAYDREAMING");
    assert_eq!(list(&bench).await["items"][0]["status"], "DAYDREAMING");
    assert_eq!(list(&bench).await["items"][0]["status"], json!(null));
    assert_eq!(list(&bench).await["items"][0]["status"], "ACTIVE");
}

#[tokio::test]
async fn html_and_cut_json_are_no_json() {
    let bench = Bench::unlimited();
    bench.sandbox.faults(script(
        r#"[{"on":"create","fault":{"kind":"html","status":502,"when":"before"}},
            {"on":"create","fault":{"kind":"html"}},{"on":"create","fault":{"kind":"truncated"}}]"#,
    ));
    for (status, content_type, runs) in [(502, "text/html", 0), (200, "text/html", 1), (200, "application/json", 2)] {
        let reply = create(&bench).await.unwrap();
        assert_eq!(reply.status, status);
        assert!(reply.headers["content-type"].to_str().unwrap().starts_with(content_type));
        assert!(serde_json::from_str::<Value>(&reply.text).is_err() && !reply.text.is_empty(), "{}", reply.text);
        assert_eq!(bench.sandbox.runs().len(), runs);
    }
}

#[tokio::test]
async fn the_list_can_lack_metadata_and_young_runs() {
    let bench = Bench::unlimited();
    create(&bench).await.unwrap();
    bench.sandbox.faults([FaultRule::once(Call::List, Fault::NoMetadata {})]);
    let rows = list(&bench).await;
    assert!(rows["items"][0].get("metadata").is_none() && rows["total"] == 1, "{rows}");
    assert_eq!(list(&bench).await["items"][0]["metadata"], json!({"job": "1"}));

    bench.sandbox.faults([FaultRule::always(Call::List, Fault::Hidden { seconds: 3 })]);
    for (millis, total) in [(0, 0), (2999, 0), (1, 1)] {
        bench.advance(millis);
        assert_eq!(list(&bench).await["total"], total);
    }
    assert_eq!(bench.sandbox.pending_faults().len(), 1);
    bench.sandbox.clear_faults();
    create(&bench).await.unwrap();
    assert_eq!(list(&bench).await["total"], 2);
}

#[tokio::test]
async fn a_script_is_played_in_order_and_given_at_start_or_over_http() {
    let text = r#"[{"on":"me","times":2,"fault":{"kind":"pass"}},{"on":"me","fault":{"kind":"error","status":500}}]"#;
    let bench = Bench::new(SandboxConfig { faults: script(text), ..config() });
    let me = || async { bench.send(request("GET", "/v1/users/me", Some(TOKEN), None)).await.status };
    let told = |reply: Reply| (reply.status, reply.json());
    assert_eq!([me().await, me().await, me().await, me().await], [200, 200, 500, 200]);

    let added = bench.send(request("POST", "/sandbox/faults", None, Some(text))).await;
    assert_eq!(added.status, 200);
    let left = bench.send(request("GET", "/sandbox/faults", None, None)).await;
    assert_eq!(left.json().as_array().unwrap().len(), 2);
    assert_eq!([me().await, me().await, me().await, me().await], [200, 200, 500, 200]);
    assert_eq!(told(bench.send(request("GET", "/sandbox/faults", None, None)).await), (200, json!([])));

    bench.send(request("POST", "/sandbox/faults", None, Some(text))).await;
    assert_eq!(bench.send(request("DELETE", "/sandbox/faults", None, None)).await.status, 204);
    assert_eq!([me().await, me().await, me().await], [200, 200, 200]);

    for wrong in [
        "{}",
        r#"[{"on":"creat","fault":{"kind":"pass"}}]"#,
        r#"[{"fault":{"kind":"burn"}}]"#,
        r#"[{"fault":{"kind":"error","status":99}}]"#,
        r#"[{"fault":{"kind":"error","status":200}}]"#,
        r#"[{"fault":{"kind":"html","status":600}}]"#,
        r#"[{"fault":{"kind":"lost","wen":"after"}}]"#,
        r#"[{"fault":{"kind":"pass"},"time":3}]"#,
    ] {
        let reply = bench.send(request("POST", "/sandbox/faults", None, Some(wrong))).await;
        assert_eq!(reply.status, 422, "{wrong}");
        assert!(reply.json()["detail"].as_str().unwrap().contains("fault script"), "{}", reply.text);
    }
    assert!(bench.sandbox.pending_faults().is_empty());
}

#[test]
fn a_rule_reads_back_as_it_is_written() {
    let rules = vec![
        FaultRule::always(Call::List, Fault::Hidden { seconds: 3 }),
        FaultRule { on: None, times: Some(4), fault: Fault::Slow { millis: 5, when: When::Before } },
    ];
    assert_eq!(fault_script(&serde_json::to_string(&rules).unwrap()).unwrap(), rules);
}
