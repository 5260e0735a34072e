//! What the tests share: raw requests and small objects.

use kube::Client;
use mock_apiserver::MockApiServer;
use serde_json::{Value, json};

/// A server of its own for each test.
pub fn server() -> MockApiServer {
    MockApiServer::builder().seed(1).build()
}

/// Sends a request and returns status code and body.
pub async fn send(client: &Client, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", content_type)
        .header("accept", "application/json")
        .body(kube::client::Body::from(body.to_vec()))
        .unwrap();
    let response = client.send(request).await.unwrap();
    let code = response.status().as_u16();
    let bytes = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap()
        .to_bytes();
    (
        code,
        serde_json::from_slice(&bytes).unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into())),
    )
}

pub async fn get(client: &Client, path: &str) -> (u16, Value) {
    send(client, "GET", path, "", &[]).await
}

pub async fn post(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "POST", path, "application/json", body.to_string().as_bytes()).await
}

pub async fn put(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "PUT", path, "application/json", body.to_string().as_bytes()).await
}

pub async fn merge(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(
        client,
        "PATCH",
        path,
        "application/merge-patch+json",
        body.to_string().as_bytes(),
    )
    .await
}

pub async fn delete(client: &Client, path: &str, body: &Value) -> (u16, Value) {
    send(client, "DELETE", path, "application/json", body.to_string().as_bytes()).await
}

pub fn config_map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": "v"}})
}

pub fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "a", "image": "img"}]},
    })
}

pub const MAPS: &str = "/api/v1/namespaces/default/configmaps";
pub const PODS: &str = "/api/v1/namespaces/default/pods";
pub const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub const WIDGETS: &str = "/apis/example.com/v1/namespaces/default/widgets";

/// A CRD with a status and a scale subresource and printer columns.
pub fn widget_crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
            "versions": [{
                "name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "spec": {"type": "object", "properties": {
                            "size": {"type": "integer", "minimum": 1, "default": 3},
                            "replicas": {"type": "integer"},
                            "color": {"type": "string", "enum": ["red", "blue"]},
                        }},
                        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                    },
                }},
                "subresources": {
                    "status": {},
                    "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
                },
                "additionalPrinterColumns": [
                    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                    {"name": "Ready", "type": "string", "jsonPath": ".status.conditions[?(@.type==\"Ready\")].status"},
                    {"name": "Color", "type": "string", "jsonPath": ".spec.color", "priority": 1},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
                ],
            }],
        },
    })
}

pub fn widget(name: &str) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 2}})
}
