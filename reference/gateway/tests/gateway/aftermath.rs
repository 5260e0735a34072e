//! What becomes of a sandbox after a call was answered that it takes too long.

use std::sync::atomic::Ordering;

use crate::support::{World, id};
use reqwest::Method;
use serde_json::json;
use torpor_api::{Phase, Sandbox};

fn is_in(phase: Phase) -> impl Fn(&Sandbox) -> bool {
    move |sandbox| {
        sandbox
            .status
            .as_ref()
            .is_some_and(|status| status.phase == Some(phase))
    }
}

/// A paused sandbox that its timeout deletes, whose resume does not get on and was answered so.
async fn stuck_on_its_way_up() -> (World, String) {
    let mut world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": false })).await);
    assert_eq!(world.pause(&id).await, 204);
    world.faults.hold_resume.send_replace(true);
    world.lose_patience().await;
    let slow = world.connect(&id, 300).await;
    assert_eq!(slow.checked_status(), 504);
    world.until(&id, is_in(Phase::Resuming)).await;
    (world, id)
}

#[tokio::test]
async fn no_timer_deletes_what_is_still_on_its_way_up() {
    let (world, id) = stuck_on_its_way_up().await;
    assert_eq!(world.timers(&id).await, (Some(300), None));
    let set = world
        .post(&format!("/sandboxes/{id}/timeout"), json!({ "timeout": 20 }))
        .await;
    assert_eq!(set.status, 204);
    assert_eq!(world.timers(&id).await, (Some(20), None));
    let refreshed = world
        .post(&format!("/sandboxes/{id}/refreshes"), json!({ "duration": 400 }))
        .await;
    assert_eq!(refreshed.status, 204);
    assert_eq!(world.timers(&id).await, (Some(400), None));
}

#[tokio::test]
async fn a_resume_that_serves_after_its_answer_gets_the_timer_that_was_asked_for() {
    let (world, id) = stuck_on_its_way_up().await;
    world.faults.hold_resume.send_replace(false);
    world.until(&id, |sandbox| sandbox.spec.shutdown_time.is_some()).await;
    assert_eq!(world.timers(&id).await, (None, Some(300)));
    assert_eq!(world.get(&format!("/sandboxes/{id}")).await.body["state"], "running");
}

#[tokio::test]
async fn a_resume_that_fails_after_its_answer_is_withdrawn() {
    let (world, id) = stuck_on_its_way_up().await;
    world.faults.restore.store(true, Ordering::SeqCst);
    world.faults.hold_resume.send_replace(false);
    world.until(&id, |sandbox| sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (None, None));
}

#[tokio::test]
async fn a_pause_that_fails_after_its_answer_gives_the_timers_back() {
    let mut world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500, "autoPause": true })).await);
    world.faults.hold_pause.send_replace(true);
    world.lose_patience().await;
    assert_eq!(world.pause(&id).await, 504);
    assert_eq!(world.timers(&id).await, (None, None));
    world.faults.checkpoint.store(true, Ordering::SeqCst);
    world.faults.hold_pause.send_replace(false);
    world.until(&id, |sandbox| !sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (Some(500), None));
}

#[tokio::test]
async fn a_joined_pause_of_somebody_else_that_fails_is_withdrawn() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500 })).await);
    world.faults.hold_pause.send_replace(true);
    world.pause_in_the_cluster(&id).await;
    world.until(&id, is_in(Phase::Pausing)).await;
    world.faults.checkpoint.store(true, Ordering::SeqCst);
    world.lag.hold();
    let path = format!("/sandboxes/{id}/pause");
    let joining = world.call(Method::POST, &path, None);
    let failing = async {
        world.lag.read().await;
        world.faults.hold_pause.send_replace(false);
        world.lag.release();
    };
    let (joined, ()) = tokio::join!(joining, failing);
    assert_eq!(joined.body["error_code"], "sandbox_pause_failed");
    assert!(!world.object(&id).await.spec.paused);
    assert_eq!(world.timers(&id).await, (None, Some(500)));
}

/// A sandbox whose pause somebody else asked for and was refused; the next one would not be.
async fn refused_a_pause(timeout: u64) -> (World, String) {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": timeout, "autoPause": true })).await);
    world.faults.checkpoint.store(true, Ordering::SeqCst);
    world.pause_in_the_cluster(&id).await;
    let refused = |sandbox: &Sandbox| {
        let conditions = sandbox.status.iter().flat_map(|status| &status.conditions);
        conditions.into_iter().any(|found| found.reason == "CheckpointFailed")
    };
    world.until(&id, refused).await;
    world.faults.checkpoint.store(false, Ordering::SeqCst);
    (world, id)
}

#[tokio::test]
async fn a_timeout_after_a_failed_pause_is_not_the_time_of_the_next_one() {
    for (call, field, end) in [("timeout", "timeout", 20), ("refreshes", "duration", 600)] {
        let (world, id) = refused_a_pause(500).await;
        let set = world
            .post(&format!("/sandboxes/{id}/{call}"), json!({ field: end }))
            .await;
        assert_eq!(set.status, 204);
        assert!(!world.object(&id).await.spec.paused, "{call}");
        assert_eq!(world.timers(&id).await, (Some(end), None));
        assert_eq!(world.get(&format!("/sandboxes/{id}")).await.body["state"], "running");
    }
}

#[tokio::test]
async fn a_pause_that_failed_at_its_time_is_withdrawn_with_a_later_one() {
    let (world, id) = refused_a_pause(1).await;
    assert_eq!(world.timers(&id).await, (Some(1), None));
    assert_eq!(world.connect(&id, 10).await.status, 200);
    assert!(!world.object(&id).await.spec.paused);
    assert_eq!(world.timers(&id).await, (Some(60), None));
}
