//! What goes to the terminal: data on stdout, talk on stderr, colour only where a person looks.

use std::fmt::Display;
use std::io::{IsTerminal, Write};

/// Writes lines for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Printer {
    colour: bool,
}

/// The few styles there are.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// Went well.
    Good,
    /// Wants a look.
    Warn,
    /// Went wrong or was refused.
    Bad,
    /// A name or address.
    Name,
}

impl Printer {
    /// A printer that colours when stdout is a terminal and `NO_COLOR` is not set.
    pub(super) fn new() -> Self {
        Self { colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() }
    }

    /// One line on stdout. A closed pipe is no reason to fail.
    pub(super) fn line(text: impl Display) {
        let _ = writeln!(std::io::stdout().lock(), "{text}");
    }

    /// A question on stderr, without a new line.
    pub(super) fn ask(text: impl Display) {
        let mut stderr = std::io::stderr().lock();
        let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
    }

    /// One line on stderr.
    pub(super) fn talk(text: impl Display) {
        let _ = writeln!(std::io::stderr().lock(), "{text}");
    }

    /// The text in a style, or as it is where colour is off.
    pub(super) fn paint(self, style: Style, text: impl Display) -> String {
        if !self.colour {
            return text.to_string();
        }
        let code = match style {
            Style::Dim => "2",
            Style::Bold => "1",
            Style::Good => "32",
            Style::Warn => "33",
            Style::Bad => "31",
            Style::Name => "36",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
