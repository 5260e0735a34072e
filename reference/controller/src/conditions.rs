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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::at;

    fn with(conditions: &[(ConditionType, bool, Reason, Option<i64>)]) -> SandboxStatus {
        let mut status = SandboxStatus::default();
        for (kind, holds, reason, generation) in conditions {
            status.observed_generation = *generation;
            set(&mut status, *kind, (*holds, *reason), "text", at(0));
        }
        status
    }

    #[test]
    fn there_is_one_condition_of_each_type_in_the_order_of_the_types() {
        let status = with(&[
            (ConditionType::Paused, false, Reason::Pending, Some(1)),
            (ConditionType::Ready, true, Reason::PodReady, Some(1)),
            (ConditionType::Paused, true, Reason::SnapshotPauseSucceed, Some(2)),
        ]);
        let said = status
            .conditions
            .iter()
            .map(|it| (it.type_.as_str(), it.status.as_str(), it.reason.as_str()));
        assert_eq!(
            said.collect::<Vec<_>>(),
            [
                ("Ready", "True", "PodReady"),
                ("SandboxPaused", "True", "SnapshotPauseSucceed")
            ]
        );
        let paused = find(&status, ConditionType::Paused).expect("it was set");
        assert_eq!((paused.message.as_str(), paused.observed_generation), ("text", Some(2)));
        assert_eq!(find(&status, ConditionType::Resumed), None);
    }

    #[test]
    fn the_time_of_a_condition_moves_only_when_its_status_flips() {
        let mut status = with(&[(ConditionType::Ready, false, Reason::PodNotReady, None)]);
        let since = |status: &SandboxStatus| status.conditions[0].last_transition_time.0;
        set(
            &mut status,
            ConditionType::Ready,
            (false, Reason::PodCreateFailed),
            "other",
            at(5),
        );
        assert_eq!(since(&status), at(0));
        set(&mut status, ConditionType::Ready, (true, Reason::PodReady), "", at(7));
        assert_eq!(since(&status), at(7));
    }

    #[test]
    fn a_reason_is_in_force_for_the_generation_that_it_speaks_of() {
        let status = with(&[(ConditionType::Paused, false, Reason::CheckpointFailed, Some(3))]);
        let force = |kind, reason, generation| in_force(&status, kind, reason, generation);
        assert!(force(ConditionType::Paused, Reason::CheckpointFailed, Some(3)));
        assert!(!force(ConditionType::Paused, Reason::CheckpointFailed, Some(4)));
        assert!(!force(ConditionType::Paused, Reason::Pending, Some(3)));
        assert!(!force(ConditionType::Ready, Reason::CheckpointFailed, Some(3)));
        assert!(has_reason(&status, ConditionType::Paused, Reason::CheckpointFailed));
        assert!(!has_reason(&status, ConditionType::Paused, Reason::Pending));
        assert!(!has_reason(&status, ConditionType::Ready, Reason::CheckpointFailed));
    }

    #[test]
    fn what_is_removed_takes_nothing_else_with_it() {
        let mut status = with(&[
            (ConditionType::Ready, true, Reason::PodReady, None),
            (ConditionType::Paused, false, Reason::Pending, None),
        ]);
        remove(&mut status, ConditionType::Ready);
        let left: Vec<_> = status.conditions.iter().map(|it| it.type_.as_str()).collect();
        assert_eq!(left, ["SandboxPaused"]);
    }
}
