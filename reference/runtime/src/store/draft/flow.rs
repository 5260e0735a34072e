//! A part on its way into a draft: read by one thread, a segment at a time, and worked on by the cores.
//!
//! As many segments are in memory as come back in time; who gives the part waits for the others.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use bytes::Bytes;

use super::Takes;
use crate::chunks::SEGMENT_BYTES;
use crate::store::pack::{Survey, Workshop};

/// Segments that are in memory at a time, of one part.
pub(super) const SEGMENTS_IN_MEMORY: usize = 4;

/// Segments of one part on their way: read by one thread, worked on by the cores, each in a buffer that comes back.
pub(super) struct Flow<'a> {
    takes: &'a Arc<Takes>,
    workshop: Arc<Workshop>,
    back: (SyncSender<Done>, Receiver<Done>),
    idle: Vec<Vec<u8>>,
    under_way: usize,
    surveyed: HashMap<usize, Survey>,
}

/// A segment that was worked on.
struct Done {
    start: usize,
    buffer: Vec<u8>,
    surveyed: Option<Survey>,
}

impl<'a> Flow<'a> {
    pub(super) fn new(takes: &'a Arc<Takes>) -> Self {
        Self {
            takes,
            workshop: Arc::default(),
            back: sync_channel(SEGMENTS_IN_MEMORY),
            idle: Vec::new(),
            under_way: 0,
            surveyed: HashMap::new(),
        }
    }

    /// Gives the bytes that were read.
    pub(super) fn run(&mut self, mut source: impl Read) -> io::Result<u64> {
        let mut start = 0;
        loop {
            let mut buffer = self.buffer();
            buffer.clear();
            let read = source.by_ref().take(SEGMENT_BYTES as u64).read_to_end(&mut buffer)?;
            if read == 0 {
                return Ok(start as u64);
            }
            // Without a store what comes is read and forgotten.
            if self.takes.has_failed() {
                self.idle.push(buffer);
            } else {
                self.work_on(start, buffer);
            }
            start += read;
        }
    }

    /// One that nobody uses; waits for it when there are enough.
    fn buffer(&mut self) -> Vec<u8> {
        while self.under_way == SEGMENTS_IN_MEMORY {
            self.wait_for_one();
        }
        self.idle.pop().unwrap_or_else(|| Vec::with_capacity(SEGMENT_BYTES))
    }

    fn work_on(&mut self, start: usize, buffer: Vec<u8>) {
        self.under_way += 1;
        let (takes, workshop) = (Arc::clone(self.takes), Arc::clone(&self.workshop));
        let back = self.back.0.clone();
        rayon::spawn(move || {
            let plain = Bytes::from(buffer);
            let surveyed = match workshop.survey(&takes.sieve, &takes.depot, start, &plain) {
                Ok(surveyed) => Some(surveyed),
                Err(error) => {
                    takes.fail(error);
                    None
                }
            };
            // Before anybody hears of it: the draft has to be nobody else's.
            drop(takes);
            let buffer = if plain.is_unique() { plain.into() } else { Vec::new() };
            // Whoever waits has a place for each that is under way.
            let _ = back.send(Done {
                start,
                buffer,
                surveyed,
            });
        });
    }

    fn wait_for_one(&mut self) {
        self.under_way -= 1;
        if let Ok(done) = self.back.1.recv() {
            self.idle.push(done.buffer);
            self.surveyed
                .extend(done.surveyed.map(|surveyed| (done.start, surveyed)));
        }
    }

    /// All of the part, in order.
    pub(super) fn end(mut self) -> Survey {
        while self.under_way > 0 {
            self.wait_for_one();
        }
        let mut starts: Vec<usize> = self.surveyed.keys().copied().collect();
        starts.sort_unstable();
        let mut all = Survey::default();
        for start in starts {
            all.append(self.surveyed.remove(&start).unwrap_or_default());
        }
        all
    }
}
