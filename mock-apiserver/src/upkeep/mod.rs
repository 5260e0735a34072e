//! What a real cluster's controller manager does with every write: garbage collection by owner references, the content of
//! namespaces, clean-up after CRDs. Carried out inside the request that causes it, so that the outcome does not depend on timing.
//!
//! ```text
//!   write --> Agenda.note (decides what could follow) --> settle (acts; its writes are noted too, until nothing is left)
//! ```

mod agenda;
mod crds;
mod definitions;
mod events;
mod garbage;
mod graph;
mod namespaces;

pub(crate) use agenda::{Agenda, FOREGROUND, ORPHAN};
pub(crate) use events::{EventAges, expire};
pub(crate) use graph::Graph;

use crate::core::Core;
use agenda::Duty;

/// A controller of a real cluster whose work the server does itself, unless it is switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StandIn {
    /// Deletes what has lost its owners, and carries out foreground and orphaning deletion. Without it the finalizers
    /// `foregroundDeletion` and `orphan` stay until somebody takes them off.
    GarbageCollector,
    /// Empties a namespace that is being deleted. Without it the namespace stays `Terminating` until somebody takes `kubernetes`
    /// off its finalizers by a `PUT` to its `finalize` subresource, whatever it still holds.
    NamespaceController,
}

/// Carries out everything on the agenda.
pub(crate) fn settle(core: &mut Core) {
    while let Some(duty) = core.agenda.next() {
        match duty {
            Duty::Dependents(uid) => garbage::look_at_dependents(core, &uid),
            Duty::Owned(at) => garbage::look_at_owners(core, &at),
            Duty::Finalize(at) => garbage::finalize(core, &at),
            Duty::NamespaceMade(name) => namespaces::furnish(core, &name),
            Duty::NamespaceLeaving(name) => namespaces::clear(core, &name),
            Duty::CrdStored(name) => definitions::settle(core, &name),
            Duty::CrdGone(name) => definitions::settle_group(core, &name),
            Duty::CrdLeaving(name) => crds::clear(core, &name),
        }
    }
}
