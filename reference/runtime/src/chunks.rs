//! How a payload is cut into chunks, what a chunk is called, and how it looks at rest.
//!
//! Decides where the cuts are (by content, so that bytes put in at one place move no cut far from it), the
//! name of a chunk (the BLAKE3 hash of its plain bytes) and its stored form. Leaves out where chunks are
//! kept and which checkpoint needs them. Pure: no I/O, no clock; the work is spread over the cores.
//!
//! ```text
//! payload ──cut──> pieces ──compress, unless it does not pay──> ──encrypt, with a tenant's key──> stored
//! ```
//!
//! Every stored bit is covered: a plain chunk by its name, a compressed one by a check of its own (zstd
//! ignores some bits of a frame, and damaged bytes are kept away from the decoder), an encrypted one by its
//! authentication tag.

mod cuts;

use std::ops::Range;

use blake3::Hash;
use bytes::Bytes;
use rayon::prelude::*;

use crate::encryption::{Nonce, Opened, TenantKey};
pub(crate) use cuts::{Grain, cuts};

/// Smallest chunk in bytes, but for the last one of a segment; of memory half of that.
pub const MIN_CHUNK_BYTES: u32 = 16 * 1024;
/// Size in bytes that chunks have on average; of memory half of that.
pub const AVERAGE_CHUNK_BYTES: u32 = 64 * 1024;
/// Largest chunk in bytes; of memory half of that.
pub const MAX_CHUNK_BYTES: u32 = 256 * 1024;
/// A payload is cut in segments of so many bytes, each by itself, so that more than one core can cut.
pub const SEGMENT_BYTES: usize = 4 << 20;

/// Fewer bytes are worked on by one core sooner than others are woken.
pub(crate) const SPREAD_BYTES: usize = 1 << 20;
/// The fastest regular level: a pause waits for compression, and most pages of a process are zero or text.
const COMPRESSION_LEVEL: i32 = 1;
/// Compression pays when it saves at least one part in so many.
const LEAST_SAVING: usize = 16;
/// Bytes of a check.
pub const CHECK_BYTES: usize = 16;

/// Names one chunk and says how many plain bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// BLAKE3 of the plain bytes; keyed by the tenant's key when there is one.
    pub hash: Hash,
    /// Plain bytes; 1 to [`MAX_CHUNK_BYTES`].
    pub length: u32,
}

/// A chunk and where in its payload it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The chunk.
    pub chunk: ChunkRef,
    /// Its bytes in the payload.
    pub range: Range<usize>,
}

/// What was done to the plain bytes before any encryption.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Nothing: compression does not pay.
    Plain,
    /// Nothing yet: nobody has tried.
    Untried,
    /// One zstd frame.
    Zstd,
}

/// What is needed beside a chunk's name to read its stored form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    /// What was done to the plain bytes.
    pub encoding: Encoding,
    /// First bytes of the BLAKE3 of the stored bytes; zero where something else covers them.
    pub check: [u8; CHECK_BYTES],
}

/// A chunk in its stored form.
#[derive(Clone, Debug)]
pub struct Packed {
    /// How to read it.
    pub form: Form,
    /// The stored bytes.
    pub stored: Bytes,
}

/// Why stored bytes are not the chunk they should be.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// The stored bytes changed after they were written.
    #[error("the stored bytes changed after they were written")]
    Changed,
    /// The frame cannot be decoded, or gives more bytes than the chunk has.
    #[error("decompress the stored bytes")]
    Decompress(#[source] std::io::Error),
    /// Sound, but another chunk.
    #[error("the stored bytes are not those of this chunk")]
    OtherChunk,
}

/// Cuts `payload` at places that its content decides, and names the pieces. Joined in order they are
/// `payload`; an empty payload has none.
#[must_use]
pub fn cut(payload: &[u8], key: Option<&TenantKey>) -> Vec<Piece> {
    if payload.len() < SPREAD_BYTES {
        return cut_segment(0, payload, Grain::Byte, key);
    }
    let segments: Vec<Vec<Piece>> = payload
        .par_chunks(SEGMENT_BYTES)
        .enumerate()
        .map(|(nth, segment)| cut_segment(nth * SEGMENT_BYTES, segment, Grain::Byte, key))
        .collect();
    segments.concat()
}

/// The pieces of one segment, which begins at `start` of its payload.
pub(crate) fn cut_segment(start: usize, segment: &[u8], grain: Grain, key: Option<&TenantKey>) -> Vec<Piece> {
    let cuts = cuts(segment, grain, true);
    if segment.len() < SPREAD_BYTES {
        return named(start, segment, &cuts, key);
    }
    // Where the cuts are is found by one core; the names of many bytes are found by all.
    cuts.par_iter().map(|cut| piece(start, segment, cut, key)).collect()
}

/// The first pieces of a segment, of which only `beginning` is known; it begins at `start` of its payload. They are
/// pieces of the segment whatever follows.
pub(crate) fn cut_beginning(start: usize, beginning: &[u8], grain: Grain, key: Option<&TenantKey>) -> Vec<Piece> {
    named(start, beginning, &cuts(beginning, grain, false), key)
}

/// Names the pieces of `bytes`, which begin at `start` of a payload.
pub(crate) fn named(start: usize, bytes: &[u8], cuts: &[Range<usize>], key: Option<&TenantKey>) -> Vec<Piece> {
    cuts.iter().map(|cut| piece(start, bytes, cut, key)).collect()
}

fn piece(start: usize, bytes: &[u8], cut: &Range<usize>, key: Option<&TenantKey>) -> Piece {
    Piece {
        chunk: reference(&bytes[cut.clone()], key),
        range: start + cut.start..start + cut.end,
    }
}

/// The stored form of a chunk before encryption: that of `plain` itself when compression does not pay.
///
/// # Errors
/// When the compressor fails, which only a lack of memory makes it do.
pub fn pack(compressor: &mut Compressor, plain: &[u8]) -> std::io::Result<Packed> {
    let frame = compressor.compress(plain)?;
    if frame.len() + plain.len() / LEAST_SAVING > plain.len() {
        let form = Form {
            encoding: Encoding::Plain,
            check: [0; CHECK_BYTES],
        };
        return Ok(Packed {
            form,
            stored: Bytes::copy_from_slice(plain),
        });
    }
    let form = Form {
        encoding: Encoding::Zstd,
        check: check_of(frame),
    };
    Ok(Packed {
        form,
        stored: Bytes::copy_from_slice(frame),
    })
}

/// Compresses chunks for [`pack`], one after the other in the same memory.
pub struct Compressor {
    zstd: zstd::bulk::Compressor<'static>,
    frame: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").finish_non_exhaustive()
    }
}

impl Compressor {
    /// A compressor with the memory that it needs.
    ///
    /// # Errors
    /// There is not as much.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            zstd: zstd::bulk::Compressor::new(COMPRESSION_LEVEL)?,
            frame: vec![0; zstd::zstd_safe::compress_bound(MAX_CHUNK_BYTES as usize)],
        })
    }

    fn compress(&mut self, plain: &[u8]) -> std::io::Result<&[u8]> {
        let bytes = self.zstd.compress_to_buffer(plain, &mut self.frame)?;
        Ok(&self.frame[..bytes])
    }
}

/// The stored form of a chunk that is stored as it is, for now.
pub(crate) const UNTRIED: Form = Form {
    encoding: Encoding::Untried,
    check: [0; CHECK_BYTES],
};

/// Encrypts a packed chunk; its tag covers the bytes from then on.
#[must_use]
pub fn encrypt(packed: &Packed, key: &TenantKey, nonce: Nonce) -> Packed {
    let form = Form {
        check: [0; CHECK_BYTES],
        ..packed.form
    };
    Packed {
        form,
        stored: key.encrypt(nonce, &[], &packed.stored).into(),
    }
}

/// Writes the plain bytes of the chunk that `chunk` names to `plain`, which has its length, from its stored
/// form. Checks every byte.
///
/// # Errors
/// When `stored` is not a sound stored form of that very chunk; `plain` holds anything then.
pub fn unpack(
    chunk: &ChunkRef,
    form: &Form,
    stored: &[u8],
    key: Option<(&TenantKey, Nonce)>,
    plain: &mut [u8],
) -> Result<(), ChunkError> {
    let opened = open(form, stored, key)?;
    match form.encoding {
        Encoding::Plain | Encoding::Untried if opened.len() != plain.len() => return Err(ChunkError::OtherChunk),
        Encoding::Plain | Encoding::Untried => plain.copy_from_slice(&opened),
        Encoding::Zstd => {
            let decoded = zstd::bulk::decompress_to_buffer(&opened, plain).map_err(ChunkError::Decompress)?;
            if decoded != plain.len() {
                return Err(ChunkError::OtherChunk);
            }
        }
    }
    if reference(plain, key.map(|(key, _)| key)) != *chunk {
        return Err(ChunkError::OtherChunk);
    }
    Ok(())
}

/// Whether `stored` can still be read as the chunk it was written as. Cheaper than [`unpack`]: nothing is
/// decompressed.
#[must_use]
pub fn is_intact(chunk: &ChunkRef, form: &Form, stored: &[u8], key: Option<(&TenantKey, Nonce)>) -> bool {
    match (key, form.encoding) {
        (Some(_), _) => open(form, stored, key).is_ok(),
        (None, Encoding::Zstd) => check_of(stored) == form.check,
        (None, Encoding::Plain | Encoding::Untried) => {
            reference(stored, None) == *chunk && form.check == [0; CHECK_BYTES]
        }
    }
}

fn open<'a>(form: &Form, stored: &'a [u8], key: Option<(&TenantKey, Nonce)>) -> Result<Opened<'a>, ChunkError> {
    if let Some((key, nonce)) = key {
        return key.decrypt(nonce, &[], stored).ok_or(ChunkError::Changed);
    }
    match form.encoding {
        Encoding::Zstd if check_of(stored) != form.check => Err(ChunkError::Changed),
        Encoding::Zstd | Encoding::Plain | Encoding::Untried => Ok(Opened::Borrowed(stored)),
    }
}

fn check_of(stored: &[u8]) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&blake3::hash(stored).as_bytes()[..CHECK_BYTES]);
    check
}

/// Names a chunk by its plain bytes.
pub(crate) fn name(plain: &[u8], key: Option<&TenantKey>) -> ChunkRef {
    reference(plain, key)
}

/// The name of a chunk. What is longer than any chunk has no name that a chunk has.
fn reference(plain: &[u8], key: Option<&TenantKey>) -> ChunkRef {
    ChunkRef {
        hash: key.map_or_else(|| blake3::hash(plain), |key| key.name(plain)),
        length: u32::try_from(plain.len()).unwrap_or(u32::MAX),
    }
}

#[cfg(test)]
mod tests;
