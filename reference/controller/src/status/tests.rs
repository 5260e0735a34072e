//! What each report says, from where it can be given.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, Time};
use serde_json::{Value, json};
use torpor_api::PodInfo;

use super::*;
use crate::companions::Companion;
use crate::decide::Fault;
use crate::example::{agent, at, condition, paused, pod, reading, record, serving, status};
use crate::observe::AgentView;
use torpor_api::{CheckpointState, WorkloadState};

/// Phase, conditions and message in one line.
fn said(status: &SandboxStatus) -> String {
    let phase = status
        .phase
        .map_or_else(|| "-".to_owned(), |phase| format!("{phase:?}"));
    let conditions = status
        .conditions
        .iter()
        .map(|it| format!(" {}={}/{}", it.type_, it.status, it.reason));
    let message = status.message.as_deref().unwrap_or("-");
    format!("{phase}:{} | {message}", conditions.collect::<String>())
}

fn says(reading: &Reading, report: Report) -> String {
    said(&compose(reading, report, None))
}

/// Its conditions in place of the usual.
fn with(mut reading: Reading, phase: Phase, conditions: &[Value]) -> Reading {
    let status = status(&mut reading);
    status.phase = Some(phase);
    status.conditions = serde_json::from_value(json!(conditions)).expect("conditions");
    reading
}

/// A pause that failed for this generation, and is asked for in the spec of generation 2.
fn pause_failed(generation: i64) -> Reading {
    let failed = condition("SandboxPaused", "False", "CheckpointFailed", generation, -9);
    let mut reading = with(serving(), Phase::Resuming, &[failed]);
    reading.sandbox.spec.paused = true;
    status(&mut reading).message = Some("pause failed".to_owned());
    reading
}

/// A restore that failed for this generation, three in a row.
fn restore_failed(generation: i64) -> Reading {
    let failed = condition("SandboxResumed", "False", "RestoreFailed", generation, -9);
    let mut reading = with(paused(), Phase::Resuming, &[failed]);
    reading.sandbox.spec.paused = false;
    let status = status(&mut reading);
    status.message = Some("restore failed".to_owned());
    status.restore = Some(torpor_api::FailedRestores {
        failures: 3,
        retry_time: Time(at(60)),
    });
    reading
}

#[test]
fn what_is_as_it_is_stays_byte_for_byte() {
    let mut stale = serving();
    status(&mut stale).observed_generation = Some(1);
    assert_eq!(compose(&stale, Report::AsIs, None), stale.status());
    let after = compose(&stale, Report::Running { ready: true }, None);
    assert_eq!(after.observed_generation, Some(2));
    assert!(
        after
            .conditions
            .iter()
            .all(|condition| condition.observed_generation == Some(2))
    );
}

#[test]
fn the_address_and_the_node_are_those_of_the_pod_that_serves() {
    let up = compose(&serving(), Report::Running { ready: true }, None);
    assert_eq!(
        (up.sandbox_ip.as_deref(), up.node_name.as_deref()),
        (Some("10.0.0.1"), Some("node-1"))
    );
    for down in [
        Report::Paused,
        Report::Failed(Fault::StateLost),
        Report::Starting,
        Report::ContextLost,
    ] {
        let down = compose(&serving(), down, None);
        assert_eq!((down.sandbox_ip, down.node_name, down.pod_info), (None, None, None));
    }
}

#[test]
fn a_start_by_hand_after_a_pause_that_kept_nothing_notes_its_moment() {
    let new = reading(&json!({}));
    assert_eq!(says(&new, Report::Starting), "Pending: Ready=False/PodNotReady | -");
    let never_served = with(
        new,
        Phase::Paused,
        &[condition("SandboxPaused", "True", "StopPauseSucceed", 1, -9)],
    );
    assert_eq!(
        says(&never_served, Report::Starting),
        "Pending: Ready=False/PodNotReady SandboxResumed=False/CreatePod | -"
    );
}

#[test]
fn a_run_counts_from_when_it_first_serves_or_serves_again() {
    let since = |reading: &Reading| compose(reading, Report::Running { ready: true }, None).running_since;
    let (before, now) = (serving().status().running_since, Some(MicroTime(serving().now)));
    assert_ne!(before, now);
    assert_eq!(since(&serving()), before, "it served all along");
    assert_eq!(
        since(&reading(&json!({"phase": "Pending"}))),
        now,
        "it serves for the first time"
    );
    let resumed = with(
        serving(),
        Phase::Resuming,
        &[condition("SandboxResumed", "False", "CreatePod", 2, -9)],
    );
    assert_eq!(since(&resumed), now, "it serves again");
    let called_off = with(
        serving(),
        Phase::Running,
        &[condition("SandboxPaused", "False", "CheckpointCreating", 2, -9)],
    );
    assert_eq!(since(&called_off), now, "its pause was called off");
    assert_eq!(since(&pause_failed(2)), before, "its pause failed, it ran on");
    assert_eq!(since(&pause_failed(1)), now, "its pause failed for an earlier spec");
    let mut given_up = pause_failed(2);
    given_up.sandbox.spec.paused = false;
    assert_eq!(since(&given_up), now, "nobody asks for the pause that failed any more");
}

#[test]
fn what_serves_has_no_checkpoint_and_no_trouble_but_a_pause_that_failed() {
    let resumed = compose(&restore_failed(2), Report::Running { ready: true }, None);
    assert_eq!(
        said(&resumed),
        "Running: Ready=True/PodReady SandboxResumed=True/ResumePod | -"
    );
    assert_eq!((resumed.checkpoint, resumed.restore), (None, None));
    assert_eq!(
        says(&serving(), Report::Running { ready: false }),
        "Running: Ready=False/PodNotReady | -"
    );
    assert_eq!(
        says(&pause_failed(2), Report::Running { ready: true }),
        "Running: Ready=True/PodReady SandboxPaused=False/CheckpointFailed | pause failed"
    );
    assert_eq!(
        says(&pause_failed(1), Report::Running { ready: true }),
        "Running: Ready=True/PodReady | -"
    );
}

#[test]
fn a_checkpoint_number_is_reserved_once_and_lies_above_every_other() {
    let number = |reading: &Reading| compose(reading, Report::Pausing, None).last_checkpoint_generation;
    let mut serving = serving();
    assert_eq!(number(&serving), Some(1));
    status(&mut serving).last_checkpoint_generation = Some(4);
    assert_eq!(number(&serving), Some(5));
    serving.agent = agent(Some(7), WorkloadState::Serving, CheckpointState::None);
    assert_eq!(
        number(&serving),
        Some(8),
        "a status that was restored from a backup may lag behind"
    );
    let under_way = with(
        serving,
        Phase::Pausing,
        &[condition("SandboxPaused", "False", "CheckpointCreating", 2, -9)],
    );
    assert_eq!(number(&under_way), Some(4));
    let mut failed = pause_failed(1);
    status(&mut failed).last_checkpoint_generation = Some(4);
    assert_eq!(number(&failed), Some(4), "first the verdict on the earlier pause goes");
    *status(&mut failed) = compose(&failed, Report::Pausing, None);
    assert_eq!(number(&failed), Some(5));
}

#[test]
fn a_pause_that_is_tried_again_begins_anew() {
    let mut failed = pause_failed(1);
    let condition = |reading: &Reading| conditions::find(&reading.status(), ConditionType::Paused).cloned();
    *status(&mut failed) = compose(&failed, Report::Pausing, None);
    assert_eq!(condition(&failed), None, "its time moves only with a flip");
    *status(&mut failed) = compose(&failed, Report::Pausing, None);
    let began = condition(&failed).map(|paused| paused.last_transition_time.0);
    assert_eq!(began, Some(at(0)));
    assert_eq!(compose(&failed, Report::Pausing, None), failed.status());
}

#[test]
fn a_pause_says_how_far_it_is() {
    let paused_at = |report| {
        let mut reading = serving();
        reading.sandbox.spec.paused = true;
        reading.agent = agent(
            None,
            WorkloadState::Frozen,
            CheckpointState::Sealed { record: record(3) },
        );
        compose(&reading, report, None)
    };
    assert_eq!(
        said(&paused_at(Report::Pausing)),
        "Pausing: Ready=False/PodNotReady SandboxPaused=False/CheckpointCreating | -"
    );
    let sealed = paused_at(Report::Sealed);
    assert_eq!(
        said(&sealed),
        "Pausing: Ready=False/PodNotReady SandboxPaused=False/CheckpointSucceeded | -"
    );
    assert_eq!(
        (sealed.checkpoint, sealed.last_checkpoint_generation),
        (Some(record(3)), Some(3))
    );
    let reasons = |reading: &Reading| [Report::Stopping, Report::Paused].map(|report| says(reading, report));
    assert_eq!(
        reasons(&paused()),
        [
            "Pausing: Ready=False/PodNotReady SandboxPaused=False/CheckpointSucceeded | -",
            "Paused: Ready=False/PodNotReady SandboxPaused=True/SnapshotPauseSucceed | -",
        ]
    );
    assert_eq!(
        reasons(&reading(&json!({}))),
        [
            "Pausing: Ready=False/PodNotReady SandboxPaused=False/Pending | -",
            "Paused: Ready=False/PodNotReady SandboxPaused=True/StopPauseSucceed | -",
        ]
    );
}

#[test]
fn a_sandbox_that_has_expired_says_so_on_its_way_and_in_its_pause() {
    let mut expired = paused();
    expired.sandbox.spec.shutdown_policy = torpor_api::ShutdownPolicy::Retain;
    expired.sandbox.spec.shutdown_time = Some(Time(at(0)));
    for report in [Report::Stopping, Report::Paused] {
        let text = says(&expired, report);
        assert!(text.contains(" Ready=False/SandboxExpired "), "{text}");
    }
}

#[test]
fn a_paused_sandbox_whose_claim_is_lost_says_so_before_anybody_resumes_it() {
    let mut reading = paused();
    reading.companions.claims = vec![("data-one".to_owned(), Companion::Missing)];
    let text = says(&reading, Report::Paused);
    assert!(
        text.starts_with(
            "Paused: Ready=False/ClaimLost SandboxPaused=True/SnapshotPauseSucceed | the volume claim data-one"
        ),
        "{text}"
    );
}

#[test]
fn a_failed_restore_stays_in_sight_until_the_spec_changes_or_asks_for_a_pause() {
    for report in [Report::Stopping, Report::Paused] {
        let kept = compose(&restore_failed(2), report, None);
        assert!(kept.restore.is_some(), "{report:?}");
        assert!(
            said(&kept).contains(" SandboxResumed=False/RestoreFailed | restore failed"),
            "{report:?}"
        );
        let mut to_be_paused = restore_failed(2);
        to_be_paused.sandbox.spec.paused = true;
        for outdated in [restore_failed(1), to_be_paused] {
            let gone = compose(&outdated, report, None);
            assert_eq!(
                (gone.restore.as_ref(), gone.message.as_deref()),
                (None, None),
                "{report:?}"
            );
            assert!(!said(&gone).contains("SandboxResumed"), "{report:?}");
        }
    }
}

#[test]
fn a_resume_forgets_the_pod_that_is_gone_and_keeps_the_one_that_serves_on() {
    let pod_of = |reading: &Reading| {
        let info = compose(reading, Report::Resuming, None).pod_info;
        info.map(|info: PodInfo| info.pod_uid)
    };
    assert_eq!(pod_of(&serving()), Some("pod-1".to_owned()));
    let mut another = serving();
    another.pod = Some(pod(&json!({"metadata": {"uid": "pod-2"}})));
    assert_eq!(pod_of(&another), None);
    another.pod = None;
    assert_eq!(pod_of(&another), None);
    assert_eq!(
        says(&paused(), Report::Resuming),
        "Resuming: Ready=False/PodNotReady SandboxResumed=False/CreatePod | -"
    );
    assert_eq!(
        says(&pause_failed(2), Report::Resuming),
        "Resuming: Ready=False/PodNotReady SandboxPaused=False/CheckpointFailed | pause failed",
        "on the way back from a failed pause the failure is the news"
    );
    assert_eq!(
        says(&pause_failed(1), Report::Resuming),
        "Resuming: Ready=False/PodNotReady SandboxResumed=False/CreatePod | -"
    );
}

#[test]
fn a_pod_that_was_refused_is_told_until_it_is_there() {
    let obstacle = Obstacle::CreateRefused("create the Pod: exceeded quota".to_owned());
    let refused = compose(&reading(&json!({})), Report::Starting, Some(&obstacle));
    let text = "Pending: Ready=False/PodCreateFailed | create the Pod: exceeded quota; it is tried again";
    assert_eq!(said(&refused), text);
    let mut again = reading(&serde_json::to_value(&refused).expect("JSON"));
    assert_eq!(says(&again, Report::Starting), text, "nothing has changed since");
    again.pod = Some(pod(&json!({})));
    assert_eq!(says(&again, Report::Starting), "Pending: Ready=False/PodNotReady | -");
}

#[test]
fn a_deletion_tells_what_keeps_it_from_its_end_and_nothing_older() {
    let mut deleted = serving();
    status(&mut deleted).message = Some("old".to_owned());
    assert_eq!(
        says(&deleted, Report::Terminating),
        "Terminating: Ready=False/PodNotReady | -"
    );
    let obstacle = Obstacle::RemovalFailed("the store is down".to_owned());
    let kept = compose(&deleted, Report::Terminating, Some(&obstacle));
    let text = "Terminating: Ready=False/PodNotReady | the store is down; it is tried again";
    assert_eq!(said(&kept), text);
    let again = reading(&serde_json::to_value(&kept).expect("JSON"));
    assert_eq!(says(&again, Report::Terminating), text, "nothing has changed since");
}

#[test]
fn a_failed_pause_says_why_and_how_to_try_again() {
    let mut reading = serving();
    reading.freeze_refusal = Some("busy".to_owned());
    assert_eq!(
        says(&reading, Report::PauseFailed),
        "Resuming: Ready=True/PodReady SandboxPaused=False/CheckpointFailed | pause failed, the sandbox runs on: busy; \
         to try again set paused to false, then to true"
    );
}

#[test]
fn what_is_on_its_way_back_from_a_failed_pause_is_not_ready() {
    let mut failed = serving();
    failed.sandbox.spec.paused = true;
    let condition = condition("SandboxPaused", "False", "CheckpointFailed", 2, 0);
    let condition = serde_json::from_value(condition).expect("a condition");
    status(&mut failed).conditions.push(condition);
    let said = says(&failed, Report::Resuming);
    let expected = "Resuming: Ready=False/PodNotReady SandboxPaused=False/CheckpointFailed | ";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn a_failed_restore_says_why_and_when_it_is_tried_again() {
    let mut first = paused();
    first.pod = Some(pod(&json!({"metadata": {"uid": "pod-2"}})));
    first.agent = AgentView::Silent("no answer".to_owned());
    let failed = compose(&first, Report::RestoreFailed, None);
    let restore = failed.restore.clone().expect("failed restores");
    assert_eq!((restore.failures, restore.retry_time.0), (1, at(10)));
    assert_eq!(
        failed.message.as_deref(),
        Some(
            "restore of checkpoint 1 failed, 1 in a row: no answer; it is kept, and tried again at \
             2027-01-15T08:00:10Z or at any change of the spec; to give it up delete the sandbox"
        )
    );
    assert_eq!(
        (failed.phase, &failed.checkpoint),
        (Some(Phase::Resuming), &Some(record(1)))
    );
    let fourth = compose(&restore_failed(2), Report::RestoreFailed, None);
    let restore = fourth.restore.expect("failed restores");
    assert_eq!((restore.failures, restore.retry_time.0), (4, at(80)));
}

#[test]
fn a_torn_run_puts_the_checkpoint_that_it_came_from_on_record_again() {
    let mut torn = serving();
    let message = "a chunk is damaged".to_owned();
    torn.agent = agent(
        Some(6),
        WorkloadState::Torn { message },
        CheckpointState::Sealed { record: record(6) },
    );
    let status = compose(&torn, Report::RestoreFailed, None);
    assert_eq!(status.checkpoint, Some(record(6)));
    let text = status.message.expect("a message");
    assert!(
        text.starts_with("restore of checkpoint 6 failed, 1 in a row: a chunk is damaged; "),
        "{text}"
    );
}

#[test]
fn lost_context_is_told_in_a_condition_of_its_own() {
    let mut lost = with(
        serving(),
        Phase::Running,
        &[
            condition("SandboxPaused", "False", "CheckpointFailed", 1, -9),
            condition("SandboxResumed", "True", "ResumePod", 1, -9),
        ],
    );
    lost.pod = None;
    let status = compose(&lost, Report::ContextLost, None);
    assert_eq!(
        said(&status),
        "Pending: ContextLost=True/PodRecreated Ready=False/PodNotReady | context lost: the Pod is gone; it was not \
         deleted by this controller; the sandbox is started afresh, as spec.lostPodPolicy asks"
    );
    assert_eq!(status.running_since, None);
}

#[test]
fn what_cannot_be_started_goes_back_to_where_it_rests_and_says_what_is_in_the_way() {
    let blocked = |mut reading: Reading, blocker| {
        reading.template_error = Some("no containers".to_owned());
        says(&reading, Report::Blocked(blocker))
    };
    let new = || {
        let conditions = ["SandboxPaused", "SandboxResumed"].map(|kind| condition(kind, "False", "Pending", 2, -9));
        with(reading(&json!({})), Phase::Pending, &conditions)
    };
    for (blocker, before_first_run, reason) in [
        (Blocker::TemplateInvalid, "Failed", "TemplateInvalid"),
        (Blocker::PodForeign, "Pending", "PodOwnerMismatch"),
        (Blocker::ClaimForeign, "Pending", "ClaimOwnerMismatch"),
        (Blocker::ClaimLost, "Pending", "ClaimLost"),
    ] {
        assert_eq!(
            blocked(new(), blocker),
            format!("{before_first_run}: Ready=False/{reason} | no containers")
        );
        assert_eq!(
            blocked(paused(), blocker),
            format!("Paused: Ready=False/{reason} SandboxPaused=True/SnapshotPauseSucceed | no containers")
        );
    }
}

#[test]
fn a_failure_for_good_keeps_its_first_account() {
    let fails = |reading: &Reading, fault| says(reading, Report::Failed(fault));
    let mut lost = pause_failed(1);
    lost.pod = None;
    let text = "Failed: Ready=False/StateLost | context lost: the Pod is gone; it was not deleted by this controller";
    assert_eq!(fails(&lost, Fault::StateLost), text);
    let mut later =
        reading(&serde_json::to_value(compose(&lost, Report::Failed(Fault::StateLost), None)).expect("JSON"));
    later.pod = Some(pod(&json!({"status": {"phase": "Failed"}})));
    assert_eq!(fails(&later, Fault::StateLost), text);
    assert_eq!(fails(&later, Fault::StartFailed), text);

    let mut never_served = reading(&json!({"phase": "Pending"}));
    never_served.pod = Some(pod(&json!({"status": {"phase": "Failed", "message": "no such image"}})));
    let text = "Failed: Ready=False/PodNotReady | first start failed: the Pod ended: no such image";
    assert_eq!(fails(&never_served, Fault::StartFailed), text);
    let after = compose(&never_served, Report::Failed(Fault::StartFailed), None);
    let later = reading(&serde_json::to_value(after).expect("JSON"));
    assert_eq!(fails(&later, Fault::StartFailed), text);
    // Blocked before its first run, it has no message of a failure to keep.
    let mut without = reading(&json!({"phase": "Failed"}));
    without.pod = never_served.pod;
    assert_eq!(fails(&without, Fault::StartFailed), text);
}
