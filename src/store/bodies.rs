//! Bodies as they are stored: LZ4 blocks with their size in front.

use std::cell::RefCell;

use bytes::Bytes;
use lz4_flex::block::{self, CompressTable};

use super::errors::{Result, StoreError};

/// Bodies up to this size are packed by what a thread keeps for it; nearly all are.
const SMALL: usize = 60 * 1024;

thread_local! {
    static SCRATCH: RefCell<(CompressTable, Vec<u8>)> = RefCell::new((CompressTable::small(), Vec::new()));
}

/// A body as it is stored.
pub(super) fn pack(body: &[u8]) -> Vec<u8> {
    if body.len() > SMALL {
        return block::compress_prepend_size(body);
    }
    let packed = SCRATCH.with_borrow_mut(|(table, scratch)| {
        scratch.resize(4 + block::get_maximum_output_size(SMALL), 0);
        let (size, room) = scratch.split_at_mut(4);
        size.copy_from_slice(&(body.len() as u32).to_le_bytes());
        let packed = block::compress_into_with_table(body, room, table).ok()?;
        scratch.get(..4 + packed).map(<[u8]>::to_vec)
    });
    // There is room for the largest; should there be none, it is packed all the same.
    packed.unwrap_or_else(|| block::compress_prepend_size(body))
}

/// A stored body as it arrived.
pub(super) fn unpack(packed: &[u8]) -> Result<Bytes> {
    block::decompress_size_prepended(packed).map(Bytes::from).map_err(|error| StoreError::Corrupt {
        table: "bodies",
        column: "body",
        detail: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back_whatever_its_size() {
        let text = |size: usize| (0..size).map(|at| (at * at / 7 % 251) as u8).collect::<Vec<_>>();
        // Of one thread, so that what one leaves behind meets the next.
        for size in [0, 1, 20, 14_400, SMALL - 1, SMALL, SMALL + 1, 300_000, 14_400, 0] {
            let body = text(size);
            assert_eq!(unpack(&pack(&body)).unwrap(), body, "{size}");
        }
    }
}
