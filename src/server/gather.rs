//! Where the bytes of one body gather: small ones on the heap, large ones in pages of their own.
//!
//! A large body never moves while it grows, takes memory only for what has arrived, whatever its sender announced, and
//! gives all of it back to the system at its end. An allocator does none of the three: it copies to grow, keeps what was
//! freed between other things, and learns from the first large body to keep the next ones too.

use std::io;

use bytes::Bytes;
use memmap2::{MmapMut, MmapOptions};

/// Bodies above this size get pages of their own.
const HEAP: usize = 128 * 1024;
/// Room for so much is made by the sender's word alone; most bodies then are copied once. What is over grows as it comes.
const TRUSTED: usize = 32 * 1024;

/// What has arrived of a body.
#[derive(Debug)]
pub(super) struct Gather {
    /// Its size by the sender's word, or the largest that it may have.
    size: usize,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    Nothing,
    /// A body that came in one piece, which is not copied.
    Whole(Bytes),
    Heap(Vec<u8>),
    Pages(Pages),
}

/// Pages, of which the first bytes are filled. What was not filled takes no memory.
#[derive(Debug)]
struct Pages {
    map: MmapMut,
    filled: usize,
}

impl Gather {
    /// Begins with nothing. `size` is what the sender announced, else the largest that is taken.
    pub(super) fn begin(size: usize) -> Self {
        Self { size, kept: Kept::Nothing }
    }

    /// How many bytes have arrived.
    pub(super) fn len(&self) -> usize {
        match &self.kept {
            Kept::Nothing => 0,
            Kept::Whole(piece) => piece.len(),
            Kept::Heap(bytes) => bytes.len(),
            Kept::Pages(pages) => pages.filled,
        }
    }

    /// Adds what came next; the caller sees to it that the body does not become too large. Fails when the system has no
    /// pages.
    pub(super) fn add(&mut self, piece: Bytes) -> io::Result<()> {
        let sum = self.len() + piece.len();
        match &mut self.kept {
            Kept::Nothing if sum == self.size => self.kept = Kept::Whole(piece),
            // A piece that is kept keeps the buffer of its connection, which nobody counts; so it is copied.
            Kept::Nothing if sum <= HEAP => {
                let mut bytes = Vec::with_capacity(self.size.min(TRUSTED).max(sum));
                bytes.extend_from_slice(&piece);
                self.kept = Kept::Heap(bytes);
            }
            Kept::Nothing => self.kept = Kept::Pages(Pages::of(self.size.max(sum), &[&piece])?),
            Kept::Whole(first) => self.kept = Kept::Pages(Pages::of(self.size.max(sum), &[first, &piece])?),
            Kept::Heap(bytes) if sum <= HEAP => bytes.extend_from_slice(&piece),
            Kept::Heap(bytes) => self.kept = Kept::Pages(Pages::of(self.size.max(sum), &[bytes, &piece])?),
            Kept::Pages(pages) if sum <= pages.map.len() => pages.add(&piece),
            // The sender announced less.
            Kept::Pages(pages) => self.kept = Kept::Pages(Pages::of(sum * 2, &[pages.as_ref(), &piece])?),
        }
        Ok(())
    }

    /// The whole body.
    pub(super) fn end(self) -> Bytes {
        match self.kept {
            Kept::Nothing => Bytes::new(),
            Kept::Whole(piece) => piece,
            Kept::Heap(bytes) => bytes.into(),
            Kept::Pages(pages) => Bytes::from_owner(pages),
        }
    }
}

impl Pages {
    fn of(size: usize, pieces: &[&[u8]]) -> io::Result<Self> {
        let map = MmapOptions::new().len(size).no_reserve_swap().map_anon()?;
        // With huge pages the first byte of a slow body would take two megabytes. A kernel without them says so.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::NoHugePage);
        let mut pages = Self { map, filled: 0 };
        for piece in pieces {
            pages.add(piece);
        }
        Ok(pages)
    }

    fn add(&mut self, piece: &[u8]) {
        let end = self.filled + piece.len();
        self.map[self.filled..end].copy_from_slice(piece);
        self.filled = end;
    }
}

impl AsRef<[u8]> for Pages {
    fn as_ref(&self) -> &[u8] {
        &self.map[..self.filled]
    }
}

#[cfg(test)]
mod tests {
    use super::{Bytes, Gather, HEAP, Kept};

    /// The whole of what comes in pieces of a size, and whether it stands in pages.
    fn gathered(size: usize, announced: usize, piece: usize) -> (Bytes, bool) {
        let sent: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let mut gather = Gather::begin(announced);
        for piece in sent.chunks(piece) {
            let before = gather.len();
            gather.add(Bytes::copy_from_slice(piece)).unwrap();
            assert_eq!(gather.len(), before + piece.len());
        }
        let in_pages = matches!(gather.kept, Kept::Pages(_));
        let whole = gather.end();
        assert_eq!(whole, sent);
        (whole, in_pages)
    }

    #[test]
    fn what_arrives_in_pieces_is_whole_at_the_end_wherever_it_is_kept() {
        for (size, piece) in [(0, 1), (1, 1), (5000, 5000), (5000, 999), (HEAP, HEAP), (HEAP, 4096)] {
            assert!(!gathered(size, size, piece).1, "{size} bytes announced in pieces of {piece}");
            assert!(!gathered(size, 25 << 20, piece).1, "{size} bytes of unknown length in pieces of {piece}");
        }
        for piece in [HEAP, 8192, 3 << 20] {
            assert!(gathered(3 << 20, 4 << 20, piece).1, "pieces of {piece}");
            assert!(gathered(3 << 20, 25 << 20, piece).1, "pieces of {piece}");
            assert!(gathered(3 << 20, 1000, piece).1, "more than was announced, in pieces of {piece}");
        }
    }

    #[test]
    fn an_announced_small_body_is_copied_once() {
        let whole = gathered(14_400, 14_400, 8192).0;
        // Bytes that were allocated in full need no second home.
        assert_eq!(Vec::from(whole).capacity(), 14_400);
    }
}
