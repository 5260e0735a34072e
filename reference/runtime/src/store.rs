//! Where sealed checkpoints are kept: sealing, reading, listing, removing.
//!
//! ```text
//!            note, pack of new chunks        envelope, at once
//! (nothing) ─────────────────────────> ... ──────────────────> sealed ──remove──> (nothing)
//!                                       │ crash
//!                                       v
//!                          a pack that no checkpoint names: no checkpoint
//! ```
//!
//! Decides what is written in which order, what is checked before a payload is believed, and what may be
//! removed. Leaves out which checkpoint to take, restore or drop, and what a payload means. A checkpoint
//! that is missing or damaged is an error that names it; no other one is ever given in its place, and
//! damage is never removed but by an explicit call.
//!
//! Several programs may use one store, also of one sandbox: what each may remove while another writes is
//! told in [`attempt`].

mod address;
mod attempt;
#[cfg(feature = "cloud")]
mod cloud;
mod collect;
mod compact;
mod copy;
mod depot;
mod directory;
mod draft;
mod error;
#[cfg(test)]
mod fixture;
mod inspection;
mod objects;
mod pack;
mod place;
mod plan;
mod restore;
mod room;
mod seal;
mod turns;
mod unpack;
mod upload;

use std::collections::BTreeMap;
use std::sync::Arc;

use object_store::ObjectStore;
use torpor_api::CheckpointRecord;

use uuid::Uuid;

use crate::encryption::TenantKeys;
pub use crate::envelope::{EngineVersion, EnvelopeHeader};
pub use collect::Garbage;
pub use compact::Compacted;
pub(crate) use draft::Taken;
pub use draft::{Draft, Intake};
pub use error::StoreError;

use crate::payload::{Payload, PayloadReader};
use crate::step::Steps;
pub(crate) use restore::SealedPayload;

use objects::Objects;
use place::SandboxPlace;
pub use place::check_sandbox_uid;
use seal::Seal;
use turns::Turns;

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
    keys: Arc<TenantKeys>,
    /// Most bytes to keep for one sandbox.
    quota: Option<u64>,
    turns: Arc<Turns>,
    steps: Steps,
}

impl CheckpointStore {
    /// Opens the store that `url` names, without keys: `file:///directory`, which is made when it is not there,
    /// or `memory://`, a new store that ends with its last handle.
    ///
    /// # Errors
    /// When the URL is neither, or the directory cannot be made.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        Self::open_in(url, &BTreeMap::new())
    }

    /// Opens the store that `url` names, with what the environment says: the settings of `s3://bucket/prefix`,
    /// `gs://bucket/prefix` and `az://container/prefix` (cargo feature `cloud`), and the tenant's keys
    /// ([`torpor_api::env::STORE_KEYS`]) and a quota ([`torpor_api::env::STORE_QUOTA`]).
    ///
    /// # Errors
    /// When the URL, a setting, a key or the quota is wrong, or a directory cannot be made.
    pub fn open_in(url: &str, environment: &BTreeMap<String, String>) -> Result<Self, StoreError> {
        let keys = address::keys(environment)?;
        Ok(Self {
            quota: address::quota(environment)?,
            ..Self::with_objects(address::open(url, environment)?).with_keys(keys)
        })
    }

    /// A store in any object store that is consistent: what was written is listed and read at once.
    #[must_use]
    pub fn in_object_store(objects: Arc<dyn ObjectStore>) -> Self {
        Self::with_objects(Objects::new(objects, None))
    }

    fn with_objects(objects: Objects) -> Self {
        Self {
            objects,
            keys: Arc::default(),
            quota: None,
            turns: Arc::default(),
            steps: Steps::default(),
        }
    }

    /// Whether bytes cost no more than the time of a disk: nothing is sent away, and no quota counts them.
    fn is_roomy_disk(&self) -> bool {
        self.objects.on_disk() && self.quota.is_none()
    }

    /// The same store, for one tenant: seals with the first key, and reads what any of the keys has sealed.
    #[must_use]
    pub fn with_keys(self, keys: TenantKeys) -> Self {
        Self {
            keys: Arc::new(keys),
            ..self
        }
    }

    /// The same store by a handle as another program has it: calls to one do not wait for calls to the other.
    #[must_use]
    pub fn apart(&self) -> Self {
        Self {
            turns: Arc::default(),
            ..self.clone()
        }
    }

    /// The same store, which tells the steps of a seal.
    #[must_use]
    pub fn with_steps(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// Writes a checkpoint; when this returns it is whole and, in a `file` store, on disk. When it fails there
    /// is no checkpoint, unless the store lost its answer to the very last write; the same call may be made
    /// again. When it is dropped it goes on to its end.
    ///
    /// To seal the same payload again under the same key checks what is there and gives the same record.
    ///
    /// # Errors
    /// When the key is taken by another payload or engine, the quota does not suffice, or the store fails.
    pub async fn seal(
        &self,
        key: &CheckpointKey,
        engine: &EngineVersion,
        payload: impl Into<Payload>,
    ) -> Result<CheckpointRecord, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?;
        let payload = payload.into();
        let folder = place.folder().clone();
        let seal = Seal {
            store: self.clone(),
            place,
            key: key.clone(),
            engine: engine.clone(),
            attempt: Uuid::new_v4(),
        };
        let turn = self.turns.of(&key.sandbox_uid);
        match Arc::clone(&turn).try_read_owned() {
            // Goes on by itself, and is not handed from thread to thread first.
            Ok(no_removal) if !payload.is_taken() => seal.at_once(payload, no_removal).await,
            Ok(_) | Err(_) => {
                objects::to_the_end("seal a checkpoint in", &folder, async move {
                    let no_removal = turn.read_owned().await;
                    seal.run(payload, no_removal).await
                })
                .await
            }
        }
    }

    /// The payload of a checkpoint. Every byte is checked before this returns.
    ///
    /// # Errors
    /// When there is no such checkpoint, it is damaged, or another sandbox, engine or version wrote it.
    pub async fn load(&self, key: &CheckpointKey, engine: &EngineVersion) -> Result<Vec<u8>, StoreError> {
        self.open_payload(key, engine, None).await?.read_all().await
    }

    /// The payload of a checkpoint, to be read in parts: each is checked when it is read. That its packs are
    /// there is checked now.
    ///
    /// # Errors
    /// When there is no such checkpoint, its envelope is damaged, a pack of it is missing, or another sandbox,
    /// engine or version wrote it.
    pub async fn reader(&self, key: &CheckpointKey, engine: &EngineVersion) -> Result<PayloadReader, StoreError> {
        self.reader_of(key, engine, None).await
    }

    /// As [`reader`](Self::reader), of the very checkpoint that `digest` is on record for
    /// ([`CheckpointRecord::digest`]), if it is: whoever may write to the store could have put another one in its place.
    ///
    /// # Errors
    /// As those of [`reader`](Self::reader), and when the checkpoint that is there has another digest.
    pub async fn reader_of(
        &self,
        key: &CheckpointKey,
        engine: &EngineVersion,
        digest: Option<&str>,
    ) -> Result<PayloadReader, StoreError> {
        Ok(PayloadReader::sealed(self.open_payload(key, engine, digest).await?))
    }

    async fn open_payload(
        &self,
        key: &CheckpointKey,
        engine: &EngineVersion,
        digest: Option<&str>,
    ) -> Result<SealedPayload, StoreError> {
        self.objects.check().await?;
        let sealed = self.read_envelope(key).await?;
        restore::expect_engine(key, engine, &sealed.header)?;
        restore::expect_digest(key, digest, &sealed.header)?;
        self.open_as_it_is(key, sealed).await
    }

    /// What a checkpoint is. Reads and checks its header only.
    ///
    /// # Errors
    /// When there is no such checkpoint, or its header is damaged or another checkpoint's.
    pub async fn header(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        self.objects.check().await?;
        self.read_header(key).await
    }

    /// The record that sealing the checkpoint gave. Reads and checks its envelope, not its packs.
    ///
    /// # Errors
    /// When there is no such checkpoint, or its envelope is damaged or another checkpoint's.
    pub async fn record(&self, key: &CheckpointKey) -> Result<CheckpointRecord, StoreError> {
        self.objects.check().await?;
        let sealed = self.read_envelope(key).await?;
        Ok(seal::record_of(&sealed.header, sealed.bytes.len() as u64))
    }

    /// Reads all of a checkpoint and checks every byte.
    ///
    /// # Errors
    /// When there is no such checkpoint, or anything of it is missing or damaged.
    pub async fn verify(&self, key: &CheckpointKey) -> Result<EnvelopeHeader, StoreError> {
        self.objects.check().await?;
        let sealed = self.read_envelope(key).await?;
        let header = sealed.header.clone();
        self.open_as_it_is(key, sealed).await?.check().await?;
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
        let turn = self.turns.of(sandbox_uid);
        objects::to_the_end("remove", &folder, async move {
            let _no_sealing = turn.write().await;
            store.remove_sandbox(&place).await
        })
        .await
    }

    /// Removes the checkpoints of a sandbox that are older than `generation`, and every pack that no remaining
    /// one needs. Seals of such a generation that are under way fail. May be called again, also after a
    /// failure halfway.
    ///
    /// # Errors
    /// When there is no such generation or a remaining envelope is damaged: then nothing is removed. When the
    /// store fails: then something may be left.
    pub async fn remove_older_than(&self, sandbox_uid: &str, generation: u64) -> Result<Garbage, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        let (store, folder) = (self.clone(), place.folder().clone());
        let oldest_kept = CheckpointKey {
            sandbox_uid: sandbox_uid.to_owned(),
            generation,
        };
        let turn = self.turns.of(sandbox_uid);
        objects::to_the_end("remove old checkpoints in", &folder, async move {
            let _no_sealing = turn.write().await;
            store.collect(&place, &oldest_kept).await
        })
        .await
    }

    /// What [`remove_older_than`](Self::remove_older_than) would remove now.
    ///
    /// # Errors
    /// When there is no such generation, a remaining envelope is damaged, or the store fails.
    pub async fn garbage(&self, sandbox_uid: &str, generation: u64) -> Result<Garbage, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        self.objects.check().await?;
        let oldest_kept = CheckpointKey {
            sandbox_uid: sandbox_uid.to_owned(),
            generation,
        };
        self.survey(&place, &oldest_kept).await
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
