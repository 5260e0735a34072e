//! Steps that touch the checkpoint store itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::default_sandbox;

/// See [`super::Step::DamageStorage`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DamageStorage {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which of its files.
    pub files: DamagedFiles,
    /// What is done to them.
    pub by: Damage,
}

/// Files of a sandbox in the checkpoint store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DamagedFiles {
    /// All of them.
    All,
    /// The one that was written last.
    Newest,
}

/// What is done to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The bits of a byte in its middle are inverted.
    Flipping,
    /// Its second half is cut off.
    Truncating,
    /// It is removed.
    Removing,
}

/// See [`super::Step::RepairStorage`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RepairStorage {}
