//! How single values are written: addresses, sizes, spans of time, words out of a list, secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, DeserializeOwned, Deserializer, Error, MapAccess, Visitor};

/// Whether only this machine can reach `address`.
pub(super) fn is_loopback(address: SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Reads a string, and nothing else, through `parse`; the caller's message says how it is written.
pub(super) fn text<'de, D: Deserializer<'de>, T>(
    from: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    parse(&String::deserialize(from)?).map_err(D::Error::custom)
}

/// An address and port, e.g. `"127.0.0.1:8081"`.
pub(super) mod address {
    use std::net::SocketAddr;

    use schemars::JsonSchema;
    use serde::{Deserializer, Serializer};

    /// An address and port, e.g. "127.0.0.1:8081".
    #[derive(JsonSchema)]
    #[schemars(inline)]
    pub(in crate::config) struct Text(#[expect(dead_code, reason = "only its schema is used")] String);

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SocketAddr, D::Error> {
        super::text(from, |text| {
            let wrong = || format!("\"{text}\" is no address; write an IP address and a port, as \"127.0.0.1:8081\"");
            text.parse().map_err(|_| wrong())
        })
    }

    pub(in crate::config) fn serialize<S: Serializer>(address: &SocketAddr, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(address)
    }
}

/// A number of bytes, e.g. `"25MiB"`.
pub(super) mod size {
    use schemars::JsonSchema;
    use serde::{Deserializer, Serializer};

    /// A number of bytes, e.g. "64KiB" or "25MiB".
    #[derive(JsonSchema)]
    #[schemars(inline)]
    pub(in crate::config) struct Text(
        #[expect(dead_code, reason = "only its schema is used")]
        #[schemars(regex(pattern = r"^[0-9]+ ?([KMG]iB|B)$"))]
        String,
    );

    const UNITS: [(&str, usize); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
        super::text(from, |text| {
            UNITS
                .iter()
                .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?.trim(), bytes)))
                .and_then(|(number, bytes)| number.parse::<usize>().ok()?.checked_mul(*bytes))
                .ok_or_else(|| format!("\"{text}\" is no size; write it as \"64KiB\" or \"25MiB\""))
        })
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
    pub(in crate::config) fn serialize<S: Serializer>(size: &usize, to: S) -> Result<S::Ok, S::Error> {
        let fits = UNITS.iter().find(|(_, bytes)| *size >= *bytes && size.is_multiple_of(*bytes));
        let (unit, bytes) = fits.unwrap_or(&("B", 1));
        to.collect_str(&format_args!("{}{unit}", size / bytes))
    }
}

/// A span of time, e.g. `"24h"`.
pub(super) mod span {
    use std::time::Duration;

    use schemars::JsonSchema;
    use serde::{Deserializer, Serializer};

    use crate::model::span::{parse_span, show_span};

    /// A span of time: "60s", "30m", "24h" or "14d".
    #[derive(JsonSchema)]
    #[schemars(inline)]
    pub(in crate::config) struct Text(
        #[expect(dead_code, reason = "only its schema is used")]
        #[schemars(regex(pattern = r"^([0-9]+ ?(ms|s|m|h|d|w)|0)$"))]
        String,
    );

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        super::text(from, |text| match parse_span(text)? {
            Duration::ZERO => Err("it must be longer than nothing; write it as \"60s\" or \"14d\"".to_owned()),
            span => Ok(span),
        })
    }

    pub(in crate::config) fn serialize<S: Serializer>(span: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&show_span(*span))
    }
}

/// One word out of a list.
pub(super) mod word {
    use serde::Deserialize as _;
    use serde::de::{DeserializeOwned, Deserializer};

    /// Reads an enum from its name only; figment alone would take a number for its position.
    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>, T: DeserializeOwned>(
        from: D,
    ) -> Result<T, D::Error> {
        T::deserialize(super::StrDeserializer::<D::Error>::new(&String::deserialize(from)?))
    }

    pub(in crate::config) fn some<'de, D: Deserializer<'de>, T: DeserializeOwned>(
        from: D,
    ) -> Result<Option<T>, D::Error> {
        deserialize(from).map(Some)
    }
}

/// What the log says, in the words of `tracing`'s env filter.
pub(super) mod filter {
    use serde::Deserializer;

    use crate::telemetry;

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        super::text(from, |text| {
            telemetry::check_level(text).map(|()| text.to_owned()).map_err(|error| {
                format!("\"{text}\" is no log level ({error}); write \"info\" or \"info,hookrun::worker=debug\"")
            })
        })
    }
}

/// A text that is never shown.
pub(super) mod secret {
    use secrecy::SecretString;
    use serde::{Deserialize, Deserializer};

    pub(in crate::config) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretString, D::Error> {
        String::deserialize(from).map(SecretString::from)
    }

    pub(in crate::config) fn some<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretString>, D::Error> {
        deserialize(from).map(Some)
    }
}

struct TableVisitor<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for TableVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

/// Reads a table, and nothing else; serde alone would take a list for a table whose keys it fills in order.
pub(super) fn table<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(TableVisitor(PhantomData))
}

/// Reads a table that may be left out.
pub(super) fn some_table<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Option<T>, D::Error> {
    table(from).map(Some)
}

/// Reads a table of tables.
pub(super) fn tables<'de, D, T>(from: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Table<T>(T);

    impl<'de, T: DeserializeOwned> Deserialize<'de> for Table<T> {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            table(from).map(Self)
        }
    }

    let read: BTreeMap<String, Table<T>> = table(from)?;
    Ok(read.into_iter().map(|(name, Table(value))| (name, value)).collect())
}

/// Reads a text, or else a table.
pub(super) fn text_or_table<'de, D, T, W>(
    from: D,
    of_text: impl FnOnce(String) -> W,
    of_table: impl FnOnce(T) -> W,
) -> Result<W, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
{
    struct Either<T, F, G>(F, G, PhantomData<T>);

    impl<'de, T: DeserializeOwned, W, F: FnOnce(String) -> W, G: FnOnce(T) -> W> Visitor<'de> for Either<T, F, G> {
        type Value = W;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text or a table")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<W, E> {
            Ok(self.0(text.to_owned()))
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<W, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(self.1)
        }
    }

    from.deserialize_any(Either(of_text, of_table, PhantomData))
}
