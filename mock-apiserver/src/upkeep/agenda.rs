//! Decides what could follow from a write.

use super::StandIn;
use super::graph::{Graph, Location};
use crate::api::meta;
use crate::catalog::{Origin, Resource};
use crate::store::{Change, Event};
use std::collections::VecDeque;

/// The finalizer of foreground deletion.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of orphaning deletion.
pub(crate) const ORPHAN: &str = "orphan";

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Duty {
    /// An owner is gone: look at its dependents.
    Dependents(String),
    /// An object has owners: are they there?
    Owned(Location),
    /// A deleting object carries a finalizer of the garbage collector.
    Finalize(Location),
    /// A namespace appeared.
    NamespaceMade(String),
    /// A terminating namespace may have lost content.
    NamespaceLeaving(String),
    /// The names of a CRD may be new, or it may wait to be established.
    CrdStored(String),
    /// A CRD has freed its names.
    CrdGone(String),
    /// A deleted CRD may have lost its last object.
    CrdLeaving(String),
}

impl Duty {
    /// Whose duty it is; `None` if it is the API server's own.
    fn bearer(&self) -> Option<StandIn> {
        match self {
            Self::Dependents(_) | Self::Owned(_) | Self::Finalize(_) => Some(StandIn::GarbageCollector),
            Self::NamespaceLeaving(_) => Some(StandIn::NamespaceController),
            Self::NamespaceMade(_) | Self::CrdStored(_) | Self::CrdGone(_) | Self::CrdLeaving(_) => None,
        }
    }
}

/// The duties still to be carried out, first come, first served.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    duties: VecDeque<Duty>,
    /// Whose duties somebody else carries out.
    absent: Vec<StandIn>,
}

impl Agenda {
    /// From now on somebody else does what the stand-in would do.
    pub(crate) fn dismiss(&mut self, stand_in: StandIn) {
        self.absent.push(stand_in);
    }

    pub(super) fn next(&mut self) -> Option<Duty> {
        self.duties.pop_front()
    }

    fn push(&mut self, duty: Duty) {
        let absent = duty.bearer().is_some_and(|bearer| self.absent.contains(&bearer));
        if !absent && !self.duties.contains(&duty) {
            self.duties.push_back(duty);
        }
    }

    /// Puts an object with owners on the agenda again.
    pub(super) fn revisit(&mut self, at: Location) {
        self.push(Duty::Owned(at));
    }

    /// Puts a definition on the agenda again.
    pub(super) fn reconsider(&mut self, definition: &str) {
        self.push(Duty::CrdStored(definition.to_owned()));
    }

    /// Notes what could follow from a change.
    pub(crate) fn note(&mut self, resource: &Resource, change: &Change, graph: &Graph) {
        match change.event {
            Event::Added | Event::Modified => {
                self.note_put(resource, change);
                self.note_owners(resource, change, graph);
            }
            Event::Deleted => self.note_removal(resource, change, graph),
        }
    }

    fn note_put(&mut self, resource: &Resource, change: &Change) {
        let object = &change.object;
        let deleting = meta::is_deleting(object);
        if change.event == Event::Added && resource.is("", "Namespace") {
            self.push(Duty::NamespaceMade(change.name.name.clone()));
        }
        if deleting && resource.is("", "Namespace") {
            self.push(Duty::NamespaceLeaving(change.name.name.clone()));
        }
        if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            let name = change.name.name.clone();
            self.push(if deleting {
                Duty::CrdLeaving(name)
            } else {
                Duty::CrdStored(name)
            });
        }
        if deleting
            && meta::finalizers(object)
                .iter()
                .any(|finalizer| [FOREGROUND, ORPHAN].contains(finalizer))
        {
            self.push(Duty::Finalize(location(resource, change)));
        }
    }

    /// Other owners may be none; owners that the object named before need not wait for it any more.
    fn note_owners(&mut self, resource: &Resource, change: &Change, graph: &Graph) {
        let (object, previous) = (&change.object, change.previous.as_ref());
        if previous
            .is_some_and(|previous| previous["metadata"]["ownerReferences"] == object["metadata"]["ownerReferences"])
        {
            return;
        }
        let owners = meta::owners(object);
        for (owner, blocked) in previous.into_iter().flat_map(|previous| meta::owners(previous)) {
            if blocked
                && !owners.contains(&(owner, true))
                && let Some(at) = graph.find(owner)
            {
                self.push(Duty::Finalize(at.clone()));
            }
        }
        if !owners.is_empty() {
            self.push(Duty::Owned(location(resource, change)));
        }
    }

    fn note_removal(&mut self, resource: &Resource, change: &Change, graph: &Graph) {
        let object = &change.object;
        self.push(Duty::Dependents(meta::uid(object).to_owned()));
        for (owner, _) in meta::owners(object) {
            if let Some(at) = graph.find(owner) {
                self.push(Duty::Finalize(at.clone()));
            }
        }
        if resource.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            self.push(Duty::CrdGone(change.name.name.clone()));
        }
        if resource.namespaced {
            self.push(Duty::NamespaceLeaving(change.name.namespace.clone()));
        }
        if let Origin::Custom(custom) = &resource.origin {
            self.push(Duty::CrdLeaving(custom.crd.clone()));
        }
    }
}

fn location(resource: &Resource, change: &Change) -> Location {
    Location {
        collection: resource.collection.clone(),
        name: change.name.clone(),
    }
}
