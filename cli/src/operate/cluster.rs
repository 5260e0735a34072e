//! The way to the cluster: a kubeconfig, or the service account of the Pod.

use anyhow::{Context as _, bail};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::args::ClusterArgs;

/// How to reach the cluster, as the operator or the Pod says. Nothing is sent yet.
///
/// # Errors
/// There is no such configuration, or it cannot be read.
pub async fn configuration(args: &ClusterArgs) -> anyhow::Result<Config> {
    let Some(path) = &args.kubeconfig else {
        return Config::infer().await.context(
            "find the cluster: there is no kubeconfig and no service account; name a kubeconfig with --kubeconfig FILE",
        );
    };
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("read the kubeconfig {}", path.display()))?;
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .with_context(|| format!("use the kubeconfig {}", path.display()))
}

/// Connects, and makes sure that somebody answers.
///
/// # Errors
/// The client cannot be set up, or the API server does not answer.
pub async fn connect(config: Config) -> anyhow::Result<Client> {
    let url = config.cluster_url.clone();
    let client = Client::try_from(config).with_context(|| format!("set up a client for {url}"))?;
    let version = client.apiserver_version().await;
    let version = version.with_context(|| format!("reach the Kubernetes API at {url}"))?;
    tracing::info!(%url, version = version.git_version, "reached the Kubernetes API");
    Ok(client)
}

/// Makes sure that the cluster knows `Sandbox` objects and that we may read them.
///
/// # Errors
/// It does not, or we may not.
pub async fn expect_sandboxes(client: &Client, namespaces: &[String]) -> anyhow::Result<()> {
    let api: kube::Api<torpor_api::Sandbox> = match namespaces.first() {
        Some(namespace) => kube::Api::namespaced(client.clone(), namespace),
        None => kube::Api::all(client.clone()),
    };
    match api.list_metadata(&kube::api::ListParams::default().limit(1)).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            bail!(
                "list sandboxes: the cluster has no sandboxes.agents.kruise.io; install it with `kubectl apply -k deploy/crds`"
            )
        }
        Err(error) => Err(error).context("list sandboxes"),
    }
}
