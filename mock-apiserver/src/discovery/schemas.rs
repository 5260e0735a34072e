//! OpenAPI schemas of the built-in types, as Kubernetes publishes them.
//!
//! Fields, types and markers come from [`crate::types`], descriptions from the crate `k8s-openapi`, which carries those of the
//! version that the server follows.

use crate::types::{Field, Kind, ListType, Message, Multiplicity, Special, enumeration, message, special};
use k8s_openapi::api::{
    admissionregistration, apps, authentication, authorization, autoscaling, batch, certificates, coordination, core,
    discovery, events, flowcontrol, networking, node, policy, rbac, scheduling, storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions;
use k8s_openapi::apimachinery::pkg::apis::meta;
use k8s_openapi::schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

/// The types whose descriptions, with those of all that they hold, are published.
const DESCRIBED: &[fn(&mut SchemaGenerator) -> Schema] = &[
    SchemaGenerator::subschema_for::<admissionregistration::v1::MutatingWebhookConfiguration>,
    SchemaGenerator::subschema_for::<admissionregistration::v1::ValidatingAdmissionPolicy>,
    SchemaGenerator::subschema_for::<admissionregistration::v1::ValidatingAdmissionPolicyBinding>,
    SchemaGenerator::subschema_for::<admissionregistration::v1::ValidatingWebhookConfiguration>,
    SchemaGenerator::subschema_for::<apiextensions::v1::CustomResourceDefinition>,
    SchemaGenerator::subschema_for::<apps::v1::ControllerRevision>,
    SchemaGenerator::subschema_for::<apps::v1::DaemonSet>,
    SchemaGenerator::subschema_for::<apps::v1::Deployment>,
    SchemaGenerator::subschema_for::<apps::v1::ReplicaSet>,
    SchemaGenerator::subschema_for::<apps::v1::StatefulSet>,
    SchemaGenerator::subschema_for::<authentication::v1::SelfSubjectReview>,
    SchemaGenerator::subschema_for::<authentication::v1::TokenReview>,
    SchemaGenerator::subschema_for::<authorization::v1::LocalSubjectAccessReview>,
    SchemaGenerator::subschema_for::<authorization::v1::SelfSubjectAccessReview>,
    SchemaGenerator::subschema_for::<authorization::v1::SelfSubjectRulesReview>,
    SchemaGenerator::subschema_for::<authorization::v1::SubjectAccessReview>,
    SchemaGenerator::subschema_for::<autoscaling::v1::HorizontalPodAutoscaler>,
    SchemaGenerator::subschema_for::<autoscaling::v2::HorizontalPodAutoscaler>,
    SchemaGenerator::subschema_for::<batch::v1::CronJob>,
    SchemaGenerator::subschema_for::<batch::v1::Job>,
    SchemaGenerator::subschema_for::<certificates::v1::CertificateSigningRequest>,
    SchemaGenerator::subschema_for::<coordination::v1::Lease>,
    SchemaGenerator::subschema_for::<core::v1::ConfigMap>,
    SchemaGenerator::subschema_for::<core::v1::Endpoints>,
    SchemaGenerator::subschema_for::<core::v1::Event>,
    SchemaGenerator::subschema_for::<core::v1::LimitRange>,
    SchemaGenerator::subschema_for::<core::v1::Namespace>,
    SchemaGenerator::subschema_for::<core::v1::Node>,
    SchemaGenerator::subschema_for::<core::v1::PersistentVolume>,
    SchemaGenerator::subschema_for::<core::v1::PersistentVolumeClaim>,
    SchemaGenerator::subschema_for::<core::v1::Pod>,
    SchemaGenerator::subschema_for::<core::v1::PodTemplate>,
    SchemaGenerator::subschema_for::<core::v1::ReplicationController>,
    SchemaGenerator::subschema_for::<core::v1::ResourceQuota>,
    SchemaGenerator::subschema_for::<core::v1::Secret>,
    SchemaGenerator::subschema_for::<core::v1::Service>,
    SchemaGenerator::subschema_for::<core::v1::ServiceAccount>,
    SchemaGenerator::subschema_for::<discovery::v1::EndpointSlice>,
    SchemaGenerator::subschema_for::<events::v1::Event>,
    SchemaGenerator::subschema_for::<flowcontrol::v1::FlowSchema>,
    SchemaGenerator::subschema_for::<flowcontrol::v1::PriorityLevelConfiguration>,
    SchemaGenerator::subschema_for::<meta::v1::ListMeta>,
    SchemaGenerator::subschema_for::<networking::v1::Ingress>,
    SchemaGenerator::subschema_for::<networking::v1::IngressClass>,
    SchemaGenerator::subschema_for::<networking::v1::NetworkPolicy>,
    SchemaGenerator::subschema_for::<node::v1::RuntimeClass>,
    SchemaGenerator::subschema_for::<policy::v1::PodDisruptionBudget>,
    SchemaGenerator::subschema_for::<rbac::v1::ClusterRole>,
    SchemaGenerator::subschema_for::<rbac::v1::ClusterRoleBinding>,
    SchemaGenerator::subschema_for::<rbac::v1::Role>,
    SchemaGenerator::subschema_for::<rbac::v1::RoleBinding>,
    SchemaGenerator::subschema_for::<scheduling::v1::PriorityClass>,
    SchemaGenerator::subschema_for::<storage::v1::CSIDriver>,
    SchemaGenerator::subschema_for::<storage::v1::CSINode>,
    SchemaGenerator::subschema_for::<storage::v1::CSIStorageCapacity>,
    SchemaGenerator::subschema_for::<storage::v1::StorageClass>,
    SchemaGenerator::subschema_for::<storage::v1::VolumeAttachment>,
];

/// The described types by name.
static DESCRIPTIONS: LazyLock<Map<String, Value>> = LazyLock::new(|| {
    let mut generator = SchemaGenerator::default();
    for describe in DESCRIBED {
        describe(&mut generator);
    }
    generator.take_definitions(false)
});

/// The name under which a type is published: `io.k8s.api.core.v1.Pod` for `core.v1.Pod`.
pub(super) fn name_of(message: &str) -> String {
    let (package, rest) = message.split_once('.').unwrap_or(("", message));
    match package {
        "meta" => format!("io.k8s.apimachinery.pkg.apis.meta.v1.{rest}"),
        "api" | "util" | "runtime" => format!("io.k8s.apimachinery.pkg.{message}"),
        "apiextensions" => format!("io.k8s.apiextensions-apiserver.pkg.apis.{message}"),
        _ => format!("io.k8s.api.{message}"),
    }
}

/// Adds the schema of a type and of all types that it holds.
pub(super) fn add(message: &'static Message, schemas: &mut Map<String, Value>) {
    let name = name_of(message.name);
    if schemas.contains_key(&name) {
        return;
    }
    schemas.insert(name.clone(), schema(message, &name));
    for field in message.members() {
        if let Kind::Message(inner) = field.kind
            && let Some(inner) = self::message(inner)
        {
            add(inner, schemas);
        }
    }
}

fn schema(message: &Message, name: &str) -> Value {
    let described = DESCRIPTIONS.get(name).unwrap_or(&Value::Null);
    let mut schema = special(message.name).map_or_else(|| json!({"type": "object"}), special_schema);
    if let Some(text) = described.get("description") {
        schema["description"] = text.clone();
    }
    if special(message.name).is_some() {
        return schema;
    }
    if message.atomic {
        schema["x-kubernetes-map-type"] = "atomic".into();
    }
    let mut required: Vec<&str> = Vec::new();
    for field in message.members() {
        let Some(member) = field.name else { continue };
        schema["properties"][member] = property(field, &described["properties"][member]["description"]);
        if field.required {
            required.push(member);
        }
    }
    if !required.is_empty() {
        required.sort_unstable();
        schema["required"] = json!(required);
    }
    schema
}

fn special_schema(special: Special) -> Value {
    match special {
        Special::Time | Special::MicroTime => json!({"type": "string", "format": "date-time"}),
        Special::Duration => json!({"type": "string"}),
        Special::Quantity => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Special::IntOrString => json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]}),
        Special::Any => json!({"type": "object"}),
        Special::OneOf => json!({}),
        Special::Strings => json!({"type": "array", "items": {"type": "string", "default": ""}}),
    }
}

fn property(field: &Field, description: &Value) -> Value {
    let mut property = match field.multiplicity {
        Multiplicity::Single => item(field, true),
        Multiplicity::Repeated => json!({"type": "array", "items": item(field, false)}),
        Multiplicity::Map => json!({"type": "object", "additionalProperties": item(field, false)}),
    };
    if description.is_string() {
        property["description"] = description.clone();
    }
    if let Some(default) = field.default.and_then(|text| serde_json::from_str::<Value>(text).ok()) {
        property["default"] = default;
    }
    match &field.list_type {
        Some(ListType::Atomic) => property["x-kubernetes-list-type"] = "atomic".into(),
        Some(ListType::Set) => property["x-kubernetes-list-type"] = "set".into(),
        Some(ListType::Map(keys)) => {
            property["x-kubernetes-list-type"] = "map".into();
            property["x-kubernetes-list-map-keys"] = json!(keys);
        }
        None => {}
    }
    if field.atomic {
        property["x-kubernetes-map-type"] = "atomic".into();
    }
    if let Some(patch) = field.patch {
        property["x-kubernetes-patch-strategy"] = patch.strategies.into();
        if !patch.key.is_empty() {
            property["x-kubernetes-patch-merge-key"] = patch.key.into();
        }
    }
    property
}

/// One value of a field. A reference that has a description beside it stands in `allOf`.
fn item(field: &Field, described: bool) -> Value {
    let mut schema = match field.kind {
        Kind::String => json!({"type": "string"}),
        Kind::Bool => json!({"type": "boolean"}),
        Kind::Int32 => json!({"type": "integer", "format": "int32"}),
        Kind::Int64 => json!({"type": "integer", "format": "int64"}),
        Kind::Double => json!({"type": "number", "format": "double"}),
        Kind::Bytes => json!({"type": "string", "format": "byte"}),
        Kind::Message(name) => {
            let reference = json!({"$ref": format!("#/components/schemas/{}", name_of(name))});
            return if described {
                json!({"allOf": [reference]})
            } else {
                reference
            };
        }
    };
    if let Some(values) = field.go_type.and_then(enumeration) {
        schema["enum"] = json!(values);
    }
    schema
}
