//! Faults on purpose and the request log.

use crate::support::*;
use futures::{AsyncBufReadExt, StreamExt};
use mock_apiserver::{Refusal, Verdict};
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn a_refused_request_changes_nothing_and_the_rule_ends_with_its_guard() {
    let server = server();
    let client = server.client();
    let refusal = Refusal {
        code: 429,
        reason: "TooManyRequests".into(),
        message: "slow".into(),
        retry_after_seconds: Some(1),
    };
    let guard = server.inject(move |request| match (request.verb, request.resource.as_str()) {
        ("create", "configmaps") => Verdict::Refuse(refusal.clone()),
        _ => Verdict::Pass,
    });
    let (code, body) = post(&client, MAPS, &config_map("a")).await;
    assert_eq!(
        (code, &body["reason"], &body["details"]["retryAfterSeconds"]),
        (429, &json!("TooManyRequests"), &json!(1))
    );
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 404);
    drop(guard);
    assert_eq!(post(&client, MAPS, &config_map("a")).await.0, 201);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_write_done_and_a_lost_request_does_not() {
    for (verdict, stored) in [(Verdict::LoseAnswer, true), (Verdict::LoseRequest, false)] {
        let server = server();
        let client = server.client();
        let guard = server.inject(move |request| {
            if request.verb == "create" {
                verdict.clone()
            } else {
                Verdict::Pass
            }
        });
        let request = http::Request::post(MAPS).header("content-type", "application/json");
        let request = request
            .body(kube::client::Body::from(config_map("a").to_string().into_bytes()))
            .unwrap();
        assert!(client.send(request).await.is_err());
        drop(guard);
        assert_eq!(get(&client, &format!("{MAPS}/a")).await.0 == 200, stored);
    }
}

#[tokio::test]
async fn a_cut_watch_ends_after_its_events_and_a_held_one_waits() {
    let server = server();
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    let lines = |client: kube::Client| async move {
        let request = http::Request::get(format!("{MAPS}?watch=true"))
            .body(Vec::new())
            .unwrap();
        client.request_stream(request).await.unwrap().lines()
    };
    let cut = server.inject(|request| {
        if request.verb == "watch" {
            Verdict::CutWatch(1)
        } else {
            Verdict::Pass
        }
    });
    assert_eq!(lines(client.clone()).await.collect::<Vec<_>>().await.len(), 1);
    drop(cut);
    let release = CancellationToken::new();
    let until = release.clone();
    let _held = server.inject(move |request| match request.verb {
        "watch" => Verdict::HoldWatch(until.clone()),
        _ => Verdict::Pass,
    });
    let mut held = lines(client).await;
    assert!(futures::poll!(held.next()).is_pending());
    release.cancel();
    assert!(held.next().await.unwrap().unwrap().contains("ADDED"));
}

#[tokio::test(start_paused = true)]
async fn a_delay_passes_before_the_request_is_carried_out() {
    let server = server();
    let client = server.client();
    let _guard = server.inject(|_| Verdict::Delay(Duration::from_secs(5)));
    let start = tokio::time::Instant::now();
    get(&client, MAPS).await;
    assert!(start.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn the_log_says_who_asked_for_what() {
    let server = server();
    get(&server.client_as("alice/1"), &format!("{MAPS}/a")).await;
    post(&server.client_as("bob"), MAPS, &config_map("b")).await;
    let seen: Vec<_> = server
        .requests()
        .into_iter()
        .map(|entry| (entry.request.user_agent, entry.request.verb, entry.code))
        .collect();
    assert_eq!(
        seen,
        [
            ("alice/1".to_owned(), "get", Some(404)),
            ("bob".to_owned(), "create", Some(201))
        ]
    );
}
