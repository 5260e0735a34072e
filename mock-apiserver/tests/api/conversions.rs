//! Conversion webhooks: when they are asked, and that nothing waits for them but the request.

use crate::support::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures::future::BoxFuture;
use kube::Client;
use mock_apiserver::{MockApiServer, WebhookCall, WebhookCaller, WebhookFailure};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, OnceLock};

const V1: &str = "/apis/example.com/v1/namespaces/default/things";
const V2: &str = "/apis/example.com/v2/namespaces/default/things";

/// Moves `spec.size` of v1 to `spec.count` of v2; it reads the server that asks it, and keeps the reviews.
#[derive(Clone, Default)]
struct Converter {
    reviews: Arc<Mutex<Vec<Value>>>,
    server: Arc<OnceLock<MockApiServer>>,
}

impl WebhookCaller for Converter {
    fn call(&self, call: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>> {
        let converter = self.clone();
        Box::pin(async move {
            if let Some(server) = converter.server.get() {
                assert_eq!(get(&server.client(), "/api/v1/namespaces/default").await.0, 200);
            }
            let request = call.review["request"].clone();
            if call.review["kind"] == "AdmissionReview" {
                return Ok(doubled(&request));
            }
            let desired = request["desiredAPIVersion"].as_str().unwrap_or_default().to_owned();
            let (from, to) = if desired.ends_with("v2") {
                ("size", "count")
            } else {
                ("count", "size")
            };
            let mut objects = request["objects"].clone();
            for object in objects.as_array_mut().into_iter().flatten() {
                object["apiVersion"] = desired.as_str().into();
                let value = object["spec"][from].take();
                object["spec"] = json!({ to: value });
            }
            converter.reviews.lock().unwrap().push(call.review.clone());
            let response = json!({"uid": request["uid"], "result": {"status": "Success"}, "convertedObjects": objects});
            let api_version = &call.review["apiVersion"];
            Ok(json!({"apiVersion": api_version, "kind": "ConversionReview", "response": response}))
        })
    }
}

/// A webhook of admission that knows version 1 alone, and doubles the size that it is shown.
fn doubled(request: &Value) -> Value {
    let mut response = json!({"uid": request["uid"], "allowed": true});
    let size = request["object"]["spec"]["size"].as_i64();
    match size {
        Some(size) => {
            let patch = json!([{"op": "replace", "path": "/spec/size", "value": 2 * size}]).to_string();
            response["patchType"] = "JSONPatch".into();
            response["patch"] = STANDARD.encode(patch).into();
        }
        None => response["allowed"] = false.into(),
    }
    json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response})
}

impl Converter {
    /// A server with a definition that names the webhook, which may read the server.
    async fn client(&self) -> Client {
        let server = MockApiServer::builder()
            .seed(1)
            .webhook_caller(Arc::new(self.clone()))
            .build();
        drop(self.server.set(server.clone()));
        let schema = |member: &str| {
            json!({"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "properties": {member: {"type": "integer"}}},
            }}})
        };
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
            "spec": {
                "group": "example.com", "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"},
                "conversion": {"strategy": "Webhook", "webhook": {
                    "conversionReviewVersions": ["v1"], "clientConfig": {"url": "https://converter.test/convert"},
                }},
                "versions": [
                    {"name": "v1", "served": true, "storage": true, "schema": schema("size")},
                    {"name": "v2", "served": true, "storage": false, "schema": schema("count")},
                ],
            },
        });
        let client = server.client();
        assert_eq!(post(&client, CRDS, &definition).await.0, 201);
        client
    }

    /// How many objects each review since the last time was about.
    fn asked(&self) -> Vec<usize> {
        let reviews = std::mem::take(&mut *self.reviews.lock().unwrap());
        reviews
            .iter()
            .map(|review| review["request"]["objects"].as_array().unwrap().len())
            .collect()
    }
}

fn thing(version: &str, name: &str, spec: &Value) -> Value {
    json!({"apiVersion": format!("example.com/{version}"), "kind": "Thing", "metadata": {"name": name}, "spec": spec})
}

#[tokio::test]
async fn the_webhook_is_asked_only_about_objects_in_another_version() {
    let converter = Converter::default();
    let client = converter.client().await;
    for name in ["a", "b"] {
        assert_eq!(post(&client, V1, &thing("v1", name, &json!({"size": 1}))).await.0, 201);
    }
    assert_eq!(get(&client, &format!("{V1}/a")).await.0, 200);
    assert_eq!(converter.asked(), [0; 0]);
    let (_, list) = get(&client, V2).await;
    assert_eq!(list["items"][1]["spec"], json!({"count": 1}));
    assert_eq!(converter.asked(), [2]);
}

#[tokio::test]
async fn what_is_written_in_another_version_is_stored_in_that_of_the_storage() {
    let converter = Converter::default();
    let client = converter.client().await;
    let (code, made) = post(&client, V2, &thing("v2", "a", &json!({"count": 3}))).await;
    assert_eq!((code, &made["spec"]), (201, &json!({"count": 3})));
    // Into the version of the storage, and back for the answer.
    assert_eq!(converter.asked(), [1, 1]);
    let (_, stored) = get(&client, &format!("{V1}/a")).await;
    assert_eq!(stored["spec"], json!({"size": 3}));
    assert_eq!(stored["metadata"]["uid"], made["metadata"]["uid"]);
    assert_eq!(
        stored["metadata"]["resourceVersion"],
        made["metadata"]["resourceVersion"]
    );
    assert_eq!(converter.asked(), [0; 0]);
}

#[tokio::test]
async fn a_generated_name_is_that_of_the_stored_object() {
    let client = Converter::default().client().await;
    let mut nameless = thing("v2", "", &json!({"count": 3}));
    nameless["metadata"] = json!({"generateName": "made-"});
    let (_, made) = post(&client, V2, &nameless).await;
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        get(&client, &format!("{V1}/{name}")).await.1["metadata"]["uid"],
        made["metadata"]["uid"]
    );
}

#[tokio::test]
async fn a_webhook_of_admission_is_shown_the_version_that_it_knows() {
    let converter = Converter::default();
    let client = converter.client().await;
    let configuration = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration", "metadata": {"name": "double"},
        "webhooks": [{
            "name": "double.example.com", "sideEffects": "None", "admissionReviewVersions": ["v1"], "matchPolicy": "Equivalent",
            "clientConfig": {"url": "https://double.test/"},
            "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": ["example.com"], "apiVersions": ["v1"], "resources": ["things"]}],
        }],
    });
    let configurations = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
    assert_eq!(post(&client, configurations, &configuration).await.0, 201);
    let (code, made) = post(&client, V2, &thing("v2", "a", &json!({"count": 3}))).await;
    assert_eq!((code, &made["spec"]), (201, &json!({"count": 6})), "{made}");
    let (code, changed) = merge(&client, &format!("{V2}/a"), &json!({"spec": {"count": 5}})).await;
    assert_eq!((code, &changed["spec"]), (200, &json!({"count": 10})), "{changed}");
    assert_eq!(get(&client, &format!("{V1}/a")).await.1["spec"], json!({"size": 10}));
}
