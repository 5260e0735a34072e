//! The table of built-in kinds.

use super::custom::ScalePaths;
use super::resource::{BuiltIn, Origin, Resource};
use crate::api::error::qualified;
use crate::api::names::NameRule;
use crate::types;
use std::sync::Arc;

/// A row: group, version, kind, plural, short names, categories, features.
///
/// Features are letters: `n` namespaced, `s` status subresource, `g` generation, `c` create on update, `r` scale,
/// `l` name is a label, `d` name is a DNS-1035 label, `p` name is a path segment, `v` answered and not stored.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static str,
);

const ALL: &[&str] = &["all"];
const API_EXTENSIONS: &[&str] = &["api-extensions"];
const ADMISSION: &str = "admissionregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";

const ROWS: &[Row] = &[
    ("", "v1", "Namespace", "namespaces", &["ns"], &[], "sl"),
    ("", "v1", "Pod", "pods", &["po"], ALL, "nsg"),
    ("", "v1", "Node", "nodes", &["no"], &[], "s"),
    ("", "v1", "Service", "services", &["svc"], ALL, "nsd"),
    ("", "v1", "Endpoints", "endpoints", &["ep"], &[], "nc"),
    ("", "v1", "ConfigMap", "configmaps", &["cm"], &[], "n"),
    ("", "v1", "Secret", "secrets", &[], &[], "n"),
    ("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], &[], "n"),
    (
        "",
        "v1",
        "PersistentVolumeClaim",
        "persistentvolumeclaims",
        &["pvc"],
        &[],
        "ns",
    ),
    ("", "v1", "PersistentVolume", "persistentvolumes", &["pv"], &[], "s"),
    ("", "v1", "Event", "events", &["ev"], &[], "nc"),
    ("", "v1", "LimitRange", "limitranges", &["limits"], &[], "nc"),
    ("", "v1", "ResourceQuota", "resourcequotas", &["quota"], &[], "ns"),
    ("", "v1", "PodTemplate", "podtemplates", &[], &[], "ngc"),
    (
        "",
        "v1",
        "ReplicationController",
        "replicationcontrollers",
        &["rc"],
        ALL,
        "nsgr",
    ),
    ("apps", "v1", "Deployment", "deployments", &["deploy"], ALL, "nsgr"),
    ("apps", "v1", "ReplicaSet", "replicasets", &["rs"], ALL, "nsgr"),
    ("apps", "v1", "StatefulSet", "statefulsets", &["sts"], ALL, "nsgr"),
    ("apps", "v1", "DaemonSet", "daemonsets", &["ds"], ALL, "nsg"),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", &[], &[], "n"),
    ("batch", "v1", "Job", "jobs", &[], ALL, "nsg"),
    (AUTHENTICATION, "v1", "TokenReview", "tokenreviews", &[], &[], "v"),
    (
        AUTHENTICATION,
        "v1",
        "SelfSubjectReview",
        "selfsubjectreviews",
        &[],
        &[],
        "v",
    ),
    (
        AUTHORIZATION,
        "v1",
        "SelfSubjectAccessReview",
        "selfsubjectaccessreviews",
        &[],
        &[],
        "v",
    ),
    (
        AUTHORIZATION,
        "v1",
        "SubjectAccessReview",
        "subjectaccessreviews",
        &[],
        &[],
        "v",
    ),
    (
        AUTHORIZATION,
        "v1",
        "LocalSubjectAccessReview",
        "localsubjectaccessreviews",
        &[],
        &[],
        "nv",
    ),
    (
        AUTHORIZATION,
        "v1",
        "SelfSubjectRulesReview",
        "selfsubjectrulesreviews",
        &[],
        &[],
        "v",
    ),
    ("batch", "v1", "CronJob", "cronjobs", &["cj"], ALL, "nsg"),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        &["hpa"],
        ALL,
        "ns",
    ),
    (
        "certificates.k8s.io",
        "v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        &["csr"],
        &[],
        "s",
    ),
    (FLOW_CONTROL, "v1", "FlowSchema", "flowschemas", &[], &[], "sg"),
    (
        FLOW_CONTROL,
        "v1",
        "PriorityLevelConfiguration",
        "prioritylevelconfigurations",
        &[],
        &[],
        "sg",
    ),
    ("coordination.k8s.io", "v1", "Lease", "leases", &[], &[], "nc"),
    (
        "discovery.k8s.io",
        "v1",
        "EndpointSlice",
        "endpointslices",
        &[],
        &[],
        "ng",
    ),
    ("events.k8s.io", "v1", "Event", "events", &["ev"], &[], "nc"),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
        &["netpol"],
        &[],
        "ng",
    ),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"], &[], "nsg"),
    (
        "networking.k8s.io",
        "v1",
        "IngressClass",
        "ingressclasses",
        &[],
        &[],
        "g",
    ),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
        &["pdb"],
        &[],
        "nsg",
    ),
    (RBAC, "v1", "Role", "roles", &[], &[], "ncp"),
    (RBAC, "v1", "RoleBinding", "rolebindings", &[], &[], "ncp"),
    (RBAC, "v1", "ClusterRole", "clusterroles", &[], &[], "cp"),
    (RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", &[], &[], "cp"),
    (
        "scheduling.k8s.io",
        "v1",
        "PriorityClass",
        "priorityclasses",
        &["pc"],
        &[],
        "g",
    ),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", &[], &[], ""),
    (
        "storage.k8s.io",
        "v1",
        "StorageClass",
        "storageclasses",
        &["sc"],
        &[],
        "",
    ),
    (
        "storage.k8s.io",
        "v1",
        "VolumeAttachment",
        "volumeattachments",
        &[],
        &[],
        "s",
    ),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", &[], &[], "g"),
    (
        "storage.k8s.io",
        "v1",
        "CSIStorageCapacity",
        "csistoragecapacities",
        &[],
        &[],
        "n",
    ),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", &[], &[], ""),
    (
        "apiextensions.k8s.io",
        "v1",
        "CustomResourceDefinition",
        "customresourcedefinitions",
        &["crd", "crds"],
        API_EXTENSIONS,
        "sg",
    ),
    (
        ADMISSION,
        "v1",
        "ValidatingWebhookConfiguration",
        "validatingwebhookconfigurations",
        &[],
        API_EXTENSIONS,
        "g",
    ),
    (
        ADMISSION,
        "v1",
        "MutatingWebhookConfiguration",
        "mutatingwebhookconfigurations",
        &[],
        API_EXTENSIONS,
        "g",
    ),
    (
        ADMISSION,
        "v1",
        "ValidatingAdmissionPolicy",
        "validatingadmissionpolicies",
        &[],
        API_EXTENSIONS,
        "sg",
    ),
    (
        ADMISSION,
        "v1",
        "ValidatingAdmissionPolicyBinding",
        "validatingadmissionpolicybindings",
        &[],
        API_EXTENSIONS,
        "g",
    ),
];

const INVOLVED: &[&str] = &[
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
];
const REGARDING: &[&str] = &[
    "regarding.kind",
    "regarding.namespace",
    "regarding.name",
    "regarding.uid",
    "regarding.apiVersion",
    "regarding.resourceVersion",
    "regarding.fieldPath",
    "reason",
    "reportingController",
    "type",
];
const POD_FIELDS: &[&str] = &[
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
];

fn selectable(group: &str, kind: &str) -> &'static [&'static str] {
    match (group, kind) {
        ("", "Pod") => POD_FIELDS,
        ("", "Event") => INVOLVED,
        ("events.k8s.io", "Event") => REGARDING,
        ("", "Secret") => &["type"],
        ("", "Namespace") => &["status.phase"],
        ("", "Node") => &["spec.unschedulable"],
        ("", "Service") => &["spec.clusterIP", "spec.type"],
        ("", "ReplicationController") | ("apps", "ReplicaSet") => &["status.replicas"],
        ("certificates.k8s.io", "CertificateSigningRequest") => &["spec.signerName"],
        ("batch", "Job") => &["status.successful"],
        _ => &[],
    }
}

/// All built-in resources.
pub(super) fn resources() -> impl Iterator<Item = Resource> {
    ROWS.iter().map(resource)
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() {
        version.to_owned()
    } else {
        format!("{group}/{version}")
    }
}

fn owned(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

fn resource((group, version, kind, plural, short_names, categories, features): &Row) -> Resource {
    let has = |letter: char| features.contains(letter);
    let name_rule = match (has('l'), has('d'), has('p')) {
        (true, _, _) => NameRule::Label,
        (_, true, _) => NameRule::Label1035,
        (_, _, true) => NameRule::PathSegment,
        (false, false, false) => NameRule::Subdomain,
    };
    // Both event APIs show the same stored objects.
    let collection = if *kind == "Event" {
        "events".to_owned()
    } else {
        qualified(plural, group)
    };
    Resource {
        group: (*group).to_owned(),
        version: (*version).to_owned(),
        kind: (*kind).to_owned(),
        list_kind: format!("{kind}List"),
        plural: (*plural).to_owned(),
        singular: kind.to_lowercase(),
        namespaced: has('n'),
        short_names: owned(short_names),
        categories: owned(categories),
        status: has('s'),
        scale: has('r').then(|| ScalePaths {
            spec_replicas: ".spec.replicas".to_owned(),
            status_replicas: ".status.replicas".to_owned(),
            label_selector: None,
        }),
        collection: Arc::from(collection),
        selectable: owned(selectable(group, kind)),
        origin: Origin::BuiltIn(BuiltIn {
            generation: has('g'),
            create_on_update: has('c'),
            review: has('v'),
            name_rule,
            message: types::message_of(&group_version(group, version), kind),
        }),
    }
}
