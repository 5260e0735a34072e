//! The versioned object store: synchronous, without clock and without protocol.
//!
//! It decides revisions (one decimal counter for the whole server), keeps a bounded history of changes per collection, and
//! can tell the state of a collection at any revision that the history still covers. It knows nothing of HTTP, of schemas or
//! of watches; a watcher is a reader of [`Store::changes_after`].
//!
//! ```text
//!   put/remove --> revision += 1 --> objects   (the present)
//!                                \-> history   (ring: oldest changes fall off, `floor` rises)
//! ```

mod change;
mod collection;

pub(crate) use change::{Change, Compacted, Event, ObjectName};
use collection::Collection;

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The name of a collection: `plural.group`, or the bare plural for the core group.
pub(crate) type CollectionName = Arc<str>;

/// All objects and their recent history.
#[derive(Debug)]
pub(crate) struct Store {
    revision: u64,
    floor: u64,
    window: usize,
    collections: BTreeMap<CollectionName, Collection>,
}

impl Store {
    /// An empty store which remembers up to `window` changes of each collection.
    pub(crate) fn new(window: usize) -> Self {
        Self {
            revision: 1,
            floor: 0,
            window: window.max(1),
            collections: BTreeMap::new(),
        }
    }

    /// The revision of the latest write.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The object as it is now.
    pub(crate) fn get(&self, collection: &str, name: &ObjectName) -> Option<Arc<Value>> {
        self.collections.get(collection)?.objects().get(name).cloned()
    }

    /// The objects of a collection (of one namespace, if given) in key order.
    pub(crate) fn scan<'a>(
        &'a self,
        collection: &str,
        namespace: Option<&'a str>,
    ) -> Box<dyn Iterator<Item = (&'a ObjectName, &'a Arc<Value>)> + 'a> {
        let Some(collection) = self.collections.get(collection) else {
            return Box::new(std::iter::empty());
        };
        match namespace {
            None => Box::new(collection.objects().iter()),
            Some(namespace) => Box::new(
                collection
                    .objects()
                    .range(ObjectName::new(namespace, "")..)
                    .take_while(move |(name, _)| name.namespace == namespace),
            ),
        }
    }

    /// Names of all collections that hold or held an object.
    pub(crate) fn collections(&self) -> impl Iterator<Item = &CollectionName> {
        self.collections.keys()
    }

    /// The collection as it was at `revision`.
    pub(crate) fn scan_at(
        &self,
        collection: &str,
        revision: u64,
    ) -> Result<BTreeMap<ObjectName, Arc<Value>>, Compacted> {
        match self.collections.get(collection) {
            Some(collection) => collection.at(revision),
            None if revision < self.floor => Err(Compacted {
                requested: revision,
                oldest: self.floor,
            }),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Writes an object, stamping `metadata.resourceVersion` with the new revision.
    pub(crate) fn put(&mut self, collection: &CollectionName, name: ObjectName, mut object: Value) -> Arc<Change> {
        self.revision += 1;
        stamp(&mut object, self.revision);
        let revision = self.revision;
        self.collection(collection).put(revision, name, Arc::new(object))
    }

    /// Removes an object; `last` is its final state and gets the revision of the deletion. `None` if it is not there.
    pub(crate) fn remove(
        &mut self,
        collection: &CollectionName,
        name: &ObjectName,
        mut last: Value,
    ) -> Option<Arc<Change>> {
        self.get(collection, name)?;
        self.revision += 1;
        stamp(&mut last, self.revision);
        let revision = self.revision;
        self.collection(collection).remove(revision, name, Arc::new(last))
    }

    /// Makes a write of an earlier life again: at its own revision, with the object as it was stored.
    pub(crate) fn replay(
        &mut self,
        collection: &CollectionName,
        name: ObjectName,
        revision: u64,
        object: Option<Value>,
    ) -> Option<Arc<Change>> {
        self.skip_to(revision);
        if let Some(object) = object {
            return Some(self.collection(collection).put(revision, name, Arc::new(object)));
        }
        let last = self.get(collection, &name)?;
        self.collection(collection).remove(revision, &name, last)
    }

    /// Continues after `revision`, if that is later.
    pub(crate) fn skip_to(&mut self, revision: u64) {
        self.revision = self.revision.max(revision);
    }

    /// The changes of a collection after `revision`, oldest first, at most `limit`.
    pub(crate) fn changes_after(
        &self,
        collection: &str,
        revision: u64,
        limit: usize,
    ) -> Result<Vec<Arc<Change>>, Compacted> {
        match self.collections.get(collection) {
            Some(collection) => collection.changes_after(revision, limit),
            None if revision < self.floor => Err(Compacted {
                requested: revision,
                oldest: self.floor,
            }),
            None => Ok(Vec::new()),
        }
    }

    /// Forgets all history up to now, so that every older revision is refused.
    pub(crate) fn compact(&mut self) {
        self.floor = self.revision;
        for collection in self.collections.values_mut() {
            collection.compact(self.floor);
        }
    }

    fn collection(&mut self, name: &CollectionName) -> &mut Collection {
        let (floor, window) = (self.floor, self.window);
        self.collections
            .entry(name.clone())
            .or_insert_with(|| Collection::new(floor, window))
    }
}

fn stamp(object: &mut Value, revision: u64) {
    object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
}

#[cfg(test)]
mod tests;
