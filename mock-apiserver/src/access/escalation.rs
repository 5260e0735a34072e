//! Nobody grants more than they have: what a role or binding would grant must be covered by the rules of whoever writes it.
//!
//! Whoever may `escalate` roles, or `bind` the role in question, is let pass. Follows
//! `k8s.io/kubernetes/pkg/registry/rbac` and `k8s.io/component-helpers/auth/rbac/validation`.

use super::rules::{AccessRequest, ResourceAccess, Rule};
use super::user::{MASTERS, User};
use super::{GROUP, grants};
use crate::api::error::{ApiError, ApiResult};
use crate::api::meta;
use crate::catalog::Resource;
use crate::core::Core;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Members of `metadata` by which the garbage collector works; changing no more than them grants nothing.
const UPKEEP: [&str; 3] = ["finalizers", "ownerReferences", "managedFields"];

/// Refuses a role or binding that would grant more than its writer has; `old` is what it replaces.
pub(crate) fn check(
    core: &Core,
    user: &User,
    resource: &Resource,
    old: Option<&Value>,
    object: &Value,
) -> ApiResult<()> {
    if !core.access.by_rules() || user.is_in(MASTERS) || resource.group != GROUP {
        return Ok(());
    }
    if old.is_some_and(|old| without_upkeep(old) == without_upkeep(object)) {
        return Ok(());
    }
    let namespace = meta::namespace(object);
    let granted = match resource.kind.as_str() {
        "Role" | "ClusterRole" => {
            let name = if old.is_some() { meta::name(object) } else { "" };
            if may(core, user, "escalate", &resource.plural, namespace, name) {
                return Ok(());
            }
            grants::own_rules(object).collect::<Vec<_>>()
        }
        "RoleBinding" | "ClusterRoleBinding" => match bound(core, user, object, namespace)? {
            Some(rules) => rules,
            None => return Ok(()),
        },
        _ => return Ok(()),
    };
    let refused = |why: &str| ApiError::forbidden(&resource.plural, &resource.group, meta::name(object), why);
    let held = core.access.rules_of(&core.store, user, namespace);
    let mut missing = missing(&held.rules, &granted);
    if !missing.is_empty() {
        missing.sort();
        let mut why = format!(
            "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            quoted(&user.groups),
            missing.join("\n")
        );
        if !held.error.is_empty() {
            why = format!("{why}; resolution errors: [{}]", held.error);
        }
        return Err(refused(&why));
    }
    if object["aggregationRule"].is_object() && !self::missing(&held.rules, &everything()).is_empty() {
        return Err(refused("must have cluster-admin privileges to use the aggregationRule"));
    }
    Ok(())
}

fn without_upkeep(object: &Value) -> Value {
    let mut rest = object.clone();
    for member in UPKEEP.into_iter().chain(["resourceVersion", "generation"]) {
        meta::set(&mut rest, member, None);
    }
    rest
}

fn may(core: &Core, user: &User, verb: &str, plural: &str, namespace: &str, name: &str) -> bool {
    let access = ResourceAccess {
        verb: verb.to_owned(),
        group: GROUP.to_owned(),
        resource: plural.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        ..ResourceAccess::default()
    };
    let request = AccessRequest::Resource(access);
    core.access.judge(&core.store, user, &request).allowed
}

/// The rules that a binding would grant; `None` if the user may bind that role whatever it allows.
fn bound(core: &Core, user: &User, binding: &Value, namespace: &str) -> ApiResult<Option<Vec<Rule>>> {
    let text = |member: &str| binding["roleRef"][member].as_str().unwrap_or_default();
    let (kind, role) = (text("kind"), text("name"));
    let plural = format!("{}s", kind.to_lowercase());
    if may(core, user, "bind", &plural, namespace, role) {
        return Ok(None);
    }
    match grants::role_rules(&core.store, kind, role, namespace) {
        Some(rules) => Ok(Some(rules)),
        None => Err(ApiError::not_found(&plural, GROUP, role)),
    }
}

/// All that there is: `*` on `*.*` and every path.
fn everything() -> Vec<Rule> {
    let all = || vec!["*".to_owned()];
    vec![
        Rule {
            verbs: all(),
            groups: all(),
            resources: all(),
            ..Rule::default()
        },
        Rule {
            verbs: all(),
            paths: all(),
            ..Rule::default()
        },
    ]
}

/// One verb on one resource of one group, and perhaps one object, or one verb on one path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Right {
    Resource {
        group: String,
        resource: String,
        name: Option<String>,
        verb: String,
    },
    Path {
        path: String,
        verb: String,
    },
}

fn rights(rule: &Rule) -> Vec<Right> {
    let mut rights = Vec::new();
    let names: Vec<Option<String>> = match rule.names.as_slice() {
        [] => vec![None],
        names => names.iter().cloned().map(Some).collect(),
    };
    for group in &rule.groups {
        for resource in &rule.resources {
            for name in &names {
                rights.extend(rule.verbs.iter().map(|verb| Right::Resource {
                    group: group.clone(),
                    resource: resource.clone(),
                    name: name.clone(),
                    verb: verb.clone(),
                }));
            }
        }
    }
    for path in &rule.paths {
        rights.extend(rule.verbs.iter().map(|verb| Right::Path {
            path: path.clone(),
            verb: verb.clone(),
        }));
    }
    rights
}

fn covers(held: &Rule, right: &Right) -> bool {
    let listed = |list: &[String], wanted: &String| list.iter().any(|entry| entry == "*" || entry == wanted);
    match right {
        Right::Resource {
            group,
            resource,
            name,
            verb,
        } => {
            let subresource = resource
                .split_once('/')
                .map(|(_, subresource)| format!("*/{subresource}"));
            let named = held.names.is_empty() || name.as_ref().is_some_and(|name| held.names.contains(name));
            listed(&held.verbs, verb)
                && listed(&held.groups, group)
                && (listed(&held.resources, resource)
                    || subresource.is_some_and(|every| held.resources.contains(&every)))
                && named
        }
        Right::Path { path, verb } => {
            let under = |entry: &String| match entry.strip_suffix('*') {
                Some(prefix) => path.starts_with(prefix.trim_end_matches('*')),
                None => entry == path,
            };
            listed(&held.verbs, verb) && held.paths.iter().any(under)
        }
    }
}

/// What is granted and not held, joined by resource and described as the real server does.
fn missing(held: &[Rule], granted: &[Rule]) -> Vec<String> {
    let lacking = granted
        .iter()
        .flat_map(rights)
        .filter(|right| !held.iter().any(|rule| covers(rule, right)));
    let mut by_resource: BTreeMap<(String, String, Option<String>), Vec<String>> = BTreeMap::new();
    let mut described = BTreeSet::new();
    for right in lacking {
        match right {
            Right::Resource {
                group,
                resource,
                name,
                verb,
            } => {
                let verbs = by_resource.entry((group, resource, name)).or_default();
                if !verbs.contains(&verb) {
                    verbs.push(verb);
                }
            }
            Right::Path { path, verb } => {
                described.insert(format!("{{NonResourceURLs:[{path:?}], Verbs:[{verb:?}]}}"));
            }
        }
    }
    for ((group, resource, name), verbs) in by_resource {
        let name = name.map_or_else(String::new, |name| format!(", ResourceNames:[{name:?}]"));
        let verbs = quoted(&verbs);
        described.insert(format!(
            "{{APIGroups:[{group:?}], Resources:[{resource:?}]{name}, Verbs:{verbs}}}"
        ));
    }
    described.into_iter().collect()
}

/// A list as Go's `%q` writes it.
fn quoted(texts: &[String]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", texts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rule(rule: &Value) -> Rule {
        Rule::read(rule)
    }

    #[test]
    fn what_is_missing_is_joined_by_resource() {
        let held = [rule(
            &json!({"apiGroups": [""], "resources": ["pods", "*/log"], "verbs": ["get"]}),
        )];
        let granted = [
            rule(&json!({"apiGroups": [""], "resources": ["pods", "pods/log", "secrets"], "verbs": ["get", "list"]})),
            rule(&json!({"apiGroups": [""], "resources": ["pods"], "resourceNames": ["p"], "verbs": ["delete"]})),
            rule(&json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]})),
        ];
        assert_eq!(
            missing(&held, &granted),
            [
                r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["p"], Verbs:["delete"]}"#,
                r#"{APIGroups:[""], Resources:["pods"], Verbs:["list"]}"#,
                r#"{APIGroups:[""], Resources:["pods/log"], Verbs:["list"]}"#,
                r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get" "list"]}"#,
                r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
            ]
        );
    }

    fn some(from: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        prop::collection::vec(prop::sample::select(from).prop_map(str::to_owned), 0..3)
    }

    fn any_rule() -> impl Strategy<Value = Rule> {
        (
            some(&["*", "get", "list"]),
            some(&["*", "", "apps"]),
            some(&["*", "pods", "pods/log", "*/log"]),
            some(&["a", "b"]),
        )
            .prop_map(|(verbs, groups, resources, names)| Rule {
                verbs,
                groups,
                resources,
                names,
                paths: Vec::new(),
            })
    }

    proptest! {
        /// Whatever is let pass grants no request that its writer could not make.
        #[test]
        fn what_is_covered_allows_no_more_than_what_is_held(
            held in prop::collection::vec(any_rule(), 0..3),
            granted in any_rule(),
            verb in prop::sample::select(&["get", "list", "delete"][..]),
            group in prop::sample::select(&["", "apps", "batch"][..]),
            resource in prop::sample::select(&["pods", "secrets"][..]),
            subresource in prop::sample::select(&["", "log"][..]),
            name in prop::sample::select(&["", "a", "b"][..]),
        ) {
            let request = AccessRequest::Resource(ResourceAccess {
                verb: verb.to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                subresource: subresource.to_owned(),
                namespace: String::new(),
                name: name.to_owned(),
            });
            if missing(&held, std::slice::from_ref(&granted)).is_empty() && granted.allows(&request) {
                prop_assert!(held.iter().any(|rule| rule.allows(&request)), "{held:?} {granted:?} {request:?}");
            }
        }
    }
}
