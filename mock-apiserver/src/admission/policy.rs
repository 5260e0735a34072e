//! Policies: `ValidatingAdmissionPolicy` and its bindings, CEL rules that the server itself holds requests against.
//!
//! Follows `k8s.io/apiserver/pkg/admission/plugin/policy/validating`. Left out: audit annotations, type checking, `authorizer`.

use super::attributes::Attributes;
use super::conditions::{self, Condition};
use super::dispatch::in_version;
use super::expression::{Expression, Scope};
use super::matching::Matching;
use super::registry::{GROUP, namespace};
use super::webhook::FailurePolicy;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::meta::strings;
use crate::api::selector::LabelSelector;
use crate::catalog::Resource;
use crate::core::Core;
use crate::store::{Change, Event, ObjectName};
use kube_cel::cel::Value as CelValue;
use kube_cel::cel::objects::{Key, Map};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The policies and bindings in force.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    policies: BTreeMap<String, Arc<Policy>>,
    bindings: BTreeMap<String, Arc<Binding>>,
}

#[derive(Debug)]
struct Policy {
    name: String,
    matching: Matching,
    conditions: Vec<Condition>,
    on_failure: FailurePolicy,
    variables: Vec<(String, Expression)>,
    validations: Vec<Validation>,
    /// Group and version, and kind, of the parameters.
    params: Option<(String, String)>,
}

#[derive(Debug)]
struct Validation {
    text: String,
    expression: Expression,
    message: Option<String>,
    message_expression: Option<Expression>,
    reason: Reason,
}

/// Where a policy is in force, with which parameters, and what it does.
#[derive(Debug)]
struct Binding {
    name: String,
    policy: String,
    matching: Matching,
    params: Option<Params>,
    deny: bool,
    warn: bool,
}

/// Which objects are the parameters.
#[derive(Debug)]
struct Params {
    name: Option<String>,
    namespace: Option<String>,
    selector: Option<LabelSelector>,
    /// A request is let pass if there are none.
    optional: bool,
}

impl Policies {
    /// Whether no policy is bound.
    pub(crate) fn is_empty(&self) -> bool {
        self.policies.is_empty() || self.bindings.is_empty()
    }

    /// Follows a change of an object of the group.
    pub(crate) fn follow(&mut self, resource: &Resource, change: &Change) {
        let name = change.name.name.clone();
        match (resource.kind.as_str(), change.event) {
            ("ValidatingAdmissionPolicy", Event::Deleted) => drop(self.policies.remove(&name)),
            ("ValidatingAdmissionPolicy", Event::Added | Event::Modified) => {
                let policy = Policy::read(&name, &change.object["spec"]);
                self.policies.insert(name, Arc::new(policy));
            }
            ("ValidatingAdmissionPolicyBinding", Event::Deleted) => drop(self.bindings.remove(&name)),
            ("ValidatingAdmissionPolicyBinding", Event::Added | Event::Modified) => {
                let binding = Binding::read(&name, &change.object["spec"]);
                self.bindings.insert(name, Arc::new(binding));
            }
            (_, Event::Added | Event::Modified | Event::Deleted) => {}
        }
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn expression(value: &Value) -> Expression {
    Expression::new(value.as_str().unwrap_or_default())
}

impl Policy {
    fn read(name: &str, spec: &Value) -> Self {
        let list = |member: &str| spec[member].as_array().into_iter().flatten();
        let variable = |variable: &Value| {
            (
                text(&variable["name"]).unwrap_or_default(),
                expression(&variable["expression"]),
            )
        };
        let kind = &spec["paramKind"];
        Self {
            name: name.to_owned(),
            matching: Matching::read(&spec["matchConstraints"], "resourceRules"),
            conditions: conditions::read(&spec["matchConditions"]),
            on_failure: FailurePolicy::read(&spec["failurePolicy"]),
            variables: list("variables").map(variable).collect(),
            validations: list("validations").map(Validation::read).collect(),
            params: text(&kind["apiVersion"]).zip(text(&kind["kind"])),
        }
    }
}

impl Validation {
    fn read(validation: &Value) -> Self {
        Self {
            text: text(&validation["expression"]).unwrap_or_default(),
            expression: expression(&validation["expression"]),
            message: text(&validation["message"]),
            message_expression: text(&validation["messageExpression"]).map(|text| Expression::new(&text)),
            reason: match validation["reason"].as_str() {
                Some("Unauthorized") => Reason::Unauthorized,
                Some("Forbidden") => Reason::Forbidden,
                Some("RequestEntityTooLarge") => Reason::RequestEntityTooLarge,
                Some(_) | None => Reason::Invalid,
            },
        }
    }

    /// Why the request does not comply; `None` if it does.
    fn problem(&self, scope: &Scope) -> Result<Option<String>, String> {
        let failed = |why: &str| format!("expression '{}' resulted in error: {why}", self.text);
        if self.expression.holds(scope).map_err(|why| failed(&why))? {
            return Ok(None);
        }
        let composed = self
            .message_expression
            .as_ref()
            .and_then(|message| match message.value(scope) {
                Ok(CelValue::String(text)) if !text.trim().is_empty() => Some(text.to_string()),
                Ok(_) | Err(_) => None,
            });
        let fixed = || self.message.clone();
        Ok(Some(
            composed
                .or_else(fixed)
                .unwrap_or_else(|| format!("failed expression: {}", self.text)),
        ))
    }
}

impl Binding {
    fn read(name: &str, spec: &Value) -> Self {
        let actions = strings(&spec["validationActions"]);
        let params = &spec["paramRef"];
        Self {
            name: name.to_owned(),
            policy: text(&spec["policyName"]).unwrap_or_default(),
            matching: Matching::read(&spec["matchResources"], "resourceRules"),
            params: params.is_object().then(|| Params {
                name: text(&params["name"]),
                namespace: text(&params["namespace"]),
                selector: params["selector"]
                    .is_object()
                    .then(|| LabelSelector::read(&params["selector"]))
                    .flatten(),
                optional: params["parameterNotFoundAction"] == "Allow",
            }),
            deny: actions.contains(&"Deny"),
            warn: actions.contains(&"Warn"),
        }
    }
}

/// The request that is held against the policies.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    attributes: &'a Attributes,
    object: Option<&'a Value>,
    old: Option<&'a Value>,
    /// The namespace it lies in.
    namespace: Option<&'a Value>,
}

/// A request that does not comply.
struct Violation {
    message: String,
    reason: Reason,
}

/// Holds a request against every policy that is bound to it. Gives the warnings of those that only warn.
pub(crate) fn check(
    core: &Core,
    attributes: &Attributes,
    object: Option<&Value>,
    old: Option<&Value>,
) -> ApiResult<Vec<String>> {
    let policies = &core.webhooks.policies;
    let mut warnings = Vec::new();
    // Nobody locks themselves out of the policies.
    if policies.is_empty() || attributes.resource.group == GROUP {
        return Ok(warnings);
    }
    let namespace = namespace(core, attributes, object.or(old).unwrap_or(&Value::Null));
    let candidate = Candidate {
        attributes,
        object,
        old,
        namespace: namespace.as_deref().map(|namespace| &**namespace),
    };
    let mut refusal = None;
    for binding in policies.bindings.values() {
        let Some(policy) = policies.policies.get(&binding.policy) else {
            continue;
        };
        for Violation { message, reason } in violations(core, policy, binding, candidate) {
            let (name, bound) = (&policy.name, &binding.name);
            if binding.warn {
                warnings.push(format!(
                    "Validation failed for ValidatingAdmissionPolicy '{name}' with binding '{bound}': {message}"
                ));
            }
            if binding.deny {
                let why =
                    format!("ValidatingAdmissionPolicy '{name}' with binding '{bound}' denied request: {message}");
                refusal.get_or_insert_with(|| denied(attributes, reason, &why));
            }
        }
    }
    refusal.map_or(Ok(warnings), Err)
}

fn denied(attributes: &Attributes, reason: Reason, why: &str) -> ApiError {
    let resource = &attributes.resource;
    let mut refused = ApiError::forbidden(&resource.plural, &resource.group, &attributes.name, why);
    refused.reason = reason;
    if let Some(details) = &mut refused.details {
        details["causes"] = json!([{ "message": why }]);
    }
    refused
}

fn violations(core: &Core, policy: &Policy, binding: &Binding, candidate: Candidate<'_>) -> Vec<Violation> {
    let attributes = candidate.attributes;
    let versions = core.catalog.versions(&attributes.resource);
    let Some(seen) = policy.matching.covers(attributes, &versions) else {
        return Vec::new();
    };
    let bound = binding.matching.is_open() || binding.matching.covers(attributes, &versions).is_some();
    if !bound || !candidate.is_wanted(&policy.matching) || !candidate.is_wanted(&binding.matching) {
        return Vec::new();
    }
    let params = match params(core, policy, binding, attributes) {
        Ok(params) => params,
        Err(why) => return policy.failed(why),
    };
    let (object, old) = candidate.shown(seen);
    let request = attributes.request("", seen, None, None);
    let namespace = candidate.namespace.unwrap_or(&Value::Null);
    let against = |params: &Value| {
        policy.violations(Scope::new(&[
            ("object", &object),
            ("oldObject", &old),
            ("request", &request),
            ("namespaceObject", namespace),
            ("params", params),
        ]))
    };
    params.iter().flat_map(against).collect()
}

impl Candidate<'_> {
    fn is_wanted(&self, matching: &Matching) -> bool {
        matching.wants_namespace(self.namespace) && matching.wants_object(self.object, self.old)
    }

    /// The object and what it replaces, in the version of the rule; null where there is none.
    fn shown(&self, seen: &Resource) -> (Value, Value) {
        let shown = |object: &Value| {
            if self.attributes.is_of_subresource() {
                object.clone()
            } else {
                in_version(seen, object.clone())
            }
        };
        (
            self.object.map_or(Value::Null, shown),
            self.old.map_or(Value::Null, shown),
        )
    }
}

impl Policy {
    /// What comes of a policy that could not be evaluated.
    fn failed(&self, message: String) -> Vec<Violation> {
        match self.on_failure {
            FailurePolicy::Ignore => Vec::new(),
            FailurePolicy::Fail => vec![Violation {
                message,
                reason: Reason::Invalid,
            }],
        }
    }

    /// The validations that do not hold.
    fn violations(&self, mut scope: Scope) -> Vec<Violation> {
        match conditions::hold(&self.conditions, &scope) {
            Ok(true) => {}
            Ok(false) => return Vec::new(),
            Err(why) => return self.failed(why),
        }
        compose(self, &mut scope);
        let validations = self.validations.iter();
        validations
            .flat_map(|validation| match validation.problem(&scope) {
                Ok(None) => Vec::new(),
                Ok(Some(message)) => vec![Violation {
                    message,
                    reason: validation.reason,
                }],
                Err(why) => self.failed(why),
            })
            .collect()
    }
}

/// Adds `variables`: each may use those before it, and one that fails is missing for whoever uses it.
fn compose(policy: &Policy, scope: &mut Scope) {
    let mut members: HashMap<Key, CelValue> = HashMap::new();
    for (name, expression) in &policy.variables {
        let map = Map {
            map: Arc::new(members.clone()),
        };
        scope.set("variables", CelValue::Map(map));
        if let Ok(value) = expression.value(scope) {
            members.insert(Key::String(Arc::new(name.clone())), value);
        }
    }
    let map = Map { map: Arc::new(members) };
    scope.set("variables", CelValue::Map(map));
}

/// The parameters to evaluate with, one after the other; null for a policy without.
fn params(core: &Core, policy: &Policy, binding: &Binding, attributes: &Attributes) -> Result<Vec<Value>, String> {
    let (Some((api_version, kind)), Some(params)) = (&policy.params, &binding.params) else {
        return Ok(vec![Value::Null]);
    };
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    let resource = core
        .catalog
        .by_kind(group, version, kind)
        .ok_or_else(|| format!("failed to find resource referenced by paramKind: '{api_version}, Kind={kind}'"))?;
    let namespace = match (resource.namespaced, &params.namespace) {
        (false, _) => "",
        (true, Some(namespace)) => namespace.as_str(),
        (true, None) => attributes.namespace.as_str(),
    };
    let found: Vec<Value> = match &params.name {
        Some(name) => {
            let object = core.store.get(&resource.collection, &ObjectName::new(namespace, name));
            object.map(|object| Value::clone(&object)).into_iter().collect()
        }
        None => core
            .store
            .scan(&resource.collection, resource.namespaced.then_some(namespace))
            .map(|(_, object)| Value::clone(&object))
            .filter(|object| {
                params
                    .selector
                    .as_ref()
                    .is_some_and(|selector| selector.matches(object))
            })
            .collect(),
    };
    if found.is_empty() && !params.optional {
        return Err(
            "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
                .to_owned(),
        );
    }
    Ok(found)
}
