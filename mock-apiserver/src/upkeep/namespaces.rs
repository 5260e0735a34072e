//! The content of namespaces: what a new one is furnished with, and how a terminating one is emptied.

use crate::api::meta;
use crate::core::Core;
use crate::kinds::new_object;
use crate::rest::delete::{DeleteOptions, delete_object};
use crate::store::{CollectionName, Object, ObjectName};
use serde_json::{Value, json};
use std::sync::Arc;

/// Gives a new namespace its `default` service account and the CA bundle.
pub(super) fn furnish(core: &mut Core, namespace: &str) {
    let objects = [
        (
            "ServiceAccount",
            json!({"metadata": {"name": "default", "namespace": namespace}}),
        ),
        (
            "ConfigMap",
            json!({
                "metadata": {"name": "kube-root-ca.crt", "namespace": namespace, "annotations": {
                    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of Kubernetes clusters."
                }},
                "data": {"ca.crt": ""},
            }),
        ),
    ];
    for (kind, object) in objects {
        let Some(resource) = core.catalog.by_kind("", "v1", kind) else {
            continue;
        };
        let name = ObjectName::new(namespace, meta::name(&object));
        if core.store.get(&resource.collection, &name).is_none() {
            let object = new_object(core, &resource, object);
            core.put(&resource, object);
        }
    }
}

/// Deletes the content of a terminating namespace; when nothing is left, takes `kubernetes` off its finalizers.
pub(super) fn clear(core: &mut Core, namespace: &str) {
    let at = ObjectName::new("", namespace);
    let Some(object) = core
        .store
        .get("namespaces", &at)
        .filter(|object| meta::is_deleting(object))
    else {
        return;
    };
    for (collection, name) in content(core, namespace) {
        let Some(resource) = core.catalog.by_collection(&collection) else {
            continue;
        };
        let Some(object) = core
            .store
            .get(&collection, &name)
            .filter(|object| !meta::is_deleting(object))
        else {
            continue;
        };
        if let Err(refused) = delete_object(core, &resource, &object, &DeleteOptions::default()) {
            tracing::warn!(object = %name.name, error = %refused.message, "clearing a namespace was refused");
        }
    }
    let left = content(core, namespace).len();
    let Some(resource) = core.catalog.by_kind("", "v1", "Namespace") else {
        return;
    };
    if left > 0 {
        report_remaining(core, &object, left);
        return;
    }
    let mut last = Value::clone(&object);
    if let Some(finalizers) = last["spec"]["finalizers"].as_array_mut() {
        finalizers.retain(|finalizer| finalizer != "kubernetes");
    }
    if meta::strings(&last["spec"]["finalizers"]).is_empty() && meta::finalizers(&last).is_empty() {
        core.remove(&resource, last);
    } else if last != **object {
        core.put(&resource, last);
    }
}

fn content(core: &Core, namespace: &str) -> Vec<(CollectionName, ObjectName)> {
    let collections: Vec<CollectionName> = core.store.collections().cloned().collect();
    let mut found = Vec::new();
    for collection in collections {
        let names: Vec<ObjectName> = core
            .store
            .scan(&collection, Some(namespace))
            .map(|(name, _)| name.clone())
            .collect();
        found.extend(names.into_iter().map(|name| (collection.clone(), name)));
    }
    found
}

/// Says in the conditions that content remains, once.
fn report_remaining(core: &mut Core, object: &Arc<Object>, left: usize) {
    let message = format!("Some resources are remaining: {left} resource instances");
    let condition = json!({
        "type": "NamespaceContentRemaining", "status": "True", "reason": "SomeResourcesRemain",
        "message": message, "lastTransitionTime": core.now(),
    });
    let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    if conditions
        .iter()
        .any(|known| known["type"] == condition["type"] && known["message"] == condition["message"])
    {
        return;
    }
    let mut conditions: Vec<Value> = conditions
        .into_iter()
        .filter(|known| known["type"] != condition["type"])
        .collect();
    conditions.push(condition);
    let mut told = Value::clone(object);
    told["status"]["conditions"] = conditions.into();
    if let Some(resource) = core.catalog.by_kind("", "v1", "Namespace") {
        core.put(&resource, told);
    }
}
