//! What may change of a pod: images, a shorter deadline, more tolerations, fewer scheduling gates, and a grace period that was none.

use crate::api::field::FieldError;
use serde_json::Value;

/// What is wrong with a change of a pod's spec.
pub(super) fn problems(old: &Value, new: &Value) -> Vec<FieldError> {
    if old == new {
        return Vec::new();
    }
    let mut errors: Vec<FieldError> = deadline_problem(old, new).into_iter().collect();
    errors.extend(toleration_problem(old, new));
    errors.extend(gate_problems(old, new));
    if fixed(old, old) != fixed(old, new) {
        let detail = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
        errors.push(FieldError::forbidden("spec", detail));
    }
    errors
}

fn deadline_problem(old: &Value, new: &Value) -> Option<FieldError> {
    let path = "spec.activeDeadlineSeconds";
    let value = &new["activeDeadlineSeconds"];
    let why = match (old["activeDeadlineSeconds"].as_i64(), value.as_i64()) {
        (_, Some(after)) if i32::try_from(after).is_err() || after < 0 => "must be between 0 and 2147483647, inclusive",
        (Some(before), Some(after)) if after > before => "must be less than or equal to previous value",
        (Some(_), None) => "must not update from a positive integer to nil value",
        (Some(_) | None, Some(_)) | (None, None) => return None,
    };
    Some(FieldError::invalid(path, value, why))
}

/// Tolerations stay, but for how long they last; others may come.
fn toleration_problem(old: &Value, new: &Value) -> Option<FieldError> {
    let lasting = |toleration: &Value| {
        let mut toleration = toleration.clone();
        toleration["tolerationSeconds"] = Value::Null;
        toleration
    };
    let now: Vec<Value> = items(&new["tolerations"]).iter().map(lasting).collect();
    let is_lost = items(&old["tolerations"])
        .iter()
        .any(|toleration| !now.contains(&lasting(toleration)));
    is_lost.then(|| {
        let detail = "existing toleration can not be modified except its tolerationSeconds";
        FieldError::forbidden("spec.tolerations", detail)
    })
}

fn gate_problems(old: &Value, new: &Value) -> Vec<FieldError> {
    let known = items(&old["schedulingGates"]);
    let added = items(&new["schedulingGates"])
        .iter()
        .enumerate()
        .filter(|(_, gate)| !known.iter().any(|known| known["name"] == gate["name"]));
    added
        .map(|(index, gate)| {
            let name = gate["name"].as_str().unwrap_or_default();
            let detail = format!("only deletion is allowed, but found new scheduling gate '{name}'");
            FieldError::forbidden(format!("spec.schedulingGates[{index}].name"), detail)
        })
        .collect()
}

/// A spec without what may change of it, or is judged by itself.
fn fixed(old: &Value, spec: &Value) -> Value {
    let mut fixed = spec.clone();
    for list in ["containers", "initContainers"] {
        for container in fixed.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            container["image"] = Value::Null;
        }
    }
    let was_negative = old["terminationGracePeriodSeconds"]
        .as_i64()
        .is_some_and(|seconds| seconds < 0);
    if was_negative && fixed["terminationGracePeriodSeconds"] == 1 {
        fixed["terminationGracePeriodSeconds"] = old["terminationGracePeriodSeconds"].clone();
    }
    for member in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        fixed[member] = Value::Null;
    }
    fixed
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
