//! A scheduler and a kubelet in miniature, for the mock control plane.
//!
//! It watches Pods through the API like the real ones, places them by their requests, runs the
//! sandbox container of each through [`torpor_agent`], inside this process or where a [`ContainerRuntime`]
//! runs it, and reports Pod status, logs and resource use. Volume claims are bound as they come.
//! It leaves out images, mounts, init containers, probes and restarts: a Pod here is one agent.
//!
//! ```text
//!  Pod created ─▶ bind ─▶ listeners on a loopback address ─▶ agent ─▶ Running ─▶ Ready
//!  deletionTimestamp ─▶ agent stopped, its directory removed ─▶ DELETE with grace 0
//! ```

mod address;
mod again;
mod claims;
mod container;
mod expansion;
mod handle;
mod kubelet;
mod logs;
mod metrics;
mod node;
mod pod_status;
mod registration;
mod runtime;
mod schedule;
mod words;

pub use address::PodAddresses;
pub use container::{ContainerRefused, SandboxContainer};
pub use handle::{LogStream, NodeHandle};
pub use logs::stream as log_stream;
pub use metrics::{PodUsage, render};
pub use node::{MockNode, NodeConfig, NodeError};
pub use pod_status::ContainerStage;
pub use runtime::{
    ContainerRuntime, ContainerUsage, PodPlace, PodRuntime, RunningContainer, SandboxPod, StartError, StopError,
};
pub use schedule::{Capacity, Limits, Placement, Requests};
pub use words::said_in;
