//! A world of one sandbox: just enough of an API server, a node, an agent and a checkpoint store to
//! drive passes one by one, and to break any write of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use kube::runtime::controller::Action;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};
use torpor_api::{
    Addressee, AgentState, CheckpointRecord, CheckpointState, Sandbox, WorkloadState, agent_sandbox, annotation,
};

use crate::ReconcileError;
use crate::checkpoints::Checkpoints;
use crate::controller::{Context, Controller, ControllerConfig, Deadlines};
use crate::example::merge;
use crate::front::{Front, Fronted};
use crate::reconcile::reconcile;
use crate::{AgentAddress, AgentError, CheckpointCustodian, Defect, RemovalError, SandboxAgents};

/// How a chosen write goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Break {
    /// It is not done.
    Refused,
    /// It is done, and the answer is lost.
    AnswerLost,
}

/// What the agent does with a checkpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum AgentMood {
    #[default]
    Works,
    RefusesToFreeze,
    FailsToSeal,
    FailsToRestore,
    SealsForever,
    /// It will freeze, and whoever asked for it hears nothing.
    FreezesLate,
}

#[derive(Default)]
pub(super) struct State {
    revision: u64,
    pub(super) sandbox: Option<Value>,
    front: Option<Front>,
    /// The server's definition of the sandbox knows of no record of a checkpoint.
    pub(super) drops_record: bool,
    pub(super) pod: Option<Value>,
    /// Objects beside the sandbox and its Pod, by `resource/name`.
    pub(super) others: BTreeMap<String, Value>,
    /// Resources that the API server will not let be created.
    pub(super) forbidden: Option<&'static str>,
    /// What runs in the Pod, with its context: a number.
    pub(super) agent: Option<(AgentState, u64)>,
    pub(super) store: BTreeMap<u64, u64>,
    pub(super) store_mood: StoreMood,
    pub(super) mood: AgentMood,
    /// A freeze is waiting for its turn.
    freeze_to_come: bool,
    /// Writes to the sandbox and the Pod.
    pub(super) writes: Vec<String>,
    pub(super) events: Vec<String>,
    pub(super) break_at: Option<(usize, Break)>,
    pub(super) now: Timestamp,
    pub(super) node_stuck: bool,
}

/// How the store takes a removal.
#[derive(Clone, Copy, Default)]
pub(super) enum StoreMood {
    #[default]
    Well,
    Down,
    /// It answers nothing.
    Silent,
}

/// A handle on the world.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

impl World {
    /// With a sandbox that was just created.
    pub(super) fn new(spec: Value) -> Self {
        Self::asked_for(Front::Kruise, spec)
    }

    /// With a sandbox that was just created, of this front.
    pub(super) fn asked_for(front: Front, spec: Value) -> Self {
        let world = Self(Arc::default());
        world.state().now = Timestamp::from_second(1_800_000_000).expect("a time");
        let mut sandbox = json!({
            "apiVersion": front.api_version(), "kind": "Sandbox",
            "metadata": {"name": "one", "namespace": "default", "uid": "uid-1", "generation": 1, "resourceVersion": "1"},
        });
        sandbox["spec"] = spec;
        world.state().sandbox = Some(sandbox);
        world.state().front = Some(front);
        world.state().revision = 1;
        world
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no test panics while it holds the state")
    }

    pub(super) fn sandbox(&self) -> Sandbox {
        match self.front() {
            Front::Kruise => self.stored(),
            Front::AgentSandbox => self.stored::<agent_sandbox::Sandbox>().into_sandbox(),
        }
    }

    fn front(&self) -> Front {
        self.state().front.expect("a front")
    }

    /// The sandbox as it is stored.
    pub(super) fn stored<K: Fronted>(&self) -> K {
        let sandbox = self.state().sandbox.clone().expect("the sandbox exists");
        serde_json::from_value(sandbox).expect("a sandbox")
    }

    /// One pass; when the next one is due.
    pub(super) async fn pass(&self, controller: &Arc<Context>) -> Result<Action, ReconcileError> {
        let checkpoints = self.checkpoints();
        match self.front() {
            Front::Kruise => reconcile(Arc::new(self.stored::<Sandbox>()), controller.clone(), &checkpoints).await,
            Front::AgentSandbox => {
                let sandbox = Arc::new(self.stored::<agent_sandbox::Sandbox>());
                reconcile(sandbox, controller.clone(), &checkpoints).await
            }
        }
    }

    /// The Checkpoints that are there, as a watch has brought them.
    pub(super) fn checkpoints(&self) -> Checkpoints {
        let checkpoints = Checkpoints::default();
        checkpoints.follow(Event::Init);
        for (key, object) in &self.state().others {
            if key.starts_with("checkpoints/") {
                let checkpoint = serde_json::from_value(object.clone()).expect("a Checkpoint");
                checkpoints.follow(Event::InitApply(checkpoint));
            }
        }
        checkpoints.follow(Event::InitDone);
        checkpoints
    }

    /// A user's patch of the spec.
    pub(super) fn patch_spec(&self, patch: Value) {
        let mut object = json!({});
        object["spec"] = patch;
        self.state().patch_sandbox(object);
    }

    /// `kubectl delete sandbox`.
    pub(super) fn delete_sandbox(&self) {
        self.state().delete_sandbox();
    }

    /// The context of the running workload, set by its user.
    pub(super) fn write_context(&self, value: u64) {
        self.state().agent.as_mut().expect("a running workload").1 = value;
    }

    pub(super) fn context(&self) -> Option<u64> {
        self.state().agent.as_ref().map(|(_, value)| *value)
    }

    /// A controller that has just been started.
    pub(super) fn controller(&self, defect: Option<Defect>) -> Arc<Context> {
        let world = Arc::new(self.clone());
        Controller::new(self.client(), self.config(defect), world.clone(), world).context
    }

    /// The API server.
    pub(super) fn client(&self) -> Client {
        let world = self.clone();
        let service = tower::service_fn(move |request| {
            let world = world.clone();
            async move { Ok::<_, std::convert::Infallible>(world.answer(request).await) }
        });
        Client::new(service, "default")
    }

    pub(super) fn config(&self, defect: Option<Defect>) -> ControllerConfig {
        let clock = self.clone();
        ControllerConfig {
            clock: Arc::new(move || clock.state().now),
            deadlines: Deadlines {
                pause: Duration::from_mins(5),
                restore_retry: Duration::from_secs(10),
            },
            defect,
            ..ControllerConfig::new("memory:///")
        }
    }

    /// Passes and the node's steps, until nothing changes any more. A pass that breaks off is begun anew by a new controller.
    pub(super) async fn settle(&self, controller: &mut Arc<Context>) {
        for _ in 0..40 {
            let before = self.state().revision;
            if self.state().sandbox.is_none() {
                return;
            }
            let broke_off = self.pass(controller).await.is_err();
            if broke_off {
                *controller = self.controller(None);
            }
            self.state().node_step();
            if !broke_off && self.state().revision == before {
                return;
            }
        }
        panic!("no rest after 40 passes: {:#?}", self.state().writes);
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let path = parts.uri.path().to_owned();
        let mut state = self.state();
        if path.contains("/events") {
            state
                .events
                .push(body["reason"].as_str().unwrap_or_default().to_owned());
            return respond(StatusCode::CREATED, &body);
        }
        if parts.method == Method::GET {
            return state.read(&path);
        }
        let index = state.writes.len();
        state.writes.push(format!("{} {path}", parts.method));
        let broken = state.break_at.filter(|(at, _)| *at == index).map(|(_, how)| how);
        match broken {
            Some(Break::Refused) => failure(503, "refused by the test"),
            Some(Break::AnswerLost) => {
                state.write(&parts.method, &path, body);
                failure(504, "answer lost by the test")
            }
            None => state.write(&parts.method, &path, body),
        }
    }
}

impl State {
    fn read(&self, path: &str) -> Response<Body> {
        let object = if path.contains("/pods/") {
            self.pod.as_ref()
        } else if path.contains("/sandboxes/") {
            self.sandbox.as_ref()
        } else {
            self.others.get(&other(path))
        };
        object.map_or_else(|| failure(404, "not found"), |object| respond(StatusCode::OK, object))
    }

    /// Creates or deletes an object beside the sandbox and its Pod.
    fn write_other(&mut self, method: &Method, path: &str, mut body: Value) -> Response<Body> {
        if *method == Method::DELETE {
            return self.delete_other(&other(path), &body);
        }
        let resource = path.rsplit('/').next().unwrap_or_default();
        if self.forbidden == Some(resource) {
            return failure(403, "exceeded quota");
        }
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let key = format!("{resource}/{name}");
        if self.others.contains_key(&key) {
            return failure(409, "already exists");
        }
        self.revision += 1;
        body["metadata"]["uid"] = json!(format!("uid-of-{key}"));
        self.others.insert(key, body.clone());
        respond(StatusCode::CREATED, &body)
    }

    /// One that somebody holds stays, marked as going.
    fn delete_other(&mut self, key: &str, body: &Value) -> Response<Body> {
        let Some(object) = self.others.get_mut(key) else {
            return failure(404, "not found");
        };
        let metadata = &mut object["metadata"];
        if body["preconditions"]["uid"] != metadata["uid"] {
            return failure(409, "the UID is another one");
        }
        if metadata["finalizers"].as_array().is_none_or(Vec::is_empty) {
            self.revision += 1;
            self.others.remove(key);
        } else if metadata["deletionTimestamp"].is_null() {
            self.revision += 1;
            metadata["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
        }
        respond(StatusCode::OK, &json!({"kind": "Status", "status": "Success"}))
    }

    fn write(&mut self, method: &Method, path: &str, body: Value) -> Response<Body> {
        if path.ends_with("/pods") {
            return self.create_pod(body);
        }
        if path.contains("/pods/") {
            if self
                .pod
                .as_ref()
                .is_none_or(|pod| pod["metadata"]["uid"] != body["preconditions"]["uid"])
            {
                return failure(409, "the UID is another one");
            }
            self.stop_pod();
            return respond(StatusCode::OK, &self.pod);
        }
        if !path.contains("/sandboxes/") {
            return self.write_other(method, path, body);
        }
        if *method == Method::DELETE {
            self.delete_sandbox();
            return respond(StatusCode::OK, &json!({"kind": "Status", "status": "Success"}));
        }
        let Some(sandbox) = &self.sandbox else {
            return failure(404, "not found");
        };
        if body["metadata"]["resourceVersion"] != sandbox["metadata"]["resourceVersion"] {
            return failure(409, "the object has been modified");
        }
        self.patch_sandbox(body);
        respond(StatusCode::OK, &self.sandbox)
    }

    fn create_pod(&mut self, mut pod: Value) -> Response<Body> {
        if self.pod.is_some() {
            return failure(409, "already exists");
        }
        self.revision += 1;
        pod["metadata"]["uid"] = json!(format!("pod-{}", self.revision));
        self.pod = Some(pod);
        respond(StatusCode::CREATED, &self.pod)
    }

    pub(super) fn stop_pod(&mut self) {
        let Some(pod) = &mut self.pod else { return };
        if pod["metadata"]["deletionTimestamp"].is_null() {
            self.revision += 1;
            pod["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
        }
    }

    fn delete_sandbox(&mut self) {
        let Some(sandbox) = &mut self.sandbox else { return };
        self.revision += 1;
        sandbox["metadata"]["deletionTimestamp"] = json!("2027-01-01T00:00:00Z");
        sandbox["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.finalize();
    }

    fn patch_sandbox(&mut self, mut patch: Value) {
        let Some(sandbox) = &mut self.sandbox else { return };
        if let Some(metadata) = patch.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("resourceVersion");
        }
        let before = sandbox.clone();
        merge(sandbox, &patch);
        if self.drops_record
            && let Some(status) = sandbox["status"].as_object_mut()
        {
            status.remove("torpor");
        }
        if *sandbox == before {
            return;
        }
        if sandbox["spec"] != before["spec"] {
            let generation = before["metadata"]["generation"].as_i64().unwrap_or_default();
            sandbox["metadata"]["generation"] = json!(generation + 1);
        }
        self.revision += 1;
        sandbox["metadata"]["resourceVersion"] = json!(self.revision.to_string());
        self.finalize();
    }

    fn finalize(&mut self) {
        let metadata = self.sandbox.as_ref().map(|sandbox| &sandbox["metadata"]);
        let held =
            metadata.is_some_and(|metadata| metadata["finalizers"].as_array().is_some_and(|all| !all.is_empty()));
        if metadata.is_some_and(|metadata| !metadata["deletionTimestamp"].is_null()) && !held {
            self.sandbox = None;
        }
    }

    /// What a node does: starts what is new, removes what is going.
    pub(super) fn node_step(&mut self) {
        let Some(pod) = &mut self.pod else { return };
        if !pod["metadata"]["deletionTimestamp"].is_null() {
            if !self.node_stuck {
                (self.pod, self.agent) = (None, None);
                self.revision += 1;
            }
            return;
        }
        if !pod["status"].is_null() {
            return;
        }
        let restore = pod["metadata"]["annotations"][annotation::RESTORE_GENERATION].as_str();
        let restored_generation: Option<u64> = restore.map(|generation| generation.parse().expect("a number"));
        let context = restored_generation.map_or(Some(0), |generation| self.store.get(&generation).copied());
        let failed = restored_generation.is_some() && self.mood == AgentMood::FailsToRestore;
        let workload = match context {
            Some(_) if !failed => WorkloadState::Serving,
            Some(_) | None => WorkloadState::Failed {
                message: "the checkpoint is torn".to_owned(),
            },
        };
        let ready = if workload == WorkloadState::Serving {
            "True"
        } else {
            "False"
        };
        pod["status"] =
            json!({"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": ready}]});
        let uid = |uid: &Value| uid.as_str().map(str::to_owned);
        let agent = AgentState {
            addressee: Addressee {
                sandbox_uid: uid(&pod["metadata"]["ownerReferences"][0]["uid"]),
                pod_uid: uid(&pod["metadata"]["uid"]),
            },
            engine: "sim".to_owned(),
            restored_generation,
            workload,
            checkpoint: CheckpointState::None,
        };
        self.agent = Some((agent, context.unwrap_or_default()));
        self.revision += 1;
    }

    /// The memory that the workload still lacked cannot be had.
    pub(super) fn tear(&mut self) {
        let (Some((agent, _)), Some(pod)) = (&mut self.agent, &mut self.pod) else {
            return;
        };
        let generation = agent.restored_generation.expect("a restored workload");
        agent.workload = WorkloadState::Torn {
            message: "page in the memory of the sandbox: a chunk is damaged".to_owned(),
        };
        agent.checkpoint = CheckpointState::Sealed {
            record: record(generation),
        };
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        self.revision += 1;
    }

    /// The freeze that waits for its turn, if one does, is carried out.
    pub(super) fn freeze_comes(&mut self) {
        if let Some((agent, _)) = self.agent.as_mut().filter(|_| self.freeze_to_come) {
            agent.workload = WorkloadState::Frozen;
        }
        self.freeze_to_come = false;
    }

    fn checkpoint(&mut self, generation: u64) {
        let Some((agent, context)) = &mut self.agent else {
            return;
        };
        agent.checkpoint = match self.mood {
            AgentMood::FailsToSeal => CheckpointState::Failed {
                generation,
                message: "the disk is full".to_owned(),
            },
            AgentMood::SealsForever => CheckpointState::Writing { generation },
            AgentMood::Works | AgentMood::RefusesToFreeze | AgentMood::FailsToRestore | AgentMood::FreezesLate => {
                let overwritten = self.store.insert(generation, *context);
                assert!(
                    overwritten.is_none_or(|old| old == *context),
                    "checkpoint {generation} was used twice"
                );
                CheckpointState::Sealed {
                    record: record(generation),
                }
            }
        };
    }

    /// Whoever runs at the address turns away what is meant for another Pod.
    fn agent_call(&mut self, called: &AgentAddress, act: impl FnOnce(&mut Self)) -> Result<AgentState, AgentError> {
        let unreachable = |message: &str| AgentError::Unreachable {
            message: message.to_owned(),
        };
        let (agent, _) = self.agent.as_ref().ok_or_else(|| unreachable("connection refused"))?;
        if agent.addressee.is_another_than(&called.addressee) {
            return Err(unreachable("another's agent answers there"));
        }
        act(self);
        let agent = self.agent.as_ref().map(|(agent, _)| agent.clone());
        agent.ok_or_else(|| unreachable("connection refused"))
    }
}

impl SandboxAgents for World {
    fn state<'a>(&'a self, called: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        std::future::ready(World::state(self).agent_call(called, |_| {})).boxed()
    }

    fn freeze<'a>(&'a self, called: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        let mut state = World::state(self);
        if state.mood == AgentMood::RefusesToFreeze {
            return std::future::ready(Err(AgentError::Refused {
                message: "busy".to_owned(),
            }))
            .boxed();
        }
        let late = state.mood == AgentMood::FreezesLate;
        let answer = state.agent_call(called, |state| {
            state.freeze_to_come = true;
            if !late {
                state.freeze_comes();
            }
        });
        let lost = AgentError::Unreachable {
            message: "the connection was reset".to_owned(),
        };
        std::future::ready(if late { Err(lost) } else { answer }).boxed()
    }

    fn thaw<'a>(&'a self, called: &'a AgentAddress) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        let answer = World::state(self).agent_call(called, |state| {
            state.freeze_comes();
            if let Some((agent, context)) = &mut state.agent {
                agent.workload = WorkloadState::Serving;
                agent.checkpoint = CheckpointState::None;
                // The workload outlives the checkpoint.
                *context += 1000;
            }
        });
        std::future::ready(answer).boxed()
    }

    fn checkpoint<'a>(
        &'a self,
        called: &'a AgentAddress,
        generation: u64,
    ) -> BoxFuture<'a, Result<AgentState, AgentError>> {
        let answer = World::state(self).agent_call(called, |state| state.checkpoint(generation));
        std::future::ready(answer).boxed()
    }
}

impl CheckpointCustodian for World {
    fn remove_all<'a>(&'a self, uid: &'a str) -> BoxFuture<'a, Result<(), RemovalError>> {
        self.remove_older_than(uid, u64::MAX)
    }

    fn remove_older_than<'a>(&'a self, _: &'a str, generation: u64) -> BoxFuture<'a, Result<(), RemovalError>> {
        let mut state = World::state(self);
        let removed = match state.store_mood {
            StoreMood::Well => {
                state.store.retain(|number, _| *number >= generation);
                Ok(())
            }
            StoreMood::Down => Err(RemovalError {
                message: "the store is down".to_owned(),
            }),
            StoreMood::Silent => return std::future::pending().boxed(),
        };
        std::future::ready(removed).boxed()
    }
}

/// `resource/name` of the object that a path ends in.
fn other(path: &str) -> String {
    let mut parts = path.rsplit('/');
    let name = parts.next().unwrap_or_default();
    format!("{}/{name}", parts.next().unwrap_or_default())
}

fn record(generation: u64) -> CheckpointRecord {
    let (digest, engine) = (format!("blake3:{generation:064x}"), "sim".to_owned());
    CheckpointRecord {
        generation,
        digest,
        size_bytes: 10,
        stored_bytes: 5,
        engine,
    }
}

fn respond(code: StatusCode, body: &impl serde::Serialize) -> Response<Body> {
    let body = serde_json::to_vec(body).expect("JSON");
    Response::builder()
        .status(code)
        .body(Body::from(body))
        .expect("a response")
}

fn failure(code: u16, message: &str) -> Response<Body> {
    let reason = match (code, message) {
        (404, _) => "NotFound",
        (409, "already exists") => "AlreadyExists",
        _ => "Conflict",
    };
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message});
    respond(StatusCode::from_u16(code).expect("a status code"), &status)
}
