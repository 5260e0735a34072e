//! Filling in defaults.

use serde_json::{Map, Value};

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
            let declared = schema["properties"].as_object();
            for (member, schema) in declared.into_iter().flatten() {
                default_member(schema, map, member, nulls);
            }
            if let Some(additional) = schema.get("additionalProperties").filter(|schema| schema.is_object()) {
                let is_additional = |member: &str| declared.is_none_or(|declared| !declared.contains_key(member));
                map.retain(|member, child| !is_additional(member) || default_value(additional, child, nulls));
            }
        }
        Value::Array(items) => {
            for item in items {
                // What is in a list keeps its place, and so does a null, to be refused.
                default_value(&schema["items"], item, nulls);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn default_member(schema: &Value, map: &mut Map<String, Value>, member: &str, nulls: Nulls) {
    let stays = match (map.get_mut(member), schema.get("default")) {
        (Some(child), _) => default_value(schema, child, nulls),
        (None, Some(default)) => {
            let child = map.entry(member).or_insert_with(|| default.clone());
            default_value(schema, child, nulls)
        }
        (None, None) => true,
    };
    if !stays {
        map.remove(member);
    }
}

/// Inserts the defaults in a value, or the value's own in its place; false if it is a null that is to go.
fn default_value(schema: &Value, value: &mut Value, nulls: Nulls) -> bool {
    if value.is_null() && schema["nullable"] != true {
        match (schema.get("default"), nulls) {
            (Some(default), _) => *value = default.clone(),
            (None, Nulls::Drop) => return false,
            (None, Nulls::Keep) => return true,
        }
    }
    default_fields(schema, value, nulls);
    true
}
