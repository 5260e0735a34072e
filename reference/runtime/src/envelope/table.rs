//! The table of an envelope: for each chunk of the payload, in order, what it is and where its bytes are.

use blake3::Hash;

use super::EnvelopeError;
use crate::chunks::{CHECK_BYTES, ChunkRef, Encoding, Form, MAX_CHUNK_BYTES};

/// Bytes of one entry: name, check, plain length, stored length, encoding, pack, offset.
const ENTRY_BYTES: usize = blake3::OUT_LEN + CHECK_BYTES + 4 + 4 + 1 + 2 + 8;
/// Stands for the envelope itself in the place of a pack's number.
const IN_ENVELOPE: u16 = u16::MAX;
/// What encryption adds to a chunk, at most.
const MAX_STORED_BYTES: u32 = MAX_CHUNK_BYTES + 16;

/// What holds the bytes of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// The envelope itself, behind its table.
    Envelope,
    /// The pack with this place in the header's list.
    Pack(u16),
}

/// One chunk of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub chunk: ChunkRef,
    /// How it is stored.
    pub form: Form,
    /// Where.
    pub holder: Holder,
    /// First stored byte, counted from the holder's first.
    pub offset: u64,
    /// Stored bytes.
    pub stored_bytes: u32,
}

impl Entry {
    /// Its bytes in its holder.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<u64> {
        self.offset..self.offset + u64::from(self.stored_bytes)
    }
}

pub(super) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut table = Vec::with_capacity(entries.len() * ENTRY_BYTES);
    for entry in entries {
        table.extend_from_slice(entry.chunk.hash.as_bytes());
        table.extend_from_slice(&entry.form.check);
        table.extend_from_slice(&entry.chunk.length.to_le_bytes());
        table.extend_from_slice(&entry.stored_bytes.to_le_bytes());
        table.push(match entry.form.encoding {
            Encoding::Plain => 0,
            Encoding::Zstd => 1,
            Encoding::Untried => 2,
        });
        let holder = match entry.holder {
            Holder::Envelope => IN_ENVELOPE,
            Holder::Pack(nth) => nth,
        };
        table.extend_from_slice(&holder.to_le_bytes());
        table.extend_from_slice(&entry.offset.to_le_bytes());
    }
    table
}

/// Reads a table; `holder_bytes` says how many bytes a holder has, if there is such a one.
pub(super) fn decode(table: &[u8], holder_bytes: impl Fn(Holder) -> Option<u64>) -> Result<Vec<Entry>, EnvelopeError> {
    let (entries, rest) = table.as_chunks::<ENTRY_BYTES>();
    if !rest.is_empty() {
        return Err(EnvelopeError::TableSyntax {
            reason: "an entry is cut",
        });
    }
    let decode_entry = |bytes: &[u8; ENTRY_BYTES]| {
        let entry = decode_entry(bytes)?;
        let end = entry.offset.checked_add(u64::from(entry.stored_bytes));
        match (end, holder_bytes(entry.holder)) {
            (Some(end), Some(bytes)) if end <= bytes => Ok(entry),
            _ => Err(EnvelopeError::TableSyntax {
                reason: "a chunk lies outside of what holds it",
            }),
        }
    };
    entries.iter().map(decode_entry).collect()
}

fn decode_entry(bytes: &[u8; ENTRY_BYTES]) -> Result<Entry, EnvelopeError> {
    let mut rest = bytes.as_slice();
    let (hash, check) = (take(&mut rest), take(&mut rest));
    let (length, stored_bytes) = (u32::from_le_bytes(take(&mut rest)), u32::from_le_bytes(take(&mut rest)));
    if !(1..=MAX_CHUNK_BYTES).contains(&length) || !(1..=MAX_STORED_BYTES).contains(&stored_bytes) {
        return Err(EnvelopeError::TableSyntax {
            reason: "a chunk has an impossible length",
        });
    }
    let encoding = match u8::from_le_bytes(take(&mut rest)) {
        0 => Encoding::Plain,
        1 => Encoding::Zstd,
        2 => Encoding::Untried,
        _ => {
            return Err(EnvelopeError::TableSyntax {
                reason: "a chunk has an unknown encoding",
            });
        }
    };
    let holder = match u16::from_le_bytes(take(&mut rest)) {
        IN_ENVELOPE => Holder::Envelope,
        nth => Holder::Pack(nth),
    };
    Ok(Entry {
        chunk: ChunkRef {
            hash: Hash::from_bytes(hash),
            length,
        },
        form: Form { encoding, check },
        holder,
        offset: u64::from_le_bytes(take(&mut rest)),
        stored_bytes,
    })
}

/// The next `N` bytes; the callers take no more than an entry has.
fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let (head, tail) = rest.split_at(N);
    taken.copy_from_slice(head);
    *rest = tail;
    taken
}
