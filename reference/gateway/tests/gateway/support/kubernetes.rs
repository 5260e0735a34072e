//! As much of a Kubernetes API as a gateway and a controller stand-in touch: objects by kind and
//! name, versions, generations, a status of their own, conflicts, watches.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, RawQuery, State},
    response::{IntoResponse, Response},
    routing::get,
};
use futures::stream;
use http::{Request, StatusCode};
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;
use url::form_urlencoded;

const OBJECTS: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/{namespace}/{plural}";
const OBJECT: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/{namespace}/{plural}/{name}";
const STATUS: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/{namespace}/{plural}/{name}/status";

/// An API that holds nothing yet.
#[derive(Clone, Default)]
pub struct Kubernetes {
    store: Arc<Mutex<Store>>,
    /// The newest version.
    version: Arc<watch::Sender<u64>>,
}

#[derive(Default)]
struct Store {
    objects: BTreeMap<(String, String), Value>,
    changes: Vec<Change>,
}

#[derive(Clone)]
struct Change {
    plural: String,
    kind: &'static str,
    object: Value,
}

impl Kubernetes {
    /// A client that is always answered.
    pub fn client(&self) -> Client {
        self.client_refused_every(usize::MAX)
    }

    /// A client of which every `nth` request is refused, as by an API server that is overloaded.
    pub fn client_refused_every(&self, nth: usize) -> Client {
        let router = Router::new()
            .route(OBJECTS, get(list).post(create))
            .route(OBJECT, get(read).patch(patch_spec).delete(delete))
            .route(STATUS, get(read).patch(patch_status))
            .with_state(self.clone());
        let sent = Arc::new(AtomicUsize::new(1));
        let service = tower::service_fn(move |request: Request<kube::client::Body>| {
            let router = router.clone();
            let refused = sent.fetch_add(1, Ordering::SeqCst).is_multiple_of(nth);
            async move {
                if refused {
                    return Ok(refuse(503, "ServiceUnavailable"));
                }
                router.oneshot(request.map(Body::new)).await
            }
        });
        Client::new(service, "default")
    }

    /// Keeps `object` as the newest version of itself, or forgets it if it was deleted.
    fn keep(&self, store: &mut Store, plural: String, kind: &'static str, mut object: Value) -> Value {
        let version = store.changes.len() + 1;
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        let key = (plural.clone(), object["metadata"]["name"].as_str().unwrap().to_owned());
        if kind == "DELETED" {
            store.objects.remove(&key);
        } else {
            store.objects.insert(key, object.clone());
        }
        store.changes.push(Change {
            plural,
            kind,
            object: object.clone(),
        });
        self.version.send_replace(u64::try_from(version).unwrap());
        object
    }

    fn patch(&self, (plural, name): (String, String), patch: &Value, part: Part) -> Response {
        let mut store = self.store.lock().unwrap();
        let Some(old) = store.objects.get(&(plural.clone(), name)).cloned() else {
            return refuse(404, "NotFound");
        };
        let expected = &patch["metadata"]["resourceVersion"];
        if !expected.is_null() && *expected != old["metadata"]["resourceVersion"] {
            return refuse(409, "Conflict");
        }
        let mut new = old.clone();
        match part {
            Part::Status => merge(&mut new["status"], &patch["status"]),
            Part::AllButStatus => {
                merge(&mut new, patch);
                new["status"] = old["status"].clone();
            }
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_u64().unwrap() + 1);
        }
        Json(self.keep(&mut store, plural, "MODIFIED", new)).into_response()
    }
}

#[derive(Clone, Copy)]
enum Part {
    Status,
    AllButStatus,
}

type ObjectPath = Path<(String, String, String)>;

async fn list(
    State(api): State<Kubernetes>,
    Path((_, plural)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Response {
    let query: BTreeMap<_, _> = form_urlencoded::parse(query.unwrap_or_default().as_bytes())
        .into_owned()
        .collect();
    if query.get("watch").is_some_and(|watch| watch == "true") {
        return follow(api, plural, query["resourceVersion"].parse().unwrap());
    }
    let store = api.store.lock().unwrap();
    let items: Vec<_> = store
        .objects
        .iter()
        .filter(|((of, _), _)| *of == plural)
        .map(|(_, object)| object)
        .collect();
    let metadata = json!({ "resourceVersion": store.changes.len().to_string() });
    Json(json!({ "kind": "List", "apiVersion": "agents.kruise.io/v1alpha1", "metadata": metadata, "items": items }))
        .into_response()
}

/// The changes after the first `seen`, as they come.
fn follow(api: Kubernetes, plural: String, seen: usize) -> Response {
    let version = api.version.subscribe();
    let events = stream::unfold((version, seen), move |(mut version, mut seen)| {
        let (api, plural) = (api.clone(), plural.clone());
        async move {
            loop {
                let change = api.store.lock().unwrap().changes.get(seen).cloned();
                match change {
                    Some(change) if change.plural == plural => {
                        let event = json!({ "type": change.kind, "object": change.object });
                        return Some((
                            Ok::<_, std::convert::Infallible>(format!("{event}\n")),
                            (version, seen + 1),
                        ));
                    }
                    Some(_) => seen += 1,
                    None => version.changed().await.ok()?,
                }
            }
        }
    });
    Body::from_stream(events).into_response()
}

async fn create(
    State(api): State<Kubernetes>,
    Path((_, plural)): Path<(String, String)>,
    Json(mut object): Json<Value>,
) -> Response {
    let mut store = api.store.lock().unwrap();
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    if store.objects.contains_key(&(plural.clone(), name.clone())) {
        return refuse(409, "AlreadyExists");
    }
    let given = json!({ "uid": format!("uid-{}", store.changes.len()), "generation": 1,
        "creationTimestamp": super::NOW.to_string() });
    merge(&mut object["metadata"], &given);
    object["status"] = Value::Null;
    (StatusCode::CREATED, Json(api.keep(&mut store, plural, "ADDED", object))).into_response()
}

async fn read(State(api): State<Kubernetes>, Path((_, plural, name)): ObjectPath) -> Response {
    let store = api.store.lock().unwrap();
    store
        .objects
        .get(&(plural, name))
        .map_or_else(|| refuse(404, "NotFound"), |object| Json(object).into_response())
}

async fn patch_spec(
    State(api): State<Kubernetes>,
    Path((_, plural, name)): ObjectPath,
    patch: Json<Value>,
) -> Response {
    api.patch((plural, name), &patch, Part::AllButStatus)
}

async fn patch_status(
    State(api): State<Kubernetes>,
    Path((_, plural, name)): ObjectPath,
    patch: Json<Value>,
) -> Response {
    api.patch((plural, name), &patch, Part::Status)
}

async fn delete(State(api): State<Kubernetes>, Path((_, plural, name)): ObjectPath) -> Response {
    let mut store = api.store.lock().unwrap();
    let Some(old) = store.objects.get(&(plural.clone(), name)).cloned() else {
        return refuse(404, "NotFound");
    };
    Json(api.keep(&mut store, plural, "DELETED", old)).into_response()
}

fn refuse(code: u16, reason: &str) -> Response {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason,
        "reason": reason, "code": code });
    (StatusCode::from_u16(code).unwrap(), Json(status)).into_response()
}

/// JSON merge patch, RFC 7386.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        merge(&mut target[key], value);
    }
    target.as_object_mut().unwrap().retain(|_, value| !value.is_null());
}
