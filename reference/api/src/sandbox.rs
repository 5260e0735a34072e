//! `Sandbox`, `agents.kruise.io/v1alpha1`: what a user asks for and what is reported back.
//!
//! Field names and meanings follow `OpenKruise` agents; `status.phase: Pausing`,
//! `status.checkpoint`, `status.lastCheckpointGeneration` and `status.runningSince` are ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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
#[x_kube(validation = Rule::new("has(self.template) != has(self.templateRef)")
    .message("exactly one of template and templateRef must be set"))]
pub struct SandboxSpec {
    /// Whether the sandbox holds its context and no compute.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// When to set `paused` by itself. A time that has passed does not pause a sandbox that was resumed after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause_time: Option<Time>,
    /// When to delete the sandbox by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shutdown_time: Option<Time>,
    /// The Pod to run. Exactly one of `template` and `templateRef` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "any_object")]
    pub template: Option<PodTemplate>,
    /// The `SandboxTemplate` to run, of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template_ref: Option<TemplateRef>,
}

/// Names a `SandboxTemplate` of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// `metadata.name` of the template.
    #[schemars(length(min = 1))]
    pub name: String,
}

/// What is reported of a sandbox.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SandboxStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Where the sandbox is on its way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub phase: Option<Phase>,
    /// Why it is there, and what to do about it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Conditions: `Ready`, `SandboxPaused`, `SandboxResumed`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// The Pod that runs now. Absent while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_info: Option<PodInfo>,
    /// The checkpoint that a resume starts from. Absent while the workload serves: it has outlived it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<CheckpointRecord>,
    /// The largest checkpoint generation ever recorded; numbers are never used again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_checkpoint_generation: Option<u64>,
    /// When the current or last run began to serve, in microseconds, so that lists have an order. Absent before the first: then there is no context to lose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running_since: Option<MicroTime>,
}

/// Where a sandbox is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// On its first way up.
    Pending,
    /// It serves.
    Running,
    /// On the way from `Running` to `Paused`.
    Pausing,
    /// Context kept, compute released.
    Paused,
    /// On the way from `Paused` to `Running`.
    Resuming,
    /// No step is safe without a person; see the message.
    Failed,
    /// It is being deleted.
    Terminating,
}

/// The Pod of a running sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodInfo {
    /// `metadata.uid` of the Pod.
    #[serde(rename = "podUID")]
    pub pod_uid: String,
    /// `status.podIP` of the Pod.
    #[serde(default, rename = "podIP", skip_serializing_if = "Option::is_none")]
    pub pod_ip: Option<String>,
    /// `spec.nodeName` of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
}

/// A sealed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointRecord {
    /// Its number within the sandbox, from 1.
    pub generation: u64,
    /// `blake3:` and the hash of the sealed envelope in lower-case hex; restore checks it.
    pub digest: String,
    /// Bytes of context, before compression and deduplication.
    pub size_bytes: u64,
    /// Bytes that this checkpoint added to the store.
    pub stored_bytes: u64,
    /// The engine that wrote it, and that alone can restore it.
    pub engine: String,
}

fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<Condition>();
    json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}
