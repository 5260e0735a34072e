//! Rules about `metadata` that hold for every kind, and the rules of single kinds.

use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::object_meta;
use crate::catalog::Resource;
use crate::kinds;
use serde_json::Value;

/// How many levels of maps and lists an object may have. What is stored must be readable again, and `managedFields` mirror
/// the object a few levels further down; JSON that is read may have 127 levels.
const MAX_DEPTH: usize = 100;

/// Refuses a new object with everything that is wrong with it.
pub(super) fn check(resource: &Resource, object: &Value, warnings: &mut Vec<String>) -> ApiResult<()> {
    check_part(resource, None, object, false, warnings)
}

/// The same for an update, with what its writer should know beside it, and where only the status was written: the real server judges it by itself, and names what is in it from there.
pub(super) fn check_part(
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
    is_status: bool,
    warnings: &mut Vec<String>,
) -> ApiResult<()> {
    if !is_within(object, MAX_DEPTH) {
        return Err(ApiError::bad_request(format!(
            "the object is nested more than {MAX_DEPTH} levels deep"
        )));
    }
    let mut errors = metadata_problems(resource, object);
    if let Some(old) = old {
        errors.extend(update_problems(old, object));
        // The registry judges the metadata of an update, and the strategy of custom resources does so again.
        if resource.is_custom() {
            errors.extend(errors.clone());
            // Labels are judged once more, by themselves.
            errors.extend(object_meta::label_map_problems(&object["metadata"], "metadata"));
        }
    }
    let mut tolerated = Vec::new();
    errors.extend(kinds::problems(resource, old, object, &mut tolerated));
    if is_status && resource.is_custom() {
        for error in errors.iter_mut().chain(&mut tolerated) {
            error.shorten("status.");
        }
    }
    warnings.extend(tolerated.iter().map(ToString::to_string));
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

/// Refuses an update that would start a deletion, or change how long it may take: that is not done by writing it.
pub(super) fn check_deletion(resource: &Resource, old: &Value, new: &Value) -> ApiResult<()> {
    let changed = |member: &str| {
        let (before, after) = (&old["metadata"][member], &new["metadata"][member]);
        (!after.is_null() && before != after)
            .then(|| FieldError::invalid(format!("metadata.{member}"), after, "field is immutable"))
    };
    // The time of a deletion that has begun is kept, whatever is written.
    let starts = changed("deletionTimestamp").filter(|_| !meta::is_deleting(old));
    let mut errors: Vec<FieldError> = starts
        .into_iter()
        .chain(changed("deletionGracePeriodSeconds"))
        .collect();
    if errors.is_empty() {
        return Ok(());
    }
    // As other metadata of custom resources, it is judged twice.
    if resource.is_custom() {
        errors.extend(errors.clone());
    }
    Err(ApiError::invalid(
        &resource.kind,
        &resource.group,
        meta::name(old),
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
    let mut errors = generated_name_problems(resource, object);
    errors.extend(resource.name_rule().check(meta::name(object)));
    errors.extend(object_meta::problems(&object["metadata"], "metadata"));
    errors
}

/// What names are generated from has to be the beginning of one.
fn generated_name_problems(resource: &Resource, object: &Value) -> Vec<FieldError> {
    let prefix = meta::text(object, "generateName");
    if prefix.is_empty() {
        return Vec::new();
    }
    // Something follows a dash at its end.
    let begun = prefix
        .strip_suffix('-')
        .map_or_else(|| prefix.to_owned(), |rest| format!("{rest}a"));
    let problems = resource.name_rule().problems(&begun).into_iter();
    problems
        .map(|problem| FieldError::invalid("metadata.generateName", &Value::from(prefix), problem))
        .collect()
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
