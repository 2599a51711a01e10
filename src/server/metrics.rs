//! `/metrics`: what the process counts, and what the store knows at the moment of asking.

use std::fmt::{Display, Write};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::admin::Admin;
use super::problem::Refusal;
use crate::model::breaker::BreakerKind;

/// Prometheus' text format 0.0.4.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything that can be measured. Gauges are read from the store, so that they are right after a restart too.
pub(super) async fn metrics(State(admin): State<Arc<Admin>>) -> Result<Response, Refusal> {
    let now = admin.clock.now();
    let counts = admin.store.counts().await?;
    let windows = admin.windows().await?;
    let oldest = admin.store.oldest_waiting().await?;
    let mut text = (admin.metrics)();
    let jobs = counts.iter().map(|(state, count)| (state.as_str(), *count));
    gauge(&mut text, "hookrun_jobs", "Jobs by state.", "state", jobs);
    let windows = || windows.iter().map(|window| (window.used.class.as_str(), window));
    let slots = windows().map(|(class, window)| (class, window.used.limit));
    gauge(&mut text, "hookrun_window_slots", "Slots of each API window.", "class", slots);
    let used = windows().map(|(class, window)| (class, window.used.used));
    gauge(&mut text, "hookrun_window_slots_used", "Slots in use.", "class", used);
    let frozen = windows().map(|(class, window)| (class, u8::from(window.freeze.is_some())));
    gauge(&mut text, "hookrun_window_frozen", "Whether the API told us to wait.", "class", frozen);
    let taken = windows().map(|(class, window)| (class, window.used.setting - window.used.limit));
    gauge(&mut text, "hookrun_window_slots_taken", "Slots that a 429 has taken for a while.", "class", taken);
    let open = admin.store.breakers().await?;
    let breakers = BreakerKind::ALL.map(|kind| (kind.as_str(), u8::from(open.iter().any(|it| it.name == kind))));
    gauge(&mut text, "hookrun_breaker_open", "Whether a breaker holds calls back.", "breaker", breakers);
    let waited = oldest.map_or(0, |job| now.since(job.created_at).as_secs());
    let help = "For how long the oldest waiting job has waited.";
    gauge(&mut text, "hookrun_oldest_waiting_seconds", help, "", [("", waited)]);
    Ok(([(CONTENT_TYPE, FORMAT)], text).into_response())
}

fn gauge<'a, V: Display>(
    text: &mut String,
    name: &str,
    help: &str,
    label: &str,
    values: impl IntoIterator<Item = (&'a str, V)>,
) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
    for (which, value) in values {
        let _ = if label.is_empty() {
            writeln!(text, "{name} {value}")
        } else {
            writeln!(text, "{name}{{{label}=\"{which}\"}} {value}")
        };
    }
}
