//! `Sandbox`, `agents.x-k8s.io/v1beta1`: the second way to ask for a sandbox.
//!
//! Fields, defaults and conditions follow kubernetes-sigs/agent-sandbox; `status.torpor` is ours.
//! What that API does not promise, memory over a suspension, is kept here as well.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::time::{nearest, reported_conditions};
use crate::{PodTemplate, ShutdownPolicy, VolumeClaimTemplate, schema};

/// What a user asks of a sandbox.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "agents.x-k8s.io",
    version = "v1beta1",
    kind = "Sandbox",
    plural = "sandboxes",
    singular = "sandbox",
    namespaced,
    status = "SandboxStatus",
    derive = "Default",
    derive = "PartialEq",
    doc = "Sandbox is an isolated workload that can be suspended, its compute released, and resumed with its context.",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a sandbox is a label value too and has at most 63 characters"),
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Reason","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Phase","type":"string","jsonPath":".status.torpor.phase"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates)")
    .message("volumeClaimTemplates is immutable"))]
pub struct SandboxSpec {
    /// The Pod to run. An edit counts from the next start or resume.
    #[schemars(schema_with = "schema::pod_template")]
    pub pod_template: PodTemplate,
    /// Whether the sandbox serves, or holds its context and no compute.
    #[serde(default)]
    #[schemars(extend("enum" = ["Running", "Suspended"]), with = "String")]
    pub operating_mode: OperatingMode,
    /// When to end the sandbox by itself, also while it is suspended.
    #[serde(default, deserialize_with = "nearest", skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Time>,
    /// What ending at `shutdownTime` means. Retained, a sandbox keeps its context, and goes on when the time is put off.
    #[serde(default = "retain")]
    #[schemars(extend("enum" = ["Delete", "Retain"]), with = "String")]
    pub shutdown_policy: ShutdownPolicy,
    /// Volumes to create before the first start. They are kept over every suspension and deleted with the sandbox. Immutable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 16))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("volumeClaimTemplates is immutable"),
        validation = Rule::new("self.all(one, self.exists_one(other, other.metadata.name == one.metadata.name))")
            .message("each of volumeClaimTemplates needs a name of its own"),
    )]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
    /// Whether the sandbox has a headless Service of its name. False deletes it; absent leaves one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
}

/// Whether a sandbox serves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OperatingMode {
    /// It serves.
    #[default]
    Running,
    /// It holds its context and no compute.
    Suspended,
}

/// What is reported of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxStatus {
    /// Conditions: `Ready`, `Suspended`, and while they hold `Finished`, `PodScheduled` and `ContextLost`.
    #[serde(
        default,
        deserialize_with = "reported_conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
    /// Selects the Pod of the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// IPs of the Pod that runs now.
    #[serde(default, rename = "podIPs", skip_serializing_if = "Vec::is_empty")]
    pub pod_ips: Vec<String>,
    /// Node of the Pod that runs now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Name of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name of the Service within the cluster.
    #[serde(default, rename = "serviceFQDN", skip_serializing_if = "Option::is_none")]
    pub service_fqdn: Option<String>,
    /// Where the sandbox is on its way and which checkpoint holds its context. The controller goes on from here, so a
    /// server that does not keep this field cannot keep the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torpor: Option<crate::SandboxStatus>,
}

const fn retain() -> ShutdownPolicy {
    ShutdownPolicy::Retain
}
