//! Discovery by group and version, one document each.

use super::{subresources, verbs};
use crate::catalog::{Origin, Resource};
use crate::core::Core;
use serde_json::{Value, json};

pub(super) fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

/// `/api`.
pub(super) fn core_versions() -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1"}],
    })
}

fn describe(group: &str, versions: &[String]) -> Value {
    let listed: Vec<Value> = versions
        .iter()
        .map(|version| json!({"groupVersion": group_version(group, version), "version": version}))
        .collect();
    json!({"name": group, "versions": listed, "preferredVersion": listed[0]})
}

/// `/`: the paths that answer.
pub(super) fn paths(core: &Core) -> Value {
    const OTHERS: [&str; 9] = [
        "/api",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    let mut paths: Vec<String> = OTHERS.map(str::to_owned).into();
    for (group, versions) in core.catalog.groups() {
        let root = if group.is_empty() {
            "/api".to_owned()
        } else {
            paths.push(format!("/apis/{group}"));
            format!("/apis/{group}")
        };
        paths.extend(versions.iter().map(|version| format!("{root}/{version}")));
    }
    paths.sort();
    json!({ "paths": paths })
}

/// `/apis`.
pub(super) fn groups(core: &Core) -> Value {
    let groups: Vec<Value> = core
        .catalog
        .groups()
        .iter()
        .filter(|(group, _)| !group.is_empty())
        .map(|(group, versions)| describe(group, versions))
        .collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/G`.
pub(super) fn group(core: &Core, group: &str) -> Option<Value> {
    let (_, versions) = core
        .catalog
        .groups()
        .into_iter()
        .find(|(name, _)| name == group && !name.is_empty())?;
    let mut described = describe(group, &versions);
    described["kind"] = "APIGroup".into();
    described["apiVersion"] = "v1".into();
    Some(described)
}

/// `/api/V` and `/apis/G/V`.
pub(super) fn resources(core: &Core, group: &str, version: &str) -> Option<Value> {
    let mut listed = Vec::new();
    for resource in core
        .catalog
        .all()
        .filter(|resource| resource.group == group && resource.version == version)
    {
        let mut entry = json!({
            "name": resource.plural, "singularName": resource.singular, "namespaced": resource.namespaced,
            "kind": resource.kind, "verbs": verbs(resource), "storageVersionHash": storage_version_hash(resource),
        });
        if !resource.short_names.is_empty() {
            entry["shortNames"] = json!(resource.short_names);
        }
        if !resource.categories.is_empty() {
            entry["categories"] = json!(resource.categories);
        }
        listed.push(entry);
        for sub in subresources(resource) {
            let mut entry = json!({
                "name": format!("{}/{}", resource.plural, sub.name), "singularName": "",
                "namespaced": resource.namespaced, "kind": sub.kind, "verbs": sub.verbs,
            });
            if sub.group != resource.group || sub.version != resource.version {
                entry["group"] = sub.group.into();
                entry["version"] = sub.version.into();
            }
            listed.push(entry);
        }
    }
    if listed.is_empty() {
        return None;
    }
    Some(json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version(group, version), "resources": listed,
    }))
}

/// A mark of the version in which objects of a kind are stored.
fn storage_version_hash(resource: &Resource) -> String {
    use base64::Engine;
    use sha2::Digest;
    let Resource {
        group, version, kind, ..
    } = resource;
    let version = match &resource.origin {
        Origin::Custom(custom) => &custom.storage,
        Origin::BuiltIn(_) => version,
    };
    let digest = sha2::Sha256::digest(format!("{group}/{version}/{kind}"));
    base64::engine::general_purpose::STANDARD.encode(&digest[..8])
}

/// An opaque eight-byte mark of a text; it only has to be stable.
pub(crate) fn fingerprint(name: &str) -> String {
    use base64::Engine;
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    base64::engine::general_purpose::STANDARD.encode(hash.to_be_bytes())
}
