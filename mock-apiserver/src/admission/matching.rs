//! Which requests a webhook or policy is about: operations, resources, scopes and selectors.

use super::attributes::Attributes;
use crate::api::meta::strings;
use crate::api::selector::LabelSelector;
use crate::catalog::Resource;
use serde_json::Value;
use std::sync::Arc;

/// The requests that a webhook, a policy or a binding is about.
#[derive(Debug)]
pub(crate) struct Matching {
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    /// Rules cover the other versions of their resources, too.
    equivalent: bool,
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
}

impl Matching {
    /// Reads the constraints of a webhook (`rules`) or of a policy (`resourceRules`).
    pub(crate) fn read(constraints: &Value, rules: &str) -> Self {
        let selector = |member: &str| LabelSelector::read(&constraints[member]);
        let read = |member: &str| {
            let rules = constraints[member].as_array().into_iter().flatten();
            rules.map(Rule::read).collect()
        };
        Self {
            rules: read(rules),
            excluded: read("excludeResourceRules"),
            equivalent: constraints["matchPolicy"] != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
        }
    }

    /// The version of the resource by which a rule covers the request; `versions` are all that the resource is served in.
    pub(crate) fn covers<'a>(
        &self,
        attributes: &Attributes,
        versions: &'a [Arc<Resource>],
    ) -> Option<&'a Arc<Resource>> {
        let asked = &attributes.resource;
        let by = |seen: &&Arc<Resource>| {
            let among = |rules: &[Rule]| rules.iter().any(|rule| rule.covers(attributes, seen));
            among(&self.rules) && !among(&self.excluded)
        };
        let own = |seen: &&Arc<Resource>| seen.version == asked.version && seen.group == asked.group;
        let covered = |seen: &&Arc<Resource>| own(seen) && by(seen);
        let equivalent = || versions.iter().find(by).filter(|_| self.equivalent);
        versions.iter().find(covered).or_else(equivalent)
    }

    /// Whether the namespace is one that is wanted; `None` for objects outside namespaces, which always are.
    pub(crate) fn wants_namespace(&self, namespace: Option<&Value>) -> bool {
        match (namespace, &self.namespaces) {
            (Some(namespace), Some(selector)) => selector.matches(namespace),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether the object, before or after, is one that is wanted.
    pub(crate) fn wants_object(&self, object: Option<&Value>, old: Option<&Value>) -> bool {
        let Some(selector) = self.objects.as_ref().filter(|selector| !selector.is_empty()) else {
            return true;
        };
        [object, old]
            .into_iter()
            .flatten()
            .any(|object| selector.matches(object))
    }

    /// Whether it has no rules of its own, as a binding that takes those of its policy.
    pub(crate) fn is_open(&self) -> bool {
        self.rules.is_empty()
    }
}

/// Operations on resources.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    /// Only objects of these names; all if empty.
    names: Vec<String>,
    scope: Scope,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    All,
    Cluster,
    Namespaced,
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let list = |member: &str| strings(&rule[member]).into_iter().map(str::to_owned).collect();
        Self {
            operations: list("operations"),
            groups: list("apiGroups"),
            versions: list("apiVersions"),
            resources: list("resources"),
            names: list("resourceNames"),
            scope: match rule["scope"].as_str() {
                Some("Cluster") => Scope::Cluster,
                Some("Namespaced") => Scope::Namespaced,
                Some(_) | None => Scope::All,
            },
        }
    }

    fn covers(&self, attributes: &Attributes, seen: &Resource) -> bool {
        let scoped = match self.scope {
            Scope::All => true,
            Scope::Cluster => !seen.namespaced,
            Scope::Namespaced => seen.namespaced,
        };
        scoped
            && listed(&self.operations, attributes.operation.as_str())
            && (self.names.is_empty() || self.names.contains(&attributes.name))
            && listed(&self.groups, &seen.group)
            && listed(&self.versions, &seen.version)
            && self
                .resources
                .iter()
                .any(|wanted| names(wanted, &seen.plural, &attributes.subresource))
    }
}

fn listed(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

/// Whether an entry such as `pods`, `pods/*`, `*/scale` or `*` names a resource and subresource.
fn names(entry: &str, resource: &str, subresource: &str) -> bool {
    let (wanted, wanted_subresource) = entry.split_once('/').unwrap_or((entry, ""));
    (wanted == "*" || wanted == resource) && (wanted_subresource == "*" || wanted_subresource == subresource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_names_resources_and_subresources_as_documented() {
        for (entry, resource, subresource, named) in [
            ("pods", "pods", "", true),
            ("pods", "pods", "status", false),
            ("pods/status", "pods", "status", true),
            ("pods/*", "pods", "", true),
            ("*", "pods", "", true),
            ("*", "pods", "status", false),
            ("*/*", "pods", "status", true),
            ("*/scale", "deployments", "scale", true),
            ("services", "pods", "", false),
        ] {
            assert_eq!(
                names(entry, resource, subresource),
                named,
                "{entry} {resource}/{subresource}"
            );
        }
    }
}
