//! Who owns whom, by UID.

use crate::api::meta;
use crate::store::{Change, CollectionName, Event, ObjectName};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Where an object is stored.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Location {
    pub(crate) collection: CollectionName,
    pub(crate) name: ObjectName,
}

/// The ownership graph of all stored objects.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    by_uid: HashMap<String, Location>,
    dependents: BTreeMap<String, BTreeSet<Location>>,
    /// Owners that were removed while somebody named them, and the namespace of each. Their kind may be gone, too, so that there
    /// is nowhere to look for them.
    gone: HashMap<String, String>,
}

impl Graph {
    /// Updates the graph after a change.
    pub(crate) fn follow(&mut self, collection: &CollectionName, change: &Change) {
        let location = Location {
            collection: collection.clone(),
            name: change.name.clone(),
        };
        if let Some(previous) = &change.previous {
            for (owner, _) in meta::owners(previous) {
                if let Some(dependents) = self.dependents.get_mut(owner) {
                    dependents.remove(&location);
                    if dependents.is_empty() {
                        self.dependents.remove(owner);
                    }
                }
            }
        }
        let uid = meta::uid(&change.object).to_owned();
        match change.event {
            Event::Deleted => {
                self.by_uid.remove(&uid);
                if self.dependents.contains_key(&uid) {
                    self.gone.insert(uid, location.name.namespace);
                }
            }
            Event::Added | Event::Modified => {
                for (owner, _) in meta::owners(&change.object) {
                    self.dependents
                        .entry(owner.to_owned())
                        .or_default()
                        .insert(location.clone());
                }
                self.gone.remove(&uid);
                self.by_uid.insert(uid, location);
            }
        }
        for (owner, _) in change.previous.iter().flat_map(|previous| meta::owners(previous)) {
            if !self.dependents.contains_key(owner) {
                self.gone.remove(owner);
            }
        }
    }

    /// Where the object with that UID is.
    pub(crate) fn find(&self, uid: &str) -> Option<&Location> {
        self.by_uid.get(uid)
    }

    /// Whether the object with that UID is known to have been removed, as seen from `namespace`: what is in another one counts
    /// for nothing there.
    pub(crate) fn is_gone(&self, uid: &str, namespace: &str) -> bool {
        let of = self.gone.get(uid);
        of.is_some_and(|of| of.is_empty() || of == namespace)
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Location> {
        self.dependents
            .get(uid)
            .map(|found| found.iter().cloned().collect())
            .unwrap_or_default()
    }
}
