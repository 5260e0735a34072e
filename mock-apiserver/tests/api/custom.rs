//! Custom resources whose definition changes under them, and the fields that selectors may name.

use crate::support::*;
use kube::Client;
use serde_json::{Value, json};

/// A server with the widget CRD whose spec has this schema, and which field selectors may use these fields.
async fn with(spec: &Value, selectable: &Value) -> Client {
    let client = server().client();
    let (code, body) = post(&client, CRDS, &definition(spec, selectable)).await;
    assert_eq!(code, 201, "{body}");
    client
}

fn definition(spec: &Value, selectable: &Value) -> Value {
    let mut crd = widget_crd();
    let version = &mut crd["spec"]["versions"][0];
    version["schema"]["openAPIV3Schema"]["properties"]["spec"] = spec.clone();
    version["selectableFields"] = selectable.clone();
    crd
}

async fn redefine(client: &Client, spec: &Value) {
    let path = format!("{CRDS}/widgets.example.com");
    let change = json!([{
        "op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec", "value": spec,
    }])
    .to_string();
    let (code, body) = send(client, "PATCH", &path, "application/json-patch+json", change.as_bytes()).await;
    assert_eq!(code, 200, "{body}");
}

fn widget_with(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": spec})
}

/// A widget that the definition has come to refuse.
async fn invalid_widget() -> Client {
    let free = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let client = with(&free, &json!([])).await;
    let spec = json!({
        "size": 50, "note": "a", "tags": ["x", "x"],
        "parts": [{"name": "a", "count": 7}, {"name": "b", "count": 1}], "plain": [9, 1],
    });
    assert_eq!(post(&client, WIDGETS, &widget_with("w", &spec)).await.0, 201);
    let small = json!({"type": "integer", "maximum": 5});
    let strict = json!({
        "type": "object",
        "properties": {
            "size": {"type": "integer", "x-kubernetes-validations": [{"rule": "self < 10", "message": "too big"}]},
            "note": {"type": "string"}, "plain": {"type": "array", "items": small},
            "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
            "parts": {
                "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "count": small}},
            },
        },
    });
    redefine(&client, &strict).await;
    client
}

#[tokio::test]
async fn what_an_update_leaves_as_it_was_is_not_held_against_it() {
    let client = invalid_widget().await;
    let path = format!("{WIDGETS}/w");
    for spec in [
        json!({"note": "b"}),
        // Map lists are matched by their keys: another item may change, and the order too.
        json!({"parts": [{"name": "b", "count": 2}, {"name": "a", "count": 7}]}),
        // A list that repeated items may go on doing so.
        json!({"tags": ["x", "x", "y"]}),
    ] {
        let (code, body) = merge(&client, &path, &json!({ "spec": spec })).await;
        assert_eq!(code, 200, "{body}");
    }
}

#[tokio::test]
async fn what_an_update_changes_must_be_valid() {
    let client = invalid_widget().await;
    let path = format!("{WIDGETS}/w");
    for (spec, field) in [
        (json!({"size": 49}), "spec.size"),
        (json!({"parts": [{"name": "a", "count": 8}]}), "spec.parts[0].count"),
        (json!({"parts": [{"name": "c", "count": 7}]}), "spec.parts[0].count"),
        // The items of an atomic list have no counterparts.
        (json!({"plain": [9, 2]}), "spec.plain[0]"),
    ] {
        let (code, body) = merge(&client, &path, &json!({ "spec": spec })).await;
        assert_eq!(
            (code, &body["details"]["causes"][0]["field"]),
            (422, &json!(field)),
            "{body}"
        );
    }
}

#[tokio::test]
async fn rules_about_the_change_itself_are_asked_of_unchanged_values_too() {
    let loose = json!({"type": "object", "properties": {"size": {"type": "integer"}, "note": {"type": "string"}}});
    let client = with(&loose, &json!([])).await;
    post(&client, WIDGETS, &widget_with("w", &json!({"size": 1}))).await;
    let mut growing = loose;
    growing["properties"]["size"]["x-kubernetes-validations"] =
        json!([{"rule": "self > oldSelf", "message": "must grow"}]);
    redefine(&client, &growing).await;
    let (code, body) = merge(&client, &format!("{WIDGETS}/w"), &json!({"spec": {"note": "b"}})).await;
    assert_eq!(code, 422, "{body}");
}

#[tokio::test]
async fn objects_from_before_a_default_are_read_with_it() {
    let schema = json!({"type": "object", "properties": {"a": {"type": "string"}, "colour": {"type": "string"}}});
    let client = with(&schema, &json!([{"jsonPath": ".spec.colour"}])).await;
    let (_, old) = post(&client, WIDGETS, &widget_with("w", &json!({"a": "x"}))).await;
    let mut defaulted = schema;
    defaulted["properties"]["colour"]["default"] = json!("red");
    redefine(&client, &defaulted).await;

    let path = format!("{WIDGETS}/w");
    let (_, read) = get(&client, &path).await;
    assert_eq!(read["spec"], json!({"a": "x", "colour": "red"}));
    assert_eq!(read["metadata"], old["metadata"], "reading writes nothing");
    let (_, list) = get(&client, &format!("{WIDGETS}?fieldSelector=spec.colour%3Dred")).await;
    assert_eq!(list["items"][0]["spec"]["colour"], "red");
    let watch = format!("{WIDGETS}?watch=true&timeoutSeconds=-1&fieldSelector=spec.colour%3Dred");
    let (_, event) = get(&client, &watch).await;
    assert_eq!(event["object"]["spec"]["colour"], "red");

    let (_, touched) = merge(&client, &path, &json!({"metadata": {"labels": {"l": "1"}}})).await;
    assert_eq!(
        touched["metadata"]["generation"], 1,
        "a default is no change of the spec"
    );
    assert_eq!(touched["spec"]["colour"], "red");
}

#[tokio::test]
async fn lists_watches_and_deletions_choose_by_selectable_fields() {
    let schema = json!({"type": "object", "properties": {
        "colour": {"type": "string"}, "size": {"type": "integer"}, "other": {"type": "string"},
    }});
    let fields = json!([{"jsonPath": ".spec.colour"}, {"jsonPath": ".spec.size"}]);
    let client = with(&schema, &fields).await;
    for (name, colour, size) in [("a", "red", 1), ("b", "blue", 1), ("c", "red", 2)] {
        post(
            &client,
            WIDGETS,
            &widget_with(name, &json!({"colour": colour, "size": size})),
        )
        .await;
    }
    let chosen = format!("{WIDGETS}?fieldSelector=spec.colour%3Dred,spec.size%3D1");
    let (_, list) = get(&client, &chosen).await;
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    let (_, event) = get(&client, &format!("{chosen}&watch=true&timeoutSeconds=-1")).await;
    assert_eq!(
        (&event["type"], &event["object"]["metadata"]["name"]),
        (&json!("ADDED"), &json!("a"))
    );
    delete(&client, &chosen, &json!({})).await;
    let (_, left) = get(&client, WIDGETS).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 2);
    let (code, refused) = get(&client, &format!("{WIDGETS}?fieldSelector=spec.other%3Dx")).await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("field label not supported: spec.other"))
    );
    let (_, document) = get(&client, "/openapi/v3/apis/example.com/v1").await;
    assert_eq!(
        document["components"]["schemas"]["com.example.v1.Widget"]["x-kubernetes-selectable-fields"],
        json!([{"fieldPath": "spec.colour"}, {"fieldPath": "spec.size"}])
    );
}

#[tokio::test]
async fn selectable_fields_must_be_declared_scalars_and_few() {
    let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
    let mut schema = json!({"type": "object", "properties": {"map": {"type": "object"}}});
    for name in names {
        schema["properties"][name] = json!({"type": "string"});
    }
    let at = |path: &str| json!([{ "jsonPath": path }]);
    let many: Value = names
        .iter()
        .map(|name| json!({"jsonPath": format!(".spec.{name}")}))
        .collect();
    for (fields, message) in [
        (json!([{}]), "selectableFields[0].jsonPath: Required value"),
        (
            at(".spec.x"),
            "\".spec.x\": is an invalid path: does not refer to a valid field",
        ),
        (
            at("spec.a"),
            "\"spec.a\": is an invalid path: expected [ or . but got: spec",
        ),
        (at(".spec.a[0]"), "is an invalid path: array notation is not allowed"),
        (
            at(".spec.map"),
            "must point to a field of type string, boolean or integer.",
        ),
        (
            json!([{"jsonPath": ".spec.a"}, {"jsonPath": ".spec.a"}]),
            "[1].jsonPath: Duplicate value: \".spec.a\"",
        ),
        (many, "selectableFields: Too many: 9: must have at most 8 items"),
    ] {
        let client = server().client();
        let (code, body) = post(&client, CRDS, &definition(&schema, &fields)).await;
        assert_eq!(code, 422, "{fields}");
        assert!(body["message"].as_str().unwrap().contains(message), "{body}");
    }
}
