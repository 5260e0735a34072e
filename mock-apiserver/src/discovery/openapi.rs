//! OpenAPI v3: an index, and a document for each group and version.
//!
//! The documents list the operations with their kind and parameters, by which kubectl finds out that the server validates
//! fields itself, and the schemas of custom resources.

use super::legacy::{fingerprint, group_version};
use crate::catalog::{Origin, Resource};
use crate::core::Core;
use serde_json::{Map, Value, json};

/// `/openapi/v3` and below.
pub(super) fn answer(core: &Core, rest: &str) -> Option<Value> {
    match rest.split('/').collect::<Vec<_>>().as_slice() {
        ["v3"] => Some(index(core)),
        ["v3", "api", version] => document(core, "", version),
        ["v3", "apis", group, version] => document(core, group, version),
        _ => None,
    }
}

fn index(core: &Core) -> Value {
    let mut paths = Map::new();
    for (group, versions) in core.catalog.groups() {
        for version in versions {
            let root = if group.is_empty() { "api" } else { "apis" };
            let path = format!("{root}/{}", group_version(&group, &version));
            let hash = fingerprint(&document(core, &group, &version).unwrap_or_default().to_string());
            let url = format!(
                "/openapi/v3/{path}?hash={}",
                hash.trim_end_matches('=').replace(['+', '/'], "_")
            );
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

fn document(core: &Core, group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in core
        .catalog
        .all()
        .filter(|resource| resource.group == group && resource.version == version)
    {
        add_paths(resource, &mut paths);
        add_schemas(resource, &mut schemas);
    }
    if paths.is_empty() {
        return None;
    }
    Some(json!({
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths,
        "components": {"schemas": schemas},
    }))
}

fn gvk(resource: &Resource) -> Value {
    json!({"group": resource.group, "version": resource.version, "kind": resource.kind})
}

fn schema_name(resource: &Resource) -> String {
    let reversed: Vec<&str> = resource.group.rsplit('.').collect();
    format!("{}.{}.{}", reversed.join("."), resource.version, resource.kind)
}

fn add_paths(resource: &Resource, paths: &mut Map<String, Value>) {
    let root = if resource.group.is_empty() { "/api" } else { "/apis" };
    let scope = if resource.namespaced {
        "/namespaces/{namespace}"
    } else {
        ""
    };
    let collection = format!("{root}/{}{scope}/{}", resource.api_version(), resource.plural);
    let parameter =
        |name: &str| json!({"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": true}});
    let writing = [
        parameter("dryRun"),
        parameter("fieldManager"),
        parameter("fieldValidation"),
    ];
    let media = json!({"schema": {"$ref": format!("#/components/schemas/{}", schema_name(resource))}});
    let content = if resource.is_custom() {
        json!({"application/json": media})
    } else {
        json!({})
    };
    let responses = json!({"200": {"description": "OK", "content": content}});
    let operation = |action: &str, parameters: &[Value]| {
        json!({
            "x-kubernetes-action": action, "x-kubernetes-group-version-kind": gvk(resource),
            "parameters": parameters, "responses": responses,
        })
    };
    paths.insert(
        collection.clone(),
        json!({"get": operation("list", &[]), "post": operation("post", &writing), "delete": operation("deletecollection", &[])}),
    );
    paths.insert(
        format!("{collection}/{{name}}"),
        json!({
            "get": operation("get", &[]), "put": operation("put", &writing), "patch": operation("patch", &writing),
            "delete": operation("delete", &[]),
        }),
    );
}

/// The schema a CRD declares, with what every object has besides.
fn add_schemas(resource: &Resource, schemas: &mut Map<String, Value>) {
    let Origin::Custom(custom) = &resource.origin else {
        return;
    };
    let mut schema = if custom.schema.is_object() {
        custom.schema.clone()
    } else {
        json!({"type": "object"})
    };
    schema["x-kubernetes-group-version-kind"] = json!([gvk(resource)]);
    if !resource.selectable.is_empty() {
        let fields = resource.selectable.iter().map(|path| json!({"fieldPath": path}));
        schema["x-kubernetes-selectable-fields"] = fields.collect();
    }
    let properties = [
        (
            "apiVersion",
            json!({"type": "string", "description": "The versioned schema of this representation of an object."}),
        ),
        (
            "kind",
            json!({"type": "string", "description": "The REST resource this object represents."}),
        ),
        (
            "metadata",
            json!({"type": "object", "description": "Standard object's metadata.", "x-kubernetes-preserve-unknown-fields": true}),
        ),
    ];
    for (name, property) in properties {
        schema["properties"][name] = property;
    }
    let item = json!({"$ref": format!("#/components/schemas/{}", schema_name(resource))});
    let list = json!({
        "type": "object", "required": ["items"],
        "properties": {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "items": {"type": "array", "items": item}},
        "x-kubernetes-group-version-kind": [{"group": resource.group, "version": resource.version, "kind": resource.list_kind}],
    });
    schemas.insert(schema_name(resource), schema);
    schemas.insert(format!("{}List", schema_name(resource)), list);
}
