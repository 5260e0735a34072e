//! Which pages one memory still misses, and where the bytes of each are in the image of pages. Pure.
//!
//! Pages are looked for by their place in the image, in which they come, and by their address, at which they are
//! touched. The first never changes; the second does when the process moves its memory.

use std::ops::Range;

use super::pagemap::{PAGE_BYTES, Pagemap};

/// What one memory misses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Missing {
    /// By their place in the image, which no two share.
    parts: Vec<Part>,
    /// From where memory was moved, as long as it was not said that nothing is mapped there any more.
    left: Vec<Range<u64>>,
}

/// Pages that follow each other in the image and in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) address: u64,
    /// Where the first one is in the image.
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

impl Part {
    fn addresses(&self) -> Range<u64> {
        self.address..self.address + self.bytes
    }

    fn offsets(&self) -> Range<u64> {
        self.offset..self.offset + self.bytes
    }

    /// Of it, what is at these bytes from its beginning on.
    fn slice(&self, bytes: Range<u64>) -> Self {
        Self {
            address: self.address + bytes.start,
            offset: self.offset + bytes.start,
            bytes: bytes.end - bytes.start,
        }
    }

    /// What is left of it without these bytes, counted from its beginning on.
    fn without(&self, out: Option<Range<u64>>) -> impl Iterator<Item = Self> + use<> {
        let rest = match out {
            None => [Some(*self), None],
            Some(out) => {
                [self.slice(0..out.start), self.slice(out.end..self.bytes)].map(|rest| (rest.bytes > 0).then_some(rest))
            }
        };
        rest.into_iter().flatten()
    }
}

/// What two ranges have in common, counted from the beginning of the first.
fn common(range: &Range<u64>, with: &Range<u64>) -> Option<Range<u64>> {
    let (start, end) = (range.start.max(with.start), range.end.min(with.end));
    (start < end).then(|| start - range.start..end - range.start)
}

impl Missing {
    /// All that may come later.
    pub(super) fn all(map: &Pagemap) -> Self {
        let part = |run: &super::pagemap::Run| Part {
            address: run.addresses.start,
            offset: run.offset,
            bytes: run.bytes(),
        };
        Self {
            parts: map.runs.iter().filter(|run| run.lazy).map(part).collect(),
            left: Vec::new(),
        }
    }

    /// What a child misses that was forked just now. What is still to be said of memory that was moved is said to its parent.
    pub(super) fn of_child(&self) -> Self {
        Self {
            parts: self.parts.clone(),
            left: Vec::new(),
        }
    }

    /// How much it is.
    pub(super) fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    /// The place in the image of a page that is missed.
    pub(super) fn place(&self, address: u64) -> Option<u64> {
        let part = self.parts.iter().find(|part| part.addresses().contains(&address))?;
        Some(part.offset + (address - part.address))
    }

    /// From the first to the last page that is missed at these addresses.
    pub(super) fn span(&self, addresses: &Range<u64>) -> Option<Range<u64>> {
        let parts = self.parts.iter();
        let parts = parts.filter_map(|part| Some(part.slice(common(&part.addresses(), addresses)?).addresses()));
        parts.reduce(|all, part| all.start.min(part.start)..all.end.max(part.end))
    }

    /// What is missed of a part of the image.
    pub(super) fn within(&self, offsets: &Range<u64>) -> Vec<Part> {
        let first = self.parts.partition_point(|part| part.offsets().end <= offsets.start);
        let parts = self.parts[first..].iter();
        let parts = parts.map_while(|part| Some(part.slice(common(&part.offsets(), offsets)?)));
        parts.collect()
    }

    /// Up to where, from `address` on, nothing is missed; at most `end`.
    pub(super) fn free_until(&self, address: u64, end: u64) -> u64 {
        let behind = self.parts.iter().filter(|part| part.addresses().end > address);
        let next = behind.map(|part| part.address).min();
        next.unwrap_or(end).clamp(address, end)
    }

    /// A part of the image is there. It costs what lies there, and not all that is missed.
    pub(super) fn came(&mut self, offsets: &Range<u64>) {
        let first = self.parts.partition_point(|part| part.offsets().end <= offsets.start);
        let lie_there = |part: &&Part| common(&part.offsets(), offsets).is_some();
        let last = first + self.parts[first..].iter().take_while(lie_there).count();
        let rest = self.parts[first..last].iter();
        let rest: Vec<Part> = rest
            .flat_map(|part| part.without(common(&part.offsets(), offsets)))
            .collect();
        self.parts.splice(first..last, rest);
    }

    /// Some memory was given back: nothing is missed of it any more.
    pub(super) fn gave_back(&mut self, addresses: &Range<u64>) {
        let rest = self.parts.iter();
        let rest = rest.flat_map(|part| part.without(common(&part.addresses(), addresses)));
        self.parts = rest.collect();
    }

    /// Some memory is mapped no more.
    ///
    /// When it was moved that is said after the move, and another thread may have moved other memory there in between: then it
    /// is nothing new.
    pub(super) fn unmapped(&mut self, addresses: &Range<u64>) {
        match self.left.iter().position(|left| left == addresses) {
            Some(said) => drop(self.left.swap_remove(said)),
            None => self.gave_back(addresses),
        }
    }

    /// Memory was moved.
    pub(super) fn moved(&mut self, from: u64, to: u64, bytes: u64) {
        let addresses = from..from.saturating_add(bytes);
        let moved: Vec<Part> = self
            .parts
            .iter()
            .filter_map(|part| Some(part.slice(common(&part.addresses(), &addresses)?)))
            .collect();
        self.gave_back(&addresses);
        self.left.push(addresses);
        for part in moved {
            let address = part.address - from + to;
            let nth = self.parts.partition_point(|other| other.offset < part.offset);
            self.parts.insert(nth, Part { address, ..part });
        }
    }
}

/// The pages that are in a part of the image as a whole.
pub(super) fn whole_pages(offsets: &Range<u64>) -> Range<u64> {
    let start = offsets.start.next_multiple_of(PAGE_BYTES);
    start..(offsets.end - offsets.end % PAGE_BYTES).max(start)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::pagemap::Run;
    use super::*;

    #[derive(Clone, Debug)]
    enum Change {
        Came(u64, u64),
        GaveBack(u64, u64),
        Moved(u64, u64, u64),
        /// What is said after a move, of one of those of which it was not said yet.
        Left(usize),
        Unmapped(u64, u64),
    }

    fn change() -> impl Strategy<Value = Change> {
        prop_oneof![
            (0..40_u64, 0..9_u64).prop_map(|(at, pages)| Change::Came(at, pages)),
            (0..80_u64, 0..9_u64).prop_map(|(at, pages)| Change::GaveBack(at, pages)),
            // To where nothing is, or nothing may be any more.
            (0..60_u64, 0..9_u64, 1..9_u64).prop_map(|(from, pages, to)| Change::Moved(from, 1000 * to, pages)),
            (0..60_u64, 0..9_u64, 0..60_u64).prop_map(|(from, pages, to)| Change::Moved(from, to, pages)),
            (1..9_u64, 0..9_u64, 0..60_u64).prop_map(|(from, pages, to)| Change::Moved(1000 * from, to, pages)),
            (0..9_usize).prop_map(Change::Left),
            (0..80_u64, 0..9_u64).prop_map(|(at, pages)| Change::Unmapped(at, pages)),
        ]
    }

    /// Three runs, of which two may come later.
    fn memory() -> Pagemap {
        let run = |pages: Range<u64>, offset, lazy| Run {
            addresses: pages.start * PAGE_BYTES..pages.end * PAGE_BYTES,
            offset: offset * PAGE_BYTES,
            lazy,
        };
        Pagemap {
            pages_id: 1,
            runs: vec![run(5..15, 0, true), run(15..20, 10, false), run(40..60, 15, true)],
        }
    }

    proptest! {
        /// The model knows of each page where it is, and nothing of parts.
        #[test]
        fn it_misses_what_a_list_of_single_pages_would(changes in proptest::collection::vec(change(), 0..30)) {
            let mut missing = Missing::all(&memory());
            let mut model: BTreeMap<u64, u64> = (0..10).map(|page| (page, 5 + page)).collect();
            model.extend((15..35).map(|page| (page, 25 + page)));
            let mut left = Vec::new();
            for change in changes {
                let bytes = |start: u64, pages: u64| start * PAGE_BYTES..(start + pages) * PAGE_BYTES;
                match change {
                    Change::Came(at, pages) => {
                        missing.came(&bytes(at, pages));
                        model.retain(|offset, _| !(at..at + pages).contains(offset));
                    }
                    Change::GaveBack(at, pages) => {
                        missing.gave_back(&bytes(at, pages));
                        model.retain(|_, address| !(at..at + pages).contains(address));
                    }
                    Change::Moved(from, to, pages) => {
                        if model.values().any(|address| (to..to + pages).contains(address)) {
                            continue;
                        }
                        left.push(bytes(from, pages));
                        missing.moved(from * PAGE_BYTES, to * PAGE_BYTES, pages * PAGE_BYTES);
                        let there = model.values_mut().filter(|address| (from..from + pages).contains(*address));
                        there.for_each(|address| *address = *address - from + to);
                    }
                    Change::Left(nth) => {
                        if nth < left.len() {
                            missing.unmapped(&left.swap_remove(nth));
                        }
                    }
                    Change::Unmapped(at, pages) => {
                        if left.contains(&bytes(at, pages)) {
                            continue;
                        }
                        missing.unmapped(&bytes(at, pages));
                        model.retain(|_, address| !(at..at + pages).contains(address));
                    }
                }
                let pages = |part: Part| {
                    let page = move |nth| (part.offset / PAGE_BYTES + nth, part.address / PAGE_BYTES + nth);
                    (0..part.bytes / PAGE_BYTES).map(page)
                };
                let all: BTreeMap<u64, u64> = missing.within(&(0..u64::MAX)).into_iter().flat_map(pages).collect();
                prop_assert_eq!(&all, &model);
                for (offset, address) in &model {
                    prop_assert_eq!(missing.place(address * PAGE_BYTES), Some(offset * PAGE_BYTES));
                    let only = Part { address: address * PAGE_BYTES, offset: offset * PAGE_BYTES, bytes: PAGE_BYTES };
                    prop_assert_eq!(missing.within(&bytes(*offset, 1)), vec![only]);
                }
                for address in 0..80 {
                    let there = model.values().copied().filter(|there| (address..address + 9).contains(there));
                    let (first, last) = (there.clone().min(), there.max());
                    let span = first.zip(last).map(|(first, last)| bytes(first, last + 1 - first));
                    prop_assert_eq!(missing.span(&bytes(address, 9)), span);
                    let next = model.values().copied().filter(|there| *there >= address).min().unwrap_or(80).min(80);
                    prop_assert_eq!(missing.free_until(address * PAGE_BYTES, 80 * PAGE_BYTES), next * PAGE_BYTES);
                }
            }
        }
    }

    #[test]
    fn pages_that_are_only_begun_are_not_whole() {
        assert_eq!(whole_pages(&(1..8193)), 4096..8192);
        assert_eq!(whole_pages(&(0..8192)), 0..8192);
        assert!(whole_pages(&(1..4095)).is_empty());
    }
}
