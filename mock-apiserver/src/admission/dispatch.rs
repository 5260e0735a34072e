//! Asks the webhooks of a question, without any lock.
//!
//! Mutating ones come one after the other and see each other's changes; validating ones are asked all at once.
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook/{mutating,validating}/dispatcher.go`.

use super::client_config::WebhookCaller;
use super::conditions;
use super::expression::Scope;
use super::registry::Asked;
use super::reinvocation::Reinvocation;
use super::response::{self, Decision, Denial, Invalid, Response};
use super::run::{Phase, Question};
use super::webhook::FailurePolicy;
use crate::api::error::ApiError;
use crate::catalog::Resource;
use crate::conversion;
use futures::future::join_all;
use serde_json::{Value, json};

/// What the webhooks made of a question.
#[derive(Debug)]
pub(crate) struct Consulted {
    /// The object as they left it, or the refusal.
    pub(crate) outcome: Result<Option<Value>, Denial>,
    pub(crate) warnings: Vec<String>,
}

/// Asks every webhook of the question.
pub(crate) async fn consult(question: &Question, caller: &dyn WebhookCaller) -> Consulted {
    let mut warnings = Vec::new();
    let outcome = match question.phase() {
        Phase::Mutating => mutate(question, caller, &mut warnings).await,
        Phase::Validating => validate(question, caller, &mut warnings).await,
    };
    Consulted { outcome, warnings }
}

async fn validate(
    question: &Question,
    caller: &dyn WebhookCaller,
    warnings: &mut Vec<String>,
) -> Result<Option<Value>, Denial> {
    let calls = question.webhooks.iter().map(async |asked| {
        let object = match question.object.as_ref() {
            Some(object) => Some(shown(question, asked, object, caller).await?),
            None => None,
        };
        ask(question, asked, object.as_ref(), caller).await
    });
    let mut refusal = None;
    for answer in join_all(calls).await {
        match answer {
            Ok(Some(Response {
                decision,
                warnings: more,
            })) => {
                warnings.extend(more);
                if let Decision::Denied(denial) = decision {
                    refusal.get_or_insert(denial);
                }
            }
            Ok(None) => {}
            Err(denial) => {
                refusal.get_or_insert(denial);
            }
        }
    }
    refusal.map_or_else(|| Ok(question.object.clone()), Err)
}

async fn mutate(
    question: &Question,
    caller: &dyn WebhookCaller,
    warnings: &mut Vec<String>,
) -> Result<Option<Value>, Denial> {
    let mut object = question.object.clone();
    let mut reinvocation = Reinvocation::default();
    for (place, asked) in question.webhooks.iter().enumerate() {
        if let Some(changed) = mutate_by(question, asked, &mut object, caller, warnings).await? {
            reinvocation.note(place, changed, asked.webhook.reinvoked);
        }
    }
    for place in reinvocation.again() {
        mutate_by(question, &question.webhooks[place], &mut object, caller, warnings).await?;
    }
    Ok(object)
}

/// Lets one webhook change the object; whether it did, or `None` if it was not asked.
async fn mutate_by(
    question: &Question,
    asked: &Asked,
    object: &mut Option<Value>,
    caller: &dyn WebhookCaller,
    warnings: &mut Vec<String>,
) -> Result<Option<bool>, Denial> {
    let before = match object.as_ref() {
        Some(object) => Some(shown(question, asked, object, caller).await?),
        None => None,
    };
    let Some(Response {
        decision,
        warnings: more,
    }) = ask(question, asked, before.as_ref(), caller).await?
    else {
        return Ok(None);
    };
    warnings.extend(more);
    let patch = match decision {
        Decision::Denied(denial) => return Err(denial),
        Decision::Allowed { patch: None } => return Ok(Some(false)),
        Decision::Allowed { patch: Some(patch) } => patch,
    };
    let Some(before) = before else {
        let name = &asked.webhook.name;
        return Err(ApiError::internal(&format!(
            "admission webhook {name:?} attempted to modify the object, which is not supported for this operation"
        ))
        .into());
    };
    let mut patched = before.clone();
    json_patch::patch(&mut patched, &patch).map_err(|error| ApiError::internal(&error.to_string()))?;
    if !patched.is_object() || !patched["metadata"].is_object() {
        let name = &asked.webhook.name;
        return Err(ApiError::internal(&format!("admission webhook {name:?} left no object behind")).into());
    }
    let changed = patched != before;
    if changed {
        *object = Some(converted(question, asked, &question.attributes.resource, patched, caller).await?);
    }
    Ok(Some(changed))
}

/// An object in the version that the webhook knows.
async fn shown(
    question: &Question,
    asked: &Asked,
    object: &Value,
    caller: &dyn WebhookCaller,
) -> Result<Value, Denial> {
    converted(question, asked, &asked.seen, object.clone(), caller).await
}

/// An object in a version of its resource. Objects of other kinds than the resource's, such as a `Scale`, have but one.
async fn converted(
    question: &Question,
    asked: &Asked,
    version: &Resource,
    object: Value,
    caller: &dyn WebhookCaller,
) -> Result<Value, Denial> {
    let Some(line) = &asked.line else {
        let is_other = question.attributes.is_of_subresource();
        return Ok(if is_other { object } else { in_version(version, object) });
    };
    let inquiry = line.inquiry(&version.api_version(), object);
    let made = conversion::ask(&inquiry, caller).await;
    let mut made = made.map_err(|why| ApiError::internal(&why.message))?;
    let mut object = made.pop().unwrap_or_default();
    version.settle(&mut object);
    Ok(object)
}

/// An object as a version of its resource shows it.
pub(super) fn in_version(resource: &Resource, mut object: Value) -> Value {
    object["apiVersion"] = resource.api_version().into();
    object["kind"] = resource.kind.as_str().into();
    object
}

/// Asks one webhook about an object in its version; `None` if it does not want to be asked or may be passed over.
async fn ask(
    question: &Question,
    asked: &Asked,
    object: Option<&Value>,
    caller: &dyn WebhookCaller,
) -> Result<Option<Response>, Denial> {
    let webhook = &asked.webhook;
    let old = match question.old.as_ref() {
        Some(old) => Some(shown(question, asked, old, caller).await?),
        None => None,
    };
    if !webhook.matching.wants_object(object, old.as_ref()) {
        return Ok(None);
    }
    let uid = &asked.uid;
    let request = question.attributes.request(uid, &asked.seen, object, old.as_ref());
    match wanted(question, asked, &request) {
        Ok(true) => {}
        Ok(false) => return Ok(None),
        Err(denial) => return Err(denial),
    }
    let review = json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": request});
    let failed = match call(asked, review, caller).await {
        Ok(answer) => match response::read(&webhook.name, question.phase(), uid, &answer) {
            Ok(response) => return Ok(Some(response)),
            Err(Invalid::Patch(why)) => return Err(ApiError::internal(&why).into()),
            Err(Invalid::Response(why)) => why,
        },
        Err(why) => format!("failed to call webhook: {why}"),
    };
    let failed = format!("failed calling webhook {:?}: {failed}", webhook.name);
    match webhook.failure_policy {
        FailurePolicy::Fail => Err(ApiError::internal(&failed).into()),
        FailurePolicy::Ignore => {
            tracing::warn!(failed, "passing over a webhook whose failure policy is Ignore");
            Ok(None)
        }
    }
}

/// Whether the conditions of the webhook hold.
fn wanted(question: &Question, asked: &Asked, request: &Value) -> Result<bool, Denial> {
    let webhook = &asked.webhook;
    if webhook.conditions.is_empty() {
        return Ok(true);
    }
    let scope = Scope::new(&[
        ("object", &request["object"]),
        ("oldObject", &request["oldObject"]),
        ("request", request),
    ]);
    match (conditions::hold(&webhook.conditions, &scope), webhook.failure_policy) {
        (Ok(hold), _) => Ok(hold),
        (Err(_), FailurePolicy::Ignore) => Ok(false),
        (Err(why), FailurePolicy::Fail) => {
            let resource = &question.attributes.resource;
            Err(ApiError::forbidden(&resource.plural, &resource.group, &question.attributes.name, &why).into())
        }
    }
}

async fn call(asked: &Asked, review: Value, caller: &dyn WebhookCaller) -> Result<Value, String> {
    let timeout = asked.webhook.timeout;
    let address = asked.address.as_ref().map_err(Clone::clone)?;
    let call = address.call(review, timeout)?;
    let url = call.address();
    match tokio::time::timeout(timeout, caller.call(call)).await {
        Ok(answer) => answer.map_err(|failure| failure.to_string()),
        Err(_) => Err(format!("Post {url:?}: context deadline exceeded")),
    }
}
