//! Steps that write and read inside a sandbox by the adapter of its target.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_sandbox;
use crate::adapter::Facet;

/// See [`super::Step::ProbeWrite`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProbeWrite {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Where.
    pub facet: Facet,
    /// Under which name: lower-case letters, digits and `_`.
    pub key: String,
    /// What.
    pub value: String,
}

/// See [`super::Step::ProbeRead`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ProbeRead {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Where.
    pub facet: Facet,
    /// Under which name.
    pub key: String,
    /// What must be there; absent: nothing may be.
    #[serde(default)]
    pub value: Option<String>,
}
