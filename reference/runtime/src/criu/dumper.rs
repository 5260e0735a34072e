//! CRIU for the dumps of one sandbox, begun ahead of a pause.
//!
//! ```text
//!          prepare              dump
//!  Nobody ─────────▶ Waiting ─────────▶ Nobody
//! ```
//!
//! Left out: when it is worth having one that waits.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::command::{Criu, Sink, WaitingDump};
use super::error::CriuError;

/// Dumps the tree of one sandbox.
#[derive(Debug)]
pub(super) struct Dumper {
    criu: Criu,
    waiting: Mutex<Option<WaitingDump>>,
}

impl Dumper {
    pub(super) fn new(criu: Criu) -> Self {
        Self {
            criu,
            waiting: Mutex::new(None),
        }
    }

    /// Begins a CRIU that waits for the next dump. A dump does without if there is none.
    pub(super) fn prepare(&self) {
        match self.criu.begin_dump() {
            Ok(waiting) => *self.waiting() = Some(waiting),
            Err(error) => tracing::debug!(
                error = &error as &dyn std::error::Error,
                "begin a CRIU ahead of a pause"
            ),
        }
    }

    /// Writes the tree below `pid` to `images`, or to who listens there, and leaves it stopped. If it fails the tree
    /// goes on.
    pub(super) async fn dump(&self, pid: u32, images: &Path, sink: Sink) -> Result<(), CriuError> {
        let prepared = self.waiting().take().and_then(WaitingDump::unless_ended);
        let criu = prepared.map_or_else(|| self.criu.begin_dump(), Ok)?;
        criu.dump(pid, images, sink).await
    }

    fn waiting(&self) -> MutexGuard<'_, Option<WaitingDump>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
