//! What the columns of a node show.

use super::builtin::or_none;
use serde_json::Value;

pub(super) fn node_status(node: &Value) -> String {
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

pub(super) fn roles(node: &Value) -> String {
    let labels = node["metadata"]["labels"].as_object();
    let roles: Vec<&str> = labels
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .filter_map(|key| key.strip_prefix("node-role.kubernetes.io/"))
        .collect();
    or_none(&roles.join(","))
}

pub(super) fn address(node: &Value) -> String {
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
