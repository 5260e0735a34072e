//! Why the store could not do what it was asked.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use uuid::Uuid;

use crate::chunks::ChunkError;
use crate::encryption::KeyError;
use crate::envelope::{EngineVersion, EnvelopeError};
use crate::store::CheckpointKey;

/// The URLs of stores, for messages.
const KINDS: &str = if cfg!(feature = "cloud") {
    "file:///directory, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, or memory:// for a store without a disk"
} else {
    "file:///directory, or memory:// for a store without a disk; s3://, gs:// and az:// need the cargo feature `cloud`"
};

/// Why the store could not do what it was asked. Whatever it is, no sealed checkpoint has changed, unless
/// the call was to remove some; then it can be repeated.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no store.
    #[error("open the checkpoint store {url:?}: {reason}; give {KINDS}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A store in a cloud whose settings do not do.
    #[error("open the checkpoint store {url:?} with the settings of the environment")]
    Settings {
        /// The URL.
        url: String,
        /// What is wrong with them.
        #[source]
        source: BackendError,
    },
    /// What should be keys of the tenant is none.
    #[error("take the keys of {variable}")]
    Keys {
        /// The environment variable.
        variable: &'static str,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// The file of the tenant's keys cannot be read.
    #[error("read the keys in {}, which {variable} names", path.display())]
    KeysFile {
        /// The environment variable.
        variable: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The quota is no number.
    #[error("take the quota of {variable}: {text:?} is no number of bytes")]
    QuotaSetting {
        /// The environment variable.
        variable: &'static str,
        /// What it says.
        text: String,
    },
    /// The sandbox may not keep so much. What it has is kept, and nothing was added.
    #[error(
        "seal checkpoint {key}: the sandbox would keep {needed} bytes, and its quota is {quota}; raise the quota or let the sandbox free some memory or files"
    )]
    QuotaExceeded {
        /// The checkpoint.
        key: CheckpointKey,
        /// Bytes that the store would keep for the sandbox.
        needed: u64,
        /// Bytes that it may.
        quota: u64,
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
    /// It is not the one that was sealed and put on record.
    #[error("restore checkpoint {key}: its digest is {found}, and {recorded} is on record; somebody has put it there")]
    OtherDigest {
        /// The checkpoint.
        key: CheckpointKey,
        /// What sealing it gave.
        recorded: String,
        /// What is there.
        found: String,
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
    /// What the store had taken before this call is gone: it belonged to another call, another sandbox or another
    /// store, or shares with an earlier checkpoint what that has no more.
    #[error(
        "seal checkpoint {key}: what was taken ahead of it is of no use any more; write the sandbox down once more"
    )]
    Spent {
        /// The checkpoint.
        key: CheckpointKey,
    },
    /// What is to be stored cannot be read.
    #[error("read the payload of checkpoint {key}")]
    Payload {
        /// The checkpoint.
        key: CheckpointKey,
        /// What went wrong.
        source: Box<crate::PayloadError>,
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
    /// Its chunks could not be written.
    #[error("write the chunks of checkpoint {key}")]
    Pack {
        /// The checkpoint.
        key: CheckpointKey,
        /// What went wrong.
        #[source]
        source: std::io::Error,
    },
    /// The store refused or failed.
    #[error("{attempt} /{place} in the checkpoint store")]
    Backend {
        /// What was attempted.
        attempt: &'static str,
        /// Where in the store.
        place: String,
        /// What went wrong.
        #[source]
        source: BackendError,
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

/// What an object store said, in one line. Its own errors repeat their causes, and leave out the first one.
#[derive(Debug)]
pub struct BackendError(object_store::Error);

impl From<object_store::Error> for BackendError {
    fn from(error: object_store::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one_line = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let said = one_line(self.0.to_string());
        f.write_str(&said)?;
        let causes = std::iter::successors(self.0.source(), |error: &&(dyn Error + 'static)| (*error).source());
        match causes.last().map(|first| one_line(first.to_string())) {
            Some(first) if !said.contains(&first) => write!(f, ": {first}"),
            Some(_) | None => Ok(()),
        }
    }
}

impl Error for BackendError {}

impl StoreError {
    /// Whether it says that a checkpoint is missing, damaged or cannot be opened, as opposed to a store that
    /// failed or was asked for nonsense.
    #[must_use]
    pub fn is_about_a_checkpoint(&self) -> bool {
        match self {
            Self::NotFound { .. }
            | Self::Envelope { .. }
            | Self::OtherCheckpoint { .. }
            | Self::OtherDigest { .. }
            | Self::PackMissing { .. }
            | Self::PackSize { .. }
            | Self::ChunkDamaged { .. } => true,
            Self::Url { .. }
            | Self::Settings { .. }
            | Self::Keys { .. }
            | Self::KeysFile { .. }
            | Self::QuotaSetting { .. }
            | Self::QuotaExceeded { .. }
            | Self::SandboxUid { .. }
            | Self::DirectoryGone { .. }
            | Self::AlreadySealed { .. }
            | Self::OtherEngine { .. }
            | Self::OtherEngineVersion { .. }
            | Self::Removed { .. }
            | Self::Attempt { .. }
            | Self::Compress { .. }
            | Self::Pack { .. }
            | Self::Payload { .. }
            | Self::Spent { .. }
            | Self::Backend { .. }
            | Self::Directory { .. } => false,
        }
    }

    /// Whether it says that a checkpoint cannot be opened with the keys that there are: one with others may find it whole.
    #[must_use]
    pub fn lacks_a_key(&self) -> bool {
        let Self::Envelope { source, .. } = self else {
            return false;
        };
        matches!(source, EnvelopeError::NoKey { .. } | EnvelopeError::WrongKey { .. })
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("send a request")]
    struct Request(#[source] io::Error);

    #[test]
    fn what_an_object_store_says_is_said_once_with_its_first_cause() {
        let refused = Request(io::Error::other("connection\nrefused"));
        let error = BackendError(object_store::Error::Generic {
            store: "S3",
            source: Box::new(refused),
        });
        assert_eq!(
            error.to_string(),
            "Generic S3 error: send a request: connection refused"
        );
        assert!(error.source().is_none());
        let full = BackendError(object_store::Error::Generic {
            store: "S3",
            source: Box::new(io::Error::from(io::ErrorKind::StorageFull)),
        });
        assert_eq!(full.to_string(), "Generic S3 error: no storage space");
    }
}
