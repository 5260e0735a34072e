//! Paths to fields, sets of them, and their `FieldsV1` form.

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// One step of a path. Keys and values are kept as canonical JSON text, which makes them comparable.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// A member of an object: `f:name`.
    Field(String),
    /// An item of an associative list by its key fields: `k:{"name":"a"}`.
    Key(String),
    /// An item of a set by its value: `v:"a"`.
    Value(String),
}

impl Element {
    fn encoded(&self) -> String {
        match self {
            Self::Field(name) => format!("f:{name}"),
            Self::Key(key) => format!("k:{key}"),
            Self::Value(value) => format!("v:{value}"),
        }
    }

    fn decode(text: &str) -> Option<Self> {
        let canonical = |json: &str| serde_json::from_str::<Value>(json).ok().map(|value| value.to_string());
        match text.split_once(':')? {
            ("f", name) => Some(Self::Field(name.to_owned())),
            ("k", key) => canonical(key).map(Self::Key),
            ("v", value) => canonical(value).map(Self::Value),
            _ => None,
        }
    }
}

/// A path from the root of an object.
pub(super) type Path = Vec<Element>;
/// A set of owned fields.
pub(super) type FieldSet = BTreeSet<Path>;

/// The path as conflict messages show it, e.g. `.spec.containers[name="a"].image`.
pub(super) fn display(path: &[Element]) -> String {
    let mut text = String::new();
    for element in path {
        match element {
            Element::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Element::Value(value) => {
                text.push_str("[=");
                text.push_str(value);
                text.push(']');
            }
            Element::Key(key) => {
                let key: Map<String, Value> = serde_json::from_str(key).unwrap_or_default();
                let parts: Vec<String> = key.iter().map(|(name, value)| format!("{name}={value}")).collect();
                text.push('[');
                text.push_str(&parts.join(","));
                text.push(']');
            }
        }
    }
    text
}

/// `FieldsV1` of a set: nested objects; `.` marks a path that has longer ones below it.
pub(super) fn encode(set: &FieldSet) -> Value {
    let mut root = json!({});
    for path in set {
        let mut node = &mut root;
        for element in path {
            node = &mut node[element.encoded()];
            if !node.is_object() {
                *node = json!({});
            }
        }
        node["."] = json!({});
    }
    strip_lone_dots(&mut root);
    root
}

fn strip_lone_dots(node: &mut Value) {
    let Some(map) = node.as_object_mut() else { return };
    if map.len() == 1 && map.contains_key(".") {
        map.clear();
    }
    for (key, child) in map.iter_mut() {
        if key != "." {
            strip_lone_dots(child);
        }
    }
}

/// The set that `FieldsV1` describes; members that are not understood are left out.
pub(super) fn decode(fields: &Value) -> FieldSet {
    let mut set = FieldSet::new();
    decode_into(fields, &mut Vec::new(), &mut set);
    set
}

fn decode_into(node: &Value, path: &mut Path, set: &mut FieldSet) {
    let Some(map) = node.as_object() else { return };
    if !path.is_empty() && (map.is_empty() || map.contains_key(".")) {
        set.insert(path.clone());
    }
    for (key, child) in map {
        if let Some(element) = Element::decode(key) {
            path.push(element);
            decode_into(child, path, set);
            path.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_v1_is_read_and_written_as_clients_know_it() {
        let fields = json!({
            "f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}}}, "f:list": {"v:\"y\"": {}}},
        });
        let set = decode(&fields);
        assert_eq!(set.len(), 5);
        assert_eq!(encode(&set), fields);
        assert!(
            set.iter()
                .any(|path| display(path) == ".spec.containers[name=\"x\"].image")
        );
    }
}
