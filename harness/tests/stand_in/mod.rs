//! A little E2B server for tests of the runner: variables, files, pause and connect, and
//! faults on demand.

pub mod cluster;
pub mod managed;
mod objects;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Json;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use torpor_harness::{Authorities, E2bEndpoint, Profile, Target};

/// Steps of a case that passes where variables outlive a pause.
pub const KEEPS: &str = r#"
  - create: {}
  - run: {code: "x = 7"}
  - pause: {}
  - resume: {}
  - run: {code: "x", text: "7"}
"#;

/// How the stand-in misbehaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Defect {
    /// Not at all.
    #[default]
    None,
    /// A resumed sandbox has forgotten its variables.
    ForgetsOnResume,
    /// The first resume loses all variables, the later ones none.
    ForgetsOnceOnResume,
    /// Execution never ends.
    Hangs,
    /// A sandbox cannot be deleted.
    CannotDelete,
    /// Of so many answers every other one says that a sandbox is paused.
    Flaps(usize),
}

#[derive(Default)]
struct Sandbox {
    paused: bool,
    variables: BTreeMap<String, String>,
}

#[derive(Clone, Default)]
struct World {
    defect: Defect,
    sandboxes: Arc<Mutex<BTreeMap<String, Sandbox>>>,
    made: Arc<tokio::sync::Notify>,
    has_resumed: Arc<AtomicBool>,
    created: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
}

/// A running stand-in.
pub struct StandIn {
    world: World,
    /// A target that points at it.
    pub target: Arc<Target>,
}

impl StandIn {
    /// Starts one on a free port.
    pub async fn start(defect: Defect) -> Self {
        let world = World {
            defect,
            ..World::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/v2/sandboxes", post(create).get(list))
            .route("/sandboxes/{id}", get(detail).delete(kill))
            .route("/sandboxes/{id}/pause", post(pause))
            .route("/v2/sandboxes/{id}/connect", post(connect))
            .route("/execute", post(execute))
            .with_state(world.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Self {
            world,
            target: Arc::new(target(&url)),
        }
    }

    /// Somebody who waits for it.
    pub fn watch(&self) -> Watcher {
        Watcher(Arc::clone(&self.world.made))
    }

    /// How many sandboxes exist.
    pub fn sandboxes(&self) -> usize {
        self.world.sandboxes.lock().unwrap().len()
    }
}

/// Waits for what happens in a stand-in.
pub struct Watcher(Arc<tokio::sync::Notify>);

impl Watcher {
    /// Completes once a sandbox was made.
    pub async fn first_sandbox(&self) {
        self.0.notified().await;
    }
}

/// A target at that URL that offers what the stand-in does.
pub fn target(url: &str) -> Target {
    Target {
        name: "stand-in".to_owned(),
        kubernetes: None,
        e2b: Some(E2bEndpoint {
            url: url.parse().unwrap(),
            sandbox_url: Some(url.parse().unwrap()),
            api_key: "e2b_00".to_owned(),
        }),
        pod_metrics: None,
        controller_metrics: Vec::new(),
        storage: None,
        adapter: None,
        authorities: Authorities::default(),
        laboratory: None,
        capabilities: [torpor_harness::Capability::Memory].into(),
        profile: Profile::built_in("kruise").unwrap(),
    }
    .within(std::time::Duration::from_secs(2))
}

fn refuse(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({"code": status.as_u16(), "message": message}))).into_response()
}

fn not_found(id: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, &format!("sandbox {id} was not found"))
}

fn shown(id: &str, sandbox: &Sandbox) -> Value {
    let state = if sandbox.paused { "paused" } else { "running" };
    json!({
        "sandboxID": id, "templateID": "t", "clientID": "c", "envdVersion": "0.6.13", "state": state, "domain": "sandboxes.invalid",
        "envdAccessToken": format!("token-of-{id}"), "endAt": "2026-01-01T00:00:00Z",
    })
}

async fn create(State(world): State<World>) -> Response {
    let mut sandboxes = world.sandboxes.lock().unwrap();
    let id = format!("i{}", world.created.fetch_add(1, Ordering::Relaxed));
    let sandbox = sandboxes.entry(id.clone()).or_default();
    world.made.notify_one();
    (StatusCode::CREATED, Json(shown(&id, sandbox))).into_response()
}

async fn list(State(world): State<World>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let sandboxes = world.sandboxes.lock().unwrap();
    let skip: usize = query.get("nextToken").map_or(0, |token| token.parse().unwrap());
    let limit: usize = query.get("limit").map_or(100, |limit| limit.parse().unwrap());
    let page: Vec<_> = sandboxes
        .iter()
        .skip(skip)
        .take(limit)
        .map(|(id, sandbox)| shown(id, sandbox))
        .collect();
    let next = if skip + page.len() < sandboxes.len() {
        (skip + page.len()).to_string()
    } else {
        String::new()
    };
    ([("x-next-token", next)], Json(page)).into_response()
}

async fn detail(State(world): State<World>, Path(id): Path<String>) -> Response {
    let look = world.looks.fetch_add(1, Ordering::Relaxed);
    let lies = matches!(world.defect, Defect::Flaps(answers) if look < answers && look % 2 == 0);
    match world.sandboxes.lock().unwrap().get(&id) {
        Some(sandbox) => {
            let mut answer = shown(&id, sandbox);
            if lies {
                answer["state"] = json!("paused");
            }
            Json(answer).into_response()
        }
        None => not_found(&id),
    }
}

async fn kill(State(world): State<World>, Path(id): Path<String>) -> Response {
    if world.defect == Defect::CannotDelete {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "the store is away");
    }
    match world.sandboxes.lock().unwrap().remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => not_found(&id),
    }
}

async fn pause(State(world): State<World>, Path(id): Path<String>) -> Response {
    match world.sandboxes.lock().unwrap().get_mut(&id) {
        Some(sandbox) if sandbox.paused => refuse(StatusCode::CONFLICT, "it is already paused"),
        Some(sandbox) => {
            sandbox.paused = true;
            StatusCode::NO_CONTENT.into_response()
        }
        None => not_found(&id),
    }
}

async fn connect(State(world): State<World>, Path(id): Path<String>) -> Response {
    let mut sandboxes = world.sandboxes.lock().unwrap();
    let Some(sandbox) = sandboxes.get_mut(&id) else {
        return not_found(&id);
    };
    let status = if sandbox.paused {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let again = sandbox.paused && world.has_resumed.swap(true, Ordering::Relaxed);
    let forgets = match world.defect {
        Defect::ForgetsOnResume => true,
        Defect::ForgetsOnceOnResume => !again,
        Defect::None | Defect::Hangs | Defect::CannotDelete | Defect::Flaps(_) => false,
    };
    if sandbox.paused && forgets {
        sandbox.variables.clear();
    }
    sandbox.paused = false;
    (status, Json(shown(&id, sandbox))).into_response()
}

/// Knows `name = value` and `name`.
async fn execute(State(world): State<World>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    if world.defect == Defect::Hangs {
        std::future::pending::<()>().await;
    }
    let header = |name: &str| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap().to_owned())
            .unwrap_or_default()
    };
    let id = header("E2b-Sandbox-Id");
    let mut sandboxes = world.sandboxes.lock().unwrap();
    let Some(sandbox) = sandboxes.get_mut(&id).filter(|sandbox| !sandbox.paused) else {
        return refuse(StatusCode::BAD_GATEWAY, "The sandbox was not found");
    };
    if header("X-Access-Token") != format!("token-of-{id}") {
        return refuse(StatusCode::UNAUTHORIZED, "the token is wrong");
    }
    let code = body["code"].as_str().unwrap();
    let event = match (code.split_once(" = "), sandbox.variables.get(code)) {
        (Some((name, value)), _) => {
            sandbox.variables.insert(name.to_owned(), value.to_owned());
            json!({"type": "stdout", "text": ""})
        }
        (None, Some(value)) => json!({"type": "result", "is_main_result": true, "text": value}),
        (None, None) => json!({"type": "error", "name": "NameError", "value": code, "traceback": ""}),
    };
    format!("{event}\n{}\n", json!({"type": "end_of_execution"})).into_response()
}
