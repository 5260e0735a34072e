//! What stands beside the sandboxes of the little Kubernetes API: Pods of anybody, and switches that turn boxes on and off.

use std::collections::BTreeMap;

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::cluster::{Shared, as_it_is, list, merge, not_found, patch};

const PODS: &str = "/api/v1/namespaces/default/pods";
const SWITCHES: &str = "/apis/example.com/v1/namespaces/default/switches";

pub(super) fn routes() -> Router<Shared> {
    Router::new()
        .route(PODS, get(pods_of).post(create_pod))
        .route(
            &format!("{PODS}/{{name}}"),
            get(pod).patch(patch_pod).delete(delete_pod),
        )
        .route(SWITCHES, get(switches_of).post(switch))
        .route(&format!("{SWITCHES}/{{name}}"), get(read_switch).delete(delete_switch))
        .route("/apis/example.com/v1", get(kinds))
}

/// The kinds of the group of boxes.
async fn kinds() -> Response {
    let kind = |name: &str, kind: &str| json!({"name": name, "kind": kind, "namespaced": true, "singularName": "", "verbs": ["list", "get", "create", "delete"]});
    let kinds = json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "example.com/v1",
                       "resources": [kind("boxes", "Box"), kind("switches", "Switch")]});
    Json(kinds).into_response()
}

async fn pods_of(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    list(shared, &query, "Pod")
}

async fn switches_of(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    list(shared, &query, "Switch")
}

async fn pod(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    as_it_is(&shared, "Pod", &name)
}

async fn read_switch(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    as_it_is(&shared, "Switch", &name)
}

async fn create_pod(State(shared): State<Shared>, Json(pod): Json<Value>) -> Response {
    make(&shared, "Pod", pod)
}

/// Makes an object as it is, and shows it.
fn make(shared: &Shared, kind: &'static str, mut object: Value) -> Response {
    {
        let mut store = shared.store.lock().unwrap();
        object["metadata"]["uid"] = json!(format!("{kind}-{}", store.revision));
        store.put(kind, object.clone());
    }
    shared.news.send_replace(());
    (StatusCode::CREATED, Json(object)).into_response()
}

async fn patch_pod(State(shared): State<Shared>, Path(name): Path<String>, body: String) -> Response {
    {
        let mut store = shared.store.lock().unwrap();
        let Some(mut pod) = store.objects.get(&("Pod", name.clone())).cloned() else {
            return not_found(&name);
        };
        merge(&mut pod, &serde_json::from_str(&body).unwrap());
        store.put("Pod", pod);
    }
    shared.news.send_replace(());
    as_it_is(&shared, "Pod", &name)
}

async fn delete_pod(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    take_away(&shared, "Pod", &name)
}

async fn delete_switch(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    take_away(&shared, "Switch", &name)
}

fn take_away(shared: &Shared, kind: &'static str, name: &str) -> Response {
    let last = as_it_is(shared, kind, name);
    shared.store.lock().unwrap().remove(kind, name);
    shared.news.send_replace(());
    last
}

/// Turns a box on or off, as a resource of its own that stays.
async fn switch(State(shared): State<Shared>, Json(switch): Json<Value>) -> Response {
    let name = switch["spec"]["box"].as_str().unwrap().to_owned();
    let body = json!({"spec": {"power": switch["spec"]["power"]}}).to_string();
    let patched = patch(State(shared.clone()), Path(name), body).await;
    if patched.status() == StatusCode::OK {
        return make(&shared, "Switch", switch);
    }
    patched
}
