//! New identifiers: the only place that draws random ones.

use uuid::{NoContext, Uuid};

use super::clock::Timestamp;

/// A new id, unique everywhere, that sorts by `at`: a version 7 UUID in its usual text form.
pub fn new_id(at: Timestamp) -> String {
    let millis = u64::try_from(at.0).unwrap_or(0);
    let stamp = uuid::Timestamp::from_unix(NoContext, millis / 1000, (millis % 1000) as u32 * 1_000_000);
    Uuid::new_v7(stamp).to_string()
}

/// What sorts before every id of this moment and later, and after every earlier one.
pub fn first_id(at: Timestamp) -> String {
    let millis = u64::try_from(at.0).unwrap_or(0) & 0xffff_ffff_ffff;
    format!("{:08x}-{:04x}-", millis >> 16, millis & 0xffff)
}

/// 32 random bytes, for keys.
#[expect(clippy::disallowed_methods, reason = "this is the one place that may draw random ids")]
pub fn random_key() -> [u8; 32] {
    let mut key = [0; 32];
    key[..16].copy_from_slice(Uuid::new_v4().as_bytes());
    key[16..].copy_from_slice(Uuid::new_v4().as_bytes());
    key
}
