//! Every recorded webhook of a real host is taken, and every damaged one refused.

use std::collections::BTreeMap;

use axum::http::HeaderValue;
use bytes::Bytes;
use hookrun::model::delivery::SourceKind::{Github, Gitlab, Jira};
use hookrun::model::event::Kind;
use hookrun::webhook::{Delivery, Kept, Reading, understand, verify};

use super::webhook_support::{NOW, deliver, fixture, real_payloads, signed, source, tell};

#[test]
fn every_real_payload_is_understood() {
    let Some(real) = real_payloads() else { return };
    assert_eq!(real.len(), 705);
    let mut readings: BTreeMap<&str, usize> = BTreeMap::new();
    let mut odd = Vec::new();
    for payload in &real {
        let delivery = deliver(payload.kind, &payload.event, &payload.body)
            .unwrap_or_else(|refusal| panic!("{}: {refusal:?}", payload.file));
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

        let received_at = delivery.received_at();
        let Kept { secret_label, headers, body, .. } = delivery.into_kept();
        assert_eq!(secret_label, "main");
        let again = Delivery::restored(&source(payload.kind), &headers, body, &secret_label, received_at);
        assert_eq!(understand(&again.unwrap()), told, "{}", payload.file);
    }
    assert!(readings["events"] > 300, "{readings:?}");
    // Somebody cut these down to what his own program read: a push without a ref, a change without a repository.
    assert_eq!(odd.len(), 12, "{odd:#?}");
    assert!(odd.iter().all(|line| line.starts_with("github/pu") && line.contains("--github-for-jira--")), "{odd:#?}");
}

#[test]
fn every_kind_of_damage_to_a_real_payload_is_refused() {
    let Some(real) = real_payloads() else { return };
    for (index, payload) in real.iter().filter(|payload| payload.core).enumerate() {
        let headers = signed(payload.kind, &payload.event, &payload.body);
        let mut given = headers.clone();
        let mut body = payload.body.clone();
        match index % 5 {
            0 => body[(index * 131) % payload.body.len()] ^= 4,
            1 => body.truncate(payload.body.len() / 2),
            2 => body.push(b' '),
            3 => {
                for name in ["x-hub-signature-256", "x-hub-signature", "webhook-signature"] {
                    given.remove(name);
                }
            }
            _ => {
                let name = ["x-hub-signature-256", "webhook-signature", "x-hub-signature"]
                    .into_iter()
                    .find(|name| headers.contains_key(*name))
                    .unwrap();
                given.append(name, HeaderValue::from_static("sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"));
            }
        }
        let refusal = verify(&source(payload.kind), &given, &Bytes::from(body), NOW).unwrap_err();
        assert!(refusal.status().is_client_error(), "{}: {refusal:?}", payload.file);
    }
}

#[test]
fn bodies_that_were_tampered_with_under_a_good_signature_break_nothing() {
    let Some(real) = real_payloads() else { return };
    let mut kinds: BTreeMap<Option<Kind>, usize> = BTreeMap::new();
    for (index, payload) in real.iter().enumerate() {
        let mut value: serde_json::Value = serde_json::from_slice(&payload.body).unwrap();
        spoil(&mut value, index, &mut 0);
        let body = serde_json::to_vec(&value).unwrap();
        let told = understand(&deliver(payload.kind, &payload.event, &body).unwrap());
        for event in &told.events {
            *kinds.entry(event.kind).or_default() += 1;
        }
    }
    assert!(kinds.len() > 5, "{kinds:?}");
}

/// Gives every eleventh value another type.
fn spoil(value: &mut serde_json::Value, seed: usize, count: &mut usize) {
    *count += 1;
    if (*count + seed).is_multiple_of(11) && *count > 1 {
        *value = match value {
            serde_json::Value::String(_) => serde_json::json!({"not": ["text"]}),
            serde_json::Value::Number(_) => serde_json::json!("NaN"),
            serde_json::Value::Object(_) => serde_json::json!([1, -1.5, u64::MAX]),
            _ => serde_json::json!(-7),
        };
        return;
    }
    match value {
        serde_json::Value::Object(map) => map.values_mut().for_each(|value| spoil(value, seed, count)),
        serde_json::Value::Array(list) => list.iter_mut().for_each(|value| spoil(value, seed, count)),
        _ => {}
    }
}

#[test]
fn the_fixtures_say_what_their_names_say() {
    let own = "github.com/acme/widgets@fix/login";
    let commit = "github.com/acme/widgets@ec26c3e57ca3a959ca5aad62de7213c562f8c821";
    let branch = "gitlab.example.com/acme/widgets@fix/login";
    for (name, kind, event, kinds, subject) in [
        ("github.check_run.completed.failure.json", Github, "check_run", "ci.failed", own),
        ("github.check_run.completed.failure.fork.json", Github, "check_run", "ci.failed", commit),
        ("github.check_run.completed.success.json", Github, "check_run", "ci.succeeded", own),
        ("github.workflow_run.completed.failure.json", Github, "workflow_run", "ci.failed", own),
        ("gitlab.pipeline.failed.json", Gitlab, "Pipeline Hook", "ci.failed", branch),
        ("gitlab.job.failed.json", Gitlab, "Job Hook", "ci.failed", branch),
        (
            "jira.issue_created.json",
            Jira,
            "",
            "issue.opened issue.labeled issue.transitioned",
            "acme.atlassian.net/PAY-7",
        ),
        // These two hold no address of their site.
        ("jira.issue_updated.labeled.json", Jira, "", "issue.labeled", "jira/PAY-7"),
        ("jira.comment_created.json", Jira, "", "comment.created", "jira/PAY-7"),
    ] {
        let told = tell(kind, event, &fixture(name));
        let said: Vec<&str> = told.events.iter().filter_map(|event| event.kind).map(Kind::as_str).collect();
        assert_eq!(said.join(" "), kinds, "{name}");
        assert!(told.events.iter().all(|event| event.subject.key == subject), "{name}: {:?}", told.events[0].subject);
    }
}
