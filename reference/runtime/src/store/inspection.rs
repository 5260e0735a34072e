//! Whether a new checkpoint may rely on what an earlier one has: every chunk is read back before.
//!
//! ```text
//!  a seal begins ──read and check each chunk of the newest checkpoint──▶ the damaged ones   (others cut and name meanwhile)
//!  a seal relies on packs ──is one of its chunks among them?──▶ does without that pack
//! ```
//!
//! A context would be lost with a damaged chunk, and at a seal it is still there to be written again. To look begins when
//! a seal does, which then has a core to spare, and not when it is known what is needed, for which somebody would wait.
//! In stores on disk only: elsewhere to read it all costs more than it is worth. Left out: what is relied on
//! ([`super::plan`]).

use std::collections::{HashMap, HashSet};

use blake3::Hash;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::directory::OpenFile;
use super::objects::{Readable, beside};
use super::place::SandboxPlace;
use super::plan::{Base, Reuse};
use super::{CheckpointStore, StoreError};
use crate::chunks::{self, Piece};
use crate::encryption::{Nonce, TenantKeys};
use crate::envelope::{Entry, Holder};

/// The damaged chunks of each pack that was looked through.
pub(super) type Found = HashMap<Uuid, HashSet<Hash>>;

/// A look through packs that is under way. It ends soon after this is dropped.
#[derive(Debug)]
pub(super) struct Inspection {
    looking: Option<JoinHandle<Result<Found, StoreError>>>,
    _guard: DropGuard,
}

/// A pack, with the chunks that are looked at.
struct Pack {
    id: Uuid,
    /// None if it cannot be opened.
    file: Option<OpenFile>,
    chunks: Vec<Entry>,
}

impl Inspection {
    /// Whether nobody looks any more.
    #[cfg(test)]
    pub(super) fn has_ended(&self) -> bool {
        self.looking.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// What was found; nothing where nobody looked.
    async fn found(mut self) -> Found {
        let Some(looking) = self.looking.take() else {
            return Found::default();
        };
        match looking.await.map_err(std::io::Error::other) {
            Ok(Ok(found)) => found,
            // Whoever needs it looks again.
            Ok(Err(_)) | Err(_) => Found::default(),
        }
    }
}

impl CheckpointStore {
    /// Begins to look through what an earlier checkpoint has in packs.
    pub(super) fn inspect(&self, place: &SandboxPlace, base: &Base) -> Inspection {
        let cancelled = CancellationToken::new();
        let is_worth_it = self.objects.on_disk() && !base.packs.is_empty();
        let looking = is_worth_it.then(|| {
            let (store, place, base) = (self.clone(), place.clone(), base.clone());
            let cancelled = cancelled.clone();
            tokio::spawn(async move { store.damaged(&place, base, cancelled).await })
        });
        Inspection {
            looking,
            _guard: cancelled.drop_guard(),
        }
    }

    /// Without the packs of which a needed chunk is damaged: to rely on it would lose the context, and now its bytes are
    /// still there to be written again.
    pub(super) async fn without_damage(
        &self,
        place: &SandboxPlace,
        pieces: &[Piece],
        reuse: Reuse,
        inspection: Inspection,
    ) -> Result<Reuse, StoreError> {
        if !self.objects.on_disk() || reuse.packs.is_empty() {
            return Ok(reuse);
        }
        let mut found = inspection.found().await;
        if reuse.packs.iter().any(|pack| !found.contains_key(&pack.id)) {
            let base = Base {
                packs: reuse.packs.clone(),
                entries: reuse.entries.values().copied().collect(),
            };
            found = self.damaged(place, base, CancellationToken::new()).await?;
        }
        let mut sound = reuse.clone();
        for (nth, pack) in (0..).zip(&reuse.packs) {
            let mut held = reuse.entries.values().filter(|entry| entry.holder == Holder::Pack(nth));
            let damaged = found.get(&pack.id);
            if held.any(|entry| damaged.is_none_or(|damaged| damaged.contains(&entry.chunk.hash))) {
                tracing::warn!(pack = %pack.id, "a pack is damaged; what is needed of it is written again");
                sound = sound.without(pieces, pack.id);
            }
        }
        Ok(sound)
    }

    /// The chunks of packs that cannot be read back, until it is `cancelled`.
    async fn damaged(
        &self,
        place: &SandboxPlace,
        base: Base,
        cancelled: CancellationToken,
    ) -> Result<Found, StoreError> {
        let mut packs = Vec::with_capacity(base.packs.len());
        for (nth, pack) in (0..).zip(&base.packs) {
            let file = match self.objects.open(&place.pack(pack.id)).await {
                Ok(Some(Readable::Open(file))) => Some(file),
                Ok(Some(Readable::At(..)) | None) | Err(_) => None,
            };
            let held = base.entries.iter().filter(|entry| entry.holder == Holder::Pack(nth));
            packs.push(Pack {
                id: pack.id,
                file,
                chunks: held.copied().collect(),
            });
        }
        let keys = self.keys.clone();
        let look = move || {
            // What is found is needed last.
            #[cfg(target_os = "linux")]
            crate::standing::Standing::HasShare.take();
            let looked = packs.into_iter().map(|pack| (pack.id, pack.damaged(&keys, &cancelled)));
            looked.collect()
        };
        beside("look through the packs of", place.folder(), look).await
    }
}

impl Pack {
    /// Its chunks that cannot be read back.
    fn damaged(mut self, keys: &TenantKeys, cancelled: &CancellationToken) -> HashSet<Hash> {
        let Some(file) = self.file else {
            return self.chunks.iter().map(|entry| entry.chunk.hash).collect();
        };
        // As they lie on disk, each once.
        self.chunks.sort_unstable_by_key(|entry| entry.offset);
        self.chunks.dedup_by_key(|entry| entry.offset);
        let mut stored = Vec::new();
        let mut is_damaged = |entry: &Entry| {
            stored.resize(entry.stored_bytes as usize, 0);
            let with = keys.sealing().map(|key| (key, Nonce::of(self.id, entry.offset)));
            file.read_into(entry.offset, &mut stored).is_err()
                || !chunks::is_intact(&entry.chunk, &entry.form, &stored, with)
        };
        let chunks = self.chunks.iter().take_while(|_| !cancelled.is_cancelled());
        let damaged = chunks.filter(|entry| is_damaged(entry));
        damaged.map(|entry| entry.chunk.hash).collect()
    }
}
