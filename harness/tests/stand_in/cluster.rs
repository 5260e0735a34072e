//! A little Kubernetes API with sandboxes, Pods and a controller in one lock, which can be
//! made to lie.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt as _;
use serde_json::{Value, json};
use tokio::sync::watch;
use torpor_harness::{KubernetesTarget, Target};

/// How the controller lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    /// Not at all.
    #[default]
    None,
    /// It reports Paused, and only then removes the Pod.
    PausedTooEarly,
    /// It leaves the Pod behind when its sandbox is deleted.
    LeavesThePod,
    /// It does nothing at all.
    Sleeps,
}

#[derive(Default)]
struct Store {
    lie: Lie,
    revision: u64,
    objects: BTreeMap<(&'static str, String), Value>,
    changes: Vec<(&'static str, &'static str, Value)>,
}

#[derive(Clone)]
struct Shared {
    store: Arc<Mutex<Store>>,
    news: Arc<watch::Sender<()>>,
}

/// A target with a Kubernetes API that lies so.
pub async fn start(lie: Lie) -> Arc<Target> {
    let store = Arc::new(Mutex::new(Store {
        lie,
        ..Store::default()
    }));
    let shared = Shared {
        store,
        news: Arc::new(watch::Sender::new(())),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sandboxes = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
    let routes = Router::new()
        .route(sandboxes, get(sandboxes_of).post(create))
        .route(&format!("{sandboxes}/{{name}}"), get(read).patch(patch).delete(delete))
        .route("/api/v1/namespaces/default/pods", get(pods_of))
        .with_state(shared);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let kubernetes = Some(KubernetesTarget {
        client,
        namespace: "default".to_owned(),
    });
    Arc::new(Target {
        kubernetes,
        e2b: None,
        ..super::target(&url)
    })
}

impl Store {
    fn put(&mut self, kind: &'static str, mut object: Value) {
        self.revision += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert((kind, name), object.clone());
        self.changes.push((kind, "MODIFIED", object));
    }

    fn remove(&mut self, kind: &'static str, name: &str) {
        if let Some(mut object) = self.objects.remove(&(kind, name.to_owned())) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.changes.push((kind, "DELETED", object));
        }
    }

    fn report(&mut self, name: &str, phase: &str) {
        let mut sandbox = self.objects[&("Sandbox", name.to_owned())].clone();
        let generation = sandbox["metadata"]["generation"].clone();
        let condition = |kind: &str, holds: bool| {
            let status = if holds { "True" } else { "False" };
            json!({"type": kind, "status": status, "observedGeneration": generation,
                   "lastTransitionTime": format!("at {phase}"), "reason": phase})
        };
        let conditions = json!([
            condition("Ready", phase == "Running"),
            condition("SandboxPaused", phase == "Paused")
        ]);
        let old = sandbox["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let mut conditions = conditions;
        for (new, old) in conditions.as_array_mut().unwrap().iter_mut().zip(old) {
            if new["status"] == old["status"] {
                new["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
        }
        sandbox["status"] = json!({"phase": phase, "observedGeneration": generation, "conditions": conditions});
        self.put("Sandbox", sandbox);
    }

    /// Brings the Pod and the status to what the spec asks for, step by step.
    fn reconcile(&mut self, name: &str) {
        let sandbox = self.objects[&("Sandbox", name.to_owned())].clone();
        let pod = self.objects.get(&("Pod", name.to_owned())).cloned();
        match (sandbox["spec"]["paused"] == true, pod, self.lie) {
            (_, _, Lie::Sleeps) => {}
            (true, Some(mut pod), lie) => {
                self.report(
                    name,
                    if lie == Lie::PausedTooEarly {
                        "Paused"
                    } else {
                        "Pausing"
                    },
                );
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                self.put("Pod", pod);
                self.remove("Pod", name);
                self.report(name, "Paused");
            }
            (true, None, _) => self.report(name, "Paused"),
            (false, None, _) => {
                self.report(name, "Resuming");
                let owner =
                    json!({"kind": "Sandbox", "name": name, "uid": sandbox["metadata"]["uid"], "controller": true});
                let uid = format!("pod-{}", self.revision);
                self.put(
                    "Pod",
                    json!({"metadata": {"name": name, "uid": uid, "ownerReferences": [owner]}}),
                );
                self.report(name, "Running");
            }
            (false, Some(_), _) => self.report(name, "Running"),
        }
    }
}

fn not_found(name: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                        "message": format!("{name} not found"), "metadata": {}});
    (StatusCode::NOT_FOUND, Json(status)).into_response()
}

async fn sandboxes_of(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    list(shared, &query, "Sandbox")
}

async fn pods_of(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    list(shared, &query, "Pod")
}

fn list(shared: Shared, query: &BTreeMap<String, String>, kind: &'static str) -> Response {
    if query.contains_key("watch") {
        return follow(shared, kind, query["resourceVersion"].parse().unwrap());
    }
    let store = shared.store.lock().unwrap();
    let items: Vec<_> = store
        .objects
        .iter()
        .filter(|((of, _), _)| *of == kind)
        .map(|(_, object)| object)
        .collect();
    Json(json!({"metadata": {"resourceVersion": store.revision.to_string()}, "items": items})).into_response()
}

fn follow(shared: Shared, kind: &'static str, after: u64) -> Response {
    let news = shared.news.subscribe();
    let lines = futures::stream::unfold((shared, news, after), move |(shared, mut news, after)| async move {
        loop {
            let (lines, seen) = {
                let store = shared.store.lock().unwrap();
                let revision = |object: &Value| {
                    object["metadata"]["resourceVersion"]
                        .as_str()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                };
                let new = store
                    .changes
                    .iter()
                    .filter(|(of, _, object)| *of == kind && revision(object) > after);
                let lines: Vec<_> = new
                    .map(|(_, change, object)| format!("{}\n", json!({"type": change, "object": object})))
                    .collect();
                (lines.concat(), store.revision)
            };
            if !lines.is_empty() {
                return Some((lines, (shared, news, seen)));
            }
            news.changed().await.ok()?;
        }
    });
    Body::from_stream(lines.map(Ok::<_, Infallible>)).into_response()
}

async fn create(State(shared): State<Shared>, Json(mut object): Json<Value>) -> Response {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    {
        let mut store = shared.store.lock().unwrap();
        object["metadata"]["uid"] = json!(format!("uid-{}", store.revision));
        object["metadata"]["generation"] = json!(1);
        store.put("Sandbox", object);
        store.reconcile(&name);
    }
    shared.news.send_replace(());
    read(State(shared), Path(name)).await
}

async fn read(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    match shared.store.lock().unwrap().objects.get(&("Sandbox", name.clone())) {
        Some(object) => Json(object).into_response(),
        None => not_found(&name),
    }
}

async fn patch(State(shared): State<Shared>, Path(name): Path<String>, body: String) -> Response {
    let patch: Value = serde_json::from_str(&body).unwrap();
    {
        let mut store = shared.store.lock().unwrap();
        let Some(mut object) = store.objects.get(&("Sandbox", name.clone())).cloned() else {
            return not_found(&name);
        };
        object["spec"]["paused"] = patch["spec"]["paused"].clone();
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap() + 1);
        store.put("Sandbox", object);
        store.reconcile(&name);
    }
    shared.news.send_replace(());
    read(State(shared), Path(name)).await
}

async fn delete(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let gone = {
        let mut store = shared.store.lock().unwrap();
        let Some(object) = store.objects.get(&("Sandbox", name.clone())).cloned() else {
            return not_found(&name);
        };
        if store.lie != Lie::LeavesThePod {
            store.remove("Pod", &name);
        }
        store.remove("Sandbox", &name);
        object
    };
    shared.news.send_replace(());
    Json(gone).into_response()
}
