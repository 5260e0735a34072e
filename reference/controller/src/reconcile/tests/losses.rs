//! Pods that are lost, and checkpoints that cannot be restored.

use jiff::SignedDuration;
use serde_json::json;
use torpor_api::{Addressee, CheckpointState, ConditionType, Phase, Reason, WorkloadState, annotation};

use super::world::{AgentMood, World};
use super::{paused, phase, running, says, seconds_from_now, spec};

#[tokio::test]
async fn a_failed_restore_stays_paused_with_its_checkpoint_and_is_tried_again() {
    let (world, mut controller) = paused(9).await;
    world.state().mood = AgentMood::FailsToRestore;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.state().pod.is_none()),
        (Some(Phase::Paused), true)
    );
    assert!(says(&world, ConditionType::Resumed, Reason::RestoreFailed));
    assert!(
        world
            .sandbox()
            .status
            .expect("a status")
            .message
            .expect("a message")
            .contains("torn")
    );
    assert_eq!(world.state().store.len(), 1);
    // A controller that was restarted does not try sooner.
    controller = world.controller(None);
    for failures in 1..=3_u32 {
        let restore = world
            .sandbox()
            .status
            .expect("a status")
            .restore
            .expect("failed restores");
        assert_eq!(restore.failures, failures);
        assert_eq!(restore.retry_time.0, seconds_from_now(&world, 10 << (failures - 1)));
        world.state().now = restore.retry_time.0 - SignedDuration::from_millis(1);
        world.state().writes.clear();
        world.settle(&mut controller).await;
        assert!(world.state().writes.is_empty(), "{:#?}", world.state().writes);
        if failures == 3 {
            world.state().mood = AgentMood::Works;
        }
        world.state().now = restore.retry_time.0;
        world.settle(&mut controller).await;
    }
    assert_eq!(world.sandbox().status.expect("a status").restore, None);
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(9)));
}

#[tokio::test]
async fn an_order_does_not_reach_whoever_was_given_the_address_of_a_pod_that_is_still_listed() {
    let (world, mut controller) = running().await;
    world.write_context(5);
    let anothers = Addressee {
        sandbox_uid: Some("uid-2".to_owned()),
        pod_uid: Some("pod-of-another".to_owned()),
    };
    world.state().agent.as_mut().expect("a running workload").0.addressee = anothers;
    world.patch_spec(json!({"paused": true}));
    for seconds in [0, 400] {
        let later = seconds_from_now(&world, seconds);
        world.state().now = later;
        world.settle(&mut controller).await;
        let (agent, context) = world.state().agent.clone().expect("it runs on");
        assert_eq!(
            (agent.workload, agent.checkpoint),
            (WorkloadState::Serving, CheckpointState::None)
        );
        assert_eq!(context, 5);
        assert!(world.state().store.is_empty(), "nothing of it was written down");
        assert_ne!(phase(&world), Some(Phase::Paused));
    }
    let message = world
        .sandbox()
        .status
        .and_then(|status| status.message)
        .unwrap_or_default();
    assert!(message.contains("another's agent answers"), "{message}");
}

#[tokio::test]
async fn a_resume_does_not_depend_on_what_people_write_on_its_pod() {
    for edited in [json!({}), json!({annotation::RESTORE_GENERATION: "7"})] {
        let (world, mut controller) = paused(9).await;
        world.patch_spec(json!({"paused": false}));
        world.pass(&controller).await.expect("a pass that starts the Pod");
        world.state().node_step();
        world.state().pod.as_mut().expect("the Pod")["metadata"]["annotations"] = edited;
        world.settle(&mut controller).await;
        assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(9)));
        assert_eq!(
            world.sandbox().status.expect("a status").restore,
            None,
            "no restore has failed"
        );
    }
}

#[tokio::test]
async fn a_pod_that_vanishes_while_running_is_reported_lost_and_not_replaced() {
    let (world, mut controller) = running().await;
    world.state().pod = None;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Failed));
    assert!(says(&world, ConditionType::Ready, Reason::StateLost));
    assert!(world.state().pod.is_none());
}

#[tokio::test]
async fn a_workload_torn_while_its_memory_came_is_paused_again_on_its_checkpoint_and_the_loss_is_told() {
    for pause_asked in [false, true] {
        let (world, mut controller) = paused(9).await;
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Running));
        world.write_context(10);
        world.state().tear();
        if pause_asked {
            world.patch_spec(json!({"paused": true}));
        }
        world.settle(&mut controller).await;
        assert_eq!(
            (phase(&world), world.state().pod.is_none()),
            (Some(Phase::Paused), true)
        );
        let status = world.sandbox().status.expect("a status");
        assert!(status.checkpoint.is_some());
        if !pause_asked {
            assert!(says(&world, ConditionType::Resumed, Reason::RestoreFailed));
            let message = status.message.unwrap_or_default();
            let loss = "a chunk is damaged; what was done since it was resumed is lost";
            assert!(message.contains(loss), "{message}");
        }
        // A pause that was asked for is what the conditions tell of; the event stays.
        let told = world.state().events.iter().any(|event| event.contains("RestoreFailed"));
        assert!(told, "{:#?}", world.state().events);

        world.patch_spec(json!({"paused": false, "template": {"metadata": {"labels": {"mended": "yes"}}}}));
        world.settle(&mut controller).await;
        assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(9)));
    }
}

#[tokio::test]
async fn a_workload_torn_after_a_pause_of_it_failed_is_paused_on_its_checkpoint() {
    let (world, mut controller) = paused(9).await;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    world.state().mood = AgentMood::FailsToSeal;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    assert!(says(&world, ConditionType::Paused, Reason::CheckpointFailed));
    world.state().tear();
    world.pass(&controller).await.expect("a pass that comes to rest");
    world.settle(&mut controller).await;
    assert_eq!(
        (phase(&world), world.state().pod.is_none()),
        (Some(Phase::Paused), true)
    );
    let events = world.state().events.clone();
    let told = events.iter().filter(|event| event.contains("RestoreFailed")).count();
    assert_eq!(told, 1, "{events:#?}");

    world.state().mood = AgentMood::Works;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(9)));
}

#[tokio::test]
async fn a_restore_that_failed_is_tried_at_once_when_the_spec_changes() {
    let (world, mut controller) = paused(9).await;
    world.state().mood = AgentMood::FailsToRestore;
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
    world.state().mood = AgentMood::Works;
    world.patch_spec(json!({"template": {"metadata": {"labels": {"mended": "yes"}}}}));
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(9)));
}

#[tokio::test]
async fn by_policy_a_lost_pod_is_replaced_and_the_loss_stays_in_sight() {
    let mut recreate = spec();
    recreate["lostPodPolicy"] = json!("Recreate");
    let world = World::new(recreate);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    world.write_context(4);
    world.state().pod = None;
    world.state().agent = None;
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(0)));
    assert!(says(&world, ConditionType::ContextLost, Reason::PodRecreated));
    let events = world.state().events.clone();
    assert_eq!(events, ["SandboxStarted", "PodRecreated", "SandboxStarted"]);
    // Later pauses keep what is there now, and do not hide what was lost.
    world.write_context(6);
    for paused in [true, false] {
        world.patch_spec(json!({"paused": paused}));
        world.settle(&mut controller).await;
    }
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(6)));
    assert!(says(&world, ConditionType::ContextLost, Reason::PodRecreated));
}

/// Evicted, or its node was shut down: such a Pod stays, and has failed.
#[tokio::test]
async fn a_pod_that_the_cluster_took_away_is_replaced_as_one_that_vanished() {
    let taken_away = json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]);
    for (policy, reached, said) in [
        (
            "Recreate",
            Phase::Running,
            (ConditionType::ContextLost, Reason::PodRecreated),
        ),
        ("Fail", Phase::Failed, (ConditionType::Ready, Reason::StateLost)),
    ] {
        let mut lost = spec();
        lost["lostPodPolicy"] = json!(policy);
        let world = World::new(lost);
        let mut controller = world.controller(None);
        world.settle(&mut controller).await;
        let end = |world: &World| {
            let mut state = world.state();
            let status = &mut state.pod.as_mut().expect("a Pod")["status"];
            (status["phase"], status["conditions"]) = (json!("Failed"), taken_away.clone());
            state.agent = None;
        };
        end(&world);
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(reached), "{policy}");
        assert!(says(&world, said.0, said.1), "{policy}");
    }
    // On its way up, with its checkpoint on record: that is no failed restore.
    let (world, mut controller) = paused(3).await;
    world.patch_spec(json!({"paused": false}));
    world.pass(&controller).await.expect("a pass");
    let status = json!({"phase": "Failed", "conditions": taken_away});
    world.state().pod.as_mut().expect("a Pod")["status"] = status;
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(3)));
    let events = world.state().events.clone();
    assert!(!events.contains(&"RestoreFailed".to_owned()), "{events:?}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_again_is_tried_again_whatever_the_agent_still_says_of_the_first() {
    let (world, mut controller) = running().await;
    world.write_context(5);
    world.state().mood = AgentMood::FailsToSeal;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert!(says(&world, ConditionType::Paused, Reason::CheckpointFailed));
    // As if the thaw that follows had not come through yet.
    if let Some((agent, _)) = &mut world.state().agent {
        agent.workload = WorkloadState::Frozen;
        agent.checkpoint = CheckpointState::Failed {
            generation: 1,
            message: "the disk is full".to_owned(),
        };
    }
    world.state().mood = AgentMood::Works;
    for paused in [false, true] {
        world.patch_spec(json!({"paused": paused}));
    }
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Paused), None));
}

#[tokio::test]
async fn the_policy_replaces_no_pod_that_ended_by_itself_and_none_that_was_to_be_paused() {
    let mut recreate = spec();
    recreate["lostPodPolicy"] = json!("Recreate");
    for ended in [true, false] {
        let world = World::new(recreate.clone());
        let mut controller = world.controller(None);
        world.settle(&mut controller).await;
        if ended {
            world.state().pod.as_mut().expect("a Pod")["status"]["phase"] = json!("Failed");
        } else {
            world.patch_spec(json!({"paused": true}));
            world.state().pod = None;
        }
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Failed), "ended: {ended}");
        assert!(says(&world, ConditionType::Ready, Reason::StateLost));
    }
}

#[tokio::test]
async fn a_sandbox_that_is_retained_at_its_shutdown_is_paused_and_comes_back_when_it_is_put_off() {
    let (world, mut controller) = running().await;
    world.write_context(8);
    let at = seconds_from_now(&world, 60);
    world.patch_spec(json!({"shutdownTime": at.to_string(), "shutdownPolicy": "Retain"}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    world.state().now = at;
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Paused), None));
    assert!(says(&world, ConditionType::Ready, Reason::SandboxExpired));
    assert!(!world.sandbox().spec.paused);
    world.state().writes.clear();
    world.settle(&mut controller).await;
    assert!(world.state().writes.is_empty(), "{:#?}", world.state().writes);
    let later = seconds_from_now(&world, 60);
    world.patch_spec(json!({"shutdownTime": later.to_string()}));
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), world.context()), (Some(Phase::Running), Some(8)));
}
