//! What is asked of a request besides its signature, and in which order.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, StatusCode};
use bytes::Bytes;
use hookrun::model::delivery::SourceKind::{self, Github, Gitlab, Jira};
use hookrun::model::event::Kind;
use hookrun::webhook::{Auth, Delivery, Reading, Refusal, SourceSpec, understand, verify};

use super::webhook_support::{
    NOW, SECRET, SIGNING_TOKEN, deliver, fixture, headers, hub, secret, signed, signing, source, standard,
};

fn status(answer: &Result<Delivery, Refusal>) -> u16 {
    answer.as_ref().map_or_else(Refusal::status, |_| StatusCode::OK).as_u16()
}

fn ask(source: &SourceSpec, headers: &HeaderMap, body: &[u8]) -> u16 {
    status(&verify(source, headers, &Bytes::copy_from_slice(body), NOW))
}

/// Signed, with one header set to something else.
fn with(kind: SourceKind, event: &str, body: &[u8], name: &'static str, value: Option<&str>) -> u16 {
    let mut given = signed(kind, event, body);
    given.remove(name);
    if let Some(value) = value {
        given.insert(HeaderName::from_static(name), value.parse().unwrap());
    }
    ask(&source(kind), &given, body)
}

#[test]
fn damaged_requests_are_refused() {
    let whole = fixture("github.check_run.completed.failure.json");
    for (kind, event, body) in [
        (Github, "check_run", whole.clone()),
        (Gitlab, "Pipeline Hook", fixture("gitlab.pipeline.failed.json")),
        (Jira, "", fixture("jira.issue_created.json")),
    ] {
        let given = signed(kind, event, &body);
        assert_eq!(ask(&source(kind), &given, &body), 200);
        let mut flipped = body.clone();
        for at in (0..body.len()).step_by(7) {
            flipped[at] ^= 1 << (at % 8);
            assert_eq!(ask(&source(kind), &given, &flipped), 401, "byte {at}");
            flipped[at] = body[at];
        }
        let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
        for other in
            [&body[..body.len() - 1], b"", &serde_json::to_vec_pretty(&value).unwrap(), &[&body[..], b"\n"].concat()]
        {
            assert_eq!(ask(&source(kind), &given, other), 401);
        }
        for name in given.keys() {
            let mut doubled = given.clone();
            doubled.append(name.clone(), given[name].clone());
            assert!((400..500).contains(&ask(&source(kind), &doubled, &body)), "{name} twice");
        }
    }
}

#[test]
fn sha1_alone_proves_nothing() {
    let body = fixture("github.ping.json");
    assert_eq!(with(Github, "ping", &body, "x-hub-signature-256", None), 401);
    assert_eq!(
        with(Github, "ping", &body, "x-hub-signature-256", Some("sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")),
        401
    );
    let body = fixture("jira.issue_created.json");
    assert_eq!(with(Jira, "", &body, "x-hub-signature", Some("sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59")), 401);
}

#[test]
fn security_headers_that_were_joined_are_refused() {
    let body = fixture("github.ping.json");
    let joined = format!("{0}, {0}", hub(SECRET.as_bytes(), &body));
    assert_eq!(with(Github, "ping", &body, "x-hub-signature-256", Some(&joined)), 400);
    assert_eq!(with(Github, "ping", &body, "x-github-event", Some("ping,push")), 400);
    assert_eq!(with(Github, "ping", &body, "x-github-delivery", Some("a,b")), 400);
}

#[test]
fn the_event_header_is_asked_after_the_signature() {
    let body = fixture("github.ping.json");
    assert_eq!(with(Github, "ping", &body, "x-github-event", None), 400);
    assert_eq!(with(Github, "ping", &body, "x-github-event", Some("../ping")), 400);
    assert_eq!(with(Gitlab, "Pipeline Hook", &fixture("gitlab.pipeline.failed.json"), "x-gitlab-event", None), 400);
    let mut given = signed(Github, "ping", &body);
    given.append("x-github-event", "push".parse().unwrap());
    assert_eq!(ask(&source(Github), &given, &body), 400);
    assert_eq!(ask(&source(Github), &given, b"something else"), 401);
    given.remove("x-github-event");
    assert_eq!(ask(&source(Github), &given, b"something else"), 401);
}

#[test]
fn content_types() {
    let body = fixture("github.ping.json");
    let typed = |value| with(Github, "ping", &body, "content-type", value);
    assert_eq!(typed(Some("application/json; charset=utf-8")), 200);
    assert_eq!(typed(Some("Application/JSON;charset=\"UTF-8\"")), 200);
    for wrong in
        [None, Some("text/plain"), Some("application/json; charset=latin1"), Some("application/jsonp"), Some("")]
    {
        assert_eq!(typed(wrong), 415, "{wrong:?}");
    }
    let form = b"payload=%7B%7D";
    assert_eq!(with(Jira, "", form, "content-type", Some("application/x-www-form-urlencoded")), 415);
    assert_eq!(with(Gitlab, "Push Hook", form, "content-type", Some("application/x-www-form-urlencoded")), 415);
}

#[test]
fn forms_hold_one_payload() {
    let form = |body: &[u8]| with(Github, "ping", body, "content-type", Some("application/x-www-form-urlencoded"));
    assert_eq!(form(b"payload=%7B%22zen%22%3A%22a+b%22%7D"), 200);
    assert_eq!(form(b"x=1&payload=%7B%7D"), 200);
    assert_eq!(form(b"payload=%7B%7D&payload=%7B%7D"), 400);
    assert_eq!(form(b"x=1"), 400);
    assert_eq!(form(b"payload=%7B%22a%22%3A%22%FF%22%7D"), 400, "no UTF-8 after decoding");

    let mut given = signed(Github, "ping", b"payload=%7B%22zen%22%3A%22a+b%22%7D");
    given.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
    let body = Bytes::from_static(b"payload=%7B%22zen%22%3A%22a+b%22%7D");
    let delivery = verify(&source(Github), &given, &body, NOW).unwrap();
    assert_eq!(delivery.payload().as_ref(), br#"{"zen":"a b"}"#);
    let payload = delivery.payload().clone();
    let kept = delivery.into_kept();
    assert_eq!(kept.body, body);
    let restored = Delivery::restored(&source(Github), &kept.headers, body, "main", NOW).unwrap();
    assert_eq!(restored.payload(), &payload);
}

#[test]
fn the_whole_body_must_be_one_sound_object() {
    let nested = |depth: usize| format!("{{\"a\":{}1{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1)).into_bytes();
    let sound: [&[u8]; 4] = [b"{}", br#" {"zen":"\u0000"} "#, br#"{"a":1,"a":2}"#, &nested(127)];
    for body in sound {
        assert_eq!(status(&deliver(Github, "ping", body)), 200, "{}", String::from_utf8_lossy(body));
    }
    let broken: [&[u8]; 14] = [
        b"",
        b"[]",
        b"null",
        br#""text""#,
        b"{} {}",
        b"{}x",
        b"{\"unknown\":\"\xFF\"}",
        b"\xEF\xBB\xBF{}",
        br#"{"unknown":[1,]}"#,
        br#"{"unknown":1e999}"#,
        br#"{"unknown":"\ud800"}"#,
        br#"{"unknown":tru}"#,
        br#"{"unknown":01}"#,
        &nested(128),
    ];
    for body in broken {
        assert_eq!(status(&deliver(Github, "ping", body)), 400, "{}", String::from_utf8_lossy(body));
    }
    assert_eq!(status(&deliver(Github, "ping", &nested(2_000_000))), 400);
}

#[test]
fn rotation_tells_which_secret_matched() {
    let body = Bytes::from(fixture("github.ping.json"));
    let spec = SourceSpec {
        auth: Auth::Hmac(vec![secret("new", "the secret of tomorrow, say"), secret("old", SECRET)]),
        ..source(Github)
    };
    let delivery = verify(&spec, &signed(Github, "ping", &body), &body, NOW).unwrap();
    assert_eq!(delivery.event_header(), Some("ping"));
    let kept = delivery.into_kept();
    assert_eq!(kept.secret_label, "old");
    assert_eq!(kept.sender_id.as_deref(), Some("72d3162e-cc78-11e3-81ab-4c9367dc0958"));
    for (name, value) in &kept.headers {
        assert!(!name.contains("signature"), "{name}: {value} must not be kept");
    }
}

#[test]
fn a_long_id_of_the_sender_is_cut_for_display() {
    let body = Bytes::from(fixture("github.ping.json"));
    let mut given = signed(Github, "ping", &body);
    given.insert("x-github-delivery", "1".repeat(201).parse().unwrap());
    let kept = verify(&source(Github), &given, &body, NOW).unwrap().into_kept();
    assert_eq!(kept.sender_id, Some("1".repeat(200)));
}

#[test]
fn gitlab_demands_the_signature_where_it_can() {
    let body = fixture("gitlab.pipeline.failed.json");
    let token = "a plain token of the tests";
    let spec = |allow_token_fallback| SourceSpec {
        auth: Auth::Gitlab {
            signing: vec![signing("signing", SIGNING_TOKEN)],
            tokens: vec![secret("token", token)],
            allow_token_fallback,
        },
        ..source(Gitlab)
    };
    let plain = headers(&[
        ("content-type", "application/json"),
        ("x-gitlab-event", "Pipeline Hook"),
        ("x-gitlab-token", token),
    ]);
    assert_eq!(ask(&spec(false), &plain, &body), 401, "the signature was left out");
    assert_eq!(ask(&spec(true), &plain, &body), 200);
    let mut both = signed(Gitlab, "Pipeline Hook", &body);
    both.insert("x-gitlab-token", token.parse().unwrap());
    assert_eq!(ask(&spec(true), &both, &body), 200);
    both.insert("webhook-signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".parse().unwrap());
    assert_eq!(ask(&spec(true), &both, &body), 401, "a bad signature beside a good token");
    both.remove("webhook-signature");
    both.insert("x-gitlab-token", "a plain token of the test".parse().unwrap());
    assert_eq!(ask(&spec(true), &both, &body), 401);
}

#[test]
fn gitlab_signatures_are_fresh_for_five_minutes_both_ways() {
    let body = fixture("gitlab.pipeline.failed.json");
    for (seconds, expected) in [(0, 200), (300, 200), (-300, 200), (301, 400), (-301, 400)] {
        let at = (NOW.0 / 1000 + seconds).to_string();
        let mut given = signed(Gitlab, "Pipeline Hook", &body);
        given.insert("webhook-timestamp", at.parse().unwrap());
        given.insert(
            "webhook-signature",
            standard(SIGNING_TOKEN, given["webhook-id"].to_str().unwrap(), &at, &body).parse().unwrap(),
        );
        assert_eq!(ask(&source(Gitlab), &given, &body), expected, "{seconds} s");
    }
}

#[test]
fn jira_timestamps_are_held_against_the_clock() {
    let spec = |max_age| SourceSpec { max_age, ..source(Jira) };
    let day = Some(Duration::from_hours(24));
    let hour = 3_600_000;
    let body = |timestamp: &str| format!(r#"{{{timestamp}"webhookEvent":"jira:issue_deleted"}}"#).into_bytes();
    let at = |millis: i64, text: bool| {
        if text { body(&format!(r#""timestamp":"{millis}","#)) } else { body(&format!(r#""timestamp":{millis},"#)) }
    };
    let age = |max_age, body: &[u8]| ask(&spec(max_age), &signed(Jira, "", body), body);
    for text in [false, true] {
        assert_eq!(age(day, &at(NOW.0 - 24 * hour, text)), 200);
        assert_eq!(age(day, &at(NOW.0 - 24 * hour - 1, text)), 400);
        assert_eq!(age(day, &at(NOW.0 + 25 * hour, text)), 400);
        assert_eq!(age(None, &at(1, text)), 200);
    }
    assert_eq!(age(day, &body("")), 200, "post functions and Automation tell no time");
    let stale = at(1, false);
    assert_eq!(ask(&spec(day), &signed(Jira, "", b"{}"), &stale), 401, "the signature is asked first");
}

#[test]
fn a_source_that_cannot_sign_gives_a_header_and_its_event() {
    let spec = SourceSpec {
        auth: Auth::Header {
            name: HeaderName::from_static("x-hookrun-token"),
            secrets: vec![secret("automation", "a header secret of the tests")],
        },
        event: Some("issue.transitioned".to_owned()),
        max_age: Some(Duration::from_hours(24)),
        ..source(Jira)
    };
    let body = Bytes::from_static(
        br#"{"id":10042,"key":"PAY-7","self":"https://acme.atlassian.net/rest/api/2/issue/10042",
            "fields":{"summary":"Checkout 500s","status":{"name":"Ready for agent"},"labels":[]}}"#,
    );
    let given = |token: &str| headers(&[("content-type", "application/json"), ("x-hookrun-token", token)]);
    let delivery = verify(&spec, &given("a header secret of the tests"), &body, NOW).unwrap();
    let told = understand(&delivery);
    assert_eq!((told.reading, told.native.as_str()), (Reading::Events, "jira:issue.transitioned"));
    assert_eq!(told.events[0].kind, Some(Kind::IssueTransitioned));
    assert_eq!(told.events[0].to, ["Ready for agent"]);
    assert_eq!(told.events[0].subject.key, "acme.atlassian.net/PAY-7");

    // Nothing in the body tells one occurrence from the next.
    assert!(told.events[0].momentary && told.events[0].happening.ends_with(&delivery.body_sha256()));
    assert_eq!(delivery.into_kept().secret_label, "automation");

    assert_eq!(ask(&spec, &given("a header secret of the test"), &body), 401);
    assert_eq!(ask(&spec, &given(""), &body), 401);
    let mut twice = given("a header secret of the tests");
    twice.append("x-hookrun-token", "a header secret of the tests".parse().unwrap());
    assert_eq!(ask(&spec, &twice, &body), 401);
}

#[test]
fn refusals_of_strangers_look_alike() {
    let body = fixture("github.ping.json");
    let missing = verify(&source(Github), &HeaderMap::new(), &Bytes::copy_from_slice(&body), NOW).unwrap_err();
    let wrong = verify(&source(Github), &signed(Github, "ping", b"other"), &body.into(), NOW).unwrap_err();
    assert_ne!(missing.reason(), wrong.reason());
    assert_eq!((missing.to_string(), missing.status()), (wrong.to_string(), wrong.status()));
}
