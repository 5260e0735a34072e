//! What a run is made on: looked at once, before the first case. What cannot be found out is
//! absent, and no reason not to run.

use std::collections::BTreeMap;
use std::time::Duration;

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde_json::Value;

use crate::report::{ClusterFacts, Environment, MachineFacts, NodeFacts};
use crate::target::{KubernetesTarget, Target};

/// How long a cluster may take to say what it is.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn look_at(target: &Target) -> Environment {
    let cluster = match &target.kubernetes {
        Some(kubernetes) => tokio::time::timeout(PATIENCE, cluster(kubernetes)).await.ok().flatten(),
        None => None,
    };
    Environment {
        suite: machine().await,
        cluster,
    }
}

async fn machine() -> MachineFacts {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok();
    MachineFacts {
        os: std::env::consts::OS.to_owned(),
        architecture: std::env::consts::ARCH.to_owned(),
        kernel: kernel.map(|text| text.trim().to_owned()),
        criu: criu().await,
        held_up_seconds: 0,
        processors: std::thread::available_parallelism().map_or(1, usize::from),
    }
}

/// The first line that CRIU says of its version.
async fn criu() -> Option<String> {
    let asked = tokio::process::Command::new("criu").arg("--version").output();
    let output = tokio::time::timeout(PATIENCE, asked).await.ok()?.ok()?;
    let line = String::from_utf8_lossy(&output.stdout)
        .lines()
        .next()?
        .trim()
        .to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

async fn cluster(target: &KubernetesTarget) -> Option<ClusterFacts> {
    let version = target.client.apiserver_version().await.ok()?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("", "v1", "Node"));
    let nodes: Api<DynamicObject> = Api::all_with(target.client.clone(), &resource);
    let listed = nodes.list(&ListParams::default()).await.ok();
    Some(ClusterFacts {
        version: version.git_version,
        platform: version.platform,
        nodes: listed.map(|nodes| kinds_of(nodes.items.iter().map(|node| &node.data))),
    })
}

/// Nodes that say the same of themselves, counted.
fn kinds_of<'a>(nodes: impl Iterator<Item = &'a Value>) -> Vec<NodeFacts> {
    let mut kinds: BTreeMap<NodeFacts, usize> = BTreeMap::new();
    for node in nodes {
        let text = |field: &str| {
            let found = node.pointer(&format!("/status/nodeInfo/{field}"));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let kind = NodeFacts {
            kernel: text("kernelVersion"),
            container_runtime: text("containerRuntimeVersion"),
            kubelet: text("kubeletVersion"),
            architecture: text("architecture"),
            count: 0,
        };
        *kinds.entry(kind).or_default() += 1;
    }
    kinds
        .into_iter()
        .map(|(kind, count)| NodeFacts { count, ..kind })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nodes_that_are_alike_are_counted_and_others_kept_apart() {
        let node = |kernel: &str| json!({"status": {"nodeInfo": {"kernelVersion": kernel}}});
        let nodes = [node("6.1"), node("6.8"), node("6.1"), json!({})];
        let kinds = kinds_of(nodes.iter());
        let seen: Vec<_> = kinds.iter().map(|kind| (kind.kernel.as_str(), kind.count)).collect();
        assert_eq!(seen, [("", 1), ("6.1", 2), ("6.8", 1)]);
    }
}
