//! Targets that are booted in containers for a run. What this machine cannot boot is *skipped*, with the reason, and the
//! command ends with 2: never a pass.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use tokio_util::sync::CancellationToken;
use torpor_harness::{Profile, Report, RunOptions, Suite};
use torpor_testbed::{BootError, ControlPlaneImage, Kind, run_name};

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
    let run = run_name("kind");
    let cluster = unless_stopped(Box::pin(kind.boot(&run)), &options.stop, tidied(&run)).await?;
    let folder = tempfile::tempdir().context("make a folder for the kubeconfig")?;
    take_kubeconfig(args, folder.path(), cluster.kubeconfig())?;
    let report = judge(args, profile, suite, options).await;
    after(report, cluster.stop().await)
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
    let run = run_name("plane");
    let plane = unless_stopped(Box::pin(image.boot(&run)), &options.stop, tidied(&run)).await?;
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
    after(report, plane.stop().await)
}

/// Waits until a target is up, or until the run is told to end: what there is of the target by then is tidied away.
async fn unless_stopped<T>(
    boot: impl Future<Output = Result<T, BootError>>,
    stop: &CancellationToken,
    tidy: impl Future<Output = Result<Vec<String>, BootError>>,
) -> anyhow::Result<T> {
    tokio::select! {
        booted = boot => return booted.map_err(told),
        () = stop.cancelled() => {}
    }
    after(
        Err(anyhow!("the run was interrupted before it began")),
        tidy.await.map(drop),
    )
}

/// Removes what a run has started. On the heap, as its future is large.
fn tidied(run: &str) -> impl Future<Output = Result<Vec<String>, BootError>> {
    Box::pin(torpor_testbed::reap(Some(run)))
}

/// What came of a run, which is not lost where its containers could not be removed: that is said beside it.
fn after<T>(came: anyhow::Result<T>, removed: Result<(), BootError>) -> anyhow::Result<T> {
    if let Err(error) = removed {
        say::aside(format_args!(
            "torpor: containers of the run are left, which `torpor conformance reap` removes: {error}"
        ));
    }
    came
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
        BootError::Impossible(reason) => anyhow!("skipped: {reason}"),
        failed @ BootError::Failed { .. } => failed.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stuck() -> BootError {
        BootError::Failed {
            step: "remove the container torpor-kind-1".to_owned(),
            why: "it is in use".to_owned(),
        }
    }

    #[test]
    fn a_report_outlives_containers_that_could_not_be_removed() {
        assert_eq!(after(Ok("report"), Err(stuck())).ok(), Some("report"));
        let failed = after::<()>(Err(anyhow!("no namespace")), Err(stuck())).expect_err("it failed before");
        assert_eq!(failed.to_string(), "no namespace");
    }

    #[tokio::test]
    async fn a_run_that_is_told_to_end_while_its_target_boots_tidies_it_away() {
        let (stop, mut tidied) = (CancellationToken::new(), false);
        stop.cancel();
        let boot = std::future::pending::<Result<(), BootError>>();
        let tidy = async {
            tidied = true;
            Ok(vec!["container torpor-kind-1".to_owned()])
        };
        let interrupted = unless_stopped(boot, &stop, tidy).await.expect_err("nothing was booted");
        assert!(
            tidied && interrupted.to_string().contains("interrupted"),
            "{interrupted}"
        );
        let booted = unless_stopped(async { Ok(7) }, &CancellationToken::new(), async { Err(stuck()) }).await;
        assert_eq!(booted.ok(), Some(7), "and what is up is left alone");
    }
}
