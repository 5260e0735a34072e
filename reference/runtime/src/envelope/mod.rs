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
//!   48+H    ...  body: the table, encrypted when the header names a key, then the chunks kept here
//! ```
//!
//! The hash of the body begins with the chunks and ends with the table, so that chunks can be hashed, and written behind
//! room for what comes in front of them, before all are known; spaces behind the JSON fill such room. Up to format 3
//! the hash was of the body as it is.
//!
//! They are checked in this order, each before what follows is looked at. Each byte is covered by a hash,
//! and the length is exact: nothing may follow the body. The chunks of a small payload are in the envelope
//! itself; those of a larger one are in packs, which the header lists: who removes checkpoints needs no key.

mod error;
mod head;
mod kept;
mod table;

use blake3::{Hash, Hasher};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use error::EnvelopeError;
pub use head::{Prefix, decode_header, decode_prefix};
pub use kept::KeptChunks;
pub use table::{Entry, Holder};

use crate::chunks::ChunkRef;
use crate::encryption::{Nonce, TenantKey, TenantKeys};

/// First bytes of each envelope. Not text, and damaged by every conversion of line ends.
const MAGIC: [u8; 8] = *b"\x89Torp\r\n\x1a";
/// The format that this crate writes.
pub const FORMAT_VERSION: u32 = 4;
/// The oldest that it reads: its body was hashed in another order, and no chunk waits to be compressed.
pub const OLDEST_FORMAT_VERSION: u32 = 2;
/// The first whose body is hashed from its chunks on.
const CHUNKS_FIRST_VERSION: u32 = 4;
/// Bytes before the header.
pub const PREFIX_BYTES: usize = 48;
/// A header is far smaller; more than this is damage or hostile, and is not read.
pub const MAX_HEADER_BYTES: u32 = 64 * 1024;
/// Where the table is, for its nonce; chunks are never there.
const TABLE_PLACE: u64 = u64::MAX;

/// The engine that wrote a checkpoint. Another one, or another version of it, does not read its payload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineVersion {
    /// Such as `monty`.
    pub name: String,
    /// Version of the engine's payload format.
    pub version: u32,
}

/// A file of chunks, written once by one seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// The attempt that wrote it; also its name.
    pub id: Uuid,
    /// Its bytes.
    pub bytes: u64,
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
    /// The attempt that wrote it.
    pub attempt: Uuid,
    /// Bytes of the payload.
    pub payload_bytes: u64,
    /// BLAKE3 of the names and lengths of the payload's chunks, lower-case hex.
    pub payload_hash: String,
    /// Bytes of chunks that the store did not have before this checkpoint.
    pub added_chunk_bytes: u64,
    /// The packs that hold its chunks.
    pub packs: Vec<Pack>,
    /// Id of the tenant's key that it is encrypted with; absent when it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// Bytes of the table, which comes first in the body.
    pub table_bytes: u64,
    /// Bytes of the body.
    pub body_bytes: u64,
    /// BLAKE3 of the chunks kept here and then of the table, lower-case hex; up to format 3, of the body as it is.
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
    /// This attempt to write it.
    pub attempt: Uuid,
    /// Bytes of chunks that the store did not have before.
    pub added_chunk_bytes: u64,
    /// The packs that the entries name by their place in this list.
    pub packs: &'a [Pack],
    /// The payload's chunks, in order.
    pub entries: &'a [Entry],
    /// The chunks that are kept in the envelope.
    pub kept_here: &'a KeptChunks,
    /// Bytes that all in front of these chunks is to take, if it is not more.
    pub room: usize,
    /// The key to encrypt the table with.
    pub key: Option<&'a TenantKey>,
}

/// An envelope, ready to be stored.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Its header.
    pub header: EnvelopeHeader,
    /// All in front of the chunks that it keeps.
    pub beginning: Bytes,
}

impl Encoded {
    /// Bytes in all.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.beginning.len() as u64 + self.header.body_bytes - self.header.table_bytes
    }

    /// Whether it has no bytes, as none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// BLAKE3 of what a checkpoint is, which fixes every byte of its payload, whatever form that is stored in: sandbox,
/// generation, engine, its version and the hash of the payload, with a line feed between them.
#[must_use]
pub fn digest(header: &EnvelopeHeader) -> Hash {
    blake3::hash(identity(header).as_bytes())
}

/// Builds an envelope.
///
/// # Errors
/// When the header gets longer than [`MAX_HEADER_BYTES`], as an absurdly long name would make it.
pub fn encode(contents: &Contents<'_>) -> Result<Encoded, EnvelopeError> {
    let mut header = EnvelopeHeader {
        sandbox_uid: contents.sandbox_uid.to_owned(),
        generation: contents.generation,
        engine: contents.engine.clone(),
        attempt: contents.attempt,
        payload_bytes: payload_bytes(contents.entries),
        payload_hash: payload_hash(contents.entries.iter().map(|entry| entry.chunk)),
        added_chunk_bytes: contents.added_chunk_bytes,
        packs: contents.packs.to_vec(),
        key_id: contents.key.map(|key| key.id().to_owned()),
        table_bytes: 0,
        body_bytes: 0,
        body_hash: String::new(),
    };
    let mut table = table::encode(contents.entries);
    if let Some(key) = contents.key {
        table = key.encrypt(table_nonce(&header), identity(&header).as_bytes(), &table);
    }
    header.table_bytes = table.len() as u64;
    header.body_bytes = header.table_bytes + contents.kept_here.bytes();
    header.body_hash = contents.kept_here.hash_with(&table).to_hex().to_string();
    let mut beginning = head::encode(&header, contents.room.saturating_sub(table.len()))?;
    beginning.append(&mut table);
    let beginning = Bytes::from(beginning);
    Ok(Encoded { header, beginning })
}

/// Reads a whole envelope and checks every byte of it; gives the payload's chunks in order.
///
/// # Errors
/// When it is not sound, or encrypted with a key that is not among `keys`.
pub fn decode(envelope: &[u8], keys: &TenantKeys) -> Result<(EnvelopeHeader, Vec<Entry>), EnvelopeError> {
    let prefix = decode_prefix(envelope)?;
    let rest = &envelope[PREFIX_BYTES..];
    let (header, body) = rest.split_at(rest.len().min(prefix.header_bytes as usize));
    let header = decode_header(&prefix, header, envelope.len() as u64)?;
    let (table, kept_here) = usize::try_from(header.table_bytes)
        .ok()
        .and_then(|bytes| body.split_at_checked(bytes))
        .ok_or(EnvelopeError::TableSyntax {
            reason: "it is longer than the body",
        })?;
    let hash = if prefix.format_version() < CHUNKS_FIRST_VERSION {
        blake3::hash(body)
    } else {
        KeptChunks::of([kept_here]).hash_with(table)
    };
    if hash.to_hex().as_str() != header.body_hash {
        return Err(EnvelopeError::BodyHash);
    }
    let entries = decode_table(&header, table, keys)?;
    let hash = payload_hash(entries.iter().map(|entry| entry.chunk));
    if payload_bytes(&entries) != header.payload_bytes || hash != header.payload_hash {
        return Err(EnvelopeError::TableSyntax {
            reason: "the chunks do not add up to the payload",
        });
    }
    Ok((header, entries))
}

/// Where the chunks that a sound envelope keeps itself begin.
#[must_use]
pub fn kept_here(header: &EnvelopeHeader, envelope_bytes: u64) -> u64 {
    envelope_bytes - header.body_bytes + header.table_bytes
}

fn decode_table(header: &EnvelopeHeader, table: &[u8], keys: &TenantKeys) -> Result<Vec<Entry>, EnvelopeError> {
    let holder_bytes = |holder| match holder {
        Holder::Envelope => Some(header.body_bytes - header.table_bytes),
        Holder::Pack(nth) => header.packs.get(usize::from(nth)).map(|pack| pack.bytes),
    };
    match opening_key(header, keys)? {
        None => table::decode(table, holder_bytes),
        Some(key) => {
            let opened = key.decrypt(table_nonce(header), identity(header).as_bytes(), table);
            let opened = opened.ok_or_else(|| EnvelopeError::WrongKey {
                id: key.id().to_owned(),
            })?;
            table::decode(&opened, holder_bytes)
        }
    }
}

/// The key that an envelope needs; none when it is not encrypted.
///
/// # Errors
/// When it is encrypted with a key that is not among `keys`.
pub fn opening_key<'a>(header: &EnvelopeHeader, keys: &'a TenantKeys) -> Result<Option<&'a TenantKey>, EnvelopeError> {
    let Some(id) = &header.key_id else { return Ok(None) };
    let key = keys.opening(id).ok_or_else(|| EnvelopeError::NoKey {
        id: id.clone(),
        given: keys.len(),
    })?;
    Ok(Some(key))
}

/// What a checkpoint says instead of its envelope once its generation was removed while somebody may still
/// have been writing it. Shorter than any envelope's prefix.
pub const REMOVED: [u8; 16] = *b"\x89Torp\r\n\x1aremoved\n";

/// What an encrypted table is bound to: moved below another header, it does not open.
fn identity(header: &EnvelopeHeader) -> String {
    let EngineVersion { name, version } = &header.engine;
    format!(
        "{}\n{}\n{name}\n{version}\n{}",
        header.sandbox_uid, header.generation, header.payload_hash
    )
}

fn table_nonce(header: &EnvelopeHeader) -> Nonce {
    Nonce::of(header.attempt, TABLE_PLACE)
}

fn payload_bytes(entries: &[Entry]) -> u64 {
    entries.iter().map(|entry| u64::from(entry.chunk.length)).sum()
}

/// Names a payload by its chunks: BLAKE3 of their names and lengths in order, lower-case hex.
#[must_use]
pub fn payload_hash(chunks: impl Iterator<Item = ChunkRef>) -> String {
    let mut hasher = Hasher::new();
    for chunk in chunks {
        hasher.update(chunk.hash.as_bytes());
        hasher.update(&chunk.length.to_le_bytes());
    }
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests;
