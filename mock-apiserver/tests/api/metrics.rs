//! What scrapers read, and the list of paths.

use crate::support::*;
use futures::AsyncBufReadExt;
use kube::Client;
use mock_apiserver::{MockApiServer, User, Verdict};
use serde_json::{Value, json};

async fn page(client: &Client) -> String {
    let (code, page) = get(client, "/metrics").await;
    assert_eq!(code, 200);
    page.as_str().unwrap().to_owned()
}

/// The value of the series with these labels, in whatever order they come.
fn value(page: &str, name: &str, labels: &[(&str, &str)]) -> Option<u64> {
    let has = |line: &str| {
        labels
            .iter()
            .all(|(label, value)| line.contains(&format!("{label}=\"{value}\"")))
    };
    let mut lines = page
        .lines()
        .filter(|line| line.starts_with(&format!("{name}{{")) && has(line));
    let found = lines.next()?.rsplit(' ').next()?.parse().ok();
    assert_eq!(lines.next(), None, "more than one series of {name} {labels:?}");
    found
}

#[tokio::test]
async fn every_answered_request_is_counted_by_what_it_asked_for_and_how_it_went() {
    let server = server();
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    post(&client, MAPS, &config_map("a")).await;
    post(&client, &format!("{MAPS}?dryRun=All"), &config_map("b")).await;
    get(&client, MAPS).await;
    get(&client, &format!("{MAPS}/a")).await;
    get(&client, &format!("{MAPS}/a")).await;
    get(&client, "/healthz").await;
    let lost = server.inject(|request| match request.verb {
        "delete" => Verdict::LoseAnswer,
        _ => Verdict::Pass,
    });
    let delete = http::Request::delete(format!("{MAPS}/a")).body(kube::client::Body::empty());
    client.send(delete.unwrap()).await.unwrap_err();
    drop(lost);
    let page = page(&client).await;
    let count = |verb: &str, code: &str, scope: &str, dry_run: &str| {
        let maps = [
            ("resource", "configmaps"),
            ("group", ""),
            ("version", "v1"),
            ("component", "apiserver"),
        ];
        let asked = [("verb", verb), ("code", code), ("scope", scope), ("dry_run", dry_run)];
        value(&page, "apiserver_request_total", &[maps, asked].concat())
    };
    assert_eq!(count("POST", "201", "resource", ""), Some(1), "{page}");
    assert_eq!(count("POST", "409", "resource", ""), Some(1));
    assert_eq!(count("POST", "201", "resource", "All"), Some(1));
    assert_eq!(count("LIST", "200", "namespace", ""), Some(1));
    assert_eq!(count("GET", "200", "resource", ""), Some(2));
    // Nobody got an answer.
    assert_eq!(count("DELETE", "200", "resource", ""), None);
    let health = [("subresource", "healthz"), ("verb", "GET"), ("component", "")];
    assert_eq!(value(&page, "apiserver_request_total", &health), Some(1));
}

#[tokio::test]
async fn open_watches_and_stored_objects_are_told_as_they_are_now() {
    let server = server();
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    let watches = [("verb", "WATCH"), ("resource", "configmaps"), ("scope", "namespace")];
    let open = |page: &str| value(page, "apiserver_longrunning_requests", &watches);
    let request = http::Request::get(format!("{MAPS}?watch=true"))
        .body(Vec::new())
        .unwrap();
    let mut events = client.request_stream(request).await.unwrap().lines();
    assert!(futures::StreamExt::next(&mut events).await.is_some());
    let during = page(&client).await;
    assert_eq!(open(&during), Some(1));
    let stored = |page: &str| value(page, "apiserver_storage_objects", &[("resource", "configmaps")]);
    let before = stored(&during).unwrap();
    drop(events);
    post(&client, MAPS, &config_map("b")).await;
    let after = page(&client).await;
    assert_eq!((open(&after), stored(&after)), (Some(0), Some(before + 1)));
    for request_kind in ["readOnly", "mutating"] {
        let in_flight = value(
            &after,
            "apiserver_current_inflight_requests",
            &[("request_kind", request_kind)],
        );
        assert_eq!(in_flight, Some(0));
    }
}

#[tokio::test]
async fn metrics_are_for_those_who_may_read_the_path() {
    let server = MockApiServer::builder().seed(1).rbac().build();
    let client = server.client_as_user(User::new("scraper"));
    let (code, refused) = get(&client, "/metrics").await;
    assert_eq!(
        (code, &refused["message"]),
        (403, &json!("forbidden: User \"scraper\" cannot get path \"/metrics\""))
    );
}

#[tokio::test]
async fn the_root_lists_the_paths_and_so_does_what_is_nowhere() {
    let client = server().client();
    post(&client, CRDS, &widget_crd()).await;
    let (code, root) = get(&client, "/").await;
    assert_eq!(code, 200);
    let paths: Vec<&str> = root["paths"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert!(paths.is_sorted());
    for path in [
        "/api/v1",
        "/apis",
        "/apis/example.com",
        "/apis/example.com/v1",
        "/metrics",
        "/version",
    ] {
        assert!(paths.contains(&path), "{path}: {paths:?}");
    }
    // Whatever is listed answers.
    for path in paths {
        assert_eq!(get(&client, path).await.0, 200, "{path}");
    }
    assert_eq!(get(&client, "/nothing").await, (404, root));
}
