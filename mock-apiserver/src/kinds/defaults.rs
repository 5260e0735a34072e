//! Defaults of built-in kinds, as a table: controllers compare what they want with what is stored, so that both must have them.
//!
//! They follow `pkg/apis/*/v1/defaults.go` of Kubernetes 1.33. Defaults that depend on more than a sibling are in the modules of
//! their kinds.

use super::default_to;
use serde_json::Value;

/// When a default applies, by a member beside it.
#[derive(Debug, Clone, Copy)]
enum When {
    Always,
    /// The sibling is this text.
    Is(&'static str, &'static str),
    /// The sibling is there.
    Has(&'static str),
}

use When::{Always, Has, Is};

/// Kind, path of the object that gets the default (`[]` stands for each item of a list), member, default as JSON, condition.
type Row = (&'static str, &'static str, &'static str, &'static str, When);

const RBAC_GROUP: &str = "\"rbac.authorization.k8s.io\"";
const ROLLING: When = Is("type", "RollingUpdate");

const ROWS: &[Row] = &[
    ("Deployment", "spec", "replicas", "1", Always),
    ("Deployment", "spec", "strategy", "{}", Always),
    ("Deployment", "spec.strategy", "type", "\"RollingUpdate\"", Always),
    ("Deployment", "spec.strategy", "rollingUpdate", "{}", ROLLING),
    (
        "Deployment",
        "spec.strategy.rollingUpdate",
        "maxUnavailable",
        "\"25%\"",
        Always,
    ),
    (
        "Deployment",
        "spec.strategy.rollingUpdate",
        "maxSurge",
        "\"25%\"",
        Always,
    ),
    ("Deployment", "spec", "revisionHistoryLimit", "10", Always),
    ("Deployment", "spec", "progressDeadlineSeconds", "600", Always),
    ("ReplicaSet", "spec", "replicas", "1", Always),
    ("ReplicationController", "spec", "replicas", "1", Always),
    ("StatefulSet", "spec", "replicas", "1", Always),
    ("StatefulSet", "spec", "podManagementPolicy", "\"OrderedReady\"", Always),
    ("StatefulSet", "spec", "updateStrategy", "{}", Always),
    (
        "StatefulSet",
        "spec.updateStrategy",
        "type",
        "\"RollingUpdate\"",
        Always,
    ),
    ("StatefulSet", "spec.updateStrategy", "rollingUpdate", "{}", ROLLING),
    (
        "StatefulSet",
        "spec.updateStrategy.rollingUpdate",
        "partition",
        "0",
        Always,
    ),
    ("StatefulSet", "spec", "revisionHistoryLimit", "10", Always),
    (
        "StatefulSet",
        "spec",
        "persistentVolumeClaimRetentionPolicy",
        "{}",
        Always,
    ),
    (
        "StatefulSet",
        "spec.persistentVolumeClaimRetentionPolicy",
        "whenDeleted",
        "\"Retain\"",
        Always,
    ),
    (
        "StatefulSet",
        "spec.persistentVolumeClaimRetentionPolicy",
        "whenScaled",
        "\"Retain\"",
        Always,
    ),
    (
        "StatefulSet",
        "spec.volumeClaimTemplates[]",
        "apiVersion",
        "\"v1\"",
        Always,
    ),
    (
        "StatefulSet",
        "spec.volumeClaimTemplates[]",
        "kind",
        "\"PersistentVolumeClaim\"",
        Always,
    ),
    (
        "StatefulSet",
        "spec.volumeClaimTemplates[].spec",
        "volumeMode",
        "\"Filesystem\"",
        Always,
    ),
    (
        "StatefulSet",
        "spec.volumeClaimTemplates[]",
        "status",
        "{\"phase\": \"Pending\"}",
        Always,
    ),
    ("DaemonSet", "spec", "updateStrategy", "{}", Always),
    ("DaemonSet", "spec.updateStrategy", "type", "\"RollingUpdate\"", Always),
    ("DaemonSet", "spec.updateStrategy", "rollingUpdate", "{}", ROLLING),
    (
        "DaemonSet",
        "spec.updateStrategy.rollingUpdate",
        "maxUnavailable",
        "1",
        Always,
    ),
    (
        "DaemonSet",
        "spec.updateStrategy.rollingUpdate",
        "maxSurge",
        "0",
        Always,
    ),
    ("DaemonSet", "spec", "revisionHistoryLimit", "10", Always),
    ("Job", "spec", "backoffLimit", "2147483647", Has("backoffLimitPerIndex")),
    ("Job", "spec", "backoffLimit", "6", Always),
    ("Job", "spec", "completionMode", "\"NonIndexed\"", Always),
    ("Job", "spec", "suspend", "false", Always),
    ("Job", "spec", "manualSelector", "false", Always),
    (
        "Job",
        "spec",
        "podReplacementPolicy",
        "\"Failed\"",
        Has("podFailurePolicy"),
    ),
    ("Job", "spec", "podReplacementPolicy", "\"TerminatingOrFailed\"", Always),
    ("CronJob", "spec", "concurrencyPolicy", "\"Allow\"", Always),
    ("CronJob", "spec", "suspend", "false", Always),
    ("CronJob", "spec", "successfulJobsHistoryLimit", "3", Always),
    ("CronJob", "spec", "failedJobsHistoryLimit", "1", Always),
    ("PersistentVolumeClaim", "spec", "volumeMode", "\"Filesystem\"", Always),
    ("PersistentVolume", "spec", "volumeMode", "\"Filesystem\"", Always),
    (
        "PersistentVolume",
        "spec",
        "persistentVolumeReclaimPolicy",
        "\"Retain\"",
        Always,
    ),
    ("PersistentVolume", "spec.hostPath", "type", "\"\"", Always),
    ("StorageClass", "", "reclaimPolicy", "\"Delete\"", Always),
    ("StorageClass", "", "volumeBindingMode", "\"Immediate\"", Always),
    ("CSIDriver", "spec", "attachRequired", "true", Always),
    ("CSIDriver", "spec", "podInfoOnMount", "false", Always),
    ("CSIDriver", "spec", "storageCapacity", "false", Always),
    (
        "CSIDriver",
        "spec",
        "fsGroupPolicy",
        "\"ReadWriteOnceWithFSType\"",
        Always,
    ),
    ("CSIDriver", "spec", "volumeLifecycleModes", "[\"Persistent\"]", Always),
    ("CSIDriver", "spec", "requiresRepublish", "false", Always),
    ("CSIDriver", "spec", "seLinuxMount", "false", Always),
    ("Endpoints", "subsets[].ports[]", "protocol", "\"TCP\"", Always),
    ("EndpointSlice", "ports[]", "name", "\"\"", Always),
    ("EndpointSlice", "ports[]", "protocol", "\"TCP\"", Always),
    (
        "NetworkPolicy",
        "spec",
        "policyTypes",
        "[\"Ingress\", \"Egress\"]",
        Has("egress"),
    ),
    ("NetworkPolicy", "spec", "policyTypes", "[\"Ingress\"]", Always),
    ("NetworkPolicy", "spec.ingress[].ports[]", "protocol", "\"TCP\"", Always),
    ("NetworkPolicy", "spec.egress[].ports[]", "protocol", "\"TCP\"", Always),
    ("IngressClass", "spec.parameters", "scope", "\"Cluster\"", Always),
    ("HorizontalPodAutoscaler", "spec", "minReplicas", "1", Always),
    ("RoleBinding", "roleRef", "apiGroup", RBAC_GROUP, Always),
    ("RoleBinding", "subjects[]", "apiGroup", RBAC_GROUP, Is("kind", "User")),
    ("RoleBinding", "subjects[]", "apiGroup", RBAC_GROUP, Is("kind", "Group")),
    ("ClusterRoleBinding", "roleRef", "apiGroup", RBAC_GROUP, Always),
    (
        "ClusterRoleBinding",
        "subjects[]",
        "apiGroup",
        RBAC_GROUP,
        Is("kind", "User"),
    ),
    (
        "ClusterRoleBinding",
        "subjects[]",
        "apiGroup",
        RBAC_GROUP,
        Is("kind", "Group"),
    ),
    (
        "PriorityClass",
        "",
        "preemptionPolicy",
        "\"PreemptLowerPriority\"",
        Always,
    ),
    ("Service", "spec", "type", "\"ClusterIP\"", Always),
    ("Service", "spec", "sessionAffinity", "\"None\"", Always),
    (
        "Service",
        "spec",
        "sessionAffinityConfig",
        "{\"clientIP\": {\"timeoutSeconds\": 10800}}",
        Is("sessionAffinity", "ClientIP"),
    ),
    (
        "Service",
        "spec",
        "externalTrafficPolicy",
        "\"Cluster\"",
        Is("type", "NodePort"),
    ),
    (
        "Service",
        "spec",
        "externalTrafficPolicy",
        "\"Cluster\"",
        Is("type", "LoadBalancer"),
    ),
    (
        "Service",
        "spec",
        "allocateLoadBalancerNodePorts",
        "true",
        Is("type", "LoadBalancer"),
    ),
    ("Service", "spec.ports[]", "protocol", "\"TCP\"", Always),
    ("PodSpec", "", "restartPolicy", "\"Always\"", Always),
    ("PodSpec", "", "terminationGracePeriodSeconds", "30", Always),
    ("PodSpec", "", "dnsPolicy", "\"ClusterFirst\"", Always),
    ("PodSpec", "", "securityContext", "{}", Always),
    ("PodSpec", "", "schedulerName", "\"default-scheduler\"", Always),
    ("PodSpec", "volumes[].secret", "defaultMode", "420", Always),
    ("PodSpec", "volumes[].configMap", "defaultMode", "420", Always),
    ("PodSpec", "volumes[].downwardAPI", "defaultMode", "420", Always),
    (
        "PodSpec",
        "volumes[].downwardAPI.items[].fieldRef",
        "apiVersion",
        "\"v1\"",
        Always,
    ),
    ("PodSpec", "volumes[].projected", "defaultMode", "420", Always),
    (
        "PodSpec",
        "volumes[].projected.sources[].serviceAccountToken",
        "expirationSeconds",
        "3600",
        Always,
    ),
    (
        "PodSpec",
        "volumes[].projected.sources[].downwardAPI.items[].fieldRef",
        "apiVersion",
        "\"v1\"",
        Always,
    ),
    ("PodSpec", "volumes[].hostPath", "type", "\"\"", Always),
    (
        "PodSpec",
        "volumes[].ephemeral.volumeClaimTemplate.spec",
        "volumeMode",
        "\"Filesystem\"",
        Always,
    ),
    (
        "Container",
        "",
        "terminationMessagePath",
        "\"/dev/termination-log\"",
        Always,
    ),
    ("Container", "", "terminationMessagePolicy", "\"File\"", Always),
    ("Container", "", "resources", "{}", Always),
    ("Container", "ports[]", "protocol", "\"TCP\"", Always),
    ("Container", "env[].valueFrom.fieldRef", "apiVersion", "\"v1\"", Always),
    ("Container", "lifecycle.postStart.httpGet", "path", "\"/\"", Always),
    ("Container", "lifecycle.postStart.httpGet", "scheme", "\"HTTP\"", Always),
    ("Container", "lifecycle.preStop.httpGet", "path", "\"/\"", Always),
    ("Container", "lifecycle.preStop.httpGet", "scheme", "\"HTTP\"", Always),
    ("Probe", "", "timeoutSeconds", "1", Always),
    ("Probe", "", "periodSeconds", "10", Always),
    ("Probe", "", "successThreshold", "1", Always),
    ("Probe", "", "failureThreshold", "3", Always),
    ("Probe", "httpGet", "path", "\"/\"", Always),
    ("Probe", "httpGet", "scheme", "\"HTTP\"", Always),
    ("Probe", "grpc", "service", "\"\"", Always),
];

/// The status that a new object has before any controller has seen it.
const NEW_STATUS: &[(&str, &str)] = &[
    ("Deployment", "{}"),
    ("ReplicaSet", "{\"replicas\": 0}"),
    ("ReplicationController", "{\"replicas\": 0}"),
    ("StatefulSet", "{\"replicas\": 0, \"availableReplicas\": 0}"),
    (
        "DaemonSet",
        "{\"currentNumberScheduled\": 0, \"numberMisscheduled\": 0, \"desiredNumberScheduled\": 0, \"numberReady\": 0}",
    ),
    ("Job", "{}"),
    ("CronJob", "{}"),
    ("PersistentVolumeClaim", "{\"phase\": \"Pending\"}"),
    ("PersistentVolume", "{\"phase\": \"Pending\"}"),
    ("Service", "{\"loadBalancer\": {}}"),
    ("Ingress", "{\"loadBalancer\": {}}"),
    (
        "PodDisruptionBudget",
        "{\"currentHealthy\": 0, \"desiredHealthy\": 0, \"disruptionsAllowed\": 0, \"expectedPods\": 0}",
    ),
    ("HorizontalPodAutoscaler", "{\"desiredReplicas\": 0}"),
    ("CertificateSigningRequest", "{}"),
    ("ResourceQuota", "{}"),
];

/// Fills in the defaults of the table for a kind, or for a part that several kinds hold (`PodSpec`, `Container`, `Probe`).
pub(super) fn fill(kind: &str, object: &mut Value) {
    for (_, path, member, default, when) in ROWS.iter().filter(|(of, ..)| *of == kind) {
        for_each(object, path, &mut |holder| {
            let sibling = |name: &str| holder.get(name).filter(|value| !value.is_null());
            let applies = match when {
                Always => true,
                Is(name, text) => sibling(name).is_some_and(|value| value == text),
                Has(name) => sibling(name).is_some(),
            };
            if applies {
                default_to(holder, member, json(default));
            }
        });
    }
}

/// Gives a new object the status of its kind.
pub(super) fn begin(kind: &str, object: &mut Value) {
    if let Some((_, status)) = NEW_STATUS.iter().find(|(of, _)| *of == kind) {
        object["status"] = json(status);
    }
}

/// The tables hold valid JSON, as a test proves.
fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Calls `see` with every object that a path leads to.
pub(super) fn for_each(value: &mut Value, path: &str, see: &mut impl FnMut(&mut Value)) {
    if path.is_empty() {
        if value.is_object() {
            see(value);
        }
        return;
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    match step.strip_suffix("[]") {
        None => {
            if let Some(child) = value.get_mut(step) {
                for_each(child, rest, see);
            }
        }
        Some(list) => {
            let items = value.get_mut(list).and_then(Value::as_array_mut);
            items.into_iter().flatten().for_each(|item| for_each(item, rest, see));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::{Kind, Message, message};

    #[test]
    fn the_tables_hold_json() {
        let defaults = ROWS.iter().map(|row| row.3);
        for text in defaults.chain(NEW_STATUS.iter().map(|(_, text)| *text)) {
            assert!(serde_json::from_str::<Value>(text).is_ok(), "{text}");
        }
    }

    /// The type of the object that a path leads to from a kind.
    fn at(kind: &str, path: &str) -> Option<&'static Message> {
        let packages = [
            "core",
            "apps",
            "batch",
            "networking",
            "storage",
            "rbac",
            "scheduling",
            "discovery",
        ];
        let root = packages
            .iter()
            .find_map(|package| message(&format!("{package}.v1.{kind}")));
        let root = root.or_else(|| message(&format!("autoscaling.v2.{kind}")));
        path.split('.')
            .filter(|step| !step.is_empty())
            .fold(root, |holder, step| {
                match holder?.member(step.trim_end_matches("[]"))?.kind {
                    Kind::Message(name) => message(name),
                    _ => None,
                }
            })
    }

    #[test]
    fn every_default_is_of_a_field_that_exists() {
        for (kind, path, member, ..) in ROWS {
            let field = at(kind, path).and_then(|holder| holder.member(member));
            // Templates of claims say what kind they are, which the types of kinds leave to the root.
            let type_meta = matches!(*member, "apiVersion" | "kind") && path.ends_with("[]");
            assert!(field.is_some() || type_meta, "{kind} {path} {member}");
        }
    }
}
