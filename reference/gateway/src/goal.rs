//! When a wait for a sandbox is over, and how it ended.
//!
//! Judged on one object at a time, without a clock: who waits also keeps the time limit.

use torpor_api::Sandbox;

use crate::state::{SandboxState, has_observed, start_failure, state};

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The sandbox serves.
    Serving,
    /// The pause is complete.
    Paused,
    /// The pause has ended, either way.
    PauseEnded,
}

/// How far a wait is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Not yet.
    Waiting,
    /// The goal is reached.
    Reached,
    /// It will not be: the controller says why.
    Failed(String),
    /// Somebody has asked for the opposite meanwhile.
    Overtaken,
    /// The sandbox is being deleted.
    Gone,
}

/// How far `sandbox` is from `goal`, for a caller who has seen or written `generation` of it.
pub(crate) fn progress(goal: Goal, generation: i64, sandbox: &Sandbox) -> Progress {
    let state = state(sandbox);
    if state == SandboxState::Terminating {
        return Progress::Gone;
    }
    if sandbox.metadata.generation.unwrap_or_default() < generation {
        return Progress::Waiting;
    }
    match goal {
        Goal::Serving => serving(&state, generation, sandbox),
        Goal::Paused => paused(state, generation, sandbox),
        Goal::PauseEnded if state == SandboxState::Pausing => Progress::Waiting,
        Goal::PauseEnded => Progress::Reached,
    }
}

fn serving(state: &SandboxState, generation: i64, sandbox: &Sandbox) -> Progress {
    match state {
        SandboxState::Serving if has_observed(sandbox, generation) => Progress::Reached,
        SandboxState::Starting => start_failure(sandbox).map_or(Progress::Waiting, Progress::Failed),
        SandboxState::Serving | SandboxState::Resuming => Progress::Waiting,
        SandboxState::ResumeFailed { reason } | SandboxState::Failed { reason } => Progress::Failed(reason.clone()),
        SandboxState::Pausing | SandboxState::Paused | SandboxState::PauseRefused { .. } => Progress::Overtaken,
        SandboxState::Terminating => Progress::Gone,
    }
}

fn paused(state: SandboxState, generation: i64, sandbox: &Sandbox) -> Progress {
    match state {
        SandboxState::Paused if has_observed(sandbox, generation) => Progress::Reached,
        SandboxState::Paused | SandboxState::Pausing => Progress::Waiting,
        SandboxState::PauseRefused { reason } | SandboxState::Failed { reason } => Progress::Failed(reason),
        SandboxState::Starting | SandboxState::Serving | SandboxState::Resuming | SandboxState::ResumeFailed { .. } => {
            Progress::Overtaken
        }
        SandboxState::Terminating => Progress::Gone,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn sandbox(paused: bool, generation: i64, observed: i64, status: &Value) -> Sandbox {
        let mut object = json!({
            "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
            "metadata": { "name": "iabc", "generation": generation }, "spec": { "paused": paused }, "status": status,
        });
        object["status"]["observedGeneration"] = json!(observed);
        serde_json::from_value(object).unwrap()
    }

    fn condition(kind: &str, status: &str, reason: &str, observed: i64) -> Value {
        json!({ "type": kind, "status": status, "reason": reason, "message": "why", "observedGeneration": observed,
            "lastTransitionTime": "2024-01-01T00:00:00Z" })
    }

    fn paused_status(observed: i64) -> Value {
        json!({ "phase": "Paused", "conditions": [condition("SandboxPaused", "True", "SnapshotPauseSucceed", observed)] })
    }

    fn serving_status() -> Value {
        json!({ "phase": "Running", "conditions": [condition("Ready", "True", "PodReady", 1)],
            "podInfo": { "podUID": "u", "podIP": "127.0.0.1" }, "runningSince": "2024-01-01T00:00:00Z" })
    }

    #[test]
    fn an_object_from_before_the_write_says_nothing() {
        assert_eq!(
            progress(Goal::Serving, 2, &sandbox(false, 1, 1, &serving_status())),
            Progress::Waiting
        );
    }

    #[test]
    fn a_status_from_before_the_write_is_not_the_goal() {
        assert_eq!(
            progress(Goal::Serving, 2, &sandbox(false, 2, 1, &serving_status())),
            Progress::Waiting
        );
        assert_eq!(
            progress(Goal::Serving, 2, &sandbox(false, 2, 2, &serving_status())),
            Progress::Reached
        );
        assert_eq!(
            progress(Goal::Paused, 2, &sandbox(true, 2, 1, &paused_status(1))),
            Progress::Waiting
        );
        assert_eq!(
            progress(Goal::Paused, 2, &sandbox(true, 2, 2, &paused_status(2))),
            Progress::Reached
        );
    }

    #[test]
    fn the_opposite_wish_of_somebody_else_ends_the_wait() {
        assert_eq!(
            progress(Goal::Serving, 1, &sandbox(true, 2, 2, &paused_status(2))),
            Progress::Overtaken
        );
        assert_eq!(
            progress(Goal::Paused, 1, &sandbox(false, 2, 2, &serving_status())),
            Progress::Overtaken
        );
    }

    #[test]
    fn an_old_failure_is_not_that_of_the_new_attempt() {
        let failed =
            json!({ "phase": "Paused", "conditions": [condition("SandboxResumed", "False", "RestoreFailed", 2)] });
        assert_eq!(
            progress(Goal::Serving, 3, &sandbox(false, 3, 2, &failed)),
            Progress::Waiting
        );
        assert_eq!(
            progress(Goal::Serving, 2, &sandbox(false, 2, 2, &failed)),
            Progress::Failed("why".to_owned())
        );
    }

    #[test]
    fn a_template_that_gives_no_pod_ends_the_start() {
        let bad = json!({ "phase": "Pending", "conditions": [condition("Ready", "False", "TemplateInvalid", 1)] });
        assert_eq!(
            progress(Goal::Serving, 1, &sandbox(false, 1, 1, &bad)),
            Progress::Failed("why".to_owned())
        );
    }

    #[test]
    fn a_pause_has_ended_when_it_is_complete_and_when_it_failed() {
        assert_eq!(
            progress(Goal::PauseEnded, 1, &sandbox(true, 1, 1, &paused_status(1))),
            Progress::Reached
        );
        let failed =
            json!({ "phase": "Running", "conditions": [condition("SandboxPaused", "False", "CheckpointFailed", 1)] });
        assert_eq!(
            progress(Goal::PauseEnded, 1, &sandbox(true, 1, 1, &failed)),
            Progress::Reached
        );
        let writing = json!({ "phase": "Pausing" });
        assert_eq!(
            progress(Goal::PauseEnded, 1, &sandbox(true, 1, 1, &writing)),
            Progress::Waiting
        );
    }
}
