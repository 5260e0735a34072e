//! Workloads: kinds that make pods from a template.

use super::{default_to, pod};
use crate::api::field::FieldError;
use crate::api::meta;
use crate::api::selector::LabelSelector;
use serde_json::{Map, Value, json};

/// Where a kind keeps its template of pods.
fn template_path(kind: &str) -> Option<&'static str> {
    match kind {
        "Deployment" | "ReplicaSet" | "ReplicationController" | "StatefulSet" | "DaemonSet" | "Job" => {
            Some("spec.template")
        }
        "CronJob" => Some("spec.jobTemplate.spec.template"),
        "PodTemplate" => Some("template"),
        _ => None,
    }
}

fn at<'a>(object: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(object, |value, member| &value[member])
}

pub(super) fn default_fields(kind: &str, object: &mut Value) {
    let Some(path) = template_path(kind) else { return };
    super::defaults::for_each(object, path, &mut |template| {
        if template["spec"].is_object() {
            pod::default_spec(&mut template["spec"]);
        }
    });
    let labels = at(object, path)["metadata"]["labels"].clone();
    if kind == "ReplicationController" && labels.is_object() {
        default_to(&mut object["spec"], "selector", labels.clone());
    }
    if matches!(kind, "Job" | "ReplicationController") && object["metadata"]["labels"].is_null() && labels.is_object() {
        meta::set(object, "labels", Some(labels));
    }
    if kind == "Job" {
        let spec = &mut object["spec"];
        if spec["completions"].is_null() && spec["parallelism"].is_null() {
            spec["completions"] = json!(1);
        }
        default_to(spec, "parallelism", 1);
    }
}

/// A job tells its pods apart by its own UID, unless it is told how.
pub(super) fn select_own_pods(job: &mut Value) {
    if job["spec"]["manualSelector"] == true {
        return;
    }
    let (name, uid) = (json!(meta::name(job)), json!(meta::uid(job)));
    let labels = &mut job["spec"]["template"]["metadata"]["labels"];
    if labels.is_null() {
        *labels = json!({});
    }
    for (label, value) in [
        ("job-name", &name),
        ("batch.kubernetes.io/job-name", &name),
        ("controller-uid", &uid),
        ("batch.kubernetes.io/controller-uid", &uid),
    ] {
        default_to(labels, label, value.clone());
    }
    default_to(&mut job["spec"], "selector", Map::new());
    let selector = &mut job["spec"]["selector"];
    default_to(selector, "matchLabels", Map::new());
    default_to(&mut selector["matchLabels"], "batch.kubernetes.io/controller-uid", uid);
}

/// What is wrong with a workload beyond the table of rules.
pub(super) fn problems(kind: &str, old: Option<&Value>, object: &Value) -> Vec<FieldError> {
    let Some(path) = template_path(kind) else {
        return Vec::new();
    };
    let mut errors = selector_problems(kind, object);
    let spec = &at(object, path)["spec"];
    errors.extend(pod::spec_problems(spec, &format!("{path}.spec")));
    // The claims of a stateful set are volumes of its pods, too, and are not there yet.
    if kind != "StatefulSet" {
        errors.extend(pod::volume_problems(spec, &format!("{path}.spec")));
    }
    errors.extend(restart_problem(kind, spec, &format!("{path}.spec.restartPolicy")));
    if let Some(old) = old {
        errors.extend(update_problems(kind, old, object));
    }
    errors
}

/// The selector must not be empty and must choose the template's pods.
fn selector_problems(kind: &str, object: &Value) -> Vec<FieldError> {
    let selector = &object["spec"]["selector"];
    let structured = matches!(kind, "Deployment" | "ReplicaSet" | "StatefulSet" | "DaemonSet");
    let parsed = match kind {
        _ if !selector.is_object() => return Vec::new(),
        "ReplicationController" => LabelSelector::read(&json!({ "matchLabels": selector })),
        _ if structured => LabelSelector::read(selector),
        _ => return Vec::new(),
    };
    let template = &object["spec"]["template"];
    match parsed {
        None => vec![FieldError::invalid("spec.selector", selector, "invalid label selector")],
        Some(parsed) if structured && parsed.is_empty() => {
            let detail = format!("empty selector is invalid for {}", kind.to_lowercase());
            vec![FieldError::invalid("spec.selector", selector, detail)]
        }
        Some(parsed) if !parsed.matches(template) => vec![FieldError::invalid(
            "spec.template.metadata.labels",
            &template["metadata"]["labels"],
            "`selector` does not match template `labels`",
        )],
        Some(_) => Vec::new(),
    }
}

/// Jobs end, other workloads do not.
fn restart_problem(kind: &str, spec: &Value, path: &str) -> Option<FieldError> {
    let policy = &spec["restartPolicy"];
    match (kind, policy.as_str()?) {
        ("PodTemplate", _) | ("Job" | "CronJob", "OnFailure" | "Never") => None,
        ("Job" | "CronJob", "Always") => Some(FieldError::required(path, "valid values: \"OnFailure\", \"Never\"")),
        ("Job" | "CronJob", _) => Some(FieldError::not_supported(path, policy, &["OnFailure", "Never"])),
        (_, "Always") => None,
        (_, _) => Some(FieldError::not_supported(path, policy, &["Always"])),
    }
}

fn update_problems(kind: &str, old: &Value, object: &Value) -> Vec<FieldError> {
    const STATEFUL_SET: &[&str] = &[
        "replicas",
        "ordinals",
        "template",
        "updateStrategy",
        "revisionHistoryLimit",
        "persistentVolumeClaimRetentionPolicy",
        "minReadySeconds",
    ];
    let (before, after) = (&old["spec"], &object["spec"]);
    let immutable = |member: &str| FieldError::invalid(format!("spec.{member}"), &after[member], "field is immutable");
    match kind {
        "StatefulSet" => {
            let fixed = |spec: &Value| {
                let mut spec = spec.as_object().cloned().unwrap_or_default();
                spec.retain(|member, _| !STATEFUL_SET.contains(&member.as_str()));
                spec
            };
            if fixed(before) == fixed(after) {
                return Vec::new();
            }
            let detail = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            vec![FieldError::forbidden("spec", detail)]
        }
        "Job" => {
            let mut errors = Vec::new();
            if before["suspend"] != true && before["template"] != after["template"] {
                errors.push(immutable("template"));
            }
            if after["completionMode"] != "Indexed" && before["completions"] != after["completions"] {
                errors.push(immutable("completions"));
            }
            errors
        }
        _ => Vec::new(),
    }
}
