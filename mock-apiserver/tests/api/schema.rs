//! Structural schemas of custom resources.

use crate::support::*;
use kube::Client;
use serde_json::{Value, json};

/// A server with the widget CRD whose spec has this schema.
async fn with_spec(spec: &Value) -> Client {
    let client = server().client();
    let mut crd = widget_crd();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"] = spec.clone();
    let (code, body) = post(&client, CRDS, &crd).await;
    assert_eq!(code, 201, "{body}");
    client
}

fn widget_with(spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": spec})
}

/// The message that refuses such a spec.
async fn refusal(schema: &Value, spec: Value) -> String {
    let client = with_spec(schema).await;
    let (code, body) = post(&client, WIDGETS, &widget_with(&spec)).await;
    assert_eq!((code, &body["reason"]), (422, &json!("Invalid")), "{body}");
    body["message"]
        .as_str()
        .unwrap()
        .strip_prefix("Widget.example.com \"w\" is invalid: ")
        .unwrap()
        .to_owned()
}

/// A schema with one field for each rule.
fn every_rule() -> Value {
    json!({
        "type": "object", "required": ["must"],
        "properties": {
            "must": {"type": "string"},
            "size": {"type": "integer", "minimum": 1, "maximum": 9},
            "color": {"type": "string", "enum": ["red", "blue"]},
            "name": {"type": "string", "pattern": "^[a-z]+$", "minLength": 2, "maxLength": 4},
            "when": {"type": "string", "format": "date-time"},
            "port": {"x-kubernetes-int-or-string": true},
            "items": {"type": "array", "items": {"type": "string"}, "maxItems": 1, "x-kubernetes-list-type": "atomic"},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "named": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "integer"}}},
            },
        },
    })
}

/// Specs that break one rule each, and the message for it.
#[expect(clippy::too_many_lines, reason = "a table, one row for each message")]
fn refused_specs() -> Vec<(Value, &'static str)> {
    vec![
        (json!({}), "spec.must: Required value"),
        (
            json!({"must": 1}),
            "spec.must: Invalid value: \"integer\": spec.must in body must be of type string: \"integer\"",
        ),
        (
            json!({"must": "a", "size": 0}),
            "spec.size: Invalid value: 0: spec.size in body should be greater than or equal to 1",
        ),
        (
            json!({"must": "a", "size": 10}),
            "spec.size: Invalid value: 10: spec.size in body should be less than or equal to 9",
        ),
        (
            json!({"must": "a", "color": "green"}),
            "spec.color: Unsupported value: \"green\": supported values: \"red\", \"blue\"",
        ),
        (
            json!({"must": "a", "name": "AB"}),
            "spec.name: Invalid value: \"AB\": spec.name in body should match '^[a-z]+$'",
        ),
        (
            json!({"must": "a", "name": "a"}),
            "spec.name: Invalid value: \"a\": spec.name in body should be at least 2 chars long",
        ),
        (
            json!({"must": "a", "name": "abcde"}),
            "spec.name: Too long: may not be more than 4 bytes",
        ),
        (
            json!({"must": "a", "when": "x"}),
            "spec.when: Invalid value: \"x\": spec.when in body must be of type date-time: \"x\"",
        ),
        (
            json!({"must": "a", "port": true}),
            "spec.port: Invalid value: \"boolean\": spec.port in body must be of type integer,string: \"boolean\"",
        ),
        (
            json!({"must": "a", "items": ["x", "y"]}),
            "spec.items: Too many: 2: must have at most 1 item",
        ),
        (
            json!({"must": "a", "tags": ["x", "x"]}),
            "spec.tags[1]: Duplicate value: \"x\"",
        ),
        (
            json!({"must": "a", "named": [{"name": "n", "v": 1}, {"name": "n"}]}),
            "spec.named[1]: Duplicate value: {\"name\":\"n\"}",
        ),
        (json!({"must": null}), "spec.must: Required value"),
    ]
}

#[tokio::test]
async fn values_outside_the_schema_are_refused_in_the_words_of_the_api_server() {
    let schema = every_rule();
    for (spec, message) in refused_specs() {
        assert_eq!(refusal(&schema, spec).await, message);
    }
}

#[tokio::test]
async fn unknown_fields_are_pruned_with_a_warning_or_refused() {
    let client = with_spec(&json!({
        "type": "object",
        "properties": {
            "known": {"type": "string"},
            "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
            "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
    }))
    .await;
    let spec = json!({"known": "k", "unknown": 1, "free": {"x": {"y": 1}}, "map": {"m": {"a": "1", "b": "2"}}});
    let (code, made) = post(&client, WIDGETS, &widget_with(&spec)).await;
    assert_eq!(code, 201);
    assert_eq!(
        made["spec"],
        json!({"known": "k", "free": {"x": {"y": 1}}, "map": {"m": {"a": "1"}}})
    );
    let (code, refused) = post(
        &client,
        &format!("{WIDGETS}?fieldValidation=Strict"),
        &widget_with(&spec),
    )
    .await;
    assert_eq!(code, 400);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("strict decoding error: unknown field \"spec.map.m.b\", unknown field \"spec.unknown\""),
        "{message}"
    );
}

#[tokio::test]
async fn defaults_fill_what_is_absent_or_a_null_that_is_not_allowed() {
    let client = with_spec(&json!({
        "type": "object", "default": {},
        "properties": {
            "a": {"type": "integer", "default": 1},
            "b": {"type": "integer", "default": 2, "nullable": true},
            "list": {"type": "array", "items": {"type": "object", "properties": {"c": {"type": "string", "default": "x"}}}},
        },
    }))
    .await;
    let mut absent = widget_with(&json!({}));
    absent.as_object_mut().unwrap().remove("spec");
    let (_, made) = post(&client, &format!("{WIDGETS}?dryRun=All"), &absent).await;
    assert_eq!(made["spec"], json!({"a": 1, "b": 2}));
    let (_, made) = post(
        &client,
        WIDGETS,
        &widget_with(&json!({"a": null, "b": null, "list": [{}]})),
    )
    .await;
    assert_eq!(made["spec"], json!({"a": 1, "b": null, "list": [{"c": "x"}]}));
}

#[tokio::test]
async fn rules_refuse_objects_and_transitions() {
    let schema = json!({
        "type": "object",
        "properties": {"min": {"type": "integer"}, "max": {"type": "integer"}, "fixed": {
            "type": "string",
            "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed is immutable"}],
        }},
        "x-kubernetes-validations": [{"rule": "self.min <= self.max", "message": "min must not exceed max"}],
    });
    let message = refusal(&schema, json!({"min": 3, "max": 2})).await;
    assert_eq!(message, "spec: Invalid value: min must not exceed max");
    let client = with_spec(&schema).await;
    let spec = json!({"min": 1, "max": 2, "fixed": "a"});
    assert_eq!(post(&client, WIDGETS, &widget_with(&spec)).await.0, 201);
    let path = format!("{WIDGETS}/w");
    let (code, refused) = merge(&client, &path, &json!({"spec": {"fixed": "b"}})).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .ends_with("spec.fixed: Invalid value: \"b\": fixed is immutable")
    );
    assert_eq!(merge(&client, &path, &json!({"spec": {"max": 5}})).await.0, 200);
}

#[tokio::test]
async fn a_crd_must_be_named_after_its_plural_and_have_one_storage_version() {
    let client = server().client();
    let mut crd = widget_crd();
    crd["metadata"]["name"] = json!("other.example.com");
    let (code, refused) = post(&client, CRDS, &crd).await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("must be spec.names.plural+\".\"+spec.group")
    );
    let mut crd = widget_crd();
    crd["spec"]["versions"][0]["storage"] = json!(false);
    let (_, refused) = post(&client, CRDS, &crd).await;
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("must have exactly one version marked as storage version")
    );
}
