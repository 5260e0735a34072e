//! What a target can do, as far as a scenario may depend on it.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{YamlError, from_yaml};

/// A feature that a scenario may need and a target declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Capability {
    /// Sandboxes are custom resources of a reachable Kubernetes API.
    Kubernetes,
    /// The E2B control plane and data plane are reachable.
    E2b,
    /// CPU and memory series of Pods are reachable as Prometheus text.
    Metrics,
    /// Metrics of the controller itself are reachable as Prometheus text.
    ControllerMetrics,
    /// The bytes that a sandbox takes in the checkpoint store can be counted.
    Storage,
    /// Steps are reported as Kubernetes Events.
    Events,
    /// Interpreter state is kept.
    Memory,
    /// Files are kept.
    Files,
    /// Mode, modification time and symbolic links of files are kept and shown.
    FileAttributes,
    /// The container's own command runs as a program, is kept, and writes the Pod log.
    Program,
    /// E2B shell commands and terminals run inside.
    Commands,
    /// Changes of files are reported to E2B clients that watch a folder.
    FileWatches,
    /// The timeout may pause instead of delete.
    AutoPause,
    /// The custom resource has a pause time.
    PauseTime,
    /// The custom resource has a shutdown time.
    ShutdownTime,
    /// Traffic wakes a paused sandbox.
    AutoResume,
    /// Nodes and the Pods of all namespaces can be read, and nobody else starts Pods meanwhile.
    Nodes,
    /// What is in the checkpoint store can be damaged.
    StorageWrite,
    /// Values can be written and read inside sandboxes by the adapter of the target.
    Probe,
    /// A case can have an instance of the implementation for itself, and put faults into it.
    Faults,
    /// A sandbox may name a template that is an object of its own.
    TemplateRef,
    /// A sandbox whose Pod is deleted under it fails.
    LostPodFails,
    /// A sandbox whose Pod is deleted under it gets a new one, and says that context was lost.
    LostPodRecreated,
    /// Code that computes and never waits cannot be stopped, so that a pause of it fails.
    UnstoppableCode,
    /// A process that another one traces, as debuggers do, cannot be written down, so that a pause of its sandbox fails.
    TracedProcesses,
    /// The status names the Pod that runs: its address, node, UID or name.
    PodIdentity,
    /// Namespaces can be made and deleted, and sandboxes of any are served.
    Namespaces,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::Kubernetes,
        Self::E2b,
        Self::Metrics,
        Self::ControllerMetrics,
        Self::Storage,
        Self::Events,
        Self::Memory,
        Self::Files,
        Self::FileAttributes,
        Self::Program,
        Self::Commands,
        Self::FileWatches,
        Self::AutoPause,
        Self::PauseTime,
        Self::ShutdownTime,
        Self::AutoResume,
        Self::Nodes,
        Self::StorageWrite,
        Self::Probe,
        Self::Faults,
        Self::TemplateRef,
        Self::LostPodFails,
        Self::LostPodRecreated,
        Self::UnstoppableCode,
        Self::TracedProcesses,
        Self::PodIdentity,
        Self::Namespaces,
    ];

    /// Whether a run may find out by itself that a target has it: it is a feature, and neither
    /// an address that is missing nor a permission that only an owner can give.
    #[must_use]
    pub const fn may_be_tried(self) -> bool {
        match self {
            Self::Events
            | Self::Memory
            | Self::Files
            | Self::FileAttributes
            | Self::Program
            | Self::Commands
            | Self::FileWatches
            | Self::AutoPause
            | Self::PauseTime
            | Self::ShutdownTime
            | Self::AutoResume
            | Self::TemplateRef
            | Self::LostPodFails
            | Self::LostPodRecreated
            | Self::UnstoppableCode
            | Self::TracedProcesses
            | Self::PodIdentity => true,
            Self::Kubernetes
            | Self::E2b
            | Self::Metrics
            | Self::ControllerMetrics
            | Self::Storage
            | Self::StorageWrite
            | Self::Probe
            | Self::Faults
            | Self::Nodes
            | Self::Namespaces => false,
        }
    }

    /// As written in scenarios and options.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::E2b => "e2b",
            Self::Metrics => "metrics",
            Self::ControllerMetrics => "controller-metrics",
            Self::Storage => "storage",
            Self::Events => "events",
            Self::Memory => "memory",
            Self::Files => "files",
            Self::FileAttributes => "file-attributes",
            Self::Program => "program",
            Self::Commands => "commands",
            Self::FileWatches => "file-watches",
            Self::AutoPause => "auto-pause",
            Self::PauseTime => "pause-time",
            Self::ShutdownTime => "shutdown-time",
            Self::AutoResume => "auto-resume",
            Self::Nodes => "nodes",
            Self::StorageWrite => "storage-write",
            Self::Probe => "probe",
            Self::Faults => "faults",
            Self::TemplateRef => "template-ref",
            Self::LostPodFails => "lost-pod-fails",
            Self::LostPodRecreated => "lost-pod-recreated",
            Self::UnstoppableCode => "unstoppable-code",
            Self::TracedProcesses => "traced-processes",
            Self::PodIdentity => "pod-identity",
            Self::Namespaces => "namespaces",
        }
    }
}

/// Reads a file of capabilities: a list of names, or a mapping with such a list under `capabilities`.
///
/// # Errors
/// Where the text is neither, with line and column.
pub fn parse_capabilities(file: &str, text: &str) -> Result<BTreeSet<Capability>, YamlError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Named {
        capabilities: BTreeSet<Capability>,
    }
    if text.lines().any(|line| line.starts_with("capabilities:")) {
        return from_yaml::<Named>(file, text).map(|named| named.capabilities);
    }
    from_yaml(file, text)
}

/// A capability that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability `{0}`, expected one of {list}", list = Capability::ALL.map(Capability::as_str).join(", "))]
pub struct UnknownCapability(pub String);

impl std::str::FromStr for Capability {
    type Err = UnknownCapability;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|known| known.as_str() == text)
            .ok_or_else(|| UnknownCapability(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_capabilities_is_a_list_with_or_without_a_name() {
        let both = BTreeSet::from([Capability::Memory, Capability::Files]);
        assert_eq!(parse_capabilities("c.yaml", "- memory\n- files\n"), Ok(both.clone()));
        assert_eq!(
            parse_capabilities("c.yaml", "capabilities: [memory, files]\n"),
            Ok(both)
        );
        let error = parse_capabilities("c.yaml", "- memory\n- flying\n").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3), "{error}");
        assert!(error.to_string().contains("flying"), "{error}");
    }

    #[test]
    fn the_written_name_is_the_same_in_files_and_in_options() {
        for capability in Capability::ALL {
            assert_eq!(serde_json::to_value(capability).unwrap(), capability.as_str());
            assert_eq!(capability.as_str().parse(), Ok(capability));
        }
    }
}
