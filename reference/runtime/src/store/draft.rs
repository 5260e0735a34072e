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

mod begun;
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

use uuid::Uuid;

use super::depot::{self, Depot};
use super::objects;
use super::place::SandboxPlace;
use super::room::Room;
use super::seal::report;
use super::{CheckpointStore, StoreError};
use crate::chunks::Grain;
use crate::payload::Payload;
use crate::step::Step;
pub(super) use begun::Begun;
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
        let begun = self.begun().await.map(Begun::while_others_work);
        let state = begun.map_or_else(State::Failed, |begun| State::Begun(Box::new(begun)));
        Arc::new(Draft(Mutex::new(state)))
    }

    /// Begins a draft for which there is no payload yet, and perhaps not for long: the note on it is there when this
    /// returns.
    ///
    /// # Errors
    /// It cannot begin; nothing of it is left.
    pub async fn begin_ahead(&self) -> Result<Arc<Draft>, StoreError> {
        let place = SandboxPlace::new(&self.sandbox_uid)?;
        // The threads of a pool stand with the scheduler as the one that makes it does, and whoever takes ahead may step
        // back from the processor: a pause has the same pool.
        objects::on_the_cores("have threads for", place.folder(), flow::threads).await?;
        let begun = self.begun().await?.when_noted().await?;
        Ok(Arc::new(Draft(Mutex::new(State::Begun(Box::new(begun))))))
    }

    async fn begun(&self) -> Result<Begun, StoreError> {
        self.store.objects.check().await?;
        Begun::new(&self.store, &self.sandbox_uid, Uuid::new_v4(), None).await
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
    /// `source` cannot be read, or the store does not take it, or takes no more. The draft is of no use then.
    pub(crate) fn take_likely(&self, grain: Grain, source: impl Read + Send) -> io::Result<u64> {
        let takes = match &*self.state() {
            State::Begun(begun) if begun.store.is_roomy_disk() => Arc::clone(&begun.takes),
            State::Begun(_) => return Ok(0),
            State::Failed(error) => return Err(io::Error::other(format!("the store could not begin: {error}"))),
            State::Spent => return Err(io::Error::other("the store takes no more: it was sealed or abandoned")),
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
