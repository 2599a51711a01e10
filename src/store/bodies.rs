//! Bodies as they are stored: what arrived together is packed together, as LZ4 blocks with their size in front.
//!
//! ```text
//! pack   LZ4(member, member, …)     member: length of its headers (u32, little endian), headers (JSON), body
//! alone  LZ4(body)                  a large body; its headers stand in a column of their own
//! ```
//!
//! Bodies of one host are alike: behind the first of a pack, each takes a fraction of what it would take alone.

use std::borrow::Cow;

use bytes::Bytes;
use lz4_flex::block::{self, CompressTable};

use super::db::{Conn, Row, query};
use super::errors::{Result, StoreError};
use super::rows;
use super::writer::Prepared;
use crate::model::clock::Timestamp;

/// Bytes in one pack, at most, before it is packed. Larger bodies are packed alone, by who accepts them.
pub(super) const PACK: usize = 128 * 1024;

/// The headers that are needed to understand a body again.
type Headers = Vec<(String, String)>;

/// A body on its way into its row.
#[derive(Debug)]
pub(super) enum Body {
    /// As it arrived, to be packed with others.
    Plain(Bytes),
    /// A large one, packed alone.
    Packed(Vec<u8>),
}

/// A row of bodies: those of one delivery or of several.
#[derive(Debug)]
pub(super) struct Pack<'g> {
    /// The deliveries by their places in the group, in the order of their ids, and where the body of each begins.
    pub(super) members: Vec<(usize, usize)>,
    /// The ids of the first and the last of them.
    pub(super) first: &'g str,
    pub(super) last: &'g str,
    /// When the youngest arrived.
    pub(super) received_at: Timestamp,
    /// The headers of a body that is alone; empty where they stand with the bodies.
    pub(super) headers: String,
    /// What is stored.
    pub(super) block: Cow<'g, [u8]>,
}

/// Packs bodies; it keeps the room that this takes.
#[derive(Default)]
pub(super) struct Packer {
    text: Vec<u8>,
    members: Vec<(usize, usize)>,
    room: Vec<u8>,
    table: Option<CompressTable>,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packer").finish_non_exhaustive()
    }
}

impl Packer {
    /// The rows for the bodies of a group.
    pub(super) fn pack<'g>(&mut self, group: &'g [Prepared]) -> Vec<Pack<'g>> {
        let mut packs = Vec::new();
        let mut members: Vec<_> = group.iter().enumerate().collect();
        // By their ids: a pack is kept while one is needed that lies between its first and its last.
        members.sort_unstable_by_key(|(_, it)| it.acceptance.id.as_str());
        for (at, Prepared { acceptance, body, .. }) in members {
            let headers = rows::to_json(&acceptance.headers);
            match body {
                Body::Packed(block) => packs.extend(Pack::of(group, vec![(at, 0)], headers, block.into())),
                Body::Plain(body) => {
                    if !self.text.is_empty() && self.text.len() + headers.len() + body.len() > PACK {
                        packs.extend(self.finish(group));
                    }
                    self.members.push((at, self.text.len()));
                    self.text.extend_from_slice(&(headers.len() as u32).to_le_bytes());
                    self.text.extend_from_slice(headers.as_bytes());
                    self.text.extend_from_slice(body);
                }
            }
        }
        packs.extend(self.finish(group));
        packs
    }

    /// What has been gathered; nothing, if nothing has.
    fn finish<'g>(&mut self, group: &'g [Prepared]) -> Option<Pack<'g>> {
        if self.members.is_empty() {
            return None;
        }
        let table = self.table.get_or_insert_with(CompressTable::large);
        self.room.resize(block::get_maximum_output_size(self.text.len()).max(self.room.len()), 0);
        // There is room for the largest; should there be none, it is packed all the same.
        let packed = block::compress_into_with_table(&self.text, &mut self.room, table).ok();
        let block = match packed.and_then(|size| self.room.get(..size)) {
            Some(packed) => [&(self.text.len() as u32).to_le_bytes()[..], packed].concat(),
            None => block::compress_prepend_size(&self.text),
        };
        self.text.clear();
        Pack::of(group, std::mem::take(&mut self.members), String::new(), block.into())
    }
}

impl<'g> Pack<'g> {
    fn of(group: &'g [Prepared], members: Vec<(usize, usize)>, headers: String, block: Cow<'g, [u8]>) -> Option<Self> {
        let deliveries = || members.iter().filter_map(|(at, _)| group.get(*at)).map(|it| &it.acceptance);
        let (first, last) = (&deliveries().next()?.id, &deliveries().last()?.id);
        let received_at = deliveries().map(|it| it.received_at).max()?;
        Some(Self { members, first, last, received_at, headers, block })
    }
}

/// A large body as it is stored.
pub(super) fn pack_alone(body: &[u8]) -> Vec<u8> {
    block::compress_prepend_size(body)
}

/// The row in which the body of a delivery `d` stands, and where; for [`Unpacked::of`].
pub(super) const PLACE: &str = "COALESCE(d.pack, d.id) AS pack, d.pack_at, d.body_bytes";

/// A row of bodies, unpacked.
#[derive(Debug)]
pub(super) struct Unpacked {
    /// The delivery with which it is stored.
    pub(super) pack: String,
    headers: String,
    text: Bytes,
}

impl Unpacked {
    /// Reads a row; `None` when it is not kept any more.
    pub(super) async fn read(conn: &mut Conn, pack: &str) -> Result<Option<Self>> {
        let row = query("SELECT headers, body FROM bodies WHERE delivery = $1").bind(pack).fetch_optional(conn).await?;
        let Some(row) = row else { return Ok(None) };
        let text = block::decompress_size_prepended(row.try_get("body")?).map_err(corrupt)?;
        Ok(Some(Self { pack: pack.to_owned(), headers: row.try_get("headers")?, text: text.into() }))
    }

    /// The body of a delivery as it arrived, with its headers.
    pub(super) fn of(&self, delivery: &Row) -> Result<(Headers, Bytes)> {
        if !self.headers.is_empty() {
            return Ok((rows::json("bodies", "headers", &self.headers)?, self.text.clone()));
        }
        let place =
            |column| Ok::<_, StoreError>(usize::try_from(delivery.try_get::<i64>(column)?).unwrap_or(usize::MAX));
        member(&self.text, place("pack_at")?, place("body_bytes")?)
    }
}

/// One of a pack, copied: a part would keep all of it in memory.
fn member(text: &[u8], at: usize, size: usize) -> Result<(Headers, Bytes)> {
    let part = |from: usize, size: usize| {
        let end = from.checked_add(size);
        end.and_then(|end| text.get(from..end)).ok_or_else(|| corrupt("it ends before the body does"))
    };
    let length = part(at, 4)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    let headers = serde_json::from_slice(part(at + 4, length)?).map_err(corrupt)?;
    Ok((headers, Bytes::copy_from_slice(part(at + 4 + length, size)?)))
}

fn corrupt(detail: impl std::fmt::Display) -> StoreError {
    rows::corrupt("bodies", "body", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::acceptance::Acceptance;

    fn delivery(at: usize, size: usize) -> Prepared {
        let acceptance = Acceptance {
            id: format!("d{at}"),
            headers: vec![("x-github-delivery".to_owned(), format!("{at}"))],
            ..Acceptance::default()
        };
        let body: Vec<u8> = (0..size).map(|n| ((n * n / 7 + at) % 251) as u8).collect();
        Prepared { acceptance, size, body: Body::Plain(body.into()) }
    }

    #[test]
    fn whatever_arrives_together_comes_back_apart_from_packs_that_are_not_too_large() {
        let mut packer = Packer::default();
        // Of one packer, so that what one group leaves behind meets the next.
        for sizes in [vec![14_400; 30], vec![0, 1, 20, 0], vec![PACK, 1, PACK, PACK - 100, 2], vec![0], vec![]] {
            let group: Vec<_> = sizes.iter().enumerate().map(|(at, size)| delivery(at, *size)).collect();
            let packs = packer.pack(&group);
            let mut seen = Vec::new();
            for pack in &packs {
                let text = Bytes::from(block::decompress_size_prepended(&pack.block).unwrap());
                assert!(text.len() <= PACK || pack.members.len() == 1, "{sizes:?}");
                for (at, place) in &pack.members {
                    let Prepared { acceptance, size, body } = &group[*at];
                    let (headers, found) = member(&text, *place, *size).unwrap();
                    let Body::Plain(body) = body else { unreachable!() };
                    assert_eq!((&headers, &found), (&acceptance.headers, body), "{at} of {sizes:?}");
                    seen.push(*at);
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (0..sizes.len()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_place_that_is_not_in_the_pack_is_an_error() {
        let text = Bytes::from_static(b"\x02\0\0\0[]body");
        assert_eq!(member(&text, 0, 4).unwrap(), (Vec::new(), Bytes::from_static(b"body")));
        for (at, size) in [(0, 5), (7, 0), (usize::MAX, 1), (0, usize::MAX)] {
            assert!(matches!(member(&text, at, size), Err(StoreError::Corrupt { table: "bodies", .. })), "{at} {size}");
        }
        let long = Bytes::from_static(b"\xff\xff\xff\xff[]body");
        assert!(member(&long, 0, 4).is_err());
    }
}
