//! What happens to the objects of a CRD that is being deleted.

use crate::api::meta;
use crate::core::Core;
use crate::kinds::crd::CLEANUP_FINALIZER;
use crate::rest::delete::{DeleteOptions, delete_object};
use crate::store::{Object, ObjectName};
use serde_json::Value;
use std::sync::Arc;

/// Deletes the objects of a leaving CRD; when none is left, lets the CRD go and ends the watches.
pub(super) fn clear(core: &mut Core, name: &str) {
    let at = ObjectName::new("", name);
    let Some(crd) = core.store.get("customresourcedefinitions.apiextensions.k8s.io", &at) else {
        return;
    };
    if !meta::is_deleting(&crd) {
        return;
    }
    // The collection of a custom resource has the name of its CRD.
    if let Some(resource) = core.catalog.by_collection(name) {
        let objects: Vec<Arc<Object>> = core.store.scan(name, None).map(|(_, object)| object).collect();
        for object in objects.into_iter().filter(|object| !meta::is_deleting(object)) {
            if let Err(refused) = delete_object(core, &resource, &object, &DeleteOptions::default()) {
                tracing::warn!(crd = name, error = %refused.message, "clearing a CRD was refused");
            }
        }
    }
    if core.store.scan(name, None).next().is_some() {
        return;
    }
    let mut last = Value::clone(&crd);
    let rest: Vec<String> = meta::finalizers(&crd)
        .into_iter()
        .filter(|name| *name != CLEANUP_FINALIZER)
        .map(str::to_owned)
        .collect();
    meta::set_finalizers(&mut last, &rest);
    let Some(resource) = core
        .catalog
        .by_kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition")
    else {
        return;
    };
    if rest.is_empty() {
        core.end_watches(name);
        core.remove(&resource, last);
    } else if last != **crd {
        core.put(&resource, last);
    }
}
