//! Reviews: questions about access that are answered in their `status` and never stored.

use super::answer::Answer;
use super::decode;
use super::dispatch::{Call, Method};
use crate::access::{AccessRequest, ResourceAccess, Rule, User};
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::field::FieldError;
use crate::api::options::FieldValidation;
use crate::core::Core;
use crate::store::Object;
use serde_json::{Value, json};
use std::sync::Arc;

/// Answers a review.
pub(super) fn handle(core: &Core, call: &mut Call<'_>) -> ApiResult<Answer> {
    if call.request.method != Method::Post || call.path.name.is_some() {
        let message = "the server does not allow this method on the requested resource";
        return Err(ApiError::new(Reason::MethodNotAllowed, message));
    }
    let mut review = decode::object(call, FieldValidation::Ignore)?;
    review["status"] = match call.resource.kind.as_str() {
        "SelfSubjectReview" => json!({"userInfo": call.user.info()}),
        "TokenReview" => token(core, &review),
        "SelfSubjectRulesReview" => rules(core, call, &review)?,
        "SelfSubjectAccessReview" => access(core, call, &review, call.user)?,
        _ => access(core, call, &review, &subject(call, &review)?)?,
    };
    Ok(Answer::Object {
        code: 201,
        resource: call.resource.clone(),
        object: Arc::new(Object::new(review)),
    })
}

fn invalid(call: &Call<'_>, errors: &[FieldError]) -> ApiError {
    ApiError::invalid(&call.resource.kind, &call.resource.group, "", errors)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Whom a `SubjectAccessReview` is about.
fn subject(call: &Call<'_>, review: &Value) -> ApiResult<User> {
    let spec = &review["spec"];
    let extra = spec["extra"].as_object().into_iter().flatten();
    let user = User {
        name: text(&spec["user"]),
        uid: text(&spec["uid"]),
        groups: texts(&spec["groups"]),
        extra: extra.map(|(key, values)| (key.clone(), texts(values))).collect(),
    };
    if user.name.is_empty() && user.groups.is_empty() {
        let why = "at least one of user or group must be specified";
        let error = FieldError::invalid("spec.user", &json!(""), why);
        return Err(invalid(call, &[error]));
    }
    Ok(user)
}

fn access(core: &Core, call: &Call<'_>, review: &Value, user: &User) -> ApiResult<Value> {
    let request = asked(call, &review["spec"])?;
    let judgement = core.access.judge(&core.store, user, &request);
    let mut status = json!({"allowed": judgement.allowed});
    if !judgement.reason.is_empty() {
        status["reason"] = judgement.reason.into();
    }
    Ok(status)
}

/// The request that a review is about.
fn asked(call: &Call<'_>, spec: &Value) -> ApiResult<AccessRequest> {
    let (resource, path) = (&spec["resourceAttributes"], &spec["nonResourceAttributes"]);
    if resource.is_null() == path.is_null() {
        let why = "exactly one of nonResourceAttributes or resourceAttributes must be specified";
        let error = FieldError::invalid("spec.resourceAttributes", resource, why);
        return Err(invalid(call, &[error]));
    }
    let local = call.path.namespace.as_deref();
    if resource.is_null() {
        if local.is_some() {
            let why = "disallowed on this kind of request";
            let error = FieldError::invalid("spec.nonResourceAttributes", path, why);
            return Err(invalid(call, &[error]));
        }
        return Ok(AccessRequest::Path {
            verb: text(&path["verb"]),
            path: text(&path["path"]),
        });
    }
    let access = ResourceAccess {
        verb: text(&resource["verb"]),
        group: text(&resource["group"]),
        resource: text(&resource["resource"]),
        subresource: text(&resource["subresource"]),
        namespace: text(&resource["namespace"]),
        name: text(&resource["name"]),
    };
    if local.is_some_and(|local| local != access.namespace) {
        let why = "must match metadata.namespace";
        let error = FieldError::invalid("spec.resourceAttributes.namespace", &resource["namespace"], why);
        return Err(invalid(call, &[error]));
    }
    Ok(AccessRequest::Resource(access))
}

/// All that the user may do in a namespace.
fn rules(core: &Core, call: &Call<'_>, review: &Value) -> ApiResult<Value> {
    let namespace = text(&review["spec"]["namespace"]);
    if namespace.is_empty() {
        return Err(ApiError::bad_request("no namespace on request"));
    }
    let found = core.access.rules_of(&core.store, call.user, &namespace);
    let (paths, resources): (Vec<&Rule>, Vec<&Rule>) = found.rules.iter().partition(|rule| rule.resources.is_empty());
    let resource = |rule: &&Rule| {
        let mut entry = json!({"verbs": rule.verbs, "apiGroups": rule.groups, "resources": rule.resources});
        if !rule.names.is_empty() {
            entry["resourceNames"] = json!(rule.names);
        }
        entry
    };
    let path = |rule: &&Rule| json!({"verbs": rule.verbs, "nonResourceURLs": rule.paths});
    let mut status = json!({
        "resourceRules": resources.iter().map(resource).collect::<Vec<_>>(),
        "nonResourceRules": paths.iter().map(path).collect::<Vec<_>>(),
        "incomplete": false,
    });
    if !found.error.is_empty() {
        status["incomplete"] = true.into();
        status["evaluationError"] = found.error.into();
    }
    Ok(status)
}

/// Whose token it is.
fn token(core: &Core, review: &Value) -> Value {
    let token = review["spec"]["token"].as_str().unwrap_or_default();
    match core.access.user_of(core, token) {
        Some(user) => json!({"authenticated": true, "user": user.info()}),
        None => json!({"user": {}, "error": "invalid bearer token"}),
    }
}
