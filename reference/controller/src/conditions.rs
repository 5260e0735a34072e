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

/// What a condition says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    status: String,
    /// One word for machines.
    pub(crate) reason: String,
    message: String,
}

impl Verdict {
    pub(crate) fn new(status: &str, reason: &str, message: impl Into<String>) -> Self {
        Self {
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
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
    let generation = status.observed_generation;
    let verdict = Verdict::new(value, reason.as_str(), message);
    put(&mut status.conditions, kind.as_str(), verdict, generation, now);
}

/// Sets a condition in a list, which stays in the order of the types.
pub(crate) fn put(
    conditions: &mut Vec<Condition>,
    kind: &str,
    verdict: Verdict,
    generation: Option<i64>,
    now: Timestamp,
) {
    let before = conditions.iter().find(|condition| condition.type_ == kind);
    let since = before
        .filter(|condition| condition.status == verdict.status)
        .map_or(Time(now), |condition| condition.last_transition_time.clone());
    conditions.retain(|condition| condition.type_ != kind);
    conditions.push(Condition {
        type_: kind.to_owned(),
        status: verdict.status,
        reason: verdict.reason,
        message: verdict.message,
        observed_generation: generation,
        last_transition_time: since,
    });
    conditions.sort_by(|left, right| left.type_.cmp(&right.type_));
}

/// Removes a condition.
pub(crate) fn remove(status: &mut SandboxStatus, kind: ConditionType) {
    status.conditions.retain(|condition| condition.type_ != kind.as_str());
}
