//! Where the new chunks of a seal go as they are made: side by side into a pack that grows, on disk or on its way to a
//! bucket, or into memory.
//!
//! Decides whether a chunk is compressed before it is written. On disk it is not as long as the disk keeps up: a pause
//! would wait for the compressor, and [`super::compact`] does the same later. Chunks of a tenant with a key always
//! are, since who compacts may not have the key.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use object_store::path::Path;
use rayon::prelude::*;
use uuid::Uuid;

use super::directory::Growing;
use super::objects::NewPack;
use super::pack::PackError;
use super::upload::Upload;
use crate::chunks::{self, ChunkRef, Form, Packed, Piece};
use crate::encryption::{Nonce, TenantKey, TenantKeys};
use crate::envelope::{Entry, Holder};

/// Takes chunks, and says where each lies. Used by many threads at once.
#[derive(Debug)]
pub(super) struct Depot {
    attempt: Uuid,
    keys: Arc<TenantKeys>,
    /// Chunks come as they are, when that is faster.
    may_be_plain: bool,
    /// Bytes that may be written; what is more is counted only.
    room: u64,
    bytes: AtomicU64,
    place: Place,
}

/// What keeps the chunks.
#[derive(Debug)]
pub(super) enum Place {
    /// By where they begin.
    Memory(Mutex<BTreeMap<u64, Bytes>>),
    /// A pack on disk.
    Pack(Growing),
    /// A pack that is sent.
    Upload(Upload),
}

impl Depot {
    /// An empty one, for what `attempt` writes with the first of `keys`.
    pub(super) fn new(attempt: Uuid, keys: Arc<TenantKeys>, may_be_plain: bool, room: u64, place: Place) -> Self {
        Self {
            attempt,
            may_be_plain: may_be_plain && keys.sealing().is_none(),
            keys,
            room,
            bytes: AtomicU64::new(0),
            place,
        }
    }

    /// What was put here: how many bytes, and what has them.
    ///
    /// # Errors
    /// Somebody still puts more, of which nothing is known.
    pub(super) fn close(depot: Arc<Self>) -> Result<(u64, Place), PackError> {
        let shared = || PackError::Write(io::Error::other("somebody still adds to them"));
        let depot = Arc::into_inner(depot).ok_or_else(shared)?;
        Ok((depot.bytes.into_inner(), depot.place))
    }

    /// What chunks are named and encrypted with.
    pub(super) fn key(&self) -> Option<&TenantKey> {
        self.keys.sealing()
    }

    /// Whether chunks come here as they are, now.
    pub(super) fn takes_plain(&self) -> bool {
        self.may_be_plain
            && match &self.place {
                Place::Memory(_) | Place::Upload(_) => true,
                Place::Pack(pack) => !pack.lags(),
            }
    }

    /// What has the folders above the pack on disk; if it fails that is done later.
    pub(super) fn maker_of_folders(&self) -> Option<impl FnOnce() -> io::Result<()> + Send + use<>> {
        match &self.place {
            Place::Memory(_) | Place::Upload(_) => None,
            Place::Pack(pack) => Some(pack.maker_of_folders()),
        }
    }

    /// Has all that came on disk, for somebody who comes back much later.
    pub(super) fn settle(&self) -> io::Result<()> {
        match &self.place {
            Place::Memory(_) | Place::Upload(_) => Ok(()),
            Place::Pack(pack) => pack.settle(),
        }
    }

    /// Has the disk begin with what it was not given yet: somebody will wait for all of it soon.
    pub(super) fn hurry(&self) {
        match &self.place {
            Place::Memory(_) | Place::Upload(_) => {}
            Place::Pack(pack) => pack.hurry(),
        }
    }

    /// Returns when nothing is on its way any more of a depot that was closed or dropped.
    pub(super) fn when_quiet(&self) -> impl Future<Output = ()> + Send + use<> {
        let ended = match &self.place {
            Place::Memory(_) | Place::Pack(_) => None,
            Place::Upload(upload) => Some(upload.when_ended()),
        };
        async move {
            if let Some(ended) = ended {
                ended.await;
            }
        }
    }

    /// Before a place is given out, which others would wait for. Blocks.
    fn wait_for_room(&self) {
        match &self.place {
            Place::Memory(_) | Place::Pack(_) => {}
            Place::Upload(upload) => upload.wait_for_room(),
        }
    }

    /// Takes pieces of `plain`, which begins at `start` of the payload, as they are.
    pub(super) fn put_plain(&self, pieces: &[&Piece], plain: &Bytes, start: usize) -> Result<Vec<Entry>, PackError> {
        self.wait_for_room();
        let bytes = pieces.iter().map(|piece| u64::from(piece.chunk.length)).sum();
        let mut offset = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut entries = Vec::with_capacity(pieces.len());
        for run in pieces.chunk_by(|one, next| one.range.end == next.range.start) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else {
                continue;
            };
            self.write(offset, plain.slice(first.range.start - start..last.range.end - start))?;
            for piece in run {
                entries.push(entry(piece.chunk, chunks::UNTRIED, offset, piece.chunk.length));
                offset += u64::from(piece.chunk.length);
            }
        }
        Ok(entries)
    }

    /// Takes packed chunks; encrypts them when there is a key. Where a chunk comes to lie is part of its nonce.
    pub(super) fn put(&self, packed: Vec<(ChunkRef, Packed)>) -> Result<Vec<Entry>, PackError> {
        self.wait_for_room();
        let tag = self.key().map_or(0, |_| TenantKey::TAG_BYTES);
        let length = |packed: &Packed| packed.stored.len() as u64 + tag;
        let bytes = packed.iter().map(|(_, packed)| length(packed)).sum();
        let begin = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let mut offset = begin;
        let mut placed = Vec::with_capacity(packed.len());
        for (chunk, packed) in packed {
            let at = offset;
            offset += length(&packed);
            placed.push((chunk, packed, at));
        }
        if let Some(key) = self.key() {
            placed.par_iter_mut().for_each(|(_, packed, at)| {
                *packed = chunks::encrypt(packed, key, Nonce::of(self.attempt, *at));
            });
        }
        let mut together = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0));
        let mut entries = Vec::with_capacity(placed.len());
        for (chunk, packed, at) in placed {
            entries.push(entry(chunk, packed.form, at, length_of(&packed.stored)));
            together.extend_from_slice(&packed.stored);
        }
        self.write(begin, together.into())?;
        Ok(entries)
    }

    /// What is held in memory from `offset` on, in order; chunks are not taken apart.
    pub(super) fn held_from(&self, offset: u64) -> Vec<Bytes> {
        match &self.place {
            Place::Memory(held) => {
                let held = held.lock().unwrap_or_else(PoisonError::into_inner);
                held.range(offset..).map(|(_, bytes)| bytes.clone()).collect()
            }
            Place::Pack(_) | Place::Upload(_) => Vec::new(),
        }
    }

    fn write(&self, offset: u64, bytes: Bytes) -> Result<(), PackError> {
        if bytes.is_empty() || offset + bytes.len() as u64 > self.room {
            return Ok(());
        }
        match &self.place {
            Place::Memory(held) => {
                held.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .insert(offset, bytes);
                Ok(())
            }
            Place::Pack(pack) => pack.write_at(&bytes, offset).map_err(PackError::Write),
            Place::Upload(upload) => upload.write_at(bytes, offset).map_err(PackError::Write),
        }
    }
}

impl Place {
    /// What is held in memory, side by side.
    pub(super) fn in_order(self) -> Vec<Bytes> {
        match self {
            Self::Memory(held) => {
                let held = held.into_inner().unwrap_or_else(PoisonError::into_inner);
                held.into_values().collect()
            }
            Self::Pack(_) | Self::Upload(_) => Vec::new(),
        }
    }

    /// The pack that it is to become in its place.
    pub(super) fn into_pack(self, place: Path) -> NewPack {
        match self {
            Self::Pack(growing) => NewPack::Growing(growing),
            Self::Upload(upload) => NewPack::Upload(upload),
            held @ Self::Memory(_) => NewPack::Held(place, held.in_order().into_iter().collect()),
        }
    }
}

/// In an envelope, until it is known which of its packs is this one.
fn entry(chunk: ChunkRef, form: Form, offset: u64, stored_bytes: u32) -> Entry {
    Entry {
        chunk,
        form,
        holder: Holder::Envelope,
        offset,
        stored_bytes,
    }
}

#[expect(
    clippy::expect_used,
    reason = "a stored chunk is at most a plain one and a tag, and that is far below 4 GiB"
)]
fn length_of(stored: &Bytes) -> u32 {
    u32::try_from(stored.len()).expect("the length of a stored chunk fits into 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_depot_that_somebody_still_has_is_not_closed() {
        let place = Place::Memory(Mutex::default());
        let depot = Arc::new(Depot::new(Uuid::nil(), Arc::default(), false, u64::MAX, place));
        let other = Arc::clone(&depot);
        Depot::close(depot).expect_err("it is shared");
        let (bytes, _) = Depot::close(other).expect("it is not any more");
        assert_eq!(bytes, 0);
    }
}
