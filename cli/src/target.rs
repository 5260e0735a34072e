//! Turns options or an embedded control plane into addresses for the suite. Nothing else crosses.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use torpor_harness::{Capability, E2bEndpoint, KubernetesTarget, Profile, StorageProbe, Target};

use crate::args::{ConformanceArgs, TargetKind};
use crate::plane::{ControlPlane, NAMESPACE};

/// How long a single change of state may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the embedded control plane declares beyond what its addresses show.
const EMBEDDED: [Capability; 11] = [
    Capability::Events,
    Capability::Memory,
    Capability::Files,
    Capability::FileAttributes,
    Capability::Program,
    Capability::AutoPause,
    Capability::PauseTime,
    Capability::ShutdownTime,
    Capability::AutoResume,
    Capability::ControllerMetrics,
    Capability::Nodes,
];

/// The embedded control plane, as a stranger is told of it.
///
/// # Errors
/// Its connection files cannot be read.
pub async fn embedded(plane: &ControlPlane) -> anyhow::Result<Target> {
    let endpoints = plane.endpoints();
    Ok(Target {
        name: "embedded".to_owned(),
        kubernetes: Some(kubernetes(&plane.data_dir().join("kubeconfig"), NAMESPACE).await?),
        e2b: Some(E2bEndpoint {
            url: endpoints.e2b.clone(),
            sandbox_url: Some(endpoints.e2b.clone()),
            api_key: "e2b_0000000000000000000000000000000000000000".to_owned(),
        }),
        pod_metrics: vec![endpoints.metrics.clone()],
        controller_metrics: vec![endpoints.metrics.clone()],
        storage: Some(StorageProbe::Directory(plane.checkpoints())),
        capabilities: BTreeSet::from(EMBEDDED),
        profile: Profile::built_in("kruise")?,
        patience: PATIENCE,
    })
}

/// A target elsewhere, by the options.
///
/// # Errors
/// An address is missing or a file cannot be read.
pub async fn elsewhere(args: &ConformanceArgs) -> anyhow::Result<Target> {
    let kubernetes = match (args.target, &args.kubeconfig) {
        (TargetKind::E2b, _) => None,
        (TargetKind::Kubeconfig | TargetKind::Embedded, Some(path)) => Some(kubernetes(path, &args.namespace).await?),
        (TargetKind::Kubeconfig | TargetKind::Embedded, None) => {
            bail!("--target kubeconfig needs --kubeconfig FILE or KUBECONFIG")
        }
    };
    let e2b = match (&args.e2b_url, args.target) {
        (Some(url), _) => Some(E2bEndpoint {
            url: url.clone(),
            sandbox_url: args.e2b_sandbox_url.clone(),
            api_key: args
                .e2b_api_key
                .clone()
                .context("--e2b-url needs --e2b-api-key KEY or E2B_API_KEY")?,
        }),
        (None, TargetKind::E2b) => bail!("--target e2b needs --e2b-url URL"),
        (None, TargetKind::Kubeconfig | TargetKind::Embedded) => None,
    };
    Ok(Target {
        name: match args.target {
            TargetKind::Embedded => "embedded",
            TargetKind::Kubeconfig => "kubeconfig",
            TargetKind::E2b => "e2b",
        }
        .to_owned(),
        kubernetes,
        e2b,
        pod_metrics: args.metrics_url.iter().cloned().collect(),
        controller_metrics: args.controller_metrics_url.iter().cloned().collect(),
        storage: args.storage.clone().map(StorageProbe::Directory),
        capabilities: args.capability.iter().copied().collect(),
        profile: Profile::built_in("kruise")?,
        patience: PATIENCE,
    })
}

async fn kubernetes(kubeconfig: &Path, namespace: &str) -> anyhow::Result<KubernetesTarget> {
    let read = Kubeconfig::read_from(kubeconfig);
    let kubeconfig_file = read.with_context(|| format!("read the kubeconfig {}", kubeconfig.display()))?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig_file, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("use the kubeconfig {}", kubeconfig.display()))?;
    let client = kube::Client::try_from(config).context("make a Kubernetes client")?;
    Ok(KubernetesTarget {
        client,
        namespace: namespace.to_owned(),
    })
}
