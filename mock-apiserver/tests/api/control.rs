//! Faults, request log and snapshots by HTTP, and reads that lag behind.

use crate::support::*;
use futures::{AsyncBufReadExt, StreamExt};
use kube::Client;
use mock_apiserver::{MockApiServer, User, Verdict};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const FAULTS: &str = "/torpor/faults";

fn controlled() -> MockApiServer {
    MockApiServer::builder().seed(1).control_endpoint().build()
}

async fn fault(client: &Client, rule: Value) -> u64 {
    let (code, made) = post(client, FAULTS, &rule).await;
    assert_eq!(code, 201, "{made}");
    made["id"].as_u64().unwrap()
}

#[tokio::test]
async fn a_rule_strikes_whom_it_names_as_often_as_it_says() {
    let server = controlled();
    let (faulty, other) = (server.client_as("faulty/1.0"), server.client_as("other"));
    let rule = json!({
        "match": {"userAgent": "faulty", "verbs": ["create"], "resource": "configmaps"},
        "fault": {"type": "refuse", "code": 503, "reason": "ServiceUnavailable", "message": "later"}, "times": 1,
    });
    fault(&other, rule.clone()).await;
    let (_, listed) = get(&other, FAULTS).await;
    assert_eq!(listed["faults"][0]["rule"]["times"], 1);
    assert_eq!(post(&other, MAPS, &config_map("a")).await.0, 201);
    let (code, refused) = post(&faulty, MAPS, &config_map("b")).await;
    assert_eq!((code, &refused["message"]), (503, &json!("later")));
    assert_eq!(
        post(&faulty, MAPS, &config_map("b")).await.0,
        201,
        "it was to strike once"
    );
}

#[tokio::test]
async fn a_rule_may_name_the_user_and_ends_when_it_is_deleted() {
    let server = controlled();
    let (admin, jane) = (server.client(), server.client_as_user(User::new("jane")));
    let refuse = json!({"type": "refuse", "code": 429, "reason": "TooManyRequests"});
    let id = fault(&admin, json!({"match": {"user": "jane"}, "fault": refuse})).await;
    assert_eq!(get(&jane, MAPS).await.0, 429);
    assert_eq!(get(&admin, MAPS).await.0, 200);
    assert_eq!(delete(&admin, &format!("{FAULTS}/{id}"), &json!({})).await.0, 200);
    assert_eq!(get(&jane, MAPS).await.0, 200);
    assert_eq!(delete(&admin, &format!("{FAULTS}/{id}"), &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_rule_that_cannot_be_read_is_refused_with_what_is_wrong() {
    let client = controlled().client();
    for (rule, why) in [
        (json!({}), "missing field `fault`"),
        (json!({"fault": {"type": "explode"}}), "unknown variant `explode`"),
        (
            json!({"match": {"verb": "get"}, "fault": {"type": "loseAnswer"}}),
            "unknown field `verb`",
        ),
        (
            json!({"match": {"verbs": ["get", "patchh"]}, "fault": {"type": "loseAnswer"}}),
            "verb \"patchh\" is none of get, list, watch,",
        ),
        (
            json!({"fault": {"type": "refuse", "code": 9999, "reason": "X"}}),
            "code 9999 refuses nothing: 400 to 599 do",
        ),
        (
            json!({"fault": {"type": "refuse", "code": 200, "reason": "X"}}),
            "code 200 refuses nothing",
        ),
        (
            json!({"fault": {"type": "serveStale", "revision": 1_000_000}}),
            "revision 1000000 is still to come",
        ),
        (
            json!({"match": {"verbs": ["list"]}, "fault": {"type": "holdWatch"}}),
            "the fault strikes watch only",
        ),
    ] {
        let (code, refused) = post(&client, FAULTS, &rule).await;
        assert_eq!(code, 400);
        assert!(refused["message"].as_str().unwrap().contains(why), "{refused}");
    }
}

#[tokio::test]
async fn a_fault_is_not_used_up_by_requests_of_which_it_changes_nothing() {
    let server = controlled();
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    fault(
        &client,
        json!({"fault": {"type": "cutWatch", "afterEvents": 1}, "times": 1}),
    )
    .await;
    assert_eq!(get(&client, MAPS).await.0, 200);
    let watch = format!("{MAPS}?watch=true&resourceVersion=0&timeoutSeconds=-1");
    // Cut short among what is there from the beginning, which is two objects.
    let (code, event) = get(&client, &watch).await;
    assert_eq!((code, &event["type"]), (200, &json!("ADDED")), "{event}");

    fault(&client, json!({"fault": {"type": "serveStale"}, "times": 1})).await;
    assert_eq!(get(&client, "/version").await.0, 200);
    assert_eq!(
        merge(&client, &format!("{MAPS}/a"), &json!({"data": {"k": "new"}}))
            .await
            .0,
        200
    );
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.1["data"]["k"], "v");
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.1["data"]["k"], "new");
}

#[tokio::test]
async fn without_the_switch_there_is_no_control() {
    let client = server().client();
    assert_eq!(get(&client, FAULTS).await.0, 404);
}

#[tokio::test]
async fn the_request_log_tells_who_asked_for_what() {
    let server = controlled();
    let client = server.client_as("one/1.0");
    post(&client, MAPS, &config_map("a")).await;
    get(&server.client_as("two"), MAPS).await;
    let (_, log) = get(&client, "/torpor/requests?userAgent=one").await;
    let requests = log["requests"].as_array().unwrap();
    assert_eq!(requests.len(), 1);
    assert_eq!(
        (&requests[0]["verb"], &requests[0]["user"], &requests[0]["code"]),
        (&json!("create"), &json!("kubernetes-admin"), &json!(201))
    );
}

#[tokio::test]
async fn a_snapshot_is_come_back_to_by_http() {
    let client = controlled().client();
    post(&client, MAPS, &config_map("a")).await;
    let (code, taken) = post(&client, "/torpor/snapshots", &json!({})).await;
    assert_eq!(code, 201);
    delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    post(&client, MAPS, &config_map("b")).await;
    let restore = format!("/torpor/snapshots/{}/restore", taken["id"]);
    assert_eq!(post(&client, &restore, &json!({})).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 200);
    assert_eq!(get(&client, &format!("{MAPS}/b")).await.0, 404);
    assert_eq!(post(&client, "/torpor/snapshots/99/restore", &json!({})).await.0, 404);
}

#[tokio::test]
async fn a_stale_server_shows_the_past_until_it_is_released() {
    let server = controlled();
    let (writer, reader) = (server.client_as("writer"), server.client_as("reader"));
    post(&writer, MAPS, &config_map("a")).await;
    let (_, before) = get(&writer, &format!("{MAPS}/a")).await;
    let stale = json!({"match": {"userAgent": "reader"}, "fault": {"type": "serveStale"}});
    let id = fault(&writer, stale).await;
    merge(&writer, &format!("{MAPS}/a"), &json!({"data": {"k": "new"}})).await;
    post(&writer, MAPS, &config_map("b")).await;

    assert_eq!(get(&reader, &format!("{MAPS}/a")).await.1, before);
    assert_eq!(get(&reader, &format!("{MAPS}/b")).await.0, 404);
    let (_, list) = get(&reader, MAPS).await;
    assert_eq!(
        list["metadata"]["resourceVersion"],
        before["metadata"]["resourceVersion"]
    );
    let (code, conflict) = put(&reader, &format!("{MAPS}/a"), &before).await;
    assert_eq!(code, 409, "a write is held against what is there: {conflict}");

    let request = http::Request::get(format!("{MAPS}?watch=true&timeoutSeconds=30"))
        .body(Vec::new())
        .unwrap();
    let mut watch = reader.request_stream(request).await.unwrap().lines();
    let event =
        |line: Option<std::io::Result<String>>| -> Value { serde_json::from_str(&line.unwrap().unwrap()).unwrap() };
    // Of the namespace's own config map and `a`, the state of then; nothing after it.
    let mut names = Vec::new();
    for _ in 0..2 {
        let seen = event(watch.next().await);
        names.push(seen["object"]["metadata"]["name"].as_str().unwrap().to_owned());
        assert_eq!(seen["type"], "ADDED");
    }
    assert_eq!(names, ["a", "kube-root-ca.crt"]);
    assert!(futures::poll!(watch.next()).is_pending());
    delete(&writer, &format!("{FAULTS}/{id}"), &json!({})).await;
    let released = event(watch.next().await);
    assert_eq!(
        (&released["type"], &released["object"]["data"]["k"]),
        (&json!("MODIFIED"), &json!("new"))
    );
    assert_eq!(get(&reader, &format!("{MAPS}/b")).await.0, 200);
}

#[tokio::test]
async fn a_rule_in_process_may_choose_the_revision_that_reads_show() {
    let server = server();
    let client = server.client();
    post(&client, MAPS, &config_map("a")).await;
    let revision = server.revision();
    delete(&client, &format!("{MAPS}/a"), &json!({})).await;
    let until = CancellationToken::new();
    let guard = server.inject(move |_| Verdict::ServeStale {
        revision,
        until: until.clone(),
    });
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 200);
    server.compact();
    let (code, refused) = get(&client, &format!("{MAPS}/a")).await;
    assert_eq!((code, &refused["reason"]), (410, &json!("Expired")), "{refused}");
    drop(guard);
    assert_eq!(get(&client, &format!("{MAPS}/a")).await.0, 404);
}
