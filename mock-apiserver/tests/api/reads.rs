//! Lists, pages and watches.

use crate::support::*;
use futures::{AsyncBufReadExt, FutureExt, StreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams, WatchEvent, WatchParams};
use kube::{Api, Client};
use mock_apiserver::MockApiServer;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

async fn make(client: &Client, names: &[&str]) {
    for name in names {
        post(client, MAPS, &config_map(name)).await;
    }
}

/// The events of a watch that ends by itself or after `count`.
async fn events(client: &Client, path: &str, count: usize) -> Vec<Value> {
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let lines = client.request_stream(request).await.unwrap().lines();
    lines
        .take(count)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect()
        .await
}

#[tokio::test]
async fn pages_show_the_state_of_the_first_page() {
    let client = server().client();
    make(&client, &["a", "b", "c"]).await;
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let first = maps.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!((first.items.len(), first.metadata.remaining_item_count), (2, Some(2)));
    make(&client, &["bb"]).await;
    delete(&client, &format!("{MAPS}/c"), &json!({})).await;
    let token = first.metadata.continue_.clone().unwrap();
    let rest = maps.list(&ListParams::default().continue_token(&token)).await.unwrap();
    let names: Vec<_> = rest.items.iter().filter_map(|map| map.metadata.name.clone()).collect();
    assert_eq!(names, ["c", "kube-root-ca.crt"]);
    assert_eq!(rest.metadata.resource_version, first.metadata.resource_version);
}

#[tokio::test]
async fn an_expired_page_offers_an_inconsistent_continuation() {
    let server = server();
    let client = server.client();
    make(&client, &["a", "b"]).await;
    let (_, first) = get(&client, &format!("{MAPS}?limit=1")).await;
    make(&client, &["c"]).await;
    server.compact();
    let token = first["metadata"]["continue"].as_str().unwrap();
    let (code, expired) = get(&client, &format!("{MAPS}?limit=1&continue={token}")).await;
    assert_eq!((code, &expired["reason"]), (410, &json!("Expired")));
    let token = expired["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = get(&client, &format!("{MAPS}?continue={token}")).await;
    assert_eq!((code, rest["items"].as_array().unwrap().len()), (200, 3));
}

#[tokio::test]
async fn a_watch_of_a_compacted_revision_says_so_inside_the_stream() {
    let server = server();
    let client = server.client();
    make(&client, &["a"]).await;
    server.compact();
    let seen = events(&client, &format!("{MAPS}?watch=true&resourceVersion=2"), 5).await;
    assert_eq!(seen.len(), 1);
    assert_eq!(
        (
            &seen[0]["type"],
            &seen[0]["object"]["code"],
            &seen[0]["object"]["reason"]
        ),
        (&json!("ERROR"), &json!(410), &json!("Expired"))
    );
    assert!(
        seen[0]["object"]["message"]
            .as_str()
            .unwrap()
            .starts_with("too old resource version: 2 (")
    );
}

#[tokio::test]
async fn a_revision_of_the_future_is_too_large() {
    let (code, refused) = get(&server().client(), &format!("{MAPS}?resourceVersion=99999")).await;
    assert_eq!(
        (code, &refused["details"]["causes"][0]["reason"]),
        (504, &json!("ResourceVersionTooLarge"))
    );
}

#[tokio::test]
async fn a_watch_list_ends_its_initial_events_with_an_annotated_bookmark() {
    let client = server().client();
    make(&client, &["a"]).await;
    let base = format!("{MAPS}?watch=true&sendInitialEvents=true");
    let seen = events(
        &client,
        &format!("{base}&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"),
        3,
    )
    .await;
    let kinds: Vec<_> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ADDED", "ADDED", "BOOKMARK"]);
    assert_eq!(
        seen[2]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    assert_eq!(get(&client, &base).await.0, 422);
}

#[tokio::test]
async fn a_selector_turns_changes_into_additions_and_deletions() {
    let server = server();
    let client = server.client();
    make(&client, &["a"]).await;
    let start = server.revision();
    let path = format!("{MAPS}/a");
    merge(&client, &path, &json!({"metadata": {"labels": {"l": "x"}}})).await;
    merge(&client, &path, &json!({"data": {"k": "w"}})).await;
    let (_, left) = merge(&client, &path, &json!({"metadata": {"labels": {"l": "y"}}})).await;
    let seen = events(
        &client,
        &format!("{MAPS}?watch=true&labelSelector=l%3Dx&resourceVersion={start}"),
        3,
    )
    .await;
    let kinds: Vec<_> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ADDED", "MODIFIED", "DELETED"]);
    assert_eq!(
        seen[2]["object"]["metadata"]["resourceVersion"],
        left["metadata"]["resourceVersion"]
    );
    assert_eq!(seen[2]["object"]["metadata"]["labels"]["l"], "x");
}

#[tokio::test]
async fn a_deletion_is_seen_at_its_own_revision() {
    let server = server();
    let client = server.client();
    make(&client, &["a"]).await;
    let start = server.revision();
    delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    let seen = events(&client, &format!("{MAPS}?watch=true&resourceVersion={start}"), 1).await;
    assert_eq!(
        seen[0]["object"]["metadata"]["resourceVersion"],
        (start + 1).to_string()
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_watch_sends_bookmarks_and_ends_at_its_timeout() {
    let client = server().client();
    let path = format!("{MAPS}?watch=true&allowWatchBookmarks=true&timeoutSeconds=90&resourceVersion=1");
    let seen = events(&client, &path, 100).await;
    let kinds: Vec<_> = seen.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["ADDED", "BOOKMARK", "BOOKMARK"]);
}

#[tokio::test(start_paused = true)]
async fn a_watch_may_ask_for_more_time_than_there_is() {
    let client = server().client();
    for (seconds, code) in [
        ("9223372036", 200),
        ("9223372036854775807", 200),
        ("18446744073709551615", 400),
    ] {
        let path = format!("{MAPS}?watch=true&resourceVersion=0&timeoutSeconds={seconds}");
        let request = http::Request::get(&path).body(kube::client::Body::empty()).unwrap();
        assert_eq!(client.send(request).await.unwrap().status(), code, "{seconds}");
        if code == 200 {
            assert_eq!(events(&client, &path, 1).await[0]["type"], "ADDED", "{seconds}");
        }
    }
    assert_eq!(get(&client, MAPS).await.0, 200);
}

#[tokio::test]
async fn an_open_watch_delivers_what_happens_later() {
    let client = server().client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut watch = maps.watch(&WatchParams::default(), "0").await.unwrap().boxed();
    let first = watch.next().await.unwrap().unwrap();
    assert!(matches!(first, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("kube-root-ca.crt")));
    let map = serde_json::from_value(config_map("late")).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let second = watch.next().await.unwrap().unwrap();
    assert!(matches!(second, WatchEvent::Added(map) if map.metadata.name.as_deref() == Some("late")));
}

#[tokio::test]
async fn a_watch_from_a_revision_to_come_delivers_nothing_that_happens_before() {
    let client = server().client();
    let maps: Api<ConfigMap> = Api::default_namespaced(client.clone());
    let mut watch = maps.watch(&WatchParams::default(), "1000000").await.unwrap().boxed();
    assert!(watch.next().now_or_never().is_none());
    make(&client, &["early"]).await;
    assert!(watch.next().now_or_never().is_none());
}

/// Replays the watch from the beginning over an empty map.
async fn replay(server: &MockApiServer, start: u64) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    for event in events(
        &server.client(),
        &format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion={start}"),
        500,
    )
    .await
    {
        let name = event["object"]["metadata"]["name"].as_str().unwrap().to_owned();
        match event["type"].as_str().unwrap() {
            "ADDED" | "MODIFIED" => state.insert(name, event["object"].clone()),
            _ => state.remove(&name),
        };
    }
    state
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_watch_is_a_replay_of_the_writes(writes in prop::collection::vec((0u8..3, 0u8..4), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let server = server();
            let client = server.client();
            delete(&client, &format!("{MAPS}/kube-root-ca.crt"), &json!({})).await;
            let start = server.revision();
            for (name, data) in writes {
                let (name, path) = (format!("m{name}"), format!("{MAPS}/m{name}"));
                if data == 0 {
                    delete(&client, &path, &json!({})).await;
                } else if get(&client, &path).await.0 == 404 {
                    post(&client, MAPS, &config_map(&name)).await;
                } else {
                    merge(&client, &path, &json!({"data": {"k": data.to_string()}})).await;
                }
            }
            let (_, list) = get(&client, MAPS).await;
            let listed: BTreeMap<String, Value> = list["items"].as_array().unwrap().iter()
                .map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item.clone())).collect();
            prop_assert_eq!(replay(&server, start).await, listed);
            Ok(())
        })?;
    }
}
