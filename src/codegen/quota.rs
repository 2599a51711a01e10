//! How long the service asks to wait: `Retry-After`, and the headers that tell how many calls are left until when.
//!
//! Nothing says that the service sends any of them. Three dialects are about: the IETF draft (`RateLimit: "x";r=0;t=30` with
//! `RateLimit-Policy: "x";q=60;w=30`), its older form (`RateLimit: limit=60, remaining=0, reset=30`), and single fields
//! with or without `X-` (`RateLimit-Remaining: 0`, `X-RateLimit-Reset: 1772366430`), whose reset is a number of seconds or
//! a moment. What cannot be read is as if it were not there. That calls are left is no promise: nothing is done with it.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

use crate::model::clock::Timestamp;

/// No answer stops a class for longer than this, whatever it says (the rate-limit draft of the IETF advises a cap).
const WAIT_MAX: Duration = Duration::from_mins(10);
/// One that is down stops a class for no longer than this: a single failure says little, and an outage is looked at that often.
const DOWN_MAX: Duration = Duration::from_mins(1);
/// A reset above this is a moment in unix seconds, not a number of seconds.
const MOMENT: u64 = 1_000_000_000;
/// And above this a moment in milliseconds.
const MOMENT_IN_MILLIS: u64 = 100_000_000_000;

/// What an answer says about further calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quota {
    /// Some are left, or nothing is said.
    Open,
    /// None are left, for so long if it tells.
    UsedUp(Option<Duration>),
    /// It is down, and asks to wait for so long.
    Down(Duration),
}

/// What an answer of this status says, a failure like a success. A 429 says it as the failure that it is: that also makes
/// the window smaller.
pub(super) fn of(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Quota {
    match (status, asked_for(headers, now)) {
        (StatusCode::TOO_MANY_REQUESTS, _) => Quota::Open,
        (StatusCode::SERVICE_UNAVAILABLE, Some(wait)) => Quota::Down(wait.min(DOWN_MAX)),
        _ => read(headers, now),
    }
}

/// How long a 429 asks to wait; `None` when it does not tell.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let left = || match read(headers, now) {
        Quota::UsedUp(wait) => wait,
        Quota::Open | Quota::Down(_) => None,
    };
    asked_for(headers, now).or_else(left).or_else(|| reset(headers, now))
}

/// What it says about the calls that are left.
fn read(headers: &HeaderMap, now: Timestamp) -> Quota {
    let items = field(headers, "ratelimit").map(parameters).unwrap_or_default();
    let empty: Vec<_> = items.iter().filter(|item| item.number(&["r", "remaining"]) == Some(0)).collect();
    if !empty.is_empty() {
        // Of several that are used up the one that is free last decides.
        let policies = field(headers, "ratelimit-policy").map(parameters).unwrap_or_default();
        let waits = empty.iter().map(|item| {
            let window = || policies.iter().find(|policy| policy.name == item.name)?.number(&["w"]);
            item.number(&["t", "reset"]).or_else(window).map(|seconds| span(seconds, headers, now))
        });
        return Quota::UsedUp(waits.max().flatten());
    }
    let fields = ["ratelimit-remaining", "x-ratelimit-remaining"];
    let left = fields.iter().find_map(|name| number(field(headers, name)?));
    if left == Some(0) { Quota::UsedUp(reset(headers, now)) } else { Quota::Open }
}

fn reset(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let seconds = ["ratelimit-reset", "x-ratelimit-reset"].iter().find_map(|name| number(field(headers, name)?))?;
    Some(span(seconds, headers, now))
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date. A date in the past is 0.
fn asked_for(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are only more than the cap.
        Duration::from_secs(text.parse().unwrap_or(u64::MAX))
    } else {
        http_date(text)?.since(said_at(headers, now))
    };
    Some(wait.min(WAIT_MAX))
}

fn span(seconds: u64, headers: &HeaderMap, now: Timestamp) -> Duration {
    let moment = match seconds {
        0..=MOMENT => return Duration::from_secs(seconds).min(WAIT_MAX),
        MOMENT_IN_MILLIS.. => seconds,
        _ => seconds * 1000,
    };
    let moment = Timestamp(i64::try_from(moment).unwrap_or(i64::MAX));
    moment.since(said_at(headers, now)).min(WAIT_MAX)
}

/// Moments count from the answer's own `Date`, so that two clocks that disagree do no harm.
fn said_at(headers: &HeaderMap, now: Timestamp) -> Timestamp {
    headers.get(DATE).and_then(|date| http_date(date.to_str().ok()?)).unwrap_or(now)
}

/// Reads the one form of date that a sender of HTTP may still write, e.g. `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    Some(Timestamp(at.as_millisecond()))
}

fn field<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// A whole number, and nothing else.
fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    text.parse().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// One entry of a list: its name, which may be empty, and its parameters.
#[derive(Debug, Default)]
struct Item<'a> {
    name: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Item<'_> {
    fn number(&self, names: &[&str]) -> Option<u64> {
        self.parameters.iter().find(|(name, _)| names.contains(name)).and_then(|(_, value)| number(value))
    }
}

/// The entries of `"burst";r=0;t=5, "daily";r=9`, or the one entry of `limit=60, remaining=0, reset=5`.
fn parameters(text: &str) -> Vec<Item<'_>> {
    let mut items: Vec<Item<'_>> = Vec::new();
    let mut old = Item::default();
    for entry in text.split(',') {
        let mut parts = entry.split(';').map(str::trim);
        let first = parts.next().unwrap_or_default();
        match first.split_once('=') {
            // The older form has one parameter for each entry.
            Some((name, value)) if !first.starts_with('"') => old.parameters.push((name.trim(), value)),
            _ => items.push(Item {
                name: first.trim_matches('"'),
                parameters: parts.filter_map(|it| it.split_once('=')).collect(),
            }),
        }
    }
    if !old.parameters.is_empty() {
        items.push(old);
    }
    items
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const NOW: Timestamp = Timestamp(1_772_366_400_000);

    fn headers(text: &str) -> HeaderMap {
        let fields = text.lines().map(|line| line.split_once(": ").unwrap());
        fields
            .map(|(name, value)| (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[test]
    fn what_is_used_up_is_read_in_every_dialect() {
        let seconds = |seconds| Quota::UsedUp(Some(Duration::from_secs(seconds)));
        for (text, wanted) in [
            ("RateLimit: \"default\";r=0;t=30", seconds(30)),
            ("RateLimit: \"default\";r=50;t=30", Quota::Open),
            ("RateLimit: \"burst\";r=0;t=5, \"daily\";r=0;t=90, \"month\";r=7;t=500", seconds(90)),
            ("RateLimit: \"burst\";r=0\nRateLimit-Policy: \"daily\";q=9;w=500, \"burst\";q=100;w=60", seconds(60)),
            ("RateLimit: \"burst\";r=0", Quota::UsedUp(None)),
            ("RateLimit: limit=60, remaining=0, reset=12", seconds(12)),
            ("RateLimit: limit=60, remaining=1, reset=12", Quota::Open),
            ("RateLimit-Remaining: 0\nRateLimit-Reset: 9", seconds(9)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1772366440", seconds(40)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1772366440000", seconds(40)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1772366000", seconds(0)),
            (
                "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1772366440\nDate: Sun, 01 Mar 2026 12:00:30 GMT",
                seconds(10),
            ),
            ("X-RateLimit-Remaining: 0", Quota::UsedUp(None)),
            ("X-RateLimit-Remaining: 3\nX-RateLimit-Reset: 9", Quota::Open),
            // Absurd: clamped. Malformed: as if it were not there.
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 86400", seconds(600)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9999999999", seconds(600)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 18446744073709551615", seconds(600)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999999", Quota::UsedUp(None)),
            ("X-RateLimit-Remaining: 0\nX-RateLimit-Reset: -5", Quota::UsedUp(None)),
            ("X-RateLimit-Remaining: none", Quota::Open),
            ("X-RateLimit-Remaining: +0", Quota::Open),
            ("RateLimit: r=zero;t", Quota::Open),
            ("RateLimit: ;;;,,\"\"", Quota::Open),
            ("RateLimit: \"x\";r=0;t=soon", Quota::UsedUp(None)),
            ("Content-Type: text/plain", Quota::Open),
        ] {
            assert_eq!(read(&headers(text), NOW), wanted, "{text}");
        }
    }

    #[test]
    fn a_429_waits_for_retry_after_before_anything_else() {
        for (text, wanted) in [
            ("Retry-After: 7\nRateLimit: \"x\";r=0;t=30", Some(7)),
            ("RateLimit: \"x\";r=0;t=30", Some(30)),
            ("X-RateLimit-Reset: 1772366440", Some(40)),
            ("Retry-After: soon\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 5", Some(5)),
            ("X-RateLimit-Remaining: 0", None),
        ] {
            assert_eq!(retry_after(&headers(text), NOW), wanted.map(Duration::from_secs), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_in_the_fields_no_wait_is_longer_than_the_cap(
            limit in "[ -~]{0,40}", policy in "[ -~]{0,40}", left in "[ -~]{0,20}", reset in "[ -~]{0,20}"
        ) {
            let text = format!("RateLimit: {limit}\nRateLimit-Policy: {policy}\nX-RateLimit-Remaining: {left}\n\
                                X-RateLimit-Reset: {reset}\nRetry-After: {reset}");
            let headers = headers(&text);
            proptest::prop_assert!(retry_after(&headers, NOW).unwrap_or_default() <= WAIT_MAX);
            let Quota::UsedUp(Some(wait)) = read(&headers, NOW) else { return Ok(()) };
            proptest::prop_assert!(wait <= WAIT_MAX);
        }
    }
}
