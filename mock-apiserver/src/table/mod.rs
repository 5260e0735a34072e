//! The `Table` form of objects, which `kubectl get` prints: columns of built-in kinds and of CRDs.

mod age;
mod builtin;
mod custom;
mod fields;
mod jsonpath;
mod node;

use crate::catalog::{Origin, Resource};
use crate::store::Object;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

/// A column: name, type, and priority (0 is always shown, others with `-o wide`).
#[derive(Debug, Clone)]
struct Column {
    name: String,
    kind: String,
    format: String,
    description: String,
    priority: i64,
}

/// What the API server says about the first column of every table, and about the age of objects.
const NAME_DESCRIPTION: &str = "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names";
const AGE_DESCRIPTION: &str = "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";

impl Column {
    fn new(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            format: String::new(),
            description: String::new(),
            priority: 0,
        }
    }

    fn name() -> Self {
        Self {
            format: "name".to_owned(),
            description: NAME_DESCRIPTION.to_owned(),
            ..Self::new("Name", "string")
        }
    }

    fn wide(name: &str) -> Self {
        Self {
            priority: 1,
            ..Self::new(name, "string")
        }
    }
}

/// What a row carries of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum IncludeObject {
    None,
    #[default]
    Metadata,
    Object,
}

/// The table of objects, as seen at `now`.
pub(crate) fn table(
    resource: &Resource,
    metadata: &Value,
    items: &[Arc<Object>],
    include: IncludeObject,
    now: Timestamp,
) -> Value {
    let columns = columns(resource);
    let definitions: Vec<Value> = columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format, "description": column.description,
                "priority": column.priority,
            })
        })
        .collect();
    let rows: Vec<Value> = items
        .iter()
        .map(|item| {
            let shown = resource.present(item);
            let mut row = json!({"cells": cells(resource, &shown, now)});
            match include {
                IncludeObject::None => row["object"] = Value::Null,
                IncludeObject::Metadata => row["object"] = partial(&shown),
                IncludeObject::Object => row["object"] = Value::clone(&shown),
            }
            row
        })
        .collect();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
        "columnDefinitions": definitions, "rows": rows,
    })
}

/// The table of one scale.
pub(crate) fn scale_table(scale: &Value, include: IncludeObject, now: Timestamp) -> Value {
    let column = |name: &str, kind: &str, description: &str| json!({"name": name, "type": kind, "format": "", "description": description, "priority": 0});
    let cells = json!([
        scale["metadata"]["name"],
        scale["spec"]["replicas"].as_i64().unwrap_or_default(),
        scale["status"]["replicas"],
        age::age(&scale["metadata"]["creationTimestamp"], now),
    ]);
    let object = match include {
        IncludeObject::None => Value::Null,
        IncludeObject::Metadata => partial(scale),
        IncludeObject::Object => scale.clone(),
    };
    let mut name = column("Name", "string", NAME_DESCRIPTION);
    name["format"] = "name".into();
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": scale["metadata"]["resourceVersion"]},
        "columnDefinitions": [
            name,
            column("Desired", "integer", "Number of desired replicas"),
            column("Available", "integer", "Number of actual replicas"),
            column("Age", "date", AGE_DESCRIPTION),
        ],
        "rows": [{"cells": cells, "object": object}],
    })
}

/// Only the metadata of an object.
pub(crate) fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn columns(resource: &Resource) -> Vec<Column> {
    match &resource.origin {
        Origin::Custom(version) => custom::columns(version),
        Origin::BuiltIn(_) => fields::columns(resource).unwrap_or_else(|| builtin::columns(resource)),
    }
}

fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    match &resource.origin {
        Origin::Custom(version) => custom::cells(version, object, now),
        Origin::BuiltIn(_) => {
            fields::cells(resource, object, now).unwrap_or_else(|| builtin::cells(resource, object, now))
        }
    }
}
