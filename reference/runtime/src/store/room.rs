//! What a quota leaves for one more checkpoint.
//!
//! Counted is what the store keeps of the sandbox, but for what only seals have written that ended without a checkpoint:
//! it goes with the removal of what is older than the next one, which has to fit first. Left out: seals at the same time,
//! which do not see each other, and envelopes beside their chunks before they are there.

use std::collections::HashSet;

use uuid::Uuid;

use super::place::SandboxPlace;
use super::{CheckpointKey, CheckpointStore, StoreError};

/// What the sandbox may still add.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    pub(super) kept: u64,
    pub(super) quota: u64,
}

impl Room {
    /// Bytes.
    pub(super) fn left(self) -> u64 {
        self.quota.saturating_sub(self.kept)
    }
}

impl CheckpointStore {
    /// What the quota leaves for the checkpoint `key`; nothing is refused without one.
    pub(super) async fn room(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<Option<Room>, StoreError> {
        let Some(quota) = self.quota else {
            return Ok(None);
        };
        let all = self.objects.folder_bytes(place.folder()).await?;
        let kept = all.saturating_sub(self.given_up(place, key).await?);
        Ok(Some(Room { kept, quota }))
    }

    /// Bytes of packs of earlier seals that no checkpoint names, or of the same one.
    async fn given_up(&self, place: &SandboxPlace, key: &CheckpointKey) -> Result<u64, StoreError> {
        let attempts = match self.attempts(place).await {
            Ok(attempts) => attempts,
            // Whose it is cannot be told: all counts.
            Err(StoreError::Attempt { .. }) => return Ok(0),
            Err(error) => return Err(error),
        };
        let earlier = attempts.iter().filter(|attempt| attempt.generation <= key.generation);
        let mut given_up: HashSet<Uuid> = earlier.map(|attempt| attempt.id).collect();
        if given_up.is_empty() {
            return Ok(0);
        }
        let named = match self.named_by_envelopes(place, key).await {
            Ok(named) => named,
            // What a damaged one names cannot be told either, and the next one does not fail for it.
            Err(error) if error.is_about_a_checkpoint() => return Ok(0),
            Err(error) => return Err(error),
        };
        given_up.retain(|pack| !named.contains(pack));
        let packs = self.packs(place).await?.into_iter();
        let whole = packs
            .filter(|(pack, _)| given_up.contains(pack))
            .map(|(_, bytes)| bytes);
        let unfinished = self.objects.unfinished(&place.packs()).await?.into_iter();
        let begun = unfinished.filter(|upload| upload.target.parse().is_ok_and(|pack| given_up.contains(&pack)));
        Ok(whole.chain(begun.map(|upload| upload.bytes)).sum())
    }
}
