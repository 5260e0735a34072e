//! Which rules a user has: bindings, roles and aggregated cluster roles, read from the store for every decision.
//!
//! The rules of an aggregated cluster role are those of the cluster roles it selects, at the moment of the decision; the stored
//! role is not rewritten.

use super::GROUP;
use super::rules::{Grant, Rule};
use super::user::User;
use crate::api::selector::LabelSelector;
use crate::store::{ObjectName, Store};
use serde_json::Value;

/// What a user was granted, and the bindings that name a role that does not exist.
#[derive(Debug, Default)]
pub(crate) struct Grants {
    pub(crate) granted: Vec<Grant>,
    /// Such as `role.rbac.authorization.k8s.io "x" not found`.
    pub(crate) problems: Vec<String>,
}

/// The grants that count in a namespace; those of the cluster scope if it is empty.
pub(crate) fn grants(store: &Store, user: &User, namespace: &str) -> Grants {
    let mut found = Grants::default();
    for (_, binding) in store.scan(&collection("clusterrolebindings"), None) {
        collect(store, user, &binding, "", &mut found);
    }
    if !namespace.is_empty() {
        for (_, binding) in store.scan(&collection("rolebindings"), Some(namespace)) {
            collect(store, user, &binding, namespace, &mut found);
        }
    }
    found
}

fn collection(plural: &str) -> String {
    format!("{plural}.{GROUP}")
}

/// Adds what one binding grants; `namespace` is empty for a cluster role binding.
fn collect(store: &Store, user: &User, binding: &Value, namespace: &str, found: &mut Grants) {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    let Some(subject) = subjects.into_iter().find(|subject| names(subject, user, namespace)) else {
        return;
    };
    let kind = binding["roleRef"]["kind"].as_str().unwrap_or_default();
    let role = binding["roleRef"]["name"].as_str().unwrap_or_default();
    let name = binding["metadata"]["name"].as_str().unwrap_or_default();
    let Some(rules) = role_rules(store, kind, role, namespace) else {
        let kind = kind.to_lowercase();
        found.problems.push(format!("{kind}.{GROUP} {role:?} not found"));
        return;
    };
    let bound = if namespace.is_empty() {
        format!("ClusterRoleBinding {name:?}")
    } else {
        format!("RoleBinding {:?}", format!("{name}/{namespace}"))
    };
    let origin = format!("{bound} of {kind} {role:?} to {}", describe(subject, namespace));
    found.granted.push(Grant { rules, origin });
}

/// The namespace of a service account defaults to that of the binding.
fn subject_namespace<'a>(subject: &'a Value, namespace: &'a str) -> &'a str {
    subject["namespace"]
        .as_str()
        .filter(|text| !text.is_empty())
        .unwrap_or(namespace)
}

fn names(subject: &Value, user: &User, namespace: &str) -> bool {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str().unwrap_or_default() {
        "User" => user.name == name,
        "Group" => user.is_in(name),
        "ServiceAccount" => {
            let namespace = subject_namespace(subject, namespace);
            !namespace.is_empty() && User::service_account_of(&user.name) == Some((namespace, name))
        }
        _ => false,
    }
}

fn describe(subject: &Value, namespace: &str) -> String {
    let name = subject["name"].as_str().unwrap_or_default();
    match subject["kind"].as_str().unwrap_or_default() {
        "ServiceAccount" => {
            let full = format!("{name}/{}", subject_namespace(subject, namespace));
            format!("ServiceAccount {full:?}")
        }
        kind => format!("{kind} {name:?}"),
    }
}

/// The rules of a role; `None` if there is no such role.
pub(super) fn role_rules(store: &Store, kind: &str, name: &str, namespace: &str) -> Option<Vec<Rule>> {
    match kind {
        "Role" if !namespace.is_empty() => {
            let role = store.get(&collection("roles"), &ObjectName::new(namespace, name))?;
            Some(own_rules(&role).collect())
        }
        "ClusterRole" => {
            let role = store.get(&collection("clusterroles"), &ObjectName::new("", name))?;
            let mut seen = Vec::new();
            Some(cluster_rules(store, &role, &mut seen))
        }
        _ => None,
    }
}

/// The rules that a role itself lists.
pub(super) fn own_rules(role: &Value) -> impl Iterator<Item = Rule> + '_ {
    role["rules"].as_array().into_iter().flatten().map(Rule::read)
}

/// The rules of a cluster role. An aggregated one may select aggregated ones, itself included: each counts once.
fn cluster_rules(store: &Store, role: &Value, seen: &mut Vec<String>) -> Vec<Rule> {
    let name = role["metadata"]["name"].as_str().unwrap_or_default();
    if seen.iter().any(|known| known == name) {
        return Vec::new();
    }
    seen.push(name.to_owned());
    let Some(selectors) = role["aggregationRule"]["clusterRoleSelectors"].as_array() else {
        return own_rules(role).collect();
    };
    // A selector that cannot be read selects nothing.
    let selectors: Vec<_> = selectors.iter().filter_map(LabelSelector::read).collect();
    let mut rules = Vec::new();
    for (_, candidate) in store.scan(&collection("clusterroles"), None) {
        if selectors.iter().any(|selector| selector.matches(&candidate)) {
            rules.extend(cluster_rules(store, &candidate, seen));
        }
    }
    rules
}
