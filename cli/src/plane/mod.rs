//! The embedded control plane: API server, controller, node and gateway in one process.
//!
//! The only place where all parts meet. It binds the sockets, starts each part with what it
//! needs of the others, and stops them in the reverse order; it decides nothing else.
//!
//! ```text
//!  kubectl ─▶ API server ◀─ controller ─▶ agents ◀─ node
//!  E2B SDK ─▶ gateway ──────────┘ (data plane) ──▲
//! ```

mod containers;
mod controllers;
mod files;
mod install;
mod listeners;
mod metrics;
mod store;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use mock_apiserver::{Builder, MockApiServer, PodLogs, Recovery};
use mock_node::{Capacity, MockNode, NodeConfig, NodeHandle, PodRuntime};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_gateway::{ApiKeys, Gateway, GatewayConfig};
use url::Url;

use crate::stand_ins::{Part, StandIns};
use crate::webhook_services::WebhookServices;

pub use files::{DataDir, Endpoints};
pub use install::IMAGE;
pub use listeners::{Listeners, Ports};

use crate::engine::{AheadArgs, EngineKind, ExecutionArgs};
use crate::environment;
use crate::fault::{Around, CallRules, Hooks};
use crate::laboratory::Controls;
use containers::Containers;
use controllers::{Controllers, controller};
use store::Store;

/// How long parts may take to end before they are dropped.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Namespace of sandboxes that are made through the gateway.
pub const NAMESPACE: &str = "default";

/// How a control plane is set up.
pub struct PlaneConfig {
    /// Where checkpoints and connection files go.
    pub data_dir: PathBuf,
    /// Ports to listen on.
    pub ports: Ports,
    /// What the node can hold.
    pub capacity: Capacity,
    /// The parts of a cluster that are left to others.
    pub stand_ins: StandIns,
    /// Where the webhooks of Services are.
    pub webhooks: WebhookServices,
    /// Who looks after the sandboxes.
    pub controller: Reconciler,
    /// What runs them.
    pub engine: EngineKind,
    /// Whether each sandbox has a process of its own.
    pub isolate: bool,
    /// What one execution of code may take.
    pub execution: ExecutionArgs,
    /// When the memory of a sandbox is stored ahead of its pause.
    pub ahead: AheadArgs,
    /// Where checkpoints go, if not to the data directory.
    pub store: Option<String>,
    /// How long code in a sandbox may take to reach a point where it can be stopped for a checkpoint.
    pub freeze_limit: Duration,
    /// Faults that can be put in from outside, if any can.
    pub faults: Option<Controls>,
    /// How agents log that are processes of their own: options of `torpor`.
    pub log_options: Vec<String>,
    /// Deliberate mistakes, for the suite's self test.
    pub hooks: Hooks,
}

/// Who looks after the sandboxes of a control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconciler {
    /// The reference controller, in this process.
    Reference,
    /// Another process.
    Elsewhere,
}

/// A running control plane.
pub struct ControlPlane {
    endpoints: Endpoints,
    data_dir: DataDir,
    shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
    recovery: Recovery,
    containers: Containers,
    engine: EngineKind,
    store: String,
    faults: Option<Url>,
}

impl ControlPlane {
    /// Starts every part and writes the connection files once all are ready.
    ///
    /// # Errors
    /// A port that is taken, a data directory that is in use or cannot be written.
    pub async fn start(config: PlaneConfig) -> anyhow::Result<Self> {
        let data_dir = DataDir::open(&config.data_dir)?;
        let listeners = Listeners::bind(&config.ports).await?;
        let endpoints = listeners.endpoints()?;
        let store = Store::choose(config.store.as_deref(), &environment::variables(), &data_dir)?;
        let checkpoints = store.open().await?;
        let containers = Containers::connect(&config, &data_dir).await?;
        let runs = containers.runtime.clone();
        let (node_handle, node) = MockNode::new(node_config(&config, &data_dir, runs, &store)?);
        let builder = config.stand_ins.apply(config.webhooks.apply(MockApiServer::builder()));
        let builder = builder
            .pod_logs(logs(&node_handle, &config.hooks))
            .node_pages(metrics::of_nodes(&node_handle, config.hooks.page.as_ref()));
        let (server, recovery) = with_control(builder, config.faults.as_ref())
            .open(&data_dir.path().join("apiserver"))
            .context("open the Kubernetes objects")?;

        install::resources(&server.client_as("torpor-up"), NAMESPACE, config.hooks.definitions).await?;
        let parts = Parts {
            controller: controller(&server, &store.url, checkpoints, &config),
            gateway: Gateway::new(
                &behind(config.hooks.gateway_calls.as_ref(), server.client_as("torpor-gateway")),
                gateway_config(&data_dir, &endpoints)?,
            ),
            hooks: config.hooks.clone(),
            server,
            node: config.stand_ins.play(Part::Node).then_some(node),
            node_handle,
        };
        let kubeconfig = parts
            .server
            .kubeconfig(endpoints.kubernetes.as_str().trim_end_matches('/'));
        let shutdown = CancellationToken::new();
        let mut tasks = parts.spawn(listeners, &shutdown);
        let faults = serve_faults(config.faults.as_ref(), &mut tasks, &shutdown).await?;
        data_dir.write_connection_files(&endpoints, &kubeconfig)?;
        Ok(Self {
            endpoints,
            data_dir,
            shutdown,
            tasks,
            recovery,
            containers,
            engine: config.engine,
            store: store.url,
            faults,
        })
    }

    /// What an earlier process left in the data directory.
    pub fn recovery(&self) -> Recovery {
        self.recovery
    }

    /// What runs its sandboxes.
    pub fn engine(&self) -> EngineKind {
        self.engine
    }

    /// Where clients reach it.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Where faults are put into the controller, if they can be.
    pub fn faults(&self) -> Option<&Url> {
        self.faults.as_ref()
    }

    /// The directory with checkpoints and connection files, absolute.
    pub fn data_dir(&self) -> &Path {
        self.data_dir.path()
    }

    /// Where the checkpoints are, as a URL.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// The directory with the checkpoints, if they are in the data directory.
    pub fn checkpoints(&self) -> PathBuf {
        self.data_dir.checkpoints()
    }

    /// Waits until a part ends, which none does by itself unless it fails.
    ///
    /// # Errors
    /// What the part failed of.
    pub async fn failed(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => ended.context("join a part of the control plane")?,
            None => Ok(()),
        }
    }

    /// Stops every part and removes the connection files.
    pub async fn stop(mut self) {
        self.data_dir.remove_connection_files();
        self.shutdown.cancel();
        let all_ended = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(STOP_LIMIT, all_ended).await.is_err() {
            tracing::warn!(
                seconds = STOP_LIMIT.as_secs(),
                "parts of the control plane did not end in time"
            );
        }
        self.containers.clean_up().await;
    }
}

/// Everything that runs, made and not yet started.
struct Parts {
    server: MockApiServer,
    node: Option<MockNode>,
    node_handle: NodeHandle,
    controller: Option<Controllers>,
    gateway: Gateway,
    hooks: Hooks,
}

impl Parts {
    /// Starts each part on its own task.
    fn spawn(self, listeners: Listeners, shutdown: &CancellationToken) -> JoinSet<anyhow::Result<()>> {
        let mut tasks = JoinSet::new();
        let metrics = self.controller.as_ref().map(|controllers| controllers.first.metrics());
        if let Some(node) = self.node {
            spawn(
                &mut tasks,
                node.run(self.server.client_as("torpor-node"), shutdown.clone()),
            );
        }
        let page = metrics::Page {
            node: self.node_handle,
            controller: metrics,
            rule: self.hooks.page,
        };
        let page = metrics::serve(listeners.metrics, page, shutdown.clone());
        let (server, stop) = (self.server, shutdown.clone());
        let (index, stop_index) = (self.gateway.clone(), shutdown.clone());
        spawn(
            &mut tasks,
            infallible(async move { server.serve(listeners.api, stop).await }),
        );
        if let Some(controllers) = self.controller {
            spawn(&mut tasks, infallible(controllers.run(shutdown.clone())));
        }
        spawn(&mut tasks, page);
        spawn(&mut tasks, infallible(async move { index.run(stop_index).await }));
        let code_interpreter = self.gateway.data_router(torpor_api::port::CODE_INTERPRETER);
        let envd = self.gateway.data_router(torpor_api::port::ENVD);
        let face = self.gateway.control_and_data_router();
        let face = match &self.hooks.face {
            Some(rule) => rule.around(face),
            None => face,
        };
        for (listener, router) in [
            (listeners.gateway, face),
            (listeners.code_interpreter, code_interpreter),
            (listeners.envd, envd),
        ] {
            let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
            spawn(&mut tasks, serving.into_future());
        }
        tasks
    }
}

/// The client as it is, or behind rules that distort its calls.
fn behind(rules: Option<&CallRules>, client: kube::Client) -> kube::Client {
    match rules {
        Some(rules) => rules.around(client),
        None => client,
    }
}

/// The part as it is, or with something in front of it.
fn through<T: ?Sized>(around: Option<&Around<T>>, part: Arc<T>) -> Arc<T> {
    match around {
        Some(around) => around(part),
        None => part,
    }
}

fn logs(node: &NodeHandle, hooks: &Hooks) -> Arc<dyn PodLogs> {
    through(hooks.logs.as_ref(), Arc::new(node.clone()))
}

fn node_config(
    config: &PlaneConfig,
    data_dir: &DataDir,
    runtime: PodRuntime,
    store: &Store,
) -> anyhow::Result<NodeConfig> {
    Ok(NodeConfig {
        name: "torpor-node".to_owned(),
        capacity: config.capacity,
        work_dir: data_dir.run_dir()?,
        runtime,
        seed: std::process::id().wrapping_mul(251),
        clock: Arc::new(Timestamp::now),
        schedules: config.stand_ins.play(Part::Scheduler),
        freeze_limit: config.freeze_limit,
        store_settings: store.settings.clone(),
    })
}

/// The API server's own faults can be put in where those of the controller can.
fn with_control(builder: Builder, faults: Option<&Controls>) -> Builder {
    match faults {
        Some(_) => builder.control_endpoint(),
        None => builder,
    }
}

/// Serves the controls of the controller's faults, if there are any; gives where.
async fn serve_faults(
    controls: Option<&Controls>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    shutdown: &CancellationToken,
) -> anyhow::Result<Option<Url>> {
    let Some(controls) = controls else {
        return Ok(None);
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.context("listen for faults")?;
    let address = listener.local_addr().context("read the address of a listener")?;
    let serving = axum::serve(listener, controls.router()).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    spawn(tasks, serving.into_future());
    Ok(Some(Url::parse(&format!("http://{address}/"))?))
}

fn gateway_config(data_dir: &DataDir, endpoints: &Endpoints) -> anyhow::Result<GatewayConfig> {
    let address = endpoints.e2b.host_str().zip(endpoints.e2b.port());
    let domain = address.map(|(host, port)| format!("{host}:{port}"));
    Ok(GatewayConfig {
        domain,
        api_keys: ApiKeys::Any,
        ..GatewayConfig::new(NAMESPACE, data_dir.token_key()?)
    })
}

fn spawn<E>(tasks: &mut JoinSet<anyhow::Result<()>>, part: impl Future<Output = Result<(), E>> + Send + 'static)
where
    E: Into<anyhow::Error> + Send + 'static,
{
    tasks.spawn(async move { part.await.map_err(Into::into) });
}

async fn infallible(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}
