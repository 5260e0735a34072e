//! A part on its way into a draft: one thread reads and cuts it, others name its chunks and write them.
//!
//! ```text
//!  source ──read, cut──▶ a run of whole chunks ──name, sift, write──▶ depot
//!              ▲                                        │
//!              └──────────────── buffers ◀──────────────┘
//! ```
//!
//! As many runs are in memory as come back in time; who gives the part waits for the others. Cuts are where the
//! segments of the same bytes in memory would be cut.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;

use super::Takes;
use crate::chunks::{self, Grain, MAX_CHUNK_BYTES, SEGMENT_BYTES};
use crate::store::pack::{Survey, Workshop};

/// Bytes that are read before they are cut: few enough to be in the cache of a core when they are named. A whole number
/// of such portions is a segment.
pub(super) const PORTION_BYTES: usize = 1 << 20;
/// Bytes that are read at once: a pipe is closed to its writer meanwhile.
const READ_BYTES: usize = 256 << 10;
/// What was read, behind what is left of the portion before.
pub(super) const BUFFER_BYTES: usize = PORTION_BYTES + MAX_CHUNK_BYTES as usize;
/// Buffers besides those of the threads that work: one is read into, the others wait. Memory that is touched for the
/// first time costs more than what is done with it, so they are few.
const BUFFERS_TO_SPARE: usize = 3;
/// With more threads it is the one that reads which is waited for.
const MOST_THREADS: usize = 4;

/// Threads that work: as many as there are cores beside that of who reads. What gives the part has to run, too.
fn threads() -> usize {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    cores.saturating_sub(1).clamp(1, MOST_THREADS)
}

/// Buffers of one part.
pub(super) fn buffers() -> usize {
    threads() + BUFFERS_TO_SPARE
}

/// Buffers that nobody uses, of one draft: what one part has touched the next does not touch for the first time.
#[derive(Debug, Default)]
pub(super) struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// Makes as many as one part needs, and touches them: somebody has time for it before the first part comes.
    pub(super) fn prepare(&self) {
        let touched = (0..buffers()).map(|_| vec![1; BUFFER_BYTES]).collect();
        self.give(touched);
    }

    /// No more than one part needs.
    fn take(&self) -> Vec<Vec<u8>> {
        let mut list = self.list();
        let left = list.len().saturating_sub(buffers());
        list.split_off(left)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.list().len()
    }

    fn give(&self, buffers: Vec<Vec<u8>>) {
        self.list().extend(buffers);
    }

    fn list(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whole chunks side by side, at the beginning of a buffer.
struct Run {
    /// Where they begin in the part.
    start: usize,
    buffer: Vec<u8>,
    cuts: Vec<Range<usize>>,
}

/// Takes a part, which is cut at such places; gives what it is made of, and its bytes. Blocks until all was taken.
pub(super) fn take(takes: &Takes, grain: Grain, source: impl Read) -> (Survey, io::Result<u64>) {
    let ((runs, next), (back, idle)) = (channel(), channel());
    let mut ready = takes.buffers.take();
    let works = Works {
        takes,
        workshop: Workshop::default(),
        next: Mutex::new(next),
        surveyed: Mutex::default(),
    };
    let done = thread::scope(|scope| {
        let reader = Reader {
            takes,
            grain,
            runs,
            idle: &idle,
            made: ready.len(),
            ready: &mut ready,
        };
        for _ in 0..threads() {
            let (works, back) = (&works, back.clone());
            let thread = thread::Builder::new().name("store-chunks".to_owned());
            thread.spawn_scoped(scope, move || works.go_on(&back))?;
        }
        drop(back);
        reader.read(source)
    });
    ready.extend(idle);
    takes.buffers.give(ready);
    let surveyed = works.surveyed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut all = Survey::default();
    for run in surveyed.into_values() {
        all.append(run);
    }
    (all, done)
}

/// Reads and cuts.
struct Reader<'a> {
    takes: &'a Takes,
    grain: Grain,
    runs: Sender<Run>,
    idle: &'a Receiver<Vec<u8>>,
    /// Buffers that were not used yet.
    ready: &'a mut Vec<Vec<u8>>,
    /// Buffers that there are.
    made: usize,
}

impl Reader<'_> {
    /// Gives the bytes that were read.
    fn read(mut self, mut source: impl Read) -> io::Result<u64> {
        let (mut buffer, mut start, mut uncut) = (self.buffer()?, 0, 0);
        loop {
            let known = uncut + fill(&mut source, &mut buffer[uncut..uncut + PORTION_BYTES])?;
            let is_end = known - uncut < PORTION_BYTES;
            // Without a store what comes is read and forgotten.
            if self.takes.has_failed() {
                let forgotten = if is_end {
                    0
                } else {
                    io::copy(&mut source, &mut io::sink())?
                };
                return Ok((start + known) as u64 + forgotten);
            }
            let is_all = is_end || (start + known).is_multiple_of(SEGMENT_BYTES);
            let cuts = chunks::cuts(&buffer[..known], self.grain, is_all);
            let cut = cuts.last().map_or(0, |last| last.end);
            let mut next = if is_end { Vec::new() } else { self.buffer()? };
            uncut = known - cut;
            next[..uncut].copy_from_slice(&buffer[cut..known]);
            let buffer_of_run = std::mem::replace(&mut buffer, next);
            // Fails when nobody works any more; then no buffer comes back either.
            let _ = self.runs.send(Run {
                start,
                buffer: buffer_of_run,
                cuts,
            });
            start += cut;
            if is_end {
                return Ok(start as u64);
            }
        }
    }

    /// One that nobody uses; waits for it when there are enough.
    fn buffer(&mut self) -> io::Result<Vec<u8>> {
        // What was used last is still in the cache.
        if let Some(idle) = self.idle.try_recv().ok().or_else(|| self.ready.pop()) {
            return Ok(idle);
        }
        if self.made >= buffers() {
            let idle = self.idle.recv();
            return idle.map_err(|_| io::Error::other("nobody works on what is read"));
        }
        self.made += 1;
        Ok(vec![0; BUFFER_BYTES])
    }
}

/// Reads until the buffer is full or the source ends; gives the bytes.
fn fill(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        let end = buffer.len().min(filled + READ_BYTES);
        match source.read(&mut buffer[filled..end]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Names and writes, on several threads.
struct Works<'a> {
    takes: &'a Takes,
    workshop: Workshop,
    next: Mutex<Receiver<Run>>,
    /// By where each run begins.
    surveyed: Mutex<BTreeMap<usize, Survey>>,
}

impl Works<'_> {
    /// Works on runs until there are no more, and gives their buffers back.
    fn go_on(&self, back: &Sender<Vec<u8>>) {
        loop {
            let next = self.next.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(run) = next else { return };
            // Nobody wants it behind the last run.
            let _ = back.send(self.work_on(run));
        }
    }

    fn work_on(&self, run: Run) -> Vec<u8> {
        let Run { start, buffer, cuts } = run;
        let buffer = Bytes::from(buffer);
        let plain = buffer.slice(..cuts.last().map_or(0, |last| last.end));
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
