//! Single facts about a Pod, and about whose an object is.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use torpor_api::{PodInfo, Sandbox, env};

/// Whether the object is controlled by this very sandbox, not by an earlier one of the same name.
pub(crate) fn is_ours(object: &impl ResourceExt, sandbox: &Sandbox) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && Some(&owner.uid) == sandbox.metadata.uid.as_ref())
}

/// Whether all its containers have ended for good, or the sandbox's has: none of them begins anew, and others may go on beside it.
pub(crate) fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Failed" | "Succeeded")) || has_lost_its_sandbox(pod)
}

/// Whether the container that has the agent has ended. What a watch keeps of a Pod does not tell; such a Pod is not ready, and is read.
fn has_lost_its_sandbox(pod: &Pod) -> bool {
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let sandbox = containers.find(|container| {
        let mut variables = container.env.iter().flatten();
        variables.any(|variable| variable.name == env::SANDBOX_UID)
    });
    let statuses = pod
        .status
        .iter()
        .flat_map(|status| status.container_statuses.iter().flatten());
    let mut states = statuses
        .filter(|status| sandbox.is_some_and(|sandbox| sandbox.name == status.name))
        .filter_map(|status| status.state.as_ref());
    states.any(|state| state.terminated.is_some())
}

/// Whether the cluster ended it: evicted where its node ran out of something or was shut down.
pub(super) fn is_taken_away(pod: &Pod) -> bool {
    has_condition(pod, "DisruptionTarget")
}

/// Whether it takes traffic.
pub(super) fn is_ready(pod: &Pod) -> bool {
    has_condition(pod, "Ready")
}

fn has_condition(pod: &Pod, kind: &str) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|condition| condition.type_ == kind && condition.status == "True")
}

/// How often its containers began anew.
pub(super) fn restarts(pod: &Pod) -> i32 {
    let containers = pod
        .status
        .as_ref()
        .and_then(|status| status.container_statuses.as_ref());
    containers.map_or(0, |all| all.iter().map(|container| container.restart_count).sum())
}

/// The checkpoint that it was to start from, by what its agent was told. The annotation says the same to people: anybody
/// who may annotate a Pod can change it, and the environment of its containers nobody can.
pub(super) fn to_restore(pod: &Pod) -> Option<u64> {
    let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    let mut variables = containers.flat_map(|container| container.env.iter().flatten());
    let told = variables.find(|variable| variable.name == env::RESTORE_GENERATION)?;
    told.value.as_ref()?.parse().ok()
}

/// What the status tells of it.
pub(super) fn pod_info(pod: &Pod) -> PodInfo {
    PodInfo {
        pod_uid: pod.metadata.uid.clone().unwrap_or_default(),
        pod_ip: pod.status.as_ref().and_then(|status| status.pod_ip.clone()),
        node_name: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
    }
}

/// Whom it belongs to, for people.
pub(crate) fn owner(object: &impl ResourceExt) -> String {
    let controller = object
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    controller.map_or_else(
        || "nobody".to_owned(),
        |owner| format!("{} {} ({})", owner.kind, owner.name, owner.uid),
    )
}

/// Why it ended, for people.
pub(super) fn ending(pod: &Pod) -> String {
    let Some(status) = &pod.status else {
        return "no reason given".to_owned();
    };
    let terminated = status.container_statuses.iter().flatten().find_map(|container| {
        let terminated = container.state.as_ref()?.terminated.as_ref()?;
        let reason = terminated
            .message
            .as_ref()
            .or(terminated.reason.as_ref())
            .map_or("no reason given", |text| text);
        Some(format!(
            "container {} exited with code {}: {reason}",
            container.name, terminated.exit_code
        ))
    });
    status
        .message
        .clone()
        .or(terminated)
        .or(status.reason.clone())
        .unwrap_or_else(|| "no reason given".to_owned())
}
