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
use torpor_harness::{KubernetesTarget, Profile, Target};

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
    /// It takes any Pod of the right name for its sandbox's.
    TakesAnyPod,
    /// It does nothing at all.
    Sleeps,
    /// No lie: once somebody has read Paused, somebody else changes the spec, and the controller catches up only after
    /// that has been read.
    CatchesUpLate,
    /// The same, and it never catches up.
    NeverCatchesUp,
}

/// In what dialect it speaks.
#[derive(Clone, Copy, Debug)]
pub struct Tongue {
    /// Path of the resources in the namespace `default`.
    pub path: &'static str,
    /// Their kind.
    pub kind: &'static str,
    /// What follows the name of a sandbox in that of its Pod.
    pub pod_suffix: &'static str,
    /// Whether the spec asks for a pause.
    pub asks_for_pause: fn(&Value) -> bool,
    /// The status of a generation in a phase; the conditions get their times later.
    pub status: fn(generation: &Value, phase: &str) -> Value,
}

/// `agents.kruise.io/v1alpha1`.
pub const KRUISE: Tongue = Tongue {
    path: "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes",
    kind: "Sandbox",
    pod_suffix: "",
    asks_for_pause: |spec| spec["paused"] == true,
    status: |generation, phase| {
        json!({"phase": phase, "observedGeneration": generation, "conditions": [
            condition(generation, "Ready", phase == "Running"),
            condition(generation, "SandboxPaused", phase == "Paused"),
        ]})
    },
};

/// `agents.x-k8s.io/v1alpha1`, as in releases that leave `Suspended` behind when it runs again.
pub const SIGS_ALPHA: Tongue = Tongue {
    path: "/apis/agents.x-k8s.io/v1alpha1/namespaces/default/sandboxes",
    kind: "Sandbox",
    pod_suffix: "",
    asks_for_pause: |spec| spec["replicas"] == 0,
    status: |generation, phase| {
        let mut conditions = vec![condition(generation, "Ready", phase == "Running")];
        if matches!(phase, "Pausing" | "Paused") {
            conditions.push(condition(generation, "Suspended", phase == "Paused"));
        }
        json!({"replicas": 1, "conditions": conditions})
    },
};

/// A dialect that nobody speaks: no phase, other words, a Pod of another name.
pub const BOX: Tongue = Tongue {
    path: "/apis/example.com/v1/namespaces/default/boxes",
    kind: "Box",
    pod_suffix: "-0",
    asks_for_pause: |spec| spec["power"] == "off",
    status: |generation, phase| {
        let why = if phase == "Pausing" { "on its way down" } else { "" };
        json!({"seen": generation, "why": why, "facts": [
            condition(generation, "Up", phase == "Running"),
            condition(generation, "Off", phase == "Paused"),
        ]})
    },
};

fn condition(generation: &Value, kind: &str, holds: bool) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({"type": kind, "status": status, "observedGeneration": generation, "reason": "Because"})
}

pub(super) struct Store {
    lie: Lie,
    tongue: Tongue,
    pub(super) revision: u64,
    /// Whether the spec has been changed behind the back of who reads.
    changed_behind: bool,
    pub(super) objects: BTreeMap<(&'static str, String), Value>,
    changes: Vec<(&'static str, &'static str, Value)>,
}

#[derive(Clone)]
pub(super) struct Shared {
    pub(super) store: Arc<Mutex<Store>>,
    pub(super) news: Arc<watch::Sender<()>>,
}

/// A target with a Kubernetes API that lies so.
pub async fn start(lie: Lie) -> Arc<Target> {
    let profile = Profile::built_in("kruise").unwrap();
    Arc::new(start_as(KRUISE, lie, profile).await)
}

/// The same, in another dialect that this profile reads.
pub async fn start_as(tongue: Tongue, lie: Lie, profile: Profile) -> Target {
    start_with(tongue, lie, profile, Router::new()).await
}

/// The same, with what else it serves.
pub(super) async fn start_with(tongue: Tongue, lie: Lie, profile: Profile, more: Router<Shared>) -> Target {
    let store = Arc::new(Mutex::new(Store {
        lie,
        tongue,
        revision: 0,
        changed_behind: false,
        objects: BTreeMap::new(),
        changes: Vec::new(),
    }));
    let shared = Shared {
        store,
        news: Arc::new(watch::Sender::new(())),
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let sandboxes = tongue.path;
    let routes = Router::new()
        .route(sandboxes, get(sandboxes_of).post(create))
        .route(&format!("{sandboxes}/{{name}}"), get(read).patch(patch).delete(delete))
        .route(&format!("{sandboxes}/{{name}}/power"), get(read).patch(patch))
        .merge(super::objects::routes())
        .merge(more)
        .with_state(shared);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let client = kube::Client::try_from(kube::Config::new(url.parse().unwrap())).unwrap();
    let kubernetes = Some(KubernetesTarget {
        client,
        namespace: "default".to_owned(),
    });
    Target {
        kubernetes,
        e2b: None,
        controller_metrics: vec![url.parse().unwrap()],
        adapter: profile.adapter(),
        capabilities: profile.capabilities.clone(),
        profile,
        ..super::target(&url)
    }
    .within(std::time::Duration::from_secs(2))
}

/// Where a target's stand-in listens.
pub fn port_of(target: &Target) -> u16 {
    // The stand-in of the cluster speaks no E2B; its address stays here.
    target.controller_metrics.first().unwrap().port().unwrap()
}

/// The names of all boxes, or of all switches, that a target has.
pub async fn names_of(target: &Target, kind: &str) -> Vec<String> {
    let client = target.kubernetes.as_ref().unwrap().client.clone();
    let kind = kube::api::GroupVersionKind::gvk("example.com", "v1", kind);
    let resource = kube::api::ApiResource::from_gvk(&kind);
    let api: kube::Api<kube::api::DynamicObject> = kube::Api::namespaced_with(client, "default", &resource);
    let listed = api.list(&kube::api::ListParams::default()).await.unwrap();
    listed.into_iter().map(|object| object.metadata.name.unwrap()).collect()
}

impl Store {
    pub(super) fn put(&mut self, kind: &'static str, mut object: Value) {
        self.revision += 1;
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.objects.insert((kind, name), object.clone());
        self.changes.push((kind, "MODIFIED", object));
    }

    pub(super) fn remove(&mut self, kind: &'static str, name: &str) {
        if let Some(mut object) = self.objects.remove(&(kind, name.to_owned())) {
            self.revision += 1;
            object["metadata"]["resourceVersion"] = json!(self.revision.to_string());
            self.changes.push((kind, "DELETED", object));
        }
    }

    /// What happens once an object has been read as it was.
    fn was_read(&mut self, name: &str) {
        let Some(mut sandbox) = self.objects.get(&("Sandbox", name.to_owned())).cloned() else {
            return;
        };
        let generation = sandbox["metadata"]["generation"].clone();
        let behind = sandbox["status"]["observedGeneration"] != generation;
        match self.lie {
            Lie::CatchesUpLate | Lie::NeverCatchesUp if !self.changed_behind => {
                if sandbox["status"]["phase"] == "Paused" {
                    sandbox["metadata"]["generation"] = json!(generation.as_u64().unwrap() + 1);
                    self.put("Sandbox", sandbox);
                    self.changed_behind = true;
                }
            }
            Lie::CatchesUpLate if behind => self.reconcile(name),
            Lie::None
            | Lie::PausedTooEarly
            | Lie::LeavesThePod
            | Lie::TakesAnyPod
            | Lie::Sleeps
            | Lie::CatchesUpLate
            | Lie::NeverCatchesUp => {}
        }
    }

    fn pod_of(&self, name: &str) -> String {
        format!("{name}{}", self.tongue.pod_suffix)
    }

    /// Whether the Pod of that sandbox's Pod name is its own.
    fn owns_pod(&self, sandbox: &Value, pod: &Value) -> bool {
        let owner = &pod["metadata"]["ownerReferences"][0]["uid"];
        self.lie == Lie::TakesAnyPod || *owner == sandbox["metadata"]["uid"]
    }

    fn report(&mut self, name: &str, phase: &str) {
        let mut sandbox = self.objects[&("Sandbox", name.to_owned())].clone();
        let generation = sandbox["metadata"]["generation"].clone();
        let mut status = (self.tongue.status)(&generation, phase);
        let (key, conditions) = list_of(&status);
        let old = sandbox["status"][&key].as_array().cloned().unwrap_or_default();
        status[&key] = conditions
            .into_iter()
            .map(|mut new| {
                let kept = old
                    .iter()
                    .find(|old| old["type"] == new["type"] && old["status"] == new["status"]);
                new["lastTransitionTime"] =
                    kept.map_or_else(|| json!(format!("at {phase}")), |old| old["lastTransitionTime"].clone());
                new
            })
            .collect();
        sandbox["status"] = status;
        self.put("Sandbox", sandbox);
    }

    /// Brings the Pod and the status to what the spec asks for, step by step.
    pub(super) fn reconcile(&mut self, name: &str) {
        let sandbox = self.objects[&("Sandbox", name.to_owned())].clone();
        if !sandbox["metadata"]["deletionTimestamp"].is_null() {
            return;
        }
        let pod_name = &self.pod_of(name);
        let pod = self.objects.get(&("Pod", pod_name.clone())).cloned();
        match ((self.tongue.asks_for_pause)(&sandbox["spec"]), pod, self.lie) {
            (_, _, Lie::Sleeps) => {}
            (paused, Some(pod), _) if !self.owns_pod(&sandbox, &pod) => {
                self.report(name, if paused { "Paused" } else { "Pending" });
            }
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
                self.remove("Pod", pod_name);
                self.report(name, "Paused");
            }
            (true, None, _) => self.report(name, "Paused"),
            (false, None, _) => {
                self.report(name, "Resuming");
                let owner = json!({"kind": self.tongue.kind, "name": name, "uid": sandbox["metadata"]["uid"], "controller": true});
                let uid = format!("pod-{}", self.revision);
                self.put(
                    "Pod",
                    json!({"metadata": {"name": pod_name, "uid": uid, "ownerReferences": [owner]}}),
                );
                self.report(name, "Running");
            }
            (false, Some(_), _) => self.report(name, "Running"),
        }
    }
}

/// The conditions of a status, and under which key it has them.
fn list_of(status: &Value) -> (String, Vec<Value>) {
    let fields = status.as_object().unwrap();
    let (key, list) = fields.iter().find(|(_, field)| field.is_array()).unwrap();
    (key.clone(), list.as_array().unwrap().clone())
}

pub(super) fn merge(base: &mut Value, patch: &Value) {
    match patch.as_object() {
        Some(fields) => fields.iter().for_each(|(key, value)| merge(&mut base[key], value)),
        None => *base = patch.clone(),
    }
}

pub(super) fn not_found(name: &str) -> Response {
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                        "message": format!("{name} not found"), "metadata": {}});
    (StatusCode::NOT_FOUND, Json(status)).into_response()
}

async fn sandboxes_of(State(shared): State<Shared>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    list(shared, &query, "Sandbox")
}

pub(super) fn list(shared: Shared, query: &BTreeMap<String, String>, kind: &'static str) -> Response {
    if query.contains_key("watch") {
        return follow(shared, kind, query["resourceVersion"].parse().unwrap());
    }
    let store = shared.store.lock().unwrap();
    // As much of a selector as the suite sends: one label and its value.
    let selector = query.get("labelSelector").and_then(|selector| selector.split_once('='));
    let fits = |object: &Value| selector.is_none_or(|(label, value)| object["metadata"]["labels"][label] == value);
    let items: Vec<_> = store
        .objects
        .iter()
        .filter(|((of, _), object)| *of == kind && fits(object))
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

pub(super) async fn create(State(shared): State<Shared>, Json(mut object): Json<Value>) -> Response {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    {
        let mut store = shared.store.lock().unwrap();
        object["metadata"]["uid"] = json!(format!("uid-{}", store.revision));
        object["metadata"]["generation"] = json!(1);
        store.put("Sandbox", object);
        store.reconcile(&name);
    }
    shared.news.send_replace(());
    as_it_is(&shared, "Sandbox", &name)
}

async fn read(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let read = as_it_is(&shared, "Sandbox", &name);
    if read.status() == StatusCode::OK {
        shared.store.lock().unwrap().was_read(&name);
        shared.news.send_replace(());
    }
    read
}

pub(super) fn as_it_is(shared: &Shared, kind: &'static str, name: &str) -> Response {
    match shared.store.lock().unwrap().objects.get(&(kind, name.to_owned())) {
        Some(object) => Json(object).into_response(),
        None => not_found(name),
    }
}

pub(super) async fn patch(State(shared): State<Shared>, Path(name): Path<String>, body: String) -> Response {
    let patch: Value = serde_json::from_str(&body).unwrap();
    {
        let mut store = shared.store.lock().unwrap();
        let Some(mut object) = store.objects.get(&("Sandbox", name.clone())).cloned() else {
            return not_found(&name);
        };
        merge(&mut object, &patch);
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_u64().unwrap() + 1);
        let released = !object["metadata"]["deletionTimestamp"].is_null() && !is_held(&object);
        store.put("Sandbox", object.clone());
        if released {
            store.remove("Sandbox", &name);
            drop(store);
            shared.news.send_replace(());
            return Json(object).into_response();
        }
        store.reconcile(&name);
    }
    shared.news.send_replace(());
    as_it_is(&shared, "Sandbox", &name)
}

/// Whether an object has finalizers.
fn is_held(object: &Value) -> bool {
    object["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

pub(super) async fn delete(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let gone = {
        let mut store = shared.store.lock().unwrap();
        let Some(mut object) = store.objects.get(&("Sandbox", name.clone())).cloned() else {
            return not_found(&name);
        };
        let pod_name = store.pod_of(&name);
        let pod = store.objects.get(&("Pod", pod_name.clone())).cloned();
        if store.lie != Lie::LeavesThePod && pod.is_some_and(|pod| store.owns_pod(&object, &pod)) {
            store.remove("Pod", &pod_name);
        }
        if is_held(&object) {
            object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            store.put("Sandbox", object.clone());
        } else {
            store.remove("Sandbox", &name);
        }
        object
    };
    shared.news.send_replace(());
    Json(gone).into_response()
}
