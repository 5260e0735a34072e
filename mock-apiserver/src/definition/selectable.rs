//! The `selectableFields` of a CRD's version: which fields of its objects field selectors may name.

use crate::api::field::{FieldError, Problem};
use serde_json::Value;

const MOST: usize = 8;

/// What is wrong with the fields that a version declares, `path` being where they are.
pub(super) fn problems(fields: &Value, schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    for (index, field) in fields.as_array().into_iter().flatten().enumerate() {
        let at = format!("{path}[{index}].jsonPath");
        let invalid = |detail: &str| FieldError::invalid(&at, &field["jsonPath"], detail);
        let Some(text) = field["jsonPath"].as_str().filter(|text| !text.is_empty()) else {
            errors.push(FieldError::required(&at, ""));
            continue;
        };
        match schema_at(text, schema) {
            Err(why) => {
                errors.push(invalid(&format!("is an invalid path: {why}")));
                continue;
            }
            Ok(found) => {
                if text == ".metadata" || text.starts_with(".metadata.") {
                    errors.push(invalid("must not point to fields in metadata"));
                }
                if !matches!(found["type"].as_str(), Some("string" | "boolean" | "integer")) {
                    errors.push(invalid(
                        "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.",
                    ));
                }
            }
        }
        if seen.contains(&text) {
            errors.push(FieldError::duplicate(&at, &field["jsonPath"]));
        } else {
            seen.push(text);
        }
    }
    if seen.len() > MOST {
        let problem = Problem::TooMany {
            actual: seen.len(),
            max: MOST as u64,
        };
        errors.push(FieldError {
            path: path.to_owned(),
            problem,
        });
    }
    errors
}

/// The declared schema that a path of member names (`.spec.colour`) leads to.
fn schema_at<'a>(path: &str, schema: &'a Value) -> Result<&'a Value, String> {
    if path.contains('[') {
        return Err("array notation is not allowed".to_owned());
    }
    let Some(members) = path.strip_prefix('.') else {
        let start = path.split('.').next().unwrap_or_default();
        return Err(format!("expected [ or . but got: {start}"));
    };
    if members.is_empty() || members.ends_with('.') {
        return Err("unexpected end of JSON path".to_owned());
    }
    members
        .split('.')
        .try_fold(schema, |schema, member| match schema["properties"].get(member) {
            None if schema["properties"].is_object() => None,
            None => schema.get("additionalProperties").filter(|schema| schema.is_object()),
            found => found,
        })
        .ok_or_else(|| "does not refer to a valid field".to_owned())
}
