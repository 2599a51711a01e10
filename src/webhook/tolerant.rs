//! Typed reading that no body can break, in one pass: a field of the wrong type counts as missing, of a key that occurs
//! twice the last value counts, and what is not asked for is checked to its last byte without being stored.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// No text is taken longer than this; the hosts' own limits for what people write lie far below.
const MAX_TEXT_BYTES: usize = 256 * 1024;
/// No list is taken longer than this.
const MAX_LIST: usize = 1000;

/// Reads a payload and checks every byte of it: valid UTF-8, one JSON object and nothing after it, at most 127 deep, every
/// string and number readable, also in what `T` does not ask for.
pub(super) fn read<T: Object>(payload: &[u8]) -> Result<T, String> {
    let text = std::str::from_utf8(payload).map_err(|_| "the body is not valid UTF-8".to_owned())?;
    // The parser itself stops at a nesting of 128.
    serde_json::from_str::<Whole<T>>(text)
        .map(|Whole(object)| object)
        .map_err(|problem| format!("the body is no JSON object: {problem}"))
}

/// A whole payload, which must be an object.
struct Whole<T>(T);

impl<'de, T: Object> Deserialize<'de> for Whole<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectOnly<T>(PhantomData<T>);
        impl<'de, T: Object> Visitor<'de> for ObjectOnly<T> {
            type Value = Whole<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Whole<T>, A::Error> {
                T::from_map(map).map(Whole)
            }
        }
        deserializer.deserialize_map(ObjectOnly(PhantomData))
    }
}

/// A value that is not asked for. Serde's own `IgnoredAny` would let through what is no text and no number.
pub(super) struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Skipped {
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
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

/// A struct that is read from a JSON object; made by [`objects!`].
pub(super) trait Object: Sized {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error>;
}

/// What a JSON value of each type makes of a field; by default nothing.
pub(super) trait Field: Default {
    fn from_text(_: &str) -> Self {
        Self::default()
    }
    fn from_bool(_: bool) -> Self {
        Self::default()
    }
    fn from_int(_: i64) -> Self {
        Self::default()
    }
    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Self::default())
    }
    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(Self::default())
    }
}

/// The bridge between a [`Field`] and serde.
pub(super) struct Slot<T>(pub(super) T);

impl<'de, T: Field> Deserialize<'de> for Slot<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SlotVisitor(PhantomData)).map(Slot)
    }
}

struct SlotVisitor<T>(PhantomData<T>);

impl<'de, T: Field> Visitor<'de> for SlotVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_bool<E>(self, value: bool) -> Result<T, E> {
        Ok(T::from_bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<T, E> {
        Ok(T::from_int(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<T, E> {
        Ok(i64::try_from(value).map_or_else(|_| T::default(), T::from_int))
    }
    fn visit_f64<E>(self, _: f64) -> Result<T, E> {
        Ok(T::default())
    }
    fn visit_str<E>(self, value: &str) -> Result<T, E> {
        Ok(T::from_text(value))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<T, A::Error> {
        T::from_seq(seq)
    }
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::from_map(map)
    }
}

/// A key, borrowed where it holds no escapes.
pub(super) struct Key<'de>(pub(super) Cow<'de, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }
            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }
            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl Field for Option<String> {
    fn from_text(text: &str) -> Self {
        let mut end = text.len().min(MAX_TEXT_BYTES);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        // Databases refuse NUL in text, and nobody writes it on purpose.
        Some(if text.contains('\0') { text[..end].replace('\0', "") } else { text[..end].to_owned() })
    }
}

impl Field for Option<bool> {
    fn from_bool(value: bool) -> Self {
        Some(value)
    }
}

impl Field for Option<u64> {
    fn from_int(value: i64) -> Self {
        u64::try_from(value).ok()
    }
}

/// An integer, given as a number or as its text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Int(pub(super) i64);

impl Field for Option<Int> {
    fn from_int(value: i64) -> Self {
        Some(Int(value))
    }
    fn from_text(text: &str) -> Self {
        text.trim().parse().ok().map(Int)
    }
}

/// An id, given as a number or as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id(pub(super) String);

impl Field for Option<Id> {
    fn from_int(value: i64) -> Self {
        Some(Id(value.to_string()))
    }
    fn from_text(text: &str) -> Self {
        Option::<String>::from_text(text).filter(|id| !id.is_empty()).map(Id)
    }
}

/// A value of which only the presence counts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Present;

impl Field for Option<Present> {
    fn from_text(_: &str) -> Self {
        Some(Present)
    }
    fn from_bool(_: bool) -> Self {
        Some(Present)
    }
    fn from_int(_: i64) -> Self {
        Some(Present)
    }
    fn from_map<'de, A: MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
        while map.next_entry::<Skipped, Skipped>()?.is_some() {}
        Ok(Some(Present))
    }
    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(Some(Present))
    }
}

impl<T: Object> Field for Option<T> {
    fn from_map<'de, A: MapAccess<'de>>(map: A) -> Result<Self, A::Error> {
        T::from_map(map).map(Some)
    }
}

impl<T> Field for Vec<T>
where
    Option<T>: Field,
{
    fn from_seq<'de, A: SeqAccess<'de>>(mut seq: A) -> Result<Self, A::Error> {
        let mut list = Vec::new();
        while list.len() < MAX_LIST {
            match seq.next_element::<Slot<Option<T>>>()? {
                Some(Slot(element)) => list.extend(element),
                None => return Ok(list),
            }
        }
        while seq.next_element::<Skipped>()?.is_some() {}
        Ok(list)
    }
}

/// Declares structs that are read from JSON objects. A field is `name: Type` or `name("key"): Type`.
macro_rules! objects {
    ($($(#[$meta:meta])* struct $name:ident { $($field:ident $(($key:literal))? : $type:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Default)]
        pub(super) struct $name { $(pub(super) $field: $type),* }

        impl $crate::webhook::tolerant::Object for $name {
            fn from_map<'de, A: ::serde::de::MapAccess<'de>>(mut map: A) -> Result<Self, A::Error> {
                let mut object = Self::default();
                while let Some($crate::webhook::tolerant::Key(key)) = map.next_key()? {
                    $(if key == $crate::webhook::tolerant::objects!(@key $field $($key)?) {
                        object.$field = map.next_value::<$crate::webhook::tolerant::Slot<$type>>()?.0;
                        continue;
                    })*
                    map.next_value::<$crate::webhook::tolerant::Skipped>()?;
                }
                Ok(object)
            }
        }
    )*};
    (@key $field:ident) => { stringify!($field) };
    (@key $field:ident $key:literal) => { $key };
}
pub(super) use objects;
