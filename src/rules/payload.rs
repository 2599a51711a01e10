//! The body of a delivery as templates see it: parsed level by level, and only where something is read.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use minijinja::Value;
use minijinja::value::{Enumerator, Object, ObjectRepr};
use serde_json::value::RawValue;

/// A value of the body. What is not JSON counts as undefined; the body as a whole was checked when it came in.
pub(super) fn value(raw: Bytes) -> Value {
    match raw.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => Value::from_object(Map { raw, level: OnceLock::new() }),
        Some(b'[') => Value::from_object(List { raw, level: OnceLock::new() }),
        _ => scalar(&raw),
    }
}

fn scalar(raw: &[u8]) -> Value {
    match serde_json::from_slice(raw) {
        Ok(serde_json::Value::Null) => Value::from(()),
        Ok(serde_json::Value::Bool(flag)) => Value::from(flag),
        Ok(serde_json::Value::String(text)) => Value::from(text),
        Ok(serde_json::Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::from(number),
            (_, Some(number)) => Value::from(number),
            _ => Value::from(number.as_f64()),
        },
        _ => Value::UNDEFINED,
    }
}

#[derive(Debug)]
struct Map {
    raw: Bytes,
    level: OnceLock<BTreeMap<String, Bytes>>,
}

impl Map {
    fn level(&self) -> &BTreeMap<String, Bytes> {
        self.level.get_or_init(|| {
            let level: BTreeMap<String, &RawValue> = serde_json::from_slice(&self.raw).unwrap_or_default();
            level.into_iter().map(|(key, part)| (key, self.raw.slice_ref(part.get().as_bytes()))).collect()
        })
    }
}

impl Object for Map {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn get_value_by_str(self: &Arc<Self>, key: &str) -> Option<Value> {
        self.level().get(key).map(|raw| value(raw.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Values(self.level().keys().map(|key| Value::from(key.as_str())).collect())
    }
}

#[derive(Debug)]
struct List {
    raw: Bytes,
    level: OnceLock<Vec<Bytes>>,
}

impl List {
    fn level(&self) -> &[Bytes] {
        self.level.get_or_init(|| {
            let level: Vec<&RawValue> = serde_json::from_slice(&self.raw).unwrap_or_default();
            level.into_iter().map(|part| self.raw.slice_ref(part.get().as_bytes())).collect()
        })
    }
}

impl Object for List {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.level().get(key.as_usize()?).map(|raw| value(raw.clone()))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.level().len())
    }
}
