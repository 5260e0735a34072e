//! The custom resource definitions, generated from the types of this crate.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{Sandbox, SandboxTemplate};

/// Every custom resource definition of Torpor, in the order in which to create them.
#[must_use]
pub fn custom_resource_definitions() -> Vec<CustomResourceDefinition> {
    vec![Sandbox::crd(), SandboxTemplate::crd()]
}
