//! The CEL rules of a schema (`x-kubernetes-validations`).

use crate::api::field::{FieldError, Problem};
use crate::catalog::CustomVersion;
use kube_cel::{ErrorKind, Validator};
use serde_json::Value;

/// The rules an object breaks; transition rules compare with `old`.
pub(super) fn violations(version: &CustomVersion, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let Some(compiled) = &version.rules.cel else {
        return Vec::new();
    };
    let Err(broken) = Validator::new().validate_compiled(compiled, object, old) else {
        return Vec::new();
    };
    let broken = broken.into_vec().into_iter();
    broken
        .map(|error| {
            let shown = format!("{:?}", type_at(&version.schema, &error.field_path));
            let detail = if error.kind == ErrorKind::ValidationFailure {
                error.message
            } else {
                format!("rule {:?} could not be evaluated: {}", error.rule, error.message)
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
        })
        .collect()
}

/// Says that the rules were not asked.
pub(super) fn unchecked() -> FieldError {
    let detail = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";
    FieldError::invalid("<nil>", &Value::String("null".to_owned()), detail)
}

/// The declared type at a path; rules report it in place of the value.
fn type_at(schema: &Value, path: &str) -> String {
    let node = path
        .split(['.', '['])
        .filter(|step| !step.is_empty())
        .try_fold(schema, |schema, step| {
            if step.ends_with(']') {
                return schema.get("items").or_else(|| schema.get("additionalProperties"));
            }
            schema["properties"]
                .get(step)
                .or_else(|| schema.get("additionalProperties"))
        });
    node.and_then(|schema| schema["type"].as_str())
        .unwrap_or("object")
        .to_owned()
}
