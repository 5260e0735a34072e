//! Mistakes of the E2B face about what comes before what.

use std::sync::Arc;
use std::time::Duration;

use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::Notify;

use super::by_face::{RESUMES, ruled};
use super::face::{Asked, Gateway, Route, Told};
use super::notes::Notes;
use super::{Fault, Hooks, gateway};

pub(super) const FAULTS: &[Fault] = &[
    gateway(
        "pause-answers-early",
        "answers a pause before the sandbox is paused",
        pause_answers_early,
    )
    .breaks(&["E2B-06"], &["concurrent-connects-start-once"])
    .touches(&["E2B-02"]),
    gateway(
        "connect-answers-early",
        "answers a connect to a paused sandbox before it can be reached",
        connect_answers_early,
    )
    .breaks(&["E2B-06"], &["concurrent-connects-start-once"])
    .touches(RESUMES)
    .spares(&["deleting-by-sdk-while-running", "paused-has-no-pod"]),
    gateway(
        "second-resume-answers-500",
        "answers 500 to the second resume of a sandbox",
        second_resume_answers_500,
    )
    .breaks(
        &["CTX-06", "E2B-06"],
        &[
            "every-write-of-five-cycles-survives@e2b",
            "concurrent-connects-start-once",
        ],
    )
    .spares(&["every-write-of-five-cycles-survives@kubernetes"]),
    gateway(
        "paused-cannot-be-killed",
        "refuses to kill a sandbox that is paused",
        || ruled(paused_cannot_be_killed),
    )
    .breaks(&["DEL-01"], &["deleting-a-paused-sandbox-is-final@e2b"])
    .touches(&["DEL", "E2B-02"])
    .spares(&[
        "deleting-a-paused-sandbox-is-final@kubernetes",
        "deleting-by-sdk-while-running",
    ]),
];

/// How long that is put off at most which was answered already.
const LATER: Duration = Duration::from_secs(3);

/// Does later what was asked, once `sign` is given: however long that takes on a busy machine, somebody has seen by then
/// that it was not done. Where nobody looks, a while later.
fn put_off(asked: Asked, gateway: Gateway, sign: &Arc<Notify>) {
    let given = Arc::clone(sign).notified_owned();
    tokio::spawn(async move {
        let _ = tokio::time::timeout(LATER, given).await;
        gateway.answer(asked.request).await
    });
}

/// The pause begins once somebody was told that the sandbox runs.
fn pause_answers_early() -> Hooks {
    let signs: Notes<Arc<Notify>> = Notes::new();
    ruled(move |asked, gateway| {
        let signs = signs.clone();
        async move {
            let headers = asked.request.headers().clone();
            match asked.to.clone() {
                Route::Pause(id) if gateway.state(&headers, &id).await == "running" => {
                    put_off(asked, gateway, &signs.first(&id, &Arc::default()));
                    Told::made_up(StatusCode::NO_CONTENT, Value::Null).send()
                }
                Route::Show(id) => seen(asked, gateway, signs.get(&id)).await,
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

/// The resume begins once somebody could not reach the sandbox.
fn connect_answers_early() -> Hooks {
    let signs: Notes<Arc<Notify>> = Notes::new();
    ruled(move |asked, gateway| {
        let signs = signs.clone();
        async move {
            let headers = asked.request.headers().clone();
            match asked.to.clone() {
                Route::Connect(id) if gateway.state(&headers, &id).await == "paused" => {
                    let path = format!("/sandboxes/{id}");
                    let mut told = gateway.call(&headers, Method::GET, &path, &Value::Null).await;
                    put_off(asked, gateway, &signs.first(&id, &Arc::default()));
                    told.status = StatusCode::CREATED;
                    told.send()
                }
                Route::Inside(id) => seen(asked, gateway, signs.get(&id)).await,
                _ => gateway.answer(asked.request).await,
            }
        }
    })
}

/// Answers as things are, and gives the sign for what was put off.
async fn seen(asked: Asked, gateway: Gateway, sign: Option<Arc<Notify>>) -> Response {
    let told = gateway.read(asked.request).await;
    if let Some(sign) = sign {
        sign.notify_waiters();
    }
    told.send()
}

fn second_resume_answers_500() -> Hooks {
    let resumes = Notes::new();
    ruled(move |asked, gateway| {
        let resumes = resumes.clone();
        async move {
            let headers = asked.request.headers().clone();
            if let Route::Connect(id) = asked.to.clone()
                && gateway.state(&headers, &id).await == "paused"
            {
                let earlier: u32 = resumes.get(&id).unwrap_or_default();
                resumes.put(&id, earlier + 1);
                if earlier == 1 {
                    return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the sandbox could not be resumed");
                }
            }
            gateway.answer(asked.request).await
        }
    })
}

async fn paused_cannot_be_killed(asked: Asked, gateway: Gateway) -> Response {
    let headers = asked.request.headers().clone();
    match asked.to.clone() {
        Route::Kill(id) if gateway.state(&headers, &id).await == "paused" => {
            refusal(StatusCode::CONFLICT, "the sandbox is paused")
        }
        _ => gateway.answer(asked.request).await,
    }
}

fn refusal(status: StatusCode, message: &str) -> Response {
    Told::made_up(status, json!({"code": status.as_u16(), "message": message})).send()
}
