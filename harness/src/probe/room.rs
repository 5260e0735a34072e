//! How much CPU of each node no Pod has requested.

use serde_json::Value;

/// A node that takes Pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Room {
    /// Its label `kubernetes.io/hostname`.
    pub(crate) hostname: String,
    /// Thousandths of a core.
    pub(crate) free_millis: u64,
}

impl Room {
    /// The room of every node that is open to Pods with these tolerations.
    pub(crate) fn of(nodes: &[Value], pods: &[Value], tolerations: &[Value]) -> Vec<Self> {
        nodes
            .iter()
            .filter(|node| is_open(node, tolerations))
            .filter_map(|node| {
                let name = node.pointer("/metadata/name")?;
                let hostname = node.pointer("/metadata/labels/kubernetes.io~1hostname")?.as_str()?;
                let all = millis(node.pointer("/status/allocatable/cpu")?)?;
                let taken: u64 = pods
                    .iter()
                    .filter(|pod| pod.pointer("/spec/nodeName") == Some(name) && !is_over(pod))
                    .map(requested)
                    .sum();
                Some(Self {
                    hostname: hostname.to_owned(),
                    free_millis: all.saturating_sub(taken),
                })
            })
            .collect()
    }
}

/// Whether a node takes Pods with these tolerations and lets them run.
fn is_open(node: &Value, tolerations: &[Value]) -> bool {
    let taints = node.pointer("/spec/taints").and_then(Value::as_array);
    let mut closing = taints
        .into_iter()
        .flatten()
        .filter(|taint| matches!(taint["effect"].as_str(), Some("NoSchedule" | "NoExecute")));
    let tolerated = |taint: &Value| tolerations.iter().any(|toleration| tolerates(toleration, taint));
    node.pointer("/spec/unschedulable") != Some(&Value::Bool(true)) && closing.all(tolerated)
}

/// Whether a toleration is of that taint; a field that it leaves out is of any.
fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let text = |value: &Value, field: &str| value[field].as_str().unwrap_or_default().to_owned();
    let any_or_same = |field: &str| {
        let wanted = text(toleration, field);
        wanted.is_empty() || wanted == text(taint, field)
    };
    let valued = toleration["operator"] == "Exists" || text(toleration, "value") == text(taint, "value");
    any_or_same("key") && any_or_same("effect") && valued
}

fn is_over(pod: &Value) -> bool {
    matches!(
        pod.pointer("/status/phase").and_then(Value::as_str),
        Some("Succeeded" | "Failed")
    )
}

fn requested(pod: &Value) -> u64 {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    let requests = containers
        .into_iter()
        .flatten()
        .filter_map(|container| millis(container.pointer("/resources/requests/cpu")?));
    requests.sum()
}

/// A quantity of CPU in thousandths of a core: `2`, `0.5` or `250m`.
fn millis(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str().map_or_else(|| quantity.to_string(), str::to_owned);
    if let Some(millis) = text.strip_suffix('m') {
        return millis.parse().ok();
    }
    let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
    let thousandths: String = part.chars().chain("000".chars()).take(3).collect();
    Some(whole.parse::<u64>().ok()? * 1_000 + thousandths.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_live_pods_of_a_node_request_is_not_free() {
        let node = |name: &str| {
            json!({"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                   "status": {"allocatable": {"cpu": "4"}}})
        };
        let mut closed = node("closed");
        closed["spec"]["unschedulable"] = json!(true);
        let pod = |node: &str, cpu: &str, phase: &str| {
            json!({"spec": {"nodeName": node, "containers": [{"resources": {"requests": {"cpu": cpu}}}, {}]},
                   "status": {"phase": phase}})
        };
        let pods = [
            pod("a", "1.5", "Running"),
            pod("a", "250m", "Pending"),
            pod("a", "2", "Succeeded"),
        ];
        let room = Room::of(&[node("a"), closed], &pods, &[]);
        assert_eq!(
            room,
            [Room {
                hostname: "a".to_owned(),
                free_millis: 2_250
            }]
        );
    }

    #[test]
    fn a_tainted_node_has_room_only_for_pods_that_tolerate_it() {
        let taint = |effect: &str| json!([{"key": "role", "value": "control", "effect": effect}]);
        let node = |taints: Value| {
            json!({"metadata": {"name": "a", "labels": {"kubernetes.io/hostname": "a"}}, "spec": {"taints": taints},
                   "status": {"allocatable": {"cpu": "4"}}})
        };
        let open = |effect: &str, tolerations: Value| {
            let tolerations = tolerations.as_array().cloned().unwrap_or_default();
            !Room::of(&[node(taint(effect))], &[], &tolerations).is_empty()
        };
        for (effect, is_open) in [("NoSchedule", false), ("NoExecute", false), ("PreferNoSchedule", true)] {
            assert_eq!(open(effect, json!([])), is_open, "{effect}");
        }
        for (toleration, is_tolerated) in [
            (json!({"operator": "Exists"}), true),
            (
                json!({"key": "role", "operator": "Exists", "effect": "NoSchedule"}),
                true,
            ),
            (json!({"key": "role", "value": "control"}), true),
            (json!({"key": "role", "value": "worker"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (
                json!({"key": "role", "operator": "Exists", "effect": "NoExecute"}),
                false,
            ),
        ] {
            assert_eq!(open("NoSchedule", json!([toleration])), is_tolerated, "{toleration}");
        }
    }

    #[test]
    fn quantities_of_cpu_are_read_as_the_api_writes_them() {
        let cases = [
            (json!("2"), Some(2_000)),
            (json!(2), Some(2_000)),
            (json!("0.1"), Some(100)),
            (json!("x"), None),
        ];
        for (quantity, expected) in cases {
            assert_eq!(millis(&quantity), expected, "{quantity}");
        }
    }
}
