use serde_json::json;
use torpor_api::ShutdownPolicy;

use super::*;
use crate::example::{at, condition, paused, pod, reading, serving};

#[test]
fn names_are_hashed_as_agent_sandbox_does() {
    // FNV-1a test vectors.
    assert_eq!(name_hash(""), "811c9dc5");
    assert_eq!(name_hash("a"), "e40c292c");
    assert_eq!(name_hash("foobar"), "bf9cf968");
}

#[test]
fn everything_that_is_asked_for_is_read() {
    let asked = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox", "metadata": {"name": "one"},
        "spec": {
            "podTemplate": {"spec": {"containers": []}}, "operatingMode": "Suspended", "shutdownTime": at(5).to_string(),
            "shutdownPolicy": "Delete", "service": true,
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}],
        },
    });
    let asked: Sandbox = serde_json::from_value(asked).expect("a sandbox");
    assert_eq!(asked.template_name(), None);
    let spec = asked.into_sandbox().spec;
    assert_eq!(
        (
            spec.paused,
            spec.shutdown_time.map(|time| time.0),
            spec.shutdown_policy,
            spec.lost_pod_policy,
            spec.service
        ),
        (
            true,
            Some(at(5)),
            ShutdownPolicy::Delete,
            LostPodPolicy::Recreate,
            Some(true)
        )
    );
    assert_eq!(spec.template, Some(json!({"spec": {"containers": []}})));
    assert_eq!(spec.volume_claim_templates[0].metadata.name, "data");
}

/// What is said of a condition over this Pod, in this phase and with these conditions of the status.
fn said(kind: &str, mut reading: Reading, phase: Phase, conditions: &[serde_json::Value]) -> String {
    let mut status = reading.status();
    status.phase = Some(phase);
    status.message = Some("trouble".to_owned());
    status.conditions = serde_json::from_value(json!(conditions)).expect("conditions");
    reading.published.clear();
    let published = publish(&reading, &status).conditions;
    let found = published.into_iter().find(|condition| condition.type_ == kind);
    found.map_or_else(String::new, |it| format!("{} {}: {}", it.status, it.reason, it.message))
}

fn with_pod(reading: Reading, patch: &serde_json::Value) -> Reading {
    Reading {
        pod: Some(pod(patch)),
        ..reading
    }
}

#[test]
fn a_suspension_is_told_by_how_far_it_is_and_by_what_is_in_its_way() {
    let suspended = |reading, phase, reason: Option<&str>| {
        let conditions = reason.map(|reason| condition("SandboxPaused", "False", reason, 2, 0));
        let conditions: Vec<_> = conditions.into_iter().collect();
        said("Suspended", reading, phase, &conditions)
    };
    let foreign = || with_pod(paused(), &json!({"metadata": {"ownerReferences": null}}));
    let to_be_paused = || {
        let mut lost = serving();
        lost.sandbox.spec.paused = true;
        lost
    };
    let creating = Some("CheckpointCreating");
    for (text, expected) in [
        (suspended(paused(), Phase::Paused, None), "True PodTerminated: "),
        (suspended(foreign(), Phase::Paused, None), "False PodNotOwned: "),
        (
            suspended(serving(), Phase::Pausing, creating),
            "False CheckpointCreating: ",
        ),
        (
            suspended(serving(), Phase::Pausing, Some("CheckpointSucceeded")),
            "False PodTerminating: ",
        ),
        (
            suspended(to_be_paused(), Phase::Failed, None),
            "False StateLost: trouble",
        ),
        (suspended(serving(), Phase::Failed, None), "False NotSuspended: "),
        (
            suspended(serving(), Phase::Running, Some("CheckpointFailed")),
            "False CheckpointFailed: ",
        ),
        (suspended(serving(), Phase::Resuming, creating), "False NotSuspended: "),
    ] {
        assert!(text.starts_with(expected), "{text} in place of {expected}");
    }
}

/// What is said of the readiness of a sandbox that is not ready for this reason.
fn ready_but_for(reason: &str, reading: Reading, phase: Phase) -> String {
    said("Ready", reading, phase, &[condition("Ready", "False", reason, 2, 0)])
}

#[test]
fn readiness_names_what_is_missing_of_the_pod() {
    let not_ready = |patch, phase| ready_but_for("PodNotReady", with_pod(serving(), &patch), phase);
    let going = json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}});
    let unready = "Pod is Running but not Ready";
    for (patch, phase, expected) in [
        (json!({}), Phase::Running, unready),
        (json!({}), Phase::Resuming, unready),
        (going, Phase::Resuming, "Pod is terminating"),
        (
            json!({"status": {"phase": "Pending"}}),
            Phase::Pending,
            "Pod exists with phase: Pending",
        ),
        (
            json!({"status": null}),
            Phase::Pending,
            "Pod exists with phase: Pending",
        ),
    ] {
        assert_eq!(
            not_ready(patch, phase),
            format!("False DependenciesNotReady: {expected}")
        );
    }
    let without = ready_but_for("PodNotReady", reading(&json!({})), Phase::Pending);
    assert_eq!(without, "False DependenciesNotReady: Pod does not exist");
    let serves = [condition("Ready", "True", "PodReady", 2, 0)];
    assert_eq!(
        said("Ready", serving(), Phase::Running, &serves),
        "True DependenciesReady: Pod is Ready"
    );
    // What the conditions said of the run before says nothing of a Pod that is only on its way.
    let resuming = said("Ready", serving(), Phase::Resuming, &serves);
    assert_eq!(resuming, format!("False DependenciesNotReady: {unready}"));
}

#[test]
fn readiness_names_what_is_in_the_way() {
    let ended = |phase: &str| with_pod(serving(), &json!({"status": {"phase": phase}}));
    let cases = vec![
        (
            "PodNotReady",
            serving(),
            Phase::Pausing,
            "SandboxSuspended: Sandbox is suspending",
        ),
        (
            "PodNotReady",
            paused(),
            Phase::Paused,
            "SandboxSuspended: Sandbox is suspended",
        ),
        ("SandboxExpired", paused(), Phase::Paused, "SandboxExpired: "),
        (
            "ClaimLost",
            paused(),
            Phase::Paused,
            "ReconcilerError: Error seen: trouble",
        ),
        ("StateLost", ended("Succeeded"), Phase::Failed, "PodSucceeded: trouble"),
        ("StateLost", ended("Failed"), Phase::Failed, "PodFailed: trouble"),
        ("StateLost", paused(), Phase::Failed, "StateLost: trouble"),
    ];
    for (reason, reading, phase, expected) in cases {
        assert_eq!(ready_but_for(reason, reading, phase), format!("False {expected}"));
    }
    let failed = [condition("SandboxResumed", "False", "RestoreFailed", 2, 0)];
    assert_eq!(
        said("Ready", paused(), Phase::Paused, &failed),
        "False RestoreFailed: trouble"
    );
    let mut silent = paused().status();
    (silent.phase, silent.message) = (Some(Phase::Failed), None);
    assert_eq!(message(&silent), "no reason given");
}

#[test]
fn a_service_is_told_as_it_was_seen_or_else_as_it_was_last_told() {
    let told = |wanted, seen: Option<Companion>, before: bool| {
        let mut reading = serving();
        reading.sandbox.spec.service = wanted;
        reading.companions.service = seen;
        if before {
            reading.published.insert("service".to_owned(), json!("one"));
        }
        let status = publish(&reading, &reading.status());
        let ready = status
            .conditions
            .into_iter()
            .find(|condition| condition.type_ == "Ready");
        (
            status.service_fqdn,
            ready.map(|ready| ready.message).unwrap_or_default(),
        )
    };
    let address = || Some("one.default.svc.cluster.local".to_owned());
    let there = || (address(), "Pod is Ready; Service Exists".to_owned());
    let missing = || (None, "Pod is Ready; Service does not exist".to_owned());
    assert_eq!(told(Some(true), Some(Companion::Ours), false), there());
    assert_eq!(told(Some(true), Some(Companion::Missing), true), missing());
    assert_eq!(told(Some(true), None, true), there());
    assert_eq!(told(Some(true), None, false), missing());
    assert_eq!(told(None, None, false), (None, "Pod is Ready".to_owned()));
}

#[test]
fn only_a_pod_that_ended_by_itself_finishes_its_sandbox() {
    let finished = |patch, phase| said("Finished", with_pod(serving(), &patch), phase, &[]);
    let going = json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}, "status": {"phase": "Failed"}});
    assert_eq!(
        finished(json!({"status": {"phase": "Failed"}}), Phase::Failed),
        "True PodFailed: Pod failed"
    );
    assert_eq!(
        finished(json!({"status": {"phase": "Succeeded"}}), Phase::Failed),
        "True PodSucceeded: Pod completed successfully"
    );
    assert_eq!(finished(going, Phase::Failed), "");
    assert_eq!(finished(json!({}), Phase::Failed), "");
    assert_eq!(finished(json!({"status": {"phase": "Failed"}}), Phase::Running), "");
}

#[test]
fn where_the_pod_is_scheduled_is_told_in_the_words_of_the_pod() {
    let scheduled = |condition: serde_json::Value| {
        let patch = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}, condition]}});
        said("PodScheduled", with_pod(serving(), &patch), Phase::Pending, &[])
    };
    for (condition, expected) in [
        (json!({"type": "PodScheduled", "status": "True"}), "True PodScheduled: "),
        (
            json!({"type": "PodScheduled", "status": "Unknown", "reason": ""}),
            "Unknown PodSchedulingUnknown: ",
        ),
        (
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no node"}),
            "False Unschedulable: no node",
        ),
        (json!({"type": "Initialized", "status": "True"}), ""),
    ] {
        assert_eq!(scheduled(condition), expected);
    }
}
