//! `SandboxTemplate`, `agents.kruise.io/v1alpha1`: a Pod template that sandboxes are made from by name.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{PodTemplate, schema};

/// What a sandbox made from this template runs.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "agents.kruise.io",
    version = "v1alpha1",
    kind = "SandboxTemplate",
    plural = "sandboxtemplates",
    singular = "sandboxtemplate",
    shortname = "sbt",
    namespaced,
    doc = "SandboxTemplate is a Pod template that sandboxes are made from by name."
)]
#[serde(rename_all = "camelCase")]
pub struct SandboxTemplateSpec {
    /// The Pod to run.
    #[schemars(schema_with = "schema::pod_template")]
    pub template: PodTemplate,
}
