//! What must hold of everything that was recorded, from before the first step until after the clean-up. A state that
//! lasted for one revision of the API server counts as much as one that a step waited for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConditionKind, PhaseName, Truth, default_sandbox};

/// A property of the whole record of a case. Has exactly one key.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HistoryProperty {
    /// At no revision is the custom resource so.
    Never(Never),
    /// The custom resource reports phases in this order; others may come between them.
    Phases(Phases),
    /// How many Pods it had in all.
    PodsMade(PodsMade),
    /// How often a condition came to hold.
    ComesTrue(ComesTrue),
}

impl HistoryProperty {
    /// The sandbox that it speaks of, as the scenario calls it.
    pub(crate) fn sandbox(&self) -> &str {
        match self {
            Self::Never(never) => &never.sandbox,
            Self::Phases(phases) => &phases.sandbox,
            Self::PodsMade(pods) => &pods.sandbox,
            Self::ComesTrue(comes) => &comes.sandbox,
        }
    }
}

/// See [`HistoryProperty::Never`]. What is absent does not matter; the rest would have to hold at once.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Never {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// It reports one of these phases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phase: Vec<PhaseName>,
    /// It reports a condition so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<ConditionSaid>,
    /// At least so many Pods of it live; one that is being deleted still lives.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pods: Option<usize>,
}

/// A condition as the custom resource reports it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ConditionSaid {
    /// Which condition.
    pub kind: ConditionKind,
    /// How it stands.
    pub is: Truth,
}

/// See [`HistoryProperty::Phases`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Phases {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// The phases.
    pub in_order: Vec<PhaseName>,
}

/// See [`HistoryProperty::PodsMade`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PodsMade {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Not more than so many.
    pub at_most: usize,
}

/// See [`HistoryProperty::ComesTrue`].
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComesTrue {
    /// Which sandbox.
    #[serde(default = "default_sandbox")]
    pub sandbox: String,
    /// Which condition.
    pub kind: ConditionKind,
    /// Not more than so many times, counting the first.
    pub at_most: usize,
}
