//! What people write in Jira: wiki text as it stands, or the Atlassian Document Format as plain text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::webhook::tolerant::{self, Key, Skipped, Slot};

/// Plain text is cut at this size, like every other text that is read.
const MAX_BYTES: usize = 256 * 1024;

/// A description or comment as plain text.
#[derive(Clone, Debug)]
pub(super) struct Prose(pub(super) String);

tolerant::objects! {
    struct Attributes { text: Option<String>, url: Option<String> }
}

impl Prose {
    /// Reads a document; the check of the whole body bounds its depth.
    pub(super) fn from_document<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        let mut text = String::new();
        write(map, &mut text)?;
        text.truncate(text.trim_end().len());
        Ok(Self(text))
    }
}

/// Writes what a node of the Atlassian Document Format says (developer.atlassian.com, "Atlassian Document Format") while it
/// is read: a tree of a million nodes that say nothing takes no room.
fn write<'de, A: MapAccess<'de>>(mut map: A, text: &mut String) -> Result<(), A::Error> {
    let start = text.len();
    let (mut kind, mut own) = (None, None);
    let mut attributes: Option<Attributes> = None;
    while let Some(Key(key)) = map.next_key()? {
        match &*key {
            "type" => kind = map.next_value::<Slot<Option<String>>>()?.0,
            "text" => own = map.next_value::<Slot<Option<String>>>()?.0,
            "attrs" => attributes = map.next_value::<Slot<_>>()?.0,
            "content" => {
                text.truncate(start);
                map.next_value_seed(Part { text, list: true })?;
            }
            _ => {
                map.next_value::<Skipped>()?;
            }
        }
    }
    let shown = own.or_else(|| attributes.and_then(|attributes| attributes.text.or(attributes.url)));
    if let Some(shown) = shown.filter(|shown| text.len() + shown.len() <= MAX_BYTES) {
        text.insert_str(start, &shown);
    }
    let ends_line = ["paragraph", "heading", "codeBlock", "hardBreak", "rule", "tableRow"];
    if kind.is_some_and(|kind| ends_line.contains(&kind.as_str())) && text.len() < MAX_BYTES {
        text.push('\n');
    }
    Ok(())
}

/// A list of nodes, or one of them; a value of another type says nothing.
struct Part<'t> {
    text: &'t mut String,
    list: bool,
}

impl<'de> DeserializeSeed<'de> for Part<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<(), A::Error> {
        if !self.list {
            return Skipped.visit_seq(seq).map(drop);
        }
        let (mut seq, text) = (seq, self.text);
        while seq.next_element_seed(Part { text: &mut *text, list: false })?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        if self.list { Skipped.visit_map(map).map(drop) } else { write(map, self.text) }
    }
}
