//! What a `Sandbox` object says about its sandbox, in the terms that calls are answered by.
//!
//! Pure reading: no client, no clock. A status may speak of an older specification than the one at
//! hand; where that matters (failures), it counts only if it has seen the newest.
//!
//! ```text
//!  Starting ──▶ Serving ──▶ Pausing ──▶ Paused ──▶ Resuming ──▶ Serving
//!                  ▲           │           ▲           │
//!                  │      PauseRefused     └──── ResumeFailed
//!                  └───────────┘            Failed, Terminating: from anywhere
//! ```

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use torpor_api::{ConditionType, Phase, Reason, Sandbox, SandboxStatus};

/// Where a sandbox is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SandboxState {
    /// On its first way up.
    Starting,
    /// It runs and is ready.
    Serving,
    /// Asked to pause, and not paused yet.
    Pausing,
    /// Its context is kept and it has no Pod.
    Paused,
    /// Asked to run, has run before, and does not serve now.
    Resuming,
    /// Asked to pause, but no checkpoint could be taken: it runs on.
    PauseRefused {
        /// What the controller says.
        reason: String,
    },
    /// Asked to run, but its checkpoint could not be restored: it is kept.
    ResumeFailed {
        /// What the controller says.
        reason: String,
    },
    /// Nothing goes on without a person.
    Failed {
        /// What the controller says.
        reason: String,
    },
    /// It is being deleted.
    Terminating,
}

/// Where traffic of a serving sandbox goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// The Pod that serves; another one after each resume.
    pub(crate) pod_uid: String,
    pub(crate) ip: IpAddr,
}

/// Reads the state of `sandbox`.
pub(crate) fn state(sandbox: &Sandbox) -> SandboxState {
    if sandbox.metadata.deletion_timestamp.is_some() {
        return SandboxState::Terminating;
    }
    let Some(status) = &sandbox.status else {
        return unobserved(sandbox.spec.paused);
    };
    match (sandbox.spec.paused, status.phase) {
        (_, Some(Phase::Terminating)) => SandboxState::Terminating,
        (_, Some(Phase::Failed)) => SandboxState::Failed {
            reason: message(status),
        },
        (true, Some(Phase::Paused)) if is_true(status, ConditionType::Paused) => SandboxState::Paused,
        (true, Some(Phase::Running)) => current_failure(sandbox, ConditionType::Paused, Reason::CheckpointFailed)
            .map_or(SandboxState::Pausing, |reason| SandboxState::PauseRefused { reason }),
        (false, Some(Phase::Paused)) => current_failure(sandbox, ConditionType::Resumed, Reason::RestoreFailed)
            .or_else(|| start_failure(sandbox))
            .map_or(SandboxState::Resuming, |reason| SandboxState::ResumeFailed { reason }),
        (false, Some(Phase::Running)) if endpoint(sandbox).is_some() => SandboxState::Serving,
        (true, Some(Phase::Pending | Phase::Pausing | Phase::Paused | Phase::Resuming) | None) => SandboxState::Pausing,
        (false, Some(Phase::Pending | Phase::Running | Phase::Pausing | Phase::Resuming) | None) => {
            if status.running_since.is_some() {
                SandboxState::Resuming
            } else {
                SandboxState::Starting
            }
        }
    }
}

const fn unobserved(paused: bool) -> SandboxState {
    if paused {
        SandboxState::Pausing
    } else {
        SandboxState::Starting
    }
}

/// Where traffic goes, while the sandbox runs and is ready; also while a pause is only asked for.
pub(crate) fn endpoint(sandbox: &Sandbox) -> Option<Endpoint> {
    let status = sandbox
        .status
        .as_ref()
        .filter(|status| status.phase == Some(Phase::Running))?;
    let pod = status
        .pod_info
        .as_ref()
        .filter(|_| is_true(status, ConditionType::Ready))?;
    let ip = pod.pod_ip.as_ref()?.parse().ok()?;
    let alive = sandbox.metadata.deletion_timestamp.is_none();
    alive.then(|| Endpoint {
        pod_uid: pod.pod_uid.clone(),
        ip,
    })
}

/// Why no Pod can be started, if the controller has given up on the template or the name.
pub(crate) fn start_failure(sandbox: &Sandbox) -> Option<String> {
    [Reason::TemplateInvalid, Reason::PodOwnerMismatch]
        .into_iter()
        .find_map(|reason| current_failure(sandbox, ConditionType::Ready, reason))
}

/// What the controller says that it is doing.
pub(crate) fn phase(sandbox: &Sandbox) -> Option<Phase> {
    sandbox.status.as_ref()?.phase
}

/// Whether it has a context and is still on the way back from it: no run of it has begun that could end.
/// One that runs and is not ready for a moment has begun.
pub(crate) fn is_coming_up(sandbox: &Sandbox) -> bool {
    state(sandbox) == SandboxState::Resuming && phase(sandbox) != Some(Phase::Running)
}

/// What the controller says of a sandbox that takes long.
pub(crate) fn progress_note(sandbox: &Sandbox) -> Option<String> {
    sandbox
        .status
        .as_ref()
        .map(message)
        .filter(|message| !message.is_empty())
}

/// Whether the status has seen the specification of `generation`.
pub(crate) fn has_observed(sandbox: &Sandbox, generation: i64) -> bool {
    let observed = sandbox.status.as_ref().and_then(|status| status.observed_generation);
    observed.is_some_and(|observed| observed >= generation)
}

/// When the current or last run began: when it served, or else when it was created.
pub(crate) fn started_at(sandbox: &Sandbox) -> Timestamp {
    running_since(sandbox)
        .or_else(|| sandbox.metadata.creation_timestamp.as_ref().map(|time| time.0))
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// When the current or last run began to serve.
pub(crate) fn running_since(sandbox: &Sandbox) -> Option<Timestamp> {
    sandbox.status.as_ref()?.running_since.as_ref().map(|time| time.0)
}

/// When the sandbox was paused.
pub(crate) fn paused_at(sandbox: &Sandbox) -> Option<Timestamp> {
    let condition = condition(sandbox.status.as_ref()?, ConditionType::Paused)?;
    (condition.status == "True").then_some(condition.last_transition_time.0)
}

fn condition(status: &SandboxStatus, kind: ConditionType) -> Option<&Condition> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == kind.as_str())
}

fn is_true(status: &SandboxStatus, kind: ConditionType) -> bool {
    condition(status, kind).is_some_and(|condition| condition.status == "True")
}

/// The message of the condition `kind` if it is false for `reason` and speaks of the newest specification.
fn current_failure(sandbox: &Sandbox, kind: ConditionType, reason: Reason) -> Option<String> {
    let status = sandbox.status.as_ref()?;
    let condition =
        condition(status, kind).filter(|found| found.status == "False" && found.reason == reason.as_str())?;
    let observed = condition.observed_generation.or(status.observed_generation)?;
    let current = observed >= sandbox.metadata.generation.unwrap_or_default();
    current.then(|| {
        if condition.message.is_empty() {
            message(status)
        } else {
            condition.message.clone()
        }
    })
}

fn message(status: &SandboxStatus) -> String {
    status.message.clone().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sandbox(paused: bool, status: &Value) -> Sandbox {
        let object = json!({
            "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
            "metadata": { "name": "iabc", "generation": 3 }, "spec": { "paused": paused }, "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, generation: i64) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": "because",
            "observedGeneration": generation, "lastTransitionTime": "2024-01-01T00:00:00Z" })
    }

    fn running(paused: bool, conditions: &[Value]) -> Sandbox {
        sandbox(
            paused,
            &json!({ "phase": "Running", "conditions": conditions, "runningSince": "2024-01-01T00:00:00Z",
                "podInfo": { "podUID": "u1", "podIP": "127.0.0.2" }, "observedGeneration": 3 }),
        )
    }

    #[test]
    fn a_ready_pod_serves_and_an_unready_one_does_not() {
        let ready = running(false, &[condition("Ready", "True", "PodReady", 3)]);
        assert_eq!(state(&ready), SandboxState::Serving);
        assert_eq!(endpoint(&ready).unwrap().pod_uid, "u1");
        let unready = running(false, &[condition("Ready", "False", "PodNotReady", 3)]);
        assert_eq!(state(&unready), SandboxState::Resuming);
        assert_eq!(endpoint(&unready), None);
    }

    #[test]
    fn paused_is_only_what_the_controller_confirms() {
        let asked = running(true, &[condition("Ready", "True", "PodReady", 3)]);
        assert_eq!(state(&asked), SandboxState::Pausing);
        let with =
            |conditions: &[Value]| state(&sandbox(true, &json!({ "phase": "Paused", "conditions": conditions })));
        assert_eq!(with(&[]), SandboxState::Pausing);
        assert_eq!(
            with(&[condition("SandboxPaused", "True", "SnapshotPauseSucceed", 3)]),
            SandboxState::Paused
        );
    }

    #[test]
    fn a_failed_checkpoint_counts_only_for_the_specification_it_was_taken_for() {
        let failed = |generation| {
            state(&running(
                true,
                &[condition("SandboxPaused", "False", "CheckpointFailed", generation)],
            ))
        };
        assert_eq!(
            failed(3),
            SandboxState::PauseRefused {
                reason: "because".to_owned()
            }
        );
        assert_eq!(failed(2), SandboxState::Pausing);
    }

    #[test]
    fn a_failed_restore_counts_only_for_the_specification_it_was_tried_for() {
        let failed = |generation| {
            let conditions = [condition("SandboxResumed", "False", "RestoreFailed", generation)];
            state(&sandbox(false, &json!({ "phase": "Paused", "conditions": conditions })))
        };
        assert_eq!(
            failed(3),
            SandboxState::ResumeFailed {
                reason: "because".to_owned()
            }
        );
        assert_eq!(failed(2), SandboxState::Resuming);
    }

    #[test]
    fn a_template_that_gives_no_pod_fails_a_resume_too() {
        let conditions = [condition("Ready", "False", "TemplateInvalid", 3)];
        let blocked = sandbox(false, &json!({ "phase": "Paused", "conditions": conditions }));
        let reason = "because".to_owned();
        assert_eq!(state(&blocked), SandboxState::ResumeFailed { reason });
    }

    #[test]
    fn a_sandbox_that_never_served_is_starting_and_one_that_did_is_resuming() {
        assert_eq!(
            state(&sandbox(false, &json!({ "phase": "Pending" }))),
            SandboxState::Starting
        );
        let again = json!({ "phase": "Pending", "runningSince": "2024-01-01T00:00:00Z" });
        assert_eq!(state(&sandbox(false, &again)), SandboxState::Resuming);
    }

    #[test]
    fn one_that_runs_and_is_not_ready_is_not_coming_up() {
        let unready = running(false, &[condition("Ready", "False", "PodNotReady", 3)]);
        assert!(!is_coming_up(&unready));
        for phase in ["Paused", "Resuming", "Pending"] {
            let status = json!({ "phase": phase, "runningSince": "2024-01-01T00:00:00Z" });
            assert!(is_coming_up(&sandbox(false, &status)), "{phase}");
        }
        assert!(!is_coming_up(&sandbox(false, &json!({ "phase": "Pending" }))));
    }

    #[test]
    fn a_deleted_sandbox_is_terminating_whatever_its_status_says() {
        let mut deleted = running(false, &[condition("Ready", "True", "PodReady", 3)]);
        deleted.metadata.deletion_timestamp = Some(Timestamp::UNIX_EPOCH.into());
        assert_eq!(state(&deleted), SandboxState::Terminating);
        assert_eq!(endpoint(&deleted), None);
    }

    #[test]
    fn a_pod_address_that_is_none_leads_nowhere() {
        let mut odd = running(false, &[condition("Ready", "True", "PodReady", 3)]);
        odd.status.as_mut().unwrap().pod_info.as_mut().unwrap().pod_ip = Some("evil.example".to_owned());
        assert_eq!(endpoint(&odd), None);
    }
}
