//! The one owner of all state: store, catalogue, and the things that follow from a write.
//!
//! Every write ends in [`Core::put`] or [`Core::remove`]; both keep the catalogue and the ownership graph in step, wake
//! the watchers of the collection, and note on the agenda what must follow (garbage collection, namespace content, CRD
//! clean-up), which [`crate::upkeep::settle`] carries out before the request is answered.

use crate::api::meta;
use crate::api::names::Random;
use crate::catalog::{Catalog, Resource};
use crate::clock::{Clock, meta_time};
use crate::store::{Change, CollectionName, Event, ObjectName, Store};
use crate::upkeep::{Agenda, Graph};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The state of the server.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) random: Random,
    pub(crate) graph: Graph,
    pub(crate) agenda: Agenda,
    clock: Arc<dyn Clock>,
    signals: BTreeMap<CollectionName, watch::Sender<u64>>,
}

impl Core {
    pub(crate) fn new(clock: Arc<dyn Clock>, seed: u64, history_window: usize) -> Self {
        Self {
            store: Store::new(history_window),
            catalog: Catalog::new(),
            random: Random::new(seed),
            graph: Graph::default(),
            agenda: Agenda::default(),
            clock,
            signals: BTreeMap::new(),
        }
    }

    /// The present instant as `metav1.Time`.
    pub(crate) fn now(&self) -> Value {
        meta_time(self.clock.now())
    }

    /// The present instant.
    pub(crate) fn instant(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    /// Wakes whenever the collection changes.
    pub(crate) fn subscribe(&mut self, collection: &CollectionName) -> watch::Receiver<u64> {
        self.signals
            .entry(collection.clone())
            .or_insert_with(|| watch::Sender::new(0))
            .subscribe()
    }

    /// Ends the watches of a collection by dropping their signal.
    pub(crate) fn end_watches(&mut self, collection: &str) {
        self.signals.remove(collection);
    }

    /// Stores an object and notes what follows from it.
    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Arc<Value> {
        if let Some(map) = object.as_object_mut() {
            map.entry("apiVersion").or_insert_with(|| resource.api_version().into());
            map.entry("kind").or_insert_with(|| resource.kind.as_str().into());
        }
        let name = ObjectName::new(meta::namespace(&object), meta::name(&object));
        let change = self.store.put(&resource.collection, name, object);
        self.follow(resource, &change);
        change.object.clone()
    }

    /// Removes an object for good; `last` is its final state.
    pub(crate) fn remove(&mut self, resource: &Resource, last: Value) -> Arc<Value> {
        let name = ObjectName::new(meta::namespace(&last), meta::name(&last));
        let kept = Arc::new(last.clone());
        match self.store.remove(&resource.collection, &name, last) {
            Some(change) => {
                self.follow(resource, &change);
                change.object.clone()
            }
            None => kept,
        }
    }

    fn follow(&mut self, resource: &Resource, change: &Arc<Change>) {
        if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            match change.event {
                Event::Added | Event::Modified => self.catalog.apply_crd(&change.object),
                Event::Deleted => self.catalog.remove_crd(&change.name.name),
            }
        }
        self.graph.follow(&resource.collection, change);
        self.agenda.note(resource, change, &self.graph);
        if let Some(signal) = self.signals.get(&resource.collection) {
            signal.send_replace(change.revision);
        }
    }

    /// Whether a namespace exists and, if so, whether it is on its way out.
    pub(crate) fn namespace_state(&self, name: &str) -> Option<bool> {
        self.store
            .get("namespaces", &ObjectName::new("", name))
            .map(|namespace| meta::is_deleting(&namespace))
    }
}
