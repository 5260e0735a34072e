use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::runtime::controller::Action;
use serde_json::{Value, json};
use torpor_api::{ConditionType, Phase, Reason, WorkloadState};

use self::world::{AgentMood, Break, StoreMood, World};
use crate::ReconcileError;
use crate::conditions;
use crate::controller::Context;
use crate::reconcile::{after_error, reconcile};

mod companions;
mod crash;
mod defects;
mod fronts;
mod looks;
mod losses;
mod world;

fn spec() -> Value {
    json!({"template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}}})
}

async fn running() -> (World, Arc<Context>) {
    let world = World::new(spec());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    (world, controller)
}

async fn paused(context: u64) -> (World, Arc<Context>) {
    let (world, mut controller) = running().await;
    world.write_context(context);
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
    (world, controller)
}

fn phase(world: &World) -> Option<Phase> {
    world.sandbox().status.and_then(|status| status.phase)
}

fn says(world: &World, kind: ConditionType, reason: Reason) -> bool {
    conditions::has_reason(&world.sandbox().status.unwrap_or_default(), kind, reason)
}

fn seconds_from_now(world: &World, seconds: i64) -> Timestamp {
    world.state().now + SignedDuration::from_secs(seconds)
}

#[tokio::test]
async fn a_pause_and_a_resume_keep_the_context_over_five_cycles() {
    let (world, mut controller) = running().await;
    for cycle in 1..=5 {
        world.write_context(cycle);
        world.patch_spec(json!({"paused": true}));
        world.settle(&mut controller).await;
        assert_eq!((phase(&world), world.context()), (Some(Phase::Paused), None));
        assert_eq!(world.state().store.len(), 1, "older checkpoints are removed");
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
        assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(cycle)));
        assert_eq!(
            world.sandbox().status.expect("a status").last_checkpoint_generation,
            Some(cycle)
        );
    }
}

#[tokio::test]
async fn a_pause_takes_at_most_six_writes_a_resume_three_and_rest_none() {
    let (world, mut controller) = running().await;
    world.state().writes.clear();
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert!(world.state().writes.len() <= 6, "{:#?}", world.state().writes);
    world.state().writes.clear();
    world.settle(&mut controller).await;
    assert!(world.state().writes.is_empty(), "{:#?}", world.state().writes);
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(world.state().writes.len(), 3, "{:#?}", world.state().writes);
}

#[tokio::test]
async fn each_step_is_told_as_an_event_at_its_completion() {
    let (world, mut controller) = paused(1).await;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(
        world.state().events,
        ["SandboxStarted", "CheckpointSealed", "SandboxPaused", "SandboxResumed"]
    );
}

#[tokio::test]
async fn any_single_write_may_fail_or_lose_its_answer_without_loss_of_context() {
    for how in [Break::Refused, Break::AnswerLost] {
        for at in 0..12 {
            let world = World::new(spec());
            world.state().break_at = Some((at, how));
            let mut controller = world.controller(None);
            world.settle(&mut controller).await;
            world.write_context(7);
            world.patch_spec(json!({"paused": true}));
            world.settle(&mut controller).await;
            assert_eq!(
                (phase(&world), world.context()),
                (Some(Phase::Paused), None),
                "{how:?} at {at}"
            );
            world.patch_spec(json!({"paused": false}));
            world.settle(&mut controller).await;
            assert_eq!(
                (phase(&world), world.context()),
                (Some(Phase::Running), Some(7)),
                "{how:?} at {at}"
            );
        }
    }
}

/// The request is turned round after every number of writes.
#[tokio::test]
async fn a_pause_called_off_between_any_two_writes_ends_in_running() {
    for at in 0..8 {
        let (world, mut controller) = running().await;
        world.write_context(5);
        world.state().writes.clear();
        world.state().break_at = Some((at, Break::Refused));
        world.patch_spec(json!({"paused": true}));
        let broke_off = world.pass(&controller).await.is_err();
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
        assert_eq!(
            phase(&world),
            Some(Phase::Running),
            "called off at {at}, broke off: {broke_off}"
        );
        assert_eq!(
            world.context().map(|context| context % 1000),
            Some(5),
            "called off at {at}"
        );
        // And it can be paused again, under a number never used before.
        world.patch_spec(json!({"paused": true}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Paused), "called off at {at}");
    }
}

/// Its answer is lost while it waits for its turn, and the pause is called off before that has come.
#[tokio::test]
async fn a_freeze_that_is_still_to_come_stops_nothing_that_is_reported_as_running() {
    let (world, controller) = running().await;
    world.write_context(5);
    world.state().mood = AgentMood::FreezesLate;
    world.patch_spec(json!({"paused": true}));
    let broke_off = world.pass(&controller).await;
    broke_off.expect_err("the answer is lost");
    world.patch_spec(json!({"paused": false}));
    let mut restarted = world.controller(None);
    world.settle(&mut restarted).await;
    world.state().freeze_comes();
    let serves = world.state().agent.as_ref().map(|(agent, _)| agent.workload.clone());
    assert_eq!(
        (phase(&world), serves),
        (Some(Phase::Running), Some(WorkloadState::Serving))
    );
}

#[tokio::test]
async fn a_sandbox_created_paused_starts_nothing() {
    let mut spec = spec();
    spec["paused"] = json!(true);
    let world = World::new(spec);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.state().pod.is_none()),
        (Some(Phase::Paused), true)
    );
    assert!(says(&world, ConditionType::Paused, Reason::StopPauseSucceed));
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
}

#[tokio::test]
async fn nothing_is_remembered_of_a_sandbox_that_is_gone() {
    let mut spec = spec();
    (spec["paused"], spec["service"]) = (json!(true), json!(true));
    let world = World::new(spec);
    world.state().forbidden = Some("services");
    let controller = world.controller(None);
    world.pass(&controller).await.expect("the Service is put off");
    assert!(controller.obstacles.is_failing("uid-1"));
    let gone = Arc::new(world.sandbox());
    world.delete_sandbox();
    assert!(world.state().sandbox.is_none(), "it never had a finalizer");
    let looked = reconcile(gone, controller.clone(), &world.checkpoints()).await;
    assert_eq!(looked.ok(), Some(Action::await_change()));
    assert!(!controller.obstacles.is_failing("uid-1"));
}

/// Each of them is tried again later and later, up to a minute.
#[tokio::test]
async fn a_write_that_is_refused_again_and_again_puts_off_no_timer() {
    let claim = json!({"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}});
    for (refused, field, value) in [
        ("services", "service", json!(true)),
        ("persistentvolumeclaims", "volumeClaimTemplates", json!([claim])),
    ] {
        let mut spec = spec();
        spec[field] = value;
        let world = World::new(spec);
        let shutdown = seconds_from_now(&world, 5);
        world.patch_spec(json!({"shutdownTime": shutdown.to_string()}));
        world.state().forbidden = Some(refused);
        let mut controller = world.controller(None);
        let mut next = Action::await_change();
        for _ in 0..8 {
            next = world.pass(&controller).await.expect("a pass");
            world.state().node_step();
        }
        assert_eq!(next, Action::requeue(Duration::from_secs(5)), "{refused}");
        world.state().now = shutdown;
        world.settle(&mut controller).await;
        assert!(world.state().sandbox.is_none(), "{refused}");
    }
}

#[tokio::test]
async fn a_pass_that_breaks_off_again_and_again_puts_off_no_timer() {
    let (world, controller) = running().await;
    let pause = seconds_from_now(&world, 5);
    world.patch_spec(json!({"pauseTime": pause.to_string()}));
    let broken = ReconcileError::Restless { steps: 1 };
    let next = || after_error(&world.sandbox(), "one", &broken, &controller);
    assert_eq!(next(), Action::requeue(Duration::from_millis(100)));
    for _ in 0..12 {
        next();
    }
    assert_eq!(next(), Action::requeue(Duration::from_secs(5)));
}

#[tokio::test]
async fn a_failed_pause_leaves_the_sandbox_running_and_is_not_repeated() {
    for mood in [AgentMood::RefusesToFreeze, AgentMood::FailsToSeal] {
        let (world, mut controller) = running().await;
        world.write_context(3);
        world.state().mood = mood;
        world.patch_spec(json!({"paused": true}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Running), "{mood:?}");
        assert!(
            says(&world, ConditionType::Paused, Reason::CheckpointFailed),
            "{mood:?}"
        );
        assert!(says(&world, ConditionType::Ready, Reason::PodReady), "{mood:?}");
        assert_eq!(world.context().map(|context| context % 1000), Some(3));
        world.state().mood = AgentMood::Works;
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
        assert!(conditions::find(&world.sandbox().status.expect("a status"), ConditionType::Paused).is_none());
        world.patch_spec(json!({"paused": true}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Paused), "{mood:?}");
    }
}

#[tokio::test]
async fn a_checkpoint_that_takes_too_long_is_given_up() {
    let (world, mut controller) = running().await;
    world.state().mood = AgentMood::SealsForever;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Pausing));
    let later = seconds_from_now(&world, 301);
    world.state().now = later;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    assert!(says(&world, ConditionType::Paused, Reason::CheckpointFailed));
}

#[tokio::test]
async fn a_pause_that_is_tried_again_has_its_whole_time_though_the_sandbox_was_not_ready() {
    let (world, mut controller) = running().await;
    world.state().pod.as_mut().expect("a Pod")["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
    world.state().mood = AgentMood::SealsForever;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    world.state().now = seconds_from_now(&world, 300);
    world.settle(&mut controller).await;
    assert!(says(&world, ConditionType::Paused, Reason::CheckpointFailed));
    world.state().now = seconds_from_now(&world, 600);
    world.patch_spec(json!({"service": false}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Pausing));
    world.state().now = seconds_from_now(&world, 299);
    world.state().mood = AgentMood::Works;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
}

#[tokio::test]
async fn a_container_that_began_anew_is_reported_lost_and_an_unready_one_is_not() {
    let (world, mut controller) = running().await;
    let ready = |value| json!([{"type": "Ready", "status": value}]);
    world.state().pod.as_mut().expect("a Pod")["status"]["conditions"] = ready("False");
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    assert!(says(&world, ConditionType::Ready, Reason::PodNotReady));
    world.state().pod.as_mut().expect("a Pod")["status"]["conditions"] = ready("True");
    let statuses = json!([{"name": "sandbox", "restartCount": 1, "ready": true, "image": "", "imageID": ""}]);
    world.state().pod.as_mut().expect("a Pod")["status"]["containerStatuses"] = statuses;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Failed));
    assert!(says(&world, ConditionType::Ready, Reason::StateLost));
}

#[tokio::test]
async fn a_foreign_pod_is_reported_and_left_alone() {
    let world = World::new(spec());
    let foreign = json!({"metadata": {"name": "one", "namespace": "default", "uid": "other"}});
    world.state().pod = Some(foreign.clone());
    world.state().pod.as_mut().expect("a Pod")["status"] = json!({"phase": "Running"});
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert!(says(&world, ConditionType::Ready, Reason::PodOwnerMismatch));
    world.delete_sandbox();
    world.settle(&mut controller).await;
    assert!(world.state().sandbox.is_none());
    assert_eq!(
        world.state().pod.as_ref().map(|pod| &pod["metadata"]),
        Some(&foreign["metadata"])
    );
}

#[tokio::test]
async fn deletion_in_every_phase_leaves_nothing() {
    for writes in 0..14 {
        let world = World::new(spec());
        world.state().break_at = Some((writes, Break::Refused));
        let mut controller = world.controller(None);
        // Runs into the broken write somewhere on the way, and is deleted right there.
        for paused in [false, true, false] {
            world.patch_spec(json!({"paused": paused}));
            world.settle(&mut controller).await;
            if world.state().writes.len() > writes {
                break;
            }
        }
        world.delete_sandbox();
        world.settle(&mut controller).await;
        let state = world.state();
        assert!(
            state.sandbox.is_none() && state.pod.is_none() && state.store.is_empty(),
            "deleted after {writes}"
        );
    }
}

#[tokio::test]
async fn deleting_a_paused_sandbox_waits_for_the_store_and_starts_nothing() {
    let (world, mut controller) = paused(1).await;
    world.state().store_mood = StoreMood::Down;
    world.state().writes.clear();
    world.delete_sandbox();
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Terminating));
    assert!(
        world
            .sandbox()
            .status
            .expect("a status")
            .message
            .expect("a message")
            .contains("the store is down")
    );
    world.state().store_mood = StoreMood::Well;
    world.settle(&mut controller).await;
    let state = world.state();
    assert!(state.sandbox.is_none() && state.store.is_empty());
    assert!(
        !state.writes.iter().any(|write| write.starts_with("POST")),
        "{:#?}",
        state.writes
    );
}

#[tokio::test]
async fn a_pod_stuck_terminating_keeps_the_sandbox_pausing() {
    let (world, mut controller) = running().await;
    world.state().node_stuck = true;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Pausing));
    // Called off now, it waits for the Pod to go and comes back from the checkpoint.
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Resuming));
    world.state().node_stuck = false;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
}

#[tokio::test]
async fn a_pause_time_pauses_once_and_does_not_take_back_a_resume_by_hand() {
    let (world, mut controller) = running().await;
    let at = seconds_from_now(&world, 60);
    world.patch_spec(json!({"pauseTime": at.to_string()}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    world.state().now = at;
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.sandbox().spec.paused),
        (Some(Phase::Paused), true)
    );
    let later = seconds_from_now(&world, 5);
    world.state().now = later;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.sandbox().spec.paused),
        (Some(Phase::Running), false)
    );
}

#[tokio::test]
async fn a_shutdown_time_deletes_a_paused_sandbox_without_waking_it() {
    let (world, mut controller) = paused(1).await;
    let at = seconds_from_now(&world, 60);
    world.patch_spec(json!({"shutdownTime": at.to_string()}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
    world.state().now = at;
    world.state().writes.clear();
    world.settle(&mut controller).await;
    assert!(world.state().sandbox.is_none());
    assert!(!world.state().writes.iter().any(|write| write.starts_with("POST")));
}

#[tokio::test]
async fn a_bad_template_is_reported_and_starts_nothing_until_it_is_mended() {
    for bad in [
        json!({}),
        json!({"templateRef": {"name": "none"}}),
        json!({"template": {"spec": {"containers": 3}}}),
    ] {
        let world = World::new(bad);
        let mut controller = world.controller(None);
        world.settle(&mut controller).await;
        assert!(says(&world, ConditionType::Ready, Reason::TemplateInvalid));
        assert!(world.state().pod.is_none());
        let mut mended = spec();
        mended["templateRef"] = Value::Null;
        world.patch_spec(mended);
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Running));
    }
}

#[tokio::test]
async fn an_edit_of_the_template_counts_from_the_next_resume() {
    let label = |world: &World| {
        let pod = world.state().pod.clone().expect("a Pod");
        pod["metadata"]["labels"]["version"].clone()
    };
    let edit = |version: &str| json!({"template": {"metadata": {"labels": {"version": version}}}});
    let (world, mut controller) = running().await;
    world.patch_spec(edit("two"));
    world.settle(&mut controller).await;
    assert_eq!(label(&world), Value::Null, "a Pod that runs is left as it is");
    world.write_context(6);
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    world.state().writes.clear();
    world.patch_spec(edit("three"));
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.state().pod.is_none()),
        (Some(Phase::Paused), true)
    );
    assert_eq!(world.state().writes.len(), 1, "the status speaks of the new generation");
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!((label(&world), world.context()), (json!("three"), Some(6)));
}

/// Every sequence of four of: the user toggles, the controller makes a pass, the node makes a step,
/// the controller restarts and its next write loses its answer.
#[tokio::test]
async fn any_short_sequence_of_events_converges_to_the_last_request_and_keeps_the_context() {
    for sequence in 0..4_u32.pow(4) {
        let (world, mut controller) = running().await;
        world.write_context(5);
        for action in (0..4).map(|digit| sequence / 4_u32.pow(digit) % 4) {
            match action {
                0 => {
                    let paused = world.sandbox().spec.paused;
                    world.patch_spec(json!({"paused": !paused}));
                }
                // A pass that breaks off is part of the sequence.
                1 => drop(world.pass(&controller).await),
                2 => world.state().node_step(),
                _ => {
                    controller = world.controller(None);
                    let next = world.state().writes.len();
                    world.state().break_at = Some((next, Break::AnswerLost));
                }
            }
        }
        let paused = world.sandbox().spec.paused;
        world.settle(&mut controller).await;
        let expected = if paused { Phase::Paused } else { Phase::Running };
        assert_eq!(phase(&world), Some(expected), "sequence {sequence}");
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
        assert_eq!(
            world.context().map(|context| context % 1000),
            Some(5),
            "sequence {sequence}"
        );
    }
}
