//! Why the store could not do what it was asked.

use std::path::PathBuf;

use uuid::Uuid;

use crate::chunks::ChunkError;
use crate::envelope::{EngineVersion, EnvelopeError};
use crate::store::CheckpointKey;

/// Why the store could not do what it was asked. Whatever it is, no sealed checkpoint has changed, unless
/// the call was to remove some; then it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error(
        "open the checkpoint store {url:?}: {reason}; give file:///directory, or memory:// for a store without a disk"
    )]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A sandbox UID that could name a place outside the sandbox's own.
    #[error("use {uid:?} as a sandbox UID: {reason}")]
    SandboxUid {
        /// The UID.
        uid: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The store's directory is gone, perhaps not mounted. That is not the same as a store without
    /// checkpoints.
    #[error("use the checkpoint store in {}: the directory is not there", path.display())]
    DirectoryGone {
        /// The directory.
        path: PathBuf,
    },
    /// There is no such checkpoint.
    #[error("read checkpoint {key}: there is none")]
    NotFound {
        /// The checkpoint.
        key: CheckpointKey,
    },
    /// There is such a checkpoint, with other contents. It is kept.
    #[error("seal checkpoint {key}: it exists with other contents; take a generation that was never used")]
    AlreadySealed {
        /// The checkpoint.
        key: CheckpointKey,
    },
    /// Its envelope is torn or damaged. It is kept.
    #[error("read the envelope of checkpoint {key}")]
    Envelope {
        /// The checkpoint.
        key: CheckpointKey,
        /// What is wrong.
        #[source]
        source: EnvelopeError,
    },
    /// Its envelope is sound, but was written for another checkpoint.
    #[error("read checkpoint {key}: what is stored there is checkpoint {found}")]
    OtherCheckpoint {
        /// The checkpoint that was asked for.
        key: CheckpointKey,
        /// The one that is stored in its place.
        found: CheckpointKey,
    },
    /// Another engine wrote it.
    #[error("restore checkpoint {key} with engine {}: engine {} wrote it", expected.name, found.name)]
    OtherEngine {
        /// The checkpoint.
        key: CheckpointKey,
        /// The engine that would restore it.
        expected: EngineVersion,
        /// The engine that wrote it.
        found: EngineVersion,
    },
    /// Another version of the engine wrote it.
    #[error("restore checkpoint {key} with {} version {}: version {} wrote it", expected.name, expected.version, found.version)]
    OtherEngineVersion {
        /// The checkpoint.
        key: CheckpointKey,
        /// The engine that would restore it.
        expected: EngineVersion,
        /// The engine that wrote it.
        found: EngineVersion,
    },
    /// The generation was removed, perhaps while it was being written.
    #[error("seal checkpoint {key}: this generation was removed; take one that was never used")]
    Removed {
        /// The checkpoint.
        key: CheckpointKey,
    },
    /// A pack that it needs is gone.
    #[error("read checkpoint {key}: its pack {pack} is missing")]
    PackMissing {
        /// The checkpoint.
        key: CheckpointKey,
        /// Name of the pack.
        pack: Uuid,
    },
    /// A pack that it needs was cut or got longer.
    #[error("read checkpoint {key}: its pack {pack} should have {expected} bytes and has {found}")]
    PackSize {
        /// The checkpoint.
        key: CheckpointKey,
        /// Name of the pack.
        pack: Uuid,
        /// Bytes by the envelope.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },
    /// A chunk that it needs is damaged.
    #[error("read chunk {chunk} of checkpoint {key}")]
    ChunkDamaged {
        /// The checkpoint.
        key: CheckpointKey,
        /// Name of the chunk.
        chunk: String,
        /// What is wrong.
        #[source]
        source: ChunkError,
    },
    /// The note on a seal under way cannot be read. Until it is gone nothing is known to be garbage.
    #[error("read {place} in the checkpoint store, the note on a seal under way; `remove` the sandbox or the file")]
    Attempt {
        /// Where it is.
        place: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// Its chunks could not be compressed.
    #[error("compress checkpoint {key}")]
    Compress {
        /// The checkpoint.
        key: CheckpointKey,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The store refused or failed.
    #[error("{attempt} {place} in the checkpoint store")]
    Backend {
        /// What was attempted.
        attempt: &'static str,
        /// Where in the store.
        place: String,
        /// What went wrong.
        #[source]
        source: object_store::Error,
    },
    /// The store's directory refused or failed.
    #[error("{attempt} {}", path.display())]
    Directory {
        /// What was attempted.
        attempt: &'static str,
        /// On what.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
}
