//! What a change of an object changed, compared with what a watch reported of it before.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Most lines that are shown of one change.
const LINES: usize = 12;
/// Most letters that are shown of one value.
const LETTERS: usize = 140;

/// One field that became another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Changed {
    /// Where, as people write it: `status.phase`, `status.conditions[Ready]`.
    pub(super) path: String,
    /// What it was; nothing when it was not there.
    pub(super) from: Option<String>,
    /// What it is; nothing when it is gone.
    pub(super) to: Option<String>,
}

/// What changed, and how much more there is than is shown.
pub(super) fn between(before: &Value, after: &Value) -> (Vec<Changed>, usize) {
    let (old, new) = (leaves(before), leaves(after));
    let mut changes = Vec::new();
    for (path, value) in &new {
        if old.get(path) != Some(value) {
            changes.push(Changed {
                path: path.clone(),
                from: old.get(path).cloned(),
                to: Some(value.clone()),
            });
        }
    }
    let gone = old.iter().filter(|(path, _)| !new.contains_key(*path));
    changes.extend(gone.map(|(path, value)| Changed {
        path: path.clone(),
        from: Some(value.clone()),
        to: None,
    }));
    // What people look for first.
    changes.sort_by_key(|change| !change.path.starts_with("status"));
    let more = changes.len().saturating_sub(LINES);
    changes.truncate(LINES);
    (changes, more)
}

/// The managers whose entry is not what it was: whoever wrote this change, where that shows.
pub(super) fn writers(before: &Value, after: &Value) -> Vec<String> {
    let entries = |object: &Value| {
        object
            .pointer("/metadata/managedFields")
            .and_then(Value::as_array)
            .cloned()
    };
    let old = entries(before).unwrap_or_default();
    let mut names: Vec<String> = entries(after)
        .unwrap_or_default()
        .iter()
        .filter(|entry| !old.contains(entry))
        .filter_map(|entry| entry["manager"].as_str().map(str::to_owned))
        .collect();
    names.dedup();
    names
}

/// Every value of an object by its path, without the bookkeeping of the API server.
fn leaves(object: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(object, String::new(), &mut found);
    found
}

fn collect(value: &Value, path: String, found: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            if let Some(said) = condition(value) {
                found.insert(path, said);
                return;
            }
            for (key, inner) in fields {
                let inner_path = if path.is_empty() {
                    key.clone()
                } else {
                    format!("{path}.{key}")
                };
                let bookkeeping = matches!(
                    inner_path.as_str(),
                    "metadata.managedFields" | "metadata.resourceVersion" | "metadata.uid"
                );
                if !bookkeeping {
                    collect(inner, inner_path, found);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, format!("{path}[{}]", name_of(item, index)), found);
            }
        }
        Value::Null => {}
        Value::String(text) => {
            found.insert(path, shortened(text));
        }
        Value::Bool(_) | Value::Number(_) => {
            found.insert(path, value.to_string());
        }
    }
}

/// A condition in one line: it is one thing to people.
fn condition(value: &Value) -> Option<String> {
    let text = |field: &str| value.get(field).and_then(Value::as_str);
    let (_, status) = (text("type")?, text("status")?);
    let mut said = status.to_owned();
    if let Some(reason) = text("reason") {
        let _ = write!(said, " {reason}");
    }
    if let Some(message) = text("message") {
        let _ = write!(said, ": {}", shortened(message));
    }
    if let Some(generation) = value.get("observedGeneration") {
        let _ = write!(said, " (generation {generation})");
    }
    if let Some(since) = text("lastTransitionTime") {
        let _ = write!(said, " since {since}");
    }
    Some(said)
}

/// Items of lists have names, mostly; otherwise a place.
fn name_of(item: &Value, index: usize) -> String {
    let named = ["type", "name", "key"]
        .iter()
        .find_map(|field| item.get(field)?.as_str());
    named.map_or_else(|| index.to_string(), str::to_owned)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_that_differ_are_named_as_people_write_them_and_the_status_comes_first() {
        let before = json!({
            "metadata": {"resourceVersion": "1", "finalizers": ["keep"]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        });
        let after = json!({
            "metadata": {"resourceVersion": "2", "labels": {"a": "b"}},
            "status": {"phase": "Paused", "conditions": [{"type": "Ready", "status": "False", "reason": "Gone"}]},
        });
        let (changes, more) = between(&before, &after);
        let shown: Vec<_> = changes
            .iter()
            .map(|change| (change.path.as_str(), change.from.as_deref(), change.to.as_deref()))
            .collect();
        let expected = [
            ("status.conditions[Ready]", Some("True"), Some("False Gone")),
            ("status.phase", Some("Running"), Some("Paused")),
            ("metadata.labels.a", None, Some("b")),
            ("metadata.finalizers[0]", Some("keep"), None),
        ];
        assert_eq!((shown.as_slice(), more), (expected.as_slice(), 0));
    }

    #[test]
    fn long_changes_are_cut_and_say_how_much_is_left() {
        let many: serde_json::Map<_, _> = (0..20)
            .map(|number| (number.to_string(), json!("ä".repeat(500))))
            .collect();
        let (changes, more) = between(&json!({}), &Value::Object(many));
        assert_eq!((changes.len(), more), (12, 8));
        assert_eq!(changes[0].to.as_ref().unwrap().chars().count(), LETTERS + 1);
    }

    #[test]
    fn who_wrote_is_whose_entry_is_new_or_another() {
        let state = |time: &str| json!({"metadata": {"managedFields": [{"manager": "me", "time": time}, {"manager": "other"}]}});
        assert_eq!(writers(&state("1"), &state("2")), ["me"]);
        assert!(writers(&state("1"), &state("1")).is_empty());
    }
}
