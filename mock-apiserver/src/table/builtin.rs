//! The columns of built-in kinds, as `kubectl` users know them.

use super::Column;
use super::age::age;
use crate::api::meta;
use crate::catalog::Resource;
use jiff::Timestamp;
use serde_json::Value;

fn plain(names: &[&str]) -> Vec<Column> {
    names.iter().map(|name| Column::new(name, "string")).collect()
}

pub(super) fn columns(resource: &Resource) -> Vec<Column> {
    let (middle, wide): (&[&str], &[&str]) = match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => (
            &["Ready", "Status", "Restarts", "Age"],
            &["IP", "Node", "Nominated Node", "Readiness Gates"],
        ),
        ("", "Node") => (&["Status", "Roles", "Age", "Version"], &["Internal-IP"]),
        ("", "Namespace") => (&["Status", "Age"], &[]),
        ("", "ConfigMap") => (&["Data", "Age"], &[]),
        ("", "Secret") => (&["Type", "Data", "Age"], &[]),
        ("", "Service") => (&["Type", "Cluster-IP", "External-IP", "Port(s)", "Age"], &["Selector"]),
        ("", "PersistentVolumeClaim") => (
            &["Status", "Volume", "Capacity", "Access Modes", "StorageClass", "Age"],
            &[],
        ),
        ("" | "events.k8s.io", "Event") => {
            return [
                plain(&["Last Seen", "Type", "Reason", "Object", "Message"]),
                vec![Column::wide("Source"), Column::wide("Name")],
            ]
            .concat();
        }
        ("apps", "Deployment") => (&["Ready", "Up-to-date", "Available", "Age"], &[]),
        ("apps", "ReplicaSet") => (&["Desired", "Current", "Ready", "Age"], &[]),
        ("apps", "StatefulSet") => (&["Ready", "Age"], &[]),
        ("batch", "Job") => (&["Status", "Completions", "Age"], &[]),
        ("coordination.k8s.io", "Lease") => (&["Holder", "Age"], &[]),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => (&["Created At"], &[]),
        _ => (&["Age"], &[]),
    };
    let mut columns = vec![Column::name()];
    columns.extend(plain(middle));
    columns.extend(wide.iter().map(|name| Column::wide(name)));
    columns
}

pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let old = || age(&object["metadata"]["creationTimestamp"], now);
    let text = |pointer: &str| {
        object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let number = |pointer: &str| object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0).to_string();
    let ready = |part: &str, all: &str| format!("{}/{}", number(part), number(all));
    let count = || {
        ["data", "binaryData"]
            .iter()
            .map(|m| object[m].as_object().map_or(0, serde_json::Map::len))
            .sum::<usize>()
    };
    let (ready_replicas, replicas) = ("/status/readyReplicas", "/spec/replicas");
    let rest: Vec<String> = match (resource.group.as_str(), resource.kind.as_str()) {
        ("", "Pod") => pod(object, old()),
        ("", "Node") => vec![
            node_status(object),
            roles(object),
            old(),
            text("/status/nodeInfo/kubeletVersion"),
            or_none(&address(object)),
        ],
        ("", "Namespace") => vec![text("/status/phase"), old()],
        ("", "ConfigMap") => vec![count().to_string(), old()],
        ("", "Secret") => vec![text("/type"), count().to_string(), old()],
        ("", "Service") => service(object, old()),
        ("", "PersistentVolumeClaim") => vec![
            text("/status/phase"),
            text("/spec/volumeName"),
            text("/status/capacity/storage"),
            meta::strings(&object["spec"]["accessModes"]).join(","),
            text("/spec/storageClassName"),
            old(),
        ],
        ("" | "events.k8s.io", "Event") => return event(object, now),
        ("apps", "Deployment") => vec![
            ready(ready_replicas, replicas),
            number("/status/updatedReplicas"),
            number("/status/availableReplicas"),
            old(),
        ],
        ("apps", "ReplicaSet") => vec![
            number(replicas),
            number("/status/replicas"),
            number(ready_replicas),
            old(),
        ],
        ("apps", "StatefulSet") => vec![ready(ready_replicas, replicas), old()],
        ("batch", "Job") => {
            let done = object["status"].get("completionTime").is_some();
            vec![
                if done { "Complete" } else { "Running" }.to_owned(),
                ready("/status/succeeded", "/spec/completions"),
                old(),
            ]
        }
        ("coordination.k8s.io", "Lease") => vec![text("/spec/holderIdentity"), old()],
        ("apiextensions.k8s.io", "CustomResourceDefinition") => vec![text("/metadata/creationTimestamp")],
        _ => vec![old()],
    };
    std::iter::once(meta::name(object).to_owned())
        .chain(rest)
        .map(Value::from)
        .collect()
}

fn or_none(text: &str) -> String {
    if text.is_empty() {
        "<none>".to_owned()
    } else {
        text.to_owned()
    }
}

fn pod(pod: &Value, age: String) -> Vec<String> {
    let statuses = pod["status"]["containerStatuses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let restarts: i64 = statuses
        .iter()
        .filter_map(|status| status["restartCount"].as_i64())
        .sum();
    let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let waiting = statuses.iter().find_map(|status| {
        let state = &status["state"];
        state["waiting"]["reason"]
            .as_str()
            .or_else(|| state["terminated"]["reason"].as_str())
    });
    let status = match (
        meta::is_deleting(pod),
        waiting,
        text("/status/reason"),
        text("/status/phase"),
    ) {
        (true, _, _, _) => "Terminating",
        (false, Some(reason), _, _) => reason,
        (false, None, "", "Succeeded") => "Completed",
        (false, None, "", phase) => phase,
        (false, None, reason, _) => reason,
    };
    vec![
        format!("{ready}/{all}"),
        status.to_owned(),
        restarts.to_string(),
        age,
        or_none(text("/status/podIP")),
        or_none(text("/spec/nodeName")),
        or_none(text("/status/nominatedNodeName")),
        "<none>".to_owned(),
    ]
}

fn node_status(node: &Value) -> String {
    let conditions = node["status"]["conditions"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")
        .map(|condition| condition["status"] == "True");
    let mut status = match ready {
        Some(true) => "Ready".to_owned(),
        Some(false) => "NotReady".to_owned(),
        None => "Unknown".to_owned(),
    };
    if node["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    status
}

fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    or_none(&roles.join(","))
}

fn address(node: &Value) -> String {
    let addresses = node["status"]["addresses"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let internal = addresses.iter().find(|address| address["type"] == "InternalIP");
    internal
        .and_then(|address| address["address"].as_str())
        .unwrap_or_default()
        .to_owned()
}

fn service(service: &Value, age: String) -> Vec<String> {
    let spec = &service["spec"];
    let ports: Vec<String> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| format!("{}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP")))
        .collect();
    let selector: Vec<String> = spec["selector"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    let text = |member: &str| spec[member].as_str().unwrap_or_default().to_owned();
    vec![
        text("type"),
        or_none(&text("clusterIP")),
        "<none>".to_owned(),
        or_none(&ports.join(",")),
        age,
        or_none(&selector.join(",")),
    ]
}

fn event(event: &Value, now: Timestamp) -> Vec<Value> {
    let first_of = |members: &[&str]| {
        members
            .iter()
            .map(|m| &event[*m])
            .find(|value| value.is_string())
            .cloned()
            .unwrap_or_default()
    };
    let involved = if event["involvedObject"].is_object() {
        &event["involvedObject"]
    } else {
        &event["regarding"]
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let seen = first_of(&["lastTimestamp", "eventTime", "firstTimestamp"]);
    let seen = if seen.is_null() {
        event["metadata"]["creationTimestamp"].clone()
    } else {
        seen
    };
    let source = first_of(&["reportingComponent", "reportingController"]);
    let source = if source == "" || source.is_null() {
        event["source"]["component"].clone()
    } else {
        source
    };
    vec![
        age(&seen, now).into(),
        text(&event["type"]).into(),
        text(&event["reason"]).into(),
        format!("{}/{}", text(&involved["kind"]).to_lowercase(), text(&involved["name"])).into(),
        text(&first_of(&["message", "note"])).trim().into(),
        text(&source).into(),
        meta::name(event).into(),
    ]
}
