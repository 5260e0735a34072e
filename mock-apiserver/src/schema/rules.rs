//! The CEL rules of a schema (`x-kubernetes-validations`).

use super::compiled::CompiledRules;
use super::correlate;
use super::steps::steps;
use crate::api::field::{FieldError, Problem};
use kube_cel::{ErrorKind, ValidationError};
use serde_json::Value;

/// The rules that an object breaks.
pub(super) struct Violations {
    pub(super) errors: Vec<FieldError>,
    /// Broken by what was there before.
    pub(super) tolerated: Vec<FieldError>,
}

/// The rules an object breaks; transition rules compare with the old one. With `all`, parts that are as they were are judged, too.
pub(super) fn violations(
    schema: &Value,
    rules: &CompiledRules,
    (old, object): (Option<&Value>, &Value),
    all: bool,
) -> Violations {
    let broken = rules.cel.iter().flat_map(|rules| rules.broken(old, object, all));
    let (tolerated, errors): (Vec<_>, Vec<_>) =
        broken.partition(|error| old.is_some_and(|old| is_ratcheted(schema, error, old, object)));
    let told = |errors: Vec<ValidationError>| errors.into_iter().map(|error| told(schema, object, error)).collect();
    Violations {
        errors: told(errors),
        tolerated: told(tolerated),
    }
}

fn told(schema: &Value, object: &Value, error: ValidationError) -> FieldError {
    let (shown, detail) = match error.kind {
        ErrorKind::ValidationFailure => (scalar_at(object, &error.field_path), error.message),
        _ => (format!("{:?}", type_at(schema, &error.field_path)), error.message),
    };
    let problem = match error.reason.as_deref() {
        Some("FieldValueForbidden") => Problem::Forbidden { detail },
        Some("FieldValueRequired") => Problem::Required { detail },
        Some("FieldValueDuplicate") => Problem::Duplicate { shown },
        Some(_) | None => Problem::Invalid { shown, detail },
    };
    let path = if error.field_path.is_empty() {
        "<nil>".to_owned()
    } else {
        error.field_path
    };
    FieldError { path, problem }
}

/// Whether a rule that says nothing of the old value is broken by what was there before.
fn is_ratcheted(schema: &Value, error: &ValidationError, old: &Value, object: &Value) -> bool {
    !error.rule.contains("oldSelf") && unchanged_at(schema, &error.rule, &error.field_path, old, object)
}

/// Whether the value that a rule is about, or the nearest part around it that has a counterpart, is what it was. The rule may
/// report a path below its value.
fn unchanged_at(schema: &Value, rule: &str, path: &str, old: &Value, object: &Value) -> bool {
    let (mut schema, mut old, mut new) = (schema, old, object);
    for step in steps(path) {
        if declares(schema, rule) {
            break;
        }
        let Some(next) = counterparts(schema, step, old, new) else {
            break;
        };
        (schema, old, new) = next;
    }
    correlate::unchanged(schema, old, new)
}

/// The schema, the old and the new value one step further down.
fn counterparts<'a>(
    schema: &'a Value,
    step: &str,
    old: &'a Value,
    new: &'a Value,
) -> Option<(&'a Value, &'a Value, &'a Value)> {
    if let Value::Array(items) = new {
        let item = items.get(step.parse::<usize>().ok()?)?;
        return Some((schema.get("items")?, correlate::item(schema, Some(old), item)?, item));
    }
    Some((
        correlate::declared(schema, step)?,
        correlate::member(Some(old), step)?,
        new.get(step)?,
    ))
}

fn declares(schema: &Value, rule: &str) -> bool {
    let rules = schema["x-kubernetes-validations"].as_array().into_iter().flatten();
    rules.into_iter().any(|known| known["rule"] == rule)
}

/// The value at a path as messages show it; empty if it is not a scalar.
fn scalar_at(object: &Value, path: &str) -> String {
    let found = steps(path).try_fold(object, |node, step| {
        node.get(step).or_else(|| node.get(step.parse::<usize>().ok()?))
    });
    match found {
        Some(scalar @ (Value::Bool(_) | Value::Number(_) | Value::String(_))) => scalar.to_string(),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => String::new(),
    }
}

/// Says that the rules were not asked.
pub(super) fn unchecked() -> FieldError {
    let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
    FieldError::invalid("<nil>", &Value::Null, detail)
}

/// The declared type at a path; rules report it in place of the value.
fn type_at(schema: &Value, path: &str) -> String {
    let node = steps(path).try_fold(schema, |schema, step| {
        let items = || schema.get("items").filter(|_| step.parse::<usize>().is_ok());
        let declared = schema["properties"].get(step);
        declared.or_else(items).or_else(|| schema.get("additionalProperties"))
    });
    node.and_then(|schema| schema["type"].as_str())
        .unwrap_or("object")
        .to_owned()
}
