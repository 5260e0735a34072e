//! Rules about the metadata of objects, of any kind and embedded in others.

use super::field::{FieldError, Problem};
use super::names::{label_value_problems, qualified_name_problems};
use crate::upkeep::{FOREGROUND, ORPHAN};
use serde_json::Value;

const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What is wrong with metadata, names apart; `path` is where it stands.
pub(crate) fn problems(metadata: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for member in ["labels", "annotations"] {
        errors.extend(map_problems(member, &metadata[member], path));
    }
    errors.extend(finalizer_problems(
        &metadata["finalizers"],
        &format!("{path}.finalizers"),
    ));
    errors.extend(owner_problems(
        &metadata["ownerReferences"],
        &format!("{path}.ownerReferences"),
    ));
    errors
}

/// What is wrong with the labels alone.
pub(crate) fn label_map_problems(metadata: &Value, path: &str) -> Vec<FieldError> {
    map_problems("labels", &metadata["labels"], path)
}

fn map_problems(member: &str, map: &Value, path: &str) -> Vec<FieldError> {
    let path = format!("{path}.{member}");
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
        // The keys of annotations may be in capitals.
        let judged = if member == "labels" {
            key.clone()
        } else {
            key.to_lowercase()
        };
        let shown = Value::String(key.clone());
        let problems = qualified_name_problems(&judged).into_iter();
        errors.extend(problems.map(|problem| FieldError::invalid(&path, &shown, problem)));
        match value.as_str() {
            None => errors.push(FieldError::invalid(format!("{path}.{key}"), value, "must be a string")),
            Some(text) if member == "labels" => errors.extend(label_problems(&path, text)),
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
            problem: Problem::TooLong { detail },
        });
    }
    errors
}

/// What is wrong with the value of a label.
fn label_problems(path: &str, text: &str) -> Vec<FieldError> {
    let value = Value::from(text);
    let problems = label_value_problems(text).into_iter();
    problems
        .map(|problem| FieldError::invalid(path, &value, problem))
        .collect()
}

fn finalizer_problems(finalizers: &Value, path: &str) -> Vec<FieldError> {
    let fits = |list: &Vec<Value>| list.iter().all(Value::is_string);
    let Some(list) = finalizers.as_array().filter(|list| fits(list)) else {
        let absent = finalizers.is_null();
        let error = FieldError::invalid(path, finalizers, "must be a list of strings");
        return if absent { Vec::new() } else { vec![error] };
    };
    let mut errors = Vec::new();
    for finalizer in list {
        let problems = qualified_name_problems(finalizer.as_str().unwrap_or_default()).into_iter();
        errors.extend(problems.map(|problem| FieldError::invalid(path, finalizer, problem)));
    }
    if [ORPHAN, FOREGROUND]
        .iter()
        .all(|both| list.iter().any(|known| known == both))
    {
        let detail = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path, finalizers, detail));
    }
    errors
}

fn owner_problems(references: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut controllers: Vec<&Value> = Vec::new();
    for owner in references.as_array().into_iter().flatten() {
        let version = owner["apiVersion"].as_str().unwrap_or_default();
        if version.is_empty() || version.matches('/').count() > 1 {
            let version = Value::from(version);
            errors.push(FieldError::invalid(
                format!("{path}.apiVersion"),
                &version,
                "version must not be empty",
            ));
        }
        for member in ["kind", "name", "uid"] {
            if owner[member].as_str().unwrap_or_default().is_empty() {
                let empty = Value::from("");
                errors.push(FieldError::invalid(
                    format!("{path}.{member}"),
                    &empty,
                    "must not be empty",
                ));
            }
        }
        if version == "v1" && owner["kind"] == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.push(FieldError::invalid(path, owner, detail));
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
        errors.push(FieldError::invalid(path, references, detail));
    }
    errors
}
