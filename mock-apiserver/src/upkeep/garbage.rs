//! Garbage collection by owner references: background, foreground and orphaning deletion.

use super::agenda::{FOREGROUND, ORPHAN};
use super::graph::Location;
use crate::api::meta;
use crate::catalog::Resource;
use crate::core::Core;
use crate::rest::delete::{DeleteOptions, Propagation, delete_object};
use crate::store::Object;
use serde_json::Value;
use std::sync::Arc;

fn load(core: &Core, at: &Location) -> Option<(Arc<Resource>, Arc<Object>)> {
    Some((
        core.catalog.by_collection(&at.collection)?,
        core.store.get(&at.collection, &at.name)?,
    ))
}

fn has_finalizer(object: &Value, finalizer: &str) -> bool {
    meta::finalizers(object).contains(&finalizer)
}

/// An object that waits in foreground deletion for its dependents.
fn waits_for_dependents(object: &Value) -> bool {
    meta::is_deleting(object) && has_finalizer(object, FOREGROUND)
}

/// The owner with that UID is gone: every dependent is looked at.
pub(super) fn look_at_dependents(core: &mut Core, uid: &str) {
    for at in core.graph.dependents(uid) {
        core.agenda.revisit(at);
    }
}

/// What is left of an object's owners.
struct Owners {
    solid: usize,
    waiting: usize,
    dangling: Vec<String>,
}

fn owners(core: &Core, object: &Value, namespace: &str) -> Owners {
    let mut found = Owners {
        solid: 0,
        waiting: 0,
        dangling: Vec::new(),
    };
    for (uid, _) in meta::owners(object) {
        match core
            .graph
            .owner(uid, namespace)
            .and_then(|at| core.store.get(&at.collection, &at.name))
        {
            None => found.dangling.push(uid.to_owned()),
            Some(owner) if waits_for_dependents(&owner) => found.waiting += 1,
            Some(_) => found.solid += 1,
        }
    }
    found
}

/// Deletes an object without owners left; drops references to owners that are gone.
pub(super) fn look_at_owners(core: &mut Core, at: &Location) {
    let Some((resource, object)) = load(core, at) else {
        return;
    };
    let found = owners(core, &object, &at.name.namespace);
    let referenced = found.solid + found.waiting + found.dangling.len();
    if referenced == 0 {
        return;
    }
    if found.solid == 0 {
        if meta::is_deleting(&object) {
            return;
        }
        let has_dependents = !core.graph.dependents(meta::uid(&object)).is_empty();
        let propagation = match (has_finalizer(&object, ORPHAN), found.waiting > 0 && has_dependents) {
            (true, _) => Propagation::Orphan,
            (false, true) => Propagation::Foreground,
            (false, false) => Propagation::Background,
        };
        let options = DeleteOptions {
            propagation: Some(propagation),
            ..DeleteOptions::default()
        };
        if let Err(refused) = delete_object(core, &resource, &object, &options) {
            tracing::warn!(object = %at.name.name, error = %refused.message, "garbage collection was refused");
        }
    } else if !found.dangling.is_empty() {
        let mut kept = Value::clone(&object);
        if let Some(references) = kept["metadata"]["ownerReferences"].as_array_mut() {
            references.retain(|owner| !found.dangling.iter().any(|uid| owner["uid"] == uid.as_str()));
        }
        core.put(&resource, kept);
    }
}

/// Makes progress on a deletion that waits for the garbage collector.
pub(super) fn finalize(core: &mut Core, at: &Location) {
    let Some((resource, object)) = load(core, at) else {
        return;
    };
    if !meta::is_deleting(&object) {
        return;
    }
    let dependents = core.graph.dependents(meta::uid(&object));
    if has_finalizer(&object, ORPHAN) {
        orphan(core, meta::uid(&object), &dependents);
        release(core, &resource, at, ORPHAN);
    } else if has_finalizer(&object, FOREGROUND) {
        let blocking = |location: &Location| {
            load(core, location).is_some_and(|(_, dependent)| {
                meta::owners(&dependent)
                    .iter()
                    .any(|(uid, blocks)| *uid == meta::uid(&object) && *blocks)
            })
        };
        let blocked = dependents.iter().any(blocking);
        if blocked {
            unblock_cycle(core, &resource, &object, &dependents);
        }
        for dependent in &dependents {
            core.agenda.revisit(dependent.clone());
        }
        if !blocked {
            release(core, &resource, at, FOREGROUND);
        }
    }
}

/// If a dependent waits for its own dependents too, this object stops blocking its owners, which breaks circles.
fn unblock_cycle(core: &mut Core, resource: &Resource, object: &Value, dependents: &[Location]) {
    let waits = |at: &Location| load(core, at).is_some_and(|(_, dependent)| waits_for_dependents(&dependent));
    let blocks = meta::owners(object).iter().any(|(_, blocks)| *blocks);
    if !blocks || !dependents.iter().any(waits) {
        return;
    }
    let mut unblocked = object.clone();
    for owner in unblocked["metadata"]["ownerReferences"]
        .as_array_mut()
        .into_iter()
        .flatten()
    {
        owner["blockOwnerDeletion"] = false.into();
    }
    core.put(resource, unblocked);
}

fn orphan(core: &mut Core, uid: &str, dependents: &[Location]) {
    for at in dependents {
        let Some((resource, dependent)) = load(core, at) else {
            continue;
        };
        let mut freed = Value::clone(&dependent);
        let rest: Vec<Value> = freed["metadata"]["ownerReferences"]
            .as_array()
            .map(|owners| owners.iter().filter(|owner| owner["uid"] != uid).cloned().collect())
            .unwrap_or_default();
        meta::set(
            &mut freed,
            "ownerReferences",
            (!rest.is_empty()).then_some(Value::Array(rest)),
        );
        core.put(&resource, freed);
    }
}

/// Takes a finalizer off; the last one takes the object with it.
fn release(core: &mut Core, resource: &Resource, at: &Location, finalizer: &str) {
    let Some(object) = core.store.get(&at.collection, &at.name) else {
        return;
    };
    let mut freed = Value::clone(&object);
    let rest: Vec<String> = meta::finalizers(&object)
        .into_iter()
        .filter(|name| *name != finalizer)
        .map(str::to_owned)
        .collect();
    meta::set_finalizers(&mut freed, &rest);
    if rest.is_empty() && meta::grace(&freed).unwrap_or(0) == 0 {
        core.remove(resource, freed);
    } else {
        core.put(resource, freed);
    }
}
