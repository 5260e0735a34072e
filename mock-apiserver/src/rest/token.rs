//! The `token` subresource of service accounts.

use super::answer::Answer;
use super::decode;
use super::dispatch::Call;
use crate::access;
use crate::api::error::{ApiError, ApiResult};
use crate::api::field::FieldError;
use crate::clock::meta_time;
use crate::core::Core;
use crate::store::ObjectName;
use serde_json::json;

const DEFAULT_SECONDS: i64 = 3600;
const SHORTEST_SECONDS: i64 = 600;
const LONGEST_SECONDS: i64 = 1 << 32;

/// Answers a `TokenRequest` with a token of the account.
pub(super) fn request(core: &Core, call: &Call<'_>, name: &str) -> ApiResult<Answer> {
    let mut request = decode::parse_body(&call.request.content_type, &call.request.body)?;
    let at = ObjectName::new(call.namespace(), name);
    let account = core
        .store
        .get("serviceaccounts", &at)
        .ok_or_else(|| call.not_found(name))?;
    if !request.is_object() {
        return Err(ApiError::bad_request("the body of the request is not a TokenRequest"));
    }
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(DEFAULT_SECONDS);
    let why = match seconds {
        ..SHORTEST_SECONDS => Some("may not specify a duration less than 10 minutes"),
        SHORTEST_SECONDS..=LONGEST_SECONDS => None,
        _ => Some("may not specify a duration larger than 2^32 seconds"),
    };
    if let Some(why) = why {
        let error = FieldError::invalid("spec.expirationSeconds", &json!(seconds), why);
        return Err(ApiError::invalid("TokenRequest", "authentication.k8s.io", "", &[error]));
    }
    let uid = account["metadata"]["uid"].as_str().unwrap_or_default();
    let (token, end) = access::issue(core, &at, uid, seconds)
        .ok_or_else(|| ApiError::internal("the end of the token is beyond the calendar"))?;
    request["apiVersion"] = "authentication.k8s.io/v1".into();
    request["kind"] = "TokenRequest".into();
    if !request["spec"].is_object() {
        request["spec"] = json!({});
    }
    request["spec"]["expirationSeconds"] = seconds.into();
    request["metadata"] = json!({"name": name, "namespace": call.namespace(), "creationTimestamp": core.now()});
    request["status"] = json!({"token": token, "expirationTimestamp": meta_time(end)});
    Ok(Answer::Document {
        code: 201,
        body: request,
    })
}
