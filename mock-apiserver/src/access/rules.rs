//! Whether rules allow a request: the decision of RBAC, free of store and HTTP.
//!
//! Rules only ever allow; what none of them allows is denied. Where rules come from is [`super::grants`]'s business.
//! The matching follows `k8s.io/kubernetes/pkg/apis/rbac/v1/evaluation_helpers.go`.

use serde_json::Value;

/// What a request wants, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessRequest {
    /// Something is to be done with a resource.
    Resource(ResourceAccess),
    /// A path that names no resource, such as `/healthz`, with the lower-case HTTP method as the verb.
    Path { verb: String, path: String },
}

/// An operation on a resource; empty texts mean "none" (no subresource, cluster scope, no single object).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct ResourceAccess {
    pub(crate) verb: String,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ResourceAccess {
    /// `resource/subresource`, or the bare resource.
    pub(crate) fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

impl AccessRequest {
    /// The namespace whose role bindings count, empty for the cluster scope.
    pub(crate) fn namespace(&self) -> &str {
        match self {
            Self::Resource(access) => &access.namespace,
            Self::Path { .. } => "",
        }
    }
}

/// One `PolicyRule`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) names: Vec<String>,
    pub(crate) paths: Vec<String>,
}

impl Rule {
    /// Reads a rule; what is absent or no list of texts matches nothing (but an absent `resourceNames` matches every name).
    pub(crate) fn read(rule: &Value) -> Self {
        let texts = |member: &str| -> Vec<String> {
            let items = rule[member].as_array().into_iter().flatten();
            items.filter_map(Value::as_str).map(str::to_owned).collect()
        };
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            paths: texts("nonResourceURLs"),
        }
    }

    /// Whether the rule allows the request.
    pub(crate) fn allows(&self, request: &AccessRequest) -> bool {
        match request {
            AccessRequest::Resource(access) => {
                let full = access.full_resource();
                let every = format!("*/{}", access.subresource);
                let resource =
                    |rule: &String| *rule == full || !access.subresource.is_empty() && *rule == every || rule == "*";
                listed(&self.verbs, &access.verb)
                    && listed(&self.groups, &access.group)
                    && self.resources.iter().any(resource)
                    && (self.names.is_empty() || self.names.contains(&access.name))
            }
            AccessRequest::Path { verb, path } => {
                let under = |rule: &String| match rule.strip_suffix('*') {
                    Some(prefix) => path.starts_with(prefix.trim_end_matches('*')),
                    None => rule == path,
                };
                listed(&self.verbs, verb) && self.paths.iter().any(under)
            }
        }
    }
}

/// Whether a list names a text or everything.
fn listed(list: &[String], wanted: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == wanted)
}

/// Rules with the binding that grants them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) rules: Vec<Rule>,
    /// Such as `RoleBinding "read/x" of Role "reader" to User "u"`.
    pub(crate) origin: String,
}

/// What the rules come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision<'a> {
    Allowed(&'a Grant),
    Denied,
}

/// Decides by the first grant that has a rule for the request.
pub(crate) fn authorize<'a>(grants: &'a [Grant], request: &AccessRequest) -> Decision<'a> {
    let allowing = |grant: &&Grant| grant.rules.iter().any(|rule| rule.allows(request));
    grants.iter().find(allowing).map_or(Decision::Denied, Decision::Allowed)
}

#[cfg(test)]
mod tests;
