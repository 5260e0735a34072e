//! Garbage collection by owner references: background, foreground and orphaning deletion.

use super::agenda::{FOREGROUND, ORPHAN};
use super::graph::Location;
use crate::api::meta;
use crate::catalog::Resource;
use crate::core::Core;
use crate::rest::delete::{DeleteOptions, Propagation, delete_object};
use crate::store::{Object, ObjectName};
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

/// What is left of an object's owners, by their UIDs.
#[derive(Default)]
struct Owners {
    solid: Vec<String>,
    /// They wait in foreground deletion for the object.
    waiting: Vec<String>,
    dangling: Vec<String>,
}

/// What becomes of a reference to an owner.
enum Owner {
    Solid,
    Waiting,
    Dangling,
    /// Nobody can say whether it is there: its kind is not served, or a namespace is missing to look in.
    Unknown,
}

/// The owners of an object; `None` if nobody can say of one of them whether it is there, and the object has to stay as it is.
fn owners(core: &Core, object: &Value, namespace: &str) -> Option<Owners> {
    let mut found = Owners::default();
    for reference in object["metadata"]["ownerReferences"].as_array().into_iter().flatten() {
        let Some(uid) = reference["uid"].as_str() else { continue };
        let list = match owner(core, reference, uid, namespace) {
            Owner::Solid => &mut found.solid,
            Owner::Waiting => &mut found.waiting,
            Owner::Dangling => &mut found.dangling,
            Owner::Unknown => return None,
        };
        list.push(uid.to_owned());
    }
    Some(found)
}

/// Looks for an owner by the kind and the name that the reference says: another object of that UID is not meant.
fn owner(core: &Core, reference: &Value, uid: &str, namespace: &str) -> Owner {
    if core.graph.is_gone(uid, namespace) {
        return Owner::Dangling;
    }
    let text = |member: &str| reference[member].as_str().unwrap_or_default();
    let api_version = text("apiVersion");
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let Some(resource) = core.catalog.by_kind(group, version, text("kind")) else {
        return Owner::Unknown;
    };
    if resource.namespaced && namespace.is_empty() {
        return Owner::Unknown;
    }
    let at = ObjectName::new(if resource.namespaced { namespace } else { "" }, text("name"));
    match core.store.get(&resource.collection, &at) {
        Some(owner) if meta::uid(&owner) != uid => Owner::Dangling,
        Some(owner) if waits_for_dependents(&owner) => Owner::Waiting,
        Some(_) => Owner::Solid,
        None => Owner::Dangling,
    }
}

/// Deletes an object without owners left. One that has some left no longer names those that are gone, nor those that wait for it.
pub(super) fn look_at_owners(core: &mut Core, at: &Location) {
    let Some((resource, object)) = load(core, at) else {
        return;
    };
    let Some(Owners {
        solid,
        waiting,
        mut dangling,
    }) = owners(core, &object, &at.name.namespace)
    else {
        return;
    };
    if solid.is_empty() {
        if !waiting.is_empty() || !dangling.is_empty() {
            collect(core, &resource, &object, !waiting.is_empty());
        }
        return;
    }
    dangling.extend(waiting);
    if !dangling.is_empty() {
        disown(core, &resource, &object, |uid| dangling.iter().any(|left| left == uid));
    }
}

/// Deletes an object that nobody owns any more, in the way it asks for itself, or in the foreground if its owner waits.
fn collect(core: &mut Core, resource: &Resource, object: &Arc<Object>, owner_waits: bool) {
    if meta::is_deleting(object) {
        return;
    }
    let has_dependents = !core.graph.dependents(meta::uid(object)).is_empty();
    let propagation = match (has_finalizer(object, ORPHAN), owner_waits && has_dependents) {
        (true, _) => Propagation::Orphan,
        (false, true) => Propagation::Foreground,
        (false, false) => Propagation::Background,
    };
    let options = DeleteOptions {
        propagation: Some(propagation),
        ..DeleteOptions::default()
    };
    if let Err(refused) = delete_object(core, resource, object, &options) {
        tracing::warn!(object = %meta::name(object), error = %refused.message, "garbage collection was refused");
    }
}

/// Takes the references to some owners off an object.
fn disown(core: &mut Core, resource: &Resource, object: &Value, is_left: impl Fn(&str) -> bool) {
    let mut freed = object.clone();
    let references = freed["metadata"]["ownerReferences"].as_array().map(Vec::as_slice);
    let kept = references.unwrap_or_default().iter();
    let kept: Vec<Value> = kept
        .filter(|owner| !owner["uid"].as_str().is_some_and(&is_left))
        .cloned()
        .collect();
    let kept = (!kept.is_empty()).then_some(Value::Array(kept));
    meta::set(&mut freed, "ownerReferences", kept);
    core.put(resource, freed);
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
        disown(core, &resource, &dependent, |owner| owner == uid);
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
