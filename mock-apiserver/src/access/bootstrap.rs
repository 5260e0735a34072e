//! The roles that every cluster has and clients rely on: discovery, asking about oneself, and the administrator's.
//!
//! The roles for the controllers of Kubernetes are left out; those for people are in [`super::people`].

use super::people;
use serde_json::{Value, json};

const DISCOVERY: &[&str] = &[
    "/api",
    "/api/*",
    "/apis",
    "/apis/*",
    "/healthz",
    "/livez",
    "/openapi",
    "/openapi/*",
    "/readyz",
    "/version",
    "/version/",
];
const PUBLIC: &[&str] = &["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// Kind and object of the cluster roles and their bindings.
pub(crate) fn objects() -> Vec<(&'static str, Value)> {
    let own = json!([
        {
            "apiGroups": ["authorization.k8s.io"], "verbs": ["create"],
            "resources": ["selfsubjectaccessreviews", "selfsubjectrulesreviews"],
        },
        {"apiGroups": ["authentication.k8s.io"], "verbs": ["create"], "resources": ["selfsubjectreviews"]},
    ]);
    let delegator = json!([
        {"apiGroups": ["authentication.k8s.io"], "verbs": ["create"], "resources": ["tokenreviews"]},
        {"apiGroups": ["authorization.k8s.io"], "verbs": ["create"], "resources": ["subjectaccessreviews"]},
    ]);
    let everything = json!([
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ]);
    let known = ["system:authenticated"];
    let all = ["system:authenticated", "system:unauthenticated"];
    [
        ("cluster-admin", everything, &["system:masters"][..]),
        ("system:discovery", paths(DISCOVERY), &known),
        ("system:public-info-viewer", paths(PUBLIC), &all),
        ("system:basic-user", own, &known),
        ("system:auth-delegator", delegator, &[]),
    ]
    .into_iter()
    .flat_map(|(name, rules, groups)| role(name, &rules, groups))
    .chain(people::roles().into_iter().map(|role| ("ClusterRole", role)))
    .collect()
}

fn paths(paths: &[&str]) -> Value {
    json!([{"nonResourceURLs": paths, "verbs": ["get"]}])
}

/// A cluster role and, if it is anybody's, its binding to groups.
fn role(name: &str, rules: &Value, groups: &[&str]) -> Vec<(&'static str, Value)> {
    let metadata = json!({"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}});
    let mut made = vec![("ClusterRole", json!({"metadata": metadata, "rules": rules}))];
    if !groups.is_empty() {
        let api = "rbac.authorization.k8s.io";
        let subjects: Vec<Value> = groups
            .iter()
            .map(|group| json!({"apiGroup": api, "kind": "Group", "name": group}))
            .collect();
        let role = json!({"apiGroup": api, "kind": "ClusterRole", "name": name});
        made.push((
            "ClusterRoleBinding",
            json!({"metadata": metadata, "roleRef": role, "subjects": subjects}),
        ));
    }
    made
}
