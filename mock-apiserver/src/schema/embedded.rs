//! Objects inside of objects (`x-kubernetes-embedded-resource`): they have a type, and their metadata obeys the usual rules.

use super::correlate;
use crate::api::field::{FieldError, go_json};
use crate::api::names::NameRule;
use crate::api::object_meta;
use crate::api::place::Place;
use crate::types;
use serde_json::{Map, Value};

/// What is wrong with the embedded objects of a value, and with itself if it is one by its schema.
pub(crate) fn problems(schema: &Value, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, value, &Place::Start(path), &mut errors);
    errors
}

/// Takes off what the metadata of embedded objects does not have, and returns the paths; the error is of metadata of another type.
pub(crate) fn coerce(schema: &Value, value: &mut Value) -> Result<Vec<String>, String> {
    let mut unknown = Vec::new();
    coerce_part(schema, value, &Place::ROOT, &mut unknown)?;
    unknown.sort();
    Ok(unknown)
}

fn coerce_part(schema: &Value, value: &mut Value, place: &Place<'_>, unknown: &mut Vec<String>) -> Result<(), String> {
    match value {
        Value::Object(map) => {
            if schema["x-kubernetes-embedded-resource"] == true
                && let (Some(metadata), Some(message)) = (map.get_mut("metadata"), types::message("meta.ObjectMeta"))
            {
                let at = place.member("metadata");
                let shown = go_json(metadata);
                let found =
                    types::check(message, metadata).map_err(|why| format!("{at}: Invalid value: {shown}: {why}"))?;
                types::settle(message, metadata);
                unknown.extend(found.iter().map(|member| at.member(member).to_string()));
            }
            for (member, child) in map {
                if let Some(schema) = correlate::declared(schema, member) {
                    coerce_part(schema, child, &place.member(member), unknown)?;
                }
            }
            Ok(())
        }
        Value::Array(items) => {
            let mut items = items.iter_mut().enumerate();
            items.try_for_each(|(index, item)| coerce_part(&schema["items"], item, &place.index(index), unknown))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

fn walk(schema: &Value, value: &Value, place: &Place<'_>, errors: &mut Vec<FieldError>) {
    match value {
        Value::Object(map) => {
            if schema["x-kubernetes-embedded-resource"] == true {
                errors.extend(of_object(map, place));
            }
            for (member, child) in map {
                if let Some(schema) = correlate::declared(schema, member) {
                    walk(schema, child, &place.member(member), errors);
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(&schema["items"], item, &place.index(index), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn of_object(object: &Map<String, Value>, place: &Place<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for member in ["apiVersion", "kind"] {
        let at = place.member(member).to_string();
        match object.get(member) {
            None => errors.push(FieldError::required(at, "")),
            Some(value) => errors.extend(of_type(member, value, &at)),
        }
    }
    if let Some(metadata) = object.get("metadata") {
        let at = place.member("metadata");
        for member in ["name", "generateName"] {
            if let Some(name) = metadata[member].as_str().filter(|name| !name.is_empty()) {
                let problems = NameRule::PathSegment.problems(name).into_iter();
                let at = at.member(member).to_string();
                errors.extend(problems.map(|detail| FieldError::invalid(&at, &metadata[member], detail)));
            }
        }
        errors.extend(object_meta::problems(metadata, &at.to_string()));
    }
    errors
}

fn of_type(member: &str, value: &Value, path: &str) -> Option<FieldError> {
    let Some(text) = value.as_str() else {
        return Some(FieldError::invalid(path, value, "must be a string"));
    };
    if text.is_empty() {
        return Some(FieldError::invalid(path, value, "must not be empty"));
    }
    if member == "apiVersion" {
        let detail = format!("unexpected GroupVersion string: {text}");
        return (text.matches('/').count() > 1).then(|| FieldError::invalid(path, value, detail));
    }
    let problems = NameRule::Label1035.problems(&text.to_lowercase());
    let detail = format!(
        "may have mixed case, but should otherwise match: {}",
        problems.join(",")
    );
    (!problems.is_empty()).then(|| FieldError::invalid(path, value, detail))
}
