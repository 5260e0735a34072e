//! Removing fields that the schema does not know.

use super::is_type_or_metadata;
use crate::api::place::Place;
use serde_json::Value;

/// Removes unknown fields and returns their paths.
pub(crate) fn prune(schema: &Value, object: &mut Value) -> Vec<String> {
    prune_part(schema, object, true)
}

/// Does so with a part of an object that is, or is not, a resource of its own.
pub(crate) fn prune_part(schema: &Value, part: &mut Value, is_resource: bool) -> Vec<String> {
    let mut unknown = Vec::new();
    walk(schema, part, is_resource, &Place::ROOT, &mut unknown);
    unknown
}

fn keeps_unknown(schema: &Value) -> bool {
    schema["x-kubernetes-preserve-unknown-fields"] == true
}

fn walk(schema: &Value, value: &mut Value, is_resource: bool, place: &Place<'_>, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let (properties, additional) = (&schema["properties"], &schema["additionalProperties"]);
            let any = *additional == true || additional.is_object() || keeps_unknown(schema);
            map.retain(|member, _| {
                let known = any || properties.get(member).is_some() || (is_resource && is_type_or_metadata(member));
                if !known {
                    unknown.push(place.member(member).to_string());
                }
                known
            });
            for (member, child) in map
                .iter_mut()
                .filter(|(member, _)| !(is_resource && is_type_or_metadata(member)))
            {
                let declared = properties
                    .get(member)
                    .or_else(|| additional.is_object().then_some(additional));
                // Below a field that preserves unknown fields only declared parts are pruned.
                if let Some(schema) = declared {
                    let embedded = schema["x-kubernetes-embedded-resource"] == true;
                    walk(schema, child, embedded, &place.member(member), unknown);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                if let Some(schema) = schema.get("items") {
                    let embedded = schema["x-kubernetes-embedded-resource"] == true;
                    walk(schema, item, embedded, &place.index(index), unknown);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
