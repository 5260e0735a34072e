//! The pages of a checkpoint on their way from the store: each chunk is read, checked and unpacked once, by whoever
//! needs it first.
//!
//! ```text
//!  order ──next, a few chunks──▶ unpackers ──▶ ready ──▶ pager
//!     └──────────one that was touched────────────────────▶
//! ```
//!
//! CRIU, the pager and the processes hand on to each other all the time, and none of them may wait for a slice of an
//! unpacker to end: the scheduler lets who runs go on for milliseconds, however little its share is. So at first unpackers
//! run only where nobody else wants to.
//!
//! Buffers come back, and only so much is in them: memory that is touched for the first time costs more than what is
//! done with it.

mod image;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use tokio::runtime::Handle;

use crate::payload::{PayloadError, PayloadReader};
use crate::standing::Standing;
pub(super) use image::Image;

/// Bytes of chunks that are unpacked one after the other, more or less.
const PORTION_BYTES: u64 = 256 << 10;
/// What is unpacked before there is any memory to put it in.
const ROOM_BYTES: u64 = 24 << 20;
/// Portions that are asked for at the same time of a store that is away.
const ASKED_AT_ONCE: usize = 8;

/// A chunk, by its image and its place in it.
pub(super) type ChunkId = (usize, usize);

/// A part of an image that was read and checked.
#[derive(Debug)]
pub(super) struct Portion {
    pub(super) image: usize,
    pub(super) offsets: Range<u64>,
    pub(super) bytes: Vec<u8>,
}

/// Room for what is in between, to be used again and again.
#[derive(Debug, Default)]
pub(super) struct Room(Vec<u8>);

/// What is shared by those who unpack and the one who puts pages in.
#[derive(Debug)]
pub(super) struct Supply {
    images: Vec<Image>,
    runtime: Handle,
    stock: Mutex<Stock>,
    /// There is room, or nothing is to be done any more.
    freed: Condvar,
    bell: OwnedFd,
}

#[derive(Debug)]
struct Stock {
    /// What is needed, the most urgent first.
    order: Vec<ChunkId>,
    next: usize,
    /// Of each image, the chunks that somebody unpacks or has unpacked.
    begun: Vec<Vec<bool>>,
    ready: VecDeque<Result<Portion, PayloadError>>,
    spare: Vec<Vec<u8>>,
    /// Portions that somebody unpacks now.
    under_way: usize,
    /// Bytes that were unpacked, or soon are, and whose buffers have not come back.
    held: u64,
    /// CRIU may make processes: the memory that it reads itself is laid out.
    admitted: bool,
    haste: Haste,
    closed: bool,
}

/// How urgent what is left is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Haste {
    /// Everybody else goes first.
    StepsBack,
    /// Nobody goes first.
    PressesOn,
    /// The same, and others unpack in the stead of those who stepped back.
    Relieved,
}

/// What there is to put in.
#[derive(Debug)]
pub(super) enum Next {
    Portion(Portion),
    /// The bell rings when there is one.
    Wait,
    /// All of the order was given.
    Nothing,
}

/// What an unpacker does on its thread.
type Unpacker = Box<dyn FnOnce() + Send>;

fn spawn(unpacker: Unpacker) -> io::Result<()> {
    let thread = thread::Builder::new().name("unpack-pages".to_owned());
    thread.spawn(unpacker).map(drop)
}

impl Supply {
    /// Begins to unpack what is in `order`: parts of images, the most urgent first.
    ///
    /// # Errors
    /// The kernel has no descriptor or thread for it.
    pub(super) fn begin(images: Vec<Image>, order: &[(usize, Range<u64>)]) -> io::Result<Arc<Self>> {
        Self::begin_on(spawn, images, order)
    }

    fn begin_on(
        spawn: impl FnMut(Unpacker) -> io::Result<()>,
        images: Vec<Image>,
        order: &[(usize, Range<u64>)],
    ) -> io::Result<Arc<Self>> {
        let chunks = order.iter().flat_map(|(image, offsets)| {
            let chunks = images.get(*image).map_or(0..0, |of| of.chunks(offsets));
            chunks.map(|chunk| (*image, chunk))
        });
        let supply = Arc::new(Self {
            stock: Mutex::new(Stock {
                order: chunks.collect(),
                next: 0,
                begun: images.iter().map(|image| vec![false; image.cuts.len()]).collect(),
                ready: VecDeque::new(),
                spare: Vec::new(),
                under_way: 0,
                held: 0,
                admitted: false,
                haste: Haste::StepsBack,
                closed: false,
            }),
            images,
            runtime: Handle::current(),
            freed: Condvar::new(),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        });
        // Those that were begun would wait for ever for somebody who wants what they unpack.
        let begun = supply.unpack_on_threads(Standing::StepsBack, spawn);
        begun.inspect_err(|_| supply.close())?;
        Ok(supply)
    }

    fn unpack_on_threads(
        self: &Arc<Self>,
        standing: Standing,
        mut spawn: impl FnMut(Unpacker) -> io::Result<()>,
    ) -> io::Result<()> {
        let at_once = if self.is_at_hand() {
            rayon::current_num_threads()
        } else {
            ASKED_AT_ONCE
        };
        for _ in 0..at_once {
            let supply = Arc::clone(self);
            spawn(Box::new(move || {
                standing.take();
                supply.unpack(standing);
            }))?;
        }
        Ok(())
    }

    /// Whether nothing has to be fetched from afar.
    fn is_at_hand(&self) -> bool {
        self.images.iter().all(|image| image.reader.is_at_hand())
    }

    /// What is left gets a share of the processor: others do not go first any more.
    pub(super) fn press_on(self: &Arc<Self>) {
        // A thread that has stepped back stays there without a privilege. Without others it does what they would.
        let relieved = self.unpack_on_threads(Standing::HasShare, spawn).is_ok();
        self.stock().haste = if relieved { Haste::Relieved } else { Haste::PressesOn };
        self.freed.notify_all();
    }

    /// Whether everybody else goes first.
    pub(super) fn steps_back(&self) -> bool {
        self.stock().haste == Haste::StepsBack
    }

    /// Ends the unpacking, and rings the bell.
    pub(super) fn close(&self) {
        self.stock().closed = true;
        self.freed.notify_all();
        self.ring();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.stock().closed
    }

    /// Lets CRIU make processes. What they wait for is there, so others may have the cores.
    pub(super) fn admit(&self) {
        self.stock().admitted = true;
        self.freed.notify_all();
        self.ring();
    }

    pub(super) fn is_admitted(&self) -> bool {
        self.stock().admitted
    }

    /// Readable when something has changed.
    pub(super) fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Silences the bell.
    pub(super) fn answer(&self) {
        // There is nothing to read when it did not ring.
        let _ = rustix::io::read(&self.bell, &mut [0; 8]);
    }

    pub(super) fn image(&self, nth: usize) -> Option<&Image> {
        self.images.get(nth)
    }

    /// The next portion in order.
    ///
    /// # Errors
    /// One could not be read.
    pub(super) fn next(&self) -> Result<Next, PayloadError> {
        let mut stock = self.stock();
        match stock.ready.pop_front() {
            Some(portion) => Ok(Next::Portion(portion?)),
            None if stock.under_way > 0 || stock.upcoming().is_some() => Ok(Next::Wait),
            None => Ok(Next::Nothing),
        }
    }

    /// One chunk before all others, also if somebody unpacks it in all leisure. `None` while somebody fetches it: twice is
    /// no sooner. Who asks knows what it was given.
    ///
    /// # Errors
    /// It cannot be read, or another that somebody fetched.
    pub(super) fn at_once(&self, chunk: ChunkId, room: &mut Room) -> Result<Option<Portion>, PayloadError> {
        let (image, nth) = chunk;
        let mut stock = self.stock();
        let at = self
            .images
            .get(image)
            .map_or(0..0, |of| of.offsets(&(nth..nth + 1)))
            .start;
        let is_it = |ready: &Result<Portion, PayloadError>| {
            ready
                .as_ref()
                .is_ok_and(|portion| portion.image == image && portion.offsets.contains(&at))
        };
        if let Some(found) = stock.ready.iter().position(is_it) {
            return stock.ready.remove(found).transpose();
        }
        let is_at_hand = self.images.get(image).is_some_and(|of| of.reader.is_at_hand());
        if !stock.begin(chunk) && !is_at_hand {
            // It may be this one, which then never comes.
            let failed = stock.ready.iter().position(Result::is_err);
            return failed.and_then(|nth| stock.ready.remove(nth)).transpose();
        }
        let buffer = stock.spare.pop().unwrap_or_default();
        drop(stock);
        let portion = self.read(image, nth..nth + 1, buffer, room)?;
        self.stock().held += portion.bytes.len() as u64;
        Ok(Some(portion))
    }

    /// Takes back the buffer of a portion that was put in.
    pub(super) fn give_back(&self, portion: Portion) {
        let mut stock = self.stock();
        stock.held = stock.held.saturating_sub(portion.bytes.len() as u64);
        stock.spare.push(portion.bytes);
        drop(stock);
        self.freed.notify_one();
    }

    /// What each unpacker does, until nothing is left to do.
    fn unpack(&self, standing: Standing) {
        let mut room = Room::default();
        while let Some((image, chunks, buffer)) = self.take(standing) {
            let read = self.read(image, chunks, buffer, &mut room);
            let mut stock = self.stock();
            stock.under_way -= 1;
            stock.ready.push_back(read);
            drop(stock);
            self.ring();
        }
    }

    /// The next chunks to be unpacked, with a buffer; `None` when there is nothing left to do.
    fn take(&self, standing: Standing) -> Option<(usize, Range<usize>, Vec<u8>)> {
        let mut stock = self.stock();
        loop {
            if stock.closed || stock.haste == Haste::Relieved && standing == Standing::StepsBack {
                return None;
            }
            let (image, first) = stock.upcoming()?;
            // Where a thread has stepped back the scheduler takes the core for one that is needed, and lays nothing there that
            // waits for another: CRIU and those who lay out its first memory would share the other core.
            let is_early = !stock.admitted && self.is_at_hand();
            if stock.held >= ROOM_BYTES || is_early {
                stock = self.freed.wait(stock).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let buffer = stock.spare.pop().unwrap_or_default();
            let of = self.images.get(image)?;
            let mut chunks = first..first;
            while stock.upcoming() == Some((image, chunks.end)) {
                let bytes = of.offsets(&(first..chunks.end + 1));
                if !chunks.is_empty() && bytes.end - bytes.start > PORTION_BYTES {
                    break;
                }
                stock.begin((image, chunks.end));
                chunks.end += 1;
            }
            stock.under_way += 1;
            let bytes = of.offsets(&chunks);
            stock.held += bytes.end - bytes.start;
            return Some((image, chunks, buffer));
        }
    }

    fn read(
        &self,
        image: usize,
        chunks: Range<usize>,
        mut bytes: Vec<u8>,
        Room(stored): &mut Room,
    ) -> Result<Portion, PayloadError> {
        let (offsets, reader) = match self.images.get(image) {
            Some(of) => (of.offsets(&chunks), of.reader.clone()),
            None => (0..0, PayloadReader::from(Vec::new())),
        };
        let part = reader.slice(offsets.clone())?;
        part.read_here(&self.runtime, stored, &mut bytes)?;
        Ok(Portion { image, offsets, bytes })
    }

    fn ring(&self) {
        // It fails when it has rung 2^64 times and nobody answered.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }

    fn stock(&self) -> MutexGuard<'_, Stock> {
        // Nothing that holds the lock can panic half-way through a change.
        self.stock.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stock {
    /// The first in order that nobody has begun.
    fn upcoming(&mut self) -> Option<ChunkId> {
        while let Some(&(image, nth)) = self.order.get(self.next) {
            if !*self.begun.get(image)?.get(nth)? {
                return Some((image, nth));
            }
            self.next += 1;
        }
        None
    }

    /// Whether nobody had begun it.
    fn begin(&mut self, (image, nth): ChunkId) -> bool {
        let begun = self.begun.get_mut(image).and_then(|chunks| chunks.get_mut(nth));
        begun.is_some_and(|begun| !std::mem::replace(begun, true))
    }
}
