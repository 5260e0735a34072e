//! OpenAPI v2: one document with everything, made from those of v3, as JSON or as protobuf.

use super::{openapi, openapi_v2_protobuf};
use crate::api::error::ApiError;
use crate::catalog::Catalog;
use crate::rest::Answer;
use serde_json::{Map, Value, json};

/// The form in which the document is sent.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Protobuf,
}

/// `/openapi/v2`, in the first form of `Accept` that there is.
pub(super) fn answer(catalog: &Catalog, accept: &str) -> Answer {
    match accept.split(',').find_map(form) {
        Some(Form::Json) => Answer::Document {
            code: 200,
            body: document(catalog),
        },
        Some(Form::Protobuf) => Answer::Encoded {
            media_type: openapi_v2_protobuf::MEDIA_TYPE,
            body: openapi_v2_protobuf::encode(&document(catalog)),
        },
        None => {
            let refused = ApiError::not_acceptable(&["application/json", openapi_v2_protobuf::MEDIA_TYPE]);
            Answer::Document {
                code: refused.code(),
                body: refused.body(),
            }
        }
    }
}

fn form(clause: &str) -> Option<Form> {
    match clause.split(';').next().unwrap_or_default().trim() {
        "application/json" | "application/*" | "*/*" | "" => Some(Form::Json),
        openapi_v2_protobuf::MEDIA_TYPE | openapi_v2_protobuf::REQUESTED => Some(Form::Protobuf),
        _ => None,
    }
}

fn document(catalog: &Catalog) -> Value {
    let (mut paths, mut definitions) = (Map::new(), Map::new());
    for (group, versions) in catalog.groups() {
        for version in versions {
            let Some(document) = openapi::document(catalog, &group, &version) else {
                continue;
            };
            for (path, operations) in document.body["paths"].as_object().into_iter().flatten() {
                paths.insert(path.clone(), older_operations(operations));
            }
            for (name, schema) in document.body["components"]["schemas"].as_object().into_iter().flatten() {
                definitions.insert(name.clone(), older(schema));
            }
        }
    }
    json!({
        "swagger": "2.0", "info": {"title": "Kubernetes", "version": "v1.33.0"},
        "paths": paths, "definitions": definitions,
    })
}

fn older_operations(operations: &Value) -> Value {
    let mut older_operations = operations.clone();
    for (_, operation) in older_operations.as_object_mut().into_iter().flatten() {
        for parameter in operation["parameters"].as_array_mut().into_iter().flatten() {
            let schema = parameter["schema"].take();
            if let (Some(parameter), Value::Object(schema)) = (parameter.as_object_mut(), schema) {
                parameter.remove("schema");
                parameter.extend(schema);
            }
        }
        let schema = older(&operation["responses"]["200"]["content"]["application/json"]["schema"]);
        operation["responses"] = json!({"200": {"description": "OK", "schema": schema}});
    }
    older_operations
}

/// A schema in the terms of v2: other places for references, no alternatives.
fn older(schema: &Value) -> Value {
    match schema {
        Value::Object(map) if map.get("format").is_some_and(|format| format == "int-or-string") => {
            let mut map = map.clone();
            map.remove("oneOf");
            map.insert("type".to_owned(), "string".into());
            Value::Object(map)
        }
        Value::Object(map) => older_object(map),
        Value::Array(items) => items.iter().map(older).collect(),
        Value::String(text) => text.replace("#/components/schemas/", "#/definitions/").into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => schema.clone(),
    }
}

fn older_object(map: &Map<String, Value>) -> Value {
    let mut object: Map<String, Value> = map.iter().map(|(key, value)| (key.clone(), older(value))).collect();
    // A lone reference needs no combination.
    if let Some(Value::Array(branches)) = object.get("allOf")
        && let [Value::Object(only)] = branches.as_slice()
        && only.contains_key("$ref")
    {
        let only = only.clone();
        object.remove("allOf");
        object.extend(only);
    }
    // Quantities: a string or a number.
    let amounts = json!([{"type": "string"}, {"type": "number"}]);
    if object.get("oneOf") == Some(&amounts) {
        object.remove("oneOf");
        object.insert("type".to_owned(), "string".into());
    }
    Value::Object(object)
}
