//! What containers may ask for: ports, resources, and volumes that are there.

use crate::api::field::FieldError;
use crate::types::amount;
use serde_json::Value;

const LISTS: [&str; 2] = ["initContainers", "containers"];

/// What is wrong with the ports and the resources of containers; `path` is where their spec is.
pub(super) fn problems(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    each(spec, path, |path, container| {
        errors.extend(port_problems(container, path));
        errors.extend(resource_problems(&container["resources"], &format!("{path}.resources")));
    });
    errors
}

/// What is wrong with the volumes of a pod or of a template, and with where containers mount them.
pub(in crate::kinds) fn volume_problems(spec: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut known: Vec<&str> = Vec::new();
    for (index, volume) in items(&spec["volumes"]).iter().enumerate() {
        let name = volume["name"].as_str().unwrap_or_default();
        let at = format!("{path}.volumes[{index}].name");
        if name.is_empty() {
            errors.push(FieldError::required(at, ""));
        } else if known.contains(&name) {
            errors.push(FieldError::duplicate(at, &volume["name"]));
        } else {
            known.push(name);
        }
    }
    each(spec, path, |path, container| {
        for (index, mount) in items(&container["volumeMounts"]).iter().enumerate() {
            let name = mount["name"].as_str().unwrap_or_default();
            let at = format!("{path}.volumeMounts[{index}].name");
            if name.is_empty() {
                errors.push(FieldError::required(&at, ""));
            }
            if !known.contains(&name) {
                errors.push(FieldError::not_found(at, &mount["name"]));
            }
        }
    });
    errors
}

fn port_problems(container: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (index, port) in items(&container["ports"]).iter().enumerate() {
        let path = format!("{path}.ports[{index}]");
        if matches!(port["containerPort"].as_i64(), None | Some(0)) {
            errors.push(FieldError::required(format!("{path}.containerPort"), ""));
        }
        for member in ["containerPort", "hostPort"] {
            let number = port[member].as_i64().unwrap_or(0);
            // Zero is none.
            if !(0..=65_535).contains(&number) {
                let detail = "must be between 1 and 65535, inclusive";
                errors.push(FieldError::invalid(format!("{path}.{member}"), &port[member], detail));
            }
        }
    }
    errors
}

/// Nobody may ask for more than is allowed at most; what cannot be shared is asked for as a whole.
fn resource_problems(resources: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for (name, asked) in resources["requests"].as_object().into_iter().flatten() {
        let Some(limit) = resources["limits"].get(name) else {
            continue;
        };
        let (Some(most), Some(much)) = (amount(limit), amount(asked)) else {
            continue;
        };
        let shown = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
        let why = if much != most && !is_shared(name) {
            format!("must be equal to {name} limit of {shown}")
        } else if much > most {
            format!("must be less than or equal to {name} limit of {shown}")
        } else {
            continue;
        };
        errors.push(FieldError::invalid(format!("{path}.requests"), asked, why));
    }
    errors
}

/// Whether a node may promise more of it than it has.
fn is_shared(resource: &str) -> bool {
    let native = resource
        .split_once('/')
        .is_none_or(|(domain, _)| domain == "kubernetes.io");
    native && !resource.starts_with("hugepages-")
}

fn each(spec: &Value, path: &str, mut see: impl FnMut(&str, &Value)) {
    for list in LISTS {
        for (index, container) in items(&spec[list]).iter().enumerate() {
            see(&format!("{path}.{list}[{index}]"), container);
        }
    }
}

fn items(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}
