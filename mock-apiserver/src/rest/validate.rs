//! Rules about `metadata` that hold for every kind, and the rules of single kinds.

use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::catalog::Resource;
use crate::kinds;
use serde_json::Value;

const MAX_ANNOTATIONS: usize = 256 * 1024;
/// How many levels of maps and lists an object may have. What is stored must be readable again, and `managedFields` mirror
/// the object a few levels further down; JSON that is read may have 127 levels.
const MAX_DEPTH: usize = 100;

/// Refuses an object with everything that is wrong with it.
pub(super) fn check(resource: &Resource, old: Option<&Value>, object: &Value) -> ApiResult<()> {
    if !is_within(object, MAX_DEPTH) {
        return Err(ApiError::bad_request(format!(
            "the object is nested more than {MAX_DEPTH} levels deep"
        )));
    }
    let mut errors = metadata_problems(resource, object);
    if let Some(old) = old {
        errors.extend(update_problems(old, object));
    }
    errors.extend(kinds::problems(resource, old, object));
    if errors.is_empty() {
        return Ok(());
    }
    Err(ApiError::invalid(
        &resource.kind,
        &resource.group,
        meta::name(object),
        &errors,
    ))
}

/// Whether a value has no more than so many levels.
fn is_within(value: &Value, levels: usize) -> bool {
    let below = |child: &Value| levels.checked_sub(1).is_some_and(|levels| is_within(child, levels));
    match value {
        Value::Array(items) => items.iter().all(below),
        Value::Object(map) => map.values().all(below),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

fn metadata_problems(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let metadata = &object["metadata"];
    let mut errors = resource.name_rule().check(meta::name(object));
    for member in ["labels", "annotations"] {
        errors.extend(map_problems(member, &metadata[member]));
    }
    let finalizers = &metadata["finalizers"];
    if !finalizers.is_null()
        && !finalizers
            .as_array()
            .is_some_and(|list| list.iter().all(Value::is_string))
    {
        errors.push(FieldError::invalid(
            "metadata.finalizers",
            finalizers,
            "must be a list of strings",
        ));
    }
    errors.extend(owner_problems(&metadata["ownerReferences"]));
    errors
}

fn map_problems(member: &str, map: &Value) -> Vec<FieldError> {
    let path = format!("metadata.{member}");
    let Some(map) = map.as_object() else {
        let fits = map.is_null();
        return if fits {
            Vec::new()
        } else {
            vec![FieldError::invalid(path, map, "must be a map of strings")]
        };
    };
    let mut errors = Vec::new();
    for (key, value) in map {
        let name = key.rsplit_once('/').map_or(key.as_str(), |(_, name)| name);
        let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        let is_name = |text: &str| {
            text.len() <= 63
                && edge(text.chars().next())
                && edge(text.chars().last())
                && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if !is_name(name) {
            let rule = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
            errors.push(FieldError::invalid(&path, &Value::String(key.clone()), rule));
        }
        match value.as_str() {
            None => errors.push(FieldError::invalid(format!("{path}.{key}"), value, "must be a string")),
            Some(text) if member == "labels" && !text.is_empty() && !is_name(text) => {
                let rule = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
                errors.push(FieldError::invalid(&path, value, rule));
            }
            Some(_) => {}
        }
    }
    let size: usize = map
        .iter()
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if member == "annotations" && size > MAX_ANNOTATIONS {
        let detail = format!("may not be more than {MAX_ANNOTATIONS} bytes");
        errors.push(FieldError {
            path,
            problem: crate::api::field::Problem::TooLong { detail },
        });
    }
    errors
}

fn owner_problems(references: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers: Vec<&Value> = Vec::new();
    for (index, owner) in references.as_array().into_iter().flatten().enumerate() {
        let path = format!("metadata.ownerReferences[{index}]");
        for (member, detail) in [
            ("apiVersion", "version must not be empty"),
            ("kind", ""),
            ("name", ""),
            ("uid", "uid must not be empty"),
        ] {
            if owner[member].as_str().unwrap_or_default().is_empty() {
                errors.push(FieldError::required(format!("{path}.{member}"), detail));
            }
        }
        if owner["controller"] == true {
            controllers.push(owner);
        }
    }
    if let [first, second, ..] = controllers.as_slice() {
        let detail = format!(
            "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
            first["kind"].as_str().unwrap_or_default(),
            first["name"].as_str().unwrap_or_default(),
            second["kind"].as_str().unwrap_or_default(),
            second["name"].as_str().unwrap_or_default(),
        );
        errors.push(FieldError::invalid("metadata.ownerReferences", references, detail));
    }
    errors
}

fn update_problems(old: &Value, object: &Value) -> Vec<FieldError> {
    let known = meta::finalizers(old);
    let new: Vec<&str> = meta::finalizers(object)
        .into_iter()
        .filter(|finalizer| !known.contains(finalizer))
        .collect();
    if !meta::is_deleting(old) || new.is_empty() {
        return Vec::new();
    }
    let listed: Vec<String> = new.iter().map(|finalizer| format!("{finalizer:?}")).collect();
    let detail = format!(
        "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
        listed.join(", ")
    );
    vec![FieldError::forbidden("metadata.finalizers", detail)]
}
