//! The cluster under measurement: an API server, a controller, a node of simulated sandboxes, and who drives them.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Config, ResourceExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use torpor_api::{Phase, Sandbox, custom_resource_definitions};
use torpor_controller::SimNode;

use super::agents::serve_agents;
use super::meters::Meters;
use crate::bench::load::{self, Call, Connection};
use crate::bench::server::Server;

/// The collection of the sandboxes.
pub const SANDBOXES: &str = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes";
/// Connections of the driver.
const CONNECTIONS: usize = 8;
/// For how long nothing may happen while something is waited for.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long nothing is sent by a controller that has nothing to do.
const QUIET: Duration = Duration::from_millis(30);

/// A sandbox was seen in a phase.
type Sight = (usize, Phase, Instant);

/// See the module. Everything ends when it is dropped.
pub struct Bed {
    /// The API server.
    pub server: Server,
    /// The controller; absent while it is stopped.
    pub controller: Option<Server>,
    /// A client of the driver.
    pub client: Client,
    directory: TempDir,
    agent_port: u16,
    sights: UnboundedReceiver<Sight>,
    shutdown: DropGuard,
}

impl Bed {
    /// Starts an API server, a node and a controller.
    pub async fn start() -> anyhow::Result<Self> {
        let server = Server::mock().await?;
        let directory = tempfile::tempdir().context("make a directory")?;
        let kubeconfig = mock_apiserver::Kubeconfig::new(&format!("http://{}", server.authority)).to_string();
        std::fs::write(kubeconfig_of(&directory), &kubeconfig).context("write a kubeconfig")?;
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(Kubeconfig::from_yaml(&kubeconfig)?, &options).await?;
        let client = Client::try_from(config).context("set up a client")?;
        install(&client).await?;

        let shutdown = CancellationToken::new();
        let node = SimNode::new();
        let agent_port = serve_agents(node.clone(), shutdown.clone()).await?;
        let (nodes_client, nodes_shutdown) = (client.clone(), shutdown.clone());
        tokio::spawn(async move { node.run(nodes_client, nodes_shutdown).await });
        let (sighted, sights) = unbounded_channel();
        tokio::spawn(
            shutdown
                .clone()
                .run_until_cancelled_owned(look_out(client.clone(), sighted)),
        );
        let mut bed = Self {
            server,
            controller: None,
            client,
            directory,
            agent_port,
            sights,
            shutdown: shutdown.drop_guard(),
        };
        bed.start_controller().await?;
        Ok(bed)
    }

    /// Starts a controller; one that runs is stopped first.
    pub async fn start_controller(&mut self) -> anyhow::Result<()> {
        self.stop_controller().await?;
        self.controller = Some(Server::controller(&kubeconfig_of(&self.directory), self.agent_port).await?);
        Ok(())
    }

    /// Stops the controller, if there is one.
    pub async fn stop_controller(&mut self) -> anyhow::Result<()> {
        match self.controller.take() {
            Some(controller) => controller.stop(false).await,
            None => Ok(()),
        }
    }

    /// Ends the processes.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_controller().await?;
        drop(self.shutdown);
        self.server.stop(false).await
    }

    /// Creates the sandboxes `0..count`, running, and waits until they are.
    pub async fn populate(&mut self, count: usize) -> anyhow::Result<()> {
        let create = |index| {
            Call::new(
                http::Method::POST,
                SANDBOXES,
                "application/json",
                sandbox(index).to_string(),
            )
        };
        load::run(&self.server.authority, CONNECTIONS, count, create).await?;
        self.until_all(count, Phase::Running).await?;
        Ok(())
    }

    /// Asks the sandboxes `0..count` to pause or to run, and waits until they do; how long each took, and all together.
    pub async fn turn(&mut self, count: usize, paused: bool) -> anyhow::Result<(Vec<Duration>, Duration)> {
        let sent: Arc<Vec<OnceLock<Instant>>> = Arc::new((0..count).map(|_| OnceLock::new()).collect());
        let clock = Arc::clone(&sent);
        let begin = Instant::now();
        let patch = move |index: usize| {
            let patch = patch_of(index, &json!({"spec": {"paused": paused}}));
            clock[index].get_or_init(Instant::now);
            patch
        };
        let phase = if paused { Phase::Paused } else { Phase::Running };
        let authority = self.server.authority.clone();
        let asking = load::run(&authority, CONNECTIONS.min(count), count, patch);
        let (asked, seen) = tokio::join!(asking, self.until_all(count, phase));
        asked?;
        let seen = seen?;
        let all = seen.iter().max().map_or(Duration::ZERO, |last| *last - begin);
        let took = sent.iter().zip(&seen);
        Ok((
            took.map(|(sent, seen)| *seen - *sent.get().unwrap_or(seen)).collect(),
            all,
        ))
    }

    /// Changes a sandbox so that nothing follows from it; how long until its watch reports it.
    pub async fn touch(&mut self, connection: &mut Connection, turn: usize) -> anyhow::Result<Duration> {
        let touch = patch_of(0, &json!({"metadata": {"annotations": {"turn": turn.to_string()}}}));
        let begin = Instant::now();
        connection.expect(&touch).await?;
        let (_, _, seen) = self.sight().await?;
        Ok(seen - begin)
    }

    /// Waits until the controller has nothing to do and sends nothing; what its meters say then.
    pub async fn quiet(&self) -> anyhow::Result<Meters> {
        let mut connection = self.meters().await?;
        let mut before = Meters::read(&mut connection).await?;
        loop {
            sleep(QUIET).await;
            let now = Meters::read(&mut connection).await?;
            let same =
                now.sum("torpor_api_requests_total", |_| true) - before.sum("torpor_api_requests_total", |_| true);
            if same < 1.0 && now.queue() < 1.0 {
                return Ok(now);
            }
            before = now;
        }
    }

    /// A connection to the meters of the controller.
    pub async fn meters(&self) -> anyhow::Result<Connection> {
        let controller = self
            .controller
            .as_ref()
            .context("read the meters: no controller runs")?;
        Connection::open(&controller.authority).await
    }

    async fn until_all(&mut self, count: usize, phase: Phase) -> anyhow::Result<Vec<Instant>> {
        let mut first: Vec<Option<Instant>> = vec![None; count];
        let mut missing = count;
        while missing > 0 {
            let (index, seen, at) = self
                .sight()
                .await
                .with_context(|| format!("wait until {count} sandboxes are {phase:?}: {missing} are not"))?;
            match first.get_mut(index) {
                Some(first @ None) if seen == phase => {
                    *first = Some(at);
                    missing -= 1;
                }
                Some(_) | None => {}
            }
        }
        Ok(first.into_iter().flatten().collect())
    }

    async fn sight(&mut self) -> anyhow::Result<Sight> {
        match timeout(PATIENCE, self.sights.recv()).await {
            Ok(Some(sight)) => Ok(sight),
            Ok(None) => bail!("the watch of the sandboxes ended"),
            Err(_) => bail!("no sandbox has changed for {PATIENCE:?}"),
        }
    }
}

/// A merge patch of the sandbox of this number.
pub fn patch_of(index: usize, patch: &Value) -> Call {
    let uri = format!("{SANDBOXES}/s{index}");
    Call::new(
        http::Method::PATCH,
        uri,
        "application/merge-patch+json",
        patch.to_string(),
    )
}

/// The sandbox of this number.
pub fn sandbox(index: usize) -> Value {
    json!({
        "apiVersion": "agents.kruise.io/v1alpha1", "kind": "Sandbox", "metadata": {"name": format!("s{index}")},
        "spec": {"template": {"spec": {"containers": [{"name": "sandbox", "image": "torpor/code-interpreter"}]}}},
    })
}

fn kubeconfig_of(directory: &TempDir) -> std::path::PathBuf {
    directory.path().join("kubeconfig")
}

async fn install(client: &Client) -> anyhow::Result<()> {
    let definitions: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in custom_resource_definitions() {
        let created = definitions.create(&PostParams::default(), &definition).await;
        created.with_context(|| format!("install the definition {}", definition.name_any()))?;
    }
    Ok(())
}

/// Reports every change of a sandbox by the number in its name.
async fn look_out(client: Client, sighted: UnboundedSender<Sight>) {
    let changes = watcher(Api::<Sandbox>::all(client), watcher::Config::default());
    let changes = changes.default_backoff().applied_objects();
    let mut changes = std::pin::pin!(changes);
    while let Some(change) = changes.next().await {
        let Ok(sandbox) = change else { continue };
        let index = sandbox
            .name_any()
            .strip_prefix('s')
            .and_then(|number| number.parse().ok());
        let phase = sandbox.status.and_then(|status| status.phase);
        let (Some(index), Some(phase)) = (index, phase) else {
            continue;
        };
        if sighted.send((index, phase, Instant::now())).is_err() {
            return;
        }
    }
}
