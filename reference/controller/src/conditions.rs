//! Reads and writes the conditions of a status by the rules of the Kubernetes API:
//! one of each type, and `lastTransitionTime` moves only when `status` flips.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use torpor_api::{ConditionType, Reason, SandboxStatus};

/// The condition of a type.
pub(crate) fn find(status: &SandboxStatus, kind: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

/// Whether the condition of a type has this reason.
pub(crate) fn has_reason(status: &SandboxStatus, kind: ConditionType, reason: Reason) -> bool {
    find(status, kind).is_some_and(|condition| condition.reason == reason.as_str())
}

/// Whether the condition of a type has this reason and speaks of this generation of the spec.
pub(crate) fn in_force(status: &SandboxStatus, kind: ConditionType, reason: Reason, generation: Option<i64>) -> bool {
    find(status, kind)
        .is_some_and(|condition| condition.reason == reason.as_str() && condition.observed_generation == generation)
}

/// Sets a condition.
pub(crate) fn set(
    status: &mut SandboxStatus,
    kind: ConditionType,
    (holds, reason): (bool, Reason),
    message: &str,
    now: Timestamp,
) {
    let value = if holds { "True" } else { "False" };
    let since = find(status, kind)
        .filter(|condition| condition.status == value)
        .map_or(Time(now), |condition| condition.last_transition_time.clone());
    remove(status, kind);
    status.conditions.push(Condition {
        type_: kind.as_str().to_owned(),
        status: value.to_owned(),
        reason: reason.as_str().to_owned(),
        message: message.to_owned(),
        observed_generation: status.observed_generation,
        last_transition_time: since,
    });
    status.conditions.sort_by(|left, right| left.type_.cmp(&right.type_));
}

/// Removes a condition.
pub(crate) fn remove(status: &mut SandboxStatus, kind: ConditionType) {
    status.conditions.retain(|condition| condition.type_ != kind.as_str());
}
