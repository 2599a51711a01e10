//! What starts nothing is kept with its reason; what is refused leaves nothing.

use std::collections::HashSet;

use axum::http::HeaderMap;
use hookrun::intake::Rejection;
use hookrun::model::delivery::{DeliveryOutcome, SourceKind};
use hookrun::model::id::new_id;
use hookrun::store::{DeliveryFilter, PageRequest};
use hookrun::telemetry::Metrics;
use serde_json::json;

use super::told::{check, sha, suite};
use super::{FIX, Room};
use crate::webhook_support::{NOW, fixture, signed};

#[tokio::test]
async fn a_hello_and_what_nobody_asked_for_and_what_makes_no_sense_are_kept_with_the_reason() {
    let room = Room::new(FIX).await;
    let ping = serde_json::from_slice(&fixture("github.ping.json")).unwrap();
    let green = check(1, &sha(1), Some("main"), "success");
    let strange = json!({"action": "completed", "check_run": "none"});
    for (event, body, outcome, reason) in [
        ("ping", &ping, DeliveryOutcome::Ping, "the hook is connected"),
        ("check_run", &green, DeliveryOutcome::Unmatched, "no rule asks"),
        ("check_run", &strange, DeliveryOutcome::NotUnderstood, "check_run"),
    ] {
        let receipt = room.send(event, body).await;
        assert_eq!((receipt.outcome, receipt.jobs.len()), (outcome, 0));
        let kept = room.delivery(&receipt).await;
        assert_eq!(kept.outcome, outcome);
        assert!(kept.reason.contains(reason), "{}", kept.reason);
        assert_eq!(kept.secret_label, "main");
    }
}

/// Longer than any host allows, and than an index of PostgreSQL takes: that sees no repetition in it.
fn long_name() -> String {
    format!("acme/{}", (0..200).map(|_| new_id(NOW).split_off(14)).collect::<String>())
}

#[tokio::test]
async fn a_name_longer_than_hosts_allow_is_kept_with_the_reason() {
    let room = Room::new(&FIX.replace("acme/*", "**")).await;
    for (id, field, what, most) in [
        (1, "/repository/full_name", "repository", 512),
        (2, "/check_run/check_suite/head_branch", "branch", 512),
        (3, "/check_run/head_sha", "commit", 255),
        (4, "/sender/login", "actor", 1024),
    ] {
        let mut body = check(id, &sha(id), Some("main"), "failure");
        *body.pointer_mut(field).unwrap() = json!(long_name());
        let receipt = room.send("check_run", &body).await;
        assert_eq!((receipt.outcome, receipt.jobs.len()), (DeliveryOutcome::NotUnderstood, 0), "{field}");
        let kept = room.delivery(&receipt).await;
        assert_eq!(kept.native, "github:check_run.completed");
        let reason = format!("the {what} has a name of {} bytes, and at most {most} are taken", long_name().len());
        assert_eq!(kept.reason, reason);
        *body.pointer_mut(field).unwrap() = json!(&long_name()[..most]);
        assert_eq!(room.send("check_run", &body).await.outcome, DeliveryOutcome::Accepted, "{field}");
    }
}

/// Names that people make up, or that are lists of others, have no such limit.
#[tokio::test]
async fn a_long_name_of_a_check_or_a_happening_is_shortened_and_still_tells_them_apart() {
    let room = Room::new(FIX).await;
    let (name, mut checks) = (long_name(), HashSet::new());
    for field in ["/check_run/name", "/check_run/id"] {
        for end in ["1", "2"] {
            let mut body = check(1, &sha(1), Some("main"), "failure");
            *body.pointer_mut(field).unwrap() = json!(name.clone() + end);
            body["check_run"]["completed_at"] = json!(format!("2026-01-15T10:03:1{end}Z"));
            let receipt = room.send("check_run", &body).await;
            assert_eq!(receipt.outcome, DeliveryOutcome::Accepted, "{field}");
            assert_eq!(room.send("check_run", &body).await.outcome, DeliveryOutcome::Duplicate, "{field}");
            checks.extend(room.decided("check_run", &body).await.checks.into_iter().map(|it| it.check.name));
        }
    }
    assert_eq!(checks.len(), 3);
    assert!(checks.iter().all(|name| name.len() <= 512), "{checks:?}");
}

#[tokio::test]
async fn checks_are_kept_of_repositories_that_a_rule_looks_at_whatever_it_asks_for() {
    let rule = |repos: &str| {
        format!(
            "[[rule]]\nname = \"look\"\non = [\"push\"]\nrepos = [{repos}]\nprompt = \"look at {{{{ event.sha }}}}\"\n"
        )
    };
    let green = check(1, &sha(1), Some("main"), "success");
    assert_eq!(green["repository"]["full_name"], "acme/widgets");
    for (repos, kept) in [
        (r#""acme/widgets""#, true),
        (r#""acme/*""#, true),
        (r#""**""#, true),
        (r#""other/*", "acme/wid*""#, true),
        (r#""acme/widgets-2", "acme/other", "widgets""#, false),
    ] {
        let decided = Room::new(&rule(repos)).await.decided("check_run", &green).await;
        assert_eq!(decided.checks.len(), usize::from(kept), "{repos}");
        assert_eq!(decided.verdicts, [], "{repos}");
        assert!(!decided.events.is_empty(), "{repos}");
        // What nobody remembers the red checks of is not called green.
        let decided = Room::new(&rule(repos)).await.decided("check_suite", &suite(1, &sha(1), "main", "success")).await;
        assert_eq!((decided.checks.len(), decided.resets.len()), (usize::from(kept), usize::from(kept)), "{repos}");
    }
}

#[tokio::test]
async fn everything_is_counted_and_what_is_refused_leaves_nothing_else() {
    let (recorder, metrics) = Metrics::recorder().unwrap();
    let _here = metrics::set_default_local_recorder(&recorder);
    let room = Room::new(FIX).await;
    let body = check(1, &sha(1), Some("main"), "failure");
    room.send("check_run", &body).await;
    room.send("check_run", &body).await;

    let text = body.to_string();
    let mut twice = signed(SourceKind::Github, "check_run", text.as_bytes());
    twice.append("x-hub-signature-256", "sha256=00".parse().unwrap());
    let other = signed(SourceKind::Github, "check_run", b"another body");
    let list = signed(SourceKind::Github, "check_run", b"[]");
    for (source, headers, body, rejection) in [
        ("repo-hook", &HeaderMap::new(), text.as_str(), Rejection::Unauthorized),
        ("repo-hook", &other, &text, Rejection::Unauthorized),
        ("nobody", &other, &text, Rejection::Unauthorized),
        ("repo-hook", &twice, &text, bad("the header x-hub-signature-256 occurs more than once")),
        ("repo-hook", &list, "[]", bad("the body must be one JSON object")),
    ] {
        let refused = room.post(source, headers, body).await.unwrap_err();
        assert_eq!(std::mem::discriminant(&refused), std::mem::discriminant(&rejection), "{refused:?}");
    }
    let page = PageRequest { limit: 100, cursor: None };
    let kept = room.house.store.deliveries(&DeliveryFilter::default(), &page).await.unwrap().items;
    assert_eq!(kept.len(), 2, "{kept:?}");

    metrics.upkeep();
    let shown = metrics.render();
    for line in [
        "hookrun_deliveries_total{outcome=\"accepted\"} 1",
        "hookrun_deliveries_total{outcome=\"duplicate\"} 1",
        "hookrun_refused_total{reason=\"signature_missing\"} 1",
        "hookrun_refused_total{reason=\"signature_wrong\"} 1",
        "hookrun_refused_total{reason=\"source_unknown\"} 1",
        "hookrun_refused_total{reason=\"malformed\"} 2",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line} is not in:\n{shown}");
    }
}

fn bad(reason: &str) -> Rejection {
    Rejection::BadRequest(reason.to_owned())
}
