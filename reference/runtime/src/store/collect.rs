//! Removing checkpoints, and the chunks that no checkpoint needs any more.
//!
//! ```text
//! read what stays ──> remove old envelopes ──> remove chunks that nothing names
//!       │ damaged            │ crash: chunks too many; the next call takes them
//!       v
//!   refused, nothing removed
//! ```
//!
//! Never the other way round: an envelope whose chunks are gone would be a checkpoint lost.

use std::collections::HashSet;

use blake3::Hash;
use object_store::path::Path;

use super::place::{self, SandboxPlace};
use super::{CheckpointKey, CheckpointStore, StoreError};

impl CheckpointStore {
    pub(super) async fn collect(&self, sandbox_uid: &str, oldest_kept: u64) -> Result<(), StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        let (kept, old) = split(self.generations(&place).await?, oldest_kept);
        if !kept.contains(&oldest_kept) {
            let key = CheckpointKey {
                sandbox_uid: sandbox_uid.to_owned(),
                generation: oldest_kept,
            };
            return Err(StoreError::NotFound { key });
        }
        let mut needed = HashSet::new();
        for generation in kept {
            let key = CheckpointKey {
                sandbox_uid: sandbox_uid.to_owned(),
                generation,
            };
            let (_, _, chunks) = self.read_envelope(&key).await?;
            needed.extend(chunks.iter().map(|chunk| chunk.hash));
        }

        let envelopes = old.into_iter().map(|generation| place.envelope(generation)).collect();
        self.objects.remove_files(place.folder(), envelopes).await?;
        let stored = self.objects.children(&place.chunks()).await?.objects;
        let garbage = unneeded(stored.into_iter().map(|meta| meta.location), &needed);
        self.objects.remove_files(&place.chunks(), garbage).await?;
        self.objects.remove_unfinished(place.folder()).await
    }

    /// Envelopes first, so that a sandbox half removed has no checkpoint rather than a torn one.
    pub(super) async fn remove_sandbox(&self, place: &SandboxPlace) -> Result<(), StoreError> {
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
        let files = self.objects.children(place.folder()).await?.objects;
        let mut generations: Vec<u64> = files
            .iter()
            .filter_map(|meta| place::generation_of(&meta.location))
            .collect();
        generations.sort_unstable();
        Ok(generations)
    }
}

/// Those to keep, and those older than `oldest_kept`.
fn split(generations: Vec<u64>, oldest_kept: u64) -> (Vec<u64>, Vec<u64>) {
    generations
        .into_iter()
        .partition(|generation| *generation >= oldest_kept)
}

/// The chunks among `stored` that are not `needed`. Files that are no chunks are not touched.
fn unneeded(stored: impl Iterator<Item = Path>, needed: &HashSet<Hash>) -> Vec<Path> {
    let garbage = |place: &Path| place::chunk_of(place).is_some_and(|hash| !needed.contains(&hash));
    stored.filter(garbage).collect()
}
