//! What somebody does to the objects beside the Pod of a sandbox at rest, on a whole API server in virtual time: it is
//! seen by a watch, and nothing else is asked for.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Service};
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use support::Plane;
use tokio::time::{sleep, timeout};
use torpor_api::{Phase, Sandbox};

/// A watch tells within moments.
const SOON: Duration = Duration::from_secs(2);

/// A sandbox with a volume and a Service, left alone for a while.
async fn at_rest(paused: bool) -> Plane {
    let plane = Plane::start().await;
    plane.create_accompanied("one", paused).await;
    let phase = if paused { Phase::Paused } else { Phase::Running };
    plane.until_phase("one", phase).await;
    plane.settle().await;
    sleep(Duration::from_mins(1)).await;
    plane
}

async fn until_ready_is(plane: &Plane, reason: &'static str) {
    let says = move |seen: Option<&Sandbox>| {
        let status = seen.and_then(|sandbox| sandbox.status.as_ref());
        let mut conditions = status.into_iter().flat_map(|status| &status.conditions);
        conditions.any(|condition| condition.type_ == "Ready" && condition.reason == reason)
    };
    let said = await_condition(plane.sandboxes(), "one", says);
    timeout(SOON, said).await.expect("it is told soon").expect("a watch");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_somebody_deletes_comes_back_whether_the_sandbox_runs_or_not() {
    for paused in [false, true] {
        let plane = at_rest(paused).await;
        let services: Api<Service> = Api::namespaced(plane.server.client(), "default");
        let first = services.get("one").await.expect("a Service").metadata.uid;
        services.delete("one", &DeleteParams::default()).await.expect("deleted");
        let another = move |seen: Option<&Service>| seen.is_some_and(|service| service.metadata.uid != first);
        let back = await_condition(services, "one", another);
        timeout(SOON, back).await.expect("it is back soon").expect("a watch");
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_deleted_comes_back_before_the_first_start() {
    let plane = at_rest(true).await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(plane.server.client(), "default");
    claims
        .delete("data-one", &DeleteParams::default())
        .await
        .expect("deleted");
    let back = await_condition(claims, "data-one", |seen: Option<&PersistentVolumeClaim>| {
        seen.is_some_and(|claim| claim.metadata.deletion_timestamp.is_none())
    });
    timeout(SOON, back).await.expect("it is back soon").expect("a watch");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_deleted_under_a_pause_is_told_at_once_and_so_is_its_return() {
    let plane = at_rest(false).await;
    plane.patch("one", json!({"spec": {"paused": true}})).await;
    plane.until_phase("one", Phase::Paused).await;
    plane.settle().await;
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(plane.server.client(), "default");
    let mut claim = claims.get("data-one").await.expect("a claim");
    claims
        .delete("data-one", &DeleteParams::default())
        .await
        .expect("deleted");
    until_ready_is(&plane, "ClaimLost").await;
    claim.metadata.resource_version = None;
    claims.create(&PostParams::default(), &claim).await.expect("created");
    until_ready_is(&plane, "PodNotReady").await;
}
