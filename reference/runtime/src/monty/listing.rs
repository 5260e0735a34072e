//! The contexts of a sandbox as everybody may know them, also while its thread runs code: which there are, and how to
//! end what runs in them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::engine::{ContextId, ContextInfo};

/// The contexts that clients see. Clones are handles to the same list.
#[derive(Clone, Debug, Default)]
pub(super) struct Listing(Arc<Mutex<Listed>>);

#[derive(Debug, Default)]
struct Listed {
    contexts: BTreeMap<ContextId, Entry>,
    /// Whether the sandbox is gone.
    is_closed: bool,
}

#[derive(Debug)]
struct Entry {
    cwd: String,
    ending: CancellationToken,
}

impl Listing {
    /// Lists a context, in place of the one that had its id. What runs in it ends when `ending` is cancelled.
    pub(super) fn put(&self, id: &str, cwd: &str, ending: CancellationToken) {
        let cwd = cwd.to_owned();
        self.listed().contexts.insert(id.to_owned(), Entry { cwd, ending });
    }

    pub(super) fn remove(&self, id: &str) {
        self.listed().contexts.remove(id);
    }

    /// Ends what runs in a context, and what waits in it. Nothing runs in a context that is not there.
    pub(super) fn end(&self, id: &str) {
        if let Some(entry) = self.listed().contexts.get(id) {
            entry.ending.cancel();
        }
    }

    /// All of them, by id, after the `default` one; `None` if the sandbox is gone.
    pub(super) fn list(&self, default: &str) -> Option<Vec<ContextInfo>> {
        let listed = self.listed();
        let info = |(id, entry): (&ContextId, &Entry)| ContextInfo {
            id: id.clone(),
            cwd: entry.cwd.clone(),
        };
        let (mut first, rest): (Vec<_>, Vec<_>) = listed
            .contexts
            .iter()
            .map(info)
            .partition(|context| context.id == default);
        first.extend(rest);
        (!listed.is_closed).then_some(first)
    }

    /// Says that the sandbox is gone.
    pub(super) fn close(&self) {
        self.listed().is_closed = true;
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        // Nothing that holds the lock can panic half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
