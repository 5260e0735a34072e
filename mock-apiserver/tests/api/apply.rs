//! Server-side apply, field ownership, strategic merge patch, scale and eviction.

use crate::support::*;
use kube::Client;
use serde_json::{Value, json};

async fn apply(client: &Client, path: &str, manager: &str, force: bool, body: &Value) -> (u16, Value) {
    let uri = format!("{path}?fieldManager={manager}&force={force}");
    send(
        client,
        "PATCH",
        &uri,
        "application/apply-patch+yaml",
        body.to_string().as_bytes(),
    )
    .await
}

fn map_with(data: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

#[tokio::test]
async fn applying_creates_then_changes_and_removes_what_is_no_longer_wanted() {
    let server = server();
    let client = server.client();
    let path = format!("{MAPS}/a");
    assert_eq!(
        apply(&client, &path, "m", false, &map_with(&json!({"x": "1", "y": "2"})))
            .await
            .0,
        201
    );
    let (code, second) = apply(&client, &path, "m", false, &map_with(&json!({"x": "3"}))).await;
    assert_eq!((code, &second["data"]), (200, &json!({"x": "3"})));
    let before = server.revision();
    apply(&client, &path, "m", false, &map_with(&json!({"x": "3"}))).await;
    assert_eq!(server.revision(), before);
    let entry = &second["metadata"]["managedFields"][0];
    assert_eq!((&entry["manager"], &entry["operation"]), (&json!("m"), &json!("Apply")));
    assert_eq!(entry["fieldsV1"], json!({"f:data": {"f:x": {}}}));
}

#[tokio::test]
async fn two_managers_conflict_until_one_forces_or_agrees() {
    let client = server().client();
    let path = format!("{MAPS}/a");
    apply(&client, &path, "one", false, &map_with(&json!({"x": "1"}))).await;
    let (code, refused) = apply(&client, &path, "two", false, &map_with(&json!({"x": "2"}))).await;
    assert_eq!(code, 409);
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"one\": .data.x"
    );
    assert_eq!(refused["details"]["causes"][0]["reason"], "FieldManagerConflict");
    assert_eq!(refused["details"]["causes"][0]["field"], ".data.x");
    assert_eq!(
        apply(&client, &path, "two", false, &map_with(&json!({"x": "1"})))
            .await
            .0,
        200
    );
    let (code, forced) = apply(&client, &path, "two", true, &map_with(&json!({"x": "2"}))).await;
    assert_eq!((code, &forced["data"]["x"]), (200, &json!("2")));
    assert_eq!(forced["metadata"]["managedFields"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_field_two_managers_want_stays_until_both_give_it_up() {
    let client = server().client();
    let path = format!("{MAPS}/a");
    for manager in ["one", "two"] {
        apply(&client, &path, manager, false, &map_with(&json!({"x": "1", "y": "1"}))).await;
    }
    let (_, kept) = apply(&client, &path, "one", false, &map_with(&json!({"y": "1"}))).await;
    assert_eq!(kept["data"], json!({"x": "1", "y": "1"}));
    let (_, gone) = apply(&client, &path, "two", false, &map_with(&json!({"y": "1"}))).await;
    assert_eq!(gone["data"], json!({"y": "1"}));
}

#[tokio::test]
async fn a_plain_update_takes_ownership_of_what_it_changes() {
    let client = server().client();
    let path = format!("{MAPS}/a");
    apply(&client, &path, "one", false, &map_with(&json!({"x": "1", "y": "1"}))).await;
    merge(
        &client,
        &format!("{path}?fieldManager=editor"),
        &json!({"data": {"x": "2"}}),
    )
    .await;
    let (code, refused) = apply(&client, &path, "one", false, &map_with(&json!({"x": "1", "y": "1"}))).await;
    assert_eq!(code, 409);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.starts_with("Apply failed with 1 conflict: conflict with \"editor\" using v1: .data.x"),
        "{message}"
    );
}

#[tokio::test]
async fn containers_apply_by_name_and_leave_those_of_others_alone() {
    let client = server().client();
    let container = |name: &str| json!({"name": name, "image": "i"});
    let manifest = |names: &[&str]| {
        let containers: Vec<Value> = names.iter().map(|name| container(name)).collect();
        let template = json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": containers}});
        let spec = json!({"selector": {"matchLabels": {"a": "b"}}, "template": template});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": spec})
    };
    let path = "/apis/apps/v1/namespaces/default/deployments/d";
    apply(&client, path, "one", false, &manifest(&["a", "c"])).await;
    let (_, both) = apply(&client, path, "two", false, &manifest(&["b"])).await;
    let names = |object: &Value| -> Vec<String> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        containers
            .iter()
            .map(|container| container["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&both), ["a", "c", "b"]);
    let (_, fewer) = apply(&client, path, "one", false, &manifest(&["a"])).await;
    assert_eq!(names(&fewer), ["a", "b"]);
}

#[tokio::test]
async fn the_status_is_applied_through_its_subresource_only() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    let mut wanted = widget("w");
    wanted["status"] = json!({"phase": "X"});
    let path = format!("{WIDGETS}/w");
    let (_, main) = apply(&client, &path, "m", false, &wanted).await;
    assert!(main.get("status").is_none());
    let (code, status) = apply(&client, &format!("{path}/status"), "m", false, &wanted).await;
    assert_eq!((code, &status["status"]["phase"]), (200, &json!("X")));
    let entries = status["metadata"]["managedFields"].as_array().unwrap();
    assert!(entries.iter().any(|entry| entry["subresource"] == "status"));
}

#[tokio::test]
async fn apply_needs_a_manager_and_no_managed_fields() {
    let client = server().client();
    let path = format!("{MAPS}/a");
    let body = map_with(&json!({}));
    let (code, refused) = send(
        &client,
        "PATCH",
        &path,
        "application/apply-patch+yaml",
        body.to_string().as_bytes(),
    )
    .await;
    assert_eq!(code, 422);
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("fieldManager: Required value: is required for apply patch")
    );
    let mut body = body;
    body["metadata"]["managedFields"] = json!([{"manager": "x"}]);
    let (code, refused) = apply(&client, &path, "m", false, &body).await;
    assert_eq!(
        (code, &refused["message"]),
        (400, &json!("metadata.managedFields must be nil"))
    );
}

#[tokio::test]
async fn a_strategic_merge_patch_is_for_built_in_kinds_only() {
    let client = server().client();
    post(&client, PODS, &pod("p")).await;
    let strategic = "application/strategic-merge-patch+json";
    let patch = json!({"spec": {"containers": [{"name": "a", "image": "other"}]}}).to_string();
    let (code, patched) = send(&client, "PATCH", &format!("{PODS}/p"), strategic, patch.as_bytes()).await;
    assert_eq!(
        (code, &patched["spec"]["containers"][0]["image"]),
        (200, &json!("other"))
    );
    post(&client, CRDS, &widget_crd()).await;
    post(&client, WIDGETS, &widget("w")).await;
    let (code, refused) = send(&client, "PATCH", &format!("{WIDGETS}/w"), strategic, b"{}").await;
    assert_eq!(code, 415);
    assert_eq!(
        refused["message"],
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
    );
}

#[tokio::test]
async fn scaling_sets_the_replica_field_and_shows_the_status() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    let mut scaled = widget("w");
    scaled["spec"]["replicas"] = json!(1);
    post(&client, WIDGETS, &scaled).await;
    let path = format!("{WIDGETS}/w");
    merge(&client, &format!("{path}/status"), &json!({"status": {"replicas": 2}})).await;
    let (code, scale) = merge(&client, &format!("{path}/scale"), &json!({"spec": {"replicas": 5}})).await;
    assert_eq!(code, 200);
    assert_eq!(
        (&scale["kind"], &scale["spec"]["replicas"], &scale["status"]["replicas"]),
        (&json!("Scale"), &json!(5), &json!(2))
    );
    assert_eq!(get(&client, &path).await.1["spec"]["replicas"], 5);
}

#[tokio::test]
async fn an_eviction_respects_an_exhausted_disruption_budget() {
    let client = server().client();
    let mut labelled = pod("p");
    labelled["metadata"]["labels"] = json!({"app": "x"});
    post(&client, PODS, &labelled).await;
    let budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
    let selector = json!({"matchLabels": {"app": "x"}});
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"}, "spec": {"selector": selector}});
    post(&client, budgets, &budget).await;
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}});
    let (code, refused) = post(&client, &format!("{PODS}/p/eviction"), &eviction).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["reason"]),
        (429, &json!("DisruptionBudget"))
    );
    delete(&client, &format!("{budgets}/b"), &json!({})).await;
    assert_eq!(post(&client, &format!("{PODS}/p/eviction"), &eviction).await.0, 201);
    assert_eq!(get(&client, &format!("{PODS}/p")).await.0, 404);
}
