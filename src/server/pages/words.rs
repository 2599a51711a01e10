//! How the pages spell times, numbers, states and addresses.

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

/// A value of a record as `hookrun why` and the other commands spell it.
pub(super) fn said(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
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
    fn values_of_records_are_spelt_as_the_commands_spell_them() {
        for value in [json!({"closed": true, "head": [1, 2.5, null]}), json!("x \"y\""), json!(false)] {
            assert_eq!(said(&Value::from(Serde(value.clone()))), value.to_string());
        }
    }
}
