//! A step in one line, as reports show it.

use serde_json::{Map, Value};

use crate::scenario::{DEFAULT_SANDBOX, Step};

/// The step with what was said of it, and no more.
pub(super) fn described(step: &Step) -> String {
    let mut value = serde_json::to_value(step).unwrap_or_default();
    let body = value.get_mut(step.key()).map(Value::take).unwrap_or_default();
    let shown = match body {
        Value::Object(mut fields) => {
            leave_out_what_was_not_said(&mut fields);
            fields.iter_mut().for_each(|(name, field)| as_it_was_said(name, field));
            Value::Object(fields)
        }
        mut conditions @ Value::Array(_) => {
            only_what_was_said_of_each(&mut conditions);
            conditions
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    };
    format!("{} {shown}", step.key())
}

/// Conditions and values to keep have fields of their own; all else is shown as it is: it is sent, or looked for.
fn as_it_was_said(name: &str, field: &mut Value) {
    match name {
        "until" | "holds" => only_what_was_said_of_each(field),
        "value" => only_what_was_said(field),
        _ => {}
    }
}

fn only_what_was_said_of_each(conditions: &mut Value) {
    conditions
        .as_array_mut()
        .into_iter()
        .flatten()
        .for_each(only_what_was_said);
}

/// Of `{key: {fields}}`; the key stays, also where nothing was said of it.
fn only_what_was_said(keyed: &mut Value) {
    let bodies = keyed.as_object_mut().into_iter().flat_map(Map::values_mut);
    bodies
        .filter_map(Value::as_object_mut)
        .for_each(leave_out_what_was_not_said);
}

/// What is sent as it is, whatever it is: nothing in it stands for nothing.
const SENT: [&str; 5] = ["merge", "manifest", "body", "spec", "pod"];

/// Drops fields that stand for nothing: null, empty, and the sandbox that every step means.
fn leave_out_what_was_not_said(fields: &mut Map<String, Value>) {
    fields.retain(|name, field| match field {
        Value::Null => false,
        Value::Array(items) => !items.is_empty(),
        Value::Object(inner) => !inner.is_empty() || SENT.contains(&name.as_str()),
        Value::String(text) => name != "sandbox" || text != DEFAULT_SANDBOX,
        Value::Bool(_) | Value::Number(_) => true,
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(yaml: &str) -> String {
        let step: Step = crate::error::from_yaml("a.yaml", yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
        described(&step)
    }

    #[test]
    fn a_described_step_shows_what_was_said_and_no_more() {
        let table = [
            ("pause: {}", r#"pause {"status":[204],"wait":true}"#),
            (
                "pause: {sandbox: other, wait: false}",
                r#"pause {"sandbox":"other","status":[204],"wait":false}"#,
            ),
            ("delete-pod: {}", "delete-pod {}"),
        ];
        for (step, expected) in table {
            assert_eq!(shown(step), expected);
        }
    }

    #[test]
    fn a_condition_that_asks_for_nothing_more_is_still_named() {
        assert_eq!(
            shown("wait: {until: [explained: {}, gone: {sandbox: b}, nothing-left: {}]}"),
            r#"wait {"until":[{"explained":{}},{"gone":{"sandbox":"b"}},{"nothing-left":{}}]}"#
        );
        assert_eq!(shown("expect: [gone: {}]"), r#"expect [{"gone":{}}]"#);
        assert_eq!(
            shown("observe: {during: 1s, holds: [nothing-left: {}]}"),
            r#"observe {"during":"1s","holds":[{"nothing-left":{}}]}"#
        );
    }

    #[test]
    fn nulls_and_empty_objects_that_are_sent_or_looked_for_are_shown() {
        assert_eq!(
            shown("patch: {merge: {metadata: {finalizers: null, labels: {}}}}"),
            r#"patch {"merge":{"metadata":{"finalizers":null,"labels":{}}},"status":[200]}"#
        );
        let create = shown("create: {spec: {template: null, sandbox: sandbox}}");
        assert!(
            create.contains(r#""spec":{"sandbox":"sandbox","template":null}"#),
            "{create}"
        );
        let http = shown("http: {method: POST, path: /x, body: {}, status: [200], json: {/a: null}}");
        assert!(
            http.contains(r#""body":{}"#) && http.contains(r#""json":{"/a":null}"#),
            "{http}"
        );
        let object = shown("create-object: {manifest: {kind: A, data: null}}");
        assert_eq!(object, r#"create-object {"manifest":{"data":null,"kind":"A"}}"#);
    }
}
