//! The settings file as text: where each value stands, and how its lines are shown without a secret in them.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::LazyLock;

use serde::de::Deserialize as _;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};

use super::path::{KeyPath, position};
use crate::model::problem::Problem;

/// Settings whose value is a secret, or a table or list of secrets.
pub(super) const SECRET_KEYS: [&str; 7] =
    ["secret", "secrets", "token", "tokens", "signing_tokens", "header_secret", "url"];

/// A settings file that is well-formed TOML.
#[derive(Debug)]
pub(super) struct SourceText {
    pub(super) name: String,
    text: String,
}

impl SourceText {
    /// Checks the syntax; lists every mistake in it.
    pub(super) fn parse(name: String, text: String) -> Result<Self, Vec<Problem>> {
        let (_, mistakes) = DeTable::parse_recoverable(&text);
        if mistakes.is_empty() {
            return Ok(Self { name, text });
        }
        let masked = mask_lines(&text);
        let problem = |mistake: &toml::de::Error| {
            let problem = Problem::error(&name, mistake.message());
            mistake.span().map_or(problem.clone(), |span| problem.at(&masked, span))
        };
        Err(mistakes.iter().map(problem).collect())
    }

    /// What it says.
    pub(super) fn table(&self) -> toml::Table {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        toml::Table::deserialize(toml::de::Deserializer::from(table)).unwrap_or_default()
    }

    /// The text with its secrets masked, and the place in it of the value at `path`; the nearest table around it when
    /// it is not there.
    pub(super) fn value(&self, path: &KeyPath) -> Option<(String, Range<usize>)> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let mut around = path.clone();
        while !around.names().is_empty() {
            if let Some(found) = find(table.get_ref(), around.names()) {
                let table_in_file =
                    found.name.is_some() && matches!(found.value, DeValue::Table(_) | DeValue::Array(_));
                let span = if table_in_file { found.name.unwrap_or(found.span) } else { found.span };
                return Some((self.masked(table.get_ref(), path), span));
            }
            around = around.parent();
        }
        None
    }

    /// The text with its secrets masked, and the place in it of the name at the end of `path`.
    pub(super) fn name(&self, path: &KeyPath) -> Option<(String, Range<usize>)> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let found = find(table.get_ref(), path.names())?;
        Some((self.masked(table.get_ref(), &KeyPath::default()), found.name.unwrap_or(found.span)))
    }

    /// The text, byte for byte as long, without its secrets: only the value that is spoken of and values of settings
    /// that are no secrets stay, because a misspelt name may stand before a secret.
    fn masked(&self, table: &DeTable<'_>, about: &KeyPath) -> String {
        let mut text = self.text.clone();
        for_each_scalar(&DeValue::Table(table.clone()), 0..0, &KeyPath::default(), &mut |path, span| {
            let secret = SECRET_KEYS.contains(&path.leaf()) || may_carry_password(&text[span.clone()]);
            if secret || (path != about && !PLAIN_KEYS.contains(path.leaf())) {
                mask(&mut text, span);
            }
        });
        text
    }
}

struct Found<'t, 'i> {
    name: Option<Range<usize>>,
    span: Range<usize>,
    value: &'t DeValue<'i>,
}

fn find<'t, 'i>(table: &'t DeTable<'i>, path: &[String]) -> Option<Found<'t, 'i>> {
    let (first, rest) = path.split_first()?;
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    let mut found = Found { name: Some(name.span()), span: value.span(), value: value.get_ref() };
    for part in rest {
        found = match found.value {
            DeValue::Table(table) => {
                let (name, value) = table.iter().find(|(name, _)| name.get_ref() == part)?;
                Found { name: Some(name.span()), span: value.span(), value: value.get_ref() }
            }
            DeValue::Array(list) => {
                let entry = list.get(position(part)?)?;
                Found { name: None, span: entry.span(), value: entry.get_ref() }
            }
            _ => return None,
        };
    }
    Some(found)
}

fn for_each_scalar(
    value: &DeValue<'_>,
    span: Range<usize>,
    path: &KeyPath,
    each: &mut impl FnMut(&KeyPath, Range<usize>),
) {
    match value {
        DeValue::Table(table) => {
            for (name, value) in table {
                for_each_scalar(value.get_ref(), value.span(), &path.key(name.get_ref()), each);
            }
        }
        DeValue::Array(list) => {
            for (at, entry) in list.iter().enumerate() {
                for_each_scalar(entry.get_ref(), entry.span(), &path.index(at), each);
            }
        }
        _ => each(path, span),
    }
}

/// Whether a text may be an address with a password before its host, or a token in its query.
fn may_carry_password(text: &str) -> bool {
    text.contains(['@', '?'])
}

/// Covers letters, digits and whatever else is between the quotes of `span`, keeping every position in the text.
fn mask(text: &mut String, span: Range<usize>) {
    let covered: String = text[span.clone()]
        .char_indices()
        .flat_map(|(at, c)| {
            let quote = (at == 0 || at + 1 == span.len()) && matches!(c, '"' | '\'');
            let shown = if quote || c == '\n' { c } else { '*' };
            std::iter::repeat_n(shown, c.len_utf8())
        })
        .collect();
    text.replace_range(span, &covered);
}

/// A text that is no TOML, masked by the look of its lines: what stands behind a setting that is known and no secret
/// stays, everything else is covered.
fn mask_lines(text: &str) -> String {
    let mut plain = false;
    let mut masked = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let mut kept = 0;
        if let Some((name, _)) = line.split_once('=') {
            let name = name.trim().trim_matches(['"', '\'']);
            let telling = line.contains("secret") || line.contains("token") || may_carry_password(line);
            plain = PLAIN_KEYS.contains(name) && !telling;
            // A sign of equality in a comment makes no name of what stands before it.
            let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
            kept = if is_name { line.find('=').unwrap_or_default() } else { 0 };
        }
        let header = line.trim_start().starts_with('[') && !line.contains(['"', '\'']);
        if plain || header {
            masked.push_str(line);
        } else {
            masked.push_str(&line[..kept]);
            let covered = |c: char| if c.is_whitespace() || "=[]{},\"'#".contains(c) { c } else { '*' };
            masked.extend(line[kept..].chars().flat_map(|c| std::iter::repeat_n(covered(c), c.len_utf8())));
        }
    }
    masked
}

/// The names of all settings that are no secrets.
static PLAIN_KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    fn collect(schema: &Json, names: &mut BTreeSet<String>) {
        match schema {
            Json::Object(object) => {
                if let Some(Json::Object(properties)) = object.get("properties") {
                    names.extend(properties.keys().filter(|name| !SECRET_KEYS.contains(&name.as_str())).cloned());
                }
                object.values().for_each(|value| collect(value, names));
            }
            Json::Array(list) => list.iter().for_each(|value| collect(value, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    collect(&super::json_schema(), &mut names);
    names
});
