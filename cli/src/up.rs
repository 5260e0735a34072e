//! `torpor up`: the control plane in the foreground, until Ctrl-C.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use mock_node::Capacity;
use tokio_util::sync::CancellationToken;
use torpor_agent::AgentConfig;

use crate::args::{NodeArgs, UpArgs};
use crate::exit::Exit;
use crate::fault::{Fault, Hooks};
use crate::plane::{ControlPlane, PlaneConfig, Reconciler};
use crate::say;
use crate::signal::stop_in_order;

/// What is said when it is told to end.
const STOPPING: &str = "stopping; Ctrl-C again ends at once";

/// Starts the control plane, says where it is, and runs it until it is told to end. Agents that are processes of their own get
/// `log_options`.
///
/// # Errors
/// It cannot start, or a part of it fails.
pub async fn run(args: UpArgs, log_options: Vec<String>) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let controller = if args.without_controller {
        Reconciler::Elsewhere
    } else {
        Reconciler::Reference
    };
    let hooks = match args.fault.as_deref().map(Fault::named) {
        None => Hooks::default(),
        Some(Ok(fault)) => fault.hooks(),
        Some(Err(unknown)) => return Ok(Exit::usage(&anyhow!("--fault: {unknown}"))),
    };
    let stop = CancellationToken::new();
    stop_in_order(stop.clone(), STOPPING).context("listen for Ctrl-C")?;
    let config = PlaneConfig {
        data_dir: args.data_dir.clone(),
        ports: args.ports,
        capacity: capacity(args.node),
        controller,
        stand_ins: args.stand_ins,
        webhooks: args.webhooks,
        engine: args.engine,
        isolate: args.isolate,
        execution: args.execution,
        ahead: args.ahead,
        store: args.store.clone(),
        freeze_limit: AgentConfig::FREEZE_LIMIT,
        faults: None,
        log_options,
        hooks,
    };
    // A store or Docker may keep it waiting. Nothing runs before it has started, so that there is nothing to clean up.
    let mut plane = tokio::select! {
        started = Box::pin(ControlPlane::start(config)) => started?,
        () = stop.cancelled() => return Ok(Exit::Success),
    };
    announce(&plane, &args.data_dir, began);
    let outcome = tokio::select! {
        () = stop.cancelled() => Ok(Exit::Success),
        failed = plane.failed() => failed.and_then(|()| Err(anyhow!("a part of the control plane ended by itself"))),
    };
    plane.stop().await;
    outcome
}

/// What the node can hold, by the options.
pub fn capacity(args: NodeArgs) -> Capacity {
    Capacity {
        cpu_millis: args.node_cpu,
        memory_bytes: args.node_memory << 20,
        pods: args.node_pods,
    }
}

fn announce(plane: &ControlPlane, data_dir: &Path, began: Instant) {
    let endpoints = plane.endpoints();
    let dir = data_dir.display();
    say::line(format_args!(
        "torpor is up ({:.0} ms)\n",
        began.elapsed().as_secs_f64() * 1000.0
    ));
    say::line(format_args!(
        "  Kubernetes API  {:<32} export KUBECONFIG={}",
        endpoints.kubernetes,
        plane.data_dir().join("kubeconfig").display()
    ));
    say::line(format_args!(
        "  E2B API         {:<32} . {dir}/env        current E2B SDKs",
        endpoints.e2b
    ));
    say::line(format_args!(
        "  {:<48} . {dir}/env.beta   E2B SDKs before 2.23 (beta_create, beta_pause)",
        ""
    ));
    say::line(format_args!("  Metrics         {}", endpoints.metrics));
    say::line(format_args!(
        "  Checkpoints     {}\n",
        plane.store().trim_start_matches("file://")
    ));
    let recovery = plane.recovery();
    if recovery.records > 0 {
        say::line(format_args!(
            "Took up {} objects and writes of an earlier run.",
            recovery.records
        ));
    }
    if recovery.cut_bytes > 0 {
        say::line(format_args!(
            "Cut {} bytes of a write that was interrupted before it was acknowledged.",
            recovery.cut_bytes
        ));
    }
    say::line("Ctrl-C ends it.");
}
