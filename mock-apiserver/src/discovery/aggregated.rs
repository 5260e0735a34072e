//! Aggregated discovery: all groups, versions and resources in one document (`apidiscovery.k8s.io`).

use super::{subresources, verbs};
use crate::catalog::Resource;
use crate::core::Core;
use serde_json::{Value, json};

/// The core group (`/api`) or all others (`/apis`), in the newest version of the format that the client takes.
pub(super) fn groups(core: &Core, core_group: bool, accept: &str) -> Value {
    let v2 = accept
        .split(',')
        .any(|part| part.contains("as=APIGroupDiscoveryList") && part.split(';').any(|p| p.trim() == "v=v2"));
    let items: Vec<Value> = core
        .catalog
        .groups()
        .iter()
        .filter(|(group, _)| group.is_empty() == core_group)
        .map(|(group, versions)| {
            let versions: Vec<Value> = versions.iter().map(|version| describe(core, group, version)).collect();
            let metadata = if group.is_empty() {
                json!({"creationTimestamp": null})
            } else {
                json!({"name": group, "creationTimestamp": null})
            };
            json!({"metadata": metadata, "versions": versions})
        })
        .collect();
    let format = if v2 {
        "apidiscovery.k8s.io/v2"
    } else {
        "apidiscovery.k8s.io/v2beta1"
    };
    json!({"kind": "APIGroupDiscoveryList", "apiVersion": format, "metadata": {}, "items": items})
}

fn describe(core: &Core, group: &str, version: &str) -> Value {
    let resources: Vec<Value> = core
        .catalog
        .all()
        .filter(|resource| resource.group == group && resource.version == version)
        .map(|resource| resource_entry(resource))
        .collect();
    json!({"version": version, "resources": resources, "freshness": "Current"})
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = json!({
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": resource.singular,
        "verbs": verbs(resource),
    });
    if !resource.short_names.is_empty() {
        entry["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        entry["categories"] = json!(resource.categories);
    }
    let subs: Vec<Value> = subresources(resource)
        .into_iter()
        .map(|sub| {
            json!({
                "subresource": sub.name,
                "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
                "verbs": sub.verbs,
            })
        })
        .collect();
    if !subs.is_empty() {
        entry["subresources"] = subs.into();
    }
    entry
}
