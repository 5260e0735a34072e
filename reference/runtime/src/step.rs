//! The steps of a checkpoint and of a restore, told to whoever wants to know: tests that end the program at each.

use std::fmt;
use std::sync::Arc;

/// A step that has just been done. What a crash right after it leaves is told in `tests/contract/crash.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Memory of an idle sandbox is in the store, ahead of a pause.
    StoredAhead,
    /// The store has a large part of what CRIU writes, ahead of the seal. Told of each.
    Taken,
    /// The sandbox stands, and what CRIU writes of it is written aside or taken.
    Stopped,
    /// It is known what the payload is made of.
    WrittenDown,
    /// The attempt to seal is noted in the store.
    Noted,
    /// The new chunks are in the store.
    Packed,
    /// The envelope is in the store: there is a checkpoint now.
    Sealed,
    /// The note on the attempt is gone.
    NoteDropped,
    /// What a checkpoint says of itself was read.
    Read,
    /// The files of the sandbox are there.
    FilesLaidOut,
    /// So is what has to be there of its memory.
    MemoryLaidOut,
    /// Its processes run.
    Restored,
    /// It takes requests.
    Serving,
}

impl Step {
    /// Every step, in the order of a checkpoint and then of a restore.
    pub const ALL: [Self; 13] = [
        Self::StoredAhead,
        Self::Taken,
        Self::Stopped,
        Self::WrittenDown,
        Self::Noted,
        Self::Packed,
        Self::Sealed,
        Self::NoteDropped,
        Self::Read,
        Self::FilesLaidOut,
        Self::MemoryLaidOut,
        Self::Restored,
        Self::Serving,
    ];
}

/// Is told of each step; nobody is, unless asked for.
#[derive(Clone, Default)]
pub struct Steps(Option<Arc<dyn Fn(Step) + Send + Sync>>);

impl Steps {
    /// Tells `listener`, which holds up whoever makes the step until it answers.
    #[must_use]
    pub fn told_to(listener: impl Fn(Step) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(listener)))
    }

    pub(crate) fn done(&self, step: Step) {
        if let Some(listener) = &self.0 {
            listener(step);
        }
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Steps").field(&self.0.is_some()).finish()
    }
}
