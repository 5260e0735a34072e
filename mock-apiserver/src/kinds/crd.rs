//! Custom resource definitions: their defaults, and the parts of their status that the server keeps.

use crate::api::meta;
use crate::definition;
use serde_json::{Value, json};

/// The finalizer that keeps a CRD until its objects are gone.
pub(crate) const CLEANUP_FINALIZER: &str = "customresourcecleanup.apiextensions.k8s.io";

pub(super) fn default_fields(crd: &mut Value) {
    super::default_to(crd, "spec", json!({}));
    let names = crd["spec"]["names"].clone();
    if let Some(kind) = names["kind"].as_str().filter(|kind| !kind.is_empty()) {
        let slot = &mut crd["spec"]["names"];
        super::default_to(slot, "singular", kind.to_lowercase());
        super::default_to(slot, "listKind", format!("{kind}List"));
    }
    super::default_to(&mut crd["spec"], "conversion", json!({"strategy": "None"}));
    let stored = &crd["status"]["storedVersions"];
    if crd["status"].is_object() && stored.as_array().is_none_or(Vec::is_empty) {
        note_storage(crd);
    }
}

/// A new definition has no names yet: the server gives them to it when it is stored.
pub(super) fn prepare_create(crd: &mut Value) {
    crd["status"] = json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": []});
    note_storage(crd);
}

pub(super) fn prepare_update(old: &Value, crd: &mut Value) {
    crd["status"] = old["status"].clone();
    note_storage(crd);
}

/// The version that objects are stored in from now on.
fn note_storage(crd: &mut Value) {
    let versions = crd["spec"]["versions"].as_array().into_iter().flatten();
    let storage = versions.into_iter().find(|version| version["storage"] == true);
    let name = storage.map(|version| Value::from(version["name"].as_str().unwrap_or_default()));
    let mut stored = crd["status"]["storedVersions"].as_array().cloned().unwrap_or_default();
    stored.extend(name.filter(|name| !stored.contains(name)));
    crd["status"]["storedVersions"] = stored.into();
}

/// Marks a definition for deletion: it stays until its objects are gone.
pub(crate) fn prepare_deletion(crd: &mut Value, now: &Value) {
    if meta::is_deleting(crd) {
        return;
    }
    let mut finalizers: Vec<String> = meta::finalizers(crd).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|known| known == CLEANUP_FINALIZER) {
        finalizers.push(CLEANUP_FINALIZER.to_owned());
        meta::set_finalizers(crd, &finalizers);
    }
    crd["status"] = definition::terminating(&crd["status"], now);
}
