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
                let refused_null = map.get(member).is_some_and(Value::is_null) && schema["nullable"] != true;
                if let Some(default) = schema.get("default")
                    && (refused_null || !map.contains_key(member))
                {
                    map.insert(member.clone(), default.clone());
                } else if refused_null && nulls == Nulls::Drop {
                    map.remove(member);
                }
                if let Some(child) = map.get_mut(member) {
                    default_fields(schema, child, nulls);
                }
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
