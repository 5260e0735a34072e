//! `torpor agent`: the process inside a sandbox Pod, until the kubelet ends it.

use std::net::SocketAddr;

use anyhow::Context as _;
use futures::StreamExt as _;
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
    let engine = args.engine.build(args.execution)?;
    let (config, store) = match settings(&args, engine.as_ref()) {
        Ok(settings) => settings,
        Err(error) => return Ok(Exit::usage(&error)),
    };
    let stop = stop_signal().context("listen for signals")?;
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

fn settings(args: &AgentArgs, engine: &dyn Engine) -> anyhow::Result<(AgentConfig, CheckpointStore)> {
    let mut variables = environment::variables();
    variables.retain(|name, _| !OF_THE_AGENT.contains(&name.as_str()));
    let config = AgentConfig::from_container(&variables, &args.command, &[], args.work_dir.clone(), engine)
        .context("read what to run; the controller sets it on the containers of sandbox Pods")?;
    let url = variables
        .get(env::STORE)
        .with_context(|| format!("environment variable {} is not set", env::STORE))?;
    let store = CheckpointStore::open_in(url, &variables).with_context(|| format!("{} {url}", env::STORE))?;
    Ok((config, store))
}
