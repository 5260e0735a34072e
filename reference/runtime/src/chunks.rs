//! How a payload is cut into chunks, and how one chunk looks at rest.
//!
//! Decides where the cuts are (by content, so that bytes put in at one place move no cut far from it), what
//! a chunk is called (the BLAKE3 hash of its plain bytes) and how it is stored. Leaves out where chunks are
//! kept and which checkpoint needs them. Pure: no I/O, no clock.
//!
//! ```text
//! offset  bytes
//!      0     32  BLAKE3 of the rest
//!     32    ...  one zstd frame: the plain bytes
//! ```
//!
//! The leading hash covers every stored byte: zstd decoders ignore some bits of a frame, so the hash of
//! the plain bytes alone would let damage pass unseen. It also keeps damaged bytes away from the decoder.

use blake3::Hash;
use fastcdc::v2020::FastCDC;

/// Smallest chunk in bytes, but for the last one of a payload.
pub const MIN_CHUNK_BYTES: u32 = 16 * 1024;
/// Size in bytes that chunks have on average.
pub const AVERAGE_CHUNK_BYTES: u32 = 64 * 1024;
/// Largest chunk in bytes.
pub const MAX_CHUNK_BYTES: u32 = 256 * 1024;

/// The fastest regular level: a pause waits for compression, and most pages of a process are zero or text.
const COMPRESSION_LEVEL: i32 = 1;

/// Names one chunk and says how many plain bytes it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkRef {
    /// BLAKE3 of the plain bytes.
    pub hash: Hash,
    /// Plain bytes; 1 to [`MAX_CHUNK_BYTES`].
    pub length: u32,
}

/// Why stored bytes are not the chunk they should be.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    /// Fewer bytes than the leading hash.
    #[error("a stored chunk has at least {} bytes, this one has {found}", blake3::OUT_LEN)]
    TooShort {
        /// Bytes there are.
        found: usize,
    },
    /// The stored bytes changed after they were written.
    #[error("the stored bytes do not match their own hash")]
    StoredHash,
    /// The frame cannot be decoded, or gives more bytes than the chunk has.
    #[error("decompress the stored bytes")]
    Decompress(#[source] std::io::Error),
    /// Sound, but another chunk.
    #[error("the stored bytes are sound but belong to another chunk")]
    OtherChunk,
}

/// Cuts `payload` at places that its content decides. The pieces, joined in order, are `payload`;
/// an empty payload has none.
pub fn cut(payload: &[u8]) -> impl Iterator<Item = &[u8]> {
    let sizes = (
        MIN_CHUNK_BYTES as usize,
        AVERAGE_CHUNK_BYTES as usize,
        MAX_CHUNK_BYTES as usize,
    );
    FastCDC::new(payload, sizes.0, sizes.1, sizes.2).map(|piece| &payload[piece.offset..piece.offset + piece.length])
}

/// The stored form of a chunk.
///
/// # Errors
/// When the compressor fails, which only a lack of memory makes it do.
pub fn pack(plain: &[u8]) -> std::io::Result<Vec<u8>> {
    let frame = zstd::bulk::compress(plain, COMPRESSION_LEVEL)?;
    let mut stored = Vec::with_capacity(blake3::OUT_LEN + frame.len());
    stored.extend_from_slice(blake3::hash(&frame).as_bytes());
    stored.extend_from_slice(&frame);
    Ok(stored)
}

/// The plain bytes of the chunk that `chunk` names, from its stored form. Checks every byte.
///
/// # Errors
/// When `stored` is not a sound stored form of that very chunk.
pub fn unpack(chunk: &ChunkRef, stored: &[u8]) -> Result<Vec<u8>, ChunkError> {
    let (hash, frame) = stored
        .split_first_chunk::<{ blake3::OUT_LEN }>()
        .ok_or(ChunkError::TooShort { found: stored.len() })?;
    if blake3::hash(frame) != Hash::from_bytes(*hash) {
        return Err(ChunkError::StoredHash);
    }
    let plain = zstd::bulk::decompress(frame, chunk.length as usize).map_err(ChunkError::Decompress)?;
    if plain.len() != chunk.length as usize || blake3::hash(&plain) != chunk.hash {
        return Err(ChunkError::OtherChunk);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reference(plain: &[u8]) -> ChunkRef {
        ChunkRef {
            hash: blake3::hash(plain),
            length: u32::try_from(plain.len()).unwrap(),
        }
    }

    #[test]
    fn an_empty_payload_has_no_chunks() {
        assert_eq!(cut(&[]).count(), 0);
    }

    #[test]
    fn a_sound_chunk_under_another_name_is_refused() {
        let stored = pack(b"one").unwrap();
        assert!(matches!(
            unpack(&reference(b"two"), &stored),
            Err(ChunkError::OtherChunk)
        ));
        assert!(matches!(
            unpack(&reference(b"four"), &stored),
            Err(ChunkError::OtherChunk)
        ));
        assert!(matches!(
            unpack(&reference(b"on"), &stored),
            Err(ChunkError::Decompress(_))
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_pieces_joined_are_the_payload(seed in any::<[u8; 32]>(), bytes in 0..400_000_usize) {
            let mut payload = vec![0; bytes];
            blake3::Hasher::new_keyed(&seed).finalize_xof().fill(&mut payload);
            let pieces: Vec<&[u8]> = cut(&payload).collect();
            prop_assert!(pieces.iter().all(|p| !p.is_empty() && p.len() <= MAX_CHUNK_BYTES as usize));
            prop_assert_eq!(pieces.concat(), payload);
        }

        #[test]
        fn a_chunk_survives_packing(plain in prop::collection::vec(any::<u8>(), 1..5000)) {
            prop_assert_eq!(unpack(&reference(&plain), &pack(&plain).unwrap()).unwrap(), plain);
        }
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_of_a_chunk_is_detected() {
        let plain = b"torpor ".repeat(50);
        let stored = pack(&plain).unwrap();
        for bit in 0..stored.len() * 8 {
            let mut damaged = stored.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(unpack(&reference(&plain), &damaged).is_err(), "flipped bit {bit}");
        }
        for length in 0..stored.len() {
            assert!(
                unpack(&reference(&plain), &stored[..length]).is_err(),
                "cut to {length} bytes"
            );
        }
    }
}
