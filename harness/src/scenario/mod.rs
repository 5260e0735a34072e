//! The scenario language: one YAML file, one claim.
//!
//! Decides what a scenario file may say and whether it makes sense on its own; running it is
//! the runner's business. `docs/scenarios.md` describes the language for people and
//! `scenarios/schema.json` for editors.

mod check;
mod columns;
mod commands;
mod compare;
mod condition;
mod dialect;
mod faults;
mod history;
mod inside;
mod lifecycle;
mod needs;
mod pace;
mod pod;
mod probe;
mod quantity;
mod revision;
mod schema;
mod series;
mod step;
mod storage;
mod template;
mod words;
mod work;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::catalogue::Catalogue;
use crate::error::{YamlError, from_yaml};

pub use columns::Columns;
pub use commands::Command;
pub use compare::{Compare, Comparison};
pub use condition::{
    Condition, ConditionKind, ConditionTruth, Counter, EndAt, EndsIn, Event, Field, Gone, Listed, Logs, Metric,
    NothingLeft, PhaseIs, PhaseName, PodSeries, Pods, Scheduled, SdkState, SdkStateIs, Storage, StorageAmount, Truth,
    Unchanged,
};
pub use dialect::{Ask, Asked, Explained, PatchTemplate, SetTimer, TimerName, WishName};
pub use faults::{
    ApiFault, CrashController, CrashMoment, Crashes, CutLeaderOff, ElectLeader, EndFaults, Handovers, Reconnect,
    RefuseRemovals,
};
pub use history::{ComesTrue, ConditionSaid, HistoryProperty, Never, Phases, PodsMade};
pub use inside::{
    DeleteFile, FileKind, HangUp, Http, HungUp, KeyUse, ListFiles, Method, Plane, ReadFile, Run, StatFile, TokenUse,
    WriteFile,
};
pub use lifecycle::{Connect, Create, Delete, Pause, Propagation, Resume, Routes, SetTimeout};
pub use pod::{DeletePod, FindNode, NamedPod, PatchPod, PodIdentity, Terminating};
pub use probe::{ProbeRead, ProbeWrite};
pub use quantity::Span;
pub use revision::Revision;
pub use schema::scenario_schema;
pub use series::{MarkSeries, Moved, Series, WayMoved};
pub use step::{
    CreateObject, DeleteNamespace, DeleteObject, Mark, MarkOf, Observe, Patch, Race, Remember, Repeat, Source, Step,
    Wait,
};
pub use storage::{Damage, DamageStorage, DamagedFiles, RepairStorage};
pub(crate) use template::{Variables, fill, fill_whole, variables_in};
pub(crate) use words::{Word, words};
pub use work::{Canary, Recall, Work};

/// The name of the sandbox that a step means when it names none.
pub(crate) const DEFAULT_SANDBOX: &str = "sandbox";

fn default_sandbox() -> String {
    DEFAULT_SANDBOX.to_owned()
}

/// One claim and how to put it to the test.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Scenario {
    /// Unique name in lower-case words joined by `-`; also the file's name.
    pub id: String,
    /// The claim, as a sentence.
    pub title: String,
    /// Ids of the requirements that it proves.
    pub requirements: Vec<String>,
    /// Words by which `--label` takes it, in lower case.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
    /// The revision of the suite from which it counts. With an earlier one it is provisional: run and reported, and of no
    /// weight in any verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts_from: Option<Revision>,
    /// What the target must be able to do; `via` is added to it.
    #[serde(default)]
    pub needs: Vec<Capability>,
    /// The fronts that `create`, `pause`, `resume` and `delete` go through: one case for each.
    pub via: Vec<Front>,
    /// Whether nothing else may run at the same time.
    #[serde(default)]
    pub exclusive: bool,
    /// Whether the case runs in a namespace that is made for it alone.
    #[serde(default)]
    pub own_namespace: bool,
    /// How long a case may take in all.
    #[serde(default = "default_timeout")]
    pub timeout: Span,
    /// What is done and what must then hold, in order.
    pub steps: Vec<Step>,
    /// What must hold of everything that was recorded meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<HistoryProperty>,
}

/// A face of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Front {
    /// The custom resource, as kubectl would use it.
    Kubernetes,
    /// The E2B API, as an SDK would use it.
    E2b,
}

impl Front {
    /// As written in scenarios and case ids.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::E2b => "e2b",
        }
    }

    /// What a target needs to have it.
    #[must_use]
    pub const fn capability(self) -> Capability {
        match self {
            Self::Kubernetes => Capability::Kubernetes,
            Self::E2b => Capability::E2b,
        }
    }
}

fn default_timeout() -> Span {
    Span::seconds(120)
}

impl Scenario {
    /// The revision from which it counts, if this suite is an earlier one.
    #[must_use]
    pub fn provisional(&self) -> Option<Revision> {
        self.counts_from.filter(|from| *from > Revision::of_this_suite())
    }

    /// Reads a scenario and checks that it makes sense on its own.
    ///
    /// # Errors
    /// Everything that is wrong with the file, each with line and column.
    pub fn parse(file: &str, text: &str, catalogue: &Catalogue) -> Result<Self, Vec<YamlError>> {
        let scenario: Self = from_yaml(file, text).map_err(|error| vec![error])?;
        let errors = check::faults(&scenario, file, text, catalogue);
        if errors.is_empty() { Ok(scenario) } else { Err(errors) }
    }
}

/// For each requirement, the ids of the scenarios that prove it; what is provisional proves nothing yet.
#[must_use]
pub fn proofs<'a>(scenarios: impl IntoIterator<Item = &'a Scenario>) -> BTreeMap<String, Vec<String>> {
    let mut proofs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for scenario in scenarios
        .into_iter()
        .filter(|scenario| scenario.provisional().is_none())
    {
        for requirement in &scenario.requirements {
            proofs.entry(requirement.clone()).or_default().push(scenario.id.clone());
        }
    }
    proofs
}
