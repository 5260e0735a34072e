//! Where the pages of a process are: CRIU's `pagemap-*.img`, which says in order which addresses the bytes of its
//! `pages-*.img` belong to. Pure.
//!
//! Source followed: `images/pagemap.proto` and `criu/image.c` of CRIU 4.2. An image is two magic numbers and then
//! messages of protocol buffers, each with its length in front; all fields that matter here are plain numbers.

use std::ops::Range;

/// What a page of memory has on the architectures that are supported.
pub(in crate::criu) const PAGE_BYTES: u64 = 4096;
/// Bytes of the magic numbers in front.
const MAGIC_BYTES: usize = 8;
/// The pages are in the image.
const PRESENT: u64 = 1 << 2;
/// The pages may come after the process runs.
const LAZY: u64 = 1 << 1;
/// The pages are in an earlier image; none is ever made here.
const PARENT: u64 = 1 << 0;

/// The fields of an entry.
const START: u64 = 1;
/// The number of pages before CRIU 4.2.
const PAGES_BEFORE: u64 = 2;
const FLAGS: u64 = 4;
const PAGES: u64 = 5;

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
            let (addresses, flags) = entry.pages()?;
            if flags & PARENT != 0 || entry.get(3).is_some_and(|in_parent| in_parent != 0) {
                return Err(PagemapError::Parent);
            }
            if flags & PRESENT != 0 {
                let lazy = flags & LAZY != 0;
                let run = Run {
                    addresses,
                    offset,
                    lazy,
                };
                offset += run.bytes();
                map.runs.push(run);
            }
        }
        Ok(map)
    }

    /// The runs that may come later and whose addresses follow each other, with the bytes of all of them: CRIU cuts
    /// memory into runs of a mebibyte.
    pub(super) fn lazy_areas(&self) -> Vec<(u64, Range<usize>)> {
        let mut areas: Vec<(u64, Range<usize>)> = Vec::new();
        for (nth, run) in self.runs.iter().enumerate().filter(|(_, run)| run.lazy) {
            let follows = |area: &&mut (u64, Range<usize>)| {
                area.1.end == nth && self.runs[nth - 1].addresses.end == run.addresses.start
            };
            match areas.last_mut().filter(follows) {
                Some((bytes, runs)) => (*bytes, runs.end) = (*bytes + run.bytes(), nth + 1),
                None => areas.push((run.bytes(), nth..nth + 1)),
            }
        }
        areas
    }

    /// Where in the image the page at `address` is, if it may come later.
    pub(super) fn lazy_page(&self, address: u64) -> Option<Range<u64>> {
        let nth = self.runs.partition_point(|run| run.addresses.end <= address);
        let run = self
            .runs
            .get(nth)
            .filter(|run| run.lazy && run.addresses.contains(&address))?;
        let offset = run.offset + (address - run.addresses.start);
        Some(offset..offset + PAGE_BYTES)
    }

    /// Bytes of all pages that may come later.
    pub(super) fn lazy_bytes(&self) -> u64 {
        let lazy = self.runs.iter().filter(|run| run.lazy);
        lazy.map(Run::bytes).sum()
    }
}

impl Run {
    pub(super) fn bytes(&self) -> u64 {
        self.addresses.end - self.addresses.start
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

    /// The addresses and the flags of an entry.
    fn pages(&self) -> Result<(Range<u64>, u64), PagemapError> {
        let start = self.get(START).ok_or(PagemapError::Missing("address"))?;
        let pages = self.get(PAGES).or(self.get(PAGES_BEFORE));
        let bytes = pages
            .ok_or(PagemapError::Missing("number of pages"))?
            .saturating_mul(PAGE_BYTES);
        Ok((start..start.saturating_add(bytes), self.get(FLAGS).unwrap_or(PRESENT)))
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

    const A: u64 = 0x10_000;
    const B: u64 = 0x7fff_ffff_f000;

    fn message(fields: &[(u64, u64)]) -> Vec<u8> {
        let mut message = Vec::new();
        for (field, value) in fields {
            put_varint(field << 3, &mut message);
            put_varint(*value, &mut message);
        }
        let mut framed = u32::try_from(message.len()).expect("small").to_le_bytes().to_vec();
        framed.extend(message);
        framed
    }

    fn put_varint(mut value: u64, to: &mut Vec<u8>) {
        while value > 0x7f {
            to.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        to.push(value.to_le_bytes()[0]);
    }

    fn image() -> Vec<u8> {
        let mut image = vec![0; MAGIC_BYTES];
        image.extend(message(&[(1, 7)]));
        // Two pages, present; one that is not there; ten pages, present and lazy, as CRIU wrote them before 4.2.
        image.extend(message(&[(1, A), (2, 0), (4, 4), (5, 2)]));
        image.extend(message(&[(1, A + 2 * PAGE_BYTES), (2, 1), (4, 2)]));
        image.extend(message(&[(1, B), (2, 10), (4, 6)]));
        image
    }

    #[test]
    fn pages_are_in_the_image_one_run_behind_the_other() {
        let map = Pagemap::parse(&image()).expect("a pagemap");
        let expected = [
            Run {
                addresses: A..A + 2 * PAGE_BYTES,
                offset: 0,
                lazy: false,
            },
            Run {
                addresses: B..B + 10 * PAGE_BYTES,
                offset: 2 * PAGE_BYTES,
                lazy: true,
            },
        ];
        assert_eq!((map.pages_id, map.runs.as_slice()), (7, expected.as_slice()));
        assert_eq!(map.lazy_bytes(), 10 * PAGE_BYTES);
    }

    #[test]
    fn an_area_is_made_of_runs_that_follow_each_other() {
        let run = |pages: Range<u64>, lazy| Run {
            addresses: pages.start * PAGE_BYTES..pages.end * PAGE_BYTES,
            offset: 0,
            lazy,
        };
        let map = Pagemap {
            pages_id: 1,
            runs: vec![
                run(0..2, true),
                run(2..5, true),
                run(5..6, false),
                run(6..7, true),
                run(8..9, true),
            ],
        };
        let areas = [(5 * PAGE_BYTES, 0..2), (PAGE_BYTES, 3..4), (PAGE_BYTES, 4..5)];
        assert_eq!(map.lazy_areas(), areas);
    }

    #[test]
    fn large_numbers_are_read_as_they_are_written() {
        for value in [0, 0x7f, 0x80, 0x7fff_ffff_f000, u64::MAX] {
            let mut written = Vec::new();
            put_varint(value, &mut written);
            assert_eq!(varint(&mut written.as_slice()), Ok(value));
        }
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
