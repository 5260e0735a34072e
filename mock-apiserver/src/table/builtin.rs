//! The columns of built-in kinds, as `kubectl` users know them.

use super::age::age;
use super::node::{address, node_status, roles};
use super::{AGE_DESCRIPTION, Column};
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
        ("" | "events.k8s.io", "Event") => {
            return [
                plain(&["Last Seen", "Type", "Reason", "Object", "Message"]),
                vec![Column::wide("Source"), Column::wide("Name")],
            ]
            .concat();
        }
        ("", "ServiceAccount") => (&["Secrets", "Age"], &[]),
        ("apps", "Deployment") => (
            &["Ready", "Up-to-date", "Available", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        ("apps", "ReplicaSet") => (
            &["Desired", "Current", "Ready", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        ("apps", "StatefulSet") => (&["Ready", "Age"], &["Containers", "Images"]),
        ("rbac.authorization.k8s.io", "RoleBinding" | "ClusterRoleBinding") => {
            (&["Role", "Age"], &["Users", "Groups", "ServiceAccounts"])
        }
        ("batch", "Job") => (
            &["Status", "Completions", "Duration", "Age"],
            &["Containers", "Images", "Selector"],
        ),
        ("coordination.k8s.io", "Lease") => (&["Holder", "Age"], &[]),
        // What a real server shows where it knows no columns for a kind.
        ("", "LimitRange")
        | ("rbac.authorization.k8s.io", "Role" | "ClusterRole")
        | ("apiextensions.k8s.io", "CustomResourceDefinition") => (&["Created At"], &[]),
        _ => (&["Age"], &[]),
    };
    let mut columns = vec![Column::name()];
    columns.extend(plain(middle));
    if let Some(created) = columns.iter_mut().find(|column| column.name == "Created At") {
        "date".clone_into(&mut created.kind);
        AGE_DESCRIPTION.clone_into(&mut created.description);
    }
    columns.extend(wide.iter().map(|name| Column::wide(name)));
    columns
}

/// What the cells of an object are made from.
struct Cells<'a> {
    object: &'a Value,
    now: Timestamp,
}

impl Cells<'_> {
    fn age(&self) -> String {
        age(&self.object["metadata"]["creationTimestamp"], self.now)
    }

    fn text(&self, pointer: &str) -> String {
        self.object
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }

    fn number(&self, pointer: &str) -> String {
        self.object
            .pointer(pointer)
            .and_then(Value::as_i64)
            .unwrap_or(0)
            .to_string()
    }

    fn entries(&self) -> String {
        let count = |member: &str| self.object[member].as_object().map_or(0, serde_json::Map::len);
        (count("data") + count("binaryData")).to_string()
    }

    /// Ready and wanted replicas, e.g. `1/3`.
    fn ready(&self) -> String {
        format!(
            "{}/{}",
            self.number("/status/readyReplicas"),
            self.number("/spec/replicas")
        )
    }
}

pub(super) fn cells(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    let cells = Cells { object, now };
    let rest = match resource.group.as_str() {
        "" | "events.k8s.io" if resource.kind == "Event" => return event(object, now),
        "" => core_cells(&resource.kind, &cells),
        _ => group_cells(&resource.kind, &cells),
    };
    std::iter::once(meta::name(object).to_owned())
        .chain(rest)
        .map(Value::from)
        .collect()
}

/// Cells of the core group.
fn core_cells(kind: &str, cells: &Cells<'_>) -> Vec<String> {
    let (object, age) = (cells.object, cells.age());
    match kind {
        "Pod" => pod(object, age),
        "Node" => vec![
            node_status(object),
            roles(object),
            age,
            cells.text("/status/nodeInfo/kubeletVersion"),
            or_none(&address(object)),
        ],
        "Namespace" => vec![cells.text("/status/phase"), age],
        "LimitRange" => vec![cells.text("/metadata/creationTimestamp")],
        "ServiceAccount" => vec![object["secrets"].as_array().map_or(0, Vec::len).to_string(), age],
        "ConfigMap" => vec![cells.entries(), age],
        "Secret" => vec![cells.text("/type"), cells.entries(), age],
        "Service" => service(object, age),
        _ => vec![age],
    }
}

/// Cells of the other groups.
fn group_cells(kind: &str, cells: &Cells<'_>) -> Vec<String> {
    let age = cells.age();
    match kind {
        "Deployment" => {
            let [names, images] = containers(cells.object);
            let updated = cells.number("/status/updatedReplicas");
            let available = cells.number("/status/availableReplicas");
            vec![
                cells.ready(),
                updated,
                available,
                age,
                names,
                images,
                selector(cells.object),
            ]
        }
        "ReplicaSet" => {
            let [names, images] = containers(cells.object);
            let [desired, current, ready] =
                ["/spec/replicas", "/status/replicas", "/status/readyReplicas"].map(|pointer| cells.number(pointer));
            vec![desired, current, ready, age, names, images, selector(cells.object)]
        }
        "StatefulSet" => {
            let [names, images] = containers(cells.object);
            vec![cells.ready(), age, names, images]
        }
        "Job" => job(cells, age),
        "Lease" => vec![cells.text("/spec/holderIdentity"), age],
        "RoleBinding" | "ClusterRoleBinding" => role_binding(cells.object, age),
        "CustomResourceDefinition" | "Role" | "ClusterRole" => vec![cells.text("/metadata/creationTimestamp")],
        _ => vec![age],
    }
}

fn job(cells: &Cells<'_>, age: String) -> Vec<String> {
    let status = &cells.object["status"];
    let is = |name: &str| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions
            .into_iter()
            .any(|condition| condition["type"] == name && condition["status"] == "True")
    };
    let shown = if is("Complete") {
        "Complete"
    } else if is("Failed") {
        "Failed"
    } else if meta::is_deleting(cells.object) {
        "Terminating"
    } else if is("Suspended") {
        "Suspended"
    } else {
        "Running"
    };
    let wanted = cells.object["spec"]["completions"].as_i64().unwrap_or(1);
    let completions = format!("{}/{wanted}", cells.number("/status/succeeded"));
    let end = status["completionTime"].as_str().and_then(|end| end.parse().ok());
    let duration = if status["startTime"].is_string() {
        super::age::age(&status["startTime"], end.unwrap_or(cells.now))
    } else {
        String::new()
    };
    let [names, images] = containers(cells.object);
    vec![
        shown.to_owned(),
        completions,
        duration,
        age,
        names,
        images,
        selector(cells.object),
    ]
}

/// Names and images of the containers that a template makes.
fn containers(object: &Value) -> [String; 2] {
    ["name", "image"].map(|member| {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array();
        let texts = containers.into_iter().flatten().filter_map(|one| one[member].as_str());
        texts.collect::<Vec<_>>().join(",")
    })
}

/// The labels that a selector asks for.
fn selector(object: &Value) -> String {
    let labels = object["spec"]["selector"]["matchLabels"].as_object();
    let terms = labels.into_iter().flatten();
    let terms: Vec<String> = terms
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    or_none(&terms.join(","))
}

fn role_binding(binding: &Value, age: String) -> Vec<String> {
    let role = &binding["roleRef"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let subjects = |kind: &str| {
        let all = binding["subjects"].as_array().into_iter().flatten();
        let names = all.filter(|subject| subject["kind"] == kind).map(|subject| match kind {
            "ServiceAccount" => format!("{}/{}", text(&subject["namespace"]), text(&subject["name"])),
            _ => text(&subject["name"]),
        });
        names.collect::<Vec<_>>().join(", ")
    };
    vec![
        format!("{}/{}", text(&role["kind"]), text(&role["name"])),
        age,
        subjects("User"),
        subjects("Group"),
        subjects("ServiceAccount"),
    ]
}

pub(super) fn or_none(text: &str) -> String {
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
        (false, None, "", "Succeeded") => "Completed",
        (false, None, "", reason) | (false, Some(reason), _, _) | (false, None, reason, _) => reason,
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

fn service(service: &Value, age: String) -> Vec<String> {
    let spec = &service["spec"];
    let ports: Vec<String> = spec["ports"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|port| {
            let node = port["nodePort"]
                .as_u64()
                .map_or_else(String::new, |node| format!(":{node}"));
            format!("{}{node}/{}", port["port"], port["protocol"].as_str().unwrap_or("TCP"))
        })
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
        external_address(service),
        or_none(&ports.join(",")),
        age,
        or_none(&selector.join(",")),
    ]
}

/// Where a service is reached from outside.
fn external_address(service: &Value) -> String {
    let spec = &service["spec"];
    let mut addresses: Vec<&str> = Vec::new();
    if spec["type"] == "LoadBalancer" {
        let given = service["status"]["loadBalancer"]["ingress"]
            .as_array()
            .into_iter()
            .flatten();
        addresses.extend(given.filter_map(|one| one["ip"].as_str().or_else(|| one["hostname"].as_str())));
    }
    addresses.extend(meta::strings(&spec["externalIPs"]));
    match spec["type"].as_str() {
        Some("ExternalName") => spec["externalName"].as_str().unwrap_or_default().to_owned(),
        Some("LoadBalancer") if addresses.is_empty() => "<pending>".to_owned(),
        Some(_) | None => or_none(&addresses.join(",")),
    }
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
