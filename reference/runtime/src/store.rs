//! Where sealed checkpoints are kept: sealing, reading, listing, removing.
//!
//! ```text
//!            chunks, one by one        envelope, at once
//! (nothing) ────────────────────> ... ──────────────────> sealed ──remove──> (nothing)
//!                                  │ crash
//!                                  v
//!                   chunks that no checkpoint names: no checkpoint
//! ```
//!
//! Decides what is written in which order, what is checked before a payload is believed, and what may be
//! removed. Leaves out which checkpoint to take, restore or drop, and what a payload means. A checkpoint
//! that is missing or damaged is an error that names it; no other one is ever given in its place, and
//! damage is never removed but by an explicit call.
//!
//! One sandbox has one writer at a time: while a program seals a checkpoint of a sandbox, no *other*
//! program may remove from that sandbox, since it could take a chunk that the new checkpoint relies on.
//! Clones of one [`CheckpointStore`] see to that among themselves.

mod collect;
mod directory;
mod error;
mod objects;
mod place;
mod restore;
mod seal;

use std::sync::Arc;

use tokio::sync::RwLock;
use torpor_api::CheckpointRecord;

pub use crate::envelope::{EngineVersion, EnvelopeHeader};
pub use error::StoreError;

use objects::Objects;
use place::SandboxPlace;

/// Chunks that are read or written at a time, per call.
const PARALLEL_CHUNKS: usize = 8;

/// Names one checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CheckpointKey {
    /// `metadata.uid` of the sandbox.
    pub sandbox_uid: String,
    /// Number of the checkpoint within its sandbox.
    pub generation: u64,
}

/// A store of checkpoints. Clones are handles to the same store.
#[derive(Clone, Debug)]
pub struct CheckpointStore {
    objects: Objects,
    /// Held shared to seal and exclusively to remove; guards no data, the files are the data.
    removal: Arc<RwLock<()>>,
}

impl CheckpointStore {
    /// Opens the store that `url` names: `file:///directory`, which is made when it is not there, or
    /// `memory://`, a new store that ends with its last handle.
    ///
    /// # Errors
    /// When the URL is neither, or the directory cannot be made.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Ok(Self {
            objects: Objects::open(url)?,
            removal: Arc::default(),
        })
    }

    /// Writes a checkpoint; when this returns it is whole and, in a `file` store, on disk. When it fails there
    /// is no checkpoint, and the same call may be made again. When it is dropped there is none or a whole one:
    /// a write that has begun ends.
    ///
    /// To seal the same payload again under the same key gives the same record, and mends its chunks.
    ///
    /// # Errors
    /// When the key is taken by another payload or engine, or the store fails.
    pub async fn seal(
        &self,
        key: &CheckpointKey,
        engine: &EngineVersion,
        payload: &[u8],
    ) -> Result<CheckpointRecord, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?;
        self.objects.check().await?;
        let no_removal = Arc::new(Arc::clone(&self.removal).read_owned().await);
        self.write(&no_removal, &place, key, engine, payload).await
    }

    /// The payload of a checkpoint. Every byte is checked before this returns.
    ///
    /// # Errors
    /// When there is no such checkpoint, it is damaged, or another sandbox, engine or version wrote it.
    pub async fn load(&self, key: &CheckpointKey, engine: &EngineVersion) -> Result<Vec<u8>, StoreError> {
        self.objects.check().await?;
        let (_, header, chunks) = self.read_envelope(key).await?;
        restore::expect_engine(key, engine, &header)?;
        let mut payload = Vec::new();
        self.read_payload(key, &header, &chunks, |plain| payload.extend_from_slice(plain))
            .await?;
        Ok(payload)
    }

    /// What a checkpoint is. Reads and checks its header only.
    ///
    /// # Errors
    /// When there is no such checkpoint, or its header is damaged or another checkpoint's.
    pub async fn header(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        self.objects.check().await?;
        self.read_header(key).await
    }

    /// The record that sealing the checkpoint gave. Reads and checks its envelope, not its chunks.
    ///
    /// # Errors
    /// When there is no such checkpoint, or its envelope is damaged or another checkpoint's.
    pub async fn record(&self, key: &CheckpointKey) -> Result<CheckpointRecord, StoreError> {
        self.objects.check().await?;
        let (bytes, header, _) = self.read_envelope(key).await?;
        Ok(seal::record_of(&header, &bytes))
    }

    /// Reads all of a checkpoint and checks every byte.
    ///
    /// # Errors
    /// When there is no such checkpoint, or anything of it is missing or damaged.
    pub async fn verify(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        self.objects.check().await?;
        let (_, header, chunks) = self.read_envelope(key).await?;
        self.read_payload(key, &header, &chunks, |_| ()).await?;
        Ok(header)
    }
}

impl CheckpointStore {
    /// The generations of a sandbox's checkpoints, sorted. Damaged ones are among them.
    ///
    /// # Errors
    /// When the UID is impossible or the store fails.
    pub async fn list(&self, sandbox_uid: &str) -> Result<Vec<u64>, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        self.generations(&place).await
    }

    /// The UIDs of all sandboxes that the store has anything of, if only a remainder; sorted.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sandboxes(&self) -> Result<Vec<String>, StoreError> {
        self.objects.check().await?;
        let folders = self
            .objects
            .children(&object_store::path::Path::ROOT)
            .await?
            .common_prefixes;
        let uids = folders.iter().filter_map(|folder| folder.filename());
        // A volume may have folders of its own, such as `lost+found`.
        let mut uids: Vec<String> = uids
            .filter(|uid| SandboxPlace::new(uid).is_ok())
            .map(str::to_owned)
            .collect();
        uids.sort_unstable();
        Ok(uids)
    }

    /// Removes all that the store has of a sandbox. May be called again, also after a failure halfway.
    ///
    /// # Errors
    /// When the UID is impossible or the store fails or is gone; then something may be left.
    pub async fn remove_all(&self, sandbox_uid: &str) -> Result<(), StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        let (store, folder) = (self.clone(), place.folder().clone());
        objects::to_the_end("remove", &folder, async move {
            let _no_sealing = store.removal.write().await;
            store.remove_sandbox(&place).await
        })
        .await
    }

    /// Removes the checkpoints of a sandbox that are older than `generation`, and every chunk that no
    /// remaining one needs. May be called again, also after a failure halfway.
    ///
    /// # Errors
    /// When there is no such generation or a remaining envelope is damaged: then nothing is removed. When the
    /// store fails: then something may be left.
    pub async fn remove_older_than(&self, sandbox_uid: &str, generation: u64) -> Result<(), StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        let (store, uid) = (self.clone(), sandbox_uid.to_owned());
        objects::to_the_end("remove old checkpoints in", place.folder(), async move {
            let _no_sealing = store.removal.write().await;
            store.collect(&uid, generation).await
        })
        .await
    }

    /// Bytes that the store keeps for a sandbox, remainders of crashed writes included.
    ///
    /// # Errors
    /// When the UID is impossible or the store fails.
    pub async fn stored_bytes(&self, sandbox_uid: &str) -> Result<u64, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        self.objects.folder_bytes(place.folder()).await
    }
}
