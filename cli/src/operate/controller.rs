//! `torpor controller`: the reference controller against a cluster, until it is told to end.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_controller::{Controller, ControllerConfig, Deadlines, HttpAgents};
use torpor_runtime::CheckpointStore;

use super::args::ControllerArgs;
use super::{cluster, listen, probes};
use crate::custodian::StoreCustodian;
use crate::exit::Exit;
use crate::signal::stop_signal;

/// Runs the controller and its probes.
///
/// # Errors
/// A socket is taken, the cluster cannot be reached, or a part fails.
pub async fn run(args: ControllerArgs) -> anyhow::Result<Exit> {
    let settings = match Settings::read(&args).await {
        Ok(settings) => settings,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    let stop = stop_signal().context("listen for signals")?;
    let metrics = listen::bind(args.metrics_address, "the metrics", "--metrics-address").await?;
    let health = listen::bind(args.health_address, "the probes", "--health-address").await?;
    listen::announce("Metrics", &metrics, "metrics")?;
    listen::announce("Probes", &health, "readyz")?;
    let client = cluster::connect(settings.cluster).await?;
    cluster::expect_sandboxes(&client, &settings.config.namespaces).await?;
    let custodian = Arc::new(StoreCustodian::new(settings.store));
    let agents = Arc::new(HttpAgents::on_port(args.agent_port));
    let controller = Controller::new(client, settings.config, agents, custodian);
    let shutdown = CancellationToken::new();
    let mut tasks = spawn(controller, metrics, health, &shutdown);
    tokio::select! {
        () = stop => {
            shutdown.cancel();
            while let Some(ended) = tasks.join_next().await {
                ended.context("join a part of the controller")??;
            }
            Ok(Exit::Success)
        }
        Some(ended) = tasks.join_next() => {
            ended.context("join a part of the controller")??;
            Err(anyhow!("a part of the controller ended by itself"))
        }
    }
}

/// What the operator gave, checked.
struct Settings {
    cluster: kube::Config,
    config: ControllerConfig,
    store: CheckpointStore,
}

impl Settings {
    async fn read(args: &ControllerArgs) -> anyhow::Result<Self> {
        let store = CheckpointStore::open(&args.store).with_context(|| format!("--store {}", args.store))?;
        let config = ControllerConfig {
            namespaces: args.namespace.clone(),
            deadlines: Deadlines {
                pause: args.pause_deadline,
                restore_retry: args.restore_retry,
            },
            ..ControllerConfig::new(&args.store)
        };
        Ok(Self {
            cluster: cluster::configuration(&args.cluster).await?,
            config,
            store,
        })
    }
}

fn spawn(
    controller: Controller,
    metrics: TcpListener,
    health: TcpListener,
    shutdown: &CancellationToken,
) -> JoinSet<anyhow::Result<()>> {
    let mut tasks = JoinSet::new();
    let synced = controller.synced();
    let not_ready = move || (!synced.is_cancelled()).then(|| "the sandboxes are not listed yet".to_owned());
    let page = probes::metrics(controller.metrics());
    tasks.spawn(listen::serve(metrics, page, shutdown.clone()));
    tasks.spawn(listen::serve(health, probes::health(not_ready), shutdown.clone()));
    let until = shutdown.clone();
    tasks.spawn(async move {
        controller.run(until).await;
        Ok(())
    });
    tasks
}
