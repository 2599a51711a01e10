//! Spans of time as people write them: `"60s"`, `"30m"`, `"24h"`, `"14d"`.

use std::time::Duration;

/// Reads `"500ms"`, `"60s"`, `"30m"`, `"24h"`, `"14d"` or `"2w"`; a bare number needs its unit, except 0.
pub fn parse_span(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let wrong = || format!("\"{text}\" is no span of time; write it as \"60s\", \"30m\", \"24h\" or \"14d\"");
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        "" if number == 0 => 1,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

/// A span in its shortest exact form, e.g. `"90s"`, `"2h"`; the inverse of [`parse_span`].
pub fn show_span(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit, name) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if millis >= unit && millis.is_multiple_of(unit) {
            return format!("{}{name}", millis / unit);
        }
    }
    if millis == 0 { "0s".to_owned() } else { format!("{millis}ms") }
}
