//! The defaults of a schema: each is a value that the schema itself accepts, and holds nothing that would be pruned.

use super::path;
use crate::api::field::FieldError;
use crate::schema;
use serde_json::Value;

/// What is wrong with the defaults of a resource's schema.
pub(super) fn problems(schema: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    walk(schema, true, false, path, &mut errors);
    errors
}

fn walk(schema: &Value, is_root: bool, inside_meta: bool, path: &str, errors: &mut Vec<FieldError>) {
    let is_resource = is_root || schema["x-kubernetes-embedded-resource"] == true;
    let inside_meta = inside_meta && !is_resource;
    if !schema["default"].is_null() {
        errors.extend(of_default(
            schema,
            is_resource,
            inside_meta,
            &path::child(path, "default"),
        ));
    }
    if schema["items"].is_object() {
        walk(
            &schema["items"],
            false,
            inside_meta,
            &path::child(path, "items"),
            errors,
        );
    }
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        let of_resource = is_resource && matches!(name.as_str(), "metadata" | "apiVersion" | "kind");
        let at = path::key(&path::child(path, "properties"), name);
        walk(child, false, inside_meta || of_resource, &at, errors);
    }
}

fn of_default(schema: &Value, is_resource: bool, inside_meta: bool, path: &str) -> Vec<FieldError> {
    let default = &schema["default"];
    let mut errors = Vec::new();
    if !inside_meta {
        let mut pruned = default.clone();
        if !schema::prune_part(schema, &mut pruned, is_resource).is_empty() {
            errors.push(FieldError::invalid(path, default, "must not have unknown fields"));
        }
    }
    let mut resource = schema.clone();
    if is_resource {
        resource["x-kubernetes-embedded-resource"] = true.into();
    }
    let mut found = schema::embedded_problems(&resource, default, path);
    if found.is_empty() {
        found = schema::problems_of_value(schema, default);
        for error in &mut found {
            error.path = match error.path.as_str() {
                "" | "<nil>" => path.to_owned(),
                below if below.starts_with('[') => format!("{path}{below}"),
                below => path::child(path, below),
            };
        }
    }
    errors.extend(found);
    errors
}
