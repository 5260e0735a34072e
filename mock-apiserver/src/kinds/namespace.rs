//! Namespaces: the `kubernetes` finalizer in the spec, the phase, and the name label.

use crate::api::meta;
use serde_json::{Value, json};

pub(super) fn default_fields(namespace: &mut Value) {
    let name = meta::name(namespace).to_owned();
    if !name.is_empty() {
        namespace["metadata"]["labels"]["kubernetes.io/metadata.name"] = name.into();
    }
}

pub(super) fn prepare_create(namespace: &mut Value) {
    let mut finalizers: Vec<String> = meta::strings(&namespace["spec"]["finalizers"])
        .into_iter()
        .map(str::to_owned)
        .collect();
    if !finalizers.iter().any(|finalizer| finalizer == "kubernetes") {
        finalizers.push("kubernetes".to_owned());
    }
    namespace["spec"]["finalizers"] = json!(finalizers);
    namespace["status"] = json!({"phase": "Active"});
}
