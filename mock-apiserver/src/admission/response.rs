//! What a webhook's answer comes to, and in which words a request is refused.
//! Follows `k8s.io/apiserver/pkg/admission/plugin/webhook/{request,errors}`.

use super::run::Phase;
use crate::api::error::ApiError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";

/// A refusal, as the `Status` that is sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Denial(pub(crate) Value);

impl Denial {
    /// The HTTP status code.
    pub(crate) fn code(&self) -> u16 {
        self.0["code"]
            .as_u64()
            .and_then(|code| code.try_into().ok())
            .unwrap_or(500)
    }
}

impl From<ApiError> for Denial {
    fn from(refused: ApiError) -> Self {
        Self(refused.body())
    }
}

/// A valid answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Allowed {
        /// A JSON patch to be applied to the object.
        patch: Option<json_patch::Patch>,
    },
    Denied(Denial),
}

/// A valid answer with the warnings that came along.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Response {
    pub(super) decision: Decision,
    pub(super) warnings: Vec<String>,
}

/// Why an answer counts for nothing.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Invalid {
    /// The webhook failed, so its failure policy decides.
    Response(String),
    /// The server gives up on the request.
    Patch(String),
}

/// Reads the answer of the webhook `name` to the request `uid`.
pub(super) fn read(name: &str, phase: Phase, uid: &str, review: &Value) -> Result<Response, Invalid> {
    let response = &review["response"];
    check(phase, uid, review).map_err(|why| Invalid::Response(format!("received invalid webhook response: {why}")))?;
    let warnings = response["warnings"].as_array().into_iter().flatten();
    let warnings = warnings.filter_map(Value::as_str).map(str::to_owned).collect();
    let decision = if response["allowed"] == true {
        let patch = response["patch"].as_str().filter(|patch| !patch.is_empty());
        Decision::Allowed {
            patch: patch
                .map(|patch| read_patch(patch, &response["patchType"]))
                .transpose()?,
        }
    } else {
        Decision::Denied(denial(name, &response["status"]))
    };
    Ok(Response { decision, warnings })
}

fn check(phase: Phase, uid: &str, review: &Value) -> Result<(), String> {
    let response = &review["response"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if !response.is_object() {
        return Err("webhook response was absent".to_owned());
    }
    if response["uid"] != uid {
        return Err(format!(
            "expected response.uid={uid:?}, got {:?}",
            text(&response["uid"])
        ));
    }
    if review["apiVersion"] != API_VERSION || review["kind"] != "AdmissionReview" {
        let (version, kind) = (text(&review["apiVersion"]), text(&review["kind"]));
        return Err(format!(
            "expected webhook response of {API_VERSION}, Kind=AdmissionReview, got {version}, Kind={kind}"
        ));
    }
    let patched = response["patch"].as_str().is_some_and(|patch| !patch.is_empty());
    let typed = !response["patchType"].is_null();
    match (phase, patched, typed) {
        (Phase::Mutating, true, false) => Err("webhook returned response.patch but not response.patchType".to_owned()),
        (Phase::Mutating, false, true) => Err("webhook returned response.patchType but not response.patch".to_owned()),
        (Phase::Validating, true, _) => Err("validating webhook may not return response.patch".to_owned()),
        (Phase::Validating, false, true) => Err("validating webhook may not return response.patchType".to_owned()),
        (Phase::Mutating, true, true) | (_, false, false) => Ok(()),
    }
}

fn read_patch(encoded: &str, patch_type: &Value) -> Result<json_patch::Patch, Invalid> {
    if patch_type != "JSONPatch" {
        let found = patch_type.as_str().unwrap_or_default();
        return Err(Invalid::Response(format!("unsupported patch type {found:?}")));
    }
    let decoded = STANDARD
        .decode(encoded)
        .map_err(|error| Invalid::Patch(error.to_string()))?;
    serde_json::from_slice(&decoded).map_err(|error| Invalid::Patch(error.to_string()))
}

/// The `Status` of a webhook that denied a request: its own, as far as it goes.
fn denial(name: &str, status: &Value) -> Denial {
    let mut status = if status.is_object() { status.clone() } else { json!({}) };
    let denied = format!("admission webhook {name:?} denied the request");
    let text = |member: &str| status[member].as_str().filter(|text| !text.is_empty());
    let message = match (text("message"), text("reason")) {
        (Some(message), _) => format!("{denied}: {message}"),
        (None, Some(reason)) => format!("{denied}: {reason}"),
        (None, None) => format!("{denied} without explanation"),
    };
    let code = status["code"]
        .as_u64()
        .filter(|code| (400..600).contains(code))
        .unwrap_or(400);
    if status["metadata"].is_null() {
        status["metadata"] = json!({});
    }
    status["kind"] = "Status".into();
    status["apiVersion"] = "v1".into();
    status["status"] = "Failure".into();
    status["message"] = message.into();
    status["code"] = code.into();
    Denial(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn review(response: &Value) -> Value {
        json!({"apiVersion": API_VERSION, "kind": "AdmissionReview", "response": response})
    }

    fn denied(status: &Value) -> Denial {
        let answer = review(&json!({"uid": "u", "allowed": false, "status": status}));
        match read("w.example.com", Phase::Validating, "u", &answer).unwrap().decision {
            Decision::Denied(denial) => denial,
            Decision::Allowed { .. } => panic!("it was allowed"),
        }
    }

    #[test]
    fn a_denial_keeps_the_status_of_the_webhook_and_names_it() {
        let denial = denied(&json!({"message": "no", "reason": "Invalid", "code": 422}));
        assert_eq!(denial.code(), 422);
        assert_eq!(denial.0["reason"], "Invalid");
        assert_eq!(
            denial.0["message"],
            "admission webhook \"w.example.com\" denied the request: no"
        );
    }

    #[test]
    fn a_denial_without_words_or_with_a_code_of_success_is_a_bad_request() {
        let denial = denied(&json!({"code": 200, "status": "Success"}));
        assert_eq!((denial.code(), &denial.0["status"]), (400, &json!("Failure")));
        assert_eq!(
            denial.0["message"],
            "admission webhook \"w.example.com\" denied the request without explanation"
        );
    }

    #[test]
    fn an_answer_that_breaks_the_protocol_counts_for_nothing() {
        let patch = STANDARD.encode("[]");
        for (phase, answer, why) in [
            (Phase::Validating, json!({}), "webhook response was absent"),
            (
                Phase::Validating,
                review(&json!({"uid": "v", "allowed": true})),
                "expected response.uid=\"u\", got \"v\"",
            ),
            (
                Phase::Validating,
                json!({"response": {"uid": "u", "allowed": true}}),
                "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got , Kind=",
            ),
            (
                Phase::Validating,
                review(&json!({"uid": "u", "allowed": true, "patch": patch, "patchType": "JSONPatch"})),
                "validating webhook may not return response.patch",
            ),
            (
                Phase::Mutating,
                review(&json!({"uid": "u", "allowed": true, "patch": patch})),
                "webhook returned response.patch but not response.patchType",
            ),
        ] {
            let expected = Invalid::Response(format!("received invalid webhook response: {why}"));
            assert_eq!(read("w", phase, "u", &answer), Err(expected));
        }
    }
}
