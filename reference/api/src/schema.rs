//! Pieces of the schemas of our definitions that cannot be derived from a Rust type.
//!
//! Decides what an API server refuses at the door: what it takes, the controller still reads with care,
//! as the definition in a cluster may be another party's.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{Schema, SchemaGenerator, json_schema};

/// A quantity as the Kubernetes API writes it: `500m`, `64Mi`, `1.5`, `1e3`.
const QUANTITY: &str = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?$";
/// A name that may become the name of a volume, part of the name of an object, or a label (RFC 1123).
const LABEL: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$";

fn quantities() -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true, "pattern": QUANTITY },
    })
}

/// A Pod template: what every Pod needs and what sizes it is described, the rest is kept as it is.
pub(crate) fn pod_template(_: &mut SchemaGenerator) -> Schema {
    let container = json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "maxLength": 63, "pattern": LABEL },
            "image": { "type": "string" },
            "resources": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "properties": { "requests": quantities(), "limits": quantities() },
            },
        },
    });
    json_schema!({
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": true,
        "required": ["spec"],
        "properties": {
            "metadata": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            "spec": {
                "type": "object",
                "x-kubernetes-preserve-unknown-fields": true,
                "required": ["containers"],
                "properties": { "containers": { "type": "array", "minItems": 1, "items": container } },
            },
        },
    })
}

/// The `metadata` of a volume claim template.
pub(crate) fn claim_metadata(_: &mut SchemaGenerator) -> Schema {
    let texts = json_schema!({ "type": "object", "additionalProperties": { "type": "string" } });
    json_schema!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "maxLength": 63, "pattern": LABEL },
            "labels": texts,
            "annotations": texts,
        },
    })
}

/// The `spec` of a volume claim template: what of a `PersistentVolumeClaim` a sandbox may ask for.
pub(crate) fn claim_spec(_: &mut SchemaGenerator) -> Schema {
    let modes = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
    let mut requests = quantities();
    requests.insert("required".to_owned(), ["storage"].as_slice().into());
    json_schema!({
        "type": "object",
        "required": ["accessModes", "resources"],
        "properties": {
            "accessModes": {
                "type": "array", "minItems": 1, "maxItems": 4,
                "items": { "type": "string", "enum": modes },
            },
            "resources": {
                "type": "object",
                "required": ["requests"],
                "properties": { "requests": requests, "limits": quantities() },
            },
            "storageClassName": { "type": "string" },
            "volumeMode": { "type": "string", "enum": ["Filesystem", "Block"] },
            "volumeName": { "type": "string" },
        },
    })
}

/// Conditions, one of each type.
pub(crate) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Condition>();
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
