//! Filling in defaults.

use serde_json::Value;

/// What becomes of a null that is not allowed and has no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nulls {
    /// It counts as absent and goes.
    Drop,
    /// It stays, to be refused: what was applied is what its manager wants.
    Keep,
}

/// Inserts the defaults of absent members; a null that is not allowed counts as absent.
pub(crate) fn default_fields(schema: &Value, value: &mut Value, nulls: Nulls) {
    match value {
        Value::Object(map) => {
            for (member, schema) in schema["properties"].as_object().into_iter().flatten() {
                let child = match map.get_mut(member) {
                    Some(child) if child.is_null() && schema["nullable"] != true => match schema.get("default") {
                        Some(default) => {
                            *child = default.clone();
                            child
                        }
                        None if nulls == Nulls::Drop => {
                            map.remove(member);
                            continue;
                        }
                        None => continue,
                    },
                    Some(child) => child,
                    None => match schema.get("default") {
                        Some(default) => map.entry(member).or_insert_with(|| default.clone()),
                        None => continue,
                    },
                };
                default_fields(schema, child, nulls);
            }
            let declared = &schema["properties"];
            if let Some(additional) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
                for (_, child) in map
                    .iter_mut()
                    .filter(|(member, _)| declared.get(member.as_str()).is_none())
                {
                    default_fields(additional, child, nulls);
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                default_fields(&schema["items"], item, nulls);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
