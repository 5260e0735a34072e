//! What single built-in kinds do beyond the ordinary: defaults, fields the server fills in, and rules.

pub(crate) mod crd;
mod defaults;
mod event;
mod namespace;
pub(crate) mod pod;
mod rules;
mod secret;
mod service;
mod volume;
mod workload;

use crate::admission;
use crate::api::error::ApiResult;
use crate::api::field::FieldError;
use crate::api::meta;
use crate::catalog::{Origin, Resource};
use crate::core::Core;
use crate::definition;
use crate::schema::{self, Nulls};
use crate::types;
use serde_json::{Value, json};

/// Defaults that hold for every write of the kind.
pub(crate) fn default_fields(resource: &Resource, object: &mut Value, nulls: Nulls) {
    if let Origin::Custom(custom) = &resource.origin {
        schema::default_fields(&custom.schema, object, nulls);
        return;
    }
    if let Some(message) = resource.message() {
        types::settle(message, object);
    }
    defaults::fill(&resource.kind, object);
    workload::default_fields(&resource.kind, object);
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod::default_fields(object),
        ("", "Secret") => secret::default_fields(object),
        ("", "Namespace") => namespace::default_fields(object),
        ("", "Service") => service::default_fields(object),
        ("", "Event") => event::show_in_new(object),
        ("events.k8s.io", "Event") => event::show_in_core(object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::default_fields(object),
        _ => {}
    }
}

/// Whether the server fills in fields at creation that are not defaults of the type.
pub(crate) fn is_completed(resource: &Resource) -> bool {
    let kind = (resource.group.as_str(), resource.kind.as_str());
    matches!(kind, ("", "Pod" | "Namespace" | "Service") | ("batch", "Job"))
}

/// Fields the server fills in at creation.
pub(crate) fn prepare_create(core: &Core, resource: &Resource, object: &mut Value) -> ApiResult<()> {
    if !resource.is_custom() {
        defaults::begin(&resource.kind, object);
    }
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => {
            pod::prepare_create(object);
            pod::admit(core, object)?;
        }
        ("", "Namespace") => namespace::prepare_create(object),
        ("", "Service") => service::prepare_create(core, object)?,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::prepare_create(object),
        _ => {}
    }
    Ok(())
}

/// Fields the server fills in or carries over at an update.
pub(crate) fn prepare_update(core: &Core, resource: &Resource, old: &Value, object: &mut Value) -> ApiResult<()> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Service") => service::prepare_update(core, old, object)?,
        ("apiextensions.k8s.io", "CustomResourceDefinition") => crd::prepare_update(old, object),
        _ => {}
    }
    Ok(())
}

/// An object of which nothing is said, with the parts that Go writes in any case; null where that is not known.
pub(crate) fn zero(resource: &Resource) -> Value {
    resource.message().map_or(Value::Null, types::zero)
}

/// What the writer of an object should know, though it is accepted.
pub(crate) fn warnings(resource: &Resource, object: &Value) -> Vec<String> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        _ if resource.is_custom() => unqualified_finalizers(object),
        _ => Vec::new(),
    }
}

fn unqualified_finalizers(object: &Value) -> Vec<String> {
    let known = ["orphan", "foregroundDeletion", "kubernetes"];
    let listed = crate::api::meta::finalizers(object).into_iter();
    let unqualified = listed.filter(|finalizer| !finalizer.contains('/') && !known.contains(finalizer));
    let warning = "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers";
    unqualified
        .map(|finalizer| format!("metadata.finalizers: {finalizer:?}: {warning}"))
        .collect()
}

/// What is wrong with an object of the kind; `old` at an update. What is wrong and was so before is `tolerated`.
pub(crate) fn problems(
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
    tolerated: &mut Vec<FieldError>,
) -> Vec<FieldError> {
    if let Origin::Custom(custom) = &resource.origin {
        return schema::problems(custom, old, object, tolerated);
    }
    let mut errors = rules::problems(&resource.kind, old, object);
    errors.extend(workload::problems(&resource.kind, old, object));
    errors.extend(volume::problems(&resource.kind, old, object));
    // Definitions have rules of their own for the values of all their fields.
    let is_definition = resource.is("apiextensions.k8s.io", "CustomResourceDefinition");
    if let Some(message) = resource.message().filter(|_| !is_definition) {
        errors.extend(rules::unknown_values(message, object));
    }
    errors.extend(own_problems(resource, old, object));
    errors
}

/// What the rules of single kinds find wrong.
fn own_problems(resource: &Resource, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod::problems(old, object),
        ("", "ConfigMap" | "Secret") => secret::problems(old, object),
        ("", "Service") => service::problems(old, object),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => definition::problems(old, object),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration") => {
            admission::problems(object)
        }
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy") => admission::policy_problems(object),
        _ => Vec::new(),
    }
}

/// An object the server itself makes: defaults, identity, creation time.
pub(crate) fn new_object(core: &mut Core, resource: &Resource, mut object: Value) -> Value {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.as_str().into();
    default_fields(resource, &mut object, Nulls::Drop);
    if resource.is("", "Namespace") {
        namespace::prepare_create(&mut object);
    }
    stamp_new(core, resource, &mut object);
    object
}

/// Gives a new object its identity.
pub(crate) fn stamp_new(core: &mut Core, resource: &Resource, object: &mut Value) {
    let (uid, now) = (core.random.uid(), core.now());
    meta::set(object, "uid", Some(uid.into()));
    meta::set(object, "creationTimestamp", Some(now));
    for member in [
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "selfLink",
        "resourceVersion",
    ] {
        meta::set(object, member, None);
    }
    meta::set(object, "generation", resource.keeps_generation().then(|| json!(1)));
    if resource.is("batch", "Job") {
        workload::select_own_pods(object);
    }
}

/// Inserts a default where a member is absent or null.
fn default_to(object: &mut Value, member: &str, default: impl Into<Value>) {
    if let Some(map) = object.as_object_mut() {
        let slot = map.entry(member).or_insert(Value::Null);
        if slot.is_null() {
            *slot = default.into();
        }
    }
}
