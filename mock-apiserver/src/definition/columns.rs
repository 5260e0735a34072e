//! `additionalPrinterColumns`.

use super::path;
use crate::api::field::FieldError;
use serde_json::Value;

const TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const FORMATS: [&str; 8] = [
    "byte",
    "date",
    "date-time",
    "double",
    "float",
    "int32",
    "int64",
    "password",
];

/// What is wrong with a list of columns.
pub(super) fn problems(columns: &Value, path: &str) -> Vec<FieldError> {
    let columns = columns.as_array().into_iter().flatten().enumerate();
    columns
        .flat_map(|(index, column)| of_column(column, &path::index(path, index)))
        .collect()
}

fn of_column(column: &Value, path: &str) -> Vec<FieldError> {
    let text = |member: &str| column[member].as_str().unwrap_or_default();
    let at = |member: &str| path::child(path, member);
    let one_of = |known: &[&str]| format!("must be one of {}", known.join(","));
    let mut errors = Vec::new();
    if text("name").is_empty() {
        errors.push(FieldError::required(at("name"), ""));
    }
    if text("type").is_empty() {
        errors.push(FieldError::required(at("type"), one_of(&TYPES)));
    } else if !TYPES.contains(&text("type")) {
        errors.push(FieldError::invalid(at("type"), &column["type"], one_of(&TYPES)));
    }
    if !text("format").is_empty() && !FORMATS.contains(&text("format")) {
        errors.push(FieldError::invalid(at("format"), &column["format"], one_of(&FORMATS)));
    }
    if text("jsonPath").is_empty() {
        errors.push(FieldError::required(at("JSONPath"), ""));
    } else {
        errors.extend(simple_json_path(&column["jsonPath"], &at("JSONPath")));
    }
    errors
}

/// A path of member names that starts with a dot.
pub(super) fn simple_json_path(value: &Value, path: &str) -> Option<FieldError> {
    let starts = value.as_str().is_some_and(|text| text.starts_with('.'));
    (!starts).then(|| FieldError::invalid(path, value, "must be a simple json path starting with ."))
}
