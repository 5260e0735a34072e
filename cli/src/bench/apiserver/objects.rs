//! The custom resource of the benchmark and requests about it.

use anyhow::Context as _;
use http::Method;
use serde_json::json;

use crate::bench::load::Call;

/// The collection that most requests are about.
pub const SANDBOXES: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
const JSON: &str = "application/json";

/// Creates the definition of sandboxes, with its schema and rules.
pub fn definition() -> anyhow::Result<Call> {
    let definition = torpor_api::custom_resource_definitions()
        .into_iter()
        .find(|definition| definition.spec.names.plural == "sandboxes" && definition.spec.group == "agents.kruise.io")
        .context("find the definition of sandboxes")?;
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    Ok(Call::new(Method::POST, path, JSON, serde_json::to_vec(&definition)?))
}

/// Creates a sandbox in a collection.
pub fn create(collection: &str, name: &str) -> Call {
    Call::new(Method::POST, collection, JSON, sandbox(name, "a"))
}

/// Changes an annotation of a sandbox by a merge patch.
pub fn patch(name: &str, turn: usize) -> Call {
    let body = json!({"metadata": {"annotations": {"turn": turn.to_string()}}}).to_string();
    Call::new(
        Method::PATCH,
        format!("{SANDBOXES}/{name}"),
        "application/merge-patch+json",
        body,
    )
}

/// Changes a label of a sandbox by server-side apply.
pub fn apply(name: &str, turn: usize) -> Call {
    let uri = format!("{SANDBOXES}/{name}?fieldManager=bench&force=true");
    let body = sandbox(name, &turn.to_string());
    Call::new(Method::PATCH, uri, "application/apply-patch+yaml", body)
}

fn sandbox(name: &str, team: &str) -> String {
    json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox",
        "metadata": {"name": name, "labels": {"app": "bench", "team": team}},
        "spec": {"paused": false, "template": {
            "metadata": {"labels": {"app": "bench"}},
            "spec": {"restartPolicy": "Never", "containers": [{
                "name": "sandbox", "image": "torpor/code-interpreter", "command": ["python3", "-c", "print(1)"],
                "env": [{"name": "A", "value": "1"}], "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
            }]},
        }},
    })
    .to_string()
}
