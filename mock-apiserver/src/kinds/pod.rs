//! Pods: defaults, quality of service, and how long a deletion may take.

mod admitted;
mod containers;
mod update;

pub(super) use admitted::admit;
pub(super) use containers::volume_problems;

use super::defaults;
use crate::api::field::FieldError;
use serde_json::{Map, Value, json};

const CONTAINER_LISTS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];

/// Defaults of pods, which templates of pods have but for those that depend on the pod as a whole.
pub(super) fn default_fields(pod: &mut Value) {
    super::default_to(pod, "spec", Map::new());
    let spec = &mut pod["spec"];
    default_spec(spec);
    super::default_to(spec, "enableServiceLinks", true);
    let host_network = spec["hostNetwork"] == true;
    for list in ["containers", "initContainers"] {
        for container in spec.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
            request_limits(container);
            if host_network {
                defaults::for_each(container, "ports[]", &mut |port| {
                    let number = port["containerPort"].clone();
                    super::default_to(port, "hostPort", number);
                });
            }
        }
    }
}

/// Defaults of what a pod runs.
pub(super) fn default_spec(spec: &mut Value) {
    defaults::fill("PodSpec", spec);
    for list in CONTAINER_LISTS {
        defaults::for_each(spec, &format!("{list}[]"), &mut default_container);
    }
    defaults::for_each(spec, "volumes[]", &mut |volume| {
        if volume
            .as_object()
            .is_some_and(|volume| volume.keys().all(|member| member == "name"))
        {
            volume["emptyDir"] = json!({});
        }
    });
    // The older name of the field goes along with it.
    if let Some(account) = spec.get("serviceAccountName").cloned() {
        super::default_to(spec, "serviceAccount", account);
    }
}

fn default_container(container: &mut Value) {
    let latest = container["image"].as_str().is_some_and(|image| {
        let name = image.rsplit('/').next().unwrap_or(image);
        !name.contains('@') && (!name.contains(':') || name.ends_with(":latest"))
    });
    let policy = if latest { "Always" } else { "IfNotPresent" };
    super::default_to(container, "imagePullPolicy", policy);
    defaults::fill("Container", container);
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        defaults::for_each(container, probe, &mut |probe| defaults::fill("Probe", probe));
    }
}

/// What a container may use at most it also asks for, unless it asks for something else.
fn request_limits(container: &mut Value) {
    let limits = container["resources"]["limits"]
        .as_object()
        .cloned()
        .unwrap_or_default();
    for (name, quantity) in limits {
        super::default_to(&mut container["resources"], "requests", Map::new());
        super::default_to(&mut container["resources"]["requests"], &name, quantity);
    }
}

/// A new pod is pending, with the quality of service that its resources give it, and runs as `default`.
pub(super) fn prepare_create(pod: &mut Value) {
    pod["status"] = json!({"phase": "Pending", "qosClass": quality_of_service(pod)});
    super::default_to(&mut pod["spec"], "serviceAccountName", "default");
    let account = pod["spec"]["serviceAccountName"].clone();
    super::default_to(&mut pod["spec"], "serviceAccount", account);
    super::default_to(&mut pod["spec"], "preemptionPolicy", "PreemptLowerPriority");
    super::default_to(&mut pod["spec"], "priority", 0);
    let seconds =
        |key: &str| json!({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300});
    super::default_to(&mut pod["spec"], "tolerations", Vec::<Value>::new());
    if let Some(tolerations) = pod["spec"]["tolerations"].as_array_mut() {
        for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
            let covered = |toleration: &Value| {
                toleration["key"] == key || (toleration["operator"] == "Exists" && toleration["key"].is_null())
            };
            if !tolerations.iter().any(covered) {
                tolerations.push(seconds(key));
            }
        }
    }
}

fn quality_of_service(pod: &Value) -> &'static str {
    let containers: Vec<&Value> = ["containers", "initContainers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
        .collect();
    let amount = |container: &Value, list: &str, name: &str| container["resources"][list].get(name).cloned();
    let any = containers.iter().any(|container| {
        ["requests", "limits"].iter().any(|list| {
            ["cpu", "memory"]
                .iter()
                .any(|name| amount(container, list, name).is_some())
        })
    });
    let guaranteed = containers.iter().all(|container| {
        ["cpu", "memory"].iter().all(|name| {
            let limit = amount(container, "limits", name);
            limit.is_some() && limit == amount(container, "requests", name)
        })
    });
    match (any, guaranteed) {
        (false, _) => "BestEffort",
        (true, true) => "Guaranteed",
        (true, false) => "Burstable",
    }
}

/// How many seconds the deletion of a pod may take: none if it is not scheduled or has ended.
pub(crate) fn deletion_grace(pod: &Value, asked: Option<i64>) -> i64 {
    let scheduled = pod["spec"]["nodeName"].as_str().is_some_and(|node| !node.is_empty());
    let ended = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    if !scheduled || ended {
        return 0;
    }
    let grace = asked
        .or_else(|| pod["spec"]["terminationGracePeriodSeconds"].as_i64())
        .unwrap_or(0);
    if grace < 0 { 1 } else { grace }
}

pub(super) fn problems(old: Option<&Value>, pod: &Value) -> Vec<FieldError> {
    match old {
        None => new_problems(pod),
        Some(old) => update::problems(&old["spec"], &pod["spec"]),
    }
}

fn new_problems(pod: &Value) -> Vec<FieldError> {
    let mut errors = spec_problems(&pod["spec"], "spec");
    errors.extend(volume_problems(&pod["spec"], "spec"));
    let policy = &pod["spec"]["restartPolicy"];
    if !matches!(policy.as_str(), Some("Always" | "OnFailure" | "Never")) {
        errors.push(FieldError::not_supported(
            "spec.restartPolicy",
            policy,
            &["Always", "OnFailure", "Never"],
        ));
    }
    errors
}

/// What is wrong with the containers of a pod or of a template; `path` is where its spec is.
pub(super) fn spec_problems(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let containers = spec["containers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if containers.is_empty() {
        errors.push(FieldError::required(format!("{path}.containers"), ""));
    }
    let mut seen: Vec<&str> = Vec::new();
    for (index, container) in containers.iter().enumerate() {
        let path = format!("{path}.containers[{index}]");
        match container["name"].as_str().unwrap_or_default() {
            "" => errors.push(FieldError::required(format!("{path}.name"), "")),
            name if seen.contains(&name) => {
                errors.push(FieldError::duplicate(format!("{path}.name"), &container["name"]));
            }
            name => {
                seen.push(name);
                for problem in crate::api::names::NameRule::Label.problems(name) {
                    errors.push(FieldError::invalid(format!("{path}.name"), &container["name"], problem));
                }
            }
        }
        if container["image"].as_str().unwrap_or_default().is_empty() {
            errors.push(FieldError::required(format!("{path}.image"), ""));
        }
    }
    errors.extend(containers::problems(spec, path));
    errors
}
