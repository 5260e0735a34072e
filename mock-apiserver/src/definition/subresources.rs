//! `subresources`.

use super::columns::simple_json_path;
use super::path;
use crate::api::field::FieldError;
use serde_json::Value;

/// What is wrong with the paths of the scale.
pub(super) fn problems(subresources: &Value, path: &str) -> Vec<FieldError> {
    let scale = &subresources["scale"];
    if !scale.is_object() {
        return Vec::new();
    }
    let mut errors = Vec::new();
    for (member, roots, detail) in [
        ("specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        (
            "statusReplicasPath",
            &[".status."],
            "should be a json path under .status",
        ),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let at = path::child(path, &format!("scale.{member}"));
        let value = &scale[member];
        let text = value.as_str().unwrap_or_default();
        if text.is_empty() {
            if member != "labelSelectorPath" {
                errors.push(FieldError::required(at, ""));
            }
        } else if let Some(error) = simple_json_path(value, &at) {
            errors.push(error);
        } else if !roots.iter().any(|root| text.starts_with(root)) {
            errors.push(FieldError::invalid(at, value, detail));
        }
    }
    errors
}
