//! `Checkpoint`, `agents.kruise.io/v1alpha1`: what people see of a sealed checkpoint.
//!
//! The controller makes one for every checkpoint once it is on record in its Sandbox, and removes it
//! with the data. It is a copy to look at: what a resume starts from is decided by `status.checkpoint`
//! of the Sandbox alone. Names follow `OpenKruise` agents, where it is also a request; `generation` and
//! what follows it in the status are ours.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::schema;
use crate::time::{reported_conditions, reported_if_any};

/// Whose checkpoint it is.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[kube(
    group = "agents.kruise.io",
    version = "v1alpha1",
    kind = "Checkpoint",
    plural = "checkpoints",
    singular = "checkpoint",
    shortname = "cp",
    namespaced,
    status = "CheckpointStatus",
    derive = "PartialEq",
    doc = "Checkpoint is a sealed checkpoint of a sandbox, to look at.",
    validation = Rule::new("has(self.status)")
        .message("a checkpoint is made by pausing its sandbox; set spec.paused of the Sandbox"),
    printcolumn = r#"{"name":"Sandbox","type":"string","jsonPath":".spec.sandboxName"}"#,
    printcolumn = r#"{"name":"Generation","type":"integer","jsonPath":".status.generation"}"#,
    printcolumn = r#"{"name":"Sealed","type":"string","jsonPath":".status.conditions[?(@.type==\"Sealed\")].status"}"#,
    printcolumn = r#"{"name":"Bytes","type":"integer","jsonPath":".status.sizeBytes"}"#,
    printcolumn = r#"{"name":"Stored","type":"integer","jsonPath":".status.storedBytes"}"#,
    printcolumn = r#"{"name":"Engine","type":"string","jsonPath":".status.engine"}"#,
    printcolumn = r#"{"name":"Age","type":"date","jsonPath":".metadata.creationTimestamp"}"#,
    printcolumn = r#"{"name":"Digest","type":"string","jsonPath":".status.digest","priority":1}"#
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf").message("a checkpoint is immutable"))]
pub struct CheckpointSpec {
    /// `metadata.name` of the Sandbox.
    pub sandbox_name: String,
    /// `metadata.name` of the Pod that it was taken of.
    pub pod_name: String,
    /// Whether the Pod went on after it. Never: it is taken to pause.
    #[serde(default)]
    pub keep_running: bool,
    /// What it holds: `memory` and `filesystem`.
    #[serde(default)]
    pub persistent_contents: Vec<String>,
}

/// What is known of a checkpoint. Written with it, and never changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointStatus {
    /// `Succeeded`: one that failed is reported in the Sandbox, and is none.
    pub phase: String,
    /// `metadata.uid` of the Sandbox and the generation, with a slash between, as in the store.
    pub checkpoint_id: String,
    /// When it was put on record.
    #[serde(
        default,
        deserialize_with = "reported_if_any",
        skip_serializing_if = "Option::is_none"
    )]
    pub completion_time: Option<Time>,
    /// Its number within the sandbox, from 1.
    pub generation: u64,
    /// The engine that wrote it, and that alone can restore it.
    pub engine: String,
    /// `blake3:` and the hash of what was sealed, whatever form it is stored in, in lower-case hex.
    pub digest: String,
    /// Bytes of context, before compression and deduplication.
    pub size_bytes: u64,
    /// Bytes that this checkpoint added to the store when it was sealed.
    pub stored_bytes: u64,
    /// Conditions: `Sealed`, true of what is complete and durable.
    #[serde(
        default,
        deserialize_with = "reported_conditions",
        skip_serializing_if = "Vec::is_empty"
    )]
    #[schemars(schema_with = "schema::conditions")]
    pub conditions: Vec<Condition>,
}
