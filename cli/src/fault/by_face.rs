//! Mistakes of the E2B face in what it answers.

use axum::extract::Request;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::face::{Asked, FaceRule, Gateway, Route, Told, body_of, with_body};
use super::{Fault, Hooks, gateway};

/// What every resume through E2B has part in.
pub(super) const RESUMES: &[&str] = &["CTX", "ZERO", "TIME", "E2B", "OBS", "DEL", "FSM"];

pub(super) const FAULTS: &[Fault] = &[
    gateway(
        "pause-of-paused-answers-204",
        "answers a pause of a paused sandbox with 204",
        || {
            told(|to, told| {
                if matches!(to, Route::Pause(_)) && told.status == StatusCode::CONFLICT {
                    (told.status, told.body) = (StatusCode::NO_CONTENT, Value::Null);
                }
            })
        },
    )
    .breaks(&["E2B-02"], &["every-operation-answers-by-state"]),
    gateway(
        "resume-answers-200",
        "answers a connect that resumed with 200, as if it had been running",
        || {
            told(|to, told| {
                if matches!(to, Route::Connect(_)) && told.status == StatusCode::CREATED {
                    told.status = StatusCode::OK;
                }
            })
        },
    )
    .breaks(&["E2B-02"], &["every-operation-answers-by-state"])
    .touches(RESUMES)
    .spares(&["deleting-by-sdk-while-running", "paused-has-no-pod"]),
    gateway(
        "missing-sandbox-answers-500",
        "answers 500 for what is not there",
        || {
            told(|to, told| {
                if !matches!(to, Route::Inside(_)) && told.status == StatusCode::NOT_FOUND {
                    told.status = StatusCode::INTERNAL_SERVER_ERROR;
                }
            })
        },
    )
    .breaks(&["DEL-06", "E2B-02"], &["a-deleted-sandbox-is-not-found"])
    .touches(&["DEL", "E2B-04"]),
    gateway("second-kill-answers-204", "answers every kill with 204", || {
        told(|to, told| {
            if matches!(to, Route::Kill(_)) && told.status == StatusCode::NOT_FOUND {
                (told.status, told.body) = (StatusCode::NO_CONTENT, Value::Null);
            }
        })
    })
    .breaks(&["E2B-02", "DEL-08"], &["a-deleted-sandbox-is-not-found"]),
    gateway("errors-as-plain-text", "explains errors in plain text", || {
        told(|to, told| {
            if !matches!(to, Route::Inside(_)) && (told.status.is_client_error() || told.status.is_server_error()) {
                told.body = Value::Null;
                told.headers
                    .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                told.set_text("something went wrong");
            }
        })
    })
    .breaks(&["E2B-04"], &["errors-are-json-with-code-and-message"])
    .touches(&["E2B-03"]),
    gateway(
        "error-messages-empty",
        "answers every error with a code and an empty message",
        || {
            told(|_, told| {
                if told.status.is_client_error() || told.status.is_server_error() {
                    told.body["message"] = json!("");
                }
            })
        },
    )
    .breaks(
        &["E2B-04", "OBS-03"],
        &["errors-are-json-with-code-and-message", "a-missing-key-is-refused"],
    )
    .spares(&["a-missing-template-is-explained"]),
    gateway("paused-missing-from-lists", "lists no paused sandboxes", || {
        told(|to, told| {
            if *to == Route::List
                && let Some(entries) = told.body.as_array_mut()
            {
                entries.retain(|entry| entry["state"] != "paused");
            }
        })
    })
    .breaks(&["E2B-03"], &["lists-filter-by-state-and-metadata"]),
    gateway(
        "list-ignores-metadata",
        "lists without regard to the metadata asked for",
        || {
            asking(|mut request| {
                let uri = request.uri().to_string();
                if let Some((path, query)) = uri.split_once('?') {
                    let kept: Vec<_> = query.split('&').filter(|pair| !pair.starts_with("metadata=")).collect();
                    if let Ok(uri) = format!("{path}?{}", kept.join("&")).parse() {
                        *request.uri_mut() = uri;
                    }
                }
                request
            })
        },
    )
    .breaks(&["E2B-03"], &["lists-filter-by-state-and-metadata"]),
    gateway("list-without-next-page", "says of no list that it goes on", || {
        told(|to, told| {
            if *to == Route::List {
                told.headers.remove("x-next-token");
            }
        })
    })
    .breaks(&["E2B-03"], &["lists-order-and-page"])
    .spares(&["lists-filter-by-state-and-metadata"]),
    gateway(
        "missing-key-accepted",
        "takes calls without an API key for its administrator's",
        || {
            asking(|mut request| {
                let anybody = HeaderValue::from_static("e2b_0000000000000000000000000000000000000000");
                request.headers_mut().entry("x-api-key").or_insert(anybody);
                request
            })
        },
    )
    .breaks(&["E2B-05", "E2B-04"], &["a-missing-key-is-refused"])
    .spares(&["errors-are-json-with-code-and-message"]),
    gateway(
        "v1-routes-missing",
        "creates by the second generation of routes only",
        || {
            ruled(|asked, gateway| async move {
                if asked.to == (Route::Create { v1: true }) {
                    let body = json!({"code": 405, "message": "use /v2/sandboxes"});
                    return Told::made_up(StatusCode::METHOD_NOT_ALLOWED, body).send();
                }
                gateway.answer(asked.request).await
            })
        },
    )
    .breaks(&["E2B-08"], &["the-beta-sdk-calls-work"])
    .spares(&["the-current-sdk-calls-work"]),
    gateway(
        "v2-connect-missing",
        "connects by the first generation of routes only",
        || {
            ruled(|asked, gateway| async move {
                if matches!(asked.to, Route::Connect(_)) && asked.request.uri().path().starts_with("/v2/") {
                    let body = json!({"code": 404, "message": "use /sandboxes/{id}/connect"});
                    return Told::made_up(StatusCode::NOT_FOUND, body).send();
                }
                gateway.answer(asked.request).await
            })
        },
    )
    .breaks(&["E2B-01", "E2B-08"], &["the-current-sdk-calls-work"])
    .touches(RESUMES)
    .spares(&["the-beta-sdk-calls-work", "deleting-by-sdk-while-running"]),
    gateway("timeout-ignored", "answers set_timeout and leaves the timer", || {
        ruled(|asked, gateway| async move {
            if matches!(asked.to, Route::SetTimeout(_)) {
                return Told::made_up(StatusCode::NO_CONTENT, Value::Null).send();
            }
            gateway.answer(asked.request).await
        })
    })
    .breaks(
        &["TIME-02"],
        &[
            "the-timeout-can-be-shortened-and-extended",
            "a-timeout-of-zero-ends-now",
        ],
    )
    .touches(&["TIME", "CTX-10"])
    .spares(&["timeout-without-auto-pause-deletes"]),
    gateway("kill-does-nothing", "answers a kill and leaves the sandbox", || {
        ruled(|asked, gateway| async move {
            if matches!(asked.to, Route::Kill(_)) {
                return Told::made_up(StatusCode::NO_CONTENT, Value::Null).send();
            }
            gateway.answer(asked.request).await
        })
    })
    .breaks(&["DEL-04", "DEL-06"], &["deleting-by-sdk-while-running"])
    .spares(&["deleting-while-running"]),
    gateway(
        "traffic-never-wakes",
        "forgets that traffic was to wake a sandbox",
        || {
            creating(|body| {
                if let Some(body) = body.as_object_mut() {
                    body.remove("autoResume");
                }
            })
        },
    )
    .breaks(&["E2B-09"], &["traffic-wakes-where-it-was-declared"]),
    gateway(
        "traffic-wakes-everything",
        "wakes every paused sandbox on traffic",
        || {
            creating(|body| {
                if body["autoPause"] == true {
                    body["autoResume"] = json!({"enabled": true});
                }
            })
        },
    )
    .breaks(&["E2B-09"], &["traffic-wakes-where-it-was-declared"])
    .touches(&["CTX-05"]),
];

pub(super) fn ruled<F>(rule: impl Fn(Asked, Gateway) -> F + Send + Sync + 'static) -> Hooks
where
    F: Future<Output = Response> + Send + 'static,
{
    Hooks {
        face: Some(FaceRule::new(rule)),
        ..Hooks::default()
    }
}

/// Changes answers of the control plane.
pub(super) fn told(change: fn(&Route, &mut Told)) -> Hooks {
    ruled(move |asked, gateway| async move {
        if matches!(asked.to, Route::Inside(_)) {
            return gateway.answer(asked.request).await;
        }
        let mut told = gateway.read(asked.request).await;
        change(&asked.to, &mut told);
        told.send()
    })
}

/// Changes requests to the control plane.
fn asking(change: fn(Request) -> Request) -> Hooks {
    ruled(move |asked, gateway| async move {
        match asked.to {
            Route::Inside(_) => gateway.answer(asked.request).await,
            _ => gateway.answer(change(asked.request)).await,
        }
    })
}

/// Changes what is asked for at a creation.
pub(super) fn creating(change: fn(&mut Value)) -> Hooks {
    ruled(move |asked, gateway| async move {
        if !matches!(asked.to, Route::Create { .. }) {
            return gateway.answer(asked.request).await;
        }
        let (request, mut body) = body_of(asked.request).await;
        change(&mut body);
        gateway.answer(with_body(request, &body)).await
    })
}
