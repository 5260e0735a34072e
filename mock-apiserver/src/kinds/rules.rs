//! Rules of built-in kinds, as a table: what must be there, what cannot change, and what cannot be negative.
//!
//! They follow `pkg/apis/*/validation` of Kubernetes 1.33 for what programs run into. Rules that need more than one field are in
//! the modules of their kinds.

use crate::api::field::FieldError;
use crate::types::{Field, Kind, Message, Multiplicity, enumeration, message, special};
use serde_json::Value;

/// A rule about the value at a path.
#[derive(Debug, Clone, Copy)]
enum Rule {
    /// It must be there and not be empty; the text says why.
    Required(&'static str),
    /// An update must leave it alone; refused as an invalid value.
    Immutable(&'static str),
    /// An update must leave it alone; refused as forbidden.
    Fixed(&'static str),
    NotNegative,
    Positive,
}

use Rule::{Fixed, Immutable, NotNegative, Positive, Required};

const FIELD_IMMUTABLE: Rule = Immutable("field is immutable");

/// Kind, path (`[]` stands for each item of a list), rule.
const ROWS: &[(&str, &str, Rule)] = &[
    ("Deployment", "spec.replicas", NotNegative),
    ("Deployment", "spec.minReadySeconds", NotNegative),
    ("Deployment", "spec.revisionHistoryLimit", NotNegative),
    ("Deployment", "spec.progressDeadlineSeconds", NotNegative),
    ("Deployment", "spec.selector", Required("")),
    ("Deployment", "spec.selector", FIELD_IMMUTABLE),
    ("ReplicaSet", "spec.replicas", NotNegative),
    ("ReplicaSet", "spec.selector", Required("")),
    ("ReplicaSet", "spec.selector", FIELD_IMMUTABLE),
    ("ReplicationController", "spec.replicas", NotNegative),
    ("ReplicationController", "spec.selector", Required("")),
    ("StatefulSet", "spec.replicas", NotNegative),
    ("StatefulSet", "spec.selector", Required("")),
    ("DaemonSet", "spec.selector", Required("")),
    ("DaemonSet", "spec.selector", FIELD_IMMUTABLE),
    ("Job", "spec.parallelism", NotNegative),
    ("Job", "spec.completions", NotNegative),
    ("Job", "spec.backoffLimit", NotNegative),
    ("Job", "spec.selector", FIELD_IMMUTABLE),
    ("Job", "spec.completionMode", FIELD_IMMUTABLE),
    ("Job", "spec.podFailurePolicy", FIELD_IMMUTABLE),
    ("Job", "spec.backoffLimitPerIndex", FIELD_IMMUTABLE),
    ("Job", "spec.managedBy", FIELD_IMMUTABLE),
    ("CronJob", "spec.schedule", Required("")),
    ("CronJob", "spec.successfulJobsHistoryLimit", NotNegative),
    ("CronJob", "spec.failedJobsHistoryLimit", NotNegative),
    (
        "PersistentVolumeClaim",
        "spec.accessModes",
        Required("at least 1 access mode is required"),
    ),
    ("PersistentVolume", "spec.accessModes", Required("")),
    ("PersistentVolume", "spec.capacity", Required("")),
    ("PersistentVolume", "spec.volumeMode", FIELD_IMMUTABLE),
    ("StorageClass", "provisioner", Required("")),
    (
        "StorageClass",
        "provisioner",
        Fixed("updates to provisioner are forbidden."),
    ),
    (
        "StorageClass",
        "parameters",
        Fixed("updates to parameters are forbidden."),
    ),
    (
        "StorageClass",
        "reclaimPolicy",
        Fixed("updates to reclaimPolicy are forbidden."),
    ),
    ("StorageClass", "volumeBindingMode", FIELD_IMMUTABLE),
    ("Secret", "type", FIELD_IMMUTABLE),
    ("ServiceAccount", "secrets[].name", Required("")),
    ("RoleBinding", "roleRef", Immutable("cannot change roleRef")),
    ("RoleBinding", "roleRef.name", Required("")),
    ("RoleBinding", "subjects[].name", Required("")),
    ("ClusterRoleBinding", "roleRef", Immutable("cannot change roleRef")),
    ("ClusterRoleBinding", "roleRef.name", Required("")),
    ("ClusterRoleBinding", "subjects[].name", Required("")),
    (
        "Role",
        "rules[].verbs",
        Required("verbs must contain at least one value"),
    ),
    (
        "ClusterRole",
        "rules[].verbs",
        Required("verbs must contain at least one value"),
    ),
    ("PriorityClass", "value", Fixed("may not be changed in an update.")),
    ("PriorityClass", "preemptionPolicy", FIELD_IMMUTABLE),
    ("RuntimeClass", "handler", Required("")),
    ("RuntimeClass", "handler", FIELD_IMMUTABLE),
    ("IngressClass", "spec.controller", FIELD_IMMUTABLE),
    ("Ingress", "spec.rules[].http.paths", Required("")),
    (
        "Ingress",
        "spec.rules[].http.paths[].pathType",
        Required("pathType must be specified"),
    ),
    ("ControllerRevision", "data", FIELD_IMMUTABLE),
    ("EndpointSlice", "addressType", Required("")),
    ("EndpointSlice", "addressType", FIELD_IMMUTABLE),
    ("VolumeAttachment", "spec", FIELD_IMMUTABLE),
    ("Lease", "spec.leaseDurationSeconds", Positive),
    ("HorizontalPodAutoscaler", "spec.maxReplicas", Required("")),
    ("HorizontalPodAutoscaler", "spec.maxReplicas", Positive),
    ("HorizontalPodAutoscaler", "spec.scaleTargetRef.kind", Required("")),
    ("HorizontalPodAutoscaler", "spec.scaleTargetRef.name", Required("")),
    ("CertificateSigningRequest", "spec.request", Required("")),
    ("CertificateSigningRequest", "spec.signerName", Required("")),
    ("Service", "spec.ports[].port", Required("")),
];

/// What the table finds wrong with an object of a kind.
pub(super) fn problems(kind: &str, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (_, path, rule) in ROWS.iter().filter(|(of, ..)| *of == kind) {
        match rule {
            Required(why) => each(object, path, "", &mut |at, value| {
                if value.is_none_or(is_empty) {
                    errors.push(FieldError::required(at, *why));
                }
            }),
            NotNegative => each(object, path, "", &mut |at, value| {
                let number = value.and_then(Value::as_i64);
                if let Some(value) = value.filter(|_| number.is_some_and(|number| number < 0)) {
                    errors.push(FieldError::invalid(at, value, "must be greater than or equal to 0"));
                }
            }),
            Positive => each(object, path, "", &mut |at, value| {
                let number = value.and_then(Value::as_i64);
                if let Some(value) = value.filter(|_| number.is_some_and(|number| number <= 0)) {
                    errors.push(FieldError::invalid(at, value, "must be greater than 0"));
                }
            }),
            Immutable(why) if changed(old, object, path) => {
                errors.push(FieldError::invalid(*path, at(object, path), *why));
            }
            Fixed(why) if changed(old, object, path) => errors.push(FieldError::forbidden(*path, *why)),
            Immutable(_) | Fixed(_) => {}
        }
    }
    errors
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, member| &value[member])
}

fn changed(old: Option<&Value>, object: &Value, path: &str) -> bool {
    old.is_some_and(|old| at(old, path) != at(object, path))
}

/// Calls `see` with every value that a path leads to, and where it is; the last member may be absent.
fn each(value: &Value, path: &str, here: &str, see: &mut impl FnMut(String, Option<&Value>)) {
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    let name = step.trim_end_matches("[]");
    let here = if here.is_empty() {
        name.to_owned()
    } else {
        format!("{here}.{name}")
    };
    let child = value.get(name).filter(|child| !child.is_null());
    match (child, step.ends_with("[]"), rest.is_empty()) {
        (child, false, true) => see(here, child),
        (Some(child), false, false) => each(child, rest, &here, see),
        // What is missing on the way counts as missing at the end, unless the way is a list.
        (None, false, false) if !rest.contains("[]") => see(format!("{here}.{rest}"), None),
        (None, ..) => {}
        (Some(list), true, _) => {
            for (index, item) in list.as_array().into_iter().flatten().enumerate() {
                each(item, rest, &format!("{here}[{index}]"), see);
            }
        }
    }
}

/// Values of enumerations that are none, outside of the status.
pub(super) fn unknown_values(message: &'static Message, object: &Value) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for field in message.members() {
        let Some(name) = field.name.filter(|name| *name != "status") else {
            continue;
        };
        if let Some(value) = object.get(name) {
            field_values(field, value, name.to_owned(), &mut errors);
        }
    }
    errors
}

fn field_values(field: &'static Field, value: &Value, path: String, errors: &mut Vec<FieldError>) {
    match (field.multiplicity, value) {
        (Multiplicity::Repeated, Value::Array(items)) => {
            for (index, item) in items.iter().enumerate() {
                one_value(field, item, format!("{path}[{index}]"), errors);
            }
        }
        (Multiplicity::Map, Value::Object(map)) => {
            for (key, item) in map {
                one_value(field, item, format!("{path}[{key}]"), errors);
            }
        }
        _ => one_value(field, value, path, errors),
    }
}

fn one_value(field: &'static Field, value: &Value, path: String, errors: &mut Vec<FieldError>) {
    if let (Some(text), Some(values)) = (value.as_str(), field.go_type.and_then(enumeration)) {
        if !text.is_empty() && !values.contains(&text) {
            errors.push(FieldError::not_supported(path, value, values));
        }
        return;
    }
    let inner = match field.kind {
        Kind::Message(name) if special(name).is_none() => message(name),
        Kind::Message(_) | Kind::String | Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Double | Kind::Bytes => None,
    };
    for field in inner.into_iter().flat_map(Message::members) {
        if let Some(name) = field.name
            && let Some(value) = value.get(name)
        {
            field_values(field, value, format!("{path}.{name}"), errors);
        }
    }
}
