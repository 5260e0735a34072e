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
    /// The room of every node that is open to Pods.
    pub(crate) fn of(nodes: &[Value], pods: &[Value]) -> Vec<Self> {
        nodes
            .iter()
            .filter(|node| node.pointer("/spec/unschedulable") != Some(&Value::Bool(true)))
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
        let room = Room::of(&[node("a"), closed], &pods);
        assert_eq!(
            room,
            [Room {
                hostname: "a".to_owned(),
                free_millis: 2_250
            }]
        );
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
