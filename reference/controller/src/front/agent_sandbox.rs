//! `agents.x-k8s.io/v1beta1`: what its Sandbox asks for, and its conditions.
//!
//! Condition types, reasons and texts are those of kubernetes-sigs/agent-sandbox where it has one for the
//! case. It knows of no checkpoints, so some reasons are added: `CheckpointCreating`, `CheckpointFailed`,
//! `RestoreFailed`, `StateLost`. Two of its habits are not followed: `Ready` is never true of a Pod that is
//! being deleted, and `Finished` never of one that ends because the sandbox is suspended.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use serde_json::{Map, Value};
use torpor_api::agent_sandbox::{OperatingMode, Sandbox, SandboxStatus};
use torpor_api::{ConditionType, LostPodPolicy, Phase, Reason, SandboxSpec, label};

use super::{Front, Fronted, fields};
use crate::companions::Companion;
use crate::conditions::{self, Verdict};
use crate::observe::{Reading, is_ours, is_over};

impl Fronted for Sandbox {
    const FRONT: Front = Front::AgentSandbox;

    fn into_sandbox(self) -> torpor_api::Sandbox {
        torpor_api::Sandbox {
            metadata: self.metadata,
            spec: SandboxSpec {
                paused: match self.spec.operating_mode {
                    OperatingMode::Running => false,
                    OperatingMode::Suspended => true,
                },
                shutdown_time: self.spec.shutdown_time,
                shutdown_policy: self.spec.shutdown_policy,
                // This API promises that a Pod which somebody deletes is made anew, and no context.
                lost_pod_policy: LostPodPolicy::Recreate,
                template: Some(self.spec.pod_template),
                volume_claim_templates: self.spec.volume_claim_templates,
                service: self.spec.service,
                ..SandboxSpec::default()
            },
            status: self.status.and_then(|status| status.torpor),
        }
    }

    fn published(&self) -> Map<String, Value> {
        fields(self.status.as_ref())
    }

    fn template_name(&self) -> Option<&str> {
        None
    }
}

/// The hash by which this API labels what belongs to a sandbox: FNV-1a of its name, 32 bits, in hex.
pub(super) fn name_hash(name: &str) -> String {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    format!("{hash:08x}")
}

/// The status of this front for `status`.
pub(super) fn publish(reading: &Reading, status: &torpor_api::SandboxStatus) -> SandboxStatus {
    let name = reading.sandbox.name_any();
    let mut published = Conditions {
        list: reading.published_conditions(),
        status,
        now: reading.whole_second(),
    };
    published.set("Suspended", Some(suspended(reading, status)));
    published.set("Ready", Some(ready(reading, status)));
    published.set("Finished", finished(reading, status));
    published.set("PodScheduled", own_pod(reading).and_then(scheduled));
    for kind in [ConditionType::ContextLost, ConditionType::ServiceProvided] {
        let told = conditions::find(status, kind);
        let verdict = told.map(|told| Verdict::new(&told.status, &told.reason, &told.message));
        published.set(kind.as_str(), verdict);
    }
    let served = has_service(reading);
    let namespace = reading.sandbox.namespace().unwrap_or_default();
    SandboxStatus {
        conditions: published.list,
        selector: Some(format!("{}={}", label::SANDBOX_NAME_HASH, name_hash(&name))),
        pod_ips: status.sandbox_ip.iter().cloned().collect(),
        node_name: status.node_name.clone(),
        service: served.then(|| name.clone()),
        service_fqdn: served.then(|| format!("{name}.{namespace}.svc.cluster.local")),
        torpor: Some(status.clone()),
    }
}

struct Conditions<'a> {
    list: Vec<Condition>,
    status: &'a torpor_api::SandboxStatus,
    now: Timestamp,
}

impl Conditions<'_> {
    fn set(&mut self, kind: &str, verdict: Option<Verdict>) {
        match verdict {
            Some(verdict) => {
                conditions::put(&mut self.list, kind, verdict, self.status.observed_generation, self.now);
            }
            None => self.list.retain(|condition| condition.type_ != kind),
        }
    }
}

/// The Pod, if it is the sandbox's.
fn own_pod(reading: &Reading) -> Option<&Pod> {
    reading.pod.as_ref().filter(|pod| is_ours(*pod, &reading.sandbox))
}

fn is_going(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

fn suspended(reading: &Reading, status: &torpor_api::SandboxStatus) -> Verdict {
    let foreign = reading.pod.is_some() && own_pod(reading).is_none();
    let failed = conditions::find(status, ConditionType::Paused)
        .filter(|paused| paused.reason == Reason::CheckpointFailed.as_str());
    match (status.phase, failed) {
        (Some(Phase::Paused), _) if foreign => Verdict::new(
            "False",
            "PodNotOwned",
            "Refused to delete pod because it is not owned by this sandbox",
        ),
        (Some(Phase::Paused), _) => {
            Verdict::new("True", "PodTerminated", "Pod has been terminated. Sandbox is suspended")
        }
        (Some(Phase::Pausing), _)
            if conditions::has_reason(status, ConditionType::Paused, Reason::CheckpointCreating) =>
        {
            Verdict::new(
                "False",
                Reason::CheckpointCreating.as_str(),
                "Context is being kept. Sandbox is suspending",
            )
        }
        (Some(Phase::Pausing), _) => {
            Verdict::new("False", "PodTerminating", "Pod is terminating. Sandbox is suspending")
        }
        (Some(Phase::Failed), _) if reading.asks_for_pause() => {
            Verdict::new("False", Reason::StateLost.as_str(), message(status))
        }
        (_, Some(failed)) => Verdict::new("False", &failed.reason, &failed.message),
        (Some(Phase::Pending | Phase::Running | Phase::Resuming | Phase::Failed | Phase::Terminating) | None, None) => {
            Verdict::new("False", "NotSuspended", "Sandbox is not suspended")
        }
    }
}

fn ready(reading: &Reading, status: &torpor_api::SandboxStatus) -> Verdict {
    let ready = conditions::find(status, ConditionType::Ready);
    let says = |reason: Reason| ready.is_some_and(|ready| ready.reason == reason.as_str());
    let hindered = [
        Reason::PodCreateFailed,
        Reason::TemplateInvalid,
        Reason::PodOwnerMismatch,
        Reason::ClaimOwnerMismatch,
        Reason::ClaimLost,
    ];
    if says(Reason::SandboxExpired) {
        let text = ready.map_or("", |ready| &ready.message);
        return Verdict::new("False", Reason::SandboxExpired.as_str(), text);
    }
    if hindered.into_iter().any(says) {
        return Verdict::new("False", "ReconcilerError", format!("Error seen: {}", message(status)));
    }
    if conditions::has_reason(status, ConditionType::Resumed, Reason::RestoreFailed) {
        return Verdict::new("False", Reason::RestoreFailed.as_str(), message(status));
    }
    match status.phase {
        Some(Phase::Pausing) => Verdict::new("False", "SandboxSuspended", "Sandbox is suspending"),
        Some(Phase::Paused) => Verdict::new("False", "SandboxSuspended", "Sandbox is suspended"),
        Some(Phase::Failed) => match finished(reading, status) {
            Some(finished) => Verdict::new("False", &finished.reason, message(status)),
            None => Verdict::new(
                "False",
                ready.map_or("StateLost", |ready| &ready.reason),
                message(status),
            ),
        },
        Some(Phase::Running) if ready.is_some_and(|ready| ready.status == "True") => {
            Verdict::new("True", "DependenciesReady", with_service(reading, "Pod is Ready"))
        }
        Some(Phase::Pending | Phase::Running | Phase::Resuming | Phase::Terminating) | None => Verdict::new(
            "False",
            "DependenciesNotReady",
            with_service(reading, &pod_text(reading)),
        ),
    }
}

fn message(status: &torpor_api::SandboxStatus) -> &str {
    status.message.as_deref().unwrap_or("no reason given")
}

fn pod_text(reading: &Reading) -> String {
    let Some(pod) = own_pod(reading) else {
        return "Pod does not exist".to_owned();
    };
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    match phase {
        _ if is_going(pod) => "Pod is terminating".to_owned(),
        Some("Running") => "Pod is Running but not Ready".to_owned(),
        Some(phase) => format!("Pod exists with phase: {phase}"),
        None => "Pod exists with phase: Pending".to_owned(),
    }
}

fn with_service(reading: &Reading, text: &str) -> String {
    match (has_service(reading), reading.sandbox.spec.service) {
        (true, _) => format!("{text}; Service Exists"),
        (false, Some(true)) => format!("{text}; Service does not exist"),
        (false, Some(false) | None) => text.to_owned(),
    }
}

/// What was last reported holds until it is looked at again.
fn has_service(reading: &Reading) -> bool {
    match &reading.companions.service {
        Some(Companion::Ours | Companion::Going) => true,
        Some(Companion::Missing | Companion::Foreign { .. }) => false,
        None => reading.published.contains_key("service"),
    }
}

/// True of a Pod that ended by itself.
fn finished(reading: &Reading, status: &torpor_api::SandboxStatus) -> Option<Verdict> {
    let pod = own_pod(reading).filter(|pod| is_over(pod) && !is_going(pod))?;
    if status.phase != Some(Phase::Failed) {
        return None;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    Some(if phase == Some("Succeeded") {
        Verdict::new("True", "PodSucceeded", "Pod completed successfully")
    } else {
        Verdict::new("True", "PodFailed", "Pod failed")
    })
}

/// Mirrors the condition of the Pod.
fn scheduled(pod: &Pod) -> Option<Verdict> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let of_pod: &PodCondition = conditions.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let fallback = if of_pod.status == "Unknown" {
        "PodSchedulingUnknown"
    } else {
        "PodScheduled"
    };
    let reason = of_pod
        .reason
        .as_deref()
        .filter(|reason| !reason.is_empty())
        .unwrap_or(fallback);
    let text = of_pod.message.as_deref().unwrap_or_default();
    Some(Verdict::new(&of_pod.status, reason, text))
}

#[cfg(test)]
mod tests;
