//! Compressing, later, what a seal has written as it was.
//!
//! ```text
//!  note ──> new pack, compressed ──> envelope that names it, in place of the old one at once ──> note dropped
//!                                       │ removed or replaced meanwhile            │
//!                                       v                                          v
//!                               taken back, nothing changed         old packs swept, as after a removal
//! ```
//!
//! The chunks, their names and the checkpoint's digest stay the same; only their stored form changes. At each moment
//! the envelope that is there names packs that are there, and both the old and the new one are the whole checkpoint.
//! To seals and removals a compaction is a seal of the same generation ([`super::attempt`]): what it relies on stays,
//! and what others rely on is spared by its sweep. A reader keeps the packs open that it reads from.
//!
//! In stores on disk only: elsewhere a seal compresses before it sends. One generation that is removed and replaced
//! by the mark of a removal at the very moment of the exchange is back until that is undone, at once; a program that
//! dies in between leaves it until the next removal.

mod windows;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use blake3::Hash;
use bytes::Bytes;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::attempt::Attempt;
use super::depot::{Depot, Place};
use super::objects::{self, Exchanged, NewPack, on_the_cores};
use super::pack::PackError;
use super::place::{self, SandboxPlace};
use super::plan::Base;
use super::restore::{Sealed, SealedPayload};
use super::seal::report;
use super::{CheckpointKey, CheckpointStore, StoreError};
use crate::chunks::Encoding;
use crate::encryption::TenantKeys;
use crate::envelope::{self, Contents, Entry, Holder, KeptChunks, Pack};
pub(super) use windows::{compress_window, once, windows};

/// What a compaction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// Stored bytes of what was compressed, before. None when there was nothing to compress, or it was called off.
    pub before: u64,
    /// And after.
    pub after: u64,
}

impl CheckpointStore {
    /// Compresses what a seal has written as it was, and gives the space back. Uses one core, and memory for a few
    /// megabytes and the table. When `cancelled` it ends soon, and the checkpoint is as it was.
    ///
    /// # Errors
    /// The checkpoint is damaged, removed meanwhile, or the store fails. It is as it was then, or compressed with some
    /// old packs left.
    pub async fn compact(&self, key: &CheckpointKey, cancelled: &CancellationToken) -> Result<Compacted, StoreError> {
        let place = SandboxPlace::new(&key.sandbox_uid)?;
        self.objects.check().await?;
        if !self.objects.on_disk() {
            return Ok(Compacted::default());
        }
        let (store, folder) = (self.clone(), place.folder().clone());
        let turn = self.turns.of(&key.sandbox_uid);
        let compaction = Compaction {
            store: self.clone(),
            place: place.clone(),
            key: key.clone(),
            attempt: Uuid::new_v4(),
            cancelled: cancelled.clone(),
        };
        objects::to_the_end("compact", &folder, async move {
            let compacted = {
                let _no_removal = turn.read().await;
                compaction.run().await?
            };
            if compacted.before > 0 {
                let _no_sealing = turn.write().await;
                store.sweep(&place, &compaction.key).await?;
            }
            Ok(compacted)
        })
        .await
    }

    /// Bytes of a checkpoint that a compaction would compress; none of one that is encrypted, which takes no key to say.
    ///
    /// # Errors
    /// When there is no such checkpoint, or its envelope is damaged or another checkpoint's.
    pub async fn uncompressed_bytes(&self, key: &CheckpointKey) -> Result<u64, StoreError> {
        self.objects.check().await?;
        if self.is_encrypted(key).await? {
            return Ok(0);
        }
        let sealed = self.read_envelope(key).await?;
        let untried = sealed.entries.iter().filter(|entry| is_untried(entry));
        let mut seen = HashSet::new();
        let once = untried.filter(|entry| seen.insert(entry.chunk.hash));
        Ok(once.map(|entry| u64::from(entry.stored_bytes)).sum())
    }

    /// Whether chunks and table are: a seal has compressed them, and whoever compacts need not have the key.
    async fn is_encrypted(&self, key: &CheckpointKey) -> Result<bool, StoreError> {
        Ok(self.read_header(key).await?.key_id.is_some())
    }
}

/// Whether nobody has tried to compress it.
pub(super) fn is_untried(entry: &Entry) -> bool {
    entry.form.encoding == Encoding::Untried
}

/// One call to compact.
struct Compaction {
    store: CheckpointStore,
    place: SandboxPlace,
    key: CheckpointKey,
    /// Names this call and the pack that it writes.
    attempt: Uuid,
    cancelled: CancellationToken,
}

/// The packs that go, with all that is needed of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    holders: BTreeSet<Holder>,
}

impl Plan {
    fn of(entries: &[Entry]) -> Self {
        let untried = entries.iter().filter(|entry| is_untried(entry));
        Self {
            holders: untried.map(|entry| entry.holder).collect(),
        }
    }

    fn moves(&self, entry: &Entry) -> bool {
        self.holders.contains(&entry.holder)
    }

    /// Stored bytes of what moves.
    fn bytes(&self, sealed: &Sealed) -> u64 {
        let packs = (0..).zip(&sealed.header.packs);
        let moved = packs.filter(|(nth, _)| self.holders.contains(&Holder::Pack(*nth)));
        let in_packs: u64 = moved.map(|(_, pack)| pack.bytes).sum();
        let here = sealed.header.body_bytes - sealed.header.table_bytes;
        in_packs + if self.is_small() { here } else { 0 }
    }

    /// A small checkpoint keeps its chunks in its envelope.
    fn is_small(&self) -> bool {
        self.holders.contains(&Holder::Envelope)
    }
}

impl Compaction {
    async fn run(&self) -> Result<Compacted, StoreError> {
        if self.store.is_encrypted(&self.key).await? {
            return Ok(Compacted::default());
        }
        let sealed = self.store.read_envelope(&self.key).await?;
        let plan = Plan::of(&sealed.entries);
        if plan.holders.is_empty() {
            return Ok(Compacted::default());
        }
        let compacted = self.replace(sealed, &plan).await;
        let is_done = compacted.as_ref().is_ok_and(|compacted| compacted.before > 0);
        if !is_done && self.is_named_by_nobody().await {
            let pack = self.place.pack(self.attempt);
            report(
                "take back the pack of a compaction",
                self.store.objects.discard(&pack).await,
            );
        }
        let note = self.place.attempt(self.attempt);
        report("drop the note on a compaction", self.store.objects.discard(&note).await);
        compacted
    }

    /// Whether it is certain that the envelope which is there does not name the new pack: one that failed after the
    /// exchange may. What is not certain is left to a sweep.
    async fn is_named_by_nobody(&self) -> bool {
        match self.store.read_header(&self.key).await {
            Ok(header) => header.packs.iter().all(|pack| pack.id != self.attempt),
            Err(StoreError::NotFound { .. }) => true,
            Err(error) => {
                report("look whether a compaction is done", Err(error));
                false
            }
        }
    }

    async fn replace(&self, sealed: Sealed, plan: &Plan) -> Result<Compacted, StoreError> {
        let removed = || StoreError::Removed { key: self.key.clone() };
        let base = Base {
            packs: sealed.header.packs.clone(),
            entries: sealed.entries.clone(),
        };
        let noting = self
            .store
            .begin_note(&self.place, self.attempt)
            .await?
            .of_a_compaction();
        let noted = self.store.note_attempt(&self.place, self.key.generation, noting, &base);
        let secure = noted.await?;
        if !plan.is_small() && secure.entries.len() < sealed.entries.len() {
            return Err(removed());
        }
        let payload = self.store.open_sealed(&self.key, sealed.clone()).await?;
        let Some((new, bytes, held)) = self.compress(&sealed.entries, plan, &payload).await? else {
            return Ok(Compacted::default());
        };
        let (packs, entries) = self.renamed(&sealed, plan, &new, bytes);
        let (kept_here, pack) = if plan.is_small() {
            (held.in_order(), None)
        } else {
            (Vec::new(), Some(held.into_pack(self.place.pack(self.attempt))))
        };
        let before = plan.bytes(&sealed);
        let contents = Contents {
            sandbox_uid: &self.key.sandbox_uid,
            generation: self.key.generation,
            engine: &sealed.header.engine,
            attempt: sealed.header.attempt,
            added_chunk_bytes: bytes,
            packs: &packs,
            entries: &entries,
            kept_here: &KeptChunks::of(kept_here.iter().map(|stored| &**stored)),
            room: 0,
            key: None,
        };
        let encoded = envelope::encode(&contents).map_err(|source| StoreError::Envelope {
            key: self.key.clone(),
            source,
        })?;
        let mut parts = vec![encoded.beginning];
        parts.extend(kept_here);
        self.exchange(sealed.bytes, parts, pack).await?;
        Ok(Compacted { before, after: bytes })
    }

    /// Puts the new envelope in the place of the old one, if that is still there.
    async fn exchange(&self, old: Bytes, new: Vec<Bytes>, pack: Option<NewPack>) -> Result<(), StoreError> {
        let removed = || StoreError::Removed { key: self.key.clone() };
        let envelope = self.place.envelope(self.key.generation);
        let staged = self.store.objects.stage(pack, &envelope, self.attempt, new).await?;
        if !self.store.is_noted(&self.place, self.attempt).await? {
            return Err(removed());
        }
        let others = self.others().await?;
        match self.store.objects.exchange(staged, old).await? {
            Exchanged::Yes => {
                report("drop what other compactions left", self.drop_others(&others).await);
                Ok(())
            }
            Exchanged::Not => Err(removed()),
        }
    }

    /// Other compactions of this checkpoint. What one that died has left is in no other's way, and no later compaction
    /// need come.
    async fn others(&self) -> Result<Vec<Attempt>, StoreError> {
        let mut others = self.store.attempts(&self.place).await?;
        others.retain(|other| other.compacts && other.generation == self.key.generation && other.id != self.attempt);
        Ok(others)
    }

    /// The envelope that they are to replace is gone, so none of them, dead or alive, ever has its place. That cannot be
    /// said of seals: one that is late finds the generation taken only as long as it is not removed.
    async fn drop_others(&self, others: &[Attempt]) -> Result<(), StoreError> {
        if others.is_empty() {
            return Ok(());
        }
        let objects = &self.store.objects;
        let mut envelopes = objects.unfinished(self.place.folder()).await?;
        envelopes.retain(|envelope| {
            others
                .iter()
                .any(|other| envelope.is_by(other.id) && place::generation_named(&envelope.target).is_some())
        });
        objects.remove_unfinished(envelopes).await?;
        // One that was exchanged just now has its place for good, and its packs stay by what it says.
        objects.sync_folder(self.place.folder()).await?;
        self.store.drop_notes(&self.place, others).await
    }

    /// The packs and chunks of the checkpoint, with those that move in the new pack.
    fn renamed(&self, sealed: &Sealed, plan: &Plan, new: &HashMap<Hash, Entry>, bytes: u64) -> (Vec<Pack>, Vec<Entry>) {
        let mut numbers: HashMap<Holder, Holder> = HashMap::new();
        let mut packs = Vec::new();
        for (nth, pack) in (0..).zip(&sealed.header.packs) {
            if !plan.holders.contains(&Holder::Pack(nth)) {
                // No more than there were.
                numbers.insert(
                    Holder::Pack(nth),
                    Holder::Pack(u16::try_from(packs.len()).unwrap_or(nth)),
                );
                packs.push(*pack);
            }
        }
        let own = if plan.is_small() {
            Holder::Envelope
        } else {
            Holder::Pack(u16::try_from(packs.len()).unwrap_or(u16::MAX))
        };
        packs.extend((!plan.is_small()).then_some(Pack {
            id: self.attempt,
            bytes,
        }));
        let renamed = |entry: &Entry| match new.get(&entry.chunk.hash) {
            Some(moved) => Entry { holder: own, ..*moved },
            None => Entry {
                holder: numbers.get(&entry.holder).copied().unwrap_or(entry.holder),
                ..*entry
            },
        };
        (packs, sealed.entries.iter().map(renamed).collect())
    }

    /// All chunks that move, compressed; `None` when it was called off.
    async fn compress(
        &self,
        entries: &[Entry],
        plan: &Plan,
        payload: &SealedPayload,
    ) -> Result<Option<(HashMap<Hash, Entry>, u64, Place)>, StoreError> {
        let growing = self.store.objects.growing(&self.place.pack(self.attempt), self.attempt);
        let place = match growing {
            Some(growing) if !plan.is_small() => Place::Pack(growing),
            Some(_) | None => Place::Memory(Mutex::default()),
        };
        // Without a key: what is encrypted was compressed before.
        let keys = Arc::new(TenantKeys::default());
        let depot = Arc::new(Depot::new(self.attempt, keys, false, u64::MAX, place));
        let mut new: HashMap<Hash, Entry> = HashMap::new();
        for window in windows(entries, |entry| plan.moves(entry)) {
            if self.cancelled.is_cancelled() {
                return Ok(None);
            }
            let bytes = Bytes::from(payload.read_chunks(window.clone()).await?);
            let wanted = once(&entries[window], |hash| new.contains_key(hash));
            let depot = Arc::clone(&depot);
            let work = move || compress_window(&wanted, &bytes, &depot);
            let done = on_the_cores("compress chunks for", self.place.folder(), work).await?;
            let packed = done.map_err(|error| self.failed(error))?;
            new.extend(packed.into_iter().map(|entry| (entry.chunk.hash, entry)));
        }
        let (bytes, place) = Depot::close(depot).map_err(|error| self.failed(error))?;
        Ok(Some((new, bytes, place)))
    }

    fn failed(&self, error: PackError) -> StoreError {
        let key = self.key.clone();
        match error {
            PackError::Compress(source) => StoreError::Compress { key, source },
            PackError::Write(source) => StoreError::Pack { key, source },
            PackError::Read(source) => StoreError::Payload {
                key,
                source: Box::new(source),
            },
        }
    }
}
