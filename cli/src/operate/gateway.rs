//! `torpor gateway`: the E2B gateway against a cluster, until it is told to end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use torpor_api::Sandbox;
use torpor_gateway::{ApiKeys, Gateway, GatewayConfig};

use super::args::GatewayArgs;
use super::{cluster, listen, probes};
use crate::exit::Exit;
use crate::signal::{insistence, stop_signal};

/// Runs the gateway and its probes.
///
/// # Errors
/// A socket is taken, the cluster cannot be reached, or a part fails.
pub async fn run(args: GatewayArgs) -> anyhow::Result<Exit> {
    let settings = match settings(&args).await {
        Ok(settings) => settings,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    let (cluster, config) = settings;
    let stop = stop_signal().context("listen for signals")?;
    let main = listen::bind(args.address, "the E2B API", "--address").await?;
    let health = listen::bind(args.health_address, "the probes", "--health-address").await?;
    listen::announce("E2B API", &main, "")?;
    listen::announce("Probes", &health, "readyz")?;
    let cluster = cluster::connect(cluster).await?;
    cluster.expect::<Sandbox>(std::slice::from_ref(&args.namespace)).await?;
    let gateway = Gateway::new(&cluster.client, config);
    let mut services = vec![(main, gateway.control_and_data_router())];
    services.extend(debug_services(&args, &gateway).await?);
    let watched = gateway.clone();
    let not_ready = move || (!watched.is_synced()).then(|| "the sandboxes are not listed yet".to_owned());
    services.push((health, probes::health(not_ready)));
    let mut running = Running::start(gateway, services);
    tokio::select! {
        () = stop => {
            running.end(args.shutdown_grace_period).await?;
            Ok(Exit::Success)
        }
        failed = running.failed() => Err(failed),
    }
}

/// A gateway that follows its sandboxes, and its servers.
struct Running {
    gateway: Gateway,
    servers: JoinSet<anyhow::Result<()>>,
    no_more_calls: CancellationToken,
    following: JoinHandle<()>,
    follow_no_more: CancellationToken,
}

impl Running {
    fn start(gateway: Gateway, services: Vec<(TcpListener, Router)>) -> Self {
        let (no_more_calls, follow_no_more) = (CancellationToken::new(), CancellationToken::new());
        let mut servers = JoinSet::new();
        for (listener, router) in services {
            servers.spawn(listen::serve(listener, router, no_more_calls.clone()));
        }
        let following = tokio::spawn({
            let (gateway, until) = (gateway.clone(), follow_no_more.clone());
            async move { gateway.run(until).await }
        });
        Self {
            gateway,
            servers,
            no_more_calls,
            following,
            follow_no_more,
        }
    }

    /// Returns when a part has ended by itself, with the reason.
    async fn failed(&mut self) -> anyhow::Error {
        let by_itself = || anyhow!("a part of the gateway ended by itself");
        tokio::select! {
            Some(ended) = self.servers.join_next() => match ended.context("join a server of the gateway") {
                Ok(served) => served.err().unwrap_or_else(by_itself),
                Err(crashed) => crashed,
            },
            ended = &mut self.following => match ended.context("join what follows the sandboxes") {
                Ok(()) => by_itself(),
                Err(crashed) => crashed,
            },
        }
    }

    /// Ends in good order: no more calls are taken, those under way are answered and what they have begun is seen to
    /// its end, and only then are the sandboxes followed no longer, on which all of that waits. What is left after
    /// `grace`, or when it is asked to end once more, is given up.
    async fn end(self, grace: Duration) -> anyhow::Result<()> {
        let Self {
            gateway,
            mut servers,
            no_more_calls,
            following,
            follow_no_more,
        } = self;
        no_more_calls.cancel();
        let again = insistence().context("listen for signals")?;
        let done = async {
            while let Some(ended) = servers.join_next().await {
                ended.context("join a server of the gateway")??;
            }
            gateway.finished().await;
            Ok::<_, anyhow::Error>(())
        };
        tokio::select! {
            done = done => done?,
            () = tokio::time::sleep(grace) => tracing::warn!(?grace, "calls under way are not at their end, and are given up"),
            () = again => tracing::warn!("asked to end once more: calls under way are given up"),
        }
        follow_no_more.cancel();
        following.await.context("join what follows the sandboxes")
    }
}

/// Ports for SDKs in debug mode, which name neither a sandbox nor a port.
async fn debug_services(args: &GatewayArgs, gateway: &Gateway) -> anyhow::Result<Vec<(TcpListener, Router)>> {
    let mut services = Vec::new();
    if let Some(address) = args.code_interpreter_address {
        let listener = listen::bind(address, "the code interpreter", "--code-interpreter-address").await?;
        services.push((listener, gateway.data_router(torpor_api::port::CODE_INTERPRETER)));
    }
    if let Some(address) = args.envd_address {
        let listener = listen::bind(address, "sandbox files and processes", "--envd-address").await?;
        services.push((listener, gateway.data_router(torpor_api::port::ENVD)));
    }
    Ok(services)
}

async fn settings(args: &GatewayArgs) -> anyhow::Result<(kube::Config, GatewayConfig)> {
    let api_keys = match &args.api_keys_file {
        Some(path) => ApiKeys::Listed(api_keys(path).with_context(|| format!("--api-keys-file {}", path.display()))?),
        // The command line is refused without one of the two.
        None => ApiKeys::Any,
    };
    let path = &args.token_key_file;
    let token_key = token_key(path).with_context(|| format!("--token-key-file {}", path.display()))?;
    let config = GatewayConfig {
        domain: args.domain.clone(),
        api_keys,
        ..GatewayConfig::new(&args.namespace, token_key)
    };
    Ok((cluster::configuration(&args.cluster).await?, config))
}

fn api_keys(path: &Path) -> anyhow::Result<BTreeSet<String>> {
    let text = fs::read_to_string(path)?;
    let keys: BTreeSet<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if keys.is_empty() {
        bail!("it lists no key; write one a line");
    }
    Ok(keys)
}

fn token_key(path: &Path) -> anyhow::Result<[u8; 32]> {
    let bytes = fs::read(path)?;
    let length = bytes.len();
    <[u8; 32]>::try_from(bytes)
        .map_err(|_| anyhow!("it holds {length} bytes instead of 32; make one with `head -c 32 /dev/urandom`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_lines_that_are_not_empty_and_a_file_without_one_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("keys");
        fs::write(&path, "e2b_00\n\n e2b_11 \n").expect("written");
        let keys = api_keys(&path).expect("keys");
        assert_eq!(keys.into_iter().collect::<Vec<_>>(), ["e2b_00", "e2b_11"]);
        fs::write(&path, "\n").expect("written");
        assert!(api_keys(&path).is_err());
    }
}
