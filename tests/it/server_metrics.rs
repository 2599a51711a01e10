//! The public listener counts what it answers, and what it refuses before the intake sees it.

use std::time::Duration;

use hookrun::intake::Receipt;
use hookrun::model::delivery::DeliveryOutcome;
use hookrun::server::{BodyLimits, Webhooks};
use hookrun::telemetry::Metrics;

use crate::server_support::{World, ask, post};

#[tokio::test]
async fn every_answer_and_every_early_refusal_is_counted() {
    let (recorder, metrics) = Metrics::recorder().unwrap();
    let _here = metrics::set_default_local_recorder(&recorder);
    let world = World::empty().await;
    let clock = world.clock.clone();
    let receive = move |_, _, _| {
        clock.advance(Duration::from_millis(40));
        async {
            let outcome = DeliveryOutcome::Accepted;
            Ok(Receipt { delivery: "d".into(), outcome, jobs: Vec::new(), notes: Vec::new() })
        }
    };
    let limits =
        BodyLimits { max_body: 10, timeout: Duration::from_secs(5), in_flight: 1 << 20, in_flight_small: 1 << 20 };
    let router = Webhooks::new(receive, world.store.clone(), world.clock.clone(), limits).router();

    assert_eq!(post(&router, "/webhooks/github", "{}").await.status, 202);
    assert_eq!(post(&router, "/webhooks/github", "much too large").await.status, 413);
    assert_eq!(ask(&router, "GET", "/webhooks/github", &[], "").await.status, 405);
    let packed = [("content-encoding", "gzip")];
    assert_eq!(ask(&router, "POST", "/webhooks/github", &packed, "{}").await.status, 415);
    assert_eq!(ask(&router, "GET", "/healthz", &[], "").await.status, 200);

    metrics.upkeep();
    let shown = metrics.render();
    for line in [
        "hookrun_webhook_requests_total{answer=\"202\"} 1",
        "hookrun_webhook_requests_total{answer=\"413\"} 1",
        "hookrun_webhook_requests_total{answer=\"405\"} 1",
        "hookrun_webhook_requests_total{answer=\"415\"} 1",
        "hookrun_webhook_requests_total{answer=\"200\"} 0",
        "hookrun_refused_total{reason=\"size\"} 1",
        "hookrun_refused_total{reason=\"method\"} 1",
        "hookrun_refused_total{reason=\"media_type\"} 1",
        "hookrun_webhook_bytes_sum 2",
        "hookrun_accept_seconds_sum 0.04",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
}
