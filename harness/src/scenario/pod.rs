//! Steps that touch Pods and nodes themselves, as an operator of the cluster might.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Truth, default_sandbox};

/// See [`super::Step::FindNode`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FindNode {
    /// `${share}` is so much, in percent, of the CPU that no Pod of the node has requested, as a quantity.
    pub percent: u32,
}

/// See [`super::Step::PatchPod`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PatchPod {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The merge patch. Finalizers that it sets are removed at the end.
    pub merge: Value,
}

/// See [`super::Step::DeletePod`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DeletePod {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
}

/// See [`super::Condition::PodIdentity`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodIdentity {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// What it must say.
    pub is: NamedPod,
}

/// Which Pod a status names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NamedPod {
    /// None: every place that names one is empty.
    None,
    /// The one live Pod of the sandbox: no place names another, and at least one names it.
    Live,
}

/// See [`super::Condition::Terminating`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Terminating {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Whether its Pod exists and is being deleted.
    pub is: Truth,
}
