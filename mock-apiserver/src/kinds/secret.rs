//! Secrets and config maps: `stringData`, keys, immutability.

use crate::api::field::{FieldError, Problem};
use base64::Engine;
use serde_json::{Map, Value};

pub(super) fn default_fields(secret: &mut Value) {
    super::default_to(secret, "type", "Opaque");
    let Some(Value::Object(plain)) = secret.as_object_mut().and_then(|map| map.remove("stringData")) else {
        return;
    };
    super::default_to(secret, "data", Map::new());
    for (key, value) in plain {
        let encoded = base64::engine::general_purpose::STANDARD.encode(value.as_str().unwrap_or_default());
        secret["data"][&key] = encoded.into();
    }
}

fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.len() <= 253
        && key != "."
        && !key.starts_with("..")
        && key.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
}

/// How many bytes the values may have together.
const MAX_BYTES: usize = 1024 * 1024;

fn size_problem(object: &Value) -> Option<FieldError> {
    let values = |member: &str| object[member].as_object().into_iter().flatten();
    let text = |value: &Value| value.as_str().map_or(0, str::len);
    let is_secret = object["kind"] == "Secret";
    let decoded = |value: &Value| {
        value
            .as_str()
            .map_or(0, |text| text.trim_end_matches('=').len() * 3 / 4)
    };
    let plain: usize = values("data")
        .map(|(_, value)| if is_secret { decoded(value) } else { text(value) })
        .sum();
    let bytes: usize = values("binaryData").map(|(_, value)| decoded(value)).sum();
    // The real server names no field of a config map.
    let path = if is_secret { "data" } else { "[]" };
    (plain + bytes > MAX_BYTES).then(|| FieldError {
        path: path.to_owned(),
        problem: Problem::TooLong {
            detail: format!("may not be more than {MAX_BYTES} bytes"),
        },
    })
}

pub(super) fn problems(old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for member in ["data", "binaryData"] {
        for (key, value) in object[member].as_object().into_iter().flatten() {
            let path = format!("{member}[{key}]");
            if !is_key(key) {
                let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
                errors.push(FieldError::invalid(&path, &Value::String(key.clone()), rule));
            }
            if !value.is_string() {
                errors.push(FieldError::invalid(&path, value, "must be a string"));
            }
        }
    }
    errors.extend(size_problem(object));
    if let Some(old) = old.filter(|old| old["immutable"] == true) {
        if object["immutable"] != true {
            errors.push(FieldError::forbidden(
                "immutable",
                "field is immutable when `immutable` is set",
            ));
        }
        for member in ["data", "binaryData"] {
            if old.get(member) != object.get(member) {
                errors.push(FieldError::forbidden(
                    member,
                    "field is immutable when `immutable` is set",
                ));
            }
        }
    }
    errors
}
