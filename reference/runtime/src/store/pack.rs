//! The chunks that a seal adds, side by side as they go into a pack or an envelope. Pure; uses all cores.

use std::collections::{HashMap, HashSet};
use std::io;

use blake3::Hash;
use bytes::Bytes;
use rayon::prelude::*;
use uuid::Uuid;

use super::plan::Reuse;
use crate::chunks::{self, Packed, Piece};
use crate::encryption::{Nonce, TenantKey};
use crate::envelope::{Entry, Holder};

/// To make a compressor costs as much as to compress a few chunks.
const CHUNKS_PER_COMPRESSOR: usize = 8;

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

/// Packs the chunks of `payload` that `reuse` has not, to be written by `attempt` into `holder`.
///
/// # Errors
/// When there is no memory to compress with.
pub(super) fn pack_new(
    payload: &Bytes,
    pieces: &[Piece],
    reuse: &Reuse,
    holder: Holder,
    attempt: Uuid,
    key: Option<&TenantKey>,
) -> io::Result<NewChunks> {
    let mut seen = HashSet::new();
    let mut is_new = |hash: &Hash| !reuse.entries.contains_key(hash) && seen.insert(*hash);
    let new: Vec<&Piece> = pieces.iter().filter(|piece| is_new(&piece.chunk.hash)).collect();
    let packed =
        new.par_iter()
            .with_min_len(CHUNKS_PER_COMPRESSOR)
            .map_init(chunks::compressor, |compressor, piece| {
                let compressor = compressor.as_mut().map_err(|error| io::Error::from(error.kind()))?;
                chunks::pack(compressor, payload.slice(piece.range.clone()))
            });
    let packed: Vec<Packed> = packed.collect::<io::Result<_>>()?;
    let packed = place(packed, attempt, key);

    let (mut bytes, mut by_name, mut stored) = (0, HashMap::with_capacity(new.len()), Vec::with_capacity(new.len()));
    for (piece, packed) in new.into_iter().zip(packed) {
        let entry = Entry {
            chunk: piece.chunk,
            form: packed.form,
            holder,
            offset: bytes,
            stored_bytes: length_of(&packed.stored),
        };
        bytes += u64::from(entry.stored_bytes);
        by_name.insert(piece.chunk.hash, entry);
        stored.push(packed.stored);
    }
    Ok(NewChunks {
        entries: by_name,
        stored,
        bytes,
    })
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
