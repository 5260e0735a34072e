//! The one who puts pages into memory: what was touched at once, everything else in order behind it.
//!
//! It runs on a thread of its own. Between two faults of a process are microseconds, and a first answer has hundreds of
//! them.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ahead::{ahead, within};
use super::edges::{Begun, edges};
use super::handover::{Handover, Said};
use super::memory::{Memory, Read};
use super::missing::{Missing, whole_pages};
use super::pagemap::PAGE_BYTES;
use super::supply::{Next, Portion, Room, Supply};
use super::touched::{Page, Touched};
use crate::payload::PayloadError;

/// Bytes that are put in before one looks whether somebody waits for a page, as long as one steps back.
const SLICE_BYTES: u64 = 64 << 10;

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
    #[error("put pages in: {0} bytes did not come, though all of the checkpoint was read: a defect")]
    Missed(u64),
    #[error("put pages in: a defect, of which the log has more")]
    Defect,
}

/// How it ended. Pages that did not come are read as zeroes when this is dropped.
#[derive(Debug)]
pub(super) struct Paged {
    pub(super) outcome: Result<(), PagerError>,
    /// The pages that were waited for.
    pub(super) touched: Touched,
    _memories: Vec<Memory>,
}

/// What there is to put in.
enum Put {
    /// There may be more.
    Some,
    /// More is unpacked first.
    Wait,
    /// All is put in.
    All,
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
    /// By their image and their place in it: pages that are put in before anything else.
    first: Vec<(usize, u64)>,
    /// What is being put in, and from where on it is not yet.
    under_way: VecDeque<(Portion, u64)>,
    room: Room,
    finished: bool,
    touched: Touched,
    /// Pages that somebody waited for.
    faults: usize,
    /// Of them, those that the checkpoint does not have.
    zeroes: usize,
    /// Pages that were known to be touched first.
    ahead: usize,
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
            first: Vec::new(),
            under_way: VecDeque::new(),
            room: Room::default(),
            finished: false,
            touched: Touched::default(),
            faults: 0,
            zeroes: 0,
            ahead: 0,
        }
    }

    /// Has these pages put in before any other, by their image and their place in it.
    pub(super) fn putting_first(self, first: Vec<(usize, u64)>) -> Self {
        Self { first, ..self }
    }

    /// Puts in all pages, or all until something fails or the supply is closed.
    pub(super) fn run(mut self) -> Paged {
        // Even a defect must not let go of memory before its processes are killed: what is missing would read as zeroes.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work())).unwrap_or(Err(PagerError::Defect));
        tracing::debug!(
            faults = self.faults,
            zeroes = self.zeroes,
            ahead = self.ahead,
            ?outcome,
            "the memory of a restored sandbox was put in"
        );
        self.supply.close();
        Paged {
            outcome,
            touched: self.touched,
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
            wait = match self.put_slice()? {
                Put::Some => false,
                Put::Wait => true,
                Put::All => return self.expect_all(),
            };
            self.memories.retain(|memory| !memory.has_ended());
            if self.memories.is_empty() {
                return Ok(());
            }
        }
    }

    /// What was not put in would be read as zeroes from now on.
    fn expect_all(&self) -> Result<(), PagerError> {
        let here = self.memories.iter().filter(|memory| !memory.has_ended());
        match here.map(Memory::missed_bytes).sum() {
            0 => Ok(()),
            missed => Err(PagerError::Missed(missed)),
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
                self.memories.push(Memory::new(image, Some(pid), userfault, missing));
            }
            Said::Finished => {
                self.finished = true;
                let early = std::mem::take(&mut self.early).into_iter();
                self.under_way.extend(early.map(|portion| {
                    let start = portion.offsets.start;
                    (portion, start)
                }));
                self.put_ahead()?;
            }
        }
        Ok(())
    }

    /// Puts in what will be touched first, of what is unpacked, before processes run that touch a page each few
    /// microseconds.
    fn put_ahead(&mut self) -> Result<(), PagerError> {
        while let Next::Portion(portion) = self.supply.next()? {
            let start = portion.offsets.start;
            self.under_way.push_back((portion, start));
        }
        let (unpacked, first) = (std::mem::take(&mut self.under_way), std::mem::take(&mut self.first));
        self.ahead = first.len();
        let mut ahead = ahead(unpacked.iter().map(|(portion, _)| portion), &first).into_iter();
        let put = ahead.try_for_each(|(portion, offsets)| self.put_part(portion, offsets));
        self.under_way = unpacked;
        put
    }

    /// Puts in every page that was touched, unless it is being unpacked just now.
    fn serve_touched(&mut self) -> Result<(), PagerError> {
        let mut nth = 0;
        while nth < self.memories.len() {
            for address in self.memories[nth].take_touched() {
                self.faults += 1;
                if let Some(pid) = self.memories[nth].pid {
                    self.touched.note(Page { pid, address });
                }
                let Some(place) = self.memories[nth].place(address) else {
                    self.zeroes += 1;
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

    /// Puts in a page, and then what else is in its chunk.
    fn put_at_once(&mut self, image: usize, place: u64) -> Result<(), PagerError> {
        let supply = Arc::clone(&self.supply);
        let page = place..place + PAGE_BYTES;
        for (nth, chunk) in supply.image(image).map(|of| of.chunks_of(&page)).unwrap_or_default() {
            let is_in = |portion: &Portion| portion.image == image && portion.offsets.contains(&chunk.start);
            let known = match (
                self.early.iter().position(is_in),
                self.under_way.iter().position(|(of, _)| is_in(of)),
            ) {
                (Some(nth), _) => Some((self.early.remove(nth), None)),
                (None, Some(nth)) => self
                    .under_way
                    .remove(nth)
                    .map(|(portion, start)| (portion, Some(start))),
                (None, None) => None,
            };
            let (portion, start) = match known {
                Some(known) => known,
                None => match supply.at_once((image, nth), &mut self.room)? {
                    Some(portion) => (portion, None),
                    None => continue,
                },
            };
            let put = self.put_first(&portion, &page, &chunk);
            if self.finished {
                let start = start.unwrap_or(portion.offsets.start);
                self.under_way.push_front((portion, start));
            } else {
                self.early.push(portion);
            }
            put?;
        }
        Ok(())
    }

    /// Puts in some of what is unpacked, and not much more than others can wait for while they are let go first.
    fn put_slice(&mut self) -> Result<Put, PagerError> {
        let (portion, start) = match self.under_way.pop_front() {
            Some(under_way) => under_way,
            None => match self.supply.next()? {
                Next::Portion(portion) => {
                    let start = portion.offsets.start;
                    (portion, start)
                }
                Next::Wait => return Ok(Put::Wait),
                Next::Nothing => return Ok(Put::All),
            },
        };
        let steps_back = self.supply.steps_back();
        let whole = portion.offsets.end;
        let end = if steps_back {
            whole.min(start - start % SLICE_BYTES + SLICE_BYTES)
        } else {
            whole
        };
        self.put_part(&portion, start..end)?;
        if end < whole {
            self.under_way.push_front((portion, end));
        } else {
            self.supply.give_back(portion);
        }
        if steps_back {
            // Whoever waits for this core would do so up to the scheduler's next tick, with another one idle.
            rustix::thread::sched_yield();
        }
        Ok(Put::Some)
    }

    /// Puts in the `page` that somebody waits for, and what else is in its `chunk` behind it.
    fn put_first(&mut self, portion: &Portion, page: &Range<u64>, chunk: &Range<u64>) -> Result<(), PagerError> {
        self.put_part(portion, within(page, portion))?;
        let pages = chunk.start - chunk.start % PAGE_BYTES..chunk.end.next_multiple_of(PAGE_BYTES);
        self.put_part(portion, within(&pages, portion))
    }

    /// Puts some of what was read into every memory that misses it. Where it begins or ends within a page, so does what was
    /// read.
    fn put_part(&mut self, portion: &Portion, offsets: Range<u64>) -> Result<(), PagerError> {
        let whole = whole_pages(&offsets);
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
        for edge in edges(&offsets, &whole) {
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
