//! Seals that are under way, and how they and removals, also of other programs, stay out of each other's way.
//!
//! No lock: who holds one may die with it, and a store of objects cannot tell. Each side says what it is
//! about to do *before* it looks at what the other does, so at least one of them sees the other:
//!
//! ```text
//!  seal                                     removal
//!  1 note the attempt and its packs         1 list packs, mark those that nothing names
//!  2 look for marks, then for the packs     2 read the attempts, then the envelopes
//!    marked or gone: not relied on            named by now: spared, the mark stays
//!  3 write the own pack                     3 remove the others, then their marks
//!  4 look for the own note                  (a generation that is removed while somebody may still
//!  5 create the envelope, if there is none   write it: its envelope is replaced by a mark that fails
//!  6 drop the note                           step 5, then the note is dropped)
//! ```
//!
//! Before the note has its name it is there beside its place, empty, and before the pack is: packs on disk grow while the
//! note is written, and are known by its name. Attempts are read before envelopes, since a seal creates its envelope before
//! it drops its note. The names
//! of packs never repeat, so a mark without a pack means nothing and may go. What a crash leaves (a note, a
//! pack, a mark) costs space until the next removal of a later generation, never a checkpoint; what a compaction left goes
//! with the next one of the same checkpoint, too.
//!
//! One thing is left open: a program that stalls between steps 4 and 5 while [`super::CheckpointStore::remove_all`]
//! removes the whole sandbox, marks included, creates an envelope of a sandbox that is no more.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::directory::Aside;
use super::place::{self, SandboxPlace};
use super::plan::Base;
use super::restore::Sealed;
use super::{CheckpointKey, CheckpointStore, StoreError};
use crate::envelope::{Holder, Pack};

/// A seal that is under way, or was when its program died.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attempt {
    pub(super) id: Uuid,
    pub(super) generation: u64,
    /// Packs that it relies on, or may.
    pub(super) packs: Vec<Uuid>,
    /// Whether it replaces an envelope that is there, and fails without it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(super) compacts: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

/// The note on an attempt before it is written. As long as it is there the attempt's own pack is nobody's garbage.
#[derive(Debug)]
pub(super) struct Noting {
    id: Uuid,
    compacts: bool,
    begun: Option<Aside>,
}

impl Noting {
    /// On one that replaces an envelope.
    pub(super) fn of_a_compaction(self) -> Self {
        Self { compacts: true, ..self }
    }
}

impl CheckpointStore {
    /// Before step 1, and before the attempt writes anything else.
    pub(super) async fn begin_note(&self, place: &SandboxPlace, id: Uuid) -> Result<Noting, StoreError> {
        let begun = self.objects.begin_note(&place.attempt(id), id).await?;
        Ok(Noting {
            id,
            compacts: false,
            begun,
        })
    }

    /// Steps 1 and 2 of a seal: what of `base` stays as long as the note does.
    pub(super) async fn note_attempt(
        &self,
        place: &SandboxPlace,
        generation: u64,
        noting: Noting,
        base: &Base,
    ) -> Result<Base, StoreError> {
        let Noting { id, compacts, begun } = noting;
        let attempt = Attempt {
            id,
            generation,
            packs: base.packs.iter().map(|pack| pack.id).collect(),
            compacts,
        };
        let note = serde_json::to_vec(&attempt).map_err(|source| StoreError::Attempt {
            place: place.attempt(id).to_string(),
            source,
        })?;
        self.objects.note(&place.attempt(id), begun, note.into()).await?;
        if base.packs.is_empty() {
            return Ok(Base::default());
        }
        let marked = self.marked(place).await?;
        let sizes = self.packs(place).await?;
        let secure = |pack: &Pack| !marked.contains(&pack.id) && sizes.get(&pack.id) == Some(&pack.bytes);
        let entries = base.entries.iter().filter(|entry| match entry.holder {
            Holder::Envelope => false,
            Holder::Pack(nth) => base.packs.get(usize::from(nth)).is_some_and(secure),
        });
        Ok(Base {
            entries: entries.copied().collect(),
            packs: base.packs.clone(),
        })
    }

    /// The newest of these checkpoints, sorted, but for one, if it can be read: one that cannot is nothing to rely on.
    pub(super) async fn newest(
        &self,
        sandbox_uid: &str,
        generations: &[u64],
        but_for: Option<u64>,
    ) -> Result<Option<(CheckpointKey, Sealed)>, StoreError> {
        let mut others = generations
            .iter()
            .rev()
            .copied()
            .filter(|other| Some(*other) != but_for);
        let Some(generation) = others.next() else {
            return Ok(None);
        };
        let newest = CheckpointKey {
            sandbox_uid: sandbox_uid.to_owned(),
            generation,
        };
        match self.read_envelope(&newest).await {
            Ok(sealed)
                if sealed.header.key_id.as_deref() == self.keys.sealing().map(crate::encryption::TenantKey::id) =>
            {
                Ok(Some((newest, sealed)))
            }
            // Under another key the chunks have other names.
            Ok(_) => Ok(None),
            Err(error @ (StoreError::Backend { .. } | StoreError::Directory { .. })) => Err(error),
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(
                    error,
                    "the newest checkpoint cannot be read; the next one is written in full"
                );
                Ok(None)
            }
        }
    }

    /// Step 4 of a seal.
    pub(super) async fn is_noted(&self, place: &SandboxPlace, id: Uuid) -> Result<bool, StoreError> {
        Ok(self.objects.size(&place.attempt(id)).await?.is_some())
    }

    /// All seals under way.
    pub(super) async fn attempts(&self, place: &SandboxPlace) -> Result<Vec<Attempt>, StoreError> {
        let mut attempts = Vec::new();
        for file in self.objects.files(&place.attempts()).await? {
            // Ended in the meantime: then its envelope is there, and the envelopes are read later.
            let Some(note) = self.objects.read(&file.location).await? else {
                continue;
            };
            let attempt = serde_json::from_slice(&note).map_err(|source| StoreError::Attempt {
                place: file.location.to_string(),
                source,
            })?;
            attempts.push(attempt);
        }
        Ok(attempts)
    }

    /// The packs with a mark, of which one may be gone.
    pub(super) async fn marked(&self, place: &SandboxPlace) -> Result<HashSet<Uuid>, StoreError> {
        let marks = self.objects.files(&place.removals()).await?;
        Ok(marks
            .iter()
            .filter_map(|mark| place::attempt_of(&mark.location))
            .collect())
    }

    /// All packs and their bytes.
    pub(super) async fn packs(&self, place: &SandboxPlace) -> Result<HashMap<Uuid, u64>, StoreError> {
        let packs = self.objects.files(&place.packs()).await?;
        let packs = packs
            .iter()
            .filter_map(|pack| Some((place::attempt_of(&pack.location)?, pack.size)));
        Ok(packs.collect())
    }
}
