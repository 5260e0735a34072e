//! The status that this node writes for a Pod, and what it reads there. Pure: facts and a timestamp in, JSON out.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use torpor_api::WorkloadState;

use crate::SandboxContainer;

/// How far the container of a Pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainerStage {
    /// It runs and does not serve yet.
    Starting,
    /// It serves.
    Ready,
    /// It runs and will not serve: the agent could not start or restore its workload.
    Unready {
        /// What was attempted and what went wrong.
        message: String,
    },
    /// It has ended by itself, and what it held in memory is gone.
    Ended {
        /// How it ended.
        message: String,
    },
}

impl ContainerStage {
    /// The stage of a container that runs, by what its agent says.
    #[must_use]
    pub fn of(workload: &WorkloadState) -> Self {
        match workload {
            WorkloadState::Starting => Self::Starting,
            // A frozen container is still healthy to the node; whether it is routed to is the controller's word.
            WorkloadState::Serving | WorkloadState::Frozen => Self::Ready,
            WorkloadState::Torn { message } | WorkloadState::Failed { message } => Self::Unready {
                message: message.clone(),
            },
        }
    }
}

/// Facts about a started Pod.
#[derive(Clone, Debug)]
pub(crate) struct StartedPod {
    pub(crate) container: SandboxContainer,
    pub(crate) container_id: String,
    pub(crate) pod_ip: IpAddr,
    pub(crate) host_ip: IpAddr,
    pub(crate) started_at: Timestamp,
}

/// The status of a Pod whose container was started.
pub(crate) fn started(pod: &StartedPod, stage: &ContainerStage, now: Timestamp) -> Value {
    let (ready, message) = match stage {
        ContainerStage::Starting => (false, None),
        ContainerStage::Ready => (true, None),
        ContainerStage::Unready { message } => (false, Some(message.as_str())),
        ContainerStage::Ended { message } => return failed("ContainerDied", message, now),
    };
    let flag = |kind: &str, status: bool, at: Timestamp| {
        let mut condition = json!({
            "type": kind, "status": if status { "True" } else { "False" }, "lastTransitionTime": seconds(at),
        });
        if !status {
            condition["reason"] = json!("ContainersNotReady");
            condition["message"] = json!(message.map_or_else(
                || format!("containers with unready status: [{}]", pod.container.name),
                str::to_owned
            ));
        }
        condition
    };
    json!({
        "phase": "Running",
        "conditions": [
            flag("PodScheduled", true, pod.started_at),
            flag("Initialized", true, pod.started_at),
            flag("ContainersReady", ready, now),
            flag("Ready", ready, now),
        ],
        "hostIP": pod.host_ip.to_string(),
        "podIP": pod.pod_ip.to_string(),
        "podIPs": [{ "ip": pod.pod_ip.to_string() }],
        "startTime": seconds(pod.started_at),
        "containerStatuses": [{
            "name": pod.container.name,
            "image": pod.container.image,
            "imageID": "",
            "containerID": pod.container_id,
            "ready": ready,
            "started": true,
            "restartCount": 0,
            "state": { "running": { "startedAt": seconds(pod.started_at) } },
        }],
    })
}

/// The status of a Pod that does not fit on the node.
pub(crate) fn unschedulable(missing: &[&str], now: Timestamp) -> Value {
    let reasons: Vec<String> = missing.iter().map(|reason| format!("1 {reason}")).collect();
    json!({
        "phase": "Pending",
        "conditions": [{
            "type": "PodScheduled", "status": "False", "lastTransitionTime": seconds(now), "reason": "Unschedulable",
            "message": format!("0/1 nodes are available: {}.", reasons.join(", ")),
        }],
    })
}

/// The status of a Pod that this node cannot run.
pub(crate) fn rejected(message: &str, now: Timestamp) -> Value {
    json!({ "phase": "Failed", "reason": "NodeRejected", "message": message, "startTime": seconds(now) })
}

/// The status of a Pod whose container went down with an earlier life of this node.
pub(crate) fn lost(now: Timestamp) -> Value {
    failed(
        "NodeRestarted",
        "the node was restarted; the container is gone with what it held in memory",
        now,
    )
}

/// The status of a Pod whose container is gone.
fn failed(reason: &str, message: &str, now: Timestamp) -> Value {
    let not_ready = |kind: &str| {
        json!({
            "type": kind, "status": "False", "lastTransitionTime": seconds(now), "reason": "PodFailed",
        })
    };
    json!({
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "conditions": [not_ready("ContainersReady"), not_ready("Ready")],
        "containerStatuses": [],
    })
}

/// RFC 3339 in whole seconds, as Kubernetes writes it.
fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Whether the Pod has ended and will not run again.
pub(crate) fn is_finished(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded"))
}

/// Whether a node has started containers of the Pod.
pub(crate) fn was_started(pod: &Pod) -> bool {
    let statuses = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    statuses.is_some_and(|statuses| !statuses.is_empty())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn pod() -> StartedPod {
        StartedPod {
            container: SandboxContainer {
                name: "sandbox".to_owned(),
                image: "i".to_owned(),
                env: std::collections::BTreeMap::default(),
                command: vec![],
                args: vec![],
                limits: crate::Limits::default(),
            },
            container_id: "agent://1".to_owned(),
            pod_ip: Ipv4Addr::LOCALHOST.into(),
            host_ip: Ipv4Addr::LOCALHOST.into(),
            started_at: Timestamp::UNIX_EPOCH,
        }
    }

    fn ready(status: &Value) -> &str {
        let conditions = status["conditions"].as_array().expect("conditions");
        let ready = conditions
            .iter()
            .find(|condition| condition["type"] == "Ready")
            .expect("a Ready condition");
        ready["status"].as_str().expect("a status")
    }

    #[test]
    fn a_pod_is_ready_only_when_its_agent_serves() {
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(ready(&started(&pod(), &ContainerStage::Starting, now)), "False");
        assert_eq!(ready(&started(&pod(), &ContainerStage::Ready, now)), "True");
        let unready = started(
            &pod(),
            &ContainerStage::Unready {
                message: "no such checkpoint".to_owned(),
            },
            now,
        );
        assert_eq!(ready(&unready), "False");
        assert!(unready.to_string().contains("no such checkpoint"));
    }

    #[test]
    fn an_unschedulable_pod_says_what_is_missing() {
        let status = unschedulable(&["Insufficient cpu"], Timestamp::UNIX_EPOCH);
        assert_eq!(
            status["conditions"][0]["message"],
            "0/1 nodes are available: 1 Insufficient cpu."
        );
    }
}
