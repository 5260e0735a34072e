//! The memory of one process: what it misses, and how pages get into it.

#[cfg(test)]
mod tests;

use std::io;
use std::ops::Range;

use torpor_userfaultfd::{Event, Refused, Userfault};

use super::kernel::Kernel;
use super::missing::{Missing, Part};
use super::pagemap::PAGE_BYTES;

/// A page of zeroes is followed by so many more bytes, which are likely to be touched next.
const ZEROES_BYTES: u64 = 64 << 10;

/// Memory that does not have all of its pages.
#[derive(Debug)]
pub(super) struct Memory<K = Userfault> {
    /// The number of the image that has them.
    pub(super) image: usize,
    /// Whose it is; `None` for a child of somebody who was restored.
    pub(super) pid: Option<u64>,
    userfault: K,
    missing: Missing,
    /// Pages that were touched and are not there yet.
    touched: Vec<u64>,
    /// Its process has ended.
    ended: bool,
}

/// Pages of an image that were read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read<'a> {
    /// Where in the image they begin.
    pub(super) offset: u64,
    pub(super) bytes: &'a [u8],
}

impl Read<'_> {
    fn of(&self, part: &Part) -> &[u8] {
        let place = |at: u64| usize::try_from(at - self.offset).unwrap_or(usize::MAX);
        self.bytes
            .get(place(part.offset)..place(part.offset + part.bytes))
            .unwrap_or_default()
    }
}

impl<K: Kernel> Memory<K> {
    pub(super) fn new(image: usize, pid: Option<u64>, userfault: K, missing: Missing) -> Self {
        Self {
            image,
            pid,
            userfault,
            missing,
            touched: Vec::new(),
            ended: false,
        }
    }

    pub(super) fn userfault(&self) -> &K {
        &self.userfault
    }

    /// Whether its process has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Bytes that it does not have yet.
    pub(super) fn missed_bytes(&self) -> u64 {
        self.missing.bytes()
    }

    /// Learns what happened to it, and has whoever waits for a page where memory has changed look again, since that page does
    /// not come there any more; a child that was forked is a memory of its own, and is among `children` whatever fails
    /// afterwards: what it misses reads as zeroes once nobody has it.
    pub(super) fn learn(&mut self, children: &mut Vec<Self>) -> io::Result<()> {
        let mut events = Vec::new();
        let read = self.userfault.read(&mut events);
        let mut gone = Vec::new();
        for event in events {
            match event {
                Event::Fault { address } => self.touched.push(address),
                Event::Fork(userfault) => {
                    children.push(Self::new(self.image, None, userfault.into(), self.missing.of_child()));
                }
                Event::Remap { from, to, bytes } => {
                    gone.extend(self.missing.span(&(from..from.saturating_add(bytes))));
                    self.missing.moved(from, to, bytes);
                }
                Event::Remove(addresses) => {
                    gone.extend(self.missing.span(&addresses));
                    self.missing.gave_back(&addresses);
                }
                Event::Unmap(addresses) => {
                    gone.extend(self.missing.span(&addresses));
                    self.missing.unmapped(&addresses);
                }
            }
        }
        // Only where something was missed: who unmaps may name addresses where no memory can be, of which the kernel refuses to wake.
        gone.into_iter().try_for_each(|addresses| self.wake(addresses))?;
        read
    }

    /// The pages that were touched since the last call.
    pub(super) fn take_touched(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.touched)
    }

    /// A page is still waited for.
    pub(super) fn touch(&mut self, address: u64) {
        self.touched.push(address);
    }

    /// Where in the image a page is that is missed.
    pub(super) fn place(&self, address: u64) -> Option<u64> {
        self.missing.place(address)
    }

    /// Puts in what it misses of `read`, whole pages. Unless `all_there`, memory may be in the way that is not registered
    /// yet; what cannot be put in there is missed as before.
    pub(super) fn put(&mut self, read: Read<'_>, all_there: bool, others: &mut Vec<Self>) -> io::Result<()> {
        let offsets = read.offset..read.offset + read.bytes.len() as u64;
        let mut parts = self.missing.within(&offsets);
        parts.reverse();
        while let Some(part) = parts.pop() {
            let done = self.copy(&part, read.of(&part));
            let (came, rest) = match done {
                Ok(bytes) => (bytes, None),
                Err(Refused::Exists) => (PAGE_BYTES, None),
                Err(Refused::NotThere) if part.bytes > PAGE_BYTES => (0, Some(half(&part))),
                Err(Refused::NotThere) if all_there => (PAGE_BYTES, None),
                Err(Refused::NotThere) => continue,
                Err(Refused::Changing) => {
                    // What changed may have been this.
                    self.learn(others)?;
                    std::thread::yield_now();
                    parts = self.missing.within(&(part.offset..offsets.end));
                    parts.reverse();
                    continue;
                }
                Err(Refused::Ended) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(Refused::Other(errno)) => return Err(errno.into()),
            };
            self.missing.came(&(part.offset..part.offset + came));
            let end = part.offset + part.bytes;
            let middle = rest.map_or(end, |middle| part.offset + middle);
            for (from, to) in [(middle, end), (part.offset + came, middle)] {
                if from < to {
                    parts.push(Part {
                        address: part.address + (from - part.offset),
                        offset: from,
                        bytes: to - from,
                    });
                }
            }
        }
        Ok(())
    }

    fn copy(&self, part: &Part, pages: &[u8]) -> Result<u64, Refused> {
        match self.userfault.copy(part.address, pages) {
            // The kernel asks whether memory is being changed, and then what is there, which may have been moved away in
            // between: once more it says so.
            Err(Refused::NotThere) if part.bytes <= PAGE_BYTES => self.userfault.copy(part.address, pages),
            done => done,
        }
    }

    /// Puts in a page of zeroes where one was touched that the checkpoint does not have.
    pub(super) fn zero(&mut self, address: u64, others: &mut Vec<Self>) -> io::Result<()> {
        let mut end = self.missing.free_until(address, address + ZEROES_BYTES);
        while address < end {
            match self.userfault.zero(address..end) {
                Ok(_) => return Ok(()),
                // More than one area of memory, or of which only the beginning may be touched.
                Err(Refused::NotThere | Refused::Other(_)) if end > address + PAGE_BYTES => end = address + PAGE_BYTES,
                // There or gone by now: whoever waits finds out.
                Err(Refused::Exists | Refused::NotThere) => return self.wake(address..end),
                Err(Refused::Changing) => {
                    self.learn(others)?;
                    std::thread::yield_now();
                    end = self.missing.free_until(address, end);
                }
                Err(Refused::Ended) => {
                    self.ended = true;
                    return Ok(());
                }
                Err(Refused::Other(errno)) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn wake(&self, addresses: Range<u64>) -> io::Result<()> {
        match self.userfault.wake(addresses) {
            Ok(()) | Err(Refused::Ended | Refused::NotThere | Refused::Changing | Refused::Exists) => Ok(()),
            Err(Refused::Other(errno)) => Err(errno.into()),
        }
    }
}

/// The half of a part, in whole pages.
fn half(part: &Part) -> u64 {
    (part.bytes / PAGE_BYTES / 2).max(1) * PAGE_BYTES
}
