//! The custom resource definitions, generated from the types of this crate.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Checkpoint, Sandbox, SandboxTemplate, agent_sandbox};

/// Every custom resource definition of Torpor, in the order in which to create them.
#[must_use]
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![
        Sandbox::crd(),
        SandboxTemplate::crd(),
        checkpoints(),
        agent_sandbox::Sandbox::crd(),
    ]
}

/// Without the status subresource: all that is known of a checkpoint is known when it is made, so it is
/// written at once, and is never there without its facts.
fn checkpoints() -> CustomResourceDefinition {
    let mut definition = Checkpoint::crd();
    for version in &mut definition.spec.versions {
        version.subresources = None;
    }
    definition
}
