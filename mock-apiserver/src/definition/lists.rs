//! Lists that are maps or sets: what tells their items apart must be there.

use super::path;
use crate::api::field::FieldError;
use crate::api::meta::strings;
use serde_json::Value;

const LIST: &str = "x-kubernetes-list-type";
const KEYS: &str = "x-kubernetes-list-map-keys";

/// What is wrong with the keys of a list, or with what they are to tell apart.
pub(super) fn problems(schema: &Value, path: &str) -> Vec<FieldError> {
    let at = |member: &str| path::child(path, member);
    let (list_type, keys, items) = (schema[LIST].as_str(), strings(&schema[KEYS]), &schema["items"]);
    let mut errors = Vec::new();
    if !keys.is_empty() && list_type != Some("map") {
        let detail = format!("must be map if {KEYS} is non-empty");
        errors.push(match list_type {
            None => FieldError::required(at(LIST), detail),
            Some(_) => FieldError::invalid(at(LIST), &schema[LIST], detail),
        });
    }
    if list_type == Some("map") {
        if keys.is_empty() {
            let detail = "must not be empty if x-kubernetes-list-type is map";
            errors.push(FieldError::required(at(KEYS), detail));
        }
        match items {
            Value::Object(_) if items["type"] != "object" => {
                let at = path::child(&at("items"), "type");
                let shown = Value::from(items["type"].as_str().unwrap_or_default());
                let detail = "must be object if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(at, &shown, detail));
            }
            Value::Object(_) => errors.extend(keys_of_items(schema, &keys, path)),
            _ => {
                let detail = "must have a schema if x-kubernetes-list-type is map";
                errors.push(FieldError::required(at("items"), detail));
            }
        }
    }
    if matches!(list_type, Some("map" | "set")) {
        errors.extend(present_keys(items, &keys, list_type.unwrap_or_default(), &at("items")));
    }
    errors
}

fn keys_of_items(schema: &Value, keys: &[&str], path: &str) -> Vec<FieldError> {
    let properties = &schema["items"]["properties"];
    let mut errors = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let refuse = |detail: &str| FieldError::invalid(path::child(path, KEYS), &schema[KEYS], detail);
        match properties.get(*key) {
            None => errors.push(refuse("entries must all be names of item properties")),
            Some(property) if matches!(property["type"].as_str(), Some("array" | "object")) => {
                let at = path::key(&path::child(path, "items.properties"), key);
                let detail = "must be a scalar type if parent array's x-kubernetes-list-type is map";
                errors.push(FieldError::invalid(
                    path::child(&at, "type"),
                    &schema["items"]["type"],
                    detail,
                ));
            }
            Some(_) => {}
        }
        if keys[..index].contains(key) {
            errors.push(refuse("must not contain duplicate entries"));
        }
    }
    errors
}

/// Items and keys are there, so that they can be compared.
fn present_keys(items: &Value, keys: &[&str], list_type: &str, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if items["nullable"] == true {
        let detail = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(path::child(path, "nullable"), detail));
    }
    if list_type != "map" {
        return errors;
    }
    let required = strings(&items["required"]);
    for key in keys {
        let Some(property) = items["properties"].get(*key) else {
            continue;
        };
        let at = path::key(&path::child(path, "properties"), key);
        if !required.contains(key) && property["default"].is_null() {
            let detail =
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(path::child(&at, "default"), detail));
        }
        if property["nullable"] == true {
            let detail = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(path::child(&at, "nullable"), detail));
        }
    }
    errors
}
