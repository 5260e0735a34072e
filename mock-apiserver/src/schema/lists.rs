//! Lists that are sets or maps must not repeat an item.

use crate::api::field::FieldError;
use crate::api::place::Place;
use crate::fields::{ListKind, Shape};
use serde_json::{Map, Value};

/// The repeated items of an object's lists.
pub(super) fn duplicates(schema: &Value, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, object, &Place::ROOT, &mut errors);
    errors
}

fn walk(schema: &Value, value: &Value, place: &Place<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            for (member, child) in map {
                let declared = schema["properties"]
                    .get(member)
                    .or_else(|| schema.get("additionalProperties"));
                if let Some(schema) = declared.filter(|schema| schema.is_object()) {
                    walk(schema, child, &place.member(member), errors);
                }
            }
        }
        Value::Array(items) => {
            let kind = Shape::Schema(schema).list_kind();
            let mut seen: Vec<Value> = Vec::new();
            for (index, item) in items.iter().enumerate() {
                let place = place.index(index);
                if let Some(identity) = identity(&kind, &schema["items"], item) {
                    // What stands there more than twice is told once.
                    if seen.iter().filter(|other| **other == identity).count() == 1 {
                        errors.push(FieldError::duplicate(place.to_string(), &identity));
                    }
                    seen.push(identity);
                }
                walk(&schema["items"], item, &place, errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn identity(kind: &ListKind, schema: &Value, item: &Value) -> Option<Value> {
    match kind {
        ListKind::Atomic => None,
        ListKind::Set => Some(item.clone()),
        ListKind::Map(keys) => {
            let value = |key: &String| item.get(key).or_else(|| schema["properties"][key].get("default"));
            let members = keys.iter().filter_map(|key| Some((key.clone(), value(key)?.clone())));
            Some(Value::Object(members.collect::<Map<_, _>>()))
        }
    }
}
