//! What a dialect of the Sandbox API says for what scenarios speak of, as data.
//!
//! Scenarios say `pause` and `phase: [Paused]`; which request that is and how the phase is read,
//! a profile says. A profile is a file: those that come with the suite are in
//! `harness/profiles/`, others stand wherever their owner keeps them, and may extend one of
//! these. Nothing here speaks to a target.

mod check;
mod dialect;
mod e2b;
mod events;
mod reading;
mod unsaid;

use std::collections::{BTreeMap, BTreeSet};

use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::{Adapter, AdapterCall, ExecHooks, Hook};
use crate::capability::Capability;
use crate::error::{YamlError, from_yaml};
use crate::limits::Limits;

pub use dialect::{
    ConditionIs, Dialect, Explanation, MetricsDialect, PhaseRule, PodIdentityDialect, Pointer, PointerError,
    StatusDialect, SubresourcePatch, Test, TimersDialect, Trigger,
};
pub use e2b::{E2bProfile, SandboxIds};
pub use events::EventsDialect;
pub use reading::{Reading, Wish};

/// The profiles that come with the suite: name and text.
const BUILT_IN: [(&str, &str); 6] = [
    ("kruise", include_str!("../../profiles/kruise.yaml")),
    ("kruise-v0.3", include_str!("../../profiles/kruise-v0.3.yaml")),
    ("kruise-master", include_str!("../../profiles/kruise-master.yaml")),
    ("sigs", include_str!("../../profiles/sigs.yaml")),
    ("sigs-v1alpha1", include_str!("../../profiles/sigs-v1alpha1.yaml")),
    ("e2b", include_str!("../../profiles/e2b.yaml")),
];

/// How one dialect is spoken, and what is claimed of those who speak it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// What people and reports call it.
    pub name: String,
    /// Name of the built-in profile that this one changes: what it does not say is as there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// The custom resource; absent where sandboxes are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<Dialect>,
    /// How E2B is spoken; absent where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub e2b: Option<E2bProfile>,
    /// Commands by which the suite writes and reads inside, learns what is used, pauses and resumes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<AdapterCall, Hook>,
    /// How long it may take, where that is not as the contract has it; the report then says so.
    #[serde(default, skip_serializing_if = "is_normative")]
    pub limits: Limits,
    /// What an implementation claims beyond what its addresses show, unless it says otherwise.
    #[serde(default)]
    pub capabilities: BTreeSet<Capability>,
}

fn is_normative(limits: &Limits) -> bool {
    *limits == Limits::NORMATIVE
}

impl Profile {
    /// The names of the profiles that come with the suite.
    #[must_use]
    pub fn built_in_names() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// The built-in profile of that name.
    ///
    /// # Errors
    /// When there is none, with those there are.
    pub fn built_in(name: &str) -> Result<Self, YamlError> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => Self::parse(&format!("{name}.yaml"), text),
            None => Err(YamlError {
                file: name.to_owned(),
                line: 0,
                column: 0,
                message: format!(
                    "no such profile, expected one of {} or the path of a profile file",
                    Self::built_in_names().join(", ")
                ),
            }),
        }
    }

    /// Reads a profile, with what it extends.
    ///
    /// # Errors
    /// Where the text is not a profile or contradicts itself, with line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, YamlError> {
        let head: Head = from_yaml(file, text)?;
        let profile = match head.extends {
            None => from_yaml(file, text)?,
            Some(base) => extended(file, text, &base)?,
        };
        check::fault(&profile, file, text).map_or(Ok(profile), Err)
    }

    /// The adapter of its commands, if it has any.
    #[must_use]
    pub fn adapter(&self) -> Option<Arc<dyn Adapter>> {
        (!self.hooks.is_empty()).then(|| Arc::new(ExecHooks::new(self.hooks.clone())) as Arc<dyn Adapter>)
    }

    /// How the ids of E2B say which custom resource they mean.
    #[must_use]
    pub fn sandbox_ids(&self) -> SandboxIds {
        let e2b = self.e2b.as_ref();
        e2b.map(|e2b| e2b.sandbox_id.clone()).unwrap_or_default()
    }

    /// The dialect of its custom resource.
    ///
    /// # Errors
    /// What to do when it speaks of none.
    pub fn dialect(&self) -> Result<&Dialect, NoDialect> {
        self.kubernetes.as_ref().ok_or_else(|| NoDialect(self.name.clone()))
    }
}

/// A profile without a custom resource, where one is needed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "profile `{0}` has no `kubernetes`: it describes no custom resource, so only an E2B endpoint can be judged by it"
)]
pub struct NoDialect(pub String);

/// As much of a file as says which file it extends.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    extends: Option<String>,
}

/// Lays a file over the profile that it extends: lists, scalars and triggers replace, other objects
/// merge, null removes.
fn extended(file: &str, text: &str, base: &str) -> Result<Profile, YamlError> {
    let over: Value = from_yaml(file, text)?;
    let known = BUILT_IN.iter().find(|(name, _)| *name == base);
    let (base_name, base_text) = known.ok_or_else(|| {
        let names = Profile::built_in_names().join(", ");
        let message = format!("`extends: {base}` names no built-in profile, expected one of {names}");
        crate::error::at(file, text, "extends:", message)
    })?;
    let base = Profile::parse(&format!("{base_name}.yaml"), base_text)?;
    let mut merged = serde_json::to_value(base).map_err(|error| check::whole(file, error.to_string()))?;
    for trigger in ["/kubernetes/pause", "/kubernetes/resume"] {
        // A trigger is one thing or another: half of each would be neither.
        if over.pointer(trigger).is_some()
            && let Some(of_base) = merged.pointer_mut(trigger)
        {
            *of_base = Value::Null;
        }
    }
    merge(&mut merged, &over);
    serde_path_to_error::deserialize(merged).map_err(|error| check::at_path(file, text, error.path(), error.inner()))
}

/// JSON merge patch.
pub(crate) fn merge(base: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *base = patch.clone();
        return;
    };
    if !base.is_object() {
        *base = Value::Object(serde_json::Map::new());
    }
    for (key, value) in fields {
        if value.is_null() {
            if let Value::Object(base) = base {
                base.remove(key);
            }
        } else {
            merge(&mut base[key], value);
        }
    }
}

/// Merges into a Pod template. Containers are merged in their order, so that what is said of them already stays.
pub(crate) fn merge_pod(template: &mut Value, patch: &Value) {
    const CONTAINERS: &str = "/spec/containers";
    let listed = |pod: &Value| pod.pointer(CONTAINERS).and_then(Value::as_array).cloned();
    let mut containers = listed(template).unwrap_or_default();
    merge(template, patch);
    for (place, patch) in listed(patch).iter().flatten().enumerate() {
        match containers.get_mut(place) {
            Some(container) => merge(container, patch),
            None => containers.push(patch.clone()),
        }
    }
    if let Some(list) = template.pointer_mut(CONTAINERS).filter(|list| list.is_array()) {
        *list = Value::Array(containers);
    }
}

/// Whether merging `part` into `whole` changes nothing.
pub(crate) fn contains(whole: &Value, part: &Value) -> bool {
    let mut merged = whole.clone();
    merge(&mut merged, part);
    merged == *whole
}

/// The JSON schema of profile files, for editors.
#[must_use]
pub fn profile_schema() -> Value {
    schemars::schema_for!(Profile).to_value()
}

#[cfg(test)]
mod tests;
