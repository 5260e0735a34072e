//! Both fronts on a whole API server, in virtual time: watches, definitions, defaults and all.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

#[expect(dead_code, reason = "shared with tests that use more of it")]
mod support;

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::wait::await_condition;
use serde_json::json;
use support::Plane;
use tokio::time::timeout;
use torpor_api::agent_sandbox::Sandbox;
use torpor_controller::Front;

/// Of what is waited for here, all is there within seconds.
const LONG: Duration = Duration::from_mins(10);

#[tokio::test(start_paused = true)]
async fn a_sandbox_of_the_second_front_that_is_told_to_shut_down_at_a_time_past_goes_with_its_pod() {
    let plane = Plane::start_serving(&Front::ALL).await;
    let sandboxes: Api<Sandbox> = Api::namespaced(plane.server.client(), "default");
    let pods: Api<Pod> = Api::namespaced(plane.server.client(), "default");
    let sandbox = json!({
        "apiVersion": "agents.x-k8s.io/v1beta1", "kind": "Sandbox",
        "metadata": {"name": "second", "namespace": "default"},
        "spec": {"podTemplate": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}}},
    });
    let sandbox: Sandbox = serde_json::from_value(sandbox).expect("a sandbox");
    sandboxes
        .create(&PostParams::default(), &sandbox)
        .await
        .expect("created");
    let started = await_condition(pods.clone(), "second", |seen: Option<&Pod>| seen.is_some());
    timeout(LONG, started).await.expect("a Pod in time").expect("a watch");

    let ends = json!({"spec": {"shutdownTime": "1970-01-01T00:00:00Z", "shutdownPolicy": "Delete"}});
    sandboxes
        .patch("second", &PatchParams::default(), &Patch::Merge(ends))
        .await
        .expect("patched");
    let gone = await_condition(sandboxes, "second", |seen: Option<&Sandbox>| seen.is_none());
    timeout(LONG, gone).await.expect("gone in time").expect("a watch");
    let pod_gone = await_condition(pods, "second", |seen: Option<&Pod>| seen.is_none());
    timeout(LONG, pod_gone).await.expect("gone in time").expect("a watch");
}
