//! Every recorded webhook of a real host is taken, and every damaged one refused.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use bytes::Bytes;
use hookrun::model::event::Kind;
use hookrun::webhook::{Delivery, Reading, understand, verify};

use super::webhook_support::{NOW, deliver, real_payloads, signed, source};

#[test]
fn every_real_payload_is_understood() {
    let Some(real) = real_payloads() else { return };
    assert_eq!(real.len(), 705);
    let mut readings: BTreeMap<&str, usize> = BTreeMap::new();
    let mut odd = Vec::new();
    for payload in &real {
        let delivery = deliver(payload.kind, &payload.event, &payload.body)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", payload.file));
        assert_eq!(delivery.secret_label(), "main");
        let told = understand(&delivery);
        let name = match &told.reading {
            Reading::Events => "events",
            Reading::NoKind => "no kind",
            Reading::Ping => "ping",
            Reading::NotUnderstood { reason } => {
                odd.push(format!("{}: {reason}", payload.file));
                "not understood"
            }
        };
        *readings.entry(name).or_default() += 1;
        for event in &told.events {
            assert_eq!(event.kind.is_some(), told.reading == Reading::Events, "{}", payload.file);
            assert_eq!(event.native, told.native, "{}", payload.file);
            assert!(!event.host.is_empty() && event.happening.starts_with(&event.host), "{}", payload.file);
        }
        assert_eq!(told.events.is_empty(), !matches!(told.reading, Reading::Events | Reading::NoKind));

        let again = Delivery::restored(
            &source(payload.kind),
            delivery.headers(),
            delivery.body().clone(),
            delivery.secret_label(),
            delivery.received_at(),
        );
        assert_eq!(understand(&again.unwrap()), told, "{}", payload.file);
    }
    println!("{readings:?}");
    // Recordings that somebody cut down to a few fields, and a host that does not exist.
    assert_eq!(odd, Vec::<String>::new());
}
