//! Reading a checkpoint, with every byte checked before any is believed.

use blake3::Hasher;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};

use super::place::SandboxPlace;
use super::{CheckpointKey, CheckpointStore, EngineVersion, EnvelopeHeader, PARALLEL_CHUNKS, StoreError};
use crate::chunks::{self, ChunkRef};
use crate::envelope::{self, PREFIX_BYTES};

impl CheckpointStore {
    /// The header alone; reads nothing of the body.
    pub(super) async fn read_header(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?.envelope(key.generation);
        let missing = || StoreError::NotFound { key: key.clone() };
        let damaged = |source| StoreError::Envelope {
            key: key.clone(),
            source,
        };

        let size = self.objects.size(&place).await?.ok_or_else(missing)?;
        let prefix_end = size.min(PREFIX_BYTES as u64);
        let prefix = self
            .objects
            .read_range(&place, 0..prefix_end)
            .await?
            .ok_or_else(missing)?;
        let prefix = envelope::decode_prefix(&prefix).map_err(damaged)?;
        let header_end = size.min(prefix_end + u64::from(prefix.header_bytes));
        let header = self
            .objects
            .read_range(&place, prefix_end..header_end)
            .await?
            .ok_or_else(missing)?;
        let header = envelope::decode_header(&prefix, &header, size).map_err(damaged)?;
        expect_key(key, &header)?;
        Ok(header)
    }

    /// The whole envelope, checked, of that very checkpoint.
    pub(super) async fn read_envelope(
        &self,
        key: &CheckpointKey,
    ) -> Result<(Bytes, EnvelopeHeader, Vec<ChunkRef>), StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?.envelope(key.generation);
        let bytes = self
            .objects
            .read(&place)
            .await?
            .ok_or_else(|| StoreError::NotFound { key: key.clone() })?;
        let damaged = |source| StoreError::Envelope {
            key: key.clone(),
            source,
        };
        let (header, chunks) = envelope::decode(&bytes).map_err(damaged)?;
        expect_key(key, &header)?;
        Ok((bytes, header, chunks))
    }

    /// Hands all chunks of a payload, in order, to `take`; checks each chunk before and the whole after.
    pub(super) async fn read_payload(
        &self,
        key: &CheckpointKey,
        header: &EnvelopeHeader,
        chunks: &[ChunkRef],
        mut take: impl FnMut(&[u8]),
    ) -> Result<(), StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?;
        // A loop, not a closure over references: the future has to be `Send` for every lifetime.
        let mut reads = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            reads.push(self.read_chunk(&place, key, chunk));
        }
        let mut plains = futures::stream::iter(reads).buffered(PARALLEL_CHUNKS);
        let mut hasher = Hasher::new();
        while let Some(plain) = plains.try_next().await? {
            hasher.update(&plain);
            take(&plain);
        }
        if hasher.finalize().to_hex().as_str() != header.payload_hash {
            return Err(StoreError::PayloadHash { key: key.clone() });
        }
        Ok(())
    }

    async fn read_chunk(
        &self,
        place: &SandboxPlace,
        key: &CheckpointKey,
        chunk: &ChunkRef,
    ) -> Result<Vec<u8>, StoreError> {
        let name = || chunk.hash.to_hex().to_string();
        let stored = self.objects.read(&place.chunk(&chunk.hash)).await?;
        let stored = stored.ok_or_else(|| StoreError::ChunkMissing {
            key: key.clone(),
            chunk: name(),
        })?;
        chunks::unpack(chunk, &stored).map_err(|source| StoreError::ChunkDamaged {
            key: key.clone(),
            chunk: name(),
            source,
        })
    }
}

/// Refuses a checkpoint that only this engine in this version could restore, when it is another.
pub(super) fn expect_engine(
    key: &CheckpointKey,
    expected: &EngineVersion,
    header: &EnvelopeHeader,
) -> Result<(), StoreError> {
    let (key, expected, found) = (key.clone(), expected.clone(), header.engine.clone());
    if expected.name != found.name {
        return Err(StoreError::OtherEngine { key, expected, found });
    }
    if expected.version != found.version {
        return Err(StoreError::OtherEngineVersion { key, expected, found });
    }
    Ok(())
}

fn expect_key(key: &CheckpointKey, header: &EnvelopeHeader) -> Result<(), StoreError> {
    let found = CheckpointKey {
        sandbox_uid: header.sandbox_uid.clone(),
        generation: header.generation,
    };
    if found == *key {
        Ok(())
    } else {
        Err(StoreError::OtherCheckpoint {
            key: key.clone(),
            found,
        })
    }
}
