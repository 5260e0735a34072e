//! The control plane over HTTP, as SDKs call it.

use std::{collections::BTreeSet, sync::atomic::Ordering};

use crate::support::{Answer, KEY, World, id, kubernetes};
use reqwest::Method;
use serde_json::json;
use torpor_gateway::ApiKeys;

#[tokio::test]
async fn a_created_sandbox_serves_when_the_answer_comes_and_carries_what_was_asked() {
    let world = World::new().await;
    let fields =
        json!({ "timeout": 600, "autoPause": true, "metadata": { "user": "ann b" }, "envVars": { "LANG": "de" } });
    let body = world.create(fields).await;
    let id = id(&body);
    assert_eq!(id.len(), 21);
    assert_eq!(body["envdVersion"], "0.6.13");
    assert_ne!(body["envdAccessToken"], body["trafficAccessToken"]);
    let object = world.object(&id).await;
    let env = &object.spec.template.as_ref().unwrap()["spec"]["containers"][0]["env"];
    assert_eq!(env, &json!([{ "name": "LANG", "value": "de" }]));
    assert_eq!(world.timers(&id).await, (Some(600), None));
    let detail = world.get(&format!("/sandboxes/{id}")).await;
    assert_eq!(detail.status, 200);
    assert_eq!(detail.body["state"], "running");
    assert_eq!(detail.body["metadata"], json!({ "user": "ann b" }));
    assert_eq!(
        detail.body["lifecycle"],
        json!({ "onTimeout": "pause", "autoResume": false })
    );
    assert_eq!(
        (&detail.body["cpuCount"], &detail.body["memoryMB"]),
        (&json!(2), &json!(1024))
    );
    assert_eq!(detail.body["endAt"], "2027-01-15T08:10:00Z");
}

#[tokio::test]
async fn without_auto_pause_the_timer_deletes_and_a_short_timeout_counts_from_when_it_serves() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 3 })).await);
    assert_eq!(world.timers(&id).await, (None, Some(3)));
}

#[tokio::test]
async fn the_body_of_the_older_route_is_taken_and_defaults_to_fifteen_seconds() {
    let world = World::new().await;
    let answer = world
        .post("/sandboxes", json!({ "templateID": "base", "secure": true }))
        .await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    assert_eq!(answer.body["templateID"], "code-interpreter");
    assert_eq!(world.timers(&id(&answer.body)).await, (None, Some(15)));
}

#[tokio::test]
async fn a_creation_that_cannot_start_leaves_nothing_and_says_why() {
    let world = World::new().await;
    world.faults.template.store(true, Ordering::SeqCst);
    let answer = world
        .post("/v2/sandboxes", json!({ "templateID": "code-interpreter" }))
        .await;
    assert_eq!(answer.checked_status(), 500);
    assert!(
        answer.body["message"].as_str().unwrap().contains("no containers"),
        "{}",
        answer.body
    );
    assert_eq!(answer.headers["should-retry"], "false");
    assert!(
        world
            .sandboxes
            .list(&kube::api::ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn a_creation_that_a_quota_is_counted_anew_for_is_sent_again() {
    let mut world = World::new().await;
    world.refuse_creations(1, kubernetes::quota_is_counted_anew).await;
    world.sandbox().await;
    world
        .refuse_creations(usize::MAX, kubernetes::quota_is_counted_anew)
        .await;
    let template = json!({ "templateID": "code-interpreter" });
    let refused = world.post("/v2/sandboxes", template.clone()).await;
    assert_eq!(refused.checked_status(), 503);
    world.refuse_creations(usize::MAX, kubernetes::no_namespace).await;
    let nowhere = world.post("/v2/sandboxes", template).await;
    assert_eq!(nowhere.checked_status(), 500);
    assert!(
        nowhere.body["message"].as_str().unwrap().contains("namespaces"),
        "{}",
        nowhere.body
    );
}

#[tokio::test]
async fn an_idempotency_key_creates_one_sandbox_however_often_it_is_sent() {
    let world = World::new().await;
    let send = async |template: &str| {
        let request = world.bare(Method::POST, "/v2/sandboxes").header("X-API-KEY", KEY);
        let request = request
            .header("Idempotency-Key", "k-1")
            .json(&json!({ "templateID": template }));
        Answer::of(request.send().await.unwrap()).await
    };
    let (first, second) = tokio::join!(send("code-interpreter"), send("code-interpreter"));
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(send("base").await.checked_status(), 422);
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_pause_ends_all_timers_and_a_second_one_is_told_so() {
    let world = World::new().await;
    let id = world.sandbox().await;
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(world.timers(&id).await, (None, None));
    let again = world.call(Method::POST, &format!("/sandboxes/{id}/pause"), None).await;
    assert_eq!(again.checked_status(), 409);
    let detail = world.get(&format!("/sandboxes/{id}")).await.body;
    assert_eq!((&detail["state"], &detail["domain"]), (&json!("paused"), &json!(null)));
    assert_eq!(detail["endAt"], "2027-01-15T08:00:00Z");
}

#[tokio::test]
async fn connect_resumes_a_paused_sandbox_with_its_tokens_and_its_timeout_action() {
    let world = World::new().await;
    let created = world.create(json!({ "autoPause": true })).await;
    let id = id(&created);
    for _ in 0..3 {
        assert_eq!(world.pause(&id).await, 204);
        let resumed = world.connect(&id, 100).await;
        assert_eq!(resumed.status, 201);
        assert_eq!(resumed.body, created);
        assert_eq!(world.timers(&id).await, (Some(100), None));
    }
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn connect_to_a_running_sandbox_only_extends() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 300 })).await);
    assert_eq!(world.connect(&id, 100).await.status, 200);
    assert_eq!(world.timers(&id).await, (None, Some(300)));
    assert_eq!(world.connect(&id, 400).await.status, 200);
    assert_eq!(world.timers(&id).await, (None, Some(400)));
    let defaulted = world
        .call(Method::POST, &format!("/v2/sandboxes/{id}/connect"), Some(json!({})))
        .await;
    assert_eq!(defaulted.status, 200);
    let older = world.post(&format!("/sandboxes/{id}/connect"), json!({})).await;
    assert_eq!(older.checked_status(), 400);
}

#[tokio::test]
async fn a_timeout_may_be_shortened_and_zero_means_now() {
    let world = World::new().await;
    let id = world.sandbox().await;
    let set = async |seconds: i64| {
        world
            .post(&format!("/sandboxes/{id}/timeout"), json!({ "timeout": seconds }))
            .await
    };
    assert_eq!(set(20).await.status, 204);
    assert_eq!(world.timers(&id).await, (None, Some(20)));
    assert_eq!(set(0).await.status, 204);
    // The run began this very second: its end has to be later.
    assert_eq!(world.timers(&id).await, (None, Some(1)));
    assert_eq!(set(86_401).await.checked_status(), 400);
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(set(20).await.checked_status(), 404);
    assert_eq!(world.timers(&id).await, (None, None));
}

#[tokio::test]
async fn concurrent_connects_start_one_pod_and_are_all_answered() {
    let world = World::new().await;
    let id = world.sandbox().await;
    assert_eq!(world.pause(&id).await, 204);
    let calls = (0..8).map(|_| world.connect(&id, 300));
    let mut statuses: Vec<_> = futures::future::join_all(calls)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 200, 200, 201]);
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn concurrent_pauses_join_and_a_connect_meanwhile_waits_and_resumes() {
    let world = World::new().await;
    let id = world.sandbox().await;
    world.faults.hold_pause.send_replace(true);
    let pauses = futures::future::join_all((0..3).map(|_| world.pause(&id)));
    let rest = async {
        while world.get(&format!("/sandboxes/{id}")).await.body["state"] != "paused" {
            tokio::task::yield_now().await;
        }
        let timeout = world
            .post(&format!("/sandboxes/{id}/timeout"), json!({ "timeout": 5 }))
            .await;
        assert_eq!(timeout.checked_status(), 409);
        let connect = world.connect(&id, 300);
        let release = async { world.faults.hold_pause.send_replace(false) };
        let (connected, _) = tokio::join!(connect, release);
        connected.status
    };
    let (pauses, connected) = tokio::join!(pauses, rest);
    assert_eq!(connected, 201);
    // A pause that began after the sandbox was paused, or whose end was overtaken by the resume, says so.
    assert!(pauses.contains(&204), "{pauses:?}");
    assert!(
        pauses.iter().all(|status| [204, 409, 503].contains(status)),
        "{pauses:?}"
    );
    assert_eq!(world.get(&format!("/sandboxes/{id}")).await.body["state"], "running");
}

#[tokio::test]
async fn a_connect_that_races_an_automatic_pause_ends_in_running() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "autoPause": true })).await);
    // The connect has read a running sandbox, and is about to extend its timer.
    world.pause_before_next_patch(&id);
    assert_eq!(world.connect(&id, 400).await.status, 201);
    assert_eq!(world.get(&format!("/sandboxes/{id}")).await.body["state"], "running");
    assert_eq!(world.timers(&id).await, (Some(400), None));
    assert_eq!(world.faults.starts.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn passing_failures_of_the_kubernetes_api_are_not_the_callers() {
    for nth in 2..=5 {
        let world = World::with(ApiKeys::Any, nth).await;
        let id = world.sandbox().await;
        assert_eq!(world.pause(&id).await, 204);
        assert_eq!(world.connect(&id, 400).await.status, 201);
        assert_eq!(
            world
                .call(Method::DELETE, &format!("/sandboxes/{id}"), None)
                .await
                .status,
            204
        );
        assert_eq!(world.get(&format!("/sandboxes/{id}")).await.checked_status(), 404);
    }
}

#[tokio::test]
async fn a_pause_that_fails_leaves_it_running_with_its_timer() {
    let world = World::new().await;
    let id = id(&world.create(json!({ "timeout": 500, "autoPause": true })).await);
    world.faults.checkpoint.store(true, Ordering::SeqCst);
    let failed = world.call(Method::POST, &format!("/sandboxes/{id}/pause"), None).await;
    assert_eq!(failed.checked_status(), 500);
    assert_eq!(failed.body["error_code"], "sandbox_pause_failed");
    assert!(failed.body["message"].as_str().unwrap().contains("disk full"));
    assert_eq!(failed.headers["should-retry"], "false");
    assert!(!world.object(&id).await.spec.paused);
    assert_eq!(world.timers(&id).await, (Some(500), None));
    world.faults.checkpoint.store(false, Ordering::SeqCst);
    assert_eq!(world.pause(&id).await, 204);
}

#[tokio::test]
async fn a_resume_that_fails_leaves_it_paused_and_can_be_tried_again() {
    let world = World::new().await;
    let id = world.sandbox().await;
    assert_eq!(world.pause(&id).await, 204);
    world.faults.restore.store(true, Ordering::SeqCst);
    let failed = world.connect(&id, 300).await;
    assert_eq!(failed.checked_status(), 500);
    assert!(failed.body["message"].as_str().unwrap().contains("checkpoint is torn"));
    assert!(world.object(&id).await.spec.paused);
    assert_eq!(world.timers(&id).await, (None, None));
    world.faults.restore.store(false, Ordering::SeqCst);
    assert_eq!(world.connect(&id, 300).await.status, 201);
}

#[tokio::test]
async fn the_older_resume_conflicts_on_a_running_sandbox_and_may_change_what_the_timeout_does() {
    let world = World::new().await;
    let id = world.sandbox().await;
    let resume = async |body| world.post(&format!("/sandboxes/{id}/resume"), body).await;
    assert_eq!(resume(json!({})).await.checked_status(), 409);
    assert_eq!(world.pause(&id).await, 204);
    assert_eq!(resume(json!({ "timeout": 90, "autoPause": true })).await.status, 201);
    assert_eq!(world.timers(&id).await, (Some(90), None));
    assert_eq!(
        world.get(&format!("/sandboxes/{id}")).await.body["lifecycle"]["onTimeout"],
        "pause"
    );
}

#[tokio::test]
async fn a_killed_sandbox_is_not_found_by_any_call_and_in_no_list() {
    let world = World::new().await;
    for paused in [false, true] {
        let id = world.sandbox().await;
        if paused {
            assert_eq!(world.pause(&id).await, 204);
        }
        let kill = async || world.call(Method::DELETE, &format!("/sandboxes/{id}"), None).await;
        assert_eq!(kill().await.status, 204);
        assert_eq!(kill().await.checked_status(), 404);
        for path in [
            "pause",
            "resume",
            "timeout",
            "connect",
            "refreshes",
            "snapshots",
            "fork",
        ] {
            let answer = world
                .post(&format!("/sandboxes/{id}/{path}"), json!({ "timeout": 5 }))
                .await;
            assert_eq!(answer.checked_status(), 404, "{path}");
        }
        assert_eq!(world.get(&format!("/sandboxes/{id}")).await.checked_status(), 404);
        assert_eq!(
            world.get(&format!("/sandboxes/{id}/metrics")).await.checked_status(),
            404
        );
        assert_eq!(world.get("/v2/sandboxes").await.body, json!([]));
    }
}

#[tokio::test]
async fn lists_filter_by_state_and_metadata_and_go_page_by_page() {
    let world = World::new().await;
    let first = id(&world.create(json!({ "metadata": { "a": "b c" } })).await);
    let second = world.sandbox().await;
    assert_eq!(world.pause(&first).await, 204);
    let ids = async |query: &str| {
        let body = world.get(&format!("/v2/sandboxes?{query}")).await.body;
        body.as_array().unwrap().iter().map(id).collect::<BTreeSet<_>>()
    };
    assert_eq!(ids("state=paused").await, BTreeSet::from([first.clone()]));
    assert_eq!(ids("state=running").await, BTreeSet::from([second.clone()]));
    assert_eq!(ids("metadata=a%3Db%252520c").await, BTreeSet::from([first.clone()]));
    let page = world.get("/v2/sandboxes?limit=1").await;
    assert_eq!(page.headers["x-total-running"], "1");
    let token = page.headers["x-next-token"].to_str().unwrap().to_owned();
    let rest = world.get(&format!("/v2/sandboxes?limit=1&nextToken={token}")).await;
    assert!(!rest.headers.contains_key("x-next-token"));
    let both = BTreeSet::from([id(&page.body[0]), id(&rest.body[0])]);
    assert_eq!(both, BTreeSet::from([first, second.clone()]));
    let running = world.get("/sandboxes").await.body;
    assert_eq!(running.as_array().unwrap().iter().map(id).collect::<Vec<_>>(), [second]);
}

/// Checks that these calls are refused with these codes, and that they leave the sandbox `id` as it was.
async fn check_refusals(world: &World, id: &str, table: &[(Method, &str, &str, u16)]) {
    let before = world.object(id).await;
    for (method, path, body, expected) in table {
        let path = path.replace("{id}", id);
        let request = world.bare(method.clone(), &path).header("X-API-KEY", KEY);
        let answer = Answer::of(request.body((*body).to_owned()).send().await.unwrap()).await;
        assert_eq!(
            answer.checked_status(),
            *expected,
            "{method} {path} {body}: {}",
            answer.body
        );
    }
    assert_eq!(world.object(id).await, before);
}

#[tokio::test]
async fn a_wrong_creation_is_refused_in_json() {
    let world = World::new().await;
    let id = world.sandbox().await;
    let table = [
        ("{\"templateID\":", 400),
        ("{\"templateID\":\"x\",\"timeout\":\"soon\"}", 400),
        ("{\"templateID\":\"code-interpreter\",\"timeout\":0}", 400),
        ("{\"templateID\":\"nowhere\"}", 404),
        ("{\"templateID\":\"../../x\"}", 404),
        ("[]", 400),
        (&" ".repeat(2 << 20), 413),
    ];
    let table = table.map(|(body, code)| (Method::POST, "/v2/sandboxes", body, code));
    check_refusals(&world, &id, &table).await;
    assert_eq!(world.get("/v2/sandboxes").await.body.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn every_other_wrong_call_is_refused_in_json_and_changes_nothing() {
    let world = World::new().await;
    let id = world.sandbox().await;
    let table = [
        (Method::GET, "/nowhere", "", 404),
        (Method::PUT, "/sandboxes", "", 405),
        (Method::GET, "/sandboxes/ino", "", 404),
        (Method::GET, "/sandboxes/A_B", "", 400),
        (Method::GET, "/sandboxes/%ff", "", 400),
        (Method::POST, "/sandboxes/%ff/pause", "", 400),
        (Method::GET, "/v2/sandboxes?state=x", "", 400),
        (Method::POST, "/sandboxes/{id}/timeout", "{}", 400),
        (Method::POST, "/sandboxes/{id}/timeout", "[1", 400),
        (Method::POST, "/v2/sandboxes/{id}/connect", "{\"timeout\":-1}", 400),
        (Method::POST, "/sandboxes/{id}/pause", "{\"memory\":false}", 501),
        (Method::POST, "/sandboxes/{id}/fork", "{}", 501),
        (Method::PUT, "/sandboxes/{id}/network", "{}", 501),
    ];
    check_refusals(&world, &id, &table).await;
}

#[tokio::test]
async fn a_call_needs_a_key_and_where_keys_are_listed_one_of_them() {
    let world = World::with(ApiKeys::Listed(BTreeSet::from([KEY.to_owned()])), usize::MAX).await;
    let status = async |key: Option<&str>| {
        let request = world.bare(Method::GET, "/v2/sandboxes");
        let request = key
            .into_iter()
            .fold(request, |request, key| request.header("X-API-KEY", key));
        Answer::of(request.send().await.unwrap()).await.checked_status()
    };
    assert_eq!(status(None).await, 401);
    assert_eq!(status(Some("e2b_11")).await, 401);
    assert_eq!(status(Some(KEY)).await, 200);
}
