//! How a dialect of the Sandbox API spells what scenarios speak of.
//!
//! Scenarios say `pause` and `phase: [Paused]`; which patch and which word that is, a
//! profile says. Other dialects are other files.

use std::collections::BTreeMap;

use kube::api::{ApiResource, GroupVersionKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{YamlError, from_yaml};
use crate::scenario::PhaseName;

const KRUISE: &str = include_str!("../profiles/kruise.yaml");

/// Names and paths of one dialect.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What people call it.
    pub name: String,
    /// The custom resource.
    pub sandbox: SandboxProfile,
    /// Where its status says what.
    pub status: StatusProfile,
    /// Its Pods.
    pub pod: PodProfile,
    /// The series that show what a Pod uses.
    pub metrics: MetricsProfile,
    /// What sandboxes are made from.
    pub e2b: E2bProfile,
}

/// The custom resource of a sandbox.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SandboxProfile {
    /// API group.
    pub group: String,
    /// API version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, as in paths.
    pub plural: String,
    /// The smallest manifest; `${name}` and `${image}` are filled in.
    pub manifest: Value,
    /// JSON pointer to the containers of the Pod template.
    pub containers: String,
    /// Field of `spec` with the time at which it pauses by itself.
    pub pause_time: String,
    /// Field of `spec` with the time at which it is deleted.
    pub shutdown_time: String,
    /// Merge patch that asks for a pause.
    pub pause: Value,
    /// Merge patch that asks for a resume.
    pub resume: Value,
}

/// Where the status of a sandbox says what.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct StatusProfile {
    /// JSON pointer to the phase.
    pub phase: String,
    /// JSON pointer to the generation that the status speaks of.
    pub observed_generation: String,
    /// JSON pointer to the conditions.
    pub conditions: String,
    /// Condition that is true while it serves.
    pub ready_condition: String,
    /// Condition that is true once it is paused.
    pub paused_condition: String,
    /// Condition that is true once it serves again.
    pub resumed_condition: String,
    /// The dialect's word for each phase.
    pub phases: BTreeMap<PhaseName, String>,
}

/// The Pods of sandboxes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodProfile {
    /// Name of a sandbox's Pod; `${name}` is the name of the sandbox.
    pub name: String,
}

/// Prometheus series of what a Pod uses.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MetricsProfile {
    /// Label with the namespace.
    pub namespace_label: String,
    /// Label with the Pod name.
    pub pod_label: String,
    /// Counter of CPU seconds.
    pub cpu: String,
    /// Gauge of memory bytes.
    pub memory: String,
}

/// What sandboxes are made from.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct E2bProfile {
    /// E2B template id or alias.
    pub template: String,
    /// Container image of a sandbox made through Kubernetes.
    pub image: String,
}

impl Profile {
    /// The built-in profile of that name.
    ///
    /// # Errors
    /// When there is none, with those there are.
    pub fn built_in(name: &str) -> Result<Self, YamlError> {
        match name {
            "kruise" => Self::parse("kruise.yaml", KRUISE),
            _ => Err(YamlError {
                file: name.to_owned(),
                line: 0,
                column: 0,
                message: "no such profile, expected `kruise` or the path of a profile file".to_owned(),
            }),
        }
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// Where the text is not a profile, with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, YamlError> {
        from_yaml(file, text)
    }

    pub(crate) fn api_resource(&self) -> ApiResource {
        let sandbox = &self.sandbox;
        ApiResource::from_gvk_with_plural(
            &GroupVersionKind::gvk(&sandbox.group, &sandbox.version, &sandbox.kind),
            &sandbox.plural,
        )
    }

    /// The dialect's word for a phase.
    pub(crate) fn phase(&self, name: PhaseName) -> &str {
        self.status
            .phases
            .get(&name)
            .map_or_else(|| name.as_str(), String::as_str)
    }

    pub(crate) fn pod_name(&self, sandbox: &str) -> String {
        self.pod.name.replace("${name}", sandbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profile_reads_and_an_unknown_one_is_refused_by_name() {
        let profile = Profile::built_in("kruise").unwrap();
        assert_eq!(profile.phase(PhaseName::Paused), "Paused");
        assert!(
            Profile::built_in("nope")
                .unwrap_err()
                .to_string()
                .contains("expected `kruise`")
        );
    }
}
