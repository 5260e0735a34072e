//! What is put in before processes run: the pages that were touched first the last time, and those beside them, since what
//! lay in one then may lie in the next one now. Pure.

use std::collections::BTreeMap;
use std::ops::Range;

use super::pagemap::PAGE_BYTES;
use super::supply::Portion;

/// Pages that are put in ahead, as many as take a millisecond or two, and on each side of one.
const MOST_AHEAD: u64 = 1536;
const MOST_BESIDE: u64 = 8;

/// What of the portions that are `unpacked` has the `first` pages, by their image and their place in it, and pages beside
/// them: the fewer are known, the more beside each. A page that begins in one portion and ends in the next is in both.
pub(super) fn ahead<'p>(
    unpacked: impl Iterator<Item = &'p Portion>,
    first: &[(usize, u64)],
) -> Vec<(&'p Portion, Range<u64>)> {
    let unpacked: BTreeMap<(usize, u64), &Portion> = unpacked
        .map(|portion| ((portion.image, portion.offsets.start), portion))
        .collect();
    let beside = PAGE_BYTES * (MOST_AHEAD / first.len().max(1) as u64 / 2).clamp(1, MOST_BESIDE);
    let mut found = Vec::with_capacity(first.len());
    for &(image, place) in first {
        let wanted = place.saturating_sub(beside)..place + PAGE_BYTES + beside;
        let of_image = unpacked.range((image, 0)..(image, wanted.end)).rev();
        let wanted_of = of_image.take_while(|(_, portion)| portion.offsets.end > wanted.start);
        found.extend(wanted_of.map(|(_, portion)| (*portion, within(&wanted, portion))));
    }
    found
}

/// What of `offsets` is in a portion.
pub(super) fn within(offsets: &Range<u64>, portion: &Portion) -> Range<u64> {
    offsets.start.max(portion.offsets.start)..offsets.end.min(portion.offsets.end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn portion(image: usize, offsets: Range<u64>) -> Portion {
        let bytes = Vec::new();
        Portion { image, offsets, bytes }
    }

    /// The image and the offsets of what is put in ahead.
    fn put(unpacked: &[Portion], first: &[(usize, u64)]) -> Vec<(usize, Range<u64>)> {
        let found = ahead(unpacked.iter(), first).into_iter();
        found.map(|(portion, offsets)| (portion.image, offsets)).collect()
    }

    #[test]
    fn a_page_that_begins_in_one_portion_and_ends_in_the_next_is_put_in_from_both() {
        let cut = 40 * PAGE_BYTES + 16;
        let unpacked = [portion(0, 0..cut), portion(0, cut..400_000), portion(1, 0..400_000)];
        let (from, to) = (32 * PAGE_BYTES, 49 * PAGE_BYTES);
        assert_eq!(put(&unpacked, &[(0, 40 * PAGE_BYTES)]), [(0, cut..to), (0, from..cut)]);
    }

    #[test]
    fn what_is_not_unpacked_is_passed_over_and_the_rest_beside_it_is_not() {
        let unpacked = [portion(0, 100 * PAGE_BYTES..110 * PAGE_BYTES)];
        let first = [(0, 95 * PAGE_BYTES), (0, 80 * PAGE_BYTES), (1, 105 * PAGE_BYTES)];
        assert_eq!(put(&unpacked, &first), [(0, 100 * PAGE_BYTES..104 * PAGE_BYTES)]);
    }

    #[test]
    fn of_many_pages_only_those_at_their_sides_come_along() {
        let unpacked = [portion(0, 0..1 << 30)];
        let first: Vec<(usize, u64)> = (1..=2000).map(|nth| (0, nth * 100 * PAGE_BYTES)).collect();
        let put = put(&unpacked, &first);
        assert_eq!(put.len(), first.len());
        assert_eq!(put[0], (0, 99 * PAGE_BYTES..102 * PAGE_BYTES));
    }
}
