//! `torpor agent`: the process inside a sandbox Pod, until the kubelet ends it.

#[cfg(target_os = "linux")]
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
#[cfg(target_os = "linux")]
use futures::Stream;
use futures::StreamExt as _;
#[cfg(target_os = "linux")]
use process_runtime::{AgentReport, NodeLink};
#[cfg(target_os = "linux")]
use tokio_stream::wrappers::WatchStream;
use torpor_agent::{AgentConfig, AgentListeners};
use torpor_api::env;
use torpor_runtime::{CheckpointStore, Engine};

use super::args::AgentArgs;
use super::listen;
use crate::environment;
use crate::exit::Exit;
use crate::signal::stop_signal;

/// Variables that say something of the agent's process and not of the sandbox.
const OF_THE_AGENT: [&str; 4] = ["HOME", "HOSTNAME", "PWD", "RUST_LOG"];

/// Runs the workload; what its program prints goes to standard output, where the kubelet collects it.
///
/// # Errors
/// A socket is taken.
pub async fn run(args: AgentArgs) -> anyhow::Result<Exit> {
    let engine = args.engine.build_alone(&args)?;
    let (config, store) = match settings(&args, engine.as_ref()) {
        Ok(settings) => settings,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    let stop = stop_signal().context("listen for signals")?;
    if args.under_node {
        under_node(config, engine, store, stop).await?;
        return Ok(Exit::Success);
    }
    let address = |port| SocketAddr::new(args.bind, port);
    let listeners = AgentListeners {
        control: listen::bind(address(args.control_port), "the controller's orders", "--bind").await?,
        envd: listen::bind(address(args.envd_port), "files and processes", "--bind").await?,
        code_interpreter: listen::bind(address(args.code_interpreter_port), "the code interpreter", "--bind").await?,
    };
    let agent = torpor_agent::start(config, engine, store, listeners);
    let printed = agent.logs().follow(0).for_each(|line| {
        println!("{}", line.text);
        std::future::ready(())
    });
    tokio::select! {
        () = stop => {}
        () = printed => {}
    }
    agent.stop().await;
    Ok(Exit::Success)
}

/// Runs the workload for the node that started this process, until one of them ends.
#[cfg(target_os = "linux")]
async fn under_node(
    config: AgentConfig,
    engine: Arc<dyn Engine>,
    store: CheckpointStore,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (mut node, listeners) = NodeLink::open().context("take sockets over standard input")?;
    let agent = torpor_agent::start(config, engine, store, listeners);
    let workload = WatchStream::new(agent.state()).map(|state| AgentReport::Workload(state.workload));
    let printed = agent.logs().follow(0).map(AgentReport::Log);
    let reported = report(futures::stream::select(workload, printed));
    tokio::select! {
        () = stop => {}
        () = node.closed() => {}
        // A node that does not listen has ended.
        failed = reported => tracing::debug!(?failed, "report to the node"),
    }
    agent.stop().await;
    Ok(())
}

#[cfg(target_os = "linux")]
async fn report(reports: impl Stream<Item = AgentReport>) -> io::Result<()> {
    let mut reports = std::pin::pin!(reports);
    while let Some(report) = reports.next().await {
        writeln!(io::stdout(), "{}", report.to_line()?)?;
    }
    Ok(())
}

/// Would run the workload for a node.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
#[expect(clippy::unused_async, reason = "the other build waits here")]
async fn under_node(
    _: AgentConfig,
    _: Arc<dyn Engine>,
    _: CheckpointStore,
    _: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    anyhow::bail!("--under-node needs Linux")
}

fn settings(args: &AgentArgs, engine: &dyn Engine) -> anyhow::Result<(AgentConfig, CheckpointStore)> {
    let mut variables = environment::variables();
    // A node gives the variables of the container and no others.
    variables.retain(|name, _| args.under_node || !OF_THE_AGENT.contains(&name.as_str()));
    let config = AgentConfig::from_container(&variables, &args.command, &[], args.work_dir.clone(), engine)
        .context("read what to run; the controller sets it on the containers of sandbox Pods")?;
    let url = variables
        .get(env::STORE)
        .with_context(|| format!("environment variable {} is not set", env::STORE))?;
    let store = CheckpointStore::open_in(url, &variables).with_context(|| format!("{} {url}", env::STORE))?;
    Ok((config, store))
}
