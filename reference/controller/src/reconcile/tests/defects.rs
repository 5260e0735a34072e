//! Every deliberate defect is seen in the world, and none of them keeps the controller from coming to rest.

use serde_json::json;
use torpor_api::Phase;

use super::world::World;
use super::{phase, seconds_from_now, spec};
use crate::Defect;

/// Two cycles of write, pause and resume; ends with the phase and the context.
async fn two_cycles(defect: Option<Defect>) -> (World, Option<Phase>, Option<u64>) {
    let world = World::new(spec());
    let mut controller = world.controller(defect);
    world.settle(&mut controller).await;
    for cycle in 1..=2 {
        world.write_context(cycle);
        world.patch_spec(json!({"paused": true}));
        world.settle(&mut controller).await;
        world.patch_spec(json!({"paused": false}));
        world.settle(&mut controller).await;
    }
    let (phase, context) = (phase(&world), world.context());
    (world, phase, context)
}

/// Pauses on a node that never gets rid of the Pod.
async fn phase_while_the_pod_is_stuck(defect: Option<Defect>) -> Option<Phase> {
    let world = World::new(spec());
    let mut controller = world.controller(defect);
    world.settle(&mut controller).await;
    world.state().node_stuck = true;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    phase(&world)
}

/// Paused by its pause time and resumed by hand; whether it is wanted paused again.
async fn bounces(defect: Option<Defect>) -> bool {
    let world = World::new(spec());
    let mut controller = world.controller(defect);
    world.settle(&mut controller).await;
    let at = seconds_from_now(&world, 60);
    world.patch_spec(json!({"pauseTime": at.to_string()}));
    world.state().now = at;
    world.settle(&mut controller).await;
    assert!(world.sandbox().spec.paused);
    world.patch_spec(json!({"paused": false}));
    world.settle(&mut controller).await;
    world.sandbox().spec.paused
}

/// Deleted while paused; how many checkpoints are left.
async fn left_after_deletion(defect: Option<Defect>) -> usize {
    let world = World::new(spec());
    let mut controller = world.controller(defect);
    world.settle(&mut controller).await;
    world.patch_spec(json!({"paused": true}));
    world.settle(&mut controller).await;
    world.delete_sandbox();
    world.settle(&mut controller).await;
    assert!(world.state().sandbox.is_none());
    world.state().store.len()
}

#[tokio::test]
async fn each_defect_shows_and_the_right_controller_shows_none() {
    for defect in [None].into_iter().chain(Defect::ALL.map(Some)) {
        let stuck = phase_while_the_pod_is_stuck(defect).await;
        assert_eq!(
            stuck == Some(Phase::Paused),
            matches!(defect, Some(Defect::PausedBeforePodGone | Defect::PausedKeepsPod)),
            "{defect:?}"
        );
        assert_eq!(
            bounces(defect).await,
            defect == Some(Defect::PauseTimeBounces),
            "{defect:?}"
        );
        let leaks = left_after_deletion(defect).await > 0;
        assert_eq!(leaks, defect == Some(Defect::CheckpointLeaksOnDelete), "{defect:?}");
        let (world, phase, context) = two_cycles(defect).await;
        assert_eq!(phase, Some(Phase::Running), "{defect:?}");
        let expected = match defect {
            Some(Defect::ResumeStartsFresh) => 0,
            Some(Defect::SecondCheckpointIgnored) => 1,
            // The run itself goes on, past its checkpoint: that is what a thaw adds here.
            Some(Defect::PausedKeepsPod) => 1002,
            Some(
                Defect::PausedBeforePodGone
                | Defect::CheckpointLeaksOnDelete
                | Defect::PauseTimeBounces
                | Defect::ForgetsObservedGeneration
                | Defect::LostStateStartsFresh
                | Defect::FailedRestoreStartsFresh
                | Defect::FailedPauseEndsPod,
            )
            | None => 2,
        };
        assert_eq!(context, Some(expected), "{defect:?}");
        let silent = world.sandbox().status.expect("a status").observed_generation.is_none();
        assert_eq!(silent, defect == Some(Defect::ForgetsObservedGeneration), "{defect:?}");
    }
}
