//! The whole state as a value, to come back to.
//!
//! Coming back is a series of ordinary writes: revisions go on, watches see what changed, and nobody who is connected has to
//! start over. What was not changed since is not written again. Objects that no version of their definition serves are left as they are.

use crate::api::names::Random;
use crate::core::Core;
use crate::store::{CollectionName, Object, ObjectName};
use crate::upkeep;
use serde_json::Value;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Definitions of custom resources: there before the objects they define, and gone after them.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

type Key = (CollectionName, ObjectName);

/// All objects of a server at one moment, and where its UIDs and generated names were.
///
/// Taking and cloning one is cheap: the objects are shared. See [`MockApiServer::restore`](crate::MockApiServer::restore).
#[derive(Debug, Clone)]
pub struct Snapshot {
    objects: BTreeMap<Key, Arc<Object>>,
    random: Random,
    revision: u64,
}

impl Snapshot {
    /// The state as it is now.
    pub(crate) fn take(core: &Core) -> Self {
        Self {
            objects: stored(core),
            random: core.random.clone(),
            revision: core.store.revision(),
        }
    }

    /// The revision of the latest write that it holds.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The objects as they are stored, ordered by resource, namespace and name.
    pub fn objects(&self) -> impl Iterator<Item = &Value> {
        self.objects.values().map(|object| &***object)
    }

    /// Makes the state of a server this one.
    pub(crate) fn restore(&self, core: &mut Core) {
        let present = stored(core);
        let mut gone: Vec<_> = present.iter().filter(|(key, object)| self.lacks(key, object)).collect();
        // The latest first, as they depend on the earlier ones.
        gone.sort_by_key(|((collection, _), object)| (is_definitions(collection), Reverse(object.revision())));
        for (key, object) in gone {
            if is_definitions(&key.0) {
                core.end_watches(&key.1.name);
            }
            if let Some(resource) = core.catalog.by_collection(&key.0) {
                core.remove(&resource, Value::clone(object));
            }
        }
        let mut changed: Vec<_> = self
            .objects
            .iter()
            .filter(|(key, object)| present.get(key) != Some(object))
            .collect();
        changed.sort_by_key(|((collection, _), object)| (!is_definitions(collection), object.revision()));
        for (key, object) in changed {
            if let Some(resource) = core.catalog.by_collection(&key.0) {
                core.put(&resource, Value::clone(object));
            }
        }
        core.random = self.random.clone();
        upkeep::settle(core);
    }

    /// Whether an object is not part of it; another one of the same name is not the same.
    fn lacks(&self, key: &Key, object: &Value) -> bool {
        let uid = |object: &Value| object["metadata"]["uid"].clone();
        self.objects.get(key).is_none_or(|kept| uid(kept) != uid(object))
    }
}

fn is_definitions(collection: &CollectionName) -> bool {
    **collection == *DEFINITIONS
}

fn stored(core: &Core) -> BTreeMap<Key, Arc<Object>> {
    let mut objects = BTreeMap::new();
    for collection in core.store.collections() {
        let resource = core.catalog.by_collection(collection);
        let read = |object: Arc<Object>| resource.as_ref().map_or_else(|| object.clone(), |it| it.read(&object));
        let all = core.store.scan(collection, None);
        objects.extend(all.map(|(name, object)| ((collection.clone(), name.clone()), read(object))));
    }
    objects
}
