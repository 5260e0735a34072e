//! One webhook of a configuration, with the defaults of `admissionregistration.k8s.io/v1`, and whom it is asked about.

use super::attributes::Attributes;
use super::client_config::ClientConfig;
use super::conditions::{self, Condition};
use crate::api::meta::strings;
use crate::api::selector::LabelSelector;
use crate::catalog::Resource;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

const DEFAULT_TIMEOUT_SECONDS: u64 = 10;

/// What becomes of a request whose webhook cannot be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    Fail,
    Ignore,
}

/// One webhook.
#[derive(Debug)]
pub(crate) struct Webhook {
    pub(crate) name: String,
    pub(crate) client: ClientConfig,
    pub(crate) failure_policy: FailurePolicy,
    pub(crate) timeout: Duration,
    /// It is asked again if another webhook changed the object after it.
    pub(crate) reinvoked: bool,
    pub(crate) conditions: Vec<Condition>,
    rules: Vec<Rule>,
    /// Rules cover the other versions of their resources, too.
    equivalent: bool,
    namespaces: Option<LabelSelector>,
    objects: Option<LabelSelector>,
}

impl Webhook {
    /// Reads a webhook of a configuration.
    pub(crate) fn read(webhook: &Value) -> Self {
        let text = |member: &str| webhook[member].as_str().unwrap_or_default();
        let selector = |member: &str| LabelSelector::read(&webhook[member]);
        Self {
            name: text("name").to_owned(),
            client: ClientConfig::read(&webhook["clientConfig"]),
            failure_policy: match text("failurePolicy") {
                "Ignore" => FailurePolicy::Ignore,
                _ => FailurePolicy::Fail,
            },
            timeout: Duration::from_secs(webhook["timeoutSeconds"].as_u64().unwrap_or(DEFAULT_TIMEOUT_SECONDS)),
            reinvoked: text("reinvocationPolicy") == "IfNeeded",
            conditions: conditions::read(&webhook["matchConditions"]),
            rules: webhook["rules"]
                .as_array()
                .into_iter()
                .flatten()
                .map(Rule::read)
                .collect(),
            equivalent: text("matchPolicy") != "Exact",
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
        let by = |seen: &&Arc<Resource>| self.rules.iter().any(|rule| rule.covers(attributes, seen));
        let own = |seen: &&Arc<Resource>| seen.version == asked.version && seen.group == asked.group;
        let covered = |seen: &&Arc<Resource>| own(seen) && by(seen);
        let equivalent = || versions.iter().find(by).filter(|_| self.equivalent);
        versions.iter().find(covered).or_else(equivalent)
    }

    /// Whether the namespace is one that the webhook wants; `None` for objects outside namespaces, which always are.
    pub(crate) fn wants_namespace(&self, namespace: Option<&Value>) -> bool {
        match (namespace, &self.namespaces) {
            (Some(namespace), Some(selector)) => selector.matches(namespace),
            (None, _) | (_, None) => true,
        }
    }

    /// Whether the object, before or after, is one that the webhook wants.
    pub(crate) fn wants_object(&self, object: Option<&Value>, old: Option<&Value>) -> bool {
        let Some(selector) = self.objects.as_ref().filter(|selector| !selector.is_empty()) else {
            return true;
        };
        [object, old]
            .into_iter()
            .flatten()
            .any(|object| selector.matches(object))
    }
}

/// Operations on resources.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
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
