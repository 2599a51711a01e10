//! The settings file as text: where each value stands, and how its lines are shown without a secret in them.

use std::borrow::Cow;
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
    /// What it says.
    pub(super) table: toml::Table,
    text: String,
}

impl SourceText {
    /// Reads the file; lists every mistake in its syntax, or the first value that no setting can hold.
    pub(super) fn parse(name: String, text: String) -> Result<Self, Vec<Problem>> {
        let (table, mistakes) = DeTable::parse_recoverable(&text);
        let problem = |mistake: &toml::de::Error, message: &str, masked: &str| {
            let problem = Problem::error(&name, message);
            mistake.span().map_or(problem.clone(), |span| problem.at(masked, span))
        };
        if !mistakes.is_empty() {
            let masked = mask_lines(&text);
            return Err(mistakes.iter().map(|mistake| problem(mistake, mistake.message(), &masked)).collect());
        }
        match toml::Table::deserialize(toml::de::Deserializer::from(table)) {
            Ok(table) => Ok(Self { name, table, text }),
            // What is well-formed can be wrong in nothing else; the reader's own words would show the number.
            Err(mistake) => {
                let message = "the number is too large for any setting";
                Err(vec![problem(&mistake, message, &mask_lines(&text))])
            }
        }
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

/// A text that is no TOML, masked by the look of its lines: headers, names of settings, and what stands behind a setting
/// that is known and no secret stay, everything else is covered.
fn mask_lines(text: &str) -> String {
    text.split_inclusive('\n').map(mask_line).collect()
}

fn mask_line(line: &str) -> Cow<'_, str> {
    let (name, value) = line.split_once('=').unwrap_or_default();
    let word = name.trim().trim_matches(['"', '\'']);
    let plain = PLAIN_KEYS.contains(word);
    // Two settings that ran together make one line; the second may be a secret under a misspelt name.
    let telling = ["secret", "token", "="].iter().any(|part| value.contains(part)) || may_carry_password(line);
    if is_header(line) || plain && !telling {
        return Cow::Borrowed(line);
    }
    // A secret may end in signs of equality itself: only a known name is one.
    let kept = if plain || SECRET_KEYS.contains(&word) { name.len() } else { 0 };
    let covered = |c: char| if c.is_whitespace() || "=[]{},\"'#".contains(c) { c } else { '*' };
    let masked = line[kept..].chars().flat_map(|c| std::iter::repeat_n(covered(c), c.len_utf8()));
    Cow::Owned(line[..kept].chars().chain(masked).collect())
}

/// Whether a line begins a section that there is, as far as that is plain, and says nothing else.
fn is_header(line: &str) -> bool {
    let Some(names) = line.trim().strip_prefix('[') else { return false };
    let names = names.strip_suffix(']').unwrap_or(names);
    let section = names.split('.').next().unwrap_or_default();
    let good = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    PLAIN_KEYS.contains(section) && names.chars().all(good)
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
