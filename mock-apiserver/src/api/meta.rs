//! Reading and writing `metadata` of an object held as JSON.

use serde_json::{Map, Value};

/// A string member of `metadata`; empty if absent.
pub(crate) fn text<'a>(object: &'a Value, member: &str) -> &'a str {
    object["metadata"][member].as_str().unwrap_or_default()
}

pub(crate) fn name(object: &Value) -> &str {
    text(object, "name")
}

pub(crate) fn namespace(object: &Value) -> &str {
    text(object, "namespace")
}

pub(crate) fn uid(object: &Value) -> &str {
    text(object, "uid")
}

pub(crate) fn resource_version(object: &Value) -> &str {
    text(object, "resourceVersion")
}

/// Whether the object is on its way out.
pub(crate) fn is_deleting(object: &Value) -> bool {
    object["metadata"]
        .get("deletionTimestamp")
        .is_some_and(|at| !at.is_null())
}

/// `metadata.deletionGracePeriodSeconds`, in seconds.
pub(crate) fn grace(object: &Value) -> Option<i64> {
    object["metadata"]["deletionGracePeriodSeconds"].as_i64()
}

pub(crate) fn generation(object: &Value) -> i64 {
    object["metadata"]["generation"].as_i64().unwrap_or(0)
}

/// `metadata.finalizers`.
pub(crate) fn finalizers(object: &Value) -> Vec<&str> {
    strings(&object["metadata"]["finalizers"])
}

/// The strings of an array; empty if it is none.
pub(crate) fn strings(value: &Value) -> Vec<&str> {
    value
        .as_array()
        .map(|items| items.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default()
}

/// `metadata` as a map, made if absent.
pub(crate) fn metadata_mut(object: &mut Value) -> &mut Map<String, Value> {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(Map::new());
    }
    match &mut object["metadata"] {
        Value::Object(map) => map,
        _ => unreachable!("metadata was made an object above"),
    }
}

/// Sets or removes a member of `metadata`.
pub(crate) fn set(object: &mut Value, member: &str, value: Option<Value>) {
    let metadata = metadata_mut(object);
    match value {
        Some(value) => metadata.insert(member.to_owned(), value),
        None => metadata.remove(member),
    };
}

/// Sets `metadata.finalizers`, leaving it out when empty.
pub(crate) fn set_finalizers(object: &mut Value, finalizers: &[String]) {
    let value = (!finalizers.is_empty()).then(|| finalizers.iter().cloned().map(Value::String).collect());
    set(object, "finalizers", value);
}

/// The owner references as `(uid, blockOwnerDeletion)`.
pub(crate) fn owners(object: &Value) -> Vec<(&str, bool)> {
    let references = object["metadata"]["ownerReferences"].as_array();
    references
        .into_iter()
        .flatten()
        .filter_map(|owner| {
            Some((
                owner["uid"].as_str()?,
                owner["blockOwnerDeletion"].as_bool().unwrap_or(false),
            ))
        })
        .collect()
}
