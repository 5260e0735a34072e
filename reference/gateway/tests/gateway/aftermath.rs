//! What becomes of a sandbox after a call was answered that it takes too long.

use std::{sync::atomic::Ordering, time::Duration};

use crate::support::{NOW, World, id};
use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde_json::json;
use torpor_api::{Phase, Sandbox};

const FIVE_MINUTES: SignedDuration = SignedDuration::from_mins(5);

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

/// When it is to pause by itself.
fn pauses_at(sandbox: &Sandbox) -> Option<Timestamp> {
    sandbox.spec.pause_time.as_ref().map(|time| time.0)
}

#[tokio::test]
async fn no_timer_deletes_what_is_still_on_its_way_up() {
    let (world, id) = stuck_on_its_way_up().await;
    assert_eq!(world.timers(&id).await, (Some(600), None));
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
async fn a_gateway_has_finished_when_what_goes_on_behind_an_answer_has_come_to_its_end() {
    let (world, id) = stuck_on_its_way_up().await;
    let mut finished = std::pin::pin!(world.gateway.finished());
    assert!(finished.as_mut().now_or_never().is_none());
    world.faults.hold_resume.send_replace(false);
    tokio::time::timeout(Duration::from_mins(1), finished).await.unwrap();
    assert_eq!(world.timers(&id).await, (None, Some(300)));
}

/// The controller pauses again what has not come up at its pause time; a restore may take longer than anybody waits for it.
#[tokio::test]
async fn a_restore_goes_on_for_ten_minutes_however_short_the_timeout_is_and_a_later_connect_joins_it() {
    let mut world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    assert_eq!(world.pause(&id).await, 204);
    world.faults.hold_resume.send_replace(true);
    let patient = world.lose_patience().await;
    for _ in 0..2 {
        assert_eq!(world.connect(&id, 5).await.checked_status(), 504);
        world.until(&id, is_in(Phase::Resuming)).await;
        assert_eq!(world.timers(&id).await, (Some(600), None));
    }
    world.send_to(patient);
    let (joined, ()) = tokio::join!(world.connect(&id, 5), async {
        world.faults.hold_resume.send_replace(false);
    });
    assert_eq!(joined.status, 200, "{}", joined.body);
    world
        .until(&id, |sandbox| {
            pauses_at(sandbox).is_some_and(|time| time < NOW + FIVE_MINUTES)
        })
        .await;
    assert_eq!(world.timers(&id).await, (Some(5), None));
    assert_eq!(
        world.faults.starts.load(Ordering::SeqCst),
        2,
        "one for the creation and one for all the connects"
    );
}

#[tokio::test]
async fn a_resume_that_is_about_to_be_called_off_goes_on_for_who_joins_it() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    assert_eq!(world.pause(&id).await, 204);
    world.faults.hold_resume.send_replace(true);
    let first = world.connect(&id, 5);
    let second = async {
        world.until(&id, is_in(Phase::Resuming)).await;
        let path = format!("/sandboxes/{id}/timeout");
        assert_eq!(world.post(&path, json!({ "timeout": 10 })).await.status, 204);
        let released = async {
            world
                .until(&id, |sandbox| {
                    pauses_at(sandbox).is_some_and(|time| time > NOW + FIVE_MINUTES)
                })
                .await;
            world.faults.hold_resume.send_replace(false);
        };
        tokio::join!(world.connect(&id, 5), released).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(
        (first.status, second.status),
        (201, 200),
        "{} {}",
        first.body,
        second.body
    );
}

/// What stands in for the timer is longer than either timeout, and who began the resume cuts it off.
#[tokio::test]
async fn of_two_connects_that_wake_a_sandbox_together_the_longer_timeout_holds() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    for _ in 0..10 {
        assert_eq!(world.pause(&id).await, 204);
        world.faults.hold_resume.send_replace(true);
        let joining = async {
            world.until(&id, is_in(Phase::Resuming)).await;
            let released = async { world.faults.hold_resume.send_replace(false) };
            tokio::join!(world.connect(&id, 50), released).0
        };
        let (first, second) = tokio::join!(world.connect(&id, 10), joining);
        assert_eq!((first.status, second.status), (201, 200));
        assert_eq!(world.timers(&id).await, (Some(50), None));
    }
}

/// Both times are also those of what stands in for the timer on the way up.
#[tokio::test]
async fn a_timeout_of_ten_minutes_or_more_is_as_little_shortened_as_any_other() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(world.connect(&id, 900).await.status, 201);
    assert_eq!(world.connect(&id, 60).await.status, 200);
    assert_eq!(world.timers(&id).await, (Some(900), None));
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(world.connect(&id, 300).await.status, 201);
    let path = format!("/sandboxes/{id}/timeout");
    assert_eq!(world.post(&path, json!({ "timeout": 600 })).await.status, 204);
    assert_eq!(world.connect(&id, 60).await.status, 200);
    assert_eq!(world.timers(&id).await, (Some(600), None));
}

#[tokio::test]
async fn a_timeout_that_is_set_on_the_way_up_is_not_cut_off_for_being_as_long_as_what_stands_in_for_it() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    assert_eq!(world.pause(&id).await, 204);
    world.faults.hold_resume.send_replace(true);
    let meanwhile = async {
        world.until(&id, is_in(Phase::Resuming)).await;
        let path = format!("/sandboxes/{id}/timeout");
        assert_eq!(world.post(&path, json!({ "timeout": 600 })).await.status, 204);
        world.faults.hold_resume.send_replace(false);
    };
    let (connected, ()) = tokio::join!(world.connect(&id, 300), meanwhile);
    assert_eq!(connected.status, 201, "{}", connected.body);
    assert_eq!(world.timers(&id).await, (Some(600), None));
}

#[tokio::test]
async fn a_resume_that_fails_after_its_answer_is_withdrawn() {
    let (world, id) = stuck_on_its_way_up().await;
    world.faults.restore.store(true, Ordering::SeqCst);
    world.faults.hold_resume.send_replace(false);
    world.until(&id, |sandbox| sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (None, None));
}

/// A run may lose its memory long after its resume was answered; the controller reports it paused on the checkpoint then.
#[tokio::test]
async fn a_lost_run_does_not_leave_the_timer_behind_that_was_to_delete_it() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500, "autoPause": false })).await);
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(world.connect(&id, 300).await.status, 201);
    assert_eq!(world.timers(&id).await, (None, Some(300)));
    world.lose_the_run(&id).await;
    world.until(&id, |sandbox| sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (None, None));
    assert_eq!(world.get(&format!("/sandboxes/{id}")).await.body["state"], "paused");
    assert_eq!(world.connect(&id, 300).await.status, 201, "it can be resumed");
    assert_eq!(world.timers(&id).await, (None, Some(300)));
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

/// How often a write is sent before what it is for has to wait.
const TRIES: usize = 5;

#[tokio::test]
async fn a_pause_that_fails_while_the_api_is_away_gives_the_timers_back_when_it_answers_again() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500, "autoPause": true })).await);
    world.faults.checkpoint.store(true, Ordering::SeqCst);
    world.faults.hold_pause.send_replace(true);
    let failing = async {
        world.until(&id, is_in(Phase::Pausing)).await;
        world.outage.begin();
        world.faults.hold_pause.send_replace(false);
    };
    let (answer, ()) = tokio::join!(world.pause(&id), failing);
    assert_eq!(answer, 500, "who waits is told without the API");
    world.outage.has_refused(TRIES).await;
    assert_eq!(world.timers(&id).await, (None, None));
    world.outage.end();
    world.until(&id, |sandbox| !sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (Some(500), None));
}

/// A sandbox that is to be deleted 15 s after its resume, and serves since the API went away.
async fn resumed_without_the_api() -> (World, String) {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": false })).await);
    assert_eq!(world.pause(&id).await, 204);
    world.faults.hold_resume.send_replace(true);
    let serving = async {
        world.until(&id, is_in(Phase::Resuming)).await;
        world.outage.begin();
        world.faults.hold_resume.send_replace(false);
    };
    let (answer, ()) = tokio::join!(world.connect(&id, 15), serving);
    assert_eq!(answer.status, 201, "{}", answer.body);
    (world, id)
}

#[tokio::test]
async fn a_resume_that_serves_while_the_api_is_away_gets_its_timer_when_it_answers_again() {
    let (world, id) = resumed_without_the_api().await;
    world.outage.has_refused(TRIES).await;
    assert_eq!(world.timers(&id).await, (Some(600), None));
    world.outage.end();
    world.until(&id, |sandbox| sandbox.spec.shutdown_time.is_some()).await;
    assert_eq!(world.timers(&id).await, (None, Some(15)));
}

#[tokio::test]
async fn a_resume_that_fails_while_the_api_is_away_is_withdrawn_when_it_answers_again() {
    let (world, id) = stuck_on_its_way_up().await;
    world.faults.restore.store(true, Ordering::SeqCst);
    world.outage.begin();
    world.faults.hold_resume.send_replace(false);
    world.outage.has_refused(TRIES).await;
    assert!(!world.object(&id).await.spec.paused);
    world.outage.end();
    world.until(&id, |sandbox| sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (None, None));
}

#[tokio::test]
async fn a_run_that_is_lost_while_the_api_is_away_loses_its_timer_when_it_answers_again() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500, "autoPause": false })).await);
    world.outage.begin();
    world.lose_the_run(&id).await;
    world.outage.has_refused(TRIES).await;
    assert_eq!(world.timers(&id).await, (None, Some(500)));
    world.outage.end();
    world.until(&id, |sandbox| sandbox.spec.paused).await;
    assert_eq!(world.timers(&id).await, (None, None));
}

/// Another run has another end, and what was owed to the one before would cut it off.
#[tokio::test]
async fn a_timer_that_could_not_be_set_is_not_set_on_a_later_run() {
    let (world, id) = resumed_without_the_api().await;
    world.begin_anew(&id).await;
    world.outage.end();
    world.gateway.finished().await;
    assert_eq!(world.timers(&id).await, (Some(600), None));
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
