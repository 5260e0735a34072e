//! A part on its way into a draft: threads take turns to read and cut it, and name and write side by side what each has.
//!
//! ```text
//!  source ──read a portion, cut it──▶ a run of whole chunks ──name, sift, write──▶ depot
//!           one thread at a time                              all others
//! ```
//!
//! Whoever is done reads next, so no core waits for another one's share, and there is as much of a part in memory as there
//! are threads; who gives the part waits for them. Cuts are where the segments of the same bytes in memory would be cut.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::thread;

use bytes::Bytes;

use super::Takes;
use super::cores::Cores;
use crate::chunks::{self, Grain, MAX_CHUNK_BYTES, SEGMENT_BYTES};
use crate::store::pack::{Survey, Workshop};

/// Bytes that are read before they are cut: few enough to be in the cache of a core when they are named, and memory that
/// is touched for the first time costs more than what is done with it. A whole number of such portions is a segment.
pub(super) const PORTION_BYTES: usize = 1 << 20;
/// In front of a portion: what the one before it leaves uncut, which is less than a chunk.
const ROOM_BYTES: usize = MAX_CHUNK_BYTES as usize;
pub(super) const BUFFER_BYTES: usize = ROOM_BYTES + PORTION_BYTES;
/// With more threads it is reading that is waited for.
const MOST_THREADS: usize = 4;

/// Threads that take a part: as many as there are cores.
pub(super) fn threads() -> usize {
    // Those of the pool: to ask the system reads what is mounted each time, and takes as long as to read a megabyte.
    rayon::current_num_threads().min(MOST_THREADS)
}

/// Whole chunks side by side.
struct Run {
    /// Where they begin in the part.
    start: usize,
    /// Where they begin in the buffer.
    begin: usize,
    cuts: Vec<Range<usize>>,
}

/// Takes a part, which is cut at such places; gives what it is made of, and its bytes. Blocks until all was taken.
pub(super) fn take(takes: &Takes, grain: Grain, source: impl Read + Send) -> (Survey, io::Result<u64>) {
    let works = Works {
        takes,
        workshop: Workshop::default(),
        rest: Mutex::new(Rest {
            source,
            grain,
            uncut: Vec::with_capacity(ROOM_BYTES),
            start: 0,
            bytes: 0,
            is_at_end: false,
        }),
        surveyed: Mutex::default(),
        failed: Mutex::default(),
        cores: Cores::of(threads()),
    };
    thread::scope(|scope| {
        let works = &works;
        for nth in 1..threads() {
            let thread = thread::Builder::new().name("store-chunks".to_owned());
            // Without it the others do all.
            let _ = thread.spawn_scoped(scope, move || works.go_on(nth));
        }
        works.go_on(0);
    });
    takes.depot.hurry();
    let surveyed = works.surveyed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut all = Survey::default();
    for run in surveyed.into_values() {
        all.append(run);
    }
    let bytes = works.rest.into_inner().unwrap_or_else(PoisonError::into_inner).bytes;
    let failed = works.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    (all, failed.map_or(Ok(bytes), Err))
}

/// What was not read yet.
struct Rest<R> {
    source: R,
    grain: Grain,
    /// The end of what was read that may be the beginning of a chunk.
    uncut: Vec<u8>,
    /// Where that begins in the part.
    start: usize,
    /// Bytes that were read.
    bytes: u64,
    is_at_end: bool,
}

impl<R: Read> Rest<R> {
    /// The chunks that end in the next portion, in `buffer`; none at the end.
    fn next(&mut self, buffer: &mut [u8]) -> io::Result<Option<Run>> {
        if self.is_at_end {
            return Ok(None);
        }
        let bytes = fill(&mut self.source, &mut buffer[ROOM_BYTES..])?;
        self.bytes += bytes as u64;
        self.is_at_end = bytes < PORTION_BYTES;
        let (begin, end) = (ROOM_BYTES - self.uncut.len(), ROOM_BYTES + bytes);
        buffer[begin..ROOM_BYTES].copy_from_slice(&self.uncut);
        let known = &buffer[begin..end];
        let is_all = self.is_at_end || (self.start + known.len()).is_multiple_of(SEGMENT_BYTES);
        let cuts = chunks::cuts(known, self.grain, is_all);
        let cut = cuts.last().map_or(0, |last| last.end);
        self.uncut.clear();
        self.uncut.extend_from_slice(&known[cut..]);
        let start = self.start;
        self.start += cut;
        Ok(Some(Run { start, begin, cuts }))
    }

    /// Reads all, for who gives it; nobody wants it.
    fn forget(&mut self) -> io::Result<()> {
        self.is_at_end = true;
        self.bytes += io::copy(&mut self.source, &mut io::sink())?;
        Ok(())
    }
}

/// Reads until the buffer is full or the source ends; gives the bytes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// What the threads share.
struct Works<'a, R> {
    takes: &'a Takes,
    workshop: Workshop,
    rest: Mutex<Rest<R>>,
    /// By where each run begins.
    surveyed: Mutex<BTreeMap<usize, Survey>>,
    /// Why the source was not read to its end.
    failed: Mutex<Option<io::Error>>,
    cores: Cores,
}

impl<R: Read> Works<'_, R> {
    /// Works until nothing is left, as the `nth` thread.
    fn go_on(&self, nth: usize) {
        let mut buffer = vec![0; BUFFER_BYTES];
        while let Some(run) = self.next(&mut buffer) {
            self.cores.spread(nth);
            buffer = self.work_on(run, buffer);
        }
        self.cores.leave(nth);
    }

    fn next(&self, buffer: &mut [u8]) -> Option<Run> {
        let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
        // Without a store what comes is read and forgotten.
        let next = if self.takes.has_failed() {
            rest.forget().map(|()| None)
        } else {
            rest.next(buffer)
        };
        next.unwrap_or_else(|error| {
            rest.is_at_end = true;
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            None
        })
    }

    fn work_on(&self, run: Run, buffer: Vec<u8>) -> Vec<u8> {
        let Run { start, begin, cuts } = run;
        let buffer = Bytes::from(buffer);
        let plain = buffer.slice(begin..begin + cuts.last().map_or(0, |last| last.end));
        let depot = &self.takes.depot;
        let pieces = chunks::named(start, &plain, &cuts, depot.key());
        let surveyed = self
            .workshop
            .survey_in_haste(&self.takes.sieve, depot, (start, pieces), &plain);
        match surveyed {
            Ok(run) => {
                let mut surveyed = self.surveyed.lock().unwrap_or_else(PoisonError::into_inner);
                surveyed.insert(start, run);
            }
            Err(error) => self.takes.fail(error),
        }
        drop(plain);
        // A store in memory keeps it.
        if buffer.is_unique() {
            buffer.into()
        } else {
            vec![0; BUFFER_BYTES]
        }
    }
}
