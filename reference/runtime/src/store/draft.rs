//! A seal that begins before it is known what it seals: the store takes parts of a payload while they are made.
//!
//! ```text
//!  begin:  the newest checkpoint is read, the attempt noted ─┐ (meanwhile)
//!  (likely: what will be in a part is put in the pack)       │
//!  take:   a part is read, cut, named, and put in a pack ────┴─▶ a piece of a payload ──sealed──▶ checkpoint
//!                                                                                    └─abandoned─▶ nothing
//! ```
//!
//! A draft is good for one seal, in the store and of the sandbox that it was begun for. What goes wrong while it
//! takes is said by that seal: who gives the parts has processes to look after.
//!
//! A part is given once. What it shares with the newest checkpoint is passed over; should that checkpoint not do after
//! all, its chunks are read from there and written again.

mod cores;
mod fetch;
mod flow;
#[cfg(test)]
mod likely_tests;
mod takes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use uuid::Uuid;

use super::depot::{self, Depot};
use super::inspection::Inspection;
use super::objects;
use super::pack::Sieve;
use super::place::SandboxPlace;
use super::plan::Base;
use super::restore::Sealed;
use super::seal::report;
use super::{CheckpointKey, CheckpointStore, StoreError};
use crate::chunks::Grain;
use crate::payload::Payload;
use crate::step::Step;
pub(super) use fetch::{Unfetched, fetch};
pub(super) use takes::{AllTaken, Takes};

/// Begins drafts of one sandbox's checkpoints.
#[derive(Clone, Debug)]
pub struct Intake {
    store: CheckpointStore,
    sandbox_uid: String,
}

/// A seal that has begun. When it is dropped without one, it leaves a note for the next removal; see
/// [`abandon`](Self::abandon).
pub struct Draft(Mutex<State>);

enum State {
    Begun(Box<Begun>),
    /// It could not begin.
    Failed(StoreError),
    /// Sealed or abandoned.
    Spent,
}

/// What a seal knows and has when it begins.
pub(super) struct Begun {
    store: CheckpointStore,
    place: SandboxPlace,
    pub(super) attempt: Uuid,
    /// What the note says.
    pub(super) generation: u64,
    pub(super) room: Option<Room>,
    /// The newest checkpoint, which may be relied on.
    pub(super) newest: Option<(CheckpointKey, Sealed)>,
    /// What of it can be read back.
    pub(super) inspection: Inspection,
    /// Notes the attempt; gives what of the newest checkpoint stays as long as the note does.
    pub(super) noted: BoxFuture<'static, Result<Base, StoreError>>,
    pub(super) takes: Arc<Takes>,
}

/// What the sandbox may still add.
#[derive(Clone, Copy)]
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

/// A part of a payload that a draft has taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) draft: Arc<Draft>,
    nth: usize,
    pub(crate) bytes: u64,
}

impl Intake {
    /// Whether a draft takes what is only likely to be in its payload: on a disk, and without a quota, which would count what
    /// is of no use in the end.
    pub(crate) fn stores_ahead(&self) -> bool {
        self.store.is_roomy_disk()
    }

    /// Begins a draft. That it could not is said by the seal of what it takes.
    pub async fn begin(&self) -> Arc<Draft> {
        let begun = async {
            self.store.objects.check().await?;
            let begun = Begun::new(&self.store, &self.sandbox_uid, Uuid::new_v4(), None).await?;
            Ok(Box::new(begun.while_others_work()))
        };
        let state = begun.await.map_or_else(State::Failed, State::Begun);
        Arc::new(Draft(Mutex::new(state)))
    }
}

impl CheckpointStore {
    /// Takes payloads of the checkpoints of a sandbox while they are made.
    #[must_use]
    pub fn intake(&self, sandbox_uid: &str) -> Intake {
        Intake {
            store: self.clone(),
            sandbox_uid: sandbox_uid.to_owned(),
        }
    }

    /// Whether both are handles to one store.
    fn is(&self, other: &Self) -> bool {
        self.objects.is(&other.objects)
    }

    /// What the quota leaves; nothing is refused without one. Envelopes beside their chunks are not counted before
    /// they are there, and seals at the same time do not see each other.
    pub(super) async fn room(&self, place: &SandboxPlace) -> Result<Option<Room>, StoreError> {
        let Some(quota) = self.quota else {
            return Ok(None);
        };
        let kept = self.objects.folder_bytes(place.folder()).await?;
        Ok(Some(Room { kept, quota }))
    }

    pub(super) fn depot(&self, attempt: Uuid, room: Option<Room>, place: depot::Place) -> Arc<Depot> {
        let room = room.map_or(u64::MAX, Room::left);
        let keys = Arc::clone(&self.keys);
        // What is sent to others is compressed first, and what has to fit.
        let may_be_plain = self.is_roomy_disk();
        Arc::new(Depot::new(attempt, keys, may_be_plain, room, place))
    }

    /// Takes back what an attempt wrote, the note last: as long as it is there, nobody takes the pack for garbage.
    pub(super) async fn take_back(&self, place: &SandboxPlace, attempt: Uuid) {
        let (pack, note) = (place.pack(attempt), place.attempt(attempt));
        report(
            "take back the pack of a seal that does not come",
            self.objects.discard(&pack).await,
        );
        report("drop the note on an ended seal", self.objects.discard(&note).await);
    }
}

impl Begun {
    /// Begins the seal of `generation`, or of the next one.
    pub(super) async fn new(
        store: &CheckpointStore,
        sandbox_uid: &str,
        attempt: Uuid,
        generation: Option<u64>,
    ) -> Result<Self, StoreError> {
        let place = SandboxPlace::new(sandbox_uid)?;
        let room = store.room(&place).await?;
        let newest = store.newest(&place, sandbox_uid, generation).await?;
        let base = base_of(newest.as_ref());
        let next = newest.as_ref().map_or(1, |(key, _)| key.generation.saturating_add(1));
        let generation = generation.unwrap_or(next);
        let known = base.entries.iter().map(|entry| entry.chunk.hash).collect();
        let inspection = store.inspect(&place, &base);
        let noted = {
            let (store, place) = (store.clone(), place.clone());
            async move { store.note_attempt(&place, generation, attempt, &base).await }.boxed()
        };
        let growing = store.objects.growing(&place.pack(attempt), attempt);
        let holds = growing.map_or_else(|| depot::Place::Memory(Mutex::default()), depot::Place::Pack);
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
    fn look_again(&mut self) {
        self.inspection = self.store.inspect(&self.place, &base_of(self.newest.as_ref()));
    }

    /// Notes the attempt on a task of its own, and has the folders of the pack made behind that.
    fn while_others_work(mut self) -> Self {
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

    /// Notes the attempt on `generation`, unless its note says so already.
    pub(super) fn note_of(&mut self, generation: u64) -> BoxFuture<'static, Result<Base, StoreError>> {
        let noted = std::mem::replace(&mut self.noted, async { Ok(Base::default()) }.boxed());
        if generation == self.generation {
            return noted;
        }
        let (store, place, attempt) = (self.store.clone(), self.place.clone(), self.attempt);
        async move {
            let base = noted.await?;
            store.note_attempt(&place, generation, attempt, &base).await
        }
        .boxed()
    }

    /// Takes back what was written, the note last.
    pub(super) async fn abandon(self) {
        // What is being noted could not be taken back.
        let noted = self.noted.await;
        drop(self.takes);
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

impl Draft {
    /// Takes `head` and all that `source` gives, and cuts it at such places; returns at its end, with the part of a
    /// payload that it is. Blocks.
    ///
    /// # Errors
    /// `source` cannot be read. What the store says comes with the seal; `source` is read to its end all the same.
    pub(crate) fn take(self: &Arc<Self>, grain: Grain, head: &[u8], source: impl Read + Send) -> io::Result<Payload> {
        let mut source = head.chain(source);
        let takes = match &*self.state() {
            State::Begun(begun) => Some((Arc::clone(&begun.takes), begun.store.steps.clone())),
            State::Failed(_) | State::Spent => None,
        };
        let (nth, bytes) = match takes {
            Some((takes, steps)) => {
                let part = takes.take(grain, source)?;
                steps.done(Step::Taken);
                part
            }
            None => (0, io::copy(&mut source, &mut io::sink())?),
        };
        let draft = Arc::clone(self);
        Ok(Payload::taken(Taken { draft, nth, bytes }))
    }

    /// Takes all that `source` gives, cut at such places, ahead of the payload, which is likely to have much of it: what it
    /// has is on disk then. Gives the bytes; none where [nothing is stored ahead](Intake::stores_ahead). Blocks.
    ///
    /// # Errors
    /// `source` cannot be read, or the store does not take it. The draft is of no use then.
    pub(crate) fn take_likely(&self, grain: Grain, source: impl Read + Send) -> io::Result<u64> {
        let takes = match &*self.state() {
            State::Begun(begun) if begun.store.is_roomy_disk() => Arc::clone(&begun.takes),
            State::Begun(_) | State::Failed(_) | State::Spent => return Ok(0),
        };
        takes.take_likely(grain, source)
    }

    /// For a draft that was begun long before its payload: looks once more whether what an earlier checkpoint has is sound.
    pub(crate) fn look_again(&self) {
        match &mut *self.state() {
            State::Begun(begun) => begun.look_again(),
            State::Failed(_) | State::Spent => {}
        }
    }

    /// Whether it was sealed or abandoned, or that failed.
    pub(crate) fn is_spent(&self) -> bool {
        match &*self.state() {
            State::Begun(_) | State::Failed(_) => false,
            State::Spent => true,
        }
    }

    /// What it took goes, if it was not sealed.
    pub async fn abandon(&self) {
        if let Ok(Some(begun)) = self.spend() {
            begun.abandon().await;
        }
    }

    /// For the one seal of it, in `store` and of the sandbox at `place`. `None` when it is not for that, or spent.
    pub(super) async fn claim(
        &self,
        store: &CheckpointStore,
        place: &SandboxPlace,
    ) -> Result<Option<Box<Begun>>, StoreError> {
        let Some(begun) = self.spend()? else {
            return Ok(None);
        };
        if begun.store.is(store) && begun.place.folder() == place.folder() {
            return Ok(Some(begun));
        }
        begun.abandon().await;
        Ok(None)
    }

    fn spend(&self) -> Result<Option<Box<Begun>>, StoreError> {
        match std::mem::replace(&mut *self.state(), State::Spent) {
            State::Begun(begun) => Ok(Some(begun)),
            State::Failed(error) => Err(error),
            State::Spent => Ok(None),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("spent", &self.is_spent())
            .finish_non_exhaustive()
    }
}

impl Taken {
    /// Which part of its draft it is.
    pub(crate) fn nth(&self) -> usize {
        self.nth
    }
}
