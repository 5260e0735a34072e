//! Targets that are booted in containers for a run. What this machine cannot boot is *skipped*, with the reason, and the
//! command ends with 2: never a pass.

use std::path::Path;

use anyhow::Context as _;
use torpor_harness::{Profile, Report, RunOptions, Suite};
use torpor_testbed::{BootError, ControlPlaneImage, Kind};

use crate::conformance::args::ConformanceArgs;
use crate::conformance::rename;
use crate::elsewhere;
use crate::engine::EngineKind;
use crate::exit::Exit;
use crate::plane::{IMAGE, NAMESPACE};
use crate::say;
use crate::target;

/// Boots a cluster of kind, and judges what the manifests have put on it.
///
/// # Errors
/// It cannot be booted, or the run fails.
pub async fn on_kind(
    args: &mut ConformanceArgs,
    profile: Profile,
    suite: &Suite,
    options: &RunOptions,
) -> anyhow::Result<Report> {
    let kind = Kind {
        image: args.containers.node_image.clone(),
        load: args.containers.load.clone(),
        apply: args.containers.apply.clone(),
    };
    say::aside(format_args!("booting {}", kind.image));
    let cluster = kind.boot().await.map_err(told)?;
    let folder = tempfile::tempdir().context("make a folder for the kubeconfig")?;
    take_kubeconfig(args, folder.path(), cluster.kubeconfig())?;
    let report = judge(args, profile, suite, options).await;
    cluster.stop().await?;
    report
}

/// Starts Torpor's control plane in a container, and judges it.
///
/// # Errors
/// It cannot be started, or the run fails.
pub async fn on_control_plane(
    args: &mut ConformanceArgs,
    mut profile: Profile,
    suite: &Suite,
    options: &RunOptions,
) -> anyhow::Result<Report> {
    let image = ControlPlaneImage {
        image: args.containers.image.clone(),
    };
    let plane = image.boot().await.map_err(told)?;
    let folder = tempfile::tempdir().context("make a folder for the kubeconfig")?;
    take_kubeconfig(args, folder.path(), plane.kubeconfig())?;
    if target::is_behind_e2b(&profile) {
        let url: url::Url = plane.e2b().parse().context("read the address of the E2B API")?;
        args.e2b_url = Some(url.clone());
        args.e2b_sandbox_url = Some(url);
        args.e2b_api_key = Some("e2b_0000000000000000000000000000000000000000".to_owned());
        args.namespace = Some(NAMESPACE.to_owned());
    }
    let metrics: url::Url = plane.metrics().parse().context("read the address of the metrics")?;
    args.metrics_url = Some(metrics.clone());
    args.controller_metrics_url = Some(metrics);
    if args.capabilities.is_none() {
        profile.capabilities = target::claims_of_torpor(&profile, EngineKind::Monty);
    }
    if let Some(dialect) = &mut profile.kubernetes {
        IMAGE.clone_into(&mut dialect.image);
    }
    let report = judge(args, profile, suite, options).await;
    plane.stop().await?;
    report
}

/// Removes what killed runs have left.
///
/// # Errors
/// Docker does not answer, or will not remove something.
pub async fn reap() -> anyhow::Result<Exit> {
    let removed = torpor_testbed::reap(None).await.map_err(told)?;
    for name in &removed {
        println!("removed {name}");
    }
    if removed.is_empty() {
        println!("nothing is left of any run");
    }
    Ok(Exit::Success)
}

fn take_kubeconfig(args: &mut ConformanceArgs, folder: &Path, text: &str) -> anyhow::Result<()> {
    let path = folder.join("kubeconfig");
    std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    args.kubeconfig = Some(path);
    Ok(())
}

async fn judge(
    args: &ConformanceArgs,
    profile: Profile,
    suite: &Suite,
    options: &RunOptions,
) -> anyhow::Result<Report> {
    let mut target = target::elsewhere(args, profile).await?;
    rename(&mut target, args);
    elsewhere::run(args, target, suite, options).await
}

fn told(error: BootError) -> anyhow::Error {
    match error {
        BootError::Impossible(reason) => anyhow::anyhow!("skipped: {reason}"),
        failed @ BootError::Failed { .. } => failed.into(),
    }
}
