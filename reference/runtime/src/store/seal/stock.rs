//! What a seal finds: what of the payload was done before, what is new of it, and what an earlier checkpoint has.

use std::collections::HashSet;
use std::sync::Arc;

use blake3::Hash;

use super::small::Large;
use super::{Failed, Outcome, Seal};
use crate::envelope::Entry;
use crate::payload::Payload;
use crate::step::Step;
use crate::store::depot::Depot;
use crate::store::draft::{self, AllTaken, Begun, Takes, Unfetched};
use crate::store::pack::Survey;
use crate::store::plan::Reuse;
use crate::store::restore::Sealed;
use crate::store::{CheckpointKey, StoreError};

impl Seal {
    /// What was done before this call of a payload that was taken.
    pub(super) async fn begun(&self, payload: &Payload) -> Result<Box<Begun>, StoreError> {
        let spent = || StoreError::Spent { key: self.key.clone() };
        let mut taken = payload.taken_parts();
        let (_, first) = taken.next().ok_or_else(spent)?;
        let claimed = first.draft.claim(&self.store, &self.place).await?.ok_or_else(spent)?;
        if taken.all(|(_, other)| Arc::ptr_eq(&other.draft, &first.draft)) {
            return Ok(claimed);
        }
        claimed.abandon().await;
        Err(spent())
    }

    /// Seals what gets a pack. When this returns nothing of that is on its way any more, so that what failed can be taken
    /// back.
    pub(super) async fn large_until_quiet(&self, large: Large, begun: Begun) -> Result<Outcome, Failed> {
        let quiet = begun.takes.depot.when_quiet();
        let done = self.large(large, begun).await;
        quiet.await;
        done
    }

    /// Cuts the payload and notes the attempt: what there is of it, and what an earlier checkpoint has.
    pub(super) async fn take_stock(
        &self,
        large: Large,
        mut begun: Begun,
    ) -> Result<(Arc<Depot>, Survey, Payload, Reuse), StoreError> {
        let noted = begun.note_of(self.key.generation);
        let AllTaken {
            depot,
            sieve,
            parts,
            likely,
        } = match Arc::into_inner(begun.takes).map(Takes::into_parts) {
            Some(Ok(parts)) => parts,
            failed => {
                // What is being noted could not be taken back.
                let noted = noted.await;
                let spent = StoreError::Spent { key: self.key.clone() };
                let failed = failed.and_then(Result::err).map(|error| self.not_packed(error));
                return Err(noted.err().or(failed).unwrap_or(spent));
            }
        };
        // Both to their end: who fails takes the note back.
        let (survey, base) = futures::join!(self.survey(large, sieve, parts, &depot), noted);
        let ((mut survey, payload), base) = (survey?, base?);
        survey.has_also(likely);
        self.store.steps.done(Step::Noted);
        let reuse = self.reuse(&survey.pieces, &base, begun.inspection).await?;
        let missing = survey.missing_of_taken(&payload, &reuse);
        if !missing.is_empty() {
            survey.has_also(self.fetch(begun.newest, &missing, &depot).await?);
        }
        Ok((depot, survey, payload, reuse))
    }

    /// What cannot be read again from the payload, from the newest checkpoint.
    async fn fetch(
        &self,
        newest: Option<(CheckpointKey, Sealed)>,
        missing: &HashSet<Hash>,
        depot: &Arc<Depot>,
    ) -> Result<Vec<Entry>, StoreError> {
        let fetched = draft::fetch(&self.store, newest, missing, depot).await;
        fetched.map_err(|unfetched| match unfetched {
            Unfetched::NotPacked(error) => self.not_packed(error),
            Unfetched::Missing => StoreError::Spent { key: self.key.clone() },
            Unfetched::Damaged(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(error, "an earlier checkpoint lacks what a new one shares with it");
                StoreError::Spent { key: self.key.clone() }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use uuid::Uuid;

    use super::super::Made;
    use crate::chunks::{self, Grain};
    use crate::envelope::KeptChunks;
    use crate::store::fixture::{engine, key};
    use crate::store::place::SandboxPlace;
    use crate::store::{CheckpointStore, StoreError};

    use super::*;

    #[tokio::test]
    async fn a_payload_with_a_chunk_that_is_nowhere_gets_no_envelope() {
        let seal = Seal {
            store: CheckpointStore::open("memory://").unwrap(),
            place: SandboxPlace::new("lost").unwrap(),
            key: key("lost", 1),
            engine: engine(),
            attempt: Uuid::new_v4(),
        };
        let pieces = chunks::cut_segment(0, b"some bytes", Grain::Byte, None);
        assert_eq!(pieces.len(), 1);
        let refused = seal.encode(&Made {
            pieces: &pieces,
            reuse: &Reuse::default(),
            new: &HashMap::new(),
            new_bytes: 0,
            packs: &[],
            kept_here: &KeptChunks::default(),
            room: 0,
        });
        assert!(matches!(refused, Err(StoreError::Pack { .. })));
    }
}
