//! Volume claims, the Service and the Checkpoints of a sandbox.

use std::sync::Arc;

use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use torpor_api::{ConditionType, Phase, Reason, Sandbox};

use super::world::{StoreMood, World};
use super::{paused, phase, running, says, spec};
use crate::api::SandboxApi;
use crate::checkpoints::Checkpoints;
use crate::controller::Context;
use crate::front::Front;
use crate::reconcile::reconcile;

pub(super) fn with_volumes() -> Value {
    let mut spec = spec();
    let claim = |name: &str| {
        json!({"metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
        }})
    };
    spec["volumeClaimTemplates"] = json!([claim("data"), claim("cache")]);
    spec
}

/// Everything beside the Pod but the Checkpoints.
fn claims(world: &World) -> Vec<String> {
    beside(world, false)
}

fn checkpoints(world: &World) -> Vec<String> {
    beside(world, true)
}

/// Generations of the checkpoints whose data is there.
fn stored(world: &World) -> Vec<u64> {
    world.state().store.keys().copied().collect()
}

fn beside(world: &World, checkpoints: bool) -> Vec<String> {
    let state = world.state();
    let keys = state.others.keys().cloned();
    keys.filter(|key| key.starts_with("checkpoints/") == checkpoints)
        .collect()
}

#[tokio::test]
async fn claims_are_there_before_the_first_pod_and_stay_over_a_pause() {
    let world = World::new(with_volumes());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    let writes = world.state().writes.clone();
    let position = |end: &str| writes.iter().position(|write| write.ends_with(end));
    assert!(position("/persistentvolumeclaims") < position("/pods"), "{writes:#?}");
    let expected = ["persistentvolumeclaims/cache-one", "persistentvolumeclaims/data-one"];
    assert_eq!(claims(&world), expected);
    for paused in [true, false] {
        world.state().writes.clear();
        world.patch_spec(json!({"paused": paused}));
        world.settle(&mut controller).await;
        assert_eq!(claims(&world), expected);
        assert!(world.state().writes.len() <= 6, "{:#?}", world.state().writes);
    }
    let claim = world.state().others["persistentvolumeclaims/data-one"].clone();
    assert_eq!(claim["metadata"]["ownerReferences"][0]["uid"], "uid-1");
}

#[tokio::test]
async fn a_claim_that_is_to_be_retained_has_no_owner() {
    let mut spec = with_volumes();
    spec["persistentVolumeClaimRetentionPolicy"] = json!({"whenDeleted": "Retain"});
    let world = World::new(spec);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    let claim = world.state().others["persistentvolumeclaims/data-one"].clone();
    assert!(claim["metadata"]["ownerReferences"].is_null(), "{claim}");
}

#[tokio::test]
async fn a_sandbox_created_paused_has_its_claims_and_no_pod() {
    let mut spec = with_volumes();
    spec["paused"] = json!(true);
    let world = World::new(spec);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), claims(&world).len()), (Some(Phase::Paused), 2));
    assert!(world.state().pod.is_none());
}

#[tokio::test]
async fn a_claim_that_is_lost_while_paused_is_reported_and_not_replaced_by_an_empty_one() {
    let world = World::new(with_volumes());
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    let lost = world
        .state()
        .others
        .remove("persistentvolumeclaims/data-one")
        .expect("a claim");
    for asked_to_pause in [true, false] {
        world.patch_spec(json!({"paused": asked_to_pause}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(Phase::Paused));
        assert!(says(&world, ConditionType::Ready, Reason::ClaimLost));
    }
    assert!(world.state().pod.is_none());
    let message = world
        .sandbox()
        .status
        .and_then(|status| status.message)
        .expect("a message");
    assert!(message.contains("data-one") && message.contains("uid-1"), "{message}");
    world
        .state()
        .others
        .insert("persistentvolumeclaims/data-one".to_owned(), lost);
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
}

#[tokio::test]
async fn a_claim_of_somebody_else_is_not_used() {
    for (metadata, whose) in [
        (json!({"name": "data-one"}), "nobody"),
        (
            json!({"name": "data-one", "annotations": {"torpor.dev/sandbox-uid": "old"}}),
            "an earlier sandbox (old)",
        ),
    ] {
        let world = World::new(with_volumes());
        let claim = json!({"metadata": metadata});
        world
            .state()
            .others
            .insert("persistentvolumeclaims/data-one".to_owned(), claim.clone());
        let mut controller = world.controller(None);
        world.settle(&mut controller).await;
        assert!(says(&world, ConditionType::Ready, Reason::ClaimOwnerMismatch));
        let message = world
            .sandbox()
            .status
            .and_then(|status| status.message)
            .expect("a message");
        assert!(message.contains(whose), "{message}");
        assert!(world.state().pod.is_none());
        assert_eq!(world.state().others["persistentvolumeclaims/data-one"], claim);
    }
}

#[tokio::test]
async fn a_claim_that_is_refused_is_told_and_tried_again() {
    let world = World::new(with_volumes());
    world.state().forbidden = Some("persistentvolumeclaims");
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert!(says(&world, ConditionType::Ready, Reason::PodCreateFailed));
    let message = world
        .sandbox()
        .status
        .and_then(|status| status.message)
        .expect("a message");
    assert!(
        message.contains("volume claim") && message.contains("exceeded quota"),
        "{message}"
    );
    world.state().forbidden = None;
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
}

#[tokio::test]
async fn a_service_follows_the_spec_and_no_pause_waits_for_it() {
    let mut spec = spec();
    spec["service"] = json!(true);
    let world = World::new(spec);
    world.state().forbidden = Some("services");
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
    world.state().forbidden = None;
    world.settle(&mut controller).await;
    assert_eq!(claims(&world), ["services/one"]);
    world.patch_spec(json!({"service": null, "paused": false}));
    world.settle(&mut controller).await;
    assert_eq!(claims(&world), ["services/one"], "what is there stays");
    world.patch_spec(json!({"service": false}));
    world.settle(&mut controller).await;
    assert_eq!(claims(&world), Vec::<String>::new());
}

#[tokio::test]
async fn a_service_of_somebody_else_is_told_once_and_ours_is_made_when_it_is_gone() {
    let mut spec = spec();
    spec["service"] = json!(true);
    let world = World::new(spec);
    let foreign = json!({"metadata": {"name": "one", "uid": "another"}});
    world.state().others.insert("services/one".to_owned(), foreign);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Running));
    assert!(says(
        &world,
        ConditionType::ServiceProvided,
        Reason::ServiceOwnerMismatch
    ));
    world.settle(&mut controller).await;
    let events = world.state().events.clone();
    assert_eq!(events, ["ServiceOwnerMismatch", "SandboxStarted"]);
    world.state().others.clear();
    // Nobody else's Service is watched.
    let next = world.pass(&controller).await.expect("a pass");
    assert_eq!(next, Action::await_change());
    assert_eq!(claims(&world), ["services/one"]);
    let conditions = world.sandbox().status.expect("a status").conditions;
    assert!(conditions.iter().all(|condition| condition.type_ != "ServiceProvided"));
}

#[tokio::test]
async fn a_chore_that_is_put_off_puts_off_no_other() {
    let (world, mut controller) = running().await;
    world.state().forbidden = Some("checkpoints");
    world.patch_spec(json!({"paused": true, "service": true}));
    world.settle(&mut controller).await;
    assert_eq!(phase(&world), Some(Phase::Paused));
    world.state().others.clear();
    world.settle(&mut controller).await;
    assert_eq!(claims(&world), ["services/one"]);
}

#[tokio::test]
async fn no_pause_or_resume_waits_for_a_service_that_somebody_holds() {
    let mut spec = spec();
    spec["service"] = json!(true);
    let world = World::new(spec);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    let key = "services/one";
    world.state().others.get_mut(key).expect("a Service")["metadata"]["finalizers"] = json!(["example.com/held"]);
    world.state().writes.clear();
    for (paused, expected) in [(true, Phase::Paused), (false, Phase::Running)] {
        world.patch_spec(json!({"service": false, "paused": paused}));
        world.settle(&mut controller).await;
        assert_eq!(phase(&world), Some(expected));
    }
    let writes = world.state().writes.clone();
    let deletions = writes.iter().filter(|write| write.contains("/services/")).count();
    assert_eq!(deletions, 1, "{writes:#?}");
}

#[tokio::test]
async fn a_service_that_took_the_place_of_the_one_that_was_read_is_not_deleted() {
    let mut spec = spec();
    spec["service"] = json!(true);
    let world = World::new(spec);
    let mut controller = world.controller(None);
    world.settle(&mut controller).await;
    let api = SandboxApi::new(&world.client(), Front::Kruise, "default", "one");
    let refused = api.delete_service(Some("uid-of-an-earlier-one".to_owned())).await;
    assert!(refused.is_err());
    assert_eq!(claims(&world), ["services/one"]);
    world.patch_spec(json!({"service": false}));
    world.settle(&mut controller).await;
    assert_eq!(claims(&world), Vec::<String>::new());
}

#[tokio::test]
async fn each_checkpoint_is_described_until_a_newer_one_is_complete() {
    let (world, mut controller) = running().await;
    for cycle in 1..=3 {
        for paused in [true, false] {
            world.state().writes.clear();
            world.patch_spec(json!({"paused": paused}));
            world.settle(&mut controller).await;
            assert_eq!(checkpoints(&world), [format!("checkpoints/one-uid1-{cycle}")]);
            assert!(world.state().writes.len() <= 6, "{:#?}", world.state().writes);
        }
    }
    let described = world.state().others["checkpoints/one-uid1-3"].clone();
    assert_eq!(described["spec"]["sandboxName"], "one");
    assert_eq!(described["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    let status = &described["status"];
    assert_eq!(
        (
            &status["generation"],
            &status["sizeBytes"],
            &status["storedBytes"],
            &status["engine"]
        ),
        (&json!(3), &json!(10), &json!(5), &json!("sim"))
    );
    assert_eq!(status["conditions"][0]["type"], "Sealed");
    assert_eq!(status["conditions"][0]["status"], "True");
}

/// Passes over a resume and a pause by a controller whose watch of Checkpoints brings nothing more.
async fn another_cycle(world: &World, controller: &Arc<Context>, known: &Checkpoints) {
    for (paused, reached) in [(false, Phase::Running), (true, Phase::Paused)] {
        world.patch_spec(json!({"paused": paused}));
        // More than any way from one to the other takes.
        for _ in 0..10 {
            let passed = reconcile(Arc::new(world.stored::<Sandbox>()), controller.clone(), known).await;
            passed.expect("a pass");
            world.state().node_step();
        }
        assert_eq!(phase(world), Some(reached));
    }
}

#[tokio::test]
async fn what_has_taken_the_name_of_an_outlived_checkpoint_is_not_deleted_in_its_place() {
    let (world, controller) = paused(3).await;
    let known = world.checkpoints();
    let key = "checkpoints/one-uid1-1";
    world.state().others.get_mut(key).expect("a Checkpoint")["metadata"]["uid"] = json!("made-anew");
    another_cycle(&world, &controller, &known).await;
    assert_eq!(checkpoints(&world), [key, "checkpoints/one-uid1-2"]);
}

#[tokio::test]
async fn a_checkpoint_that_was_there_already_is_deleted_later_only_if_it_is_of_the_sandbox() {
    for (ours, left) in [
        (true, vec!["checkpoints/one-uid1-2"]),
        (false, vec!["checkpoints/one-uid1-1", "checkpoints/one-uid1-2"]),
    ] {
        let (world, controller) = paused(3).await;
        let key = "checkpoints/one-uid1-1";
        let mut there = world.state().others.remove(key).expect("a Checkpoint");
        let known = world.checkpoints();
        if !ours {
            there["metadata"]["ownerReferences"] = json!(null);
        }
        world.state().others.insert(key.to_owned(), there.clone());
        let passed = reconcile(Arc::new(world.stored::<Sandbox>()), controller.clone(), &known).await;
        passed.expect("a pass to which it is missing");
        known.follow(Event::Apply(serde_json::from_value(there).expect("a Checkpoint")));
        another_cycle(&world, &controller, &known).await;
        assert_eq!(checkpoints(&world), left);
    }
}

#[tokio::test]
async fn no_pause_waits_for_a_description_and_it_is_made_later() {
    let (world, mut controller) = running().await;
    world.state().forbidden = Some("checkpoints");
    world.write_context(5);
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    assert_eq!((phase(&world), checkpoints(&world).len()), (Some(Phase::Paused), 0));
    world.state().forbidden = None;
    world.settle(&mut controller).await;
    assert_eq!(checkpoints(&world), ["checkpoints/one-uid1-1"]);
}

#[tokio::test]
async fn outlived_data_goes_though_nothing_describes_it() {
    let (world, mut controller) = running().await;
    world.state().forbidden = Some("checkpoints");
    for paused in [true, false, true] {
        world.patch_spec(json!({"paused": paused}));
        world.settle(&mut controller).await;
    }
    assert_eq!((phase(&world), checkpoints(&world).len()), (Some(Phase::Paused), 0));
    assert_eq!(stored(&world), [2]);
}

#[tokio::test(start_paused = true)]
async fn no_pause_waits_for_outlived_data_to_go_and_the_next_takes_what_is_left() {
    let (world, mut controller) = paused(3).await;
    let moods = [
        (StoreMood::Down, vec![1, 2]),
        (StoreMood::Silent, vec![1, 2, 3]),
        (StoreMood::Well, vec![4]),
    ];
    for (mood, left) in moods {
        world.state().store_mood = mood;
        for paused in [false, true] {
            world.patch_spec(json!({"paused": paused}));
            world.settle(&mut controller).await;
        }
        assert_eq!((phase(&world), stored(&world)), (Some(Phase::Paused), left));
    }
}

#[tokio::test]
async fn the_description_of_somebody_elses_checkpoint_is_left_alone() {
    let (world, mut controller) = paused(3).await;
    let foreign = json!({"metadata": {"name": "other-1"}, "spec": {"sandboxName": "one", "podName": "one"}, "status": {
        "phase": "Succeeded", "checkpointId": "x/0", "generation": 0, "engine": "sim", "digest": "", "sizeBytes": 0,
        "storedBytes": 0,
    }});
    world.state().others.insert("checkpoints/other-1".to_owned(), foreign);
    for paused in [false, true] {
        world.patch_spec(json!({"paused": paused}));
        world.settle(&mut controller).await;
    }
    assert_eq!(checkpoints(&world), ["checkpoints/one-uid1-2", "checkpoints/other-1"]);
}
