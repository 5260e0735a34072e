//! Where the pages of a process are: CRIU's `pagemap-*.img`, which says in order which addresses the bytes of its
//! `pages-*.img` belong to. Pure.
//!
//! Source followed: `images/pagemap.proto` and `criu/image.c` of CRIU 4.2. An image is two magic numbers and then
//! messages of protocol buffers, each with its length in front; all fields that matter here are plain numbers.

use std::ops::Range;

/// What a page of memory has on the architectures that are supported.
pub(super) const PAGE_BYTES: u64 = 4096;
/// Bytes of the magic numbers in front.
const MAGIC_BYTES: usize = 8;
/// The pages are in the image.
const PRESENT: u64 = 1 << 2;
/// The pages may come after the process runs.
const LAZY: u64 = 1 << 1;
/// The pages are in an earlier image; none is ever made here.
const PARENT: u64 = 1 << 0;

/// The pages of one process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pagemap {
    /// The number in the name of its `pages-*.img`.
    pub(super) pages_id: u64,
    /// By address.
    pub(super) runs: Vec<Run>,
}

/// Pages that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Their addresses.
    pub(super) addresses: Range<u64>,
    /// Where the first one is in the image of pages.
    pub(super) offset: u64,
    /// Whether they may come after the process runs.
    pub(super) lazy: bool,
}

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum PagemapError {
    #[error("it ends in the middle of an entry")]
    Cut,
    #[error("an entry has a field that is no number")]
    Field,
    #[error("an entry has no {0}")]
    Missing(&'static str),
    #[error("an entry refers to an earlier image")]
    Parent,
}

impl Pagemap {
    /// Reads an image.
    pub(super) fn parse(image: &[u8]) -> Result<Self, PagemapError> {
        let mut rest = image.get(MAGIC_BYTES..).ok_or(PagemapError::Cut)?;
        let head = Fields::next(&mut rest)?.ok_or(PagemapError::Cut)?;
        let mut map = Self {
            pages_id: head.get(1).ok_or(PagemapError::Missing("number of its pages"))?,
            runs: Vec::new(),
        };
        let mut offset = 0;
        while let Some(entry) = Fields::next(&mut rest)? {
            let start = entry.get(1).ok_or(PagemapError::Missing("address"))?;
            // The number of pages had another place before CRIU 4.2.
            let pages = entry
                .get(5)
                .or(entry.get(2))
                .ok_or(PagemapError::Missing("number of pages"))?;
            let flags = entry.get(4).unwrap_or(PRESENT);
            if flags & PARENT != 0 || entry.get(3).is_some_and(|in_parent| in_parent != 0) {
                return Err(PagemapError::Parent);
            }
            let bytes = pages.saturating_mul(PAGE_BYTES);
            if flags & PRESENT != 0 {
                map.runs.push(Run {
                    addresses: start..start.saturating_add(bytes),
                    offset,
                    lazy: flags & LAZY != 0,
                });
                offset += bytes;
            }
        }
        Ok(map)
    }

    /// Where the bytes of these addresses are in the image of pages; `None` unless they are side by side in it.
    pub(super) fn place(&self, addresses: &Range<u64>) -> Option<Range<u64>> {
        let nth = self.runs.partition_point(|run| run.addresses.end <= addresses.start);
        let run = self.runs.get(nth)?;
        if addresses.start < run.addresses.start || addresses.end > run.addresses.end {
            return None;
        }
        let start = run.offset + (addresses.start - run.addresses.start);
        Some(start..start + (addresses.end - addresses.start))
    }

    /// Bytes of all pages that may come later.
    pub(super) fn lazy_bytes(&self) -> u64 {
        let lazy = self.runs.iter().filter(|run| run.lazy);
        lazy.map(|run| run.addresses.end - run.addresses.start).sum()
    }
}

/// The numbers in one message, by their field.
struct Fields(Vec<(u64, u64)>);

impl Fields {
    /// The next message; `None` at the end of the image.
    fn next(rest: &mut &[u8]) -> Result<Option<Self>, PagemapError> {
        if rest.is_empty() {
            return Ok(None);
        }
        let (length, behind) = rest.split_first_chunk::<4>().ok_or(PagemapError::Cut)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| PagemapError::Cut)?;
        let (mut message, behind) = behind.split_at_checked(length).ok_or(PagemapError::Cut)?;
        *rest = behind;
        let mut fields = Vec::new();
        while !message.is_empty() {
            let key = varint(&mut message)?;
            if key & 7 != 0 {
                return Err(PagemapError::Field);
            }
            fields.push((key >> 3, varint(&mut message)?));
        }
        Ok(Some(Self(fields)))
    }

    fn get(&self, field: u64) -> Option<u64> {
        self.0
            .iter()
            .find(|(found, _)| *found == field)
            .map(|(_, value)| *value)
    }
}

fn varint(rest: &mut &[u8]) -> Result<u64, PagemapError> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let (byte, behind) = rest.split_first().ok_or(PagemapError::Cut)?;
        *rest = behind;
        value |= u64::from(byte & 0x7f).checked_shl(shift).ok_or(PagemapError::Field)?;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message of two-byte fields: key, value below 128.
    fn message(fields: &[(u8, u8)]) -> Vec<u8> {
        let body: Vec<u8> = fields.iter().flat_map(|(field, value)| [field << 3, *value]).collect();
        let length = u32::try_from(body.len()).expect("short");
        [length.to_le_bytes().as_slice(), &body].concat()
    }

    fn image() -> Vec<u8> {
        let mut image = vec![0; MAGIC_BYTES];
        image.extend(message(&[(1, 7)]));
        // Address 16, two pages, present; address 0x7f, one page, present and lazy; one that is not there.
        image.extend(message(&[(1, 16), (2, 0), (4, 4), (5, 2)]));
        image.extend(message(&[(1, 0x7f), (2, 1), (4, 6)]));
        image.extend(message(&[(1, 0x7f), (2, 1), (4, 2)]));
        image
    }

    #[test]
    fn pages_are_found_by_their_addresses() {
        let map = Pagemap::parse(&image()).expect("a pagemap");
        assert_eq!((map.pages_id, map.runs.len(), map.lazy_bytes()), (7, 2, PAGE_BYTES));
        assert_eq!(map.place(&(16..16 + 2 * PAGE_BYTES)), Some(0..2 * PAGE_BYTES));
        assert_eq!(
            map.place(&(16 + PAGE_BYTES..16 + 2 * PAGE_BYTES)),
            Some(PAGE_BYTES..2 * PAGE_BYTES)
        );
        assert_eq!(map.place(&(15..16)), None, "before the first");
        assert_eq!(map.place(&(16..17 + 2 * PAGE_BYTES)), None, "beyond the run");
    }

    #[test]
    fn every_cut_image_is_refused_or_shorter() {
        let (whole, image) = (Pagemap::parse(&image()).expect("a pagemap"), image());
        for length in 0..image.len() {
            if let Ok(map) = Pagemap::parse(&image[..length]) {
                assert!(whole.runs.starts_with(&map.runs), "{length} bytes");
            }
        }
    }
}
