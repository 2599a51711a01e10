//! How the pages spell times, numbers, states and addresses.

use minijinja::value::ValueKind;
use minijinja::{State, Value};

use crate::model::clock::Timestamp;

/// A time relative to the page's `now`, with the absolute one beside it; the script lets it run on.
pub(super) fn time(state: &State, at: Option<i64>) -> Value {
    let (Some(at), Some(now)) = (at, state.lookup("now").and_then(|now| i64::try_from(now).ok())) else {
        return Value::from("");
    };
    let stamp = Timestamp(at).to_rfc3339();
    let shown = stamp.replace('T', " ").replace('Z', " UTC");
    let relative = relative(at - now);
    Value::from_safe_string(format!(r#"<time datetime="{stamp}" data-at="{at}" title="{shown}">{relative}</time>"#))
}

/// A span from now, the same as in app.js: `"in 42 s"`, `"3 min ago"`.
fn relative(millis: i64) -> String {
    let seconds = (millis.unsigned_abs() + 500) / 1000;
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    match units.into_iter().find(|(size, _)| seconds >= *size) {
        None => "now".to_owned(),
        Some((size, name)) if millis < 0 => format!("{} {name} ago", seconds / size),
        Some((size, name)) => format!("in {} {name}", seconds / size),
    }
}

/// A count with its thousands apart.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

/// The colour of a state, an outcome or a decision; the word itself always stands beside it.
pub(super) fn tone(word: &str) -> &'static str {
    match word {
        "running" | "submitting" => "running",
        "succeeded" | "accepted" | "pass" => "good",
        "queued" | "joined" | "wait" => "wait",
        "held" | "uncertain" | "late" | "denied" | "hold" | "not_understood" => "care",
        "failed" | "lost" | "dead" | "stop" => "bad",
        _ => "quiet",
    }
}

/// An address that a browser may be sent to, else nothing.
pub(super) fn web(url: Option<String>) -> Option<String> {
    url.and_then(crate::server::api::items::web)
}

/// A word of records as people read it.
pub(super) fn plain(word: &str) -> String {
    word.replace('_', " ")
}

/// A value of a record as people read it: yes or no, a text as it is, the parts of a list, the names of a map with their values.
pub(super) fn said(value: &Value) -> String {
    let parts = |join: fn(&Value, &Value) -> String| {
        let Ok(keys) = value.try_iter() else { return value.to_string() };
        keys.map(|key| join(value, &key)).collect::<Vec<_>>().join(", ")
    };
    match value.kind() {
        ValueKind::Bool => if value.is_true() { "yes" } else { "no" }.to_owned(),
        ValueKind::Map => parts(|map, key| format!("{} {}", said(key), said(&map.get_item(key).unwrap_or_default()))),
        ValueKind::Seq => parts(|_, part| said(part)),
        ValueKind::None | ValueKind::Undefined => "none".to_owned(),
        _ => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
    }
}

/// A text as a part of an address's query.
pub(super) fn query(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;
    use serde_json::json;

    use super::*;

    #[test]
    fn values_of_records_are_spelt_for_people() {
        let said = |value: serde_json::Value| said(&Value::from(Serde(value)));
        assert_eq!(said(json!({"closed": true, "head": false})), "closed yes, head no");
        assert_eq!(
            said(json!([{"budget": "rule:fix", "limit": 50}, {"budget": "all", "limit": 9}])),
            "budget rule:fix, limit 50, budget all, limit 9"
        );
        assert_eq!(said(json!(["a", 1, null])), "a, 1, none");
        assert_eq!((said(json!("x, y")), said(json!(2.5))), ("x, y".to_owned(), "2.5".to_owned()));
    }
}
