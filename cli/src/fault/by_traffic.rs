//! Mistakes in the traffic between clients and what runs inside a sandbox, around a pause.

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use futures::{StreamExt as _, future, stream};
use http::{Method, StatusCode};
use serde_json::json;

use super::by_face::ruled;
use super::face::{Asked, Gateway, Route, Told};
use super::notes::Notes;
use super::{Culprit, Fault, Hooks, gateway};

pub(super) const FAULTS: &[Fault] = &[
    gateway(
        "open-connections-hang-over-a-pause",
        "leaves connections open whose sandbox was paused, and says nothing more on them",
        || ruled(open_connections_hang),
    )
    .breaks(&["CTX-07"], &["connections-end-with-the-pause"])
    .spares(&["interpreter-state-survives@e2b"]),
    Fault::new(
        "listener-dead-after-resume",
        Culprit::Engine,
        "brings a server back that accepts connections and never answers on them",
        || after_resume(|request| port(request) == Some(ENVD), future::pending),
    )
    .breaks(&["CTX-07"], &["connections-end-with-the-pause"])
    .touches(&["CTX", "E2B"])
    .spares(&["interpreter-state-survives@e2b", "open-contexts-survive"]),
    Fault::new(
        "watches-silent-after-resume",
        Culprit::Engine,
        "tells those who watch a folder of nothing any more after a resume",
        || {
            after_resume(
                |request| request.uri().path().ends_with("/GetWatcherEvents"),
                || async { Told::made_up(StatusCode::OK, json!({"events": []})).send() },
            )
        },
    )
    .breaks(&["E2B-07"], &["watches-work-after-a-pause"])
    .spares(&["files-and-contexts-work-after-a-pause"]),
    Fault::new(
        "no-new-contexts-after-resume",
        Culprit::Engine,
        "makes no further code context after a resume",
        || {
            after_resume(
                |request| request.method() == Method::POST && request.uri().path() == "/contexts",
                || async {
                    let body = json!({"code": 500, "message": "no kernel can be started"});
                    Told::made_up(StatusCode::INTERNAL_SERVER_ERROR, body).send()
                },
            )
        },
    )
    .breaks(&["E2B-07"], &["files-and-contexts-work-after-a-pause"])
    .touches(&["CTX-01"])
    .spares(&["interpreter-state-survives@e2b", "open-contexts-survive"]),
];

/// The port of envd.
const ENVD: &str = "49983";

fn port(request: &Request) -> Option<&str> {
    request.headers().get("e2b-sandbox-port")?.to_str().ok()
}

/// Answers requests of a kind, to sandboxes that were resumed, by `answer`.
fn after_resume<F>(concerns: fn(&Request) -> bool, answer: fn() -> F) -> Hooks
where
    F: Future<Output = Response> + Send + 'static,
{
    let resumed = Notes::new();
    ruled(move |asked, gateway| {
        let resumed = resumed.clone();
        async move {
            match &asked.to {
                Route::Connect(id) => {
                    let told = gateway.read(asked.request).await;
                    if told.status == StatusCode::CREATED {
                        resumed.put(id, ());
                    }
                    told.send()
                }
                Route::Inside(id) if resumed.get(id).is_some() && concerns(&asked.request) => answer().await,
                Route::Create { .. }
                | Route::List
                | Route::Show(_)
                | Route::Kill(_)
                | Route::Pause(_)
                | Route::SetTimeout(_)
                | Route::Inside(_)
                | Route::Other => gateway.answer(asked.request).await,
            }
        }
    })
}

/// How the answer to an execution ends that came to its end.
const COMPLETE: &[u8] = b"end_of_execution";

async fn open_connections_hang(asked: Asked, gateway: Gateway) -> Response {
    let executes = matches!(asked.to, Route::Inside(_)) && asked.request.uri().path() == "/execute";
    let answer = gateway.answer(asked.request).await;
    if !executes || !answer.status().is_success() {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let whole = |chunk: &Bytes| chunk.windows(COMPLETE.len()).any(|window| window == COMPLETE);
    let said = body.into_data_stream().scan((), |(), chunk| future::ready(chunk.ok()));
    // The last words end the answer; without them it never ends.
    let ends = said.flat_map(move |chunk| {
        let last = whole(&chunk);
        stream::iter([Some(chunk)]).chain(stream::iter(last.then_some(None)))
    });
    let held = ends.chain(stream::pending()).scan((), |(), chunk| future::ready(chunk));
    Response::from_parts(parts, Body::from_stream(held.map(Ok::<_, std::convert::Infallible>)))
}
