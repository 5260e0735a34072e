//! The way to the cluster: a kubeconfig, or the service account of the Pod.

use std::fmt::Debug;

use anyhow::{Context as _, bail};
use http::Uri;
use kube::api::ListParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;

use super::args::ClusterArgs;
use crate::contact::{ANSWER, api_at, within};
use crate::proxy;

/// How to reach the cluster, as the operator or the Pod says. Nothing is sent yet.
///
/// # Errors
/// There is no such configuration, or it cannot be read.
pub async fn configuration(args: &ClusterArgs) -> anyhow::Result<Config> {
    let Some(path) = &args.kubeconfig else {
        let found = Config::infer().await.context(
            "find the cluster: there is no kubeconfig and no service account; name a kubeconfig with --kubeconfig FILE",
        )?;
        return Ok(proxy::as_the_environment_says(found));
    };
    let kubeconfig = Kubeconfig::read_from(path).with_context(|| format!("read the kubeconfig {}", path.display()))?;
    let options = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .with_context(|| format!("use the kubeconfig {}", path.display()))?;
    Ok(proxy::as_the_environment_says(config))
}

/// Connects, and makes sure that somebody answers.
///
/// # Errors
/// The client cannot be set up, or the API server does not answer.
pub async fn connect(config: Config) -> anyhow::Result<Reached> {
    let url = config.cluster_url.clone();
    let client = Client::try_from(config).with_context(|| format!("set up a client for {url}"))?;
    Reached::greet(client, url).await
}

/// An API server that has answered.
pub struct Reached {
    /// Sends requests to it.
    pub client: Client,
    /// Where it is.
    url: Uri,
}

impl Reached {
    async fn greet(client: Client, url: Uri) -> anyhow::Result<Self> {
        let version = within(api_at(&url), ANSWER, client.apiserver_version()).await?;
        let version = version.with_context(|| format!("reach {}", api_at(&url)))?;
        tracing::info!(%url, version = version.git_version, "reached the Kubernetes API");
        Ok(Self { client, url })
    }

    /// Makes sure that the cluster knows the kind `K` and that we may read its objects.
    ///
    /// # Errors
    /// It does not, or we may not, or it does not answer.
    pub async fn expect<K>(&self, namespaces: &[String]) -> anyhow::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
    {
        let api: Api<K> = match namespaces.first() {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        let attempt = || format!("list the {} of {}", K::plural(&()), K::api_version(&()));
        let one = ListParams::default().limit(1);
        let listed = within(api_at(&self.url), ANSWER, api.list_metadata(&one)).await;
        match listed.with_context(attempt)? {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => bail!(
                "{}: the cluster does not serve them; install their definition with `kubectl apply -k deploy/crds`",
                attempt()
            ),
            Err(error) => Err(error).with_context(attempt),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contact::silent;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up_and_named() {
        let (client, url) = silent();
        let refused = Reached::greet(client.clone(), url.clone()).await.err();
        let refused = format!("{:#}", refused.expect("given up"));
        assert!(
            refused.contains("https://192.0.2.7:6443/") && refused.contains("30 s"),
            "{refused}"
        );
        let reached = Reached { client, url };
        let refused = reached.expect::<torpor_api::Sandbox>(&[]).await.expect_err("given up");
        let refused = format!("{refused:#}");
        assert!(
            refused.starts_with(
                "list the sandboxes of agents.kruise.io/v1alpha1: reach the Kubernetes API at https://192.0.2.7:6443/"
            ),
            "{refused}"
        );
    }
}
