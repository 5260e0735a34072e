//! One chunk of a checkpoint, from its stored bytes.

use crate::chunks::{self, ChunkError};
use crate::encryption::{Nonce, TenantKeys};
use crate::envelope::{Entry, EnvelopeHeader, Holder};

/// A chunk that is not as it was written, and what is wrong with it.
pub(super) struct Damaged {
    pub(super) chunk: String,
    pub(super) source: ChunkError,
}

impl Damaged {
    /// Its stored bytes are others than were written, or not there.
    pub(super) fn changed(entry: &Entry) -> Self {
        Self::of(entry, ChunkError::Changed)
    }

    fn of(entry: &Entry, source: ChunkError) -> Self {
        Self {
            chunk: entry.chunk.hash.to_hex().to_string(),
            source,
        }
    }
}

/// The plain bytes of one chunk.
pub(super) fn unpack_one(
    header: &EnvelopeHeader,
    keys: &TenantKeys,
    entry: &Entry,
    stored: &[u8],
    plain: &mut [u8],
) -> Result<(), Damaged> {
    let key = header.key_id.as_deref().and_then(|id| keys.opening(id));
    let writer = match entry.holder {
        Holder::Envelope => Some(header.attempt),
        Holder::Pack(nth) => header.packs.get(usize::from(nth)).map(|pack| pack.id),
    };
    let with = key
        .zip(writer)
        .map(|(key, writer)| (key, Nonce::of(writer, entry.offset)));
    chunks::unpack(&entry.chunk, &entry.form, stored, with, plain).map_err(|source| Damaged::of(entry, source))
}
