//! The decision by a table of cases, and against a model that answers the same question in another way.

use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeSet;

/// `verb group resource/subresource name`, where `-` is the empty text; or `verb /path`.
fn request(text: &str) -> AccessRequest {
    let words: Vec<&str> = text
        .split(' ')
        .map(|word| if word == "-" { "" } else { word })
        .collect();
    let [verb, group, resource, name] = words[..] else {
        return AccessRequest::Path {
            verb: words[0].to_owned(),
            path: words[1].to_owned(),
        };
    };
    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
    AccessRequest::Resource(ResourceAccess {
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        subresource: subresource.to_owned(),
        namespace: String::new(),
        name: name.to_owned(),
    })
}

#[test]
fn a_rule_allows_exactly_what_it_names() {
    let pods = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]});
    let all = json!({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]});
    let scales = json!({"verbs": ["get"], "apiGroups": ["apps"], "resources": ["*/scale"]});
    let logs = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/log"]});
    let named = json!({"verbs": ["get", "create"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]});
    let every = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]});
    let paths = json!({"verbs": ["get"], "nonResourceURLs": ["/healthz", "/logs/*"]});
    let anywhere = json!({"verbs": ["*"], "nonResourceURLs": ["*"]});
    let cases = [
        (&pods, "get - pods -", true),
        (&pods, "get - pods a", true),
        (&pods, "list - pods -", false),
        (&pods, "get apps pods -", false),
        (&pods, "get - pods/log a", false),
        (&pods, "get /healthz", false),
        (&all, "delete apps deployments/scale x", true),
        (&all, "get /healthz", false),
        (&scales, "get apps deployments/scale x", true),
        (&scales, "get apps deployments x", false),
        (&scales, "get apps deployments/status x", false),
        (&logs, "get - pods/log a", true),
        (&logs, "get - pods a", false),
        (&named, "get - pods a", true),
        (&named, "get - pods b", false),
        (&named, "create - pods -", false),
        // Not a pattern of RBAC.
        (&every, "get - pods/log a", false),
        (&paths, "get /healthz", true),
        (&paths, "get /healthz/x", false),
        (&paths, "get /logs/x", true),
        (&paths, "get /logs", false),
        (&paths, "post /logs/x", false),
        (&anywhere, "post /x", true),
        (&anywhere, "get - pods a", false),
    ];
    for (rule, text, allowed) in cases {
        assert_eq!(Rule::read(rule).allows(&request(text)), allowed, "{text} by {rule}");
    }
}

const VERBS: [&str; 2] = ["get", "list"];
const GROUPS: [&str; 2] = ["", "apps"];
const RESOURCES: [&str; 4] = ["pods", "pods/log", "jobs", "jobs/log"];
const NAMES: [&str; 3] = ["", "a", "b"];

/// The model: the set of all requests that the rules allow, written out.
fn allowed(rules: &[Rule]) -> BTreeSet<String> {
    let mut set = BTreeSet::new();
    for rule in rules {
        let either = |list: &[String], all: &[&'static str]| -> Vec<&'static str> {
            let star = list.iter().any(|entry| entry == "*");
            all.iter()
                .copied()
                .filter(|one| star || list.iter().any(|entry| entry == one))
                .collect()
        };
        let mut resources = either(&rule.resources, &RESOURCES);
        if rule.resources.iter().any(|entry| entry == "*/log") {
            resources.extend(["pods/log", "jobs/log"]);
        }
        let names = if rule.names.is_empty() {
            NAMES.to_vec()
        } else {
            either(&rule.names, &NAMES)
        };
        for verb in either(&rule.verbs, &VERBS) {
            for group in either(&rule.groups, &GROUPS) {
                for resource in &resources {
                    set.extend(names.iter().map(|name| format!("{verb}|{group}|{resource}|{name}")));
                }
            }
        }
    }
    set
}

fn some(of: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    let entries = prop::sample::subsequence(of, 0..=of.len());
    entries.prop_map(|entries| entries.iter().map(|entry| (*entry).to_owned()).collect())
}

fn rule() -> impl Strategy<Value = Rule> {
    let resources = some(&["pods", "pods/log", "jobs", "*/log", "*"]);
    (
        some(&["get", "list", "*"]),
        some(&["", "apps", "*"]),
        resources,
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
    #[test]
    fn the_decision_is_that_of_the_model(grants in prop::collection::vec(prop::collection::vec(rule(), 0..3), 0..3)) {
        let model = allowed(&grants.concat());
        let grants: Vec<Grant> = grants.into_iter().map(|rules| Grant { rules, origin: String::new() }).collect();
        for verb in VERBS {
            for group in GROUPS {
                for resource in RESOURCES {
                    for name in NAMES {
                        let dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
                        let asked = request(&format!("{verb} {} {resource} {}", dash(group), dash(name)));
                        let decided = matches!(authorize(&grants, &asked), Decision::Allowed(_));
                        let expected = model.contains(&format!("{verb}|{group}|{resource}|{name}"));
                        prop_assert_eq!(decided, expected, "{:?}", asked);
                    }
                }
            }
        }
    }
}
