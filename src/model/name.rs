//! How long the names may be by which things are found again.
//!
//! Most hosts allow 255 characters or less in each part of them. An index of PostgreSQL takes rows of 2,704 bytes
//! (postgresql.org, "B-Tree Indexes"), and the longest of ours holds a host, a repository, a commit and a subject.

use sha2::{Digest, Sha256};

/// Bytes of a host, a commit, a ticket.
pub const NAME: usize = 255;
/// Bytes of a repository or project with all its groups, of a branch with all its parts, of a check.
pub const PATH: usize = 512;
/// Bytes of a subject, a happening, an actor, for whom some hosts give nothing but the name for display.
pub const KEY: usize = 1024;

/// A name of at most so many bytes, which are more than a hash takes. One that is longer ends in the hash of the whole: two
/// that begin alike are two.
pub fn shortened(mut name: String, most: usize) -> String {
    if name.len() > most {
        let hash = hex::encode(Sha256::digest(&name));
        let most = most.saturating_sub(hash.len() + 1);
        let end = (0..=most).rev().find(|at| name.is_char_boundary(*at)).unwrap_or_default();
        name.truncate(end);
        name.push('~');
        name.push_str(&hash);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn a_long_name_is_cut_and_still_its_own() {
        let long = "\u{e4}".repeat(100);
        assert_eq!(shortened(long.clone(), 200), long);
        let (one, other) = (shortened(long.clone() + "1", 200), shortened(long.clone() + "2", 200));
        assert_ne!(one, other);
        assert!(one.len() <= 200 && one.starts_with("\u{e4}\u{e4}"), "{one}");
    }
}
