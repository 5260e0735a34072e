//! Where what was read begins or ends within a page: such a page is put in when all of its parts have come. Pure.

use std::ops::Range;

use super::pagemap::PAGE_BYTES;

/// A page of which only parts were read.
#[derive(Debug)]
pub(super) struct Begun {
    /// Those that came, and zeroes.
    pub(super) bytes: Vec<u8>,
    parts: Vec<Range<usize>>,
}

impl Begun {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)],
            parts: Vec::new(),
        }
    }

    /// Some of its bytes; the same ones may come again.
    pub(super) fn add(&mut self, at: u64, part: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let range = at..at.saturating_add(part.len());
        if let Some(place) = self.bytes.get_mut(range.clone())
            && !self.parts.contains(&range)
        {
            place.copy_from_slice(part);
            self.parts.push(range);
        }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.parts.iter().map(ExactSizeIterator::len).sum::<usize>() == self.bytes.len()
    }
}

/// What of a part of an image is before and behind its whole pages, each within one page.
pub(super) fn edges(offsets: &Range<u64>, whole: &Range<u64>) -> Vec<Range<u64>> {
    let first = offsets.start..whole.start.min(offsets.end);
    let last = whole.end.max(first.end)..offsets.end;
    [first, last].into_iter().filter(|edge| !edge.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::missing::whole_pages;
    use super::*;

    #[test]
    fn what_is_no_whole_page_is_at_the_edges() {
        let edges_of = |offsets: Range<u64>| edges(&offsets, &whole_pages(&offsets));
        assert_eq!(edges_of(4096..12288), []);
        assert_eq!(edges_of(4000..12300), [4000..4096, 12288..12300]);
        assert_eq!(edges_of(4000..4200), [4000..4096, 4096..4200]);
        assert_eq!(edges_of(4100..4200), std::iter::once(4100..4200).collect::<Vec<_>>());
    }

    #[test]
    fn a_page_is_whole_when_each_of_its_parts_came_however_often() {
        let mut begun = Begun::new();
        begun.add(0, &[1; 1000]);
        begun.add(0, &[1; 1000]);
        begun.add(1000, &[2; 2096]);
        assert!(!begun.is_whole());
        begun.add(3096, &[3; 1000]);
        assert!(begun.is_whole());
        assert_eq!([begun.bytes[999], begun.bytes[1000], begun.bytes[4095]], [1, 2, 3]);
    }
}
