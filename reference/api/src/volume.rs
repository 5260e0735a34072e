//! Volumes that a sandbox brings along, and what becomes of them when it goes.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::PersistentVolumeClaimSpec;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema;

/// A `PersistentVolumeClaim` to create with the sandbox, under the name `<template>-<sandbox>`. The Pod
/// gets it as the volume of the template's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimTemplate {
    /// Name of the volume in the Pod; labels and annotations of the claim.
    #[schemars(schema_with = "schema::claim_metadata")]
    pub metadata: VolumeClaimMetadata,
    /// `spec` of the claim.
    #[schemars(schema_with = "schema::claim_spec")]
    pub spec: PersistentVolumeClaimSpec,
}

/// What of a claim's `metadata` a template gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeClaimMetadata {
    /// Name of the volume in the Pod, and first part of the claim's name.
    pub name: String,
    /// Labels of the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations of the claim.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What becomes of the claims of `volumeClaimTemplates`; the field is named as that of a `StatefulSet`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClaimRetentionPolicy {
    /// When the sandbox is deleted.
    #[serde(default, skip_serializing_if = "is_default")]
    #[schemars(extend("enum" = ["Delete", "Retain"]), with = "String")]
    pub when_deleted: ClaimRetention,
}

/// Whether a claim outlives its sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimRetention {
    /// It is deleted with it.
    #[default]
    Delete,
    /// It stays, and a later sandbox of the same name does not take it over.
    Retain,
}

/// Whether a field has the value that its absence means.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
