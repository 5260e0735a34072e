//! The envelope of a checkpoint: what it is, readable and checked without the body, and which chunks it has.
//!
//! Decides how an envelope is written and whether bytes are a sound one. Leaves out the chunks' contents
//! (see [`crate::chunks`]) and where envelopes are kept. Pure: no I/O, no clock.
//!
//! ```text
//! offset  bytes
//!      0      8  magic
//!      8      4  format version             (integers are little-endian)
//!     12      4  header length H
//!     16     32  BLAKE3 of bytes 0..16 and of the header
//!     48      H  header: JSON of EnvelopeHeader, with length and BLAKE3 of the body
//!   48+H    ...  body: for each chunk in order, its BLAKE3 (32 bytes) and its plain length (4 bytes)
//! ```
//!
//! They are checked in this order, each before what follows is looked at. Each byte is covered by a hash,
//! and the length is exact: nothing may follow the body.

use blake3::Hash;
use serde::{Deserialize, Serialize};

use crate::chunks::{ChunkRef, MAX_CHUNK_BYTES};

/// First bytes of each envelope. Not text, and damaged by every conversion of line ends.
const MAGIC: [u8; 8] = *b"\x89Torp\r\n\x1a";
/// The one format that this crate writes and reads.
pub const FORMAT_VERSION: u32 = 1;
/// Bytes before the header.
pub const PREFIX_BYTES: usize = 48;
/// A header is far smaller; more than this is damage or hostile, and is not read.
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// Bytes that the body has for each chunk.
const ENTRY_BYTES: usize = blake3::OUT_LEN + 4;

/// The engine that wrote a checkpoint. Another one, or another version of it, does not read its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineVersion {
    /// Such as `monty`.
    pub name: String,
    /// Version of the engine's payload format.
    pub version: u32,
}

/// What can be known of a checkpoint without its body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvelopeHeader {
    /// `metadata.uid` of the sandbox.
    pub sandbox_uid: String,
    /// Number of the checkpoint within its sandbox.
    pub generation: u64,
    /// Who wrote it.
    pub engine: EngineVersion,
    /// Bytes of the payload.
    pub payload_bytes: u64,
    /// BLAKE3 of the payload, lower-case hex.
    pub payload_hash: String,
    /// Bytes of chunks that the store did not have before this checkpoint.
    pub added_chunk_bytes: u64,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// BLAKE3 of the body, lower-case hex.
    pub body_hash: String,
}

/// What a writer says of a checkpoint; the rest of the header follows from the chunks.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// `metadata.uid` of the sandbox.
    pub sandbox_uid: &'a str,
    /// Number of the checkpoint within its sandbox.
    pub generation: u64,
    /// Who writes it.
    pub engine: &'a EngineVersion,
    /// BLAKE3 of the payload.
    pub payload_hash: Hash,
    /// Bytes of chunks that the store did not have before.
    pub added_chunk_bytes: u64,
    /// The payload's chunks, in order.
    pub chunks: &'a [ChunkRef],
}

/// The part before the header, checked as far as it can be alone.
#[derive(Clone, Copy, Debug)]
pub struct Prefix {
    bytes: [u8; PREFIX_BYTES],
    /// Bytes of the header that follows.
    pub header_bytes: u32,
}

/// Why bytes are no sound envelope.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// It ends early.
    #[error("the envelope is torn: {part} needs {needed} bytes, there are {found}")]
    Truncated {
        /// The part that is cut.
        part: &'static str,
        /// Bytes that the part needs.
        needed: u64,
        /// Bytes there are.
        found: u64,
    },
    /// Bytes follow the body.
    #[error("the envelope should have {expected} bytes and has {found}")]
    TrailingBytes {
        /// Bytes by the header.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// It does not begin as an envelope does.
    #[error("the file does not begin as a checkpoint envelope does")]
    Magic,
    /// Another format.
    #[error("the envelope has format version {found}; this program reads version {FORMAT_VERSION} only")]
    FormatVersion {
        /// The version it names.
        found: u32,
    },
    /// No header is so long.
    #[error("the envelope names a header of {found} bytes; {MAX_HEADER_BYTES} is the most")]
    HeaderLength {
        /// The length it names.
        found: u32,
    },
    /// The header, or the part before it, changed after it was written.
    #[error("the envelope's header does not match its hash")]
    HeaderHash,
    /// The header matches its hash, but is not a header.
    #[error("decode the envelope's header")]
    HeaderSyntax(#[source] serde_json::Error),
    /// The body changed after it was written.
    #[error("the envelope's body does not match its hash")]
    BodyHash,
    /// The body matches its hash, but is not a list of this payload's chunks.
    #[error("the envelope's body is no list of the payload's chunks: {reason}")]
    BodySyntax {
        /// What does not fit.
        reason: &'static str,
    },
    /// The header does not fit into the format.
    #[error("a header of {bytes} bytes does not fit into an envelope; {MAX_HEADER_BYTES} is the most")]
    HeaderTooLong {
        /// Bytes of the header.
        bytes: usize,
    },
    /// The header cannot be written.
    #[error("encode the envelope's header")]
    Encode(#[source] serde_json::Error),
}

/// The bytes of an envelope.
///
/// # Errors
/// When the header gets longer than [`MAX_HEADER_BYTES`], as an absurdly long name would make it.
pub fn encode(contents: &Contents<'_>) -> Result<Vec<u8>, EnvelopeError> {
    let mut body = Vec::with_capacity(contents.chunks.len() * ENTRY_BYTES);
    for chunk in contents.chunks {
        body.extend_from_slice(chunk.hash.as_bytes());
        body.extend_from_slice(&chunk.length.to_le_bytes());
    }
    let header = EnvelopeHeader {
        sandbox_uid: contents.sandbox_uid.to_owned(),
        generation: contents.generation,
        engine: contents.engine.clone(),
        payload_bytes: payload_bytes(contents.chunks),
        payload_hash: contents.payload_hash.to_hex().to_string(),
        added_chunk_bytes: contents.added_chunk_bytes,
        body_bytes: body.len() as u64,
        body_hash: blake3::hash(&body).to_hex().to_string(),
    };
    let header = serde_json::to_vec(&header).map_err(EnvelopeError::Encode)?;
    let header_bytes = u32::try_from(header.len())
        .ok()
        .filter(|bytes| *bytes <= MAX_HEADER_BYTES)
        .ok_or(EnvelopeError::HeaderTooLong { bytes: header.len() })?;

    let mut envelope = Vec::with_capacity(PREFIX_BYTES + header.len() + body.len());
    envelope.extend_from_slice(&MAGIC);
    envelope.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    envelope.extend_from_slice(&header_bytes.to_le_bytes());
    let hash = header_hash(&envelope, &header);
    envelope.extend_from_slice(hash.as_bytes());
    envelope.extend_from_slice(&header);
    envelope.extend_from_slice(&body);
    Ok(envelope)
}

/// Reads the part before the header.
///
/// # Errors
/// When it is cut, no envelope, of another format, or names an impossible header.
pub fn decode_prefix(envelope: &[u8]) -> Result<Prefix, EnvelopeError> {
    let bytes = *envelope.first_chunk::<PREFIX_BYTES>().ok_or(EnvelopeError::Truncated {
        part: "the part before the header",
        needed: PREFIX_BYTES as u64,
        found: envelope.len() as u64,
    })?;
    if bytes[..8] != MAGIC {
        return Err(EnvelopeError::Magic);
    }
    let version = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if version != FORMAT_VERSION {
        return Err(EnvelopeError::FormatVersion { found: version });
    }
    let header_bytes = u32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]);
    if header_bytes > MAX_HEADER_BYTES {
        return Err(EnvelopeError::HeaderLength { found: header_bytes });
    }
    Ok(Prefix { bytes, header_bytes })
}

/// Reads the header that follows `prefix`; `envelope_bytes` is the length of the whole envelope.
///
/// # Errors
/// When it is cut or damaged, or when the envelope has not the length that the header says.
pub fn decode_header(prefix: &Prefix, header: &[u8], envelope_bytes: u64) -> Result<EnvelopeHeader, EnvelopeError> {
    if header.len() != prefix.header_bytes as usize {
        let (needed, found) = (u64::from(prefix.header_bytes), header.len() as u64);
        return Err(EnvelopeError::Truncated {
            part: "the header",
            needed,
            found,
        });
    }
    let (fixed, hash) = prefix.bytes.split_at(PREFIX_BYTES - blake3::OUT_LEN);
    if header_hash(fixed, header).as_bytes() != hash {
        return Err(EnvelopeError::HeaderHash);
    }
    let decoded: EnvelopeHeader = serde_json::from_slice(header).map_err(EnvelopeError::HeaderSyntax)?;
    let expected = (PREFIX_BYTES as u64 + u64::from(prefix.header_bytes)).saturating_add(decoded.body_bytes);
    match envelope_bytes.cmp(&expected) {
        std::cmp::Ordering::Less => Err(EnvelopeError::Truncated {
            part: "the envelope",
            needed: expected,
            found: envelope_bytes,
        }),
        std::cmp::Ordering::Equal => Ok(decoded),
        std::cmp::Ordering::Greater => Err(EnvelopeError::TrailingBytes {
            expected,
            found: envelope_bytes,
        }),
    }
}

/// Reads a whole envelope and checks every byte of it.
///
/// # Errors
/// When it is not sound.
pub fn decode(envelope: &[u8]) -> Result<(EnvelopeHeader, Vec<ChunkRef>), EnvelopeError> {
    let prefix = decode_prefix(envelope)?;
    let rest = &envelope[PREFIX_BYTES..];
    let (header, body) = rest.split_at(rest.len().min(prefix.header_bytes as usize));
    let header = decode_header(&prefix, header, envelope.len() as u64)?;
    if blake3::hash(body).to_hex().as_str() != header.body_hash {
        return Err(EnvelopeError::BodyHash);
    }
    let chunks = decode_body(body)?;
    if payload_bytes(&chunks) != header.payload_bytes {
        return Err(EnvelopeError::BodySyntax {
            reason: "the chunks' lengths do not add up to the payload's",
        });
    }
    Ok((header, chunks))
}

fn decode_body(body: &[u8]) -> Result<Vec<ChunkRef>, EnvelopeError> {
    let (entries, rest) = body.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(EnvelopeError::BodySyntax {
            reason: "an entry is cut",
        });
    }
    let decode_entry = |entry: &[u8; ENTRY_BYTES]| {
        let mut hash = [0; blake3::OUT_LEN];
        let mut length = [0; 4];
        hash.copy_from_slice(&entry[..blake3::OUT_LEN]);
        length.copy_from_slice(&entry[blake3::OUT_LEN..]);
        let chunk = ChunkRef {
            hash: Hash::from_bytes(hash),
            length: u32::from_le_bytes(length),
        };
        let possible = (1..=MAX_CHUNK_BYTES).contains(&chunk.length);
        possible.then_some(chunk).ok_or(EnvelopeError::BodySyntax {
            reason: "a chunk has an impossible length",
        })
    };
    entries.iter().map(decode_entry).collect()
}

fn header_hash(fixed: &[u8], header: &[u8]) -> Hash {
    blake3::Hasher::new().update(fixed).update(header).finalize()
}

fn payload_bytes(chunks: &[ChunkRef]) -> u64 {
    chunks.iter().map(|chunk| u64::from(chunk.length)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> Vec<u8> {
        let engine = EngineVersion {
            name: "sim".to_owned(),
            version: 3,
        };
        let chunks = [b"a", b"b"].map(|plain| ChunkRef {
            hash: blake3::hash(plain),
            length: 1,
        });
        encode(&Contents {
            sandbox_uid: "uid-1",
            generation: 7,
            engine: &engine,
            payload_hash: blake3::hash(b"ab"),
            added_chunk_bytes: 11,
            chunks: &chunks,
        })
        .unwrap()
    }

    #[test]
    fn a_decoded_envelope_says_what_was_encoded() {
        let (header, chunks) = decode(&envelope()).unwrap();
        assert_eq!(
            (header.sandbox_uid.as_str(), header.generation, header.payload_bytes),
            ("uid-1", 7, 2)
        );
        assert_eq!(
            header.engine,
            EngineVersion {
                name: "sim".to_owned(),
                version: 3
            }
        );
        assert_eq!(
            chunks.iter().map(|c| c.hash).collect::<Vec<_>>(),
            [blake3::hash(b"a"), blake3::hash(b"b")]
        );
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let sound = envelope();
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "flipped bit {bit}");
        }
    }

    #[test]
    fn every_truncation_and_every_added_byte_is_detected() {
        let sound = envelope();
        for length in 0..sound.len() {
            assert!(decode(&sound[..length]).is_err(), "cut to {length} bytes");
        }
        let longer = [sound.as_slice(), &[0]].concat();
        assert!(matches!(decode(&longer), Err(EnvelopeError::TrailingBytes { .. })));
    }

    #[test]
    fn another_format_version_is_refused_by_its_number() {
        let mut other = envelope();
        other[8] = 2;
        assert!(matches!(decode(&other), Err(EnvelopeError::FormatVersion { found: 2 })));
    }

    #[test]
    fn a_name_that_fits_no_header_is_refused_when_written() {
        let engine = EngineVersion {
            name: "x".repeat(MAX_HEADER_BYTES as usize),
            version: 1,
        };
        let contents = Contents {
            sandbox_uid: "uid-1",
            generation: 1,
            engine: &engine,
            payload_hash: blake3::hash(b""),
            added_chunk_bytes: 0,
            chunks: &[],
        };
        assert!(matches!(encode(&contents), Err(EnvelopeError::HeaderTooLong { .. })));
    }
}
