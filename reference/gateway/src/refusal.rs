//! Every way in which the control plane says no, and the status code and body of each.
//!
//! The body is always `{"code": <status>, "message": …}`: one SDK parses it whatever the status is,
//! another decides by the `code` in it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use crate::{id::InvalidId, operation::Conflict};

/// Why a call was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the API key is missing: send it in the X-API-KEY header")]
    MissingKey,
    #[error("the API key is not known to this gateway")]
    UnknownKey,
    #[error("there is no route {method} {path}")]
    NoRoute { method: Method, path: String },
    #[error("{path} does not take {method}")]
    MethodNotAllowed { method: Method, path: String },
    #[error("the request body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the request body did not arrive within {} s", limit.as_secs())]
    BodyTooSlow { limit: Duration },
    #[error("the request body could not be received")]
    BodyLost,
    #[error("the request body is not valid: {problem}")]
    BadBody { problem: String },
    #[error("{place} is not valid: {problem}")]
    Invalid { place: String, problem: String },
    #[error(transparent)]
    InvalidId(#[from] InvalidId),
    #[error("sandbox {0:?} was not found")]
    SandboxNotFound(String),
    #[error("template {name:?} was not found; {hint}")]
    TemplateNotFound { name: String, hint: String },
    #[error("sandbox {0} is already paused")]
    AlreadyPaused(String),
    #[error("sandbox {0} is already running")]
    AlreadyRunning(String),
    #[error("sandbox {0} is being paused; its timeout can be set again once it runs")]
    BeingPaused(String),
    #[error("the idempotency key was used before with another request body; use a new key")]
    IdempotencyMismatch,
    #[error("sandbox {id} could not be started and was removed: {reason}")]
    StartFailed { id: String, reason: String },
    #[error("sandbox {id} could not be paused: {reason}")]
    PauseFailed { id: String, reason: String },
    #[error("sandbox {id} could not be resumed: {reason}")]
    ResumeFailed { id: String, reason: String },
    #[error("sandbox {id} has failed and needs an operator: {reason}")]
    Broken { id: String, reason: String },
    #[error("the call on sandbox {0} was overtaken by a later call for the opposite")]
    Overtaken(String),
    #[error("sandbox {id} did not {what} within {} s; it goes on in the background: ask again{}", limit.as_secs(), note.as_ref().map_or(String::new(), |note| format!(" ({note})")))]
    TooSlow {
        id: String,
        what: &'static str,
        limit: Duration,
        note: Option<String>,
    },
    #[error("{feature} is not supported by this gateway; {hint}")]
    Unsupported { feature: &'static str, hint: &'static str },
    #[error("the gateway failed at this call: {0}")]
    Internal(String),
    #[error("the Kubernetes API refused: {0}")]
    Rejected(String),
    #[error("the Kubernetes API has no room for another sandbox: {0}")]
    QuotaExceeded(String),
    #[error("the Kubernetes API cannot be used as configured: {0}")]
    Misconfigured(String),
    #[error("the Kubernetes API does not answer at the moment: {0}")]
    Unavailable(String),
}

impl Refusal {
    /// The refusal of a call on sandbox `id` that its state rules out.
    pub(crate) fn conflict(conflict: Conflict, id: &str) -> Self {
        let id = id.to_owned();
        match conflict {
            Conflict::NotFound => Self::SandboxNotFound(id),
            Conflict::AlreadyPaused => Self::AlreadyPaused(id),
            Conflict::AlreadyRunning => Self::AlreadyRunning(id),
            Conflict::BeingPaused => Self::BeingPaused(id),
            Conflict::Broken(reason) => Self::Broken { id, reason },
        }
    }

    pub(crate) fn invalid(place: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Invalid {
            place: place.into(),
            problem: problem.into(),
        }
    }

    /// The status code.
    pub(crate) const fn status(&self) -> StatusCode {
        match self {
            Self::MissingKey | Self::UnknownKey => StatusCode::UNAUTHORIZED,
            Self::NoRoute { .. } | Self::SandboxNotFound(_) | Self::TemplateNotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyLost | Self::BadBody { .. } | Self::Invalid { .. } | Self::InvalidId(_) | Self::Rejected(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::AlreadyPaused(_) | Self::AlreadyRunning(_) | Self::BeingPaused(_) => StatusCode::CONFLICT,
            Self::IdempotencyMismatch => StatusCode::UNPROCESSABLE_ENTITY,
            Self::StartFailed { .. }
            | Self::PauseFailed { .. }
            | Self::ResumeFailed { .. }
            | Self::Broken { .. }
            | Self::Internal(_)
            | Self::Misconfigured(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::QuotaExceeded(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Overtaken(_) | Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow { .. } => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether the same call, sent again at once, could end otherwise. SDKs send some failures
    /// again by themselves unless they are told not to.
    const fn should_retry(&self) -> Option<bool> {
        match self {
            Self::Unavailable(_) | Self::TooSlow { .. } => Some(true),
            Self::StartFailed { .. }
            | Self::PauseFailed { .. }
            | Self::ResumeFailed { .. }
            | Self::Broken { .. }
            | Self::Internal(_)
            | Self::Misconfigured(_)
            | Self::QuotaExceeded(_)
            | Self::Overtaken(_)
            | Self::Unsupported { .. } => Some(false),
            Self::MissingKey
            | Self::UnknownKey
            | Self::NoRoute { .. }
            | Self::MethodNotAllowed { .. }
            | Self::BodyTooLarge { .. }
            | Self::BodyTooSlow { .. }
            | Self::BodyLost
            | Self::BadBody { .. }
            | Self::Invalid { .. }
            | Self::InvalidId(_)
            | Self::SandboxNotFound(_)
            | Self::TemplateNotFound { .. }
            | Self::AlreadyPaused(_)
            | Self::AlreadyRunning(_)
            | Self::BeingPaused(_)
            | Self::IdempotencyMismatch
            | Self::Rejected(_) => None,
        }
    }

    /// `error_code` of the body, for the refusals that a client may want to tell from others of their status.
    const fn error_code(&self) -> Option<&'static str> {
        match self {
            Self::PauseFailed { .. } => Some("sandbox_pause_failed"),
            Self::ResumeFailed { .. } => Some("sandbox_resume_failed"),
            Self::StartFailed { .. } => Some("sandbox_start_failed"),
            Self::Broken { .. } => Some("sandbox_failed"),
            Self::Overtaken(_) => Some("sandbox_call_overtaken"),
            Self::Unsupported { .. } => Some("unsupported"),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = json!({ "code": status.as_u16(), "message": self.to_string() });
        if let Some(code) = self.error_code() {
            body["error_code"] = json!(code);
        }
        let mut response = (status, axum::Json(body)).into_response();
        if let Some(retry) = self.should_retry() {
            let value = HeaderValue::from_static(if retry { "true" } else { "false" });
            response.headers_mut().insert("should-retry", value);
        }
        if let Self::TooSlow { .. } | Self::Unavailable(_) = self {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_final_server_error_tells_clients_not_to_send_it_again() {
        let failed = Refusal::PauseFailed {
            id: "iabc".to_owned(),
            reason: "disk full".to_owned(),
        }
        .into_response();
        assert_eq!(failed.status(), 500);
        assert_eq!(failed.headers()["should-retry"], "false");
        assert_eq!(failed.headers()["content-type"], "application/json");
    }

    #[test]
    fn a_pause_that_is_still_going_on_is_worth_asking_again() {
        let limit = Duration::from_secs(55);
        let slow = Refusal::TooSlow {
            id: "iabc".to_owned(),
            what: "pause",
            limit,
            note: Some("pod stuck".to_owned()),
        };
        assert_eq!(
            slow.to_string(),
            "sandbox iabc did not pause within 55 s; it goes on in the background: ask again (pod stuck)"
        );
        assert_eq!(slow.into_response().headers()["should-retry"], "true");
    }
}
