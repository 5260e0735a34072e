//! Coming back to an earlier state.

use crate::support::*;
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, WatchEvent, WatchParams};
use mock_apiserver::{MockApiServer, Snapshot};
use serde_json::{Value, json};

/// What is stored, without the revisions.
fn content(snapshot: &Snapshot) -> Vec<Value> {
    let without = |object: &Value| {
        let mut object = object.clone();
        object["metadata"]["resourceVersion"].take();
        object
    };
    snapshot.objects().map(without).collect()
}

async fn populated() -> MockApiServer {
    let server = server();
    let client = server.client();
    post(&client, CRDS, &widget_crd()).await;
    post(&client, WIDGETS, &widget("kept")).await;
    for name in ["a", "b"] {
        post(&client, MAPS, &config_map(name)).await;
    }
    server
}

#[tokio::test]
async fn restoring_undoes_creations_changes_and_deletions() {
    let server = populated().await;
    let client = server.client();
    let before = server.snapshot();
    post(&client, MAPS, &config_map("new")).await;
    merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await;
    delete(&client, &format!("{MAPS}/b"), &json!({})).await;
    post(&client, MAPS, &config_map("b")).await;
    delete(&client, &format!("{CRDS}/widgets.example.com"), &json!({})).await;
    assert_eq!(get(&client, WIDGETS).await.0, 404);
    assert_ne!(content(&server.snapshot()), content(&before));
    let revision = server.revision();
    server.restore(&before);
    assert_eq!(content(&server.snapshot()), content(&before));
    assert!(server.revision() > revision, "revisions do not go back");
    assert_eq!(get(&client, &format!("{WIDGETS}/kept")).await.0, 200);
    let settled = server.revision();
    server.restore(&server.snapshot());
    assert_eq!(server.revision(), settled, "nothing to do is nothing written");
}

#[tokio::test]
async fn definitions_made_since_are_gone_with_their_objects() {
    let server = server();
    let client = server.client();
    let empty = server.snapshot();
    post(&client, CRDS, &widget_crd()).await;
    post(&client, WIDGETS, &widget("w")).await;
    server.restore(&empty);
    assert_eq!(get(&client, WIDGETS).await.0, 404);
    assert_eq!(content(&server.snapshot()), content(&empty));
    post(&client, CRDS, &widget_crd()).await;
    assert_eq!(get(&client, WIDGETS).await.1["items"], json!([]));
}

#[tokio::test]
async fn what_is_created_after_coming_back_has_the_same_uid_again() {
    let server = populated().await;
    let client = server.client();
    let before = server.snapshot();
    let create = async || post(&client, MAPS, &config_map("new")).await.1["metadata"]["uid"].clone();
    let first = create().await;
    server.restore(&before);
    assert_eq!(create().await, first);
}

#[tokio::test]
async fn an_open_watch_sees_the_way_back() {
    let server = populated().await;
    let client = server.client();
    let before = server.snapshot();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let from = server.revision().to_string();
    let events = maps.watch(&WatchParams::default(), &from).await.unwrap();
    merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "w"}})).await;
    post(&client, MAPS, &config_map("new")).await;
    server.restore(&before);
    let seen: Vec<WatchEvent<ConfigMap>> = events.take(4).try_collect().await.unwrap();
    let told: Vec<String> = seen
        .iter()
        .map(|event| match event {
            WatchEvent::Added(map) => format!("added {}", map.metadata.name.as_deref().unwrap()),
            WatchEvent::Modified(map) => format!("modified {}", map.data.as_ref().unwrap()["k"]),
            WatchEvent::Deleted(map) => format!("deleted {}", map.metadata.name.as_deref().unwrap()),
            WatchEvent::Bookmark(_) | WatchEvent::Error(_) => panic!("{event:?}"),
        })
        .collect();
    assert_eq!(told, ["modified w", "added new", "deleted new", "modified v"]);
}

#[tokio::test]
async fn another_server_takes_up_a_snapshot() {
    let snapshot = populated().await.snapshot();
    let other = MockApiServer::builder().seed(7).build();
    other.restore(&snapshot);
    assert_eq!(content(&other.snapshot()), content(&snapshot));
    assert_eq!(get(&other.client(), &format!("{WIDGETS}/kept")).await.0, 200);
}
