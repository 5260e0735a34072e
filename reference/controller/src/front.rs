//! The ways in which a sandbox is asked for and reported: the Sandbox of `OpenKruise` agents, and that of
//! kubernetes-sigs/agent-sandbox.
//!
//! ```text
//!  agents.kruise.io/v1alpha1 ──────────────▶ ┌─────────────────────────┐ ─────────────▶ status
//!                                            │ observe, decide, status │
//!  agents.x-k8s.io/v1beta1 ──▶ as v1alpha1 ─▶└─────────────────────────┘──▶ published ─▶ status
//! ```
//!
//! A front is an adapter at both ends of a pass: what it asks for is read as a v1alpha1 Sandbox, and the
//! status that comes of it is published in the front's own words. In between nobody knows of fronts, so
//! both keep the same promises. Pure.

mod agent_sandbox;

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use torpor_api::{Sandbox, SandboxStatus, label};

use crate::observe::Reading;
use crate::trim::Trim;

/// A way in which a sandbox is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Front {
    /// `agents.kruise.io/v1alpha1`.
    Kruise,
    /// `agents.x-k8s.io/v1beta1`.
    AgentSandbox,
}

/// A kind of Sandbox that is served.
pub(crate) trait Fronted:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Trim
    + Clone
    + fmt::Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
    /// Which front it is.
    const FRONT: Front;

    /// What it asks for, and what of it was reported, as every front is read.
    fn into_sandbox(self) -> Sandbox;

    /// Its status as it is now.
    fn published(&self) -> Map<String, Value>;

    /// The `SandboxTemplate` that it is made from, by name.
    fn template_name(&self) -> Option<&str>;
}

impl Fronted for Sandbox {
    const FRONT: Front = Front::Kruise;

    fn into_sandbox(self) -> Sandbox {
        self
    }

    fn published(&self) -> Map<String, Value> {
        fields(self.status.as_ref())
    }

    fn template_name(&self) -> Option<&str> {
        self.spec.template_ref.as_ref().map(|named| named.name.as_str())
    }
}

impl Front {
    /// Every front.
    pub const ALL: [Self; 2] = [Self::Kruise, Self::AgentSandbox];

    /// `apiVersion` of its kind.
    #[must_use]
    pub fn api_version(self) -> String {
        match self {
            Self::Kruise => Sandbox::api_version(&()).into_owned(),
            Self::AgentSandbox => torpor_api::agent_sandbox::Sandbox::api_version(&()).into_owned(),
        }
    }

    /// Names a sandbox among those of all fronts.
    pub(crate) fn key(self, namespace: &str, name: &str) -> String {
        match self {
            Self::Kruise => format!("{namespace}/{name}"),
            Self::AgentSandbox => format!("agents.x-k8s.io/{namespace}/{name}"),
        }
    }

    /// The status to publish for `status`, as this front words it.
    pub(crate) fn publish(self, reading: &Reading, status: &SandboxStatus) -> Map<String, Value> {
        match self {
            Self::Kruise => fields(Some(status)),
            Self::AgentSandbox => fields(Some(&agent_sandbox::publish(reading, status))),
        }
    }

    /// The change of the spec that asks for a pause.
    pub(crate) fn pause_patch(self) -> Value {
        match self {
            Self::Kruise => json!({"spec": {"paused": true}}),
            Self::AgentSandbox => json!({"spec": {"operatingMode": "Suspended"}}),
        }
    }

    /// Labels of every object that belongs to the sandbox.
    pub(crate) fn labels(self, sandbox: &Sandbox) -> BTreeMap<String, String> {
        let mut labels = BTreeMap::from([(label::SANDBOX_NAME.to_owned(), sandbox.name_any())]);
        match self {
            Self::Kruise => {}
            Self::AgentSandbox => {
                let hash = agent_sandbox::name_hash(&sandbox.name_any());
                labels.insert(label::SANDBOX_NAME_HASH.to_owned(), hash);
            }
        }
        labels
    }

    /// Makes the sandbox the owner of an object.
    pub(crate) fn owner(self, sandbox: &Sandbox) -> Option<Vec<OwnerReference>> {
        let owner = sandbox.controller_owner_ref(&())?;
        Some(vec![OwnerReference {
            api_version: self.api_version(),
            ..owner
        }])
    }

    /// Names the sandbox in an Event.
    pub(crate) fn reference(self, sandbox: &Sandbox) -> ObjectReference {
        ObjectReference {
            api_version: Some(self.api_version()),
            ..sandbox.object_ref(&())
        }
    }
}

fn fields<T: Serialize>(status: Option<&T>) -> Map<String, Value> {
    match serde_json::to_value(status) {
        Ok(Value::Object(fields)) => fields,
        Ok(_) | Err(_) => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::paused;

    #[test]
    fn sandboxes_of_the_same_name_are_told_apart_by_their_front() {
        assert_eq!(
            Front::ALL.map(|front| front.key("default", "one")),
            ["default/one", "agents.x-k8s.io/default/one"]
        );
    }

    #[test]
    fn an_event_is_of_the_very_object_that_asked() {
        for (front, api_version) in Front::ALL
            .into_iter()
            .zip(["agents.kruise.io/v1alpha1", "agents.x-k8s.io/v1beta1"])
        {
            let reference = serde_json::to_value(front.reference(&paused().sandbox)).expect("JSON");
            let expected = json!({
                "apiVersion": api_version, "kind": "Sandbox", "name": "one", "namespace": "default", "uid": "uid-1",
            });
            assert_eq!(reference, expected);
        }
    }

    #[test]
    fn a_sandbox_is_made_from_the_template_that_it_names() {
        let mut sandbox = paused().sandbox;
        assert_eq!(sandbox.template_name(), None);
        sandbox.spec.template_ref = Some(torpor_api::TemplateRef {
            name: "python".to_owned(),
            ..torpor_api::TemplateRef::default()
        });
        assert_eq!(sandbox.template_name(), Some("python"));
    }
}
