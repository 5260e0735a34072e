//! An E2B API in front of the little Kubernetes API, whose ids are not the names of its sandboxes.

use axum::Json;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use torpor_harness::{Profile, Target};

use super::cluster::{KRUISE, Lie, Shared, create, delete, patch, start_with};

/// How ids are made.
#[derive(Clone, Copy, Debug)]
pub enum Ids {
    /// `default--NAME`.
    Long,
    /// The name itself.
    Name,
    /// A short one, which a label of the custom resource holds.
    Short,
}

/// The label that holds a short id.
pub const LABEL: &str = "agents.kruise.io/sandbox-id";

/// A target with both, read by this profile.
pub async fn start(ids: Ids, profile: Profile) -> Target {
    let more = Router::new()
        .route("/v2/sandboxes", post(move |shared, body| make(ids, shared, body)))
        .route("/sandboxes/{id}", get(detail).delete(kill))
        .route("/sandboxes/{id}/pause", post(pause))
        .route("/v2/sandboxes/{id}/connect", post(connect));
    let mut target = start_with(KRUISE, Lie::None, profile, more).await;
    let url = target.controller_metrics.remove(0);
    target.e2b = super::target(url.as_str()).e2b;
    target
}

async fn make(ids: Ids, State(shared): State<Shared>, _: Json<Value>) -> Response {
    let number = shared.store.lock().unwrap().revision;
    let name = format!("warm-{number}");
    let (id, labels) = match ids {
        Ids::Long => (format!("default--{name}"), json!({})),
        Ids::Name => (name.clone(), json!({})),
        Ids::Short => (
            format!("x3k9q2m7v5w{number}"),
            json!({LABEL: format!("x3k9q2m7v5w{number}")}),
        ),
    };
    let manifest = json!({"metadata": {"name": name, "labels": labels}, "spec": {}});
    create(State(shared), Json(manifest)).await;
    (StatusCode::CREATED, Json(shown(&id, "running"))).into_response()
}

fn shown(id: &str, state: &str) -> Value {
    json!({"sandboxID": id, "templateID": "t", "clientID": "c", "envdVersion": "0.6.13", "state": state})
}

/// The name of the sandbox that an id means, and whether it is paused.
fn meant(shared: &Shared, id: &str) -> Option<(String, bool)> {
    let store = shared.store.lock().unwrap();
    let mut sandboxes = store.objects.iter().filter(|((kind, _), _)| *kind == "Sandbox");
    let is_meant = |name: &str, object: &Value| {
        name == id || format!("default--{name}") == id || object["metadata"]["labels"][LABEL] == id
    };
    let ((_, name), object) = sandboxes.find(|((_, name), object)| is_meant(name, object))?;
    Some((name.clone(), object["spec"]["paused"] == true))
}

fn not_found() -> Response {
    (
        StatusCode::NOT_FOUND,
        Json(json!({"code": 404, "message": "no such sandbox"})),
    )
        .into_response()
}

async fn detail(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match meant(&shared, &id) {
        Some((_, paused)) => Json(shown(&id, if paused { "paused" } else { "running" })).into_response(),
        None => not_found(),
    }
}

async fn kill(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match meant(&shared, &id) {
        Some((name, _)) => {
            delete(State(shared), Path(name)).await;
            StatusCode::NO_CONTENT.into_response()
        }
        None => not_found(),
    }
}

async fn turn(shared: Shared, id: &str, paused: bool) -> Option<()> {
    let (name, _) = meant(&shared, id)?;
    let body = json!({"spec": {"paused": paused}}).to_string();
    patch(State(shared), Path(name), body).await;
    Some(())
}

async fn pause(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match turn(shared, &id, true).await {
        Some(()) => StatusCode::NO_CONTENT.into_response(),
        None => not_found(),
    }
}

async fn connect(State(shared): State<Shared>, Path(id): Path<String>) -> Response {
    match turn(shared, &id, false).await {
        Some(()) => (StatusCode::CREATED, Json(shown(&id, "running"))).into_response(),
        None => not_found(),
    }
}
