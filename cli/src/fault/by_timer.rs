//! Mistakes about time: timers that run when they should not, or do not when they should.

use std::time::Duration;

use http::{Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tower::BoxError;

use super::by_face::{creating, ruled, told};
use super::by_view::seen;
use super::calls::{Call, CallRules, Reply, Server};
use super::face::{FaceRule, Route, body_of};
use super::notes::Notes;
use super::{Fault, Hooks, controller, controller_calls, gateway};

pub(super) const FAULTS: &[Fault] = &[
    gateway(
        "connect-forgets-auto-pause",
        "forgets at a connect to a running sandbox that its timeout pauses, so that it deletes",
        connect_forgets_auto_pause,
    )
    .breaks(&["TIME-04"], &["auto-pause-survives-a-resume"])
    .touches(&["TIME"])
    .spares(&["auto-pause-keeps-the-context"]),
    controller(
        "timers-ignored-before-the-first-run",
        "looks at no timer of a sandbox that has never run, such as one that no node takes",
        || {
            seen(|sandbox| {
                if sandbox["status"]["runningSince"].is_null() {
                    sandbox["spec"]["shutdownTime"] = Value::Null;
                    sandbox["spec"]["pauseTime"] = Value::Null;
                }
            })
        },
    )
    .breaks(
        &["TIME-01"],
        &[
            "the-shutdown-time-deletes-what-never-ran",
            "the-pause-time-pauses-what-never-ran",
        ],
    )
    .spares(&["the-pause-time-pauses", "timeout-without-auto-pause-deletes"]),
    controller(
        "shutdown-time-wakes",
        "wakes a paused sandbox when its shutdown time comes, and deletes it once it runs",
        || controller_calls(CallRules::rule(shutdown_time_wakes)),
    )
    .breaks(&["TIME-06"], &["the-shutdown-time-deletes-without-waking"])
    .spares(&["the-shutdown-time-deletes-what-never-ran"]),
    gateway(
        "timeout-runs-during-the-start",
        "counts the timeout of a connect from the request, also while the resume waits for a node",
        timeout_runs_during_the_start,
    )
    .breaks(&["TIME-03"], &["a-slow-start-does-not-use-up-the-timeout"])
    .spares(&[
        "connect-on-a-paused-sandbox-sets-the-end",
        "auto-pause-survives-a-resume",
    ]),
    gateway(
        "paused-ends-at-the-beginning-of-time",
        "shows for a paused sandbox the time that stands for none, long before it began",
        || {
            told(|to, told| {
                let entries = match (to, &mut told.body) {
                    (Route::List, Value::Array(entries)) => entries.as_mut_slice(),
                    (Route::Show(_), entry) => std::slice::from_mut(entry),
                    _ => return,
                };
                for entry in entries.iter_mut().filter(|entry| entry["state"] == "paused") {
                    entry["endAt"] = json!("0001-01-01T00:00:00Z");
                }
            })
        },
    )
    .breaks(&["E2B-03"], &["a-paused-sandbox-shows-when-its-run-ended"])
    .spares(&["lists-filter-by-state-and-metadata"]),
    gateway(
        "paused-end-moves",
        "shows for a paused sandbox an end that lies as far ahead at every look",
        paused_end_moves,
    )
    .breaks(&["E2B-03"], &["a-paused-sandbox-shows-when-its-run-ended"])
    .spares(&["lists-filter-by-state-and-metadata"]),
    gateway(
        "zero-timeout-ends-at-once",
        "makes a sandbox whose timeout is zero, and ends it at once",
        || creating(|body| zero_becomes(body, 1)),
    )
    .breaks(&["E2B-02"], ZERO)
    .touches(&["E2B-04"]),
    gateway(
        "zero-timeout-never-ends",
        "takes a timeout of zero at a creation for none, and never ends the sandbox",
        || creating(|body| zero_becomes(body, 3600)),
    )
    .breaks(&["E2B-02"], ZERO)
    .touches(&["E2B-04"]),
];

/// The cases that ask for a timeout of zero at a creation.
const ZERO: &[&str] = &[
    "a-timeout-of-zero-creates-nothing",
    "errors-are-json-with-code-and-message",
];

/// What the controller deletes itself is what has a shutdown time.
async fn shutdown_time_wakes(call: Call, server: Server) -> Result<Reply, BoxError> {
    if call.on(&Method::DELETE, "sandboxes").is_none() {
        return server.answer(call).await;
    }
    let path = call.path().to_owned();
    let shown = server.answer(Call::merge(&path, json!({}))?).await?;
    let phase = shown.body["status"]["phase"].as_str();
    if !matches!(phase, Some("Paused" | "Resuming")) {
        return server.answer(call).await;
    }
    let end = Timestamp::now() + SignedDuration::from_secs(2);
    let end = Timestamp::from_second(end.as_second()).unwrap_or(end);
    let woken = json!({"spec": {"paused": false, "shutdownTime": end.to_string()}});
    server.answer(Call::merge(&path, woken)?).await
}

fn zero_becomes(body: &mut Value, seconds: u32) {
    if body["timeout"] == 0 {
        body["timeout"] = json!(seconds);
    }
}

fn paused_end_moves() -> Hooks {
    told(|to, told| {
        if matches!(to, Route::Show(_)) && told.body["state"] == "paused" {
            let later = Timestamp::now() + SignedDuration::from_hours(24);
            told.body["endAt"] = json!(later.to_string());
        }
    })
}

fn timeout_runs_during_the_start() -> Hooks {
    let timeouts: Notes<i64> = Notes::new();
    let asked = timeouts.clone();
    let face = FaceRule::new(move |mut asked_for, gateway| {
        let asked = asked.clone();
        async move {
            if let Route::Connect(id) = asked_for.to.clone() {
                let (request, body) = body_of(asked_for.request).await;
                asked_for.request = request;
                if let Some(seconds) = body["timeout"].as_i64() {
                    asked.put(&id, seconds);
                }
            }
            gateway.answer(asked_for.request).await
        }
    });
    let calls = CallRules::asked(move |call| {
        let Some(id) = call.on(&Method::PATCH, "sandboxes").map(str::to_owned) else {
            return;
        };
        let resumes = call.body["spec"]["paused"] == false;
        let Some(seconds) = timeouts.get(&id).filter(|_| resumes) else {
            return;
        };
        let end = Timestamp::now() + SignedDuration::from_secs(seconds);
        let end = Timestamp::from_second(end.as_second()).unwrap_or(end);
        for timer in ["pauseTime", "shutdownTime"] {
            if !call.body["spec"][timer].is_null() {
                call.body["spec"][timer] = json!(end.to_string());
            }
        }
    });
    Hooks {
        gateway_calls: Some(calls),
        face: Some(face),
        ..Hooks::default()
    }
}

/// How much earlier than it would be paused a sandbox is deleted whose pause was forgotten.
const EARLIER: Duration = Duration::from_millis(300);

fn connect_forgets_auto_pause() -> Hooks {
    let (pauses, forgotten) = (Notes::new(), Notes::new());
    ruled(move |asked, gateway| {
        let (pauses, forgotten) = (pauses.clone(), forgotten.clone());
        async move {
            let headers = asked.request.headers().clone();
            let (request, body) = match asked.to {
                Route::Inside(_) => return gateway.answer(asked.request).await,
                _ => body_of(asked.request).await,
            };
            let told = gateway.read(request).await;
            match asked.to {
                Route::Create { .. } if body["autoPause"] == true => {
                    let id = told.body["sandboxID"].as_str().unwrap_or_default();
                    pauses.put(id, ());
                }
                // Of one that was running.
                Route::Connect(id) if told.status == StatusCode::OK && pauses.get(&id).is_some() => {
                    forgotten.put(&id, ());
                }
                Route::SetTimeout(id) if forgotten.get(&id).is_some() => {
                    let after = Duration::from_secs(body["timeout"].as_u64().unwrap_or_default());
                    tokio::spawn(async move {
                        tokio::time::sleep(after.saturating_sub(EARLIER)).await;
                        let path = format!("/sandboxes/{id}");
                        gateway.call(&headers, Method::DELETE, &path, &Value::Null).await;
                    });
                }
                _ => {}
            }
            told.send()
        }
    })
}
