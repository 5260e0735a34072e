//! What is made of single readings, where a whole pass would not show it.

use serde_json::json;
use torpor_api::env;

use super::*;
use crate::companions::Companion;
use crate::example::{agent, at, condition, paused, pod, reading, record, serving, status};

/// A sandbox, a Pod or an answer that differs from the usual.
type Change = fn(&mut Reading);

fn changed(mut reading: Reading, change: Change) -> Reading {
    change(&mut reading);
    reading
}

/// Of a Pod whose agent was told to go on from a checkpoint.
fn told_to_restore(generation: Option<&str>) -> serde_json::Value {
    let variables: Vec<_> = generation
        .map(|generation| json!({"name": env::RESTORE_GENERATION, "value": generation}))
        .into_iter()
        .collect();
    json!({"spec": {"containers": [{"name": "proxy"}, {"name": "sandbox", "env": variables}]}})
}

#[test]
fn an_agent_is_asked_only_where_something_depends_on_its_answer() {
    let unasked: [(&str, Change); 8] = [
        ("it serves", |_| {}),
        ("deleted", |it| {
            it.sandbox.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(0)));
        }),
        ("to be paused before it served", |it| {
            it.sandbox.spec.paused = true;
            it.sandbox.status = None;
        }),
        ("no Pod", |it| it.pod = None),
        ("a foreign Pod", |it| {
            it.sandbox.spec.paused = true;
            it.pod = Some(pod(&json!({"metadata": {"ownerReferences": null}})));
        }),
        ("a Pod that ended", |it| {
            it.pod = Some(pod(&json!({"status": {"phase": "Failed"}})));
        }),
        ("a Pod that is on its way", |it| {
            it.sandbox.spec.paused = true;
            it.pod = Some(pod(&json!({"status": {"phase": "Pending"}})));
        }),
        ("a Pod that is going", |it| {
            it.sandbox.spec.paused = true;
            it.pod = Some(pod(&json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}})));
        }),
    ];
    for (name, change) in unasked {
        assert_eq!(changed(serving(), change).agent_to_ask(), None, "{name}");
    }
}

#[test]
fn an_agent_is_asked_where_its_pod_does_not_say_enough() {
    let asked: [(&str, Change); 5] = [
        ("a Pod that is not ready", |it| {
            it.pod = Some(pod(&json!({"status": {"conditions": null}})));
        }),
        ("another Pod than the one that served", |it| {
            it.pod = Some(pod(&json!({"metadata": {"uid": "pod-2"}})));
        }),
        ("not let in yet", |it| status(it).phase = Some(Phase::Resuming)),
        ("to be paused", |it| it.sandbox.spec.paused = true),
        ("to be paused, and on record", |it| {
            it.sandbox.spec.paused = true;
            status(it).checkpoint = Some(record(1));
        }),
    ];
    for (name, change) in asked {
        let reading = changed(serving(), change);
        let asked = reading.agent_to_ask().expect(name);
        let (pod, sandbox) = (reading.pod.expect(name), reading.sandbox);
        let addressee = Addressee {
            sandbox_uid: sandbox.metadata.uid,
            pod_uid: pod.metadata.uid,
        };
        assert_eq!(
            (asked.pod_ip.as_str(), asked.addressee),
            ("10.0.0.1", addressee),
            "{name}"
        );
    }
    let without_address = changed(serving(), |it| {
        it.sandbox.spec.paused = true;
        it.pod = Some(pod(&json!({"status": {"podIP": null}})));
    });
    assert_eq!(without_address.agent_to_ask(), None);
}

#[test]
fn a_failure_changes_the_goal_only_for_the_spec_that_it_was_met_with() {
    let restore_failed = |it: &mut Reading, generation, retry| {
        it.sandbox.spec.paused = false;
        let status = status(it);
        let failed = condition("SandboxResumed", "False", "RestoreFailed", generation, -60);
        status
            .conditions
            .push(serde_json::from_value(failed).expect("a condition"));
        let restore = json!({"failures": 1, "retryTime": at(retry).to_string()});
        status.restore = serde_json::from_value(restore).expect("failed restores");
    };
    for (generation, retry, goal) in [(2, 5, Goal::Paused), (2, 0, Goal::Running), (1, 5, Goal::Running)] {
        let mut failed = paused();
        restore_failed(&mut failed, generation, retry);
        assert_eq!(
            failed.goal(),
            goal,
            "generation {generation}, to be tried again in {retry} s"
        );
    }
    for (generation, goal) in [(2, Goal::Running), (1, Goal::Paused)] {
        let mut failed = serving();
        failed.sandbox.spec.paused = true;
        let condition = condition("SandboxPaused", "False", "CheckpointFailed", generation, -60);
        let condition = serde_json::from_value(condition).expect("a condition");
        status(&mut failed).conditions.push(condition);
        assert_eq!(failed.goal(), goal, "generation {generation}");
        // Torn since, it has its context on record again: no pause of that can fail.
        status(&mut failed).checkpoint = Some(record(1));
        assert_eq!(failed.goal(), Goal::Paused, "generation {generation}, on record");
    }
}

#[test]
fn a_failed_restore_is_waited_for_up_to_its_very_moment() {
    let mut failed = paused();
    assert_eq!(failed.restore_wait(), None);
    let restore = json!({"failures": 1, "retryTime": at(0).to_string()});
    status(&mut failed).restore = serde_json::from_value(restore).expect("failed restores");
    for (seconds, wait) in [(-3, Some(Duration::from_secs(3))), (0, None), (1, None)] {
        failed.now = at(seconds);
        assert_eq!(failed.restore_wait(), wait, "{seconds} s after it is due");
    }
}

#[test]
fn a_pause_is_overdue_at_its_deadline_counted_from_when_the_sandbox_was_last_ready_for_it() {
    let overdue = |paused: Option<(&str, i64)>, ready: Option<i64>, now| {
        let mut reading = reading(&json!({}));
        let conditions = [
            paused.map(|(reason, since)| condition("SandboxPaused", "False", reason, 2, since)),
            ready.map(|since| condition("Ready", "False", "PodNotReady", 2, since)),
        ];
        let conditions: Vec<_> = conditions.into_iter().flatten().collect();
        status(&mut reading).conditions = serde_json::from_value(json!(conditions)).expect("conditions");
        reading.now = at(now);
        reading.observed().patience == Patience::Spent
    };
    let creating = |since| Some(("CheckpointCreating", since));
    for (paused, ready, now, expected) in [
        (creating(0), None, 299, false),
        (creating(0), None, 300, true),
        (creating(0), Some(-500), 299, false),
        (creating(0), Some(-500), 300, true),
        (creating(0), Some(50), 349, false),
        (creating(0), Some(50), 350, true),
        // The clock was set back.
        (creating(0), None, -301, false),
        (Some(("CheckpointFailed", 0)), None, 301, false),
        (None, Some(0), 301, false),
    ] {
        assert_eq!(overdue(paused, ready, now), expected, "{paused:?}, {ready:?}, {now}");
    }
    let mut refused = reading(&json!({}));
    refused.freeze_refusal = Some("busy".to_owned());
    assert_eq!(refused.observed().patience, Patience::Spent);
}

#[test]
fn a_pod_is_told_from_its_like_by_whose_it_is_and_what_it_has_been_through() {
    let mut restored = told_to_restore(Some("1"));
    restored["metadata"] = json!({"uid": "pod-2"});
    let cases = vec![
        (Workload::Serving, serving(), json!({})),
        (
            Workload::Unready,
            serving(),
            json!({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}),
        ),
        (
            Workload::Unready,
            serving(),
            json!({"status": {"conditions": [{"type": "PodScheduled", "status": "True"}]}}),
        ),
        (
            Workload::Foreign,
            serving(),
            json!({"metadata": {"ownerReferences": null}}),
        ),
        (
            Workload::Stopping,
            serving(),
            json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}}),
        ),
        (Workload::Ended, serving(), json!({"status": {"phase": "Succeeded"}})),
        (Workload::Ended, serving(), json!({"metadata": {"uid": "pod-2"}})),
        // A resumed one that has not served yet may fail, and keeps its checkpoint.
        (
            Workload::FailedToStart,
            paused(),
            json!({"metadata": {"uid": "pod-2"}, "status": {"phase": "Failed"}}),
        ),
        (Workload::Unready, paused(), restored),
        (
            Workload::Unready,
            reading(&json!({})),
            json!({"status": {"containerStatuses": [
                {"name": "sandbox", "restartCount": 1, "ready": true, "image": "", "imageID": ""},
            ]}}),
        ),
    ];
    for (workload, mut reading, patch) in cases {
        reading.pod = Some(pod(&patch));
        assert_eq!(reading.workload(), workload, "{patch}");
    }
    assert_eq!(reading(&json!({})).workload(), Workload::Absent);
}

#[test]
fn restarts_are_counted_over_all_containers() {
    let restarted = |counts: [i32; 2]| {
        let container = |count| json!({"name": "c", "restartCount": count, "ready": true, "image": "", "imageID": ""});
        let patch = json!({"status": {"containerStatuses": counts.map(container)}});
        changed_pod(serving(), &patch).workload()
    };
    assert_eq!(restarted([0, 0]), Workload::Serving);
    assert_eq!(restarted([0, 1]), Workload::Ended);
}

fn changed_pod(reading: Reading, patch: &serde_json::Value) -> Reading {
    Reading {
        pod: Some(pod(patch)),
        ..reading
    }
}

#[test]
fn what_an_agent_says_is_weighed_by_whether_its_pod_has_served() {
    use {CheckpointState as C, WorkloadState as S};
    let message = || "broken".to_owned();
    let fresh = || changed_pod(reading(&json!({})), &json!({"metadata": {"uid": "pod-2"}}));
    let sealed = || C::Sealed { record: record(1) };
    let cases = vec![
        (Workload::Silent, serving(), AgentView::Silent(message())),
        (Workload::Serving, serving(), agent(None, S::Serving, C::None)),
        (Workload::Unready, serving(), agent(None, S::Starting, C::None)),
        (
            Workload::Ended,
            serving(),
            agent(None, S::Failed { message: message() }, C::None),
        ),
        (
            Workload::Ended,
            serving(),
            agent(None, S::Torn { message: message() }, C::None),
        ),
        (
            Workload::Torn,
            serving(),
            agent(None, S::Torn { message: message() }, sealed()),
        ),
        (
            Workload::FailedToStart,
            fresh(),
            agent(None, S::Failed { message: message() }, C::None),
        ),
        (
            Workload::FailedToStart,
            fresh(),
            agent(None, S::Torn { message: message() }, C::None),
        ),
        (Workload::Serving, fresh(), agent(None, S::Serving, C::None)),
        // Not started from what it was to be started from. One that has served was found to be.
        (Workload::FailedToStart, fresh(), agent(Some(1), S::Serving, C::None)),
        (Workload::Serving, serving(), agent(Some(1), S::Serving, C::None)),
    ];
    for (workload, mut reading, view) in cases {
        reading.agent = view;
        assert_eq!(reading.workload(), workload, "{:?}", reading.agent);
    }
}

#[test]
fn a_frozen_workload_is_told_by_how_far_its_checkpoint_is() {
    use {CheckpointState as C, WorkloadState as S};
    let sealed = || C::Sealed { record: record(1) };
    let failed = || C::Failed {
        generation: 1,
        message: String::new(),
    };
    let pausing = |reserved: u64| {
        let mut reading = serving();
        let creating = condition("SandboxPaused", "False", "CheckpointCreating", 2, 0);
        let status = status(&mut reading);
        status.conditions = serde_json::from_value(json!([creating])).expect("conditions");
        status.last_checkpoint_generation = Some(reserved);
        reading
    };
    let cases = vec![
        (Seal::None, serving(), C::None),
        (Seal::Writing, serving(), C::Writing { generation: 1 }),
        (Seal::Sealed, serving(), sealed()),
        (Seal::Failed, pausing(1), failed()),
        // Of an earlier pause, and of one that is not begun by the status.
        (Seal::None, pausing(2), failed()),
        (Seal::None, serving(), failed()),
    ];
    for (seal, reading, checkpoint) in cases {
        let mut reading = reading;
        reading.agent = agent(None, S::Frozen, checkpoint);
        assert_eq!(reading.workload(), Workload::Frozen(seal));
    }
}

#[test]
fn a_run_is_over_when_the_container_of_the_sandbox_has_ended_whatever_goes_on_beside_it() {
    let with_states = |sandbox: serde_json::Value, sidecar: serde_json::Value| {
        let of = |name: &str, state| json!({"name": name, "restartCount": 0, "ready": false, "image": "", "imageID": "", "state": state});
        let told = json!([{"name": env::SANDBOX_UID, "value": "uid-1"}]);
        json!({
            "metadata": {"uid": "pod-2"},
            "spec": {"containers": [{"name": "sidecar"}, {"name": "sandbox", "env": told}]},
            "status": {"conditions": null, "containerStatuses": [of("sidecar", sidecar), of("sandbox", sandbox)]},
        })
    };
    let ended = || json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    let runs = || json!({"running": {}});
    let lost = with_states(ended(), runs());
    let mut continued = lost.clone();
    continued["metadata"]["uid"] = json!("pod-1");
    for (workload, reading, patch) in [
        (Workload::Ended, serving(), continued),
        (Workload::FailedToStart, paused(), lost.clone()),
        (Workload::FailedToStart, reading(&json!({})), lost),
        (Workload::Unready, reading(&json!({})), with_states(runs(), ended())),
    ] {
        let reading = changed_pod(reading, &patch);
        assert_eq!(reading.workload(), workload, "{patch}");
    }
}

#[test]
fn a_pod_that_the_cluster_ended_is_told_from_one_that_ended_by_itself() {
    let ended = |target: &str| json!({"status": {"phase": "Failed", "conditions": [{"type": "DisruptionTarget", "status": target}]}});
    assert_eq!(changed_pod(serving(), &ended("True")).workload(), Workload::TakenAway);
    assert_eq!(changed_pod(serving(), &ended("False")).workload(), Workload::Ended);
    let going_on = json!({"status": {"conditions": [{"type": "DisruptionTarget", "status": "True"}]}});
    assert_eq!(changed_pod(serving(), &going_on).workload(), Workload::Unready);
}

#[test]
fn a_workload_need_not_be_ready_for_traffic_to_be_paused() {
    let unready = json!({"status": {"conditions": null}});
    let mut reading = changed_pod(serving(), &unready);
    reading.agent = agent(None, WorkloadState::Serving, CheckpointState::None);
    assert_eq!(reading.workload(), Workload::Unready);
    reading.sandbox.spec.paused = true;
    assert_eq!(reading.workload(), Workload::Serving);
}

#[test]
fn a_claim_that_is_missing_is_lost_only_where_files_were_kept_in_it() {
    let provided = |mut reading: Reading, claim: Companion| {
        reading.companions.claims = vec![("data-one".to_owned(), claim)];
        reading.observed().provision
    };
    let foreign = || Companion::Foreign {
        owner: "nobody".to_owned(),
    };
    assert_eq!(provided(paused(), Companion::Ours), Provision::Complete);
    assert_eq!(provided(paused(), Companion::Missing), Provision::ClaimLost);
    assert_eq!(provided(reading(&json!({})), Companion::Missing), Provision::Complete);
    assert_eq!(provided(paused(), foreign()), Provision::ClaimForeign);
    let mut bad = paused();
    bad.template_error = Some("no containers".to_owned());
    assert_eq!(provided(bad, foreign()), Provision::TemplateInvalid);
}

#[test]
fn details_are_of_our_own_pod_and_of_a_sealed_checkpoint_only() {
    let mut reading = serving();
    reading.agent = agent(
        Some(3),
        WorkloadState::Frozen,
        CheckpointState::Sealed { record: record(4) },
    );
    let details = reading.details();
    assert_eq!(
        (details.record, details.restored_generation),
        (Some(record(4)), Some(3))
    );
    let pod_info = details.pod_info.expect("of our Pod");
    assert_eq!(
        (
            pod_info.pod_uid.as_str(),
            pod_info.pod_ip.as_deref(),
            pod_info.node_name.as_deref()
        ),
        ("pod-1", Some("10.0.0.1"), Some("node-1"))
    );
    reading.agent = agent(None, WorkloadState::Frozen, CheckpointState::Writing { generation: 4 });
    assert_eq!(reading.details().record, None);
    let foreign = changed_pod(serving(), &json!({"metadata": {"ownerReferences": null}}));
    assert_eq!(foreign.details().pod_info, None);
}

#[test]
fn an_object_is_ours_only_by_a_controller_of_this_very_uid() {
    let owned = |controller, uid: &str| {
        let owner = json!({"apiVersion": "v1", "kind": "Job", "name": "two", "uid": uid, "controller": controller});
        pod(&json!({"metadata": {"ownerReferences": [owner]}}))
    };
    let sandbox = serving().sandbox;
    assert!(is_ours(&owned(true, "uid-1"), &sandbox));
    assert!(!is_ours(&owned(true, "uid-2"), &sandbox));
    assert!(!is_ours(&owned(false, "uid-1"), &sandbox));
    assert_eq!(owner(&owned(true, "uid-2")), "Job two (uid-2)");
    assert_eq!(owner(&owned(false, "uid-2")), "nobody");
}

#[test]
fn the_first_reason_that_a_pod_gives_for_its_end_is_told() {
    let exited = |message: Option<&str>, reason: Option<&str>| {
        let terminated = json!({"exitCode": 137, "message": message, "reason": reason});
        json!([
            {"name": "sidecar", "restartCount": 0, "ready": false, "image": "", "imageID": ""},
            {"name": "sandbox", "restartCount": 0, "ready": false, "image": "", "imageID": "",
                "state": {"terminated": terminated}},
        ])
    };
    for (status, text) in [
        (json!({"message": "node is gone", "reason": "NodeLost"}), "node is gone"),
        (json!({"reason": "Evicted"}), "Evicted"),
        (
            json!({"reason": "Evicted", "containerStatuses": exited(Some("out of memory"), Some("OOMKilled"))}),
            "container sandbox exited with code 137: out of memory",
        ),
        (
            json!({"containerStatuses": exited(None, Some("OOMKilled"))}),
            "container sandbox exited with code 137: OOMKilled",
        ),
        (
            json!({"containerStatuses": exited(None, None)}),
            "container sandbox exited with code 137: no reason given",
        ),
        (json!({}), "no reason given"),
    ] {
        let mut status = status;
        status["phase"] = json!("Failed");
        let reading = changed_pod(serving(), &json!({"status": status}));
        assert_eq!(reading.details().message, Some(format!("the Pod ended: {text}")));
    }
}

#[test]
fn what_went_wrong_is_told_in_the_order_of_what_can_be_done_about_it() {
    let pod_of = |patch: serde_json::Value| changed_pod(serving(), &patch);
    let silent = |it: Reading| Reading {
        agent: AgentView::Silent("connection refused".to_owned()),
        ..it
    };
    let going = json!({"metadata": {"deletionTimestamp": "2027-01-01T00:00:00Z"}});
    let restarted = json!({"status": {"containerStatuses": [
        {"name": "sandbox", "restartCount": 1, "ready": true, "image": "", "imageID": ""},
    ]}});
    let foreign = json!({"metadata": {"ownerReferences": null}});
    let cases = vec![
        (serving(), None),
        (silent(serving()), Some("connection refused")),
        (
            silent(pod_of(restarted)),
            Some("a container of the Pod was restarted and has lost its memory"),
        ),
        (
            silent(pod_of(going)),
            Some("the Pod is being deleted, and not by this controller"),
        ),
        (
            silent(pod_of(foreign)),
            Some("a Pod named one belongs to nobody; delete or rename it"),
        ),
        (paused(), Some("the Pod is gone; it was not deleted by this controller")),
    ];
    for (reading, text) in cases {
        assert_eq!(reading.details().message.as_deref(), text);
    }
    let mut refused = silent(serving());
    refused.freeze_refusal = Some("busy".to_owned());
    assert_eq!(refused.details().message.as_deref(), Some("busy"));
    refused.template_error = Some("no containers".to_owned());
    assert_eq!(refused.details().message.as_deref(), Some("no containers"));
}

#[test]
fn the_trouble_of_an_agent_is_told_in_its_own_words_or_by_what_was_expected_of_it() {
    use {CheckpointState as C, WorkloadState as S};
    let message = || "the disk is full".to_owned();
    let told = |generation: Option<&str>, view| {
        let reading = Reading {
            agent: view,
            ..changed_pod(serving(), &told_to_restore(generation))
        };
        reading.details().message.unwrap_or_default()
    };
    let torn = agent(Some(1), S::Torn { message: message() }, C::Sealed { record: record(1) });
    assert_eq!(
        told(Some("1"), torn),
        "the disk is full; what was done since it was resumed is lost"
    );
    assert_eq!(
        told(None, agent(None, S::Failed { message: message() }, C::None)),
        "the disk is full"
    );
    let unsealed = C::Failed {
        generation: 1,
        message: message(),
    };
    assert_eq!(told(None, agent(None, S::Frozen, unsealed.clone())), "the disk is full");
    assert_eq!(
        told(None, agent(None, S::Serving, unsealed)),
        "it took longer than 300 s"
    );
    assert_eq!(told(None, agent(None, S::Frozen, C::None)), "it took longer than 300 s");
    assert_eq!(
        told(Some("2"), agent(Some(2), S::Serving, C::None)),
        "it took longer than 300 s"
    );
    for (from, expected) in [(None, "none instead of 2"), (Some(1), "1 instead of 2")] {
        let text = told(Some("2"), agent(from, S::Serving, C::None));
        assert_eq!(text, format!("the workload was started from checkpoint {expected}"));
    }
    assert_eq!(
        told(None, agent(Some(1), S::Starting, C::None)),
        "the workload was started from checkpoint 1 instead of none"
    );
}

#[test]
fn trouble_with_a_claim_is_told_before_a_start_and_says_what_to_do() {
    let with = |mut reading: Reading, claim| {
        reading.companions.claims = vec![("data-one".to_owned(), claim)];
        reading
    };
    let mut resuming = with(paused(), Companion::Missing);
    let lost = "the volume claim data-one is gone with the files in it; bring it back under this name and with the \
                annotation torpor.dev/sandbox-uid=uid-1, or delete the sandbox";
    assert_eq!(resuming.claim_trouble(), Some((Reason::ClaimLost, lost.to_owned())));
    assert_ne!(
        resuming.details().message.as_deref(),
        Some(lost),
        "nothing is to be started"
    );
    resuming.sandbox.spec.paused = false;
    assert_eq!(resuming.details().message.as_deref(), Some(lost));
    let owner = "an earlier sandbox (uid-0)".to_owned();
    let foreign = with(paused(), Companion::Foreign { owner });
    let text =
        "the volume claim data-one is not of this sandbox but of an earlier sandbox (uid-0); delete or rename it";
    assert_eq!(
        foreign.claim_trouble(),
        Some((Reason::ClaimOwnerMismatch, text.to_owned()))
    );
    assert_eq!(with(paused(), Companion::Ours).claim_trouble(), None);
    assert_eq!(with(reading(&json!({})), Companion::Missing).claim_trouble(), None);
}
