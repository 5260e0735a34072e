//! What an API server refuses by the definitions alone, and with which words.

#![expect(clippy::expect_used, reason = "a test ends where something it needs is missing")]

use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::{Client, Resource};
use mock_apiserver::MockApiServer;
use serde_json::{Value, json};
use torpor_api::{Checkpoint, Sandbox, SandboxTemplate, agent_sandbox, custom_resource_definitions};

/// An API server that serves our kinds.
async fn client() -> Client {
    let client = MockApiServer::builder().build().client();
    let definitions = Api::all(client.clone());
    for definition in custom_resource_definitions() {
        let created = definitions.create(&PostParams::default(), &definition).await;
        created.expect("the definition is taken");
    }
    client
}

fn api<K: Resource<DynamicType = ()>>(client: &Client) -> Api<DynamicObject> {
    Api::namespaced_with(client.clone(), "default", &ApiResource::erase::<K>(&()))
}

fn object<K: Resource<DynamicType = ()>>(name: &str, spec: &Value) -> DynamicObject {
    let object = json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "spec": spec,
    });
    serde_json::from_value(object).expect("an object")
}

/// The words of the refusal, or of nothing.
fn refusal<T>(answer: Result<T, kube::Error>) -> String {
    match answer {
        Ok(_) => "taken".to_owned(),
        Err(kube::Error::Api(status)) => {
            assert_eq!(status.code, 422, "{status:?}");
            status.message
        }
        Err(other) => panic!("no answer: {other}"),
    }
}

fn template() -> Value {
    json!({ "spec": { "containers": [{ "name": "sandbox", "image": "i" }] } })
}

fn claim(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": {
        "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
    }})
}

/// A complete spec, with one field changed.
fn changed(path: &str, value: Value) -> Value {
    let mut spec = json!({
        "paused": true,
        "pauseTime": "2027-01-01T00:00:00Z",
        "shutdownTime": "2027-01-02T00:00:00.5+01:00",
        "shutdownPolicy": "Retain",
        "pauseStrategy": { "type": "Hibernate" },
        "persistentContents": ["memory", "filesystem"],
        "lostPodPolicy": "Recreate",
        "template": template(),
        "volumeClaimTemplates": [claim("data"), claim("cache")],
        "persistentVolumeClaimRetentionPolicy": { "whenDeleted": "Retain" },
        "service": true,
        "runtimes": [{ "name": "agent-runtime" }],
    });
    let fields = spec.as_object_mut().expect("an object");
    if let Some(slot) = fields
        .get_mut("template")
        .and_then(|template| template.pointer_mut(path))
    {
        *slot = value;
    } else {
        fields.insert(path.to_owned(), value);
    }
    spec
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of refusals")]
async fn a_sandbox_that_breaks_a_rule_is_refused_and_told_why() {
    let client = client().await;
    let sandboxes = api::<Sandbox>(&client);
    let whole = object::<Sandbox>("whole", &changed("paused", json!(false)));
    let created = sandboxes.create(&PostParams::default(), &whole).await;
    assert_eq!(refusal(created), "taken");
    let container = |more: Value| {
        let mut container = json!({ "name": "sandbox" });
        container["resources"] = more;
        json!([container])
    };
    let mut no_storage = claim("data");
    no_storage["spec"]["resources"]["requests"] = json!({ "cpu": "1" });
    let mut no_quantity = claim("data");
    no_quantity["spec"]["resources"]["requests"]["storage"] = json!("much");
    let mut no_mode = claim("data");
    no_mode["spec"]["accessModes"] = json!(["ReadWrite"]);
    let table = [
        (
            "templateRef",
            json!({ "name": "base" }),
            "exactly one of template and templateRef must be set",
        ),
        ("template", json!({}), "spec.template.spec: Required value"),
        ("/spec/containers", json!([]), "spec.template.spec.containers"),
        (
            "/spec/containers",
            json!([{ "image": "i" }]),
            "spec.template.spec.containers[0].name: Required value",
        ),
        (
            "/spec/containers",
            container(json!({ "requests": { "cpu": "a lot" } })),
            "resources.requests",
        ),
        (
            "/spec/containers",
            container(json!({ "limits": { "memory": "64MB" } })),
            "resources.limits",
        ),
        (
            "pauseTime",
            json!("soon"),
            "spec.pauseTime in body must be of type date-time",
        ),
        (
            "shutdownTime",
            json!("2027-13-01T00:00:00Z"),
            "spec.shutdownTime in body must be of type date-time",
        ),
        (
            "shutdownPolicy",
            json!("Keep"),
            "supported values: \"Delete\", \"Retain\"",
        ),
        (
            "lostPodPolicy",
            json!("Ignore"),
            "supported values: \"Fail\", \"Recreate\"",
        ),
        (
            "pauseStrategy",
            json!({ "type": "Stop" }),
            "only Hibernate is supported",
        ),
        (
            "persistentContents",
            json!(["memory", "ip"]),
            "a resumed sandbox has a new Pod IP",
        ),
        (
            "runtimes",
            json!([{ "name": "csi" }]),
            "only agent-runtime is supported",
        ),
        (
            "volumeClaimTemplates",
            json!([claim("data"), claim("data")]),
            "needs a name of its own",
        ),
        (
            "volumeClaimTemplates",
            json!([claim("Not A Name")]),
            "spec.volumeClaimTemplates[0].metadata.name",
        ),
        ("volumeClaimTemplates", json!([no_storage]), "storage: Required value"),
        (
            "volumeClaimTemplates",
            json!([no_quantity]),
            "resources.requests.storage",
        ),
        ("volumeClaimTemplates", json!([no_mode]), "\"ReadWriteOncePod\""),
        (
            "persistentVolumeClaimRetentionPolicy",
            json!({ "whenDeleted": "Keep" }),
            "\"Delete\", \"Retain\"",
        ),
        ("service", json!("yes"), "spec.service"),
    ];
    for (field, value, words) in table {
        let bad = object::<Sandbox>("bad", &changed(field, value.clone()));
        let message = refusal(sandboxes.create(&PostParams::default(), &bad).await);
        assert!(message.contains(words), "{field} {value}: {message}");
    }
    let long = object::<Sandbox>(&"x".repeat(64), &changed("paused", json!(false)));
    let message = refusal(sandboxes.create(&PostParams::default(), &long).await);
    assert!(message.contains("at most 63 characters"), "{message}");
}

#[tokio::test]
async fn what_is_immutable_cannot_be_changed_added_or_removed() {
    let client = client().await;
    let sandboxes = api::<Sandbox>(&client);
    let whole = object::<Sandbox>("whole", &changed("paused", json!(false)));
    let bare = object::<Sandbox>("bare", &json!({ "template": template() }));
    for sandbox in [whole, bare] {
        let created = sandboxes.create(&PostParams::default(), &sandbox).await;
        created.expect("the sandbox is taken");
    }
    let volumes = "volumeClaimTemplates is immutable";
    let retention = "persistentVolumeClaimRetentionPolicy is immutable";
    let table = [
        ("whole", "volumeClaimTemplates", json!([claim("data")]), volumes),
        ("whole", "volumeClaimTemplates", Value::Null, volumes),
        ("bare", "volumeClaimTemplates", json!([claim("data")]), volumes),
        (
            "whole",
            "persistentVolumeClaimRetentionPolicy",
            json!({ "whenDeleted": "Delete" }),
            retention,
        ),
        ("whole", "persistentVolumeClaimRetentionPolicy", Value::Null, retention),
        (
            "bare",
            "persistentVolumeClaimRetentionPolicy",
            json!({ "whenDeleted": "Retain" }),
            retention,
        ),
        ("whole", "paused", json!(true), "taken"),
        ("whole", "shutdownPolicy", Value::Null, "taken"),
        (
            "whole",
            "template",
            json!({ "metadata": { "labels": { "a": "b" } } }),
            "taken",
        ),
    ];
    for (name, field, value, words) in table {
        let mut patch = json!({ "spec": {} });
        patch["spec"][field] = value.clone();
        let answer = sandboxes
            .patch(name, &PatchParams::default(), &Patch::Merge(&patch))
            .await;
        let message = refusal(answer);
        assert!(message.contains(words), "{name} {field} {value}: {message}");
    }
}

#[tokio::test]
async fn a_template_without_a_container_is_refused() {
    let client = client().await;
    let bad = object::<SandboxTemplate>("bad", &json!({ "template": { "spec": { "containers": [] } } }));
    let message = refusal(
        api::<SandboxTemplate>(&client)
            .create(&PostParams::default(), &bad)
            .await,
    );
    assert!(message.contains("spec.template.spec.containers"), "{message}");
}

#[tokio::test]
async fn a_checkpoint_is_not_made_by_hand_and_not_changed() {
    let client = client().await;
    let checkpoints = api::<Checkpoint>(&client);
    let mut checkpoint = object::<Checkpoint>("one-1", &json!({ "sandboxName": "one", "podName": "one" }));
    let message = refusal(checkpoints.create(&PostParams::default(), &checkpoint).await);
    assert!(message.contains("made by pausing its sandbox"), "{message}");
    checkpoint.data["status"] = json!({
        "phase": "Succeeded", "checkpointId": "uid/1", "generation": 1, "engine": "sim", "digest": "blake3:00",
        "sizeBytes": 10, "storedBytes": 5,
    });
    let created = checkpoints.create(&PostParams::default(), &checkpoint).await;
    let stored = created.expect("the checkpoint is taken");
    assert_eq!(stored.data["status"]["sizeBytes"], 10, "it is written with its facts");
    let patch = Patch::Merge(json!({ "spec": { "sandboxName": "two" } }));
    let message = refusal(checkpoints.patch("one-1", &PatchParams::default(), &patch).await);
    assert!(message.contains("a checkpoint is immutable"), "{message}");
}

#[tokio::test]
async fn the_second_front_has_the_defaults_and_the_rules_of_agent_sandbox() {
    let client = client().await;
    let sandboxes = api::<agent_sandbox::Sandbox>(&client);
    let asked = object::<agent_sandbox::Sandbox>("one", &json!({ "podTemplate": template() }));
    let stored = sandboxes.create(&PostParams::default(), &asked).await;
    let stored = stored.expect("the sandbox is taken");
    assert_eq!(stored.data["spec"]["operatingMode"], "Running");
    assert_eq!(stored.data["spec"]["shutdownPolicy"], "Retain");
    let table = [
        (json!({}), "spec.podTemplate: Required value"),
        (
            json!({ "podTemplate": { "spec": { "containers": [] } } }),
            "spec.podTemplate.spec.containers",
        ),
        (
            json!({ "podTemplate": template(), "operatingMode": "Paused" }),
            "\"Running\", \"Suspended\"",
        ),
        (
            json!({ "podTemplate": template(), "shutdownPolicy": "Keep" }),
            "\"Delete\", \"Retain\"",
        ),
        (
            json!({ "podTemplate": template(), "shutdownTime": "later" }),
            "must be of type date-time",
        ),
        (
            json!({ "podTemplate": template(), "volumeClaimTemplates": [claim("data"), claim("data")] }),
            "needs a name of its own",
        ),
    ];
    for (spec, words) in table {
        let bad = object::<agent_sandbox::Sandbox>("bad", &spec);
        let message = refusal(sandboxes.create(&PostParams::default(), &bad).await);
        assert!(message.contains(words), "{spec}: {message}");
    }
    let patch = Patch::Merge(json!({ "spec": { "volumeClaimTemplates": [claim("data")] } }));
    let message = refusal(sandboxes.patch("one", &PatchParams::default(), &patch).await);
    assert!(message.contains("volumeClaimTemplates is immutable"), "{message}");
}

#[tokio::test]
async fn whatever_time_a_server_takes_the_list_that_has_it_can_be_read() {
    let client = client().await;
    for (name, time) in [
        ("last", "9999-12-31T23:59:59Z"),
        ("nowhere", "2027-01-01T00:00:00+99:99"),
    ] {
        let first = json!({ "template": template(), "pauseTime": time, "shutdownTime": time });
        let created = api::<Sandbox>(&client)
            .create(&PostParams::default(), &object::<Sandbox>(name, &first))
            .await;
        created.expect("the sandbox is taken");
        let second = json!({ "podTemplate": template(), "shutdownTime": time });
        let created = api::<agent_sandbox::Sandbox>(&client)
            .create(&PostParams::default(), &object::<agent_sandbox::Sandbox>(name, &second))
            .await;
        created.expect("the second front is taken");
    }
    let first: Api<Sandbox> = Api::namespaced(client.clone(), "default");
    let first = first.list(&ListParams::default()).await.expect("a list");
    let second: Api<agent_sandbox::Sandbox> = Api::namespaced(client, "default");
    let second = second.list(&ListParams::default()).await.expect("a list");
    assert_eq!((first.items.len(), second.items.len()), (2, 2));
}
