//! Turns options or an embedded control plane into addresses for the suite. Nothing else crosses.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http::HeaderValue;
use http::header::USER_AGENT;
use kube::config::{KubeConfigOptions, Kubeconfig};
use torpor_harness::{
    Adapter, AdapterCall, Authorities, Capability, E2bEndpoint, KubernetesTarget, PodInterpreter, Profile,
    StorageProbe, Target, UsageSource,
};

use crate::conformance::address::web_address;
use crate::conformance::args::{ConformanceArgs, TargetKind};
use crate::contact::{self, api_at, within};
use crate::engine::EngineKind;
use crate::plane::{ControlPlane, IMAGE, NAMESPACE};
use crate::proxy;

/// The API group whose sandboxes E2B shows, too.
const KRUISE: &str = "agents.kruise.io";

/// How long the interpreter in a Pod may take for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// What the embedded control plane declares of every sandbox, beyond what its addresses show.
const EMBEDDED: [Capability; 8] = [
    Capability::Events,
    Capability::PodIdentity,
    Capability::Memory,
    Capability::Program,
    Capability::ShutdownTime,
    Capability::ControllerMetrics,
    Capability::Nodes,
    Capability::Namespaces,
];

/// What it declares of those of `agents.kruise.io`, which E2B shows, too.
const EMBEDDED_KRUISE: [Capability; 8] = [
    Capability::Files,
    Capability::FileAttributes,
    Capability::FileWatches,
    Capability::AutoPause,
    Capability::PauseTime,
    Capability::AutoResume,
    Capability::TemplateRef,
    Capability::LostPodFails,
];

/// What it declares of those of `agents.x-k8s.io`.
const EMBEDDED_SIGS: [Capability; 2] = [Capability::Files, Capability::LostPodRecreated];

/// What it declares besides where sandboxes are interpreters.
const MONTY: [Capability; 1] = [Capability::UnstoppableCode];

/// What it declares besides where sandboxes run real processes.
const CRIU: [Capability; 2] = [Capability::Commands, Capability::TracedProcesses];

/// What Torpor's control plane declares, wherever it runs, of the sandboxes that a profile describes.
pub fn claims_of_torpor(profile: &Profile, engine: EngineKind) -> BTreeSet<Capability> {
    let mut claims = BTreeSet::from(EMBEDDED);
    match engine {
        EngineKind::Monty => claims.extend(MONTY),
        EngineKind::Criu => claims.extend(CRIU),
    }
    claims.extend(if is_behind_e2b(profile) {
        &EMBEDDED_KRUISE[..]
    } else {
        &EMBEDDED_SIGS
    });
    claims
}

/// Whether Torpor's E2B API shows the sandboxes that a profile describes.
pub fn is_behind_e2b(profile: &Profile) -> bool {
    let dialect = profile.kubernetes.as_ref();
    dialect.is_none_or(|dialect| dialect.group == KRUISE)
}

/// The embedded control plane by its own profile, as a stranger is told of it.
///
/// # Errors
/// Its connection files cannot be read.
pub async fn embedded(plane: &ControlPlane) -> anyhow::Result<Target> {
    embedded_by(plane, Profile::built_in("kruise")?).await
}

/// The embedded control plane by another profile: only the faces that the profile describes, and
/// E2B only where the same sandboxes are behind it.
///
/// # Errors
/// Its connection files cannot be read.
pub async fn embedded_by(plane: &ControlPlane, mut profile: Profile) -> anyhow::Result<Target> {
    let endpoints = plane.endpoints();
    let (behind_e2b, capabilities) = (is_behind_e2b(&profile), claims_of_torpor(&profile, plane.engine()));
    let kubernetes = match &mut profile.kubernetes {
        Some(dialect) => {
            IMAGE.clone_into(&mut dialect.image);
            let path = plane.data_dir().join("kubeconfig");
            let config = configuration(&path, read_kubeconfig(&path)?).await?;
            Some(kubernetes(config, NAMESPACE)?)
        }
        None => None,
    };
    let adapter = match &kubernetes {
        Some(kubernetes) if profile.hooks.is_empty() => {
            let interpreter = PodInterpreter::new(kubernetes.client.clone(), ANSWER);
            Some(Arc::new(interpreter.context("make an HTTP client")?) as Arc<dyn Adapter>)
        }
        Some(_) | None => profile.adapter(),
    };
    Ok(Target {
        name: "embedded".to_owned(),
        kubernetes,
        e2b: behind_e2b.then(|| E2bEndpoint {
            url: endpoints.e2b.clone(),
            sandbox_url: Some(endpoints.e2b.clone()),
            api_key: "e2b_0000000000000000000000000000000000000000".to_owned(),
        }),
        pod_metrics: Some(UsageSource::Nodes),
        controller_metrics: vec![endpoints.metrics.clone()],
        storage: Some(StorageProbe::Directory(plane.checkpoints())),
        laboratory: None,
        adapter,
        authorities: Authorities::default(),
        capabilities,
        profile,
    })
}

/// The profile that the options name.
///
/// # Errors
/// There is none of that name, or the file does not say what it should.
pub fn profile(args: &ConformanceArgs) -> anyhow::Result<Profile> {
    let usual = match args.target {
        TargetKind::E2b => "e2b",
        TargetKind::Embedded | TargetKind::Kubeconfig | TargetKind::Kind | TargetKind::Container => "kruise",
    };
    let name = args.profile.as_deref().unwrap_or(usual);
    let is_file = !Profile::built_in_names().contains(&name) && (name.contains(['/', '.']) || Path::new(name).exists());
    if !is_file {
        return Ok(Profile::built_in(name)?);
    }
    let text = std::fs::read_to_string(name).with_context(|| format!("read the profile {name}"))?;
    Ok(Profile::parse(name, &text)?)
}

/// What the target offers besides what its addresses show.
///
/// # Errors
/// The file of capabilities cannot be read or names one that does not exist.
pub fn capabilities(args: &ConformanceArgs, profile: &Profile) -> anyhow::Result<BTreeSet<Capability>> {
    let mut claimed = match &args.capabilities {
        None => profile.capabilities.clone(),
        Some(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.with_context(|| format!("read the capabilities {}", path.display()))?;
            torpor_harness::parse_capabilities(&path.display().to_string(), &text)?
        }
    };
    claimed.extend(args.capability.iter().copied());
    Ok(claimed)
}

/// Where a target elsewhere is.
#[derive(Debug)]
pub struct Addresses<'a> {
    kubeconfig: Option<(&'a Path, Kubeconfig)>,
    e2b: Option<E2bEndpoint>,
}

/// What the options say of where a target elsewhere is. Files are read, and no address is asked.
///
/// # Errors
/// An address is missing, is none, or is of no use with this profile, or a file cannot be read.
pub fn addresses<'a>(args: &'a ConformanceArgs, profile: &Profile) -> anyhow::Result<Addresses<'a>> {
    let kubeconfig = match (args.target, &args.kubeconfig) {
        (TargetKind::E2b, _) => None,
        (_, Some(path)) => {
            profile.dialect()?;
            Some((path.as_path(), read_kubeconfig(path)?))
        }
        (_, None) => bail!("--target kubeconfig needs --kubeconfig FILE or KUBECONFIG"),
    };
    if let Some(path) = args.storage.as_deref().filter(|path| !path.is_dir()) {
        bail!(
            "--storage {}: no such directory; where there is none, nothing is ever left behind. Name the one in which the target keeps checkpoints",
            path.display()
        );
    }
    let e2b = endpoint(args)?;
    if e2b.is_some() && kubeconfig.is_some() && args.namespace.is_none() {
        bail!("--e2b-url beside a kubeconfig needs --namespace NAME: that in which the E2B API makes its sandboxes");
    }
    if e2b.is_some() && profile.e2b.is_none() {
        bail!(
            "profile `{}` has no `e2b`: it does not say what sandboxes are made from",
            profile.name
        );
    }
    Ok(Addresses { kubeconfig, e2b })
}

/// A target elsewhere, by the options.
///
/// # Errors
/// An address is missing or a file cannot be read.
pub async fn elsewhere(args: &ConformanceArgs, profile: Profile) -> anyhow::Result<Target> {
    let Addresses { kubeconfig, e2b } = addresses(args, &profile)?;
    let kubernetes = match kubeconfig {
        Some((path, file)) => {
            let config = configuration(path, file).await?;
            let url = config.cluster_url.clone();
            let target = kubernetes(config, args.namespace.as_deref().unwrap_or_default())?;
            answers(&target.client, &url).await?;
            Some(target)
        }
        None => None,
    };
    let adapter = profile.adapter();
    let pod_metrics = usage_source(args, kubernetes.as_ref(), adapter.as_deref()).await;
    Ok(Target {
        name: args.target.name().to_owned(),
        kubernetes,
        e2b,
        pod_metrics,
        controller_metrics: args.controller_metrics_url.iter().cloned().collect(),
        storage: args.storage.clone().map(StorageProbe::Directory),
        laboratory: None,
        adapter,
        authorities: authorities(args)?,
        capabilities: capabilities(args, &profile)?,
        profile,
    })
}

/// Where the usage of Pods is read: where the options say, by a hook that tells it, or at the nodes if they let us.
async fn usage_source(
    args: &ConformanceArgs,
    kubernetes: Option<&KubernetesTarget>,
    adapter: Option<&dyn Adapter>,
) -> Option<UsageSource> {
    if let Some(page) = &args.metrics_url {
        return Some(UsageSource::Page(page.clone()));
    }
    if let Some(server) = &args.prometheus_url {
        return Some(UsageSource::Prometheus(server.clone()));
    }
    let hook = adapter.is_some_and(|adapter| adapter.calls().contains(&AdapterCall::Usage));
    let kubernetes = kubernetes.filter(|_| !hook)?;
    match torpor_harness::nodes_show_usage(&kubernetes.client).await {
        Ok(()) => Some(UsageSource::Nodes),
        Err(why) => {
            tracing::warn!(
                why,
                "the nodes do not show what Pods use; --metrics-url or --prometheus-url can name who does"
            );
            None
        }
    }
}

/// The E2B endpoint that the options name.
fn endpoint(args: &ConformanceArgs) -> anyhow::Result<Option<E2bEndpoint>> {
    let (url, sandbox_url) = match (&args.e2b_url, args.target) {
        (Some(url), _) => (url.clone(), args.e2b_sandbox_url.clone()),
        (None, TargetKind::E2b) => {
            let url = named_as_for_sdks("E2B_API_URL")?.context("--target e2b needs --e2b-url URL or E2B_API_URL")?;
            let sandbox_url = args.e2b_sandbox_url.clone();
            (
                url,
                sandbox_url.map_or_else(|| named_as_for_sdks("E2B_SANDBOX_URL"), |url| Ok(Some(url)))?,
            )
        }
        (None, _) => return Ok(None),
    };
    let key = args.e2b_api_key.clone();
    Ok(Some(E2bEndpoint {
        url,
        sandbox_url,
        api_key: key.context("--e2b-url needs --e2b-api-key KEY or E2B_API_KEY")?,
    }))
}

/// An address in a variable that SDKs read. Only where nothing but an E2B API is judged: beside a cluster, what happens to be
/// set for SDKs need not be the same sandboxes.
fn named_as_for_sdks(variable: &str) -> anyhow::Result<Option<url::Url>> {
    let Some(text) = std::env::var(variable).ok().filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let url = web_address(&text).map_err(|error| anyhow!("{variable}={text}: {error}"))?;
    Ok(Some(url))
}

fn authorities(args: &ConformanceArgs) -> anyhow::Result<Authorities> {
    let Some(path) = &args.ca_cert else {
        return Ok(Authorities::default());
    };
    let what = || format!("--ca-cert {}", path.display());
    let pem = std::fs::read(path).with_context(what)?;
    Authorities::from_pem(&pem).with_context(what)
}

fn read_kubeconfig(path: &Path) -> anyhow::Result<Kubeconfig> {
    // Its message holds that of its source.
    Kubeconfig::read_from(path).map_err(|error| anyhow!("read the kubeconfig {}: {error}", path.display()))
}

async fn configuration(kubeconfig: &Path, file: Kubeconfig) -> anyhow::Result<kube::Config> {
    let config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("use the kubeconfig {}", kubeconfig.display()))?;
    Ok(proxy::as_the_environment_says(config))
}

/// Waits until the API server answers anything at all. What it lacks is told later, and not one thing at a time.
async fn answers(client: &kube::Client, url: &http::Uri) -> anyhow::Result<()> {
    within(api_at(url), contact::ANSWER, client.apiserver_version())
        .await
        .map(drop)
}

fn kubernetes(mut config: kube::Config, namespace: &str) -> anyhow::Result<KubernetesTarget> {
    let agent = HeaderValue::from_static(concat!("torpor-conformance/", env!("CARGO_PKG_VERSION")));
    config.headers.push((USER_AGENT, agent));
    // Where nothing is encrypted nobody has to be trusted: a machine or image without authorities is no reason to stop.
    if config.cluster_url.scheme_str() == Some("http") && config.root_cert.is_none() {
        config.root_cert = Some(Vec::new());
    }
    let client = kube::Client::try_from(config).context("make a Kubernetes client")?;
    Ok(KubernetesTarget {
        client,
        namespace: namespace.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_server_that_never_answers_is_given_up_before_a_run_and_named() {
        let (client, url) = contact::silent();
        let refused = answers(&client, &url).await.expect_err("given up").to_string();
        assert!(
            refused.contains("https://192.0.2.7:6443/") && refused.contains("30 s"),
            "{refused}"
        );
    }
}
