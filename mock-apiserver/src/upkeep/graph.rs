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
            }
            Event::Added | Event::Modified => {
                for (owner, _) in meta::owners(&change.object) {
                    self.dependents
                        .entry(owner.to_owned())
                        .or_default()
                        .insert(location.clone());
                }
                self.by_uid.insert(uid, location);
            }
        }
    }

    /// Where the object with that UID is, as seen from `namespace`: an owner in another namespace does not count.
    pub(crate) fn owner(&self, uid: &str, namespace: &str) -> Option<&Location> {
        let found = self.by_uid.get(uid)?;
        (found.name.namespace.is_empty() || found.name.namespace == namespace).then_some(found)
    }

    /// The objects that name `uid` as an owner.
    pub(crate) fn dependents(&self, uid: &str) -> Vec<Location> {
        self.dependents
            .get(uid)
            .map(|found| found.iter().cloned().collect())
            .unwrap_or_default()
    }
}
