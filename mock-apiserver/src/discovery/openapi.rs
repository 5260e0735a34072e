//! OpenAPI v3: an index, and a document for each group and version.
//!
//! The documents list the operations with their kind and parameters, by which kubectl finds out that the server validates
//! fields itself, and the schemas of all kinds. Those of the built-in kinds are made once, when they are first asked for.

use super::legacy::{fingerprint, group_version};
use super::schemas;
use crate::catalog::{Catalog, Origin, Resource};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

/// A document as it is sent.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) body: Value,
    /// Changes with the body.
    pub(super) hash: String,
}

impl Document {
    fn new(body: Value) -> Self {
        let hash = fingerprint(&body.to_string());
        let hash = hash.trim_end_matches('=').replace(['+', '/'], "_");
        Self { body, hash }
    }
}

/// The documents of the groups and versions that only built-in kinds belong to.
static BUILT_IN: LazyLock<BTreeMap<(String, String), Arc<Document>>> = LazyLock::new(|| {
    let catalog = Catalog::new();
    let mut documents = BTreeMap::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            if let Some(body) = describe(&catalog, &group, &version) {
                documents.insert((group.clone(), version), Arc::new(Document::new(body)));
            }
        }
    }
    documents
});

/// `/openapi/v3`.
pub(super) fn index(catalog: &Catalog) -> Value {
    let mut paths = Map::new();
    for (group, versions) in catalog.groups() {
        for version in versions {
            let root = if group.is_empty() { "api" } else { "apis" };
            let path = format!("{root}/{}", group_version(&group, &version));
            let hash = document(catalog, &group, &version).map_or_else(String::new, |document| document.hash.clone());
            let url = format!("/openapi/v3/{path}?hash={hash}");
            paths.insert(path, json!({"serverRelativeURL": url}));
        }
    }
    json!({"paths": paths})
}

/// The document of a group and version; `None` if they are not served.
pub(super) fn document(catalog: &Catalog, group: &str, version: &str) -> Option<Arc<Document>> {
    let served = |resource: &&Arc<Resource>| resource.group == group && resource.version == version;
    if !catalog.all().filter(served).any(|resource| resource.is_custom()) {
        return BUILT_IN.get(&(group.to_owned(), version.to_owned())).cloned();
    }
    describe(catalog, group, version).map(|body| Arc::new(Document::new(body)))
}

fn describe(catalog: &Catalog, group: &str, version: &str) -> Option<Value> {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    for resource in catalog
        .all()
        .filter(|resource| resource.group == group && resource.version == version)
    {
        add_paths(resource, &mut paths);
        match &resource.origin {
            Origin::Custom(_) => add_custom(resource, &mut schemas),
            Origin::BuiltIn(_) => add_built_in(resource, &mut schemas),
        }
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
    if let Some(message) = resource.message() {
        return schemas::name_of(message.name);
    }
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
    let responses = json!({"200": {"description": "OK", "content": {"application/json": media}}});
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
    if resource.status {
        paths.insert(
            format!("{collection}/{{name}}/status"),
            json!({"get": operation("get", &[]), "put": operation("put", &writing), "patch": operation("patch", &writing)}),
        );
    }
}

/// The schemas of a built-in kind, of its list, and of all that they hold.
fn add_built_in(resource: &Resource, schemas: &mut Map<String, Value>) {
    let Some(message) = resource.message() else { return };
    let list = crate::types::message(&format!("{}List", message.name));
    let kinds = [(Some(message), &resource.kind), (list, &resource.list_kind)];
    for (message, kind) in kinds.into_iter().filter_map(|(message, kind)| Some((message?, kind))) {
        schemas::add(message, schemas);
        let mut described = gvk(resource);
        described["kind"] = kind.as_str().into();
        let schema = &mut schemas[&schemas::name_of(message.name)];
        schema["x-kubernetes-group-version-kind"] = json!([described]);
        for member in ["apiVersion", "kind"] {
            schema["properties"][member] = json!({"type": "string", "description": describe_type_meta(member)});
        }
    }
}

fn describe_type_meta(member: &str) -> &'static str {
    if member == "kind" {
        "The REST resource this object represents."
    } else {
        "The versioned schema of this representation of an object."
    }
}

/// The metadata of custom resources and of their lists, whose schema is added.
fn metadata(message: &str, schemas: &mut Map<String, Value>) -> Value {
    if let Some(message) = crate::types::message(message) {
        schemas::add(message, schemas);
    }
    let name = schemas::name_of(message);
    json!({"description": "Standard object's metadata.", "allOf": [{"$ref": format!("#/components/schemas/{name}")}]})
}

/// Says in OpenAPI what extensions of a schema say: either form of an int-or-string, and the members of embedded objects.
fn complete(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.iter_mut()
                .filter(|(keyword, _)| !matches!(keyword.as_str(), "default" | "enum" | "example"))
                .for_each(|(_, part)| complete(part));
            if map.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
                map.entry("anyOf")
                    .or_insert_with(|| json!([{"type": "integer"}, {"type": "string"}]));
            }
            if map.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true)) {
                let reference = format!("#/components/schemas/{}", schemas::name_of("meta.ObjectMeta"));
                schema["required"] = json!(["kind", "apiVersion"]);
                schema["properties"]["metadata"] = json!({"allOf": [{"$ref": reference}]});
                for member in ["apiVersion", "kind"] {
                    schema["properties"][member] = json!({"type": "string", "description": describe_type_meta(member)});
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(complete),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema a CRD declares, with what every object has besides.
fn add_custom(resource: &Resource, schemas: &mut Map<String, Value>) {
    let Origin::Custom(custom) = &resource.origin else {
        return;
    };
    let mut schema = if custom.schema.is_object() {
        custom.schema.clone()
    } else {
        json!({"type": "object"})
    };
    complete(&mut schema);
    schema["x-kubernetes-group-version-kind"] = json!([gvk(resource)]);
    if !resource.selectable.is_empty() {
        let fields = resource.selectable.iter().map(|path| json!({"fieldPath": path}));
        schema["x-kubernetes-selectable-fields"] = fields.collect();
    }
    let properties = [
        (
            "apiVersion",
            json!({"type": "string", "description": describe_type_meta("apiVersion")}),
        ),
        (
            "kind",
            json!({"type": "string", "description": describe_type_meta("kind")}),
        ),
        ("metadata", metadata("meta.ObjectMeta", schemas)),
    ];
    for (name, property) in properties {
        schema["properties"][name] = property;
    }
    let item = json!({"$ref": format!("#/components/schemas/{}", schema_name(resource))});
    let list = json!({
        "type": "object", "required": ["items"],
        "properties": {
            "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": metadata("meta.ListMeta", schemas),
            "items": {"type": "array", "items": item},
        },
        "x-kubernetes-group-version-kind": [{"group": resource.group, "version": resource.version, "kind": resource.list_kind}],
    });
    schemas.insert(schema_name(resource), schema);
    schemas.insert(format!("{}List", schema_name(resource)), list);
}
