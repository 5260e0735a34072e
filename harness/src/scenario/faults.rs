//! Steps and conditions about faults that are put into the implementation itself.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::default_sandbox;

/// See [`super::Step::CrashController`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CrashController {
    /// The sandbox whose writes are counted.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which write from now on, from `"1"`.
    pub write: String,
    /// Before or after that write.
    pub moment: CrashMoment,
}

/// When a controller crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CrashMoment {
    /// The API server never hears of the write.
    Before,
    /// The API server has carried out the write, and the controller never hears of it.
    After,
}

/// See [`super::Step::ApiFault`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ApiFault {
    /// Which requests: `userAgent`, `verbs`, `resource`, …; all when absent.
    #[serde(default, rename = "match", skip_serializing_if = "Option::is_none")]
    pub requests: Option<Value>,
    /// What strikes them: `type` and its settings.
    pub fault: Value,
    /// How many requests it strikes; all until `end-faults` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
}

/// See [`super::Step::RefuseRemovals`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RefuseRemovals {}

/// See [`super::Step::ElectLeader`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ElectLeader {}

/// See [`super::Step::CutLeaderOff`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CutLeaderOff {
    /// The sandbox whose writes are counted.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which write from now on, from `"1"`.
    pub write: String,
    /// Of which writes, by their HTTP method in lower case, e.g. `delete`; all when absent.
    #[serde(default)]
    pub verb: Option<String>,
}

/// See [`super::Step::Reconnect`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reconnect {}

/// See [`super::Condition::Handovers`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Handovers {
    /// How often another controller must have come to lead since the case began.
    pub at_least: u32,
}

/// See [`super::Step::EndFaults`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct EndFaults {}

/// See [`super::Condition::Crashes`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Crashes {
    /// The least number of crashes since the case began.
    pub at_least: u32,
}
