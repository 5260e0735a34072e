//! What is tested: addresses, and what its owner says it can do.
//!
//! Only addresses cross this line. Whether a Kubernetes API is a real one, and who answers
//! behind an E2B URL, the suite neither knows nor asks.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use url::Url;

use crate::adapter::{Adapter, AdapterCall};
use crate::capability::Capability;
use crate::laboratory::Laboratory;
use crate::limits::Limits;
use crate::probe::Authorities;
use crate::profile::Profile;
use crate::scenario::{Front, Scenario};

/// The implementation under test.
#[derive(Clone, Debug)]
pub struct Target {
    /// What reports call it.
    pub name: String,
    /// Where its custom resources are.
    pub kubernetes: Option<KubernetesTarget>,
    /// Where it speaks E2B.
    pub e2b: Option<E2bEndpoint>,
    /// Where the usage of Pods is read.
    pub pod_metrics: Option<UsageSource>,
    /// Pages of Prometheus text of the controller.
    pub controller_metrics: Vec<Url>,
    /// How the bytes of a sandbox in the checkpoint store are counted.
    pub storage: Option<StorageProbe>,
    /// Who starts instances of it for cases that put faults into it.
    pub laboratory: Option<Arc<dyn Laboratory>>,
    /// What else it declares. What follows from the addresses need not be named.
    pub capabilities: BTreeSet<Capability>,
    /// Who vouches for its certificates, besides the authorities that the system trusts.
    pub authorities: Authorities,
    /// What its owner does for the suite that nobody else can.
    pub adapter: Option<Arc<dyn Adapter>>,
    /// How its dialect spells things, and how long it may take.
    pub profile: Profile,
}

/// A Kubernetes API.
#[derive(Clone)]
pub struct KubernetesTarget {
    /// A client of it.
    pub client: kube::Client,
    /// The namespace in which sandboxes are made.
    pub namespace: String,
}

impl std::fmt::Debug for KubernetesTarget {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("KubernetesTarget")
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// An E2B endpoint.
#[derive(Clone)]
pub struct E2bEndpoint {
    /// Base URL of the API.
    pub url: Url,
    /// Base URL of sandbox traffic, which then is told apart by headers; when absent, by the
    /// host name `<port>-<id>.<domain>` with the domain that the API answers.
    pub sandbox_url: Option<Url>,
    /// The API key.
    pub api_key: String,
}

impl std::fmt::Debug for E2bEndpoint {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("E2bEndpoint")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Where the usage of Pods is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UsageSource {
    /// A page of Prometheus text.
    Page(Url),
    /// A Prometheus server, by its HTTP API (`/api/v1/query`).
    Prometheus(Url),
    /// The page `metrics/cadvisor` of every node's kubelet, through the API server.
    Nodes,
}

impl UsageSource {
    /// The address that is spoken to apart from the Kubernetes API.
    fn url(&self) -> Option<&Url> {
        match self {
            Self::Page(url) | Self::Prometheus(url) => Some(url),
            Self::Nodes => None,
        }
    }
}

/// How the bytes of a sandbox in the checkpoint store are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageProbe {
    /// The sum of the files whose path holds the sandbox's UID, below this folder.
    Directory(PathBuf),
    /// A command that prints a number; `{uid}`, `{namespace}` and `{name}` in its arguments are filled in.
    Command(Vec<String>),
}

impl Target {
    /// How long it may take.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.profile.limits
    }

    /// The same target, which has so long for every change of state.
    #[must_use]
    pub fn within(mut self, limit: Duration) -> Self {
        self.profile.limits = Limits::of_each(limit);
        self
    }

    /// What it can do: what its addresses show, and what it declares.
    #[must_use]
    pub fn offers(&self) -> BTreeSet<Capability> {
        let shown = self.shown_by_addresses();
        let addressed: BTreeSet<_> = shown.iter().map(|(capability, _)| *capability).collect();
        let declared = self
            .capabilities
            .iter()
            .copied()
            .filter(|capability| !addressed.contains(capability));
        shown
            .iter()
            .filter(|(_, given)| *given)
            .map(|(capability, _)| *capability)
            .chain(declared)
            .collect()
    }

    /// What it declares although the address is missing at which it could be seen.
    #[must_use]
    pub fn unreachable(&self) -> BTreeSet<Capability> {
        let shown = self.shown_by_addresses();
        let missing = shown
            .iter()
            .filter(|(_, given)| !given)
            .map(|(capability, _)| *capability);
        missing
            .filter(|capability| self.capabilities.contains(capability))
            .collect()
    }

    /// The capabilities that are a matter of addresses, each with whether it was given.
    fn shown_by_addresses(&self) -> [(Capability, bool); 8] {
        let kubernetes = self.kubernetes.is_some();
        let calls = self.adapter.as_ref().map(|adapter| adapter.calls()).unwrap_or_default();
        let probes = calls.is_superset(&[AdapterCall::ProbeWrite, AdapterCall::ProbeRead].into());
        let usage = self.pod_metrics.is_some() || calls.contains(&AdapterCall::Usage);
        let in_a_folder = matches!(self.storage, Some(StorageProbe::Directory(_)));
        [
            (Capability::Kubernetes, kubernetes),
            (Capability::E2b, self.e2b.is_some()),
            (Capability::Metrics, usage && kubernetes),
            (Capability::Probe, probes && kubernetes),
            (Capability::ControllerMetrics, !self.controller_metrics.is_empty()),
            (Capability::Storage, self.storage.is_some() && kubernetes),
            (Capability::StorageWrite, in_a_folder && kubernetes),
            (Capability::Faults, self.laboratory.is_some()),
        ]
    }

    /// What a scenario needs through a front and this target lacks.
    #[must_use]
    pub fn lacks(&self, scenario: &Scenario, front: Front) -> BTreeSet<Capability> {
        let offers = self.offers();
        scenario
            .needs
            .iter()
            .copied()
            .chain([front.capability()])
            .filter(|need| !offers.contains(need))
            .collect()
    }

    /// Whether every address of it that is spoken to by HTTP is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let endpoint = self
            .e2b
            .iter()
            .flat_map(|e2b| [Some(&e2b.url), e2b.sandbox_url.as_ref()]);
        let usage = self.pod_metrics.iter().filter_map(UsageSource::url);
        let pages = usage.chain(&self.controller_metrics).map(Some);
        endpoint.chain(pages).all(|url| {
            url.and_then(Url::host_str)
                .is_some_and(|host| host == "localhost" || host == "[::1]" || host.starts_with("127."))
        })
    }
}
