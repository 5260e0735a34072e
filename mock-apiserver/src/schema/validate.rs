//! Types, required members, and the logical combinations of schemas.

use super::compiled::CompiledRules;
use super::{correlate, is_type_or_metadata, values};
use crate::api::field::{FieldError, Problem};
use crate::api::place::Place;
use serde_json::{Map, Value};

/// What the schema finds wrong, apart from rules and repeated list items, in what differs from `old`.
pub(super) fn validate(schema: &Value, rules: &CompiledRules, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    node(schema, rules, (old, object), &Place::ROOT, true, &mut errors);
    errors
}

/// A value and the one that it replaces, if that is known.
type Replacement<'a> = (Option<&'a Value>, &'a Value);

fn node(
    schema: &Value,
    rules: &CompiledRules,
    (old, value): Replacement<'_>,
    place: &Place<'_>,
    is_resource: bool,
    errors: &mut Vec<FieldError>,
) {
    if old == Some(value) {
        return;
    }
    let before = errors.len();
    changed_node(schema, rules, (old, value), place, is_resource, errors);
    if errors.len() > before && old.is_some_and(|old| correlate::unchanged(schema, old, value)) {
        errors.truncate(before);
    }
}

fn changed_node(
    schema: &Value,
    rules: &CompiledRules,
    (old, value): Replacement<'_>,
    place: &Place<'_>,
    is_resource: bool,
    errors: &mut Vec<FieldError>,
) {
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    if let Some(expected) = mismatch(schema, value) {
        let found = type_name(value);
        let detail = format!("{place} in body must be of type {expected}: {found:?}");
        let problem = Problem::TypeInvalid {
            shown: format!("{found:?}"),
            detail,
        };
        errors.push(FieldError {
            path: place.to_string(),
            problem,
        });
        errors.extend(values::unlisted(schema, value, place));
        if expected == "integer" && value.is_number() {
            let detail = format!("Checked value must be of type integer (default format) in {place}");
            errors.push(unplaced(detail));
        }
        return;
    }
    if value.as_i64().is_some_and(|number| i32::try_from(number).is_err()) && schema["format"] == "int32" {
        let detail = format!("Checked value must be of type integer with format int32 in {place}");
        errors.push(unplaced(detail));
    }
    if rules.has_combinations {
        combinations(schema, rules, value, place, errors);
    }
    errors.extend(values::check(schema, rules, value, place));
    match value {
        Value::Object(map) => members(schema, rules, (old, map), place, is_resource, errors),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                if let Some(items) = schema.get("items") {
                    let before = correlate::item(schema, old, item);
                    node(items, rules, (before, item), &place.index(index), false, errors);
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn members(
    schema: &Value,
    rules: &CompiledRules,
    (old, map): (Option<&Value>, &Map<String, Value>),
    place: &Place<'_>,
    is_resource: bool,
    errors: &mut Vec<FieldError>,
) {
    if is_resource && place.is_root() {
        for member in ["name", "generateName"] {
            let declared = &schema["properties"]["metadata"]["properties"][member];
            if let Some(name) = map.get("metadata").and_then(|metadata| metadata.get(member)) {
                node(
                    declared,
                    rules,
                    (None, name),
                    &Place::Start("metadata").member(member),
                    false,
                    errors,
                );
            }
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    for required in required.filter_map(Value::as_str) {
        if !map.contains_key(required) {
            errors.push(FieldError::required(place.member(required).to_string(), ""));
        }
    }
    for (member, child) in map
        .iter()
        .filter(|(member, _)| !(is_resource && is_type_or_metadata(member)))
    {
        if let Some(schema) = correlate::declared(schema, member) {
            let embedded = rules.has_embedded && schema["x-kubernetes-embedded-resource"] == true;
            let child = (correlate::member(old, member), child);
            node(schema, rules, child, &place.member(member), embedded, errors);
        }
    }
}

/// `allOf`, `anyOf`, `oneOf`, `not`. What the nearest branch finds wrong is told, too.
fn combinations(schema: &Value, rules: &CompiledRules, value: &Value, place: &Place<'_>, errors: &mut Vec<FieldError>) {
    let found = |branch: &Value| {
        let mut found = Vec::new();
        node(branch, rules, (None, value), place, false, &mut found);
        found
    };
    let outcomes = |name: &str| -> Option<Vec<Vec<FieldError>>> {
        let branches = schema[name].as_array().filter(|branches| !branches.is_empty())?;
        Some(branches.iter().map(found).collect())
    };
    if let Some(outcomes) = outcomes("anyOf")
        && !outcomes.iter().any(Vec::is_empty)
    {
        errors.push(combination(place, "must validate at least one schema (anyOf)"));
        errors.extend(nearest(outcomes));
    }
    if let Some(outcomes) = outcomes("oneOf") {
        match outcomes.iter().filter(|found| found.is_empty()).count() {
            1 => {}
            0 => {
                let text = "must validate one and only one schema (oneOf). Found none valid";
                errors.push(combination(place, text));
                errors.extend(nearest(outcomes));
            }
            count => {
                let text = format!("must validate one and only one schema (oneOf). Found {count} valid alternatives");
                errors.push(combination(place, &text));
            }
        }
    }
    if let Some(outcomes) = outcomes("allOf")
        && !outcomes.iter().all(Vec::is_empty)
    {
        errors.extend(outcomes.into_iter().flatten());
        errors.push(combination(place, "must validate all the schemas (allOf)"));
    }
    if schema["not"].is_object() && found(&schema["not"]).is_empty() {
        errors.push(combination(place, "must not validate the schema (not)"));
    }
}

fn combination(place: &Place<'_>, text: &str) -> FieldError {
    unplaced(format!("{:?} {text}", place.to_string()))
}

/// A problem that the real server gives no place.
fn unplaced(detail: String) -> FieldError {
    FieldError {
        path: "<nil>".to_owned(),
        problem: Problem::Invalid {
            shown: "\"\"".to_owned(),
            detail,
        },
    }
}

/// What the first branch with the fewest problems finds wrong.
fn nearest(outcomes: Vec<Vec<FieldError>>) -> Vec<FieldError> {
    outcomes.into_iter().min_by_key(Vec::len).unwrap_or_default()
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The expected type, if the value is of another.
fn mismatch(schema: &Value, value: &Value) -> Option<String> {
    if schema["x-kubernetes-int-or-string"] == true {
        let fits = value.is_string() || value.is_i64() || value.is_u64();
        return (!fits).then(|| "integer,string".to_owned());
    }
    let expected = schema["type"].as_str().filter(|expected| !expected.is_empty())?;
    let whole = value.as_f64().is_some_and(|number| number.fract() == 0.0);
    let fits = match expected {
        "integer" => whole,
        "number" => value.is_number(),
        other => type_name(value) == other,
    };
    (!fits).then(|| expected.to_owned())
}
