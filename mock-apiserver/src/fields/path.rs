//! Paths to fields, and their elements as `FieldsV1` writes them.

use serde_json::{Map, Value};

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
    pub(super) fn encoded(&self) -> String {
        let (mark, text) = match self {
            Self::Field(name) => ("f:", name),
            Self::Key(key) => ("k:", key),
            Self::Value(value) => ("v:", value),
        };
        [mark, text].concat()
    }

    pub(super) fn decode(text: &str) -> Option<Self> {
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
