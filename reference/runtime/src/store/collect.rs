//! Removing checkpoints, and what no checkpoint needs any more.
//!
//! ```text
//! read what stays ──> old envelopes go ──> packs that nothing names are marked, looked for again, and go
//!       │ damaged            │ crash: packs too many; the next call takes them
//!       v
//!   refused, nothing removed
//! ```
//!
//! Never the other way round: an envelope whose packs are gone would be a checkpoint lost. How a seal that
//! runs at the same time is not hurt is told in [`super::attempt`].

use std::collections::{HashMap, HashSet};

use object_store::PutPayload;
use uuid::Uuid;

use super::attempt::Attempt;
use super::place::{self, SandboxPlace};
use super::{CheckpointKey, CheckpointStore, StoreError};
use crate::envelope::REMOVED;

/// What a collection of one sandbox removes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Checkpoints that are older than the oldest to keep, sorted.
    pub generations: Vec<u64>,
    /// Seals of such checkpoints that never ended, by generation, sorted.
    pub abandoned: Vec<u64>,
    /// Packs that no checkpoint and no seal under way needs.
    pub packs: usize,
    /// Bytes of all that.
    pub bytes: u64,
}

/// What is there of one sandbox.
struct Survey {
    /// Bytes of each checkpoint's envelope.
    envelopes: HashMap<u64, u64>,
    attempts: Vec<Attempt>,
    packs: HashMap<Uuid, u64>,
    /// The packs that each checkpoint names.
    named: HashMap<u64, Vec<Uuid>>,
}

impl CheckpointStore {
    /// What [`collect`](Self::collect) would remove.
    pub(super) async fn survey(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<Garbage, StoreError> {
        let files = self.envelopes(place).await?;
        if !files.contains_key(&key.generation) {
            return Err(StoreError::NotFound { key: key.clone() });
        }
        let mut named = HashMap::new();
        for generation in files.keys().filter(|generation| **generation >= key.generation) {
            let key = CheckpointKey {
                generation: *generation,
                ..key.clone()
            };
            let packs = self.read_header(&key).await?.packs;
            named.insert(*generation, packs.into_iter().map(|pack| pack.id).collect());
        }
        let survey = Survey {
            envelopes: files,
            attempts: self.attempts(place).await?,
            packs: self.packs(place).await?,
            named,
        };
        Ok(survey.garbage(key.generation))
    }

    pub(super) async fn collect(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<Garbage, StoreError> {
        let garbage = self.survey(place, key).await?;
        let attempts = self.attempts(place).await?;
        let (old, _): (Vec<Attempt>, Vec<Attempt>) = attempts
            .into_iter()
            .partition(|attempt| attempt.generation < key.generation);
        self.bar(place, &old).await?;
        let barred: HashSet<u64> = old.iter().map(|attempt| attempt.generation).collect();
        let gone = garbage
            .generations
            .iter()
            .filter(|generation| !barred.contains(generation));
        let gone: Vec<_> = gone.map(|generation| place.envelope(*generation)).collect();
        if gone.is_empty() {
            // An envelope whose sync failed has its place all the same; what it replaced needs other packs.
            self.objects.sync_folder(place.folder()).await?;
        } else {
            self.objects.remove_files(place.folder(), gone).await?;
        }
        self.drop_notes(place, &old).await?;
        self.drop_leftovers(place, key).await?;
        self.sweep(place, key).await?;
        Ok(garbage)
    }

    /// Removes notes and marks that were never written to their end, and begun before the oldest checkpoint that stays was:
    /// each takes no longer than one sync. Should somebody be at one after all, that seal or removal fails, and what is
    /// sealed stays.
    async fn drop_leftovers(&self, place: &SandboxPlace, oldest_kept: &CheckpointKey) -> Result<(), StoreError> {
        let envelope = place.envelope(oldest_kept.generation);
        let Some(written) = self.objects.written(&envelope).await? else {
            return Ok(());
        };
        for folder in [place.attempts(), place.removals()] {
            let begun = self.objects.unfinished(&folder).await?.into_iter();
            let left = begun.filter(|file| file.is_older_than(written)).collect();
            self.objects.remove_unfinished(left).await?;
        }
        Ok(())
    }

    /// Makes sure that none of `attempts` ever becomes a checkpoint.
    async fn bar(&self, place: &SandboxPlace, attempts: &[Attempt]) -> Result<(), StoreError> {
        for attempt in attempts {
            let mark = PutPayload::from_static(&REMOVED);
            self.objects.replace(&place.envelope(attempt.generation), mark).await?;
        }
        Ok(())
    }

    pub(super) async fn drop_notes(&self, place: &SandboxPlace, attempts: &[Attempt]) -> Result<(), StoreError> {
        let notes = attempts.iter().map(|attempt| place.attempt(attempt.id)).collect();
        self.objects.remove_files(&place.attempts(), notes).await
    }

    /// Removes the packs that nothing names.
    pub(super) async fn sweep(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<(), StoreError> {
        let unfinished = self.objects.unfinished(&place.packs()).await?;
        // Before the packs: a mark whose pack is not there later means nothing.
        let marked = self.marked(place).await?;
        let packs = self.packs(place).await?;
        let named = self.named(place, key).await?;
        let unnamed: Vec<Uuid> = packs.keys().filter(|pack| !named.contains(pack)).copied().collect();
        for pack in &unnamed {
            self.objects.replace(&place.removal(*pack), PutPayload::new()).await?;
        }
        let named = if unnamed.is_empty() {
            named
        } else {
            self.named(place, key).await?
        };
        let gone: Vec<Uuid> = unnamed.into_iter().filter(|pack| !named.contains(pack)).collect();
        let files = gone.iter().map(|pack| place.pack(*pack)).collect();
        self.objects.remove_files(&place.packs(), files).await?;
        let stale = marked.into_iter().filter(|pack| !packs.contains_key(pack));
        let marks = gone
            .iter()
            .copied()
            .chain(stale)
            .map(|pack| place.removal(pack))
            .collect();
        self.objects.remove_files(&place.removals(), marks).await?;

        let ended = unfinished.into_iter().filter(|upload| {
            let pack: Option<Uuid> = upload.target.parse().ok();
            pack.is_some_and(|pack| !named.contains(&pack))
        });
        self.objects.remove_unfinished(ended.collect()).await?;
        let unfinished = self.objects.unfinished(place.folder()).await?;
        let old = unfinished.into_iter().filter(|upload| {
            place::generation_named(&upload.target).is_some_and(|generation| generation < key.generation)
        });
        self.objects.remove_unfinished(old.collect()).await
    }

    /// The packs that a checkpoint or a seal under way names, and those that such a seal writes.
    async fn named(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<HashSet<Uuid>, StoreError> {
        // In this order: a note gets its name when it is written, and a seal creates its envelope before it drops that.
        let begun = self.objects.unfinished(&place.attempts()).await?;
        let attempts = self.attempts(place).await?;
        let mut named: HashSet<Uuid> = attempts.iter().map(|attempt| attempt.id).collect();
        named.extend(begun.iter().filter_map(|note| note.target.parse::<Uuid>().ok()));
        named.extend(attempts.into_iter().flat_map(|attempt| attempt.packs));
        named.extend(self.named_by_envelopes(place, key).await?);
        Ok(named)
    }

    /// The packs that the checkpoints of the sandbox of `key` name.
    pub(super) async fn named_by_envelopes(
        &self,
        place: &SandboxPlace,
        key: &CheckpointKey,
    ) -> Result<HashSet<Uuid>, StoreError> {
        let mut named = HashSet::new();
        for generation in self.generations(place).await? {
            let key = CheckpointKey {
                generation,
                ..key.clone()
            };
            match self.read_header(&key).await {
                Ok(header) => named.extend(header.packs.iter().map(|pack| pack.id)),
                // Removed in the meantime.
                Err(StoreError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(named)
    }

    /// Envelopes first, so that a sandbox half removed has no checkpoint rather than a torn one; nobody who
    /// still writes one completes it.
    pub(super) async fn remove_sandbox(&self, place: &SandboxPlace) -> Result<(), StoreError> {
        // A note that cannot be read bars nothing, and goes with the folder.
        match self.attempts(place).await {
            Ok(attempts) => self.bar(place, &attempts).await?,
            Err(StoreError::Attempt { .. }) => {}
            Err(error) => return Err(error),
        }
        let generations = self.generations(place).await?;
        let envelopes = generations
            .into_iter()
            .map(|generation| place.envelope(generation))
            .collect();
        self.objects.remove_files(place.folder(), envelopes).await?;
        self.objects.remove_folder(place.folder()).await
    }

    /// Sorted; damaged envelopes count.
    pub(super) async fn generations(&self, place: &SandboxPlace) -> Result<Vec<u64>, StoreError> {
        let mut generations: Vec<u64> = self.envelopes(place).await?.into_keys().collect();
        generations.sort_unstable();
        Ok(generations)
    }

    /// The generations that have an envelope, sound or not, and its bytes.
    async fn envelopes(&self, place: &SandboxPlace) -> Result<HashMap<u64, u64>, StoreError> {
        let mut envelopes = HashMap::new();
        for file in self.objects.files(place.folder()).await? {
            let Some(generation) = place::generation_of(&file.location) else {
                continue;
            };
            let is_mark = file.size == REMOVED.len() as u64
                && self
                    .objects
                    .read(&file.location)
                    .await?
                    .is_none_or(|bytes| *bytes == REMOVED);
            if !is_mark {
                envelopes.insert(generation, file.size);
            }
        }
        Ok(envelopes)
    }
}

impl Survey {
    fn garbage(&self, oldest_kept: u64) -> Garbage {
        let old = |generation: &u64| *generation < oldest_kept;
        let mut needed: HashSet<&Uuid> = self.named.values().flatten().collect();
        for attempt in self.attempts.iter().filter(|attempt| !old(&attempt.generation)) {
            needed.insert(&attempt.id);
            needed.extend(&attempt.packs);
        }
        let packs = self.packs.iter().filter(|(pack, _)| !needed.contains(pack));
        let envelopes = self.envelopes.iter().filter(|(generation, _)| old(generation));
        let mut garbage = Garbage {
            generations: self.envelopes.keys().copied().filter(old).collect(),
            abandoned: self
                .attempts
                .iter()
                .map(|attempt| attempt.generation)
                .filter(old)
                .collect(),
            packs: packs.clone().count(),
            bytes: packs.map(|(_, bytes)| bytes).sum::<u64>() + envelopes.map(|(_, bytes)| bytes).sum::<u64>(),
        };
        garbage.generations.sort_unstable();
        garbage.abandoned.sort_unstable();
        garbage
    }
}
