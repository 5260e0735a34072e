//! Clusters in containers, for those who have none: kind, and Torpor's own control plane.
//!
//! Decides how a node is set up; Docker starts it, through testcontainers. Knows nothing of the
//! suite: it gives a kubeconfig and addresses. What cannot be started on a machine is
//! [`BootError::Impossible`], with the reason, and never a cluster that looks like one.
//!
//! ```text
//! Docker answers? ─▶ image there? ─▶ node starts ─▶ healthy ─▶ kubeadm ─▶ network, storage ─▶ Ready
//!        └──────────────┴───────────────┴─▶ Impossible            └───────────┴────────────┴─▶ Failed
//! ```

mod kubeadm;
mod kubeconfig;
mod label;

#[cfg(feature = "containers")]
mod control_plane;
#[cfg(feature = "containers")]
mod docker;
#[cfg(feature = "containers")]
mod kind;

#[cfg(feature = "containers")]
pub use control_plane::{ControlPlane, ControlPlaneImage};
#[cfg(feature = "containers")]
pub use docker::reap;
#[cfg(feature = "containers")]
pub use kind::{Kind, KindCluster};
pub use kubeadm::{KubeadmConfig, POD_SUBNET, UnknownVersion, with_pod_subnet};
pub use kubeconfig::{KubeconfigError, with_server};
pub use label::{RUN, run_name};

/// Why there is no cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// This machine cannot run it. Says nothing about any implementation.
    #[error("{0}")]
    Impossible(String),
    /// It was started, and a step of its setting up failed.
    #[error("{step}: {why}")]
    Failed {
        /// What was attempted.
        step: String,
        /// What went wrong.
        why: String,
    },
}
