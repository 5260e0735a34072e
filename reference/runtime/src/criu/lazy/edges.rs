//! Where what was read begins or ends within a page: such a page is put in when all of its parts have come. Pure.

use std::ops::Range;

use super::pagemap::PAGE_BYTES;

/// A page of which only parts were read.
#[derive(Debug)]
pub(super) struct Begun {
    /// Those that came, and zeroes.
    pub(super) bytes: Vec<u8>,
    /// Those that came, in order; none of them meets another.
    parts: Vec<Range<usize>>,
}

impl Begun {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)],
            parts: Vec::new(),
        }
    }

    /// Some of its bytes; any of them may come again, with others than before: of a chunk by itself, and of one beside it.
    pub(super) fn add(&mut self, at: u64, part: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let mut came = at..at.saturating_add(part.len());
        let Some(place) = self.bytes.get_mut(came.clone()) else {
            return;
        };
        place.copy_from_slice(part);
        let first = self.parts.partition_point(|known| known.end < came.start);
        let behind = self.parts.partition_point(|known| known.start <= came.end);
        for known in &self.parts[first..behind] {
            came = came.start.min(known.start)..came.end.max(known.end);
        }
        self.parts.splice(first..behind, [came]);
    }

    pub(super) fn is_whole(&self) -> bool {
        self.parts.first().is_some_and(|came| came.len() == self.bytes.len())
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
    use std::collections::BTreeSet;

    use proptest::prelude::*;

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

    #[test]
    fn a_page_of_three_chunks_is_whole_when_one_of_them_came_alone_and_with_its_neighbour() {
        let mut begun = Begun::new();
        begun.add(0, &[1; 1000]);
        begun.add(0, &[[1; 1000], [2; 1000]].concat());
        assert!(!begun.is_whole());
        begun.add(2000, &[3; 2096]);
        assert!(begun.is_whole());
        assert_eq!([begun.bytes[999], begun.bytes[1999], begun.bytes[4095]], [1, 2, 3]);
    }

    proptest! {
        #[test]
        fn a_page_is_whole_when_no_byte_of_it_is_left(parts in prop::collection::vec((0..4096_usize, 1..3000_usize), 1..20)) {
            let mut begun = Begun::new();
            let mut left: BTreeSet<usize> = (0..4096).collect();
            for (at, length) in parts {
                let end = (at + length).min(4096);
                begun.add(at as u64, &vec![7; end - at]);
                left.retain(|byte| !(at..end).contains(byte));
                prop_assert_eq!(begun.is_whole(), left.is_empty());
            }
        }
    }
}
