//! Volumes and the claims to them: what they must say and what cannot change.

use crate::api::field::FieldError;
use crate::types::message;
use serde_json::{Value, json};

pub(super) fn problems(kind: &str, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    match kind {
        "PersistentVolumeClaim" => claim_problems(old, object),
        "PersistentVolume" => volume_problems(old, object),
        _ => Vec::new(),
    }
}

fn claim_problems(old: Option<&Value>, claim: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if claim["spec"]["resources"]["requests"]["storage"].is_null() {
        errors.push(FieldError::required("spec.resources[storage]", ""));
    }
    let Some(old) = old else { return errors };
    let bound = old["status"]["phase"] == "Bound";
    let fixed = |claim: &Value| {
        let mut spec = claim["spec"].clone();
        spec["volumeAttributesClassName"] = Value::Null;
        if bound {
            spec["resources"]["requests"] = Value::Null;
        }
        // Binding sets the volume, once.
        if old["spec"]["volumeName"].as_str().unwrap_or_default().is_empty() {
            spec["volumeName"] = Value::Null;
        }
        spec
    };
    if fixed(old) != fixed(claim) {
        let detail =
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors
}

fn volume_problems(old: Option<&Value>, volume: &Value) -> Vec<FieldError> {
    let sources = message("core.v1.PersistentVolumeSource")
        .map(|source| source.members())
        .unwrap_or_default();
    let source = |volume: &Value| -> Vec<Value> {
        let names = sources.iter().filter_map(|field| field.name);
        names
            .filter_map(|name| Some(json!({ name: volume["spec"].get(name)? })))
            .collect()
    };
    match (old, source(volume).len()) {
        (Some(old), _) if source(old) != source(volume) => vec![FieldError::forbidden(
            "spec.persistentvolumesource",
            "spec.persistentvolumesource is immutable after creation",
        )],
        (_, 0) => vec![FieldError::required("spec", "must specify a volume type")],
        (_, 1) => Vec::new(),
        (_, _) => vec![FieldError::forbidden("spec", "may not specify more than 1 volume type")],
    }
}
