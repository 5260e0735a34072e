//! Whether an applied configuration is one of its type: values of the declared kinds, list items that can be told apart.
//! In the words of structured-merge-diff.

use super::shape::{ListKind, Shape};
use crate::api::field::go_type;
use crate::api::place::Place;
use serde_json::Value;

/// The first thing that keeps a configuration from being typed, with its path.
pub(crate) fn problem(shape: Shape<'_>, value: &Value) -> Option<String> {
    walk(shape, value, &Place::ROOT, true)
}

/// The path of a place: other than elsewhere, it begins with a dot.
fn dotted(place: &Place<'_>) -> String {
    if place.is_root() {
        String::new()
    } else {
        format!(".{place}")
    }
}

fn walk(shape: Shape<'_>, value: &Value, place: &Place<'_>, at_root: bool) -> Option<String> {
    if let Some(expected) = shape.mismatch(value) {
        let got = match (expected, value) {
            ("numeric (int or float)" | "map" | "list", Value::String(_)) => "string".to_owned(),
            ("numeric (int or float)", other) => go_type(other).to_owned(),
            (_, Value::Array(_) | Value::Object(_)) => format!("&{{{}}}", go_value(value)),
            (_, other) => format!("&value.valueUnstructured{{Value:{}}}", go_value(other)),
        };
        return Some(format!("{}: expected {expected}, got {got}", dotted(place)));
    }
    match value {
        Value::Object(map) => map
            .iter()
            .find_map(|(name, child)| walk(shape.member(name, at_root), child, &place.member(name), false)),
        Value::Array(items) => items_problem(shape, items, place),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

fn items_problem(shape: Shape<'_>, items: &[Value], place: &Place<'_>) -> Option<String> {
    let kind = shape.list_kind();
    let mut seen: Vec<String> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let shown = match &kind {
            ListKind::Atomic => continue,
            ListKind::Set => format!("[={}]", go_key(item)),
            ListKind::Map(keys) => {
                let found = keys.iter().filter_map(|key| Some((key, shape.item_key(item, key)?)));
                let found: Vec<String> = found.map(|(key, value)| format!("{key}={}", go_key(&value))).collect();
                if found.is_empty() {
                    let keys: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                    return Some(format!(
                        "{}: element {index}: associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
                        dotted(place),
                        keys.join(" ")
                    ));
                }
                format!("[{}]", found.join(","))
            }
        };
        if seen.contains(&shown) {
            return Some(format!("{}: duplicate entries for key {shown}", dotted(place)));
        }
        seen.push(shown);
    }
    let each = items.iter().enumerate();
    each.into_iter()
        .find_map(|(index, item)| walk(shape.item(), item, &place.index(index), false))
}

fn go_key(value: &Value) -> String {
    value.to_string()
}

/// A value as Go prints it.
fn go_value(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(go_value).collect::<Vec<_>>().join(" ")),
        Value::Object(map) => {
            let members = map.iter().map(|(name, value)| format!("{name}:{}", go_value(value)));
            format!("map[{}]", members.collect::<Vec<_>>().join(" "))
        }
    }
}
