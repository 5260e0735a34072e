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
mod object;

pub(crate) use change::{Change, Compacted, Event, ObjectName};
pub(crate) use collection::Scan;
pub(crate) use object::Object;

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
    pub(crate) fn get(&self, collection: &str, name: &ObjectName) -> Option<Arc<Object>> {
        self.collections.get(collection)?.get(name)
    }

    /// The objects of a collection (of one namespace, if given) in key order.
    pub(crate) fn scan<'a>(&'a self, collection: &str, namespace: Option<&'a str>) -> Scan<'a> {
        match self.collections.get(collection) {
            Some(collection) => collection.present(namespace),
            None => Scan::empty(),
        }
    }

    /// Names of all collections that hold or held an object.
    pub(crate) fn collections(&self) -> impl Iterator<Item = &CollectionName> {
        self.collections.keys()
    }

    /// The objects of a collection (of one namespace, if given) behind `after`, as they were at `revision`.
    pub(crate) fn scan_at<'a>(
        &'a self,
        collection: &str,
        revision: u64,
        namespace: Option<&'a str>,
        after: Option<&ObjectName>,
    ) -> Result<Scan<'a>, Compacted> {
        match self.collections.get(collection) {
            Some(collection) => collection.at(revision, namespace, after),
            None if revision < self.floor => Err(Compacted {
                requested: revision,
                oldest: self.floor,
            }),
            None => Ok(Scan::empty()),
        }
    }

    /// Writes an object, stamping `metadata.resourceVersion` with the new revision.
    pub(crate) fn put(&mut self, collection: &CollectionName, name: ObjectName, mut object: Value) -> Arc<Change> {
        self.revision += 1;
        stamp(&mut object, self.revision);
        let revision = self.revision;
        self.collection(collection)
            .put(revision, name, Arc::new(Object::new(object)))
    }

    /// Removes an object; `last` is its final state and gets the revision of the deletion. Gives it back if nothing is there.
    pub(crate) fn remove(
        &mut self,
        collection: &CollectionName,
        name: &ObjectName,
        mut last: Value,
    ) -> Result<Arc<Change>, Value> {
        let revision = self.revision + 1;
        let Some(objects) = self.collections.get_mut(collection).filter(|it| it.get(name).is_some()) else {
            return Err(last);
        };
        stamp(&mut last, revision);
        self.revision = revision;
        Ok(objects.remove(revision, name, Arc::new(Object::new(last))))
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
            return Some(
                self.collection(collection)
                    .put(revision, name, Arc::new(Object::new(object))),
            );
        }
        let last = self.get(collection, &name)?;
        Some(self.collection(collection).remove(revision, &name, last))
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
