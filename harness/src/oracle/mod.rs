//! Judges of histories. They run on every case that has Kubernetes, whatever it claims.
//!
//! Each is a pure function from a history to what is wrong with it. They judge the order of
//! the API server's revisions, so a state that lasted a millisecond is seen.

mod claimed;
mod fold;
mod fsm;
mod zero;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::history::{History, Occurrence};
use crate::probe::IN_THE_FOREGROUND;
use crate::profile::{ConditionIs, Dialect};
use crate::scenario::Scenario;

pub(crate) use fold::{CommandLog, Outcome};

/// A moment at which a requirement did not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Violation {
    /// Id of the requirement.
    pub requirement: Cow<'static, str>,
    /// The revision of the API server at which it did not hold.
    pub revision: u64,
    /// What was seen.
    pub message: String,
}

/// Everything that is wrong with a history, of the sandboxes of those names.
#[must_use]
pub fn judge(history: &History, sandboxes: &[String], dialect: &Dialect) -> Vec<Violation> {
    let moments = crate::history::replay(history);
    let view = View { dialect, sandboxes };
    let mut found = zero::paused_holds_no_pod(&moments, &view);
    found.extend(fsm::at_most_one_live_pod(&moments, &view));
    found.extend(fsm::ready_never_on_a_dying_pod(&moments, &BySteps::of(history), &view));
    found.extend(fsm::conditions_are_well_kept(&moments, &view));
    found.extend(fsm::no_pod_after_its_sandbox(&moments, &view));
    found
}

/// What is not as the scenario itself claims of its history; `names` says what its sandboxes are called in the cluster.
#[must_use]
pub fn judge_claims(
    history: &History,
    scenario: &Scenario,
    names: &BTreeMap<String, String>,
    dialect: &Dialect,
) -> Vec<Violation> {
    let moments = crate::history::replay(history);
    let view = View {
        dialect,
        sandboxes: &[],
    };
    let requirement = scenario.requirements.first().map_or("", String::as_str);
    claimed::properties_hold(&moments, &view, &scenario.history, names, requirement)
}

/// Pods that go because of a step: nobody could have reported that before it happened.
#[derive(Default)]
struct BySteps<'h> {
    /// Names of Pods that were deleted.
    pods: BTreeSet<&'h str>,
    /// Names of sandboxes that were deleted in the foreground: the API server deletes their Pods.
    sandboxes: BTreeSet<&'h str>,
    /// Whether the namespace was deleted, with all that is in it.
    namespace: bool,
}

impl<'h> BySteps<'h> {
    fn of(history: &'h History) -> Self {
        let mut found = Self::default();
        for entry in &history.entries {
            match &entry.what {
                Occurrence::Request { method, path, .. } if method == "DELETE" => found.deleted(path),
                Occurrence::Request { .. }
                | Occurrence::Change(_)
                | Occurrence::StepStarted { .. }
                | Occurrence::StepEnded { .. }
                | Occurrence::WatchLost { .. }
                | Occurrence::Command { .. }
                | Occurrence::Probe { .. } => {}
            }
        }
        found
    }

    fn deleted(&mut self, path: &'h str) {
        if let Some(name) = path.strip_prefix("pods/") {
            self.pods.insert(name);
        } else if let Some(sandbox) = path.strip_suffix(IN_THE_FOREGROUND) {
            self.sandboxes.extend(sandbox.rsplit('/').next());
        } else if path.starts_with("namespaces/") {
            self.namespace = true;
        }
    }

    fn end(&self, pod: &str, sandbox: &str) -> bool {
        self.namespace || self.pods.contains(pod) || self.sandboxes.contains(sandbox)
    }
}

/// The ids that the judges can name.
pub const JUDGED: [&str; 5] = ["ZERO-05", "FSM-04", "FSM-05", "FSM-01", "DEL-11"];

/// How a history is read.
#[derive(Clone, Copy)]
struct View<'a> {
    dialect: &'a Dialect,
    sandboxes: &'a [String],
}

impl View<'_> {
    fn concerns(&self, sandbox: &Value) -> bool {
        let name = sandbox
            .pointer("/metadata/name")
            .and_then(Value::as_str)
            .unwrap_or_default();
        self.sandboxes.iter().any(|known| known == name)
    }

    fn conditions<'v>(&self, sandbox: &'v Value) -> &'v [Value] {
        self.dialect.conditions(sandbox)
    }

    fn says(&self, sandbox: &Value, condition: &ConditionIs) -> bool {
        self.dialect.says(sandbox, condition)
    }

    fn kind(&self) -> &str {
        &self.dialect.kind
    }
}

fn name(object: &Value) -> &str {
    object
        .pointer("/metadata/name")
        .and_then(Value::as_str)
        .unwrap_or_default()
}
