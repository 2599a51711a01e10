//! Whether a whole body is one well-formed JSON object, and the JSON inside a form.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Checks every byte of `body`: valid UTF-8, one JSON object and nothing after it, at most 127 deep, every string
/// and number readable. A typed parse would skip all that lies in fields that it does not know.
pub(super) fn check(body: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(body).map_err(|_| "the body is not valid UTF-8".to_owned())?;
    // The parser itself stops at a nesting of 128.
    serde_json::from_str::<WholeObject>(text)
        .map(drop)
        .map_err(|problem| format!("the body is no JSON object: {problem}"))
}

struct WholeObject;
struct Anything;

impl<'de> Deserialize<'de> for WholeObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly;
        impl<'de> Visitor<'de> for ObjectOnly {
            type Value = WholeObject;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WholeObject, A::Error> {
                walk(map).map(|()| WholeObject)
            }
        }
        deserializer.deserialize_map(ObjectOnly)
    }
}

impl<'de> Deserialize<'de> for Anything {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Anything {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Self>()?.is_some() {}
        Ok(self)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self, A::Error> {
        walk(map).map(|()| self)
    }
}

fn walk<'de, A: MapAccess<'de>>(mut map: A) -> Result<(), A::Error> {
    while map.next_entry::<Anything, Anything>()?.is_some() {}
    Ok(())
}

/// The one `payload` field of a form-encoded body, decoded to bytes that are still to be checked.
pub(super) fn form_payload(body: &[u8]) -> Result<Vec<u8>, String> {
    let mut payloads = body.split(|byte| *byte == b'&').filter_map(|field| field.strip_prefix(b"payload="));
    match (payloads.next(), payloads.next()) {
        (Some(payload), None) => Ok(percent_decode(payload)),
        (None, _) => Err("the form has no payload field".to_owned()),
        (Some(_), Some(_)) => Err("the form has more than one payload field".to_owned()),
    }
}

/// Undoes form encoding without replacing bytes that are no UTF-8: those are to be refused, not mended.
fn percent_decode(encoded: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let Some((&byte, after)) = rest.split_first() {
        let mut escaped = [0];
        rest = match byte {
            b'%' if after.len() >= 2 && hex::decode_to_slice(&after[..2], &mut escaped).is_ok() => {
                decoded.push(escaped[0]);
                &after[2..]
            }
            b'+' => {
                decoded.push(b' ');
                after
            }
            other => {
                decoded.push(other);
                after
            }
        };
    }
    decoded
}
