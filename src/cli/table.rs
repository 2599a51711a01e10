//! Tables for a terminal: columns as wide as they must be, times as people say them.

use std::time::Duration;

use serde_json::Value;

use super::printer::{Printer, Style};

/// A table: its heads, its rows.
#[derive(Debug)]
pub(super) struct Table {
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[&'static str]) -> Self {
        Self { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// Writes it, two spaces between columns; the last one is not filled up.
    pub(super) fn print(&self, printer: Printer) {
        let width = |at: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
            cells.chain([self.heads[at].len()]).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..self.heads.len()).map(width).collect();
        let line = |cells: &mut dyn Iterator<Item = &str>| {
            let padded = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        Printer::line(printer.paint(Style::Dim, line(&mut self.heads.iter().copied())));
        for row in &self.rows {
            Printer::line(line(&mut row.iter().map(String::as_str)));
        }
    }
}

/// A text of an answer; what is missing is empty. Text from outside must not steer the terminal.
pub(super) fn text(value: &Value) -> String {
    let text = match value {
        Value::Null => return String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// A text cut to so many characters.
pub(super) fn short(value: &Value, most: usize) -> String {
    let text = text(value);
    if text.chars().count() <= most {
        return text;
    }
    text.chars().take(most - 1).chain(['…']).collect()
}

/// How far a time of an answer lies from `now`, itself as the answers spell it: `"in 4 min"`, `"3 h 5 min ago"`.
pub(super) fn when(value: &Value, now: jiff::Timestamp) -> String {
    let Some(at) = value.as_str().and_then(|text| text.parse::<jiff::Timestamp>().ok()) else {
        return String::new();
    };
    let millis = at.as_millisecond() - now.as_millisecond();
    let span = spelled(Duration::from_millis(millis.unsigned_abs()));
    match millis {
        ..=-1000 => format!("{span} ago"),
        1000.. => format!("in {span}"),
        _ => "now".to_owned(),
    }
}

fn spelled(span: Duration) -> String {
    // Rounded, so that four hours that have just begun are four.
    let seconds = (span.as_millis() as u64 + 500) / 1000;
    // The next smaller unit counts as well: just under four hours is not three.
    let (size, name, less) = match seconds {
        86_400.. => (86_400, "d", Some((3600, "h"))),
        3600.. => (3600, "h", Some((60, "min"))),
        60.. => (60, "min", None),
        _ => (1, "s", None),
    };
    let rest = less.map(|(less, name)| (seconds % size / less, name)).filter(|(count, _)| *count > 0);
    let rest = rest.map_or_else(String::new, |(count, name)| format!(" {count} {name}"));
    format!("{} {name}{rest}", seconds / size)
}
