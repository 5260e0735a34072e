//! The internal form of a definition's `spec`: what all versions say alike stands once, beside them.

use serde_json::{Map, Value};

/// The member of a version, and that of the `spec` which takes its place.
const SHARED: [(&str, &str); 4] = [
    ("subresources", "subresources"),
    ("schema", "validation"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// A `spec` without repetitions.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) spec: Value,
}

impl Folded {
    pub(super) fn new(spec: &Value) -> Self {
        let mut spec = spec.clone();
        let mut moved = Map::new();
        if let Some(versions) = spec.get_mut("versions").and_then(Value::as_array_mut) {
            for (member, place) in SHARED {
                if let Some(value) = take_shared(versions, member) {
                    moved.insert(place.to_owned(), value);
                }
            }
        }
        if let Some(spec) = spec.as_object_mut() {
            spec.extend(moved);
        }
        Self { spec }
    }

    /// The versions as they are left.
    pub(super) fn versions(&self) -> &[Value] {
        self.spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default()
    }
}

/// Takes a member out of all versions if it is the same in all of them.
fn take_shared(versions: &mut [Value], member: &str) -> Option<Value> {
    let (first, rest) = versions.split_first()?;
    if rest.iter().any(|version| version[member] != first[member]) {
        return None;
    }
    let shared = versions
        .iter_mut()
        .filter_map(|version| version.as_object_mut()?.remove(member));
    shared.last().filter(|value| !value.is_null())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_what_all_versions_say_alike_is_moved() {
        let spec = json!({"versions": [
            {"name": "a", "schema": {"x": 1}, "subresources": {"status": {}}},
            {"name": "b", "schema": {"x": 2}, "subresources": {"status": {}}},
        ]});
        let folded = Folded::new(&spec);
        assert_eq!(folded.spec["subresources"], json!({"status": {}}));
        assert!(folded.spec.get("validation").is_none());
        assert_eq!(folded.versions()[1], json!({"name": "b", "schema": {"x": 2}}));
    }
}
