//! Steps that change what a sandbox is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Front, default_sandbox};

const fn yes() -> bool {
    true
}

/// See [`super::Step::Create`].
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a key of its own in a scenario file"
)]
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Create {
    /// What the scenario calls it; `${that}` is then its name or E2B id.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// Kubernetes: its `metadata.name`; made up when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// Kubernetes: merged into `spec`.
    #[serde(default)]
    pub spec: Option<Value>,
    /// Kubernetes: whether it is created paused.
    #[serde(default)]
    pub paused: bool,
    /// Kubernetes: when it pauses by itself, e.g. `${now+2s}`.
    #[serde(default)]
    pub pause_time: Option<String>,
    /// Kubernetes: merged into the Pod template, containers in their order.
    #[serde(default)]
    pub pod: Option<Value>,
    /// Kubernetes: command of the container.
    #[serde(default)]
    pub command: Vec<String>,
    /// Kubernetes: finalizers of other parties.
    #[serde(default)]
    pub finalizers: Vec<String>,
    /// Environment variables inside.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// E2B: metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// E2B: seconds until the timeout; 300 when absent.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// E2B: whether the timeout pauses instead of deletes.
    #[serde(default)]
    pub auto_pause: bool,
    /// E2B: whether traffic wakes it.
    #[serde(default)]
    pub auto_resume: bool,
    /// E2B: which routes to use.
    #[serde(default)]
    pub routes: Routes,
    /// Whether to wait until it serves (a sandbox created paused: until it is paused).
    #[serde(default = "yes")]
    pub wait: bool,
}

/// Which generation of E2B routes to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Routes {
    /// `/sandboxes`
    V1,
    /// `/v2/sandboxes`
    #[default]
    V2,
}

/// See [`super::Step::Pause`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pause {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// E2B: accepted status codes.
    #[serde(default = "no_content")]
    pub status: Vec<u16>,
    /// Whether to wait until it is paused.
    #[serde(default = "yes")]
    pub wait: bool,
}

fn no_content() -> Vec<u16> {
    vec![204]
}

/// See [`super::Step::Resume`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Resume {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// E2B: accepted status codes.
    #[serde(default = "created")]
    pub status: Vec<u16>,
    /// Whether to wait until it serves.
    #[serde(default = "yes")]
    pub wait: bool,
}

fn created() -> Vec<u16> {
    vec![201]
}

/// See [`super::Step::Delete`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Delete {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The front to use instead of the case's own.
    #[serde(default)]
    pub through: Option<Front>,
    /// Accepted status codes; 204 of E2B or 200 and 202 of Kubernetes when empty.
    #[serde(default)]
    pub status: Vec<u16>,
    /// Kubernetes: what becomes of the objects that it owns; as the API server has it when absent.
    #[serde(default)]
    pub propagation: Option<Propagation>,
    /// Whether to wait until it is gone.
    #[serde(default = "yes")]
    pub wait: bool,
}

/// When the objects go that a deleted sandbox owns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// After it.
    Background,
    /// Before it: it stays until they are gone.
    Foreground,
}

/// See [`super::Step::Connect`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Connect {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Seconds until the timeout.
    #[serde(default)]
    pub timeout: Option<u32>,
    /// Accepted status codes.
    pub status: Vec<u16>,
    /// Which routes to use.
    #[serde(default)]
    pub routes: Routes,
}

/// See [`super::Step::SetTimeout`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetTimeout {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Seconds from now.
    pub seconds: u32,
    /// Accepted status codes.
    #[serde(default = "no_content")]
    pub status: Vec<u16>,
}
