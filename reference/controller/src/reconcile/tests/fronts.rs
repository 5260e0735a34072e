//! The second front: the same promises, in the words of `agents.x-k8s.io/v1beta1`.

use std::sync::Arc;

use serde_json::{Value, json};
use torpor_api::agent_sandbox::Sandbox;

use super::seconds_from_now;
use super::world::World;
use crate::controller::Context;
use crate::front::Front;

fn spec() -> Value {
    json!({"podTemplate": {"spec": {"containers": [{"name": "sandbox", "image": "i"}]}}, "service": true})
}

async fn running() -> (World, Arc<Context>) {
    let world = World::asked_for(Front::AgentSandbox, spec());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Ready"), "True DependenciesReady");
    (world, controller)
}

/// Status and reason of a condition, or nothing.
fn condition(world: &World, kind: &str) -> String {
    let status = world.stored::<Sandbox>().status.unwrap_or_default();
    let found = status.conditions.into_iter().find(|condition| condition.type_ == kind);
    found.map_or_else(String::new, |found| format!("{} {}", found.status, found.reason))
}

#[tokio::test]
async fn a_suspension_keeps_the_context_and_is_told_in_the_words_of_the_front() {
    let (world, mut controller) = running().await;
    let status = world.stored::<Sandbox>().status.expect("a status");
    assert_eq!(
        (status.pod_ips, status.service),
        (vec!["10.0.0.1".to_owned()], Some("one".to_owned()))
    );
    assert_eq!(status.service_fqdn.as_deref(), Some("one.default.svc.cluster.local"));
    for cycle in 1..=3 {
        world.write_context(cycle);
        world.patch_spec(json!({"operatingMode": "Suspended"}));
        world.state().writes.clear();
        world.settle(&mut controller).await;
        assert_eq!(condition(&world, "Suspended"), "True PodTerminated");
        assert_eq!(condition(&world, "Ready"), "False SandboxSuspended");
        assert_eq!(
            world.stored::<Sandbox>().status.expect("a status").pod_ips,
            Vec::<String>::new()
        );
        assert!(world.state().writes.len() <= 6, "{:#?}", world.state().writes);
        world.patch_spec(json!({"operatingMode": "Running"}));
        world.settle(&mut controller).await;
        assert_eq!(condition(&world, "Suspended"), "False NotSuspended");
        assert_eq!(condition(&world, "Ready"), "True DependenciesReady");
        assert_eq!(world.context(), Some(cycle));
        world.state().writes.clear();
        world.settle(&mut controller).await;
        assert!(world.state().writes.is_empty(), "{:#?}", world.state().writes);
    }
    let pod = world.state().pod.clone().expect("a Pod");
    let owner = &pod["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["apiVersion"], &owner["kind"]),
        (&json!("agents.x-k8s.io/v1beta1"), &json!("Sandbox"))
    );
    let selector = world
        .stored::<Sandbox>()
        .status
        .and_then(|status| status.selector)
        .expect("a selector");
    let hash = pod["metadata"]["labels"]["agents.x-k8s.io/sandbox-name-hash"]
        .as_str()
        .expect("a label");
    assert_eq!(selector, format!("agents.x-k8s.io/sandbox-name-hash={hash}"));
}

#[tokio::test]
async fn a_condition_that_says_the_same_of_another_generation_keeps_its_time() {
    let (world, mut controller) = running().await;
    let conditions = |world: &World| world.stored::<Sandbox>().status.expect("a status").conditions;
    let before = conditions(&world);
    let later = seconds_from_now(&world, 60);
    world.state().now = later;
    world.patch_spec(json!({"podTemplate": {"metadata": {"labels": {"version": "two"}}}}));
    world.settle(&mut controller).await;
    let after = conditions(&world);
    assert!(!after.is_empty() && after.len() == before.len(), "{after:#?}");
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(
            (&after.type_, &after.last_transition_time),
            (&before.type_, &before.last_transition_time)
        );
        assert_ne!(after.observed_generation, before.observed_generation);
    }
}

#[tokio::test]
async fn a_sandbox_is_not_ready_on_a_pod_that_is_going_and_not_finished_by_its_suspension() {
    let (world, mut controller) = running().await;
    world.state().node_stuck = true;
    world.patch_spec(json!({"operatingMode": "Suspended"}));
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Suspended"), "False PodTerminating");
    // As a kubelet does with a container that it has stopped.
    world.state().pod.as_mut().expect("a Pod")["status"]["phase"] = json!("Failed");
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Finished"), "");
    world.state().pod.as_mut().expect("a Pod")["status"]["phase"] = json!("Running");
    world.patch_spec(json!({"operatingMode": "Running"}));
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Ready"), "False DependenciesNotReady");
    world.state().node_stuck = false;
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Ready"), "True DependenciesReady");
}

#[tokio::test]
async fn a_pod_that_somebody_deletes_is_made_anew_and_claims_no_continuity() {
    let (world, mut controller) = running().await;
    world.write_context(7);
    world.state().pod = None;
    world.state().agent = None;
    world.settle(&mut controller).await;
    assert_eq!(
        (condition(&world, "Ready").as_str(), world.context()),
        ("True DependenciesReady", Some(0))
    );
    assert_eq!(condition(&world, "ContextLost"), "True PodRecreated");
}

#[tokio::test]
async fn a_pod_that_ends_by_itself_finishes_the_sandbox() {
    for (phase, finished) in [("Failed", "PodFailed"), ("Succeeded", "PodSucceeded")] {
        let (world, mut controller) = running().await;
        world.state().pod.as_mut().expect("a Pod")["status"]["phase"] = json!(phase);
        world.settle(&mut controller).await;
        assert_eq!(condition(&world, "Finished"), format!("True {finished}"));
        assert_eq!(condition(&world, "Ready"), format!("False {finished}"));
    }
}

#[tokio::test]
async fn a_foreign_pod_is_named_as_such_whichever_way_the_sandbox_goes() {
    let world = World::asked_for(Front::AgentSandbox, spec());
    world.state().pod =
        Some(json!({"metadata": {"name": "one", "namespace": "default", "uid": "other"}, "status": {}}));
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Ready"), "False ReconcilerError");
    world.patch_spec(json!({"operatingMode": "Suspended"}));
    world.settle(&mut controller).await;
    assert_eq!(condition(&world, "Suspended"), "False PodNotOwned");
    assert!(world.state().pod.is_some());
}

#[tokio::test]
async fn a_shutdown_retains_unless_it_is_told_to_delete() {
    for (policy, kept) in [(json!("Retain"), true), (Value::Null, true), (json!("Delete"), false)] {
        let (world, mut controller) = running().await;
        let at = seconds_from_now(&world, 60);
        world.patch_spec(json!({"shutdownTime": at.to_string(), "shutdownPolicy": policy}));
        world.state().now = at;
        world.settle(&mut controller).await;
        assert_eq!(world.state().sandbox.is_some(), kept, "{policy}");
        if kept {
            assert_eq!(condition(&world, "Ready"), "False SandboxExpired");
            assert_eq!(condition(&world, "Suspended"), "True PodTerminated");
        }
    }
}

#[tokio::test]
async fn a_server_that_drops_the_record_of_the_checkpoint_is_named_and_the_pod_is_left_alone() {
    let (world, controller) = running().await;
    world.state().drops_record = true;
    world.patch_spec(json!({"operatingMode": "Suspended"}));
    let error = world.pass(&controller).await.expect_err("a broken pass");
    assert!(
        error.to_string().contains("install the definitions of Torpor"),
        "{error}"
    );
    let pod = world.state().pod.clone().expect("a Pod");
    assert!(pod["metadata"]["deletionTimestamp"].is_null());
}
