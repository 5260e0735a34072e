//! The one owner of all state: store, catalogue, and the things that follow from a write.
//!
//! Every write ends in [`Core::put`] or [`Core::remove`]; both keep the catalogue and the ownership graph in step, wake
//! the watchers of the collection, and note on the agenda what must follow (garbage collection, namespace content, CRD
//! clean-up), which [`crate::upkeep::settle`] carries out before the request is answered.

use crate::access::Access;
use crate::admission;
use crate::api::meta;
use crate::api::names::Random;
use crate::catalog::{Catalog, Resource};
use crate::clock::{Clock, meta_time};
use crate::durable::{Journal, JournalError, Record, Recovery};
use crate::store::{Change, CollectionName, Event, Object, ObjectName, Store};
use crate::upkeep::{Agenda, EventAges, Graph};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;

/// The collection of custom resource definitions, which comes first in a snapshot.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

/// The state of the server.
pub(crate) struct Core {
    pub(crate) store: Store,
    pub(crate) catalog: Catalog,
    pub(crate) random: Random,
    pub(crate) graph: Graph,
    pub(crate) agenda: Agenda,
    pub(crate) event_ages: EventAges,
    pub(crate) access: Access,
    pub(crate) webhooks: admission::Registry,
    clock: Arc<dyn Clock>,
    signals: BTreeMap<CollectionName, watch::Sender<u64>>,
    journal: Option<Journal>,
}

impl Core {
    pub(crate) fn new(clock: Arc<dyn Clock>, seed: u64, history_window: usize) -> Self {
        Self {
            store: Store::new(history_window),
            catalog: Catalog::new(),
            random: Random::new(seed),
            graph: Graph::default(),
            agenda: Agenda::default(),
            event_ages: EventAges::default(),
            access: Access::default(),
            webhooks: admission::Registry::default(),
            clock,
            signals: BTreeMap::new(),
            journal: None,
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
    pub(crate) fn put(&mut self, resource: &Resource, mut object: Value) -> Arc<Object> {
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
    pub(crate) fn remove(&mut self, resource: &Resource, last: Value) -> Arc<Object> {
        let name = ObjectName::new(meta::namespace(&last), meta::name(&last));
        match self.store.remove(&resource.collection, &name, last) {
            Ok(change) => {
                self.follow(resource, &change);
                change.object.clone()
            }
            Err(last) => Arc::new(Object::new(last)),
        }
    }

    /// Takes up the state that a folder holds, and keeps every write from now on there.
    pub(crate) fn keep_in(&mut self, dir: &std::path::Path) -> Result<Recovery, JournalError> {
        let (mut journal, records, recovery) = Journal::open(dir)?;
        for record in records {
            self.replay(record);
        }
        self.store.skip_to(recovery.revision);
        // What happened between the snapshot and its objects' revisions is not known: watches begin from here.
        self.store.compact();
        journal.fold(self.store.revision(), &self.records())?;
        self.journal = Some(journal);
        Ok(recovery)
    }

    /// Why writes cannot be kept any more, once that is so. Whatever was written since is lost with the process.
    pub(crate) fn journal_failure(&self) -> Option<&str> {
        self.journal.as_ref()?.failure()
    }

    fn replay(&mut self, record: Record) {
        let collection: CollectionName = Arc::from(record.collection);
        let name = ObjectName::new(&record.namespace, &record.name);
        let Some(change) = self.store.replay(&collection, name, record.revision, record.object) else {
            return;
        };
        // Definitions come before the objects that they define, so every collection has its resource by now.
        if let Some(resource) = self.catalog.by_collection(&collection) {
            self.follow(&resource, &change);
            self.event_ages.recall(&change);
        }
    }

    /// Every object as a record, in the order of their last writes.
    fn records(&self) -> Vec<Record<Arc<Object>>> {
        let mut records = Vec::new();
        for collection in self.store.collections() {
            for (name, object) in self.store.scan(collection, None) {
                records.push(Record {
                    revision: object.revision(),
                    collection: collection.to_string(),
                    namespace: name.namespace.clone(),
                    name: name.name.clone(),
                    object: Some(object),
                });
            }
        }
        records.sort_by_key(|record| (record.collection != DEFINITIONS, record.revision));
        records
    }

    /// Writes a change down before anybody is told of it.
    fn keep(&mut self, resource: &Resource, change: &Change) {
        let Some(mut journal) = self.journal.take() else { return };
        journal.append(&resource.collection, change);
        if journal.is_long() {
            journal.fold_or_fail(self.store.revision(), &self.records());
        }
        self.journal = Some(journal);
    }

    fn follow(&mut self, resource: &Resource, change: &Arc<Change>) {
        self.keep(resource, change);
        if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.follow_definition(change);
        }
        self.webhooks.follow(resource, change);
        self.graph.follow(&resource.collection, change);
        self.event_ages.follow(resource, change, &*self.clock);
        self.agenda.note(resource, change, &self.graph);
        if let Some(signal) = self.signals.get(&resource.collection) {
            signal.send_replace(change.revision);
        }
    }

    fn follow_definition(&mut self, change: &Change) {
        match change.event {
            Event::Added | Event::Modified => self.catalog.apply_crd(&change.object, change.revision),
            Event::Deleted => self.catalog.remove_crd(&change.name.name),
        }
        // Whoever watches by a definition that is another now has to begin anew: open watches go on showing what it was.
        let object = &change.object;
        let is_other = |previous: &Arc<Object>| {
            previous["spec"] != object["spec"]
                || previous["status"]["acceptedNames"] != object["status"]["acceptedNames"]
        };
        if change.event == Event::Modified && change.previous.as_ref().is_some_and(is_other) {
            // The collection of a custom resource has the name of its definition.
            self.end_watches(&change.name.name);
        }
    }

    /// Whether a namespace exists and, if so, whether it is on its way out.
    pub(crate) fn namespace_state(&self, name: &str) -> Option<bool> {
        self.store
            .get("namespaces", &ObjectName::new("", name))
            .map(|namespace| meta::is_deleting(&namespace))
    }
}
