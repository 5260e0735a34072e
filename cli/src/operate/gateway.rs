//! `torpor gateway`: the E2B gateway against a cluster, until it is told to end.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use torpor_api::Sandbox;
use torpor_gateway::{ApiKeys, Gateway, GatewayConfig};

use super::args::GatewayArgs;
use super::{cluster, listen, probes};
use crate::exit::Exit;
use crate::signal::stop_signal;

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
    let shutdown = CancellationToken::new();
    let mut tasks = spawn(gateway, services, &shutdown);
    tokio::select! {
        () = stop => {
            shutdown.cancel();
            while let Some(ended) = tasks.join_next().await {
                ended.context("join a part of the gateway")??;
            }
            Ok(Exit::Success)
        }
        Some(ended) = tasks.join_next() => {
            ended.context("join a part of the gateway")??;
            Err(anyhow!("a part of the gateway ended by itself"))
        }
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

fn spawn(
    gateway: Gateway,
    services: Vec<(TcpListener, Router)>,
    shutdown: &CancellationToken,
) -> JoinSet<anyhow::Result<()>> {
    let mut tasks = JoinSet::new();
    for (listener, router) in services {
        tasks.spawn(listen::serve(listener, router, shutdown.clone()));
    }
    let until = shutdown.clone();
    tasks.spawn(async move {
        gateway.run(until).await;
        Ok(())
    });
    tasks
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
