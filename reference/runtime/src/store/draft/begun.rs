//! What a seal knows and has when it begins.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::Takes;
use crate::store::depot;
use crate::store::inspection::Inspection;
use crate::store::objects;
use crate::store::pack::Sieve;
use crate::store::place::SandboxPlace;
use crate::store::plan::Base;
use crate::store::restore::Sealed;
use crate::store::room::Room;
use crate::store::seal::report;
use crate::store::{CheckpointKey, CheckpointStore, StoreError};

/// What a seal knows and has when it begins.
pub(in crate::store) struct Begun {
    pub(in crate::store) store: CheckpointStore,
    pub(in crate::store) place: SandboxPlace,
    pub(in crate::store) attempt: Uuid,
    /// What the note says.
    pub(in crate::store) generation: u64,
    pub(in crate::store) room: Option<Room>,
    /// The newest checkpoint, which may be relied on.
    pub(in crate::store) newest: Option<(CheckpointKey, Sealed)>,
    /// What of it can be read back.
    pub(in crate::store) inspection: Inspection,
    /// Notes the attempt; gives what of the newest checkpoint stays as long as the note does.
    pub(in crate::store) noted: BoxFuture<'static, Result<Base, StoreError>>,
    pub(in crate::store) takes: Arc<Takes>,
}

impl Begun {
    /// Begins the seal of `generation`, or of the next one.
    pub(in crate::store) async fn new(
        store: &CheckpointStore,
        sandbox_uid: &str,
        attempt: Uuid,
        generation: Option<u64>,
    ) -> Result<Self, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        let sought = CheckpointKey {
            sandbox_uid: sandbox_uid.to_owned(),
            // The next one is beyond all there are.
            generation: generation.unwrap_or(u64::MAX),
        };
        let room = store.room(&place, &sought).await?;
        let look = async {
            let generations = store.generations(&place).await?;
            let newest = store.newest(sandbox_uid, &generations, generation).await?;
            Ok((generations, newest))
        };
        // Side by side: who begins waits for no file more.
        let (noting, (generations, newest)) = futures::try_join!(store.begin_note(&place, attempt), look)?;
        let base = base_of(newest.as_ref());
        // Also over one that cannot be relied on: a removal takes a note on what is older than it for a seal that ended.
        let next = generations.last().map_or(1, |last| last.saturating_add(1));
        let generation = generation.unwrap_or(next);
        let known = base.entries.iter().map(|entry| entry.chunk.hash).collect();
        let inspection = store.inspect(&place, &base);
        let noted = {
            let (store, place) = (store.clone(), place.clone());
            async move { store.note_attempt(&place, generation, noting, &base).await }.boxed()
        };
        let pack = place.pack(attempt);
        let holds = match store.objects.growing(&pack, attempt) {
            Some(growing) => depot::Place::Pack(growing),
            None => depot::Place::Upload(store.objects.upload(pack)),
        };
        let depot = store.depot(attempt, room, holds);
        Ok(Self {
            store: store.clone(),
            place,
            attempt,
            generation,
            room,
            newest,
            inspection,
            noted,
            takes: Arc::new(Takes::new(depot, Sieve::new(known))),
        })
    }

    /// Looks once more whether what the newest checkpoint has can be read back.
    pub(super) fn look_again(&mut self) {
        self.inspection = self.store.inspect(&self.place, &base_of(self.newest.as_ref()));
    }

    /// Notes the attempt on a task of its own, and has the folders of the pack made behind that.
    pub(super) fn while_others_work(mut self) -> Self {
        let (noted, make_folders) = (self.noted, self.takes.depot.maker_of_folders());
        let noting = tokio::spawn(async move {
            let base = noted.await?;
            if let Some(make_folders) = make_folders {
                // What fails here is done again, and said, by the seal.
                drop(tokio::task::spawn_blocking(make_folders).await);
            }
            Ok(base)
        });
        let folder = self.place.folder().clone();
        let noted = async move {
            let lost = |source: tokio::task::JoinError| objects::backend("note a seal in", &folder, source.into());
            noting.await.map_err(lost).flatten()
        };
        self.noted = noted.boxed();
        self
    }

    /// Notes the attempt now.
    ///
    /// # Errors
    /// It cannot be noted; nothing is left of it.
    pub(super) async fn when_noted(self) -> Result<Self, StoreError> {
        let mut begun = self.while_others_work();
        match begun.noted.as_mut().await {
            Ok(base) => {
                begun.noted = async { Ok(base) }.boxed();
                Ok(begun)
            }
            Err(error) => {
                begun.store.take_back(&begun.place, begun.attempt).await;
                Err(error)
            }
        }
    }

    /// Notes the attempt on `generation`, unless its note says so already.
    pub(in crate::store) fn note_of(&mut self, generation: u64) -> BoxFuture<'static, Result<Base, StoreError>> {
        let noted = std::mem::replace(&mut self.noted, async { Ok(Base::default()) }.boxed());
        if generation == self.generation {
            return noted;
        }
        let (store, place, attempt) = (self.store.clone(), self.place.clone(), self.attempt);
        async move {
            let base = noted.await?;
            let noting = store.begin_note(&place, attempt).await?;
            store.note_attempt(&place, generation, noting, &base).await
        }
        .boxed()
    }

    /// Takes back what was written, the note last.
    pub(in crate::store) async fn abandon(self) {
        // What is being noted could not be taken back.
        let noted = self.noted.await;
        let quiet = self.takes.depot.when_quiet();
        drop(self.takes);
        quiet.await;
        report("note a seal that does not come", noted.map(drop));
        self.store.take_back(&self.place, self.attempt).await;
    }
}

/// What may be relied on.
fn base_of(newest: Option<&(CheckpointKey, Sealed)>) -> Base {
    newest.map_or_else(Base::default, |(_, sealed)| Base {
        packs: sealed.header.packs.clone(),
        entries: sealed.entries.clone(),
    })
}
