//! The chunks that a seal adds, put in a depot as they are made. Reads the payload, a segment at a time; uses all
//! cores.
//!
//! A segment is read once: what the store may lack is packed as long as it is in the cache. Only when a pack
//! that was relied on turns out not to do are its chunks read again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use blake3::Hash;
use bytes::Bytes;
use rayon::prelude::*;

use super::depot::Depot;
use super::plan::Reuse;
use crate::chunks::{self, ChunkRef, Compressor, Grain, Packed, Piece};
use crate::encryption::TenantKey;
use crate::envelope::{Entry, Holder};
use crate::payload::{Payload, PayloadError, Run, Runs, Segment};

/// The most chunks that one core compresses before it looks for others.
const CHUNKS_AT_ONCE: usize = 8;
/// With so many bytes one chunk is tried before all are stored as they are.
const MANY_BYTES: usize = 1 << 20;
/// Zeroes and what repeats itself shrink to less than one part in so many, and do so faster than they could be written.
const SHRINKS_WELL: usize = 6;
/// With fewer chunks, so many shares for each core: a small payload is compressed by all of them, too.
const SHARES: usize = 2;

/// Tells what is new.
#[derive(Debug)]
pub(super) struct Sieve {
    /// What the store may have.
    known: HashSet<Hash>,
    /// What was new, once.
    seen: Mutex<HashSet<Hash>>,
}

impl Sieve {
    pub(super) fn new(known: HashSet<Hash>) -> Self {
        Self {
            known,
            seen: Mutex::default(),
        }
    }

    /// Each new chunk once, of all calls.
    fn new_of<'a>(&self, pieces: &'a [Piece]) -> Vec<&'a Piece> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_new = |hash: &Hash| !self.known.contains(hash) && seen.insert(*hash);
        pieces.iter().filter(|piece| is_new(&piece.chunk.hash)).collect()
    }
}

/// What a payload is made of.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// In order.
    pub(super) pieces: Vec<Piece>,
    /// What was put in the depot on the way, each chunk once.
    shelved: Vec<Entry>,
}

impl Survey {
    /// Adds what comes behind it.
    pub(super) fn append(&mut self, mut other: Self) {
        self.pieces.append(&mut other.pieces);
        self.shelved.append(&mut other.shelved);
    }

    /// What was put in the depot on the way alone.
    pub(super) fn into_shelved(self) -> Vec<Entry> {
        self.shelved
    }

    /// Adds what was put in the depot besides.
    pub(super) fn has_also(&mut self, shelved: Vec<Entry>) {
        self.shelved.extend(shelved);
    }

    /// The same, for a part that begins there.
    fn beginning_at(mut self, start: usize) -> Self {
        for piece in &mut self.pieces {
            piece.range = piece.range.start + start..piece.range.end + start;
        }
        self
    }

    /// The pieces that are neither in the depot nor in what is relied on, each chunk once.
    fn missing(&self, reuse: &Reuse) -> Vec<&Piece> {
        let mut have: HashSet<Hash> = self.shelved.iter().map(|entry| entry.chunk.hash).collect();
        let mut lacks = |hash: &Hash| !reuse.entries.contains_key(hash) && have.insert(*hash);
        self.pieces.iter().filter(|piece| lacks(&piece.chunk.hash)).collect()
    }

    /// The chunks of parts that were taken before which are missing now, and cannot be read again.
    pub(super) fn missing_of_taken(&self, payload: &Payload, reuse: &Reuse) -> HashSet<Hash> {
        let is_taken = |piece: &&Piece| payload.has_taken(piece.range.start as u64);
        let missing = self.missing(reuse).into_iter().filter(is_taken);
        missing.map(|piece| piece.chunk.hash).collect()
    }
}

/// Why chunks were not packed.
#[derive(Debug)]
pub(super) enum PackError {
    /// There is no memory to compress with.
    Compress(io::Error),
    /// The payload cannot be read.
    Read(PayloadError),
    /// The chunks cannot be written.
    Write(io::Error),
}

impl PackError {
    /// Without this chunk the payload could not be read again.
    pub(super) fn lost(hash: &Hash) -> Self {
        let hash = hash.to_hex();
        Self::Write(io::Error::other(format!("chunk {hash} of the payload is nowhere")))
    }
}

impl From<PayloadError> for PackError {
    fn from(error: PayloadError) -> Self {
        Self::Read(error)
    }
}

impl From<io::Error> for PackError {
    fn from(error: io::Error) -> Self {
        Self::Compress(error)
    }
}

/// Memory that is used again.
#[derive(Default)]
pub(super) struct Workshop {
    compressors: Mutex<Vec<Compressor>>,
    buffers: Mutex<Vec<Vec<u8>>>,
}

impl Workshop {
    fn compressor(&self) -> io::Result<Compressor> {
        let idle = self.compressors.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.map_or_else(Compressor::new, Ok)
    }

    fn buffer(&self) -> Vec<u8> {
        let idle = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_default()
    }

    /// Cuts a segment that begins at `start`, and puts what is new of it in the depot.
    fn survey(
        &self,
        sieve: &Sieve,
        depot: &Depot,
        (start, grain): (usize, Grain),
        plain: &Bytes,
    ) -> Result<Survey, PackError> {
        let pieces = chunks::cut_segment(start, plain, grain, depot.key());
        let shelved = self.shelve(depot, &sieve.new_of(&pieces), plain, start)?;
        Ok(Survey { pieces, shelved })
    }

    /// Puts what is new of `pieces` in the depot, for somebody who waits: as it is, if the depot takes it so.
    pub(super) fn survey_in_haste(
        &self,
        sieve: &Sieve,
        depot: &Depot,
        (start, pieces): (usize, Vec<Piece>),
        plain: &Bytes,
    ) -> Result<Survey, PackError> {
        let new = sieve.new_of(&pieces);
        let shelved = if depot.takes_plain() {
            depot.put_plain(&new, plain, start)?
        } else {
            depot.put(self.pack(&new, plain, start)?)?
        };
        Ok(Survey { pieces, shelved })
    }

    /// Puts `pieces` of a segment in the depot.
    fn shelve(&self, depot: &Depot, pieces: &[&Piece], plain: &Bytes, start: usize) -> Result<Vec<Entry>, PackError> {
        if depot.takes_plain() && !self.shrinks_well(pieces, plain, start)? {
            return depot.put_plain(pieces, plain, start);
        }
        depot.put(self.pack(pieces, plain, start)?)
    }

    /// Whether so little is left of one chunk among many that to compress all is faster than to write them.
    fn shrinks_well(&self, pieces: &[&Piece], plain: &[u8], start: usize) -> io::Result<bool> {
        let bytes: usize = pieces.iter().map(|piece| piece.range.len()).sum();
        let Some(sample) = pieces.get(pieces.len() / 2).filter(|_| bytes >= MANY_BYTES) else {
            return Ok(false);
        };
        let packed = self.pack(&[*sample], plain, start)?;
        let left: usize = packed.iter().map(|(_, packed)| packed.stored.len()).sum();
        Ok(left * SHRINKS_WELL <= sample.range.len())
    }

    fn pack(&self, pieces: &[&Piece], plain: &[u8], start: usize) -> io::Result<Vec<(ChunkRef, Packed)>> {
        let share = pieces.len() / (SHARES * rayon::current_num_threads());
        let packed = pieces.par_chunks(share.clamp(1, CHUNKS_AT_ONCE)).map(|pieces| {
            let mut compressor = self.compressor()?;
            let packed = pieces.iter().map(|piece| {
                let packed = chunks::pack(&mut compressor, bytes_of(piece, plain, start))?;
                Ok((piece.chunk, packed))
            });
            let packed: io::Result<Vec<_>> = packed.collect();
            self.compressors
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(compressor);
            packed
        });
        let packed: io::Result<Vec<Vec<_>>> = packed.collect();
        Ok(packed?.into_iter().flatten().collect())
    }

    /// What `work` makes of each segment and where it starts, in order.
    fn each_segment<T: Send>(
        &self,
        payload: &Payload,
        segments: &[Segment],
        work: impl Fn(&Segment, usize, &Bytes) -> Result<T, PackError> + Sync,
    ) -> Result<Vec<T>, PackError> {
        let done = segments.par_iter().with_max_len(1).map(|segment| {
            // A payload that is longer than the memory of this machine can address is not cut.
            let start = usize::try_from(segment.start).map_err(io::Error::other)?;
            if let Some(plain) = payload.in_memory(segment) {
                return work(segment, start, &plain);
            }
            let mut buffer = self.buffer();
            payload.read(segment, &mut buffer)?;
            let plain = Bytes::from(buffer);
            let done = work(segment, start, &plain);
            if plain.is_unique() {
                let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
                buffers.push(plain.into());
            }
            done
        });
        done.collect()
    }
}

fn bytes_of<'a>(piece: &Piece, plain: &'a [u8], start: usize) -> &'a [u8] {
    &plain[piece.range.start - start..piece.range.end - start]
}

/// Cuts a payload, and packs nothing.
///
/// # Errors
/// When the payload cannot be read.
pub(super) fn cut(payload: &Payload, key: Option<&TenantKey>) -> Result<Vec<Piece>, PackError> {
    let pieces = Workshop::default().each_segment(payload, &payload.segments(), |segment, start, plain| {
        Ok(chunks::cut_segment(start, plain, segment.grain, key))
    })?;
    Ok(pieces.concat())
}

/// Cuts a payload, and puts all chunks that are new in the depot; `taken` is what was done of it before.
///
/// # Errors
/// When there is no memory to compress with, the payload cannot be read, or a chunk not be written.
pub(super) fn survey(
    payload: &Payload,
    sieve: &Sieve,
    mut taken: Vec<Survey>,
    depot: &Depot,
) -> Result<Survey, PackError> {
    let (workshop, segments) = (Workshop::default(), payload.segments());
    let surveyed = workshop.each_segment(payload, &segments, |segment, start, plain| {
        workshop.survey(sieve, depot, (start, segment.grain), plain)
    })?;
    let starts = segments.iter().map(|segment| segment.start);
    let mut all: Vec<(u64, Survey)> = starts.zip(surveyed).collect();
    for (start, part) in payload.taken_parts() {
        let begin = usize::try_from(start).map_err(io::Error::other)?;
        let part = taken.get_mut(part.nth()).map(std::mem::take).unwrap_or_default();
        all.push((start, part.beginning_at(begin)));
    }
    all.sort_by_key(|(start, _)| *start);
    let mut survey = Survey::default();
    for (_, part) in all {
        survey.append(part);
    }
    Ok(survey)
}

/// As [`cut`], of a payload that was begun to be read in order.
///
/// # Errors
/// As for [`cut`], or when it cannot be written in full.
pub(super) fn cut_runs(begun: Vec<Run>, mut rest: Runs, key: Option<&TenantKey>) -> Result<Vec<Piece>, PackError> {
    let mut pieces: Vec<Piece> = begun.into_iter().flat_map(|run| run.pieces).collect();
    while let Some(run) = rest.next(key)? {
        pieces.extend(run.pieces);
    }
    Ok(pieces)
}

/// As [`survey`], of a payload that was begun to be read in order and is perhaps still written; gives what it is in
/// full. One thread does it, beside the one that writes.
///
/// # Errors
/// As for [`survey`], or when it cannot be written in full.
pub(super) fn survey_runs(
    begun: Vec<Run>,
    mut rest: Runs,
    sieve: &Sieve,
    depot: &Depot,
) -> Result<(Survey, Payload), PackError> {
    let mut surveyor = Surveyor::default();
    for run in begun {
        surveyor.take(run, sieve, depot)?;
    }
    while let Some(run) = rest.next(depot.key())? {
        surveyor.take(run, sieve, depot)?;
    }
    Ok(surveyor.end())
}

/// Surveys a payload run by run.
#[derive(Default)]
pub(super) struct Surveyor {
    workshop: Workshop,
    survey: Survey,
    payload: Payload,
}

impl Surveyor {
    /// Puts what is new of the next run in the depot.
    ///
    /// # Errors
    /// When there is no memory to compress with, or a chunk cannot be written.
    pub(super) fn take(&mut self, run: Run, sieve: &Sieve, depot: &Depot) -> Result<(), PackError> {
        let Run { start, plain, pieces } = run;
        let shelved = self.workshop.shelve(depot, &sieve.new_of(&pieces), &plain, start)?;
        self.survey.shelved.extend(shelved);
        self.survey.pieces.extend(pieces);
        self.payload.push(plain);
        Ok(())
    }

    /// What was taken, and what it is in full.
    pub(super) fn end(self) -> (Survey, Payload) {
        (self.survey, self.payload)
    }
}

/// The pieces of a surveyed payload, and where the chunks are that `reuse` has not: in the depot, which is to be
/// called `holder`.
///
/// # Errors
/// As for [`survey`], and when the payload has changed since.
pub(super) fn pack_new(
    payload: &Payload,
    survey: Survey,
    reuse: &Reuse,
    holder: Holder,
    depot: &Depot,
) -> Result<(Vec<Piece>, HashMap<Hash, Entry>), PackError> {
    let again = shelve_again(payload, &survey.missing(reuse), depot)?;
    let Survey { pieces, mut shelved } = survey;
    shelved.extend(again);
    let named = |entry: Entry| (entry.chunk.hash, Entry { holder, ..entry });
    let entries = shelved.into_iter().map(named).collect();
    Ok((pieces, entries))
}

/// Puts pieces in the depot that were passed over before; they are in the order of the payload.
fn shelve_again(payload: &Payload, pieces: &[&Piece], depot: &Depot) -> Result<Vec<Entry>, PackError> {
    let key = depot.key();
    let workshop = Workshop::default();
    let within = |segment: &Segment| {
        let from = |place: u64| pieces.partition_point(|piece| (piece.range.start as u64) < place);
        from(segment.start)..from(segment.start + segment.bytes as u64)
    };
    let mut segments = payload.segments();
    segments.retain(|segment| !within(segment).is_empty());
    let shelved = workshop.each_segment(payload, &segments, |segment, start, plain| {
        let pieces = &pieces[within(segment)];
        let changed = |piece: &&Piece| chunks::name(bytes_of(piece, plain, start), key) != piece.chunk;
        if pieces.iter().any(changed) {
            return Err(PayloadError::Changed.into());
        }
        workshop.shelve(depot, pieces, plain, start)
    })?;
    Ok(shelved.concat())
}
