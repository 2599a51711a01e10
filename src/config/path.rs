//! The way to a setting through tables and lists, as code builds it and people read it.

use std::fmt;

/// Names and list positions, e.g. `admin.tokens[0].role`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyPath(Vec<String>);

impl KeyPath {
    pub(super) fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(names.into_iter().map(Into::into).collect())
    }

    /// The setting `name` below this one.
    pub(super) fn key(&self, name: &str) -> Self {
        Self::new(self.0.iter().map(String::as_str).chain([name]))
    }

    /// The entry at `position` of this list.
    pub(super) fn index(&self, position: usize) -> Self {
        self.key(&position.to_string())
    }

    pub(super) fn names(&self) -> &[String] {
        &self.0
    }

    pub(super) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(super) fn starts_with(&self, other: &Self) -> bool {
        self.0.starts_with(&other.0)
    }

    /// The last part that is a name: what a list is called, for the entries of a list.
    pub(super) fn leaf(&self) -> &str {
        self.0.iter().rev().find(|name| position(name).is_none()).map_or("", String::as_str)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("HOOKRUN_{}", self.0.join("__").replace('-', "_").to_uppercase())
    }
}

/// The list position that a part of a path says, if it says one.
pub(super) fn position(part: &str) -> Option<usize> {
    part.parse().ok()
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.0.iter().enumerate() {
            let bare = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
            match position(name) {
                Some(position) => write!(f, "[{position}]")?,
                None if at > 0 && bare => write!(f, ".{name}")?,
                None if bare => f.write_str(name)?,
                None => write!(f, "{}\"{name}\"", if at > 0 { "." } else { "" })?,
            }
        }
        Ok(())
    }
}
