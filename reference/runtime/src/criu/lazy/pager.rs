//! The one who puts pages into memory: what was touched at once, everything else in order behind it.
//!
//! It runs on a thread of its own. Between two faults of a process are microseconds, and a first answer has hundreds of
//! them.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::handover::{Handover, Said};
use super::memory::{Memory, Read};
use super::missing::{Missing, whole_pages};
use super::pagemap::PAGE_BYTES;
use super::supply::{Next, Portion, Room, Supply};
use crate::payload::PayloadError;

/// Why not all pages were put in.
#[derive(Debug, thiserror::Error)]
pub(super) enum PagerError {
    #[error("read pages of the checkpoint")]
    Read(#[from] PayloadError),
    #[error("put pages into the memory of the sandbox")]
    Memory(#[from] io::Error),
    #[error("hear of the memory of process {0}, of which the checkpoint has no pages")]
    Unknown(u64),
    #[error("hear from criu restore")]
    Criu(#[source] io::Error),
    #[error("the sandbox was ended")]
    Ended,
    #[error("put pages in: a defect, of which the log has more")]
    Defect,
}

/// How it ended. Pages that did not come are read as zeroes when this is dropped.
#[derive(Debug)]
pub(super) struct Paged {
    pub(super) outcome: Result<(), PagerError>,
    _memories: Vec<Memory>,
}

/// A page of which only parts were read.
#[derive(Debug)]
struct Begun {
    bytes: Vec<u8>,
    parts: Vec<Range<usize>>,
}

/// Puts pages in.
#[derive(Debug)]
pub(super) struct Pager {
    supply: Arc<Supply>,
    handover: Handover,
    /// By pid: the image of its pages, and which of them come later.
    expected: BTreeMap<u64, (usize, Missing)>,
    memories: Vec<Memory>,
    /// By their image and their place in it.
    begun: BTreeMap<(usize, u64), Begun>,
    /// What was read for a fault before all memory was handed over: there may be more that wants it.
    early: Vec<Portion>,
    room: Room,
    finished: bool,
    /// Pages that somebody waited for.
    faults: usize,
}

impl Pager {
    pub(super) fn new(supply: Arc<Supply>, handover: Handover, expected: BTreeMap<u64, (usize, Missing)>) -> Self {
        Self {
            supply,
            handover,
            expected,
            memories: Vec::new(),
            begun: BTreeMap::new(),
            early: Vec::new(),
            room: Room::default(),
            finished: false,
            faults: 0,
        }
    }

    /// Puts in all pages, or all until something fails or the supply is closed.
    pub(super) fn run(mut self) -> Paged {
        // Even a defect must not let go of memory before its processes are killed: what is missing would read as zeroes.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work())).unwrap_or(Err(PagerError::Defect));
        tracing::debug!(
            faults = self.faults,
            ?outcome,
            "the memory of a restored sandbox was put in"
        );
        self.supply.close();
        Paged {
            outcome,
            _memories: self.memories,
        }
    }

    fn work(&mut self) -> Result<(), PagerError> {
        let mut wait = true;
        loop {
            self.look(wait)?;
            if self.supply.is_closed() {
                return Err(PagerError::Ended);
            }
            self.serve_touched()?;
            if !self.finished {
                wait = true;
                continue;
            }
            wait = match self.supply.next()? {
                Next::Portion(portion) => {
                    self.put(&portion)?;
                    self.supply.give_back(portion);
                    false
                }
                Next::Wait => true,
                Next::Nothing => return Ok(()),
            };
            self.memories.retain(|memory| !memory.has_ended());
            if self.memories.is_empty() {
                return Ok(());
            }
        }
    }

    /// Hears whatever there is to hear; waits for something if it has to.
    fn look(&mut self, wait: bool) -> Result<(), PagerError> {
        let mut all: Vec<PollFd<'_>> = Vec::with_capacity(self.memories.len() + 2);
        let memories = self.memories.iter();
        all.extend(memories.map(|memory| PollFd::new(memory.userfault(), PollFlags::IN)));
        all.push(PollFd::from_borrowed_fd(self.supply.bell(), PollFlags::IN));
        let handover = self.handover.descriptor();
        all.extend(handover.map(|criu| PollFd::from_borrowed_fd(criu, PollFlags::IN)));
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        match poll(&mut all, (!wait).then_some(&at_once)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(io::Error::from(errno).into()),
        }
        let said: Vec<bool> = all.iter().map(|of| !of.revents().is_empty()).collect();
        let (memories, others) = said.split_at(self.memories.len());
        let mut children = Vec::new();
        let mut changed = self.memories.iter_mut().zip(memories).filter(|(_, said)| **said);
        let learned = changed.try_for_each(|(memory, _)| memory.learn(&mut children));
        self.memories.extend(children);
        learned?;
        if others.first() == Some(&true) {
            self.supply.answer();
            if self.supply.is_admitted() {
                self.handover = std::mem::replace(&mut self.handover, Handover::Finished).admit()?;
            }
        }
        if others.get(1) == Some(&true) {
            self.hear_criu()?;
        }
        Ok(())
    }

    fn hear_criu(&mut self) -> Result<(), PagerError> {
        match self.handover.next().map_err(PagerError::Criu)? {
            Said::Nothing => {}
            Said::Memory { pid, userfault } => {
                let (image, missing) = self.expected.remove(&pid).ok_or(PagerError::Unknown(pid))?;
                self.memories.push(Memory::new(image, userfault, missing));
            }
            Said::Finished => {
                self.finished = true;
                for portion in std::mem::take(&mut self.early) {
                    self.put(&portion)?;
                    self.supply.give_back(portion);
                }
            }
        }
        Ok(())
    }

    /// Puts in every page that was touched, unless it is being unpacked just now.
    fn serve_touched(&mut self) -> Result<(), PagerError> {
        let mut nth = 0;
        while nth < self.memories.len() {
            for address in self.memories[nth].take_touched() {
                self.faults += 1;
                let Some(place) = self.memories[nth].place(address) else {
                    let mut children = Vec::new();
                    let zeroed = self.memories[nth].zero(address, &mut children);
                    self.memories.extend(children);
                    zeroed?;
                    continue;
                };
                self.put_at_once(self.memories[nth].image, place)?;
                // Afterwards whatever is unpacked is put in when it is ready.
                if !self.finished && self.memories[nth].place(address).is_some() {
                    self.memories[nth].touch(address);
                }
            }
            nth += 1;
        }
        Ok(())
    }

    /// Puts in a page with everything that is read with it.
    fn put_at_once(&mut self, image: usize, place: u64) -> Result<(), PagerError> {
        let supply = Arc::clone(&self.supply);
        let page = place..place + PAGE_BYTES;
        let is_of_it =
            |read: &Portion| read.image == image && read.offsets.start < page.end && page.start < read.offsets.end;
        let early = std::mem::take(&mut self.early);
        for portion in early.iter().filter(|read| is_of_it(read)) {
            self.put(portion)?;
        }
        self.early = early;
        for nth in supply.image(image).map_or(0..0, |of| of.chunks(&page)) {
            let Some(portion) = supply.at_once((image, nth), &mut self.room)? else {
                continue;
            };
            self.put(&portion)?;
            if self.finished {
                supply.give_back(portion);
            } else {
                self.early.push(portion);
            }
        }
        Ok(())
    }

    /// Puts what was read into every memory that misses it.
    fn put(&mut self, portion: &Portion) -> Result<(), PagerError> {
        let whole = whole_pages(&portion.offsets);
        let part = |offsets: &Range<u64>| {
            let place = |at: u64| usize::try_from(at - portion.offsets.start).unwrap_or(usize::MAX);
            portion
                .bytes
                .get(place(offsets.start)..place(offsets.end))
                .unwrap_or_default()
        };
        if !whole.is_empty() {
            let (offset, bytes) = (whole.start, part(&whole));
            self.put_pages(portion.image, Read { offset, bytes })?;
        }
        for edge in edges(&portion.offsets, &whole) {
            let page = edge.start - edge.start % PAGE_BYTES;
            let key = (portion.image, page);
            let begun = self.begun.entry(key).or_insert_with(Begun::new);
            begun.add(edge.start - page, part(&edge));
            if begun.is_whole()
                && let Some(Begun { bytes, .. }) = self.begun.remove(&key)
            {
                let read = Read {
                    offset: page,
                    bytes: &bytes,
                };
                self.put_pages(portion.image, read)?;
            }
        }
        Ok(())
    }

    fn put_pages(&mut self, image: usize, read: Read<'_>) -> Result<(), PagerError> {
        let mut nth = 0;
        while nth < self.memories.len() {
            if self.memories[nth].image == image {
                let mut children = Vec::new();
                let put = self.memories[nth].put(read, self.finished, &mut children);
                self.memories.extend(children);
                put?;
            }
            nth += 1;
        }
        Ok(())
    }
}

impl Begun {
    fn new() -> Self {
        Self {
            bytes: vec![0; usize::try_from(PAGE_BYTES).unwrap_or(usize::MAX)],
            parts: Vec::new(),
        }
    }

    /// Some of its bytes; the same ones may come again.
    fn add(&mut self, at: u64, part: &[u8]) {
        let at = usize::try_from(at).unwrap_or(usize::MAX);
        let range = at..at.saturating_add(part.len());
        if let Some(place) = self.bytes.get_mut(range.clone())
            && !self.parts.contains(&range)
        {
            place.copy_from_slice(part);
            self.parts.push(range);
        }
    }

    fn is_whole(&self) -> bool {
        self.parts.iter().map(ExactSizeIterator::len).sum::<usize>() == self.bytes.len()
    }
}

/// What of a part of an image is before and behind its whole pages, each within one page.
fn edges(offsets: &Range<u64>, whole: &Range<u64>) -> Vec<Range<u64>> {
    let first = offsets.start..whole.start.min(offsets.end);
    let last = whole.end.max(first.end)..offsets.end;
    [first, last].into_iter().filter(|edge| !edge.is_empty()).collect()
}

#[cfg(test)]
mod tests {
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
