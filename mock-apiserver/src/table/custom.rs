//! The columns a CRD declares.

use super::Column;
use super::age::age;
use super::jsonpath::JsonPath;
use crate::api::meta;
use crate::catalog::CustomVersion;
use jiff::Timestamp;
use serde_json::Value;

pub(super) fn columns(version: &CustomVersion) -> Vec<Column> {
    let mut columns = vec![Column::name()];
    if version.columns.is_empty() {
        columns.push(Column {
            description: super::AGE_DESCRIPTION.to_owned(),
            ..Column::new("Age", "date")
        });
    }
    columns.extend(version.columns.iter().map(declared));
    columns
}

fn declared(column: &Value) -> Column {
    let text = |member: &str| column[member].as_str().unwrap_or_default().to_owned();
    let described = text("description");
    Column {
        name: text("name"),
        kind: column["type"].as_str().unwrap_or("string").to_owned(),
        format: text("format"),
        description: if described.is_empty() {
            format!(
                "Custom resource definition column (in JSONPath format): {}",
                text("jsonPath")
            )
        } else {
            described
        },
        priority: column["priority"].as_i64().unwrap_or(0),
    }
}

pub(super) fn cells(version: &CustomVersion, object: &Value, now: Timestamp) -> Vec<Value> {
    let mut cells = vec![Value::from(meta::name(object))];
    if version.columns.is_empty() {
        cells.push(age(&object["metadata"]["creationTimestamp"], now).into());
    }
    cells.extend(version.columns.iter().map(|column| cell(column, object, now)));
    cells
}

/// The first value found, as far as it can be shown as the column's type; null otherwise.
fn cell(column: &Value, object: &Value, now: Timestamp) -> Value {
    let path = column["jsonPath"].as_str().and_then(JsonPath::parse);
    let found = path.iter().flat_map(|path| path.find(object)).next();
    let Some(value) = found else {
        return Value::Null;
    };
    match (column["type"].as_str().unwrap_or("string"), value) {
        ("date", Value::String(text)) if text.parse::<Timestamp>().is_err() => "<invalid>".into(),
        ("date", Value::String(_)) => age(value, now).into(),
        ("integer", Value::Number(number)) if number.is_f64() => truncated(number),
        ("integer" | "number", Value::Number(_)) | ("boolean", Value::Bool(_)) => value.clone(),
        ("date" | "integer" | "number" | "boolean", _) => Value::Null,
        (_, Value::Null) => "<no value>".into(),
        (_, Value::String(text)) => text.as_str().into(),
        (_, other) => other.to_string().into(),
    }
}

/// A number without its fraction.
fn truncated(number: &serde_json::Number) -> Value {
    let whole = number.as_f64().map(|number| number.trunc().to_string());
    let whole = whole.and_then(|text| text.parse::<i64>().ok());
    whole.map_or(Value::Null, Value::from)
}
