//! `Sandbox`, `agents.kruise.io/v1alpha1`: what a user asks for.
//!
//! Field names and meanings follow `OpenKruise` agents; `lostPodPolicy`, `shutdownPolicy`, `service` and
//! `persistentVolumeClaimRetentionPolicy` are ours. What is not supported is refused by the definition,
//! with a message that says what to do instead.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::time::nearest;
use crate::volume::is_default;
use crate::{ClaimRetentionPolicy, SandboxStatus, VolumeClaimTemplate, schema};

/// A Pod template as given: read and checked when a Pod is made from it, so that one
/// malformed template cannot break the reading of a whole list of sandboxes.
pub type PodTemplate = Value;

/// What a user asks of a sandbox.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "agents.kruise.io",
    version = "v1alpha1",
    kind = "Sandbox",
    plural = "sandboxes",
    singular = "sandbox",
    shortname = "sbx",
    namespaced,
    status = "SandboxStatus",
    derive = "Default",
    derive = "PartialEq",
    validation = Rule::new("size(self.metadata.name) <= 63")
        .message("the name of a sandbox is a label value too and has at most 63 characters"),
    doc = "Sandbox is an isolated workload that can be paused, its compute released, and resumed with its context.",
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.phase"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Checkpoint","type":"integer","jsonPath":".status.checkpoint.generation"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Pause_Time","type":"string","jsonPath":".spec.pauseTime","priority":1}"#,
    printcolumn = r#"{"name":"Shutdown_Time","type":"string","jsonPath":".spec.shutdownTime","priority":1}"#,
    printcolumn = r#"{"name":"Message","type":"string","jsonPath":".status.message","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.template) != has(self.templateRef)")
        .message("exactly one of template and templateRef must be set"),
    validation = Rule::new("has(self.volumeClaimTemplates) == has(oldSelf.volumeClaimTemplates)")
        .message("volumeClaimTemplates is immutable; delete the sandbox and create it with the volumes it needs"),
    validation = Rule::new(
        "has(self.persistentVolumeClaimRetentionPolicy) == has(oldSelf.persistentVolumeClaimRetentionPolicy)")
        .message("persistentVolumeClaimRetentionPolicy is immutable"),
)]
pub struct SandboxSpec {
    /// Whether the sandbox holds its context and no compute.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// When to set `paused` by itself. A time that has passed does not pause a sandbox that was resumed after it.
    #[serde(default, deserialize_with = "nearest", skip_serializing_if = "Option::is_none")]
    pub pause_time: Option<Time>,
    /// When to end the sandbox by itself, also while it is paused, and without waking it.
    #[serde(default, deserialize_with = "nearest", skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Time>,
    /// What ending at `shutdownTime` means. Absent: `Delete`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("enum" = ["Delete", "Retain"]), with = "String")]
    pub shutdown_policy: ShutdownPolicy,
    /// How to pause. `Hibernate`, which is also what absence means, keeps memory and files; another is not supported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_strategy: Option<PauseStrategy>,
    /// What a pause has to keep: `memory` and `filesystem`. Both are kept whatever is listed; `ip` is not supported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 8))]
    #[x_kube(validation = Rule::new("self.all(content, content == 'memory' || content == 'filesystem')")
        .message("only memory and filesystem can be kept; a resumed sandbox has a new Pod IP, so leave ip out and reach it by its Service"))]
    pub persistent_contents: Vec<String>,
    /// What to do when the Pod of a running sandbox vanishes, and its context with it. Absent: `Fail`.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("enum" = ["Fail", "Recreate"]), with = "String")]
    pub lost_pod_policy: LostPodPolicy,
    /// The Pod to run. Exactly one of `template` and `templateRef` is set. An edit counts from the next start or resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_template")]
    pub template: Option<PodTemplate>,
    /// The `SandboxTemplate` to run, of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
    /// Volumes to create before the first start. They are kept over every pause. Immutable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 16))]
    #[x_kube(
        validation = Rule::new("self == oldSelf")
            .message("volumeClaimTemplates is immutable; delete the sandbox and create it with the volumes it needs"),
        validation = Rule::new("self.all(one, self.exists_one(other, other.metadata.name == one.metadata.name))")
            .message("each of volumeClaimTemplates needs a name of its own"),
    )]
    pub volume_claim_templates: Vec<VolumeClaimTemplate>,
    /// What becomes of the volumes when the sandbox is deleted. Absent: they are deleted. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("self == oldSelf").message("persistentVolumeClaimRetentionPolicy is immutable"))]
    pub persistent_volume_claim_retention_policy: Option<ClaimRetentionPolicy>,
    /// Whether the sandbox has a headless Service of its name, which outlives pauses. False deletes it; absent leaves
    /// one that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<bool>,
    /// Runtimes that the Pod needs: `agent-runtime`, which every sandbox has; another is not supported.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 8))]
    #[x_kube(validation = Rule::new("self.all(runtime, runtime.name == 'agent-runtime')")
        .message("only agent-runtime is supported; add other sidecars to the containers of the template"))]
    pub runtimes: Vec<Runtime>,
}

/// What `shutdownTime` does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShutdownPolicy {
    /// Delete the sandbox.
    #[default]
    Delete,
    /// Keep the sandbox, paused with its context, until the time is put off or removed.
    Retain,
}

/// What to do when the Pod of a running sandbox vanishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LostPodPolicy {
    /// Report `Failed` and leave the rest to a person.
    #[default]
    Fail,
    /// Start afresh, and say so in the condition `ContextLost`.
    Recreate,
}

/// How to pause.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PauseStrategy {
    /// `Hibernate`.
    #[serde(rename = "type")]
    #[x_kube(validation = Rule::new("self == 'Hibernate'")
        .message("only Hibernate is supported, as Stop would lose the memory of the sandbox; to let go of it, delete the sandbox"))]
    pub kind: String,
}

/// A runtime of the Pod.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Runtime {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
}

/// Names a `SandboxTemplate` of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// `metadata.name` of the template.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// `SandboxTemplate`, which is also what absence means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["SandboxTemplate"]), with = "String")]
    pub kind: Option<String>,
    /// `agents.kruise.io/v1alpha1`, which is also what absence means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["agents.kruise.io/v1alpha1"]), with = "String")]
    pub api_version: Option<String>,
}
