//! Metrics: there from the start, counted where they belong.

use hookrun::telemetry::{Metric, Metrics, check_level, count, measure, set};

#[test]
fn every_metric_is_there_before_the_first_event() {
    let (_recorder, metrics) = Metrics::recorder().unwrap();
    let text = metrics.render();
    for metric in Metric::ALL {
        assert!(text.contains(&format!("# HELP {} ", metric.name())), "{metric:?}:\n{text}");
        assert!(text.contains(&format!("# TYPE {} ", metric.name())), "{metric:?}:\n{text}");
    }
    for line in [
        "hookrun_webhook_requests_total{answer=\"503\"} 0",
        "hookrun_deliveries_total{outcome=\"not_understood\"} 0",
        "hookrun_api_calls_total{class=\"setup_commands\",result=\"limited\"} 0",
        "hookrun_build_info{version=\"0.1.0\"} 1",
        "hookrun_accept_seconds_count 0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn what_is_measured_is_shown() {
    let (recorder, metrics) = Metrics::recorder().unwrap();
    metrics::with_local_recorder(&recorder, || {
        count(Metric::WebhookRequests, &[("answer", "202")]);
        count(Metric::WebhookRequests, &[("answer", "202")]);
        set(Metric::RunsActive, &[], 7.0);
        measure(Metric::GroupSize, &[], 3.0);
    });
    metrics.upkeep();
    let text = metrics.render();
    for line in [
        "hookrun_webhook_requests_total{answer=\"202\"} 2",
        "hookrun_runs_active 7",
        "hookrun_group_size_bucket{le=\"2\"} 0",
        "hookrun_group_size_bucket{le=\"4\"} 1",
        "hookrun_group_size_sum 3",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in:\n{text}");
    }
}

#[test]
fn a_level_is_a_filter() {
    assert!(check_level("info,hookrun::worker=debug").is_ok());
    assert!(check_level("info=loud").is_err());
}
