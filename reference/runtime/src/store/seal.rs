//! Writing a checkpoint: chunks first, the envelope last. A crash before the envelope leaves chunks that no
//! checkpoint names; the next collection or removal takes them.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;
use futures::{StreamExt, TryStreamExt};
use tokio::sync::OwnedRwLockReadGuard;
use torpor_api::CheckpointRecord;

use super::objects::{Created, to_the_end};
use super::place::SandboxPlace;
use super::{CheckpointKey, CheckpointStore, EngineVersion, EnvelopeHeader, PARALLEL_CHUNKS, StoreError};
use crate::chunks::{self, ChunkRef};
use crate::envelope::{self, Contents};

/// Held by every write of one seal; nothing is removed until the last of them has ended.
pub(super) type NoRemoval = Arc<OwnedRwLockReadGuard<()>>;

impl CheckpointStore {
    pub(super) async fn write(
        &self,
        no_removal: &NoRemoval,
        place: &SandboxPlace,
        key: &CheckpointKey,
        engine: &EngineVersion,
        payload: &[u8],
    ) -> Result<CheckpointRecord, StoreError> {
        let payload_hash = blake3::hash(payload);
        let sealed_before = self.sealed_before(key, engine, &payload_hash).await?;
        let pieces: Vec<(ChunkRef, &[u8])> = chunks::cut(payload).map(|plain| (reference(plain), plain)).collect();
        let mut seen = HashSet::new();
        // A loop, not a closure over references: the future has to be `Send` for every lifetime.
        let mut writes = Vec::new();
        for (chunk, plain) in &pieces {
            if seen.insert(chunk.hash) {
                writes.push(self.store_chunk(no_removal, place, key, chunk, plain));
            }
        }
        let added: Vec<u64> = futures::stream::iter(writes)
            .buffer_unordered(PARALLEL_CHUNKS)
            .try_collect()
            .await?;
        if let Some(record) = sealed_before {
            return Ok(record);
        }
        let chunks: Vec<ChunkRef> = pieces.iter().map(|(chunk, _)| *chunk).collect();
        let contents = Contents {
            sandbox_uid: &key.sandbox_uid,
            generation: key.generation,
            engine,
            payload_hash,
            added_chunk_bytes: added.iter().sum(),
            chunks: &chunks,
        };
        let damaged = |source| StoreError::Envelope {
            key: key.clone(),
            source,
        };
        let bytes = envelope::encode(&contents).map_err(damaged)?;
        let (header, _) = envelope::decode(&bytes).map_err(damaged)?;
        let record = record_of(&header, &bytes);
        let place = place.envelope(key.generation);
        let (objects, no_removal, to) = (self.objects.clone(), Arc::clone(no_removal), place.clone());
        let created = to_the_end("write", &place, async move {
            let _held = no_removal;
            objects.create(&to, bytes).await
        });
        match created.await? {
            Created::New => Ok(record),
            // Another writer was first. Whether that is well depends on what it wrote.
            Created::Existed => self
                .sealed_before(key, engine, &payload_hash)
                .await?
                .ok_or_else(|| StoreError::AlreadySealed { key: key.clone() }),
        }
    }

    /// The record of the checkpoint, when it is sealed already with this very payload. Its chunks are not read.
    async fn sealed_before(
        &self,
        key: &CheckpointKey,
        engine: &EngineVersion,
        payload_hash: &Hash,
    ) -> Result<Option<CheckpointRecord>, StoreError> {
        let (bytes, header, _) = match self.read_envelope(key).await {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if header.payload_hash != payload_hash.to_hex().as_str() || header.engine != *engine {
            return Err(StoreError::AlreadySealed { key: key.clone() });
        }
        Ok(Some(record_of(&header, &bytes)))
    }

    /// Writes a chunk unless the store has it; returns the bytes written. One that an earlier checkpoint left
    /// is read and compared: to rely on a damaged one would lose the context, and now its bytes are at hand.
    async fn store_chunk(
        &self,
        no_removal: &NoRemoval,
        place: &SandboxPlace,
        key: &CheckpointKey,
        chunk: &ChunkRef,
        plain: &[u8],
    ) -> Result<u64, StoreError> {
        let place = place.chunk(&chunk.hash);
        if let Some(stored) = self.objects.read(&place).await?
            && chunks::unpack(chunk, &stored).is_ok()
        {
            return Ok(0);
        }
        let packed = chunks::pack(plain).map_err(|source| StoreError::Compress {
            key: key.clone(),
            source,
        })?;
        let added = packed.len() as u64;
        let (objects, no_removal, to) = (self.objects.clone(), Arc::clone(no_removal), place.clone());
        to_the_end("write", &place, async move {
            let _held = no_removal;
            objects.replace(&to, packed).await
        })
        .await?;
        Ok(added)
    }
}

/// The record of a sealed envelope; it depends on nothing else, so that a repeated call gives the same.
pub(super) fn record_of(header: &EnvelopeHeader, envelope: &[u8]) -> CheckpointRecord {
    CheckpointRecord {
        generation: header.generation,
        digest: format!("blake3:{}", blake3::hash(envelope).to_hex()),
        size_bytes: header.payload_bytes,
        stored_bytes: header.added_chunk_bytes + envelope.len() as u64,
        engine: header.engine.name.clone(),
    }
}

#[expect(
    clippy::expect_used,
    reason = "the chunker cuts after at most MAX_CHUNK_BYTES, which is a u32"
)]
fn reference(plain: &[u8]) -> ChunkRef {
    let length = u32::try_from(plain.len()).expect("a chunk's length fits into 32 bits");
    ChunkRef {
        hash: blake3::hash(plain),
        length,
    }
}
