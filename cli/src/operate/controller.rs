//! `torpor controller`: the reference controller against a cluster, until it is told to end.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::Client;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_api::{Sandbox, agent_sandbox};
use torpor_controller::{
    Controller, ControllerConfig, Deadlines, Election, Ended, Fence, Front, HttpAgents, LeaseTerms,
};
use torpor_runtime::CheckpointStore;

use super::args::{ControllerArgs, ElectionArgs};
use super::cluster::Reached;
use super::{cluster, listen, probes};
use crate::custodian::StoreCustodian;
use crate::environment;
use crate::exit::Exit;
use crate::signal::stop_signal;

/// Runs the controller and its probes.
///
/// # Errors
/// A socket is taken, the cluster cannot be reached, leadership is lost, or a part fails.
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
    let cluster = cluster::connect(settings.cluster.clone()).await?;
    expect_definitions(&cluster, &settings.config).await?;
    let candidate = settings.candidate(&cluster.client, args.agent_port);

    let shutdown = CancellationToken::new();
    let mut probes = JoinSet::new();
    let page = probes::metrics(candidate.controller.metrics());
    probes.spawn(listen::serve(metrics, page, shutdown.clone()));
    probes.spawn(listen::serve(
        health,
        probes::health(candidate.not_ready()),
        shutdown.clone(),
    ));
    let work = candidate.run(shutdown.clone());
    tokio::pin!(work);
    let ended = tokio::select! {
        ended = &mut work => ended,
        () = stop => {
            shutdown.cancel();
            work.await
        }
        Some(ended) = probes.join_next() => {
            ended.context("join the server of a page")??;
            bail!("the server of a page ended by itself");
        }
    };
    shutdown.cancel();
    match ended {
        Ended::AsAsked => Ok(Exit::Success),
        Ended::Lost => bail!("leadership is lost; start again to stand by"),
    }
}

/// Makes sure that the cluster knows every kind of Sandbox that is to be looked after.
async fn expect_definitions(cluster: &Reached, config: &ControllerConfig) -> anyhow::Result<()> {
    for front in &config.fronts {
        match front {
            Front::Kruise => cluster.expect::<Sandbox>(&config.namespaces).await?,
            Front::AgentSandbox => cluster
                .expect::<agent_sandbox::Sandbox>(&config.namespaces)
                .await
                .context("--agent-sandbox")?,
        }
    }
    Ok(())
}

/// What the operator gave, checked.
struct Settings {
    cluster: kube::Config,
    config: ControllerConfig,
    store: CheckpointStore,
    election: Option<Lease>,
}

/// Which lease to hold, and how.
struct Lease {
    /// That of the client when absent.
    namespace: Option<String>,
    name: String,
    terms: LeaseTerms,
}

impl Settings {
    async fn read(args: &ControllerArgs) -> anyhow::Result<Self> {
        let store = CheckpointStore::open_in(&args.store, &environment::variables())
            .with_context(|| format!("--store {}", args.store))?;
        let config = ControllerConfig {
            namespaces: args.namespace.clone(),
            fronts: if args.agent_sandbox {
                Front::ALL.to_vec()
            } else {
                vec![Front::Kruise]
            },
            deadlines: Deadlines {
                pause: args.pause_deadline,
                restore_retry: args.restore_retry,
            },
            ..ControllerConfig::new(&args.store)
        };
        Ok(Self {
            election: lease(&args.election)?,
            cluster: cluster::configuration(&args.cluster).await?,
            config,
            store,
        })
    }

    /// The controller, and the election that it stands in.
    fn candidate(self, client: &Client, agent_port: u16) -> Candidate {
        let mut config = self.config;
        let clock = Arc::clone(&config.clock);
        let election = self.election.map(|lease| {
            let namespace = lease.namespace.as_deref().unwrap_or(client.default_namespace());
            let place = (namespace, lease.name.as_str());
            Election::new(client, place, identity(), lease.terms, clock)
        });
        if let Some(election) = &election {
            config.fence = election.fence();
        }
        let fence = config.fence.clone();
        let custodian = Arc::new(StoreCustodian::new(self.store));
        let agents = Arc::new(HttpAgents::on_port(agent_port));
        let controller = Controller::new(client.clone(), config, agents, custodian);
        Candidate {
            fence,
            controller,
            election,
        }
    }
}

struct Candidate {
    fence: Fence,
    controller: Controller,
    election: Option<Election>,
}

impl Candidate {
    async fn run(self, shutdown: CancellationToken) -> Ended {
        let work = self.controller.run(shutdown.clone());
        if let Some(election) = self.election {
            return election.lead(work, shutdown).await;
        }
        work.await;
        Ended::AsAsked
    }

    /// Why the probe should wait: a leader that does not know the sandboxes yet. One that stands by is ready.
    fn not_ready(&self) -> impl Fn() -> Option<String> + Send + Sync + 'static {
        let (fence, synced) = (self.fence.clone(), self.controller.synced());
        move || {
            let behind = fence.check().is_ok() && !synced.is_cancelled();
            behind.then(|| "the sandboxes are not listed yet".to_owned())
        }
    }
}

fn lease(args: &ElectionArgs) -> anyhow::Result<Option<Lease>> {
    if !args.leader_elect {
        return Ok(None);
    }
    let terms = LeaseTerms {
        lease_duration: args.leader_elect_lease_duration,
        renew_deadline: args.leader_elect_renew_deadline,
        retry_period: args.leader_elect_retry_period,
    };
    Ok(Some(Lease {
        namespace: args.leader_elect_resource_namespace.clone(),
        name: args.leader_elect_resource_name.clone(),
        terms: terms.check().context("read the --leader-elect options")?,
    }))
}

/// The name of this process among all candidates: the Pod's, and a number that no other start has.
fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "torpor".to_owned());
    format!("{host}_{:016x}", rand::random::<u64>())
}
