//! How two values must stand to each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See [`super::Condition::Compare`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Compare {
    /// One value.
    pub left: String,
    /// How it stands to the other.
    pub is: Comparison,
    /// The other value.
    pub right: String,
}

/// How two values stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Comparison {
    /// The same.
    Equal,
    /// Not the same.
    Different,
    /// The left one is larger or later.
    Above,
    /// The left one is smaller or earlier.
    Below,
    /// The left one is not smaller.
    AtLeast,
}
