//! What `kubectl get` shows of a sandbox.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See [`super::Condition::Columns`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Columns {
    /// Names of marks `of: columns` that were set while it ran.
    pub running: Vec<String>,
    /// Names of those that were set while it was paused.
    pub paused: Vec<String>,
}
