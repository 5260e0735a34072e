//! What a controller counts, and how that moves.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// See [`super::Step::MarkSeries`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MarkSeries {
    /// What later conditions call it.
    pub name: String,
}

/// See [`super::Condition::Series`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Series {
    /// Words that its name holds, in lower case; names themselves are each implementation's own.
    pub words: Vec<String>,
    /// One of these words is in its name or in the value of a label, in lower case; none of them asks for nothing.
    #[serde(default)]
    pub any: Vec<String>,
    /// The largest value of the series that match is at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// How one of the series that match has moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<Moved>,
}

/// How a series has moved since a mark. One that is not there stands at zero.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Moved {
    /// Name of the mark.
    pub since: String,
    /// Which way.
    pub way: WayMoved,
}

/// Which way a series has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WayMoved {
    /// It is larger.
    Up,
    /// It is smaller.
    Down,
}

impl WayMoved {
    /// As written in scenarios.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
        }
    }
}
