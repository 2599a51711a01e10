//! Reads TOML tables into typed keys, each with its place, and reports every problem at once.

use std::collections::BTreeMap;
use std::ops::Range;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use toml::Spanned;
use toml::de::DeValue;

use crate::model::problem::{Problem, nearest};

/// A text that rules are made of: the file and what stands in it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    pub(super) origin: String,
    pub(super) text: String,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) file: usize,
    pub(super) span: Range<usize>,
}

impl<T> At<T> {
    /// Another value in the same place.
    pub(super) fn put<U>(&self, value: U) -> At<U> {
        At { value, file: self.file, span: self.span.clone() }
    }
}

impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        generator.subschema_for::<T>()
    }
}

/// Reads one file and collects what is wrong with it.
pub(super) struct Reader<'a> {
    pub(super) file: usize,
    pub(super) source: &'a Text,
    pub(super) problems: &'a mut Vec<Problem>,
}

impl Reader<'_> {
    /// Reports an error at `span`.
    pub(super) fn wrong(&mut self, span: Range<usize>, message: impl Into<String>, help: Option<String>) {
        let mut problem = Problem::error(self.source.origin.as_str(), message).at(&self.source.text, span);
        problem.help = help;
        self.problems.push(problem);
    }

    /// Reports a key that no table of this kind has.
    pub(super) fn unknown(&mut self, what: &str, key: &str, span: Range<usize>, known: &[&str]) {
        let help = nearest(key, known.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
        self.wrong(span, format!("{what} has no key \"{key}\""), help);
    }

    /// Reads a value, with its place.
    pub(super) fn at<T: Read>(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<At<T>> {
        let read = T::read(name, value, self)?;
        Some(At { value: read, file: self.file, span: value.span() })
    }

    /// Reports a value of the wrong type.
    pub(super) fn mistyped(&mut self, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str) {
        self.mistyped_with(name, value, wanted, None);
    }

    fn mistyped_with(&mut self, name: &str, value: &Spanned<DeValue<'_>>, wanted: &str, help: Option<String>) {
        let given = match value.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(_) | DeValue::Float(_) => "a number",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        self.wrong(value.span(), format!("\"{name}\" must be {wanted}, not {given}"), help);
    }
}

/// What can be read from a TOML value.
pub(super) trait Read: Sized {
    /// Reads it, or reports why not.
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self>;
}

impl Read for String {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::String(text) = value.get_ref() {
            return Some(text.clone().into_owned());
        }
        reader.mistyped(name, value, "text");
        None
    }
}

impl<T: Read> Read for Vec<At<T>> {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Array(items) = value.get_ref() {
            return Some(items.iter().filter_map(|item| reader.at(name, item)).collect());
        }
        // One word where a list is wanted is the usual slip.
        let help = match value.get_ref() {
            DeValue::String(text) => Some(format!("write [{:?}]", text.as_ref())),
            _ => None,
        };
        reader.mistyped_with(name, value, "a list", help);
        None
    }
}

impl<T: Read> Read for BTreeMap<String, At<T>> {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        if let DeValue::Table(table) = value.get_ref() {
            let read = |(key, value): (&Spanned<toml::de::DeString<'_>>, _)| {
                let name = format!("{name}.{}", key.get_ref());
                Some((key.get_ref().clone().into_owned(), reader.at(&name, value)?))
            };
            return Some(table.iter().filter_map(read).collect());
        }
        reader.mistyped(name, value, "a table");
        None
    }
}

/// A whole number that is not negative.
impl Read for u32 {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        let DeValue::Integer(number) = value.get_ref() else {
            reader.mistyped(name, value, "a number");
            return None;
        };
        let read = Self::from_str_radix(number.as_str(), number.radix()).ok();
        if read.is_none() {
            reader.wrong(value.span(), format!("\"{name}\" must be a whole number from 0 to {}", Self::MAX), None);
        }
        read
    }
}

/// A text, or a list of texts.
#[derive(Clone, Debug)]
pub(super) struct Texts(pub(super) Vec<At<String>>);

impl Read for Texts {
    fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => Some(Self(vec![reader.at(name, value)?])),
            DeValue::Array(_) => Vec::read(name, value, reader).map(Self),
            _ => {
                reader.mistyped(name, value, "text or a list");
                None
            }
        }
    }
}

impl JsonSchema for Texts {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (one, many) = (generator.subschema_for::<String>(), generator.subschema_for::<Vec<String>>());
        schemars::json_schema!({ "anyOf": [one, many] })
    }
}

/// A key as files spell it; in the code some need a mark, because they are words of Rust.
pub(super) fn spelt(key: &'static str) -> &'static str {
    key.strip_prefix("r#").unwrap_or(key)
}

/// Declares a table: its keys, how each is read, and its schema, from one list.
macro_rules! table {
    ($(#[$meta:meta])* struct $name:ident($what:literal) { $($(#[$doc:meta])* $key:ident: $type:ty,)* }) => {
        #[derive(Clone, Debug, Default, schemars::JsonSchema)]
        $(#[$meta])*
        #[schemars(deny_unknown_fields)]
        pub(super) struct $name {
            $($(#[$doc])* pub(super) $key: Option<At<$type>>,)*
            /// Keys that are there but could not be read: reported already, and not missing.
            #[schemars(skip)]
            pub(super) unread: Vec<&'static str>,
        }

        impl Read for $name {
            fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
                use crate::rules::read::spelt;
                let DeValue::Table(table) = value.get_ref() else {
                    reader.mistyped(name, value, "a table");
                    return None;
                };
                let mut read = Self::default();
                for (key, value) in table {
                    let word = key.get_ref().as_ref();
                    $(if word == spelt(stringify!($key)) {
                        read.$key = reader.at(word, value);
                        if read.$key.is_none() {
                            read.unread.push(spelt(stringify!($key)));
                        }
                        continue;
                    })*
                    reader.unknown($what, word, key.span(), &[$(spelt(stringify!($key))),*]);
                }
                Some(read)
            }
        }
    };
}
pub(super) use table;

/// Declares a choice of words.
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, schemars::JsonSchema)]
        $vis enum $name {
            $($(#[$doc])* #[schemars(rename = $word)] $variant,)*
        }

        impl $name {
            /// The word that the rules file uses.
            pub(super) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl Read for $name {
            fn read(name: &str, value: &Spanned<DeValue<'_>>, reader: &mut Reader<'_>) -> Option<Self> {
                let words = [$(Self::$variant),*];
                let text = String::read(name, value, reader)?;
                let found = words.into_iter().find(|word| word.as_str() == text);
                if found.is_none() {
                    let words = words.map(Self::as_str);
                    let help = crate::model::problem::nearest(&text, words)
                        .map(|near| format!("did you mean \"{near}\"?"));
                    let choice = words.join("\", \"");
                    reader.wrong(value.span(), format!("\"{name}\" must be one of \"{choice}\""), help);
                }
                found
            }
        }
    };
}
pub(super) use words;
