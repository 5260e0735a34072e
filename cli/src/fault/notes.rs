//! What a mistake remembers of one control plane.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Values by name; a cheap handle.
#[derive(Debug)]
pub(super) struct Notes<T> {
    values: Arc<Mutex<BTreeMap<String, T>>>,
}

impl<T> Clone for Notes<T> {
    fn clone(&self) -> Self {
        Self {
            values: Arc::clone(&self.values),
        }
    }
}

impl<T: Clone> Notes<T> {
    pub(super) fn new() -> Self {
        Self { values: Arc::default() }
    }

    pub(super) fn get(&self, name: &str) -> Option<T> {
        self.values().get(name).cloned()
    }

    pub(super) fn put(&self, name: &str, value: T) -> Option<T> {
        self.values().insert(name.to_owned(), value)
    }

    pub(super) fn take(&self, name: &str) -> Option<T> {
        self.values().remove(name)
    }

    /// The value that was noted first, which is this one if there is none.
    pub(super) fn first(&self, name: &str, value: &T) -> T {
        self.values()
            .entry(name.to_owned())
            .or_insert_with(|| value.clone())
            .clone()
    }

    pub(super) fn values(&self) -> MutexGuard<'_, BTreeMap<String, T>> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
