//! A sandbox, its Pod and what is read of them, for tests of what decides.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};
use torpor_api::{Addressee, AgentState, CheckpointRecord, CheckpointState, SandboxStatus, WorkloadState};

use crate::companions::Companions;
use crate::front::Front;
use crate::observe::{AgentView, Reading};

/// The time of the pass, and this many seconds after it.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

/// The sandbox `one` of generation 2 without a Pod, as a pass reads it.
pub(crate) fn reading(status: &Value) -> Reading {
    let sandbox = json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
        "metadata": {"name": "one", "namespace": "default", "uid": "uid-1", "generation": 2},
        "spec": {"template": {"spec": {"containers": [{"name": "sandbox"}]}}},
        "status": status,
    });
    Reading {
        front: Front::Kruise,
        sandbox: serde_json::from_value(sandbox).expect("a sandbox"),
        published: status.as_object().cloned().unwrap_or_default(),
        pod: None,
        agent: AgentView::NotAsked,
        companions: Companions::default(),
        template_error: None,
        freeze_refusal: None,
        thawed: false,
        now: at(0) + SignedDuration::from_millis(700),
        pause_deadline: Duration::from_mins(5),
        restore_retry: Duration::from_secs(10),
    }
}

/// Serving in [`pod`].
pub(crate) fn serving() -> Reading {
    let status = json!({
        "observedGeneration": 2, "phase": "Running", "runningSince": "2027-01-01T00:00:00.000000Z",
        "podInfo": {"podUID": "pod-1", "podIP": "10.0.0.1"},
        "conditions": [condition("Ready", "True", "PodReady", 2, -60)],
    });
    Reading {
        pod: Some(pod(&json!({}))),
        ..reading(&status)
    }
}

/// Paused, with checkpoint 1 on record.
pub(crate) fn paused() -> Reading {
    let mut reading = reading(&json!({
        "observedGeneration": 2, "phase": "Paused", "runningSince": "2027-01-01T00:00:00.000000Z",
        "checkpoint": record(1), "lastCheckpointGeneration": 1,
        "conditions": [
            condition("Ready", "False", "PodNotReady", 2, -60),
            condition("SandboxPaused", "True", "SnapshotPauseSucceed", 2, -60),
        ],
    }));
    reading.sandbox.spec.paused = true;
    reading
}

/// The status of the sandbox that was read.
pub(crate) fn status(reading: &mut Reading) -> &mut SandboxStatus {
    reading.sandbox.status.get_or_insert_default()
}

/// A condition as a status has it.
pub(crate) fn condition(kind: &str, status: &str, reason: &str, generation: i64, since: i64) -> Value {
    json!({
        "type": kind, "status": status, "reason": reason, "message": "",
        "observedGeneration": generation, "lastTransitionTime": at(since).to_string(),
    })
}

/// The Pod of the sandbox, ready, with a merge patch applied.
pub(crate) fn pod(patch: &Value) -> Pod {
    let owner = json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "name": "one", "uid": "uid-1", "controller": true,
    });
    let mut pod = json!({
        "metadata": {"name": "one", "uid": "pod-1", "ownerReferences": [owner]},
        "spec": {"nodeName": "node-1", "containers": []},
        "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    });
    merge(&mut pod, patch);
    serde_json::from_value(pod).expect("a Pod")
}

/// Applies a merge patch.
pub(crate) fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().map(|target| target.remove(name));
        } else {
            merge(&mut target[name.as_str()], value);
        }
    }
}

/// What the agent answers.
pub(crate) fn agent(
    restored_generation: Option<u64>,
    workload: WorkloadState,
    checkpoint: CheckpointState,
) -> AgentView {
    AgentView::State(AgentState {
        addressee: Addressee::default(),
        engine: "sim".to_owned(),
        restored_generation,
        workload,
        checkpoint,
    })
}

/// A sealed checkpoint.
pub(crate) fn record(generation: u64) -> CheckpointRecord {
    CheckpointRecord {
        generation,
        digest: format!("blake3:{generation}"),
        size_bytes: 10,
        stored_bytes: 5,
        engine: "sim".to_owned(),
    }
}
