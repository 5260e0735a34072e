//! The cluster roles for people, `view`, `edit` and `admin`, each of which takes in the one before and whatever is labelled for it.
//!
//! They cover the resources that this server serves.

use serde_json::{Value, json};

const READ: [&str; 3] = ["get", "list", "watch"];
const WRITE: [&str; 5] = ["create", "delete", "deletecollection", "patch", "update"];

/// Group and resources that people see; the second list they may also change.
const SEEN: &[(&str, &[&str], &[&str])] = &[
    (
        "",
        &[
            "events",
            "limitranges",
            "namespaces",
            "namespaces/status",
            "pods/log",
            "pods/status",
            "resourcequotas",
        ],
        &[
            "configmaps",
            "endpoints",
            "persistentvolumeclaims",
            "pods",
            "replicationcontrollers",
            "replicationcontrollers/scale",
            "serviceaccounts",
            "services",
        ],
    ),
    (
        "apps",
        &[
            "controllerrevisions",
            "daemonsets/status",
            "deployments/status",
            "replicasets/status",
            "statefulsets/status",
        ],
        &[
            "daemonsets",
            "deployments",
            "deployments/scale",
            "replicasets",
            "replicasets/scale",
            "statefulsets",
            "statefulsets/scale",
        ],
    ),
    (
        "autoscaling",
        &["horizontalpodautoscalers/status"],
        &["horizontalpodautoscalers"],
    ),
    ("batch", &["cronjobs/status", "jobs/status"], &["cronjobs", "jobs"]),
    ("discovery.k8s.io", &["endpointslices"], &[]),
    (
        "networking.k8s.io",
        &["ingresses/status"],
        &["ingresses", "networkpolicies"],
    ),
    ("policy", &["poddisruptionbudgets/status"], &["poddisruptionbudgets"]),
];

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> Value {
    json!({"apiGroups": [group], "resources": resources, "verbs": verbs})
}

/// The three roles, and those that hold their rules.
pub(super) fn roles() -> Vec<Value> {
    let view = SEEN
        .iter()
        .map(|(group, seen, changed)| rule(group, &[*seen, *changed].concat(), &READ));
    let mut edit: Vec<Value> = SEEN
        .iter()
        .filter(|(_, _, changed)| !changed.is_empty())
        .map(|(group, _, changed)| rule(group, changed, &WRITE))
        .collect();
    edit.extend([
        rule("", &["secrets"], &[&READ[..], &WRITE[..]].concat()),
        rule(
            "",
            &["pods/attach", "pods/exec", "pods/portforward", "pods/proxy"],
            &["get", "create"],
        ),
        rule("", &["pods/eviction", "serviceaccounts/token"], &["create"]),
        rule("", &["serviceaccounts"], &["impersonate"]),
    ]);
    let bindings = rule(
        "rbac.authorization.k8s.io",
        &["rolebindings", "roles"],
        &[&READ[..], &WRITE[..]].concat(),
    );
    let asking = rule("authorization.k8s.io", &["localsubjectaccessreviews"], &["create"]);
    vec![
        gathering("view", Some("edit")),
        gathering("edit", Some("admin")),
        gathering("admin", None),
        part("view", &view.collect::<Vec<_>>()),
        part("edit", &edit),
        part("admin", &[bindings, asking]),
    ]
}

fn label(role: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{role}")
}

/// A role that has the rules of all roles labelled for it.
fn gathering(name: &str, within: Option<&str>) -> Value {
    let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    if let Some(within) = within {
        labels[label(within)] = "true".into();
    }
    let mut selector = json!({});
    selector[label(name)] = "true".into();
    json!({
        "metadata": {"name": name, "labels": labels},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": selector}]},
        "rules": [],
    })
}

fn part(of: &str, rules: &[Value]) -> Value {
    let mut labels = json!({"kubernetes.io/bootstrapping": "rbac-defaults"});
    labels[label(of)] = "true".into();
    json!({"metadata": {"name": format!("system:aggregate-to-{of}"), "labels": labels}, "rules": rules})
}
