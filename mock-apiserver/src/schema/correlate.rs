//! Which part of the old object a part of the new one replaces, and whether the two are the same.
//!
//! Problems of parts that an update leaves as they were do not count against it (KEP-4008). Parts are matched through members
//! and through the keys of map lists; the items of other lists have no counterpart, so such a list is the same as a whole or
//! not at all.

use crate::fields::{ListKind, Shape};
use serde_json::{Map, Value};

/// The old counterpart of a member.
pub(super) fn member<'a>(old: Option<&'a Value>, member: &str) -> Option<&'a Value> {
    old?.get(member)
}

/// The old counterpart of a list item.
pub(super) fn item<'a>(schema: &Value, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
    item_of(&Shape::Schema(schema).list_kind(), old, item)
}

/// The same in a list whose kind is known.
pub(super) fn item_of<'a>(kind: &ListKind, old: Option<&'a Value>, item: &Value) -> Option<&'a Value> {
    let ListKind::Map(keys) = kind else { return None };
    let same = |other: &&Value| keys.iter().all(|key| other.get(key) == item.get(key));
    old?.as_array()?.iter().find(same)
}

/// The declared schema of a member.
pub(super) fn declared<'a>(schema: &'a Value, member: &str) -> Option<&'a Value> {
    let found = schema["properties"]
        .get(member)
        .or_else(|| schema.get("additionalProperties"));
    found.filter(|schema| schema.is_object())
}

/// Whether a value is what it was, the order of map lists aside.
pub(super) fn unchanged(schema: &Value, old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Object(before), Value::Object(after)) => {
            before.len() == after.len()
                && after
                    .iter()
                    .all(|(name, value)| same_member(schema, before, name, value))
        }
        (Value::Array(before), Value::Array(after)) => {
            let same_item = |value: &Value| {
                item(schema, Some(old), value).is_some_and(|before| unchanged(&schema["items"], before, value))
            };
            before == after || (before.len() == after.len() && after.iter().all(same_item))
        }
        _ => old == new,
    }
}

fn same_member(schema: &Value, before: &Map<String, Value>, name: &str, value: &Value) -> bool {
    let schema = declared(schema, name).unwrap_or(&Value::Null);
    before.get(name).is_some_and(|before| unchanged(schema, before, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_map_lists_match_their_items() {
        let list = |kind: &str| {
            json!({
                "x-kubernetes-list-type": kind, "x-kubernetes-list-map-keys": ["name"],
                "items": {"properties": {"name": {}, "v": {}}},
            })
        };
        let old = json!([{"name": "a", "v": 1}, {"name": "b", "v": 2}]);
        let turned = json!([{"name": "b", "v": 2}, {"name": "a", "v": 1}]);
        assert_eq!(item(&list("map"), Some(&old), &turned[0]), Some(&old[1]));
        assert_eq!(item(&list("atomic"), Some(&old), &old[0]), None);
        assert!(unchanged(&list("map"), &old, &turned));
        assert!(!unchanged(&list("atomic"), &old, &turned));
        assert!(unchanged(&list("atomic"), &old, &old));
        let other = json!([{"name": "b", "v": 2}, {"name": "a", "v": 3}]);
        assert!(!unchanged(&list("map"), &old, &other));
    }
}
