//! The life of one Pod on the node: start its agent, report its status, stop it.
//!
//! What the API does not take is written again until it does, or the Pod is to go.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, Preconditions};
use mock_apiserver::LogOptions;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use torpor_agent::{Agent, AgentConfig, AgentListeners};
use torpor_api::env;
use torpor_runtime::{CheckpointStore, Engine, chain};

use crate::SandboxContainer;
use crate::again::Again;
use crate::handle::LogStream;
use crate::logs;
use crate::metrics::PodUsage;
use crate::pod_status::{self, ContainerStage, StartedPod};
use crate::runtime::{ContainerUsage, PodPlace, PodRuntime, RunningContainer, SandboxPod};

/// What the node asks of a worker.
pub(crate) enum PodRequest {
    Usage(oneshot::Sender<Option<PodUsage>>),
    Logs(LogOptions, oneshot::Sender<Option<LogStream>>),
}

/// Runs one Pod.
pub(crate) struct PodWorker {
    pub(crate) api: Api<Pod>,
    pub(crate) work_dir: PathBuf,
    pub(crate) freeze_limit: Duration,
    pub(crate) runtime: PodRuntime,
    pub(crate) store_settings: BTreeMap<String, String>,
    pub(crate) clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// Cancelled when the node ends: there may be no API any more.
    pub(crate) shutdown: CancellationToken,
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

/// What runs in a Pod.
enum Workload {
    /// A sandbox in this process.
    Agent(Agent),
    /// A sandbox in a container.
    Container(Box<dyn RunningContainer>),
    /// A Pod that is nobody's sandbox: it exists and does nothing, like an idle container.
    Idle,
}

impl PodWorker {
    /// Runs the Pod until `stop`, then completes its deletion if one was asked for.
    pub(crate) async fn run(
        self,
        pod: Pod,
        bound: io::Result<(IpAddr, AgentListeners)>,
        stop: CancellationToken,
        requests: mpsc::Receiver<PodRequest>,
    ) {
        if pod.metadata.deletion_timestamp.is_none() {
            match self.start(&pod, bound).await {
                Ok((started, workload)) => self.serve(&started, workload, &stop, requests).await,
                Err(message) => self.reject(&message, &stop).await,
            }
        }
        self.complete_deletion().await;
    }

    async fn start(
        &self,
        pod: &Pod,
        bound: io::Result<(IpAddr, AgentListeners)>,
    ) -> Result<(StartedPod, Workload), String> {
        let (loopback, listeners) = bound.map_err(|error| format!("bind a pod address: {error}"))?;
        let mut container = SandboxContainer::of(pod).map_err(|error| error.to_string())?;
        let is_sandbox = container.env.contains_key(env::STORE);
        if is_sandbox {
            for (name, value) in &self.store_settings {
                container.env.entry(name.clone()).or_insert_with(|| value.clone());
            }
        }
        let (workload, pod_ip, container_id) = match &self.runtime {
            PodRuntime::Containers(runtime) if is_sandbox => {
                let pod = SandboxPod {
                    namespace: self.namespace.clone(),
                    name: self.name.clone(),
                    uid: self.uid.clone(),
                    container: container.clone(),
                };
                let place = PodPlace {
                    ip: loopback,
                    listeners,
                    work_dir: self.work_dir.clone(),
                };
                let running = runtime.start(pod, place).await.map_err(|error| chain(error.as_ref()))?;
                let (pod_ip, id) = (running.pod_ip(), running.id());
                (Workload::Container(running), pod_ip, id)
            }
            PodRuntime::InProcess(engine) if is_sandbox => {
                let agent = self.start_agent(&container, engine, listeners)?;
                (Workload::Agent(agent), loopback, format!("torpor-agent://{}", self.uid))
            }
            PodRuntime::Containers(_) | PodRuntime::InProcess(_) => {
                (Workload::Idle, loopback, format!("torpor-agent://{}", self.uid))
            }
        };
        let started = StartedPod {
            container,
            container_id,
            pod_ip,
            host_ip: Ipv4Addr::LOCALHOST.into(),
            started_at: (self.clock)(),
        };
        Ok((started, workload))
    }

    fn start_agent(
        &self,
        container: &SandboxContainer,
        engine: &Arc<dyn Engine>,
        listeners: AgentListeners,
    ) -> Result<Agent, String> {
        let store = container.env.get(env::STORE).map(String::as_str).unwrap_or_default();
        let store = CheckpointStore::open_in(store, &container.env).map_err(|error| chain(&error))?;
        let mut config = AgentConfig::from_container(
            &container.env,
            &container.command,
            &container.args,
            self.work_dir.clone(),
            engine.as_ref(),
        )
        .map_err(|error| chain(&error))?;
        config.freeze_limit = self.freeze_limit;
        Ok(torpor_agent::start(config, Arc::clone(engine), store, listeners))
    }

    async fn serve(
        &self,
        started: &StartedPod,
        workload: Workload,
        stop: &CancellationToken,
        mut requests: mpsc::Receiver<PodRequest>,
    ) {
        let mut stage = workload.stage();
        let mut again = Again::default();
        again.tried(
            self.write_status(pod_status::started(started, &stage, (self.clock)()))
                .await,
        );
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                now = workload.next_stage(&stage) => {
                    stage = now;
                    again.tried(self.write_status(pod_status::started(started, &stage, (self.clock)())).await);
                }
                () = again.due() => {
                    again.tried(self.write_status(pod_status::started(started, &stage, (self.clock)())).await);
                }
                Some(request) = requests.recv() => self.answer(request, started, &workload).await,
            }
        }
        match workload {
            Workload::Agent(agent) => agent.stop().await,
            Workload::Container(container) => self.end(container).await,
            Workload::Idle => {}
        }
    }

    /// A Pod whose container cannot be ended does not go: what is left of it holds memory still.
    async fn end(&self, mut container: Box<dyn RunningContainer>) {
        let mut again = Again::default();
        while let Err(error) = container.stop().await {
            let error = chain(error.as_ref());
            tracing::warn!(error, namespace = self.namespace, pod = self.name, "end a container");
            again.tried(false);
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = again.due() => {}
            }
        }
    }

    async fn answer(&self, request: PodRequest, started: &StartedPod, workload: &Workload) {
        // Whoever asked may have gone; then nobody misses the answer.
        match request {
            PodRequest::Usage(reply) => {
                let usage = workload.usage().await.map(|usage| PodUsage {
                    namespace: self.namespace.clone(),
                    pod: self.name.clone(),
                    container: started.container.name.clone(),
                    cpu: usage.cpu,
                    memory_bytes: usage.memory_bytes,
                });
                drop(reply.send(usage));
            }
            PodRequest::Logs(options, reply) => {
                let stream: LogStream = match workload {
                    Workload::Agent(agent) => logs::stream(&agent.logs(), &options),
                    Workload::Container(container) => container.logs(&options),
                    Workload::Idle => Box::pin(futures::stream::empty()),
                };
                drop(reply.send(Some(stream)));
            }
        }
    }

    /// Says that the Pod cannot run, until `stop`.
    async fn reject(&self, message: &str, stop: &CancellationToken) {
        let status = pod_status::rejected(message, (self.clock)());
        let mut again = Again::default();
        again.tried(self.write_status(status.clone()).await);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = again.due() => again.tried(self.write_status(status.clone()).await),
            }
        }
    }

    /// Whether the API took it.
    async fn write_status(&self, status: Value) -> bool {
        // Guarded by the uid: a Pod of the same name may have followed.
        let patch = Patch::Merge(json!({ "metadata": { "uid": self.uid }, "status": status }));
        let written = self.api.patch_status(&self.name, &PatchParams::default(), &patch).await;
        if let Err(error) = &written {
            tracing::debug!(%error, namespace = self.namespace, pod = self.name, "write pod status");
        }
        written.is_ok()
    }

    /// Removes the object of a Pod that was asked to go, now that nothing of it runs.
    async fn complete_deletion(&self) {
        let mut again = Again::default();
        while !self.is_deleted().await {
            again.tried(false);
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = again.due() => {}
            }
        }
    }

    /// Whether the object is gone, or not to go.
    async fn is_deleted(&self) -> bool {
        let params = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: Some(self.uid.clone()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        let terminating = match self.api.get_opt(&self.name).await {
            Ok(Some(pod)) => {
                pod.metadata.uid.as_deref() == Some(&self.uid) && pod.metadata.deletion_timestamp.is_some()
            }
            Ok(None) => false,
            Err(_) => true,
        };
        if !terminating {
            return true;
        }
        let deleted = self.api.delete(&self.name, &params).await;
        if let Err(error) = &deleted {
            tracing::debug!(%error, namespace = self.namespace, pod = self.name, "complete pod deletion");
        }
        deleted.is_ok()
    }
}

impl Workload {
    fn stage(&self) -> ContainerStage {
        match self {
            Self::Agent(agent) => ContainerStage::of(&agent.state().borrow().workload),
            Self::Container(container) => container.stage().borrow().clone(),
            Self::Idle => ContainerStage::Ready,
        }
    }

    /// Waits until the stage is another than `last`.
    async fn next_stage(&self, last: &ContainerStage) -> ContainerStage {
        let next = match self {
            Self::Agent(agent) => {
                let mut states = agent.state();
                let changed = states
                    .wait_for(|state| ContainerStage::of(&state.workload) != *last)
                    .await;
                changed.ok().map(|state| ContainerStage::of(&state.workload))
            }
            Self::Container(container) => {
                let mut stages = container.stage();
                let changed = stages.wait_for(|stage| stage != last).await;
                changed.ok().map(|stage| stage.clone())
            }
            Self::Idle => None,
        };
        match next {
            Some(stage) => stage,
            None => std::future::pending().await,
        }
    }

    async fn usage(&self) -> Option<ContainerUsage> {
        match self {
            Self::Agent(agent) => {
                let usage = agent.usage().await;
                Some(ContainerUsage {
                    cpu: usage.cpu,
                    memory_bytes: usage.memory_bytes,
                })
            }
            Self::Container(container) => container.usage().await,
            Self::Idle => None,
        }
    }
}
