//! Defaults of built-in kinds, as a table: controllers compare what they want with what is stored, so that both must have them.
//!
//! They follow `pkg/apis/*/v1/defaults.go` of Kubernetes 1.33. Defaults that depend on more than a sibling are in the modules of
//! their kinds.

mod rows;

use super::default_to;
use rows::{NEW_STATUS, ROWS, When};
use serde_json::Value;

/// Fills in the defaults of the table for a kind, or for a part that several kinds hold (`PodSpec`, `Container`, `Probe`).
pub(super) fn fill(kind: &str, object: &mut Value) {
    for (_, path, member, default, when) in ROWS.iter().filter(|(of, ..)| *of == kind) {
        for_each(object, path, &mut |holder| {
            let sibling = |name: &str| holder.get(name).filter(|value| !value.is_null());
            let applies = match when {
                When::Always => true,
                When::Is(name, text) => sibling(name).is_some_and(|value| value == text),
                When::Has(name) => sibling(name).is_some(),
            };
            if applies {
                default_to(holder, member, json(default));
            }
        });
    }
}

/// Gives a new object the status of its kind.
pub(super) fn begin(kind: &str, object: &mut Value) {
    if let Some((_, status)) = NEW_STATUS.iter().find(|(of, _)| *of == kind) {
        object["status"] = json(status);
    }
}

/// The tables hold valid JSON, as a test proves.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Calls `see` with every object that a path leads to.
pub(super) fn for_each(value: &mut Value, path: &str, see: &mut impl FnMut(&mut Value)) {
    if path.is_empty() {
        if value.is_object() {
            see(value);
        }
        return;
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    match step.strip_suffix("[]") {
        None => {
            if let Some(child) = value.get_mut(step) {
                for_each(child, rest, see);
            }
        }
        Some(list) => {
            let items = value.get_mut(list).and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| for_each(item, rest, see));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Kind, Message, message};

    #[test]
    fn the_tables_hold_json() {
        let defaults = ROWS.iter().map(|row| row.3);
        for text in defaults.chain(NEW_STATUS.iter().map(|(_, text)| *text)) {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    /// The type of the object that a path leads to from a kind.
    fn at(kind: &str, path: &str) -> Option<&'static Message> {
        let packages = [
            "core",
            "apps",
            "batch",
            "networking",
            "storage",
            "rbac",
            "scheduling",
            "discovery",
        ];
        let root = packages
            .iter()
            .find_map(|package| message(&format!("{package}.v1.{kind}")));
        let root = root.or_else(|| message(&format!("autoscaling.v2.{kind}")));
        path.split('.')
            .filter(|step| !step.is_empty())
            .fold(root, |holder, step| {
                match holder?.member(step.trim_end_matches("[]"))?.kind {
                    Kind::Message(name) => message(name),
                    _ => None,
                }
            })
    }

    #[test]
    fn every_default_is_of_a_field_that_exists() {
        for (kind, path, member, ..) in ROWS {
            let field = at(kind, path).and_then(|holder| holder.member(member));
            // Templates of claims say what kind they are, which the types of kinds leave to the root.
            let type_meta = matches!(*member, "apiVersion" | "kind") && path.ends_with("[]");
            assert!(field.is_some() || type_meta, "{kind} {path} {member}");
        }
    }
}
