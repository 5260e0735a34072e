//! The chunks that a seal adds, side by side as they go into a pack or an envelope. Reads the payload, a segment
//! at a time, and writes nothing; uses all cores.
//!
//! A segment is read once: what the store may lack is compressed as long as it is in the cache. Only when a pack
//! that was relied on turns out not to do are its chunks read again.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Mutex, PoisonError};

use blake3::Hash;
use bytes::Bytes;
use rayon::prelude::*;
use uuid::Uuid;

use super::plan::Reuse;
use crate::chunks::{self, ChunkRef, Compressor, Packed, Piece};
use crate::encryption::{Nonce, TenantKey};
use crate::envelope::{Entry, Holder};
use crate::payload::{Payload, PayloadError, Segment};

/// The most chunks that one core compresses before it looks for others.
const CHUNKS_AT_ONCE: usize = 8;
/// With fewer chunks, so many shares for each core: a small payload is compressed by all of them, too.
const SHARES: usize = 2;

/// The chunks that a seal adds.
#[derive(Clone, Debug)]
pub(super) struct NewChunks {
    /// By name; equal chunks are stored once.
    pub(super) entries: HashMap<Hash, Entry>,
    /// The stored bytes, in order.
    pub(super) stored: Vec<Bytes>,
    /// How many they are.
    pub(super) bytes: u64,
}

/// What a payload is made of.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// In order.
    pub(super) pieces: Vec<Piece>,
    /// What was packed on the way, each chunk once.
    packed: Vec<(ChunkRef, Packed)>,
}

/// Why chunks were not packed.
#[derive(Debug)]
pub(super) enum PackError {
    /// There is no memory to compress with.
    Compress(io::Error),
    /// The payload cannot be read.
    Read(PayloadError),
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
struct Workshop {
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

    fn pack(&self, pieces: &[&Piece], plain: &[u8], start: u64) -> io::Result<Vec<(ChunkRef, Packed)>> {
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

    /// What `work` makes of each segment, in order.
    fn each_segment<T: Send>(
        &self,
        payload: &Payload,
        segments: &[Segment],
        work: impl Fn(&Segment, &[u8]) -> Result<T, PackError> + Sync,
    ) -> Result<Vec<T>, PackError> {
        let done = segments.par_iter().with_max_len(1).map(|segment| {
            let mut buffer = self.buffer();
            payload.read(segment, &mut buffer)?;
            let done = work(segment, &buffer);
            self.buffers.lock().unwrap_or_else(PoisonError::into_inner).push(buffer);
            done
        });
        done.collect()
    }
}

fn bytes_of<'a>(piece: &Piece, plain: &'a [u8], start: u64) -> &'a [u8] {
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    &plain[piece.range.start - start..piece.range.end - start]
}

/// Cuts a payload, and packs nothing.
///
/// # Errors
/// When the payload cannot be read.
pub(super) fn cut(payload: &Payload, key: Option<&TenantKey>) -> Result<Vec<Piece>, PackError> {
    let pieces = Workshop::default().each_segment(payload, &payload.segments(), |segment, plain| {
        let start = usize::try_from(segment.start).map_err(io::Error::other)?;
        Ok(chunks::cut_segment(start, plain, key))
    })?;
    Ok(pieces.concat())
}

/// Cuts a payload, and packs all chunks that are not `known`.
///
/// # Errors
/// When there is no memory to compress with, or the payload cannot be read.
pub(super) fn survey(payload: &Payload, known: &HashSet<Hash>, key: Option<&TenantKey>) -> Result<Survey, PackError> {
    let (workshop, seen) = (Workshop::default(), Mutex::new(HashSet::new()));
    let surveyed = workshop.each_segment(payload, &payload.segments(), |segment, plain| {
        // A payload that is longer than the memory of this machine can address is not cut.
        let start = usize::try_from(segment.start).map_err(io::Error::other)?;
        let pieces = chunks::cut_segment(start, plain, key);
        let new: Vec<&Piece> = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            let mut is_new = |hash: &Hash| !known.contains(hash) && seen.insert(*hash);
            pieces.iter().filter(|piece| is_new(&piece.chunk.hash)).collect()
        };
        let packed = workshop.pack(&new, plain, segment.start)?;
        Ok((pieces, packed))
    })?;
    let mut survey = Survey::default();
    for (pieces, packed) in surveyed {
        survey.pieces.extend(pieces);
        survey.packed.extend(packed);
    }
    Ok(survey)
}

/// The chunks of a surveyed payload that `reuse` has not, to be written by `attempt` into `holder`.
///
/// # Errors
/// When there is no memory to compress with, or the payload cannot be read again or has changed.
pub(super) fn pack_new(
    payload: &Payload,
    survey: Survey,
    reuse: &Reuse,
    holder: Holder,
    attempt: Uuid,
    key: Option<&TenantKey>,
) -> Result<(Vec<Piece>, NewChunks), PackError> {
    let Survey { pieces, mut packed } = survey;
    let have: HashSet<Hash> = packed.iter().map(|(chunk, _)| chunk.hash).collect();
    let lacks = |hash: &Hash| !have.contains(hash) && !reuse.entries.contains_key(hash);
    let mut missing: HashSet<Hash> = HashSet::new();
    let missing: Vec<&Piece> = pieces
        .iter()
        .filter(|piece| lacks(&piece.chunk.hash) && missing.insert(piece.chunk.hash))
        .collect();
    packed.extend(pack_again(payload, &missing, key)?);
    let (chunks, packed): (Vec<ChunkRef>, Vec<Packed>) = packed.into_iter().unzip();
    let new = side_by_side(&chunks, place(packed, attempt, key), holder);
    Ok((pieces, new))
}

/// Packs pieces that were passed over before; they are in the order of the payload.
fn pack_again(
    payload: &Payload,
    pieces: &[&Piece],
    key: Option<&TenantKey>,
) -> Result<Vec<(ChunkRef, Packed)>, PackError> {
    let workshop = Workshop::default();
    let within = |segment: &Segment| {
        let from = |place: u64| pieces.partition_point(|piece| (piece.range.start as u64) < place);
        from(segment.start)..from(segment.start + segment.bytes as u64)
    };
    let mut segments = payload.segments();
    segments.retain(|segment| !within(segment).is_empty());
    let packed = workshop.each_segment(payload, &segments, |segment, plain| {
        let pieces = &pieces[within(segment)];
        let changed = |piece: &&Piece| chunks::name(bytes_of(piece, plain, segment.start), key) != piece.chunk;
        if pieces.iter().any(changed) {
            return Err(PayloadError::Changed.into());
        }
        Ok(workshop.pack(pieces, plain, segment.start)?)
    })?;
    Ok(packed.concat())
}

fn side_by_side(chunks: &[ChunkRef], packed: Vec<Packed>, holder: Holder) -> NewChunks {
    let mut new = NewChunks {
        entries: HashMap::with_capacity(chunks.len()),
        stored: Vec::with_capacity(chunks.len()),
        bytes: 0,
    };
    for (chunk, packed) in chunks.iter().zip(packed) {
        let entry = Entry {
            chunk: *chunk,
            form: packed.form,
            holder,
            offset: new.bytes,
            stored_bytes: length_of(&packed.stored),
        };
        new.bytes += u64::from(entry.stored_bytes);
        new.entries.insert(chunk.hash, entry);
        new.stored.push(packed.stored);
    }
    new
}

/// Encrypts, when there is a key. Where a chunk comes to lie is part of its nonce.
fn place(packed: Vec<Packed>, attempt: Uuid, key: Option<&TenantKey>) -> Vec<Packed> {
    let Some(key) = key else { return packed };
    let mut offset = 0;
    let mut placed = Vec::with_capacity(packed.len());
    for packed in packed {
        let nonce = Nonce::of(attempt, offset);
        offset += packed.stored.len() as u64 + TenantKey::TAG_BYTES;
        placed.push((nonce, packed));
    }
    let encrypted = placed
        .into_par_iter()
        .map(|(nonce, packed)| chunks::encrypt(&packed, key, nonce));
    encrypted.collect()
}

#[expect(
    clippy::expect_used,
    reason = "a stored chunk is at most a plain one and a tag, and that is far below 4 GiB"
)]
fn length_of(stored: &Bytes) -> u32 {
    u32::try_from(stored.len()).expect("the length of a stored chunk fits into 32 bits")
}
