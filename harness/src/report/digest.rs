//! Digests over data, whatever the file looks like that holds it.
//!
//! A digest is taken over canonical JSON: keys sorted, no space, one line. `report.json` and
//! `report.yaml` of a run so have the same one, and `jq -cS` makes the same text.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// `sha256:` and 64 hexadecimal digits.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut text = String::from("sha256:");
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The digest of data. What cannot be written as JSON has that of `null`; no type of this crate is such.
pub(super) fn digest_of(data: &impl Serialize) -> String {
    digest_of_value(&serde_json::to_value(data).unwrap_or_default())
}

/// The digest of a report without its own field for it.
pub(super) fn integrity(report: &Value) -> String {
    let mut rest = report.clone();
    if let Some(fields) = rest.as_object_mut() {
        fields.remove("integrity");
    }
    digest_of_value(&rest)
}

fn digest_of_value(value: &Value) -> String {
    let mut text = String::new();
    canonical(value, &mut text);
    digest(text.as_bytes())
}

/// Whether the keys of `Value` keep an order of their own depends on a feature that any crate
/// of a build may switch on, so they are sorted here.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut keys: Vec<&String> = fields.keys().collect();
            keys.sort_unstable();
            text.push('{');
            for (index, key) in keys.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                let _ = write!(text, "{}:", Value::String(key.clone()));
                canonical(&fields[key], text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                canonical(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = write!(text, "{value}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_what_is_said_and_not_on_how_it_is_written() {
        let one: Value = serde_json::from_str(r#"{"b": [1, {"y": "ä\n", "x": null}], "a": 1.5}"#).unwrap();
        let other: Value = serde_json::from_str(r#"{"a":1.5,"b":[1,{"x":null,"y":"ä\n"}]}"#).unwrap();
        let mut text = String::new();
        canonical(&one, &mut text);
        assert_eq!(text, r#"{"a":1.5,"b":[1,{"x":null,"y":"ä\n"}]}"#);
        assert_eq!(digest_of_value(&one), digest_of_value(&other));
        let edited: Value = serde_json::from_str(r#"{"a":1.5,"b":[1,{"x":null,"y":"ä"}]}"#).unwrap();
        assert_ne!(digest_of_value(&one), digest_of_value(&edited));
    }

    #[test]
    fn the_digest_of_nothing_is_that_of_the_standard() {
        let known = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest(b""), known);
    }
}
