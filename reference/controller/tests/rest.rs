//! What the controller asks of the API server, counted from its request log, in virtual time.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::DeleteParams;
use serde_json::json;
use support::{CONTROLLER, Plane};
use torpor_api::Phase;
use torpor_controller::Front;

/// Writes of the controller since `from`, by kind.
fn writes(plane: &Plane, from: usize) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for logged in plane.requests(CONTROLLER).iter().skip(from) {
        let request = &logged.request;
        if !matches!(request.verb, "get" | "list" | "watch") {
            let subresource = request
                .subresource
                .as_ref()
                .map(|name| format!("/{name}"))
                .unwrap_or_default();
            let kind = format!("{} {}{subresource}", request.verb, request.resource);
            *counts.entry(kind).or_default() += 1;
        }
    }
    counts
}

fn by_kind(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected
        .iter()
        .map(|(kind, count)| ((*kind).to_owned(), *count))
        .collect()
}

/// Sandboxes of which every other is paused, and each second pair has a volume and a Service.
async fn populate(plane: &Plane, count: usize) {
    for number in 0..count {
        let (name, paused) = (format!("sandbox-{number}"), number % 2 == 0);
        if number % 4 < 2 {
            plane.create(&name, paused).await;
        } else {
            plane.create_accompanied(&name, paused).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_hour_costs_the_renewal_of_watches_and_nothing_else() {
    let plane = Plane::start().await;
    populate(&plane, 20).await;
    for number in 0..20 {
        let phase = if number % 2 == 0 { Phase::Paused } else { Phase::Running };
        plane.until_phase(&format!("sandbox-{number}"), phase).await;
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    let before = plane.requests(CONTROLLER).len();
    tokio::time::sleep(Duration::from_hours(1)).await;
    let requests = plane.requests(CONTROLLER).split_off(before);
    let others: Vec<_> = requests
        .iter()
        .filter(|logged| logged.request.verb != "watch")
        .collect();
    assert!(others.is_empty(), "{others:#?}");
    // A watch lasts for at least 290 s, and there are six for each kind of Sandbox.
    assert!(requests.len() <= 6 * (3600 / 290 + 1), "{} watches", requests.len());
}

#[tokio::test(start_paused = true)]
async fn a_pause_takes_at_most_six_writes_a_resume_three_and_each_tells_of_its_steps() {
    let plane = Plane::start().await;
    plane.create("one", false).await;
    plane.until_phase("one", Phase::Running).await;
    plane.settle().await;
    for cycle in 0..3 {
        let from = plane.requests(CONTROLLER).len();
        plane.patch("one", json!({"spec": {"paused": true}})).await;
        plane.until_phase("one", Phase::Paused).await;
        plane.settle().await;
        let mut counts = writes(&plane, from);
        let told = counts.remove("create events").unwrap_or(0);
        let mut expected = vec![
            ("create checkpoints", 1),
            ("delete pods", 1),
            ("patch sandboxes/status", 3),
        ];
        expected.extend((cycle > 0).then_some(("delete checkpoints", 1)));
        assert_eq!(counts, by_kind(&expected));
        assert_eq!(told, 2, "one for the checkpoint, one for the pause");

        let from = plane.requests(CONTROLLER).len();
        plane.patch("one", json!({"spec": {"paused": false}})).await;
        plane.until_phase("one", Phase::Running).await;
        plane.settle().await;
        let mut counts = writes(&plane, from);
        let told = counts.remove("create events").unwrap_or(0);
        let expected = [("create pods", 1), ("patch sandboxes/status", 2)];
        assert_eq!(counts, by_kind(&expected));
        assert_eq!(told, 1, "one for the resume");
    }
}

/// Nothing of the controller's holds it: paused from the beginning it has no finalizer.
#[tokio::test(start_paused = true)]
async fn a_sandbox_that_goes_without_the_controller_is_not_counted_any_more() {
    let plane = Plane::start().await;
    plane.create("one", true).await;
    plane.until_phase("one", Phase::Paused).await;
    plane.settle().await;
    let counted = |count: u32| {
        let line = format!("torpor_sandboxes{{phase=\"Paused\"}} {count}");
        plane.metrics().contains(&line)
    };
    assert!(counted(1), "{:#?}", plane.metrics());
    let deleted = plane.sandboxes().delete("one", &DeleteParams::default()).await;
    deleted.expect("it has no finalizer");
    plane.settle().await;
    assert!(counted(0), "{:#?}", plane.metrics());
}

#[tokio::test(start_paused = true)]
async fn a_restart_over_sandboxes_at_rest_reads_lists_and_nothing_else() {
    let plane = Plane::start().await;
    populate(&plane, 50).await;
    for number in 0..50 {
        let phase = if number % 2 == 0 { Phase::Paused } else { Phase::Running };
        plane.until_phase(&format!("sandbox-{number}"), phase).await;
    }
    plane.settle().await;
    let from = plane.requests(CONTROLLER).len();
    plane.restart_controller().await;
    plane.settle().await;
    let verbs: Vec<_> = plane.requests(CONTROLLER)[from..]
        .iter()
        .map(|logged| logged.request.verb)
        .collect();
    assert!(verbs.iter().all(|verb| matches!(*verb, "list" | "watch")), "{verbs:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_vanished_while_no_watch_was_open_is_found_by_the_next_list() {
    let plane = Plane::start().await;
    plane.create("one", false).await;
    plane.until_phase("one", Phase::Running).await;
    plane.settle().await;
    plane.delete_pod_unseen("one").await;
    plane.until_phase("one", Phase::Failed).await;
}

#[tokio::test(start_paused = true)]
async fn every_sandbox_that_waits_for_the_first_lists_is_looked_at_once_they_are_there() {
    let plane = Plane::start().await;
    // The controller has not run yet.
    let no_services = plane.refuse("services");
    for number in 0..5 {
        plane.create(&format!("sandbox-{number}"), false).await;
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    drop(no_services);
    for number in 0..5 {
        plane.until_phase(&format!("sandbox-{number}"), Phase::Running).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_a_controller_that_waits_for_its_first_lists() {
    for front in Front::ALL {
        for refused in ["sandboxes", "pods", "services", "checkpoints"] {
            for seconds in [0, 1, 120] {
                let plane = Plane::start_serving(&[front]).await;
                plane.create("waiting", false).await;
                let _refused = plane.refuse(refused);
                plane.restart_controller().await;
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                let ended = tokio::time::timeout(Duration::from_mins(1), plane.restart_controller()).await;
                assert!(
                    ended.is_ok(),
                    "{front:?} without {refused}: told to end after {seconds} s, it still runs"
                );
            }
        }
    }
}
