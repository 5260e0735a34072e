//! Steps and conditions that every dialect spells its own way.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::default_sandbox;

/// See [`super::Step::Ask`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Ask {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// What to ask for.
    #[serde(rename = "for")]
    pub wish: WishName,
    /// Accepted status codes.
    #[serde(default = "ok")]
    pub status: Vec<u16>,
}

fn ok() -> Vec<u16> {
    vec![200]
}

/// What a custom resource can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WishName {
    /// That the sandbox be paused.
    Paused,
    /// That it run.
    Running,
}

/// See [`super::Step::PatchTemplate`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PatchTemplate {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The merge patch.
    pub merge: Value,
}

/// See [`super::Step::SetTimer`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SetTimer {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which timer.
    pub of: TimerName,
    /// When it ends, e.g. `${now+2s}`.
    pub at: String,
}

/// A timer of the custom resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TimerName {
    /// It pauses by itself then.
    Pause,
    /// It is deleted then.
    Shutdown,
}

/// See [`super::Condition::Asked`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Asked {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// What it asks for.
    pub is: WishName,
}

/// See [`super::Condition::Explained`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Explained {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Text that must occur in what it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
}
