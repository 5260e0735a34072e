//! What runs the sandbox container of a Pod: this process, or a container runtime.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use mock_apiserver::LogOptions;
use tokio::sync::watch;
use torpor_agent::AgentListeners;
use torpor_runtime::Engine;

use crate::SandboxContainer;
use crate::handle::LogStream;
use crate::pod_status::ContainerStage;

/// What runs sandbox containers.
#[derive(Clone)]
pub enum PodRuntime {
    /// An agent in this process for each Pod, on a loopback address.
    InProcess(Arc<dyn Engine>),
    /// A container or process for each Pod, with the agent as its first process.
    Containers(Arc<dyn ContainerRuntime>),
}

/// A Pod that is a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxPod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its container.
    pub container: SandboxContainer,
}

impl SandboxPod {
    /// `namespace/name`.
    #[must_use]
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// What this machine has for a Pod; a runtime with networks and file systems of its own leaves it.
#[derive(Debug)]
pub struct PodPlace {
    /// A loopback address for the Pod.
    pub ip: IpAddr,
    /// The ports of an agent on it, bound.
    pub listeners: AgentListeners,
    /// Where its files may be while it runs; not made yet.
    pub work_dir: PathBuf,
}

/// Why a container was not started.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;

/// Why a container was not ended.
pub type StopError = Box<dyn std::error::Error + Send + Sync>;

/// What a container uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// CPU time since its start.
    pub cpu: Duration,
    /// Bytes of memory in use.
    pub memory_bytes: u64,
}

/// Starts containers.
pub trait ContainerRuntime: Send + Sync {
    /// Starts the container of a Pod; answers once it runs, if not yet serves.
    ///
    /// # Errors
    /// Nothing of it is left then.
    fn start(&self, pod: SandboxPod, place: PodPlace) -> BoxFuture<'_, Result<Box<dyn RunningContainer>, StartError>>;
}

/// A container that was started.
pub trait RunningContainer: Send + Sync {
    /// `runtime://id`, as `containerID` of a Pod's status has it.
    fn id(&self) -> String;
    /// Where its ports are.
    fn pod_ip(&self) -> IpAddr;
    /// How far it is, now and on every change.
    fn stage(&self) -> watch::Receiver<ContainerStage>;
    /// What it uses; `None` when it has ended.
    fn usage(&self) -> BoxFuture<'_, Option<ContainerUsage>>;
    /// What it printed.
    fn logs(&self, options: &LogOptions) -> LogStream;
    /// Ends it; when this is done nothing of it is left.
    ///
    /// # Errors
    /// Something of it may be left. It may be asked again.
    fn stop(&mut self) -> BoxFuture<'_, Result<(), StopError>>;
}
