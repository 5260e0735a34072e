//! What the history of the store consists of.

use super::object::Object;
use std::sync::Arc;

/// The name of an object inside its collection. Cluster-scoped objects have an empty namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ObjectName {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ObjectName {
    pub(crate) fn new(namespace: &str, name: &str) -> Self {
        Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        }
    }
}

/// What a change did to the collection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    Added,
    Modified,
    Deleted,
}

/// One write, as the history keeps it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) revision: u64,
    pub(crate) event: Event,
    pub(crate) name: ObjectName,
    /// The object after the write; for a deletion its last state, with the revision of the deletion.
    pub(crate) object: Arc<Object>,
    /// The object before the write.
    pub(crate) previous: Option<Arc<Object>>,
}

impl Change {
    /// The same change without the trees of its objects.
    pub(super) fn cold(&self) -> Self {
        Self {
            revision: self.revision,
            event: self.event,
            name: self.name.clone(),
            object: Arc::new(self.object.cold()),
            previous: self.previous.as_ref().map(|previous| Arc::new(previous.cold())),
        }
    }
}

/// The history no longer reaches back to the revision asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Compacted {
    pub(crate) requested: u64,
    pub(crate) oldest: u64,
}
