//! Refusals as the API speaks them: `metav1.Status` with the reasons and texts that clients match on.
//! The texts follow `k8s.io/apimachinery/pkg/api/errors`.

use super::field::FieldError;
use serde_json::{Value, json};

/// Why a request was refused; decides the HTTP code and `status.reason`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotAcceptable,
    Conflict,
    AlreadyExists,
    Expired,
    RequestEntityTooLarge,
    UnsupportedMediaType,
    Invalid,
    TooManyRequests,
    InternalError,
    NotImplemented,
    Timeout,
    /// An error that the API server gives no reason for.
    Unknown,
}

impl Reason {
    /// The HTTP status code.
    pub(crate) fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::Conflict | Self::AlreadyExists => 409,
            Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError | Self::Unknown => 500,
            Self::NotImplemented => 501,
            Self::Timeout => 504,
        }
    }

    /// `status.reason`.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::NotFound => "NotFound",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::Conflict => "Conflict",
            Self::AlreadyExists => "AlreadyExists",
            Self::Expired => "Expired",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::UnsupportedMediaType => "UnsupportedMediaType",
            Self::Invalid => "Invalid",
            Self::TooManyRequests => "TooManyRequests",
            Self::InternalError => "InternalError",
            Self::NotImplemented => "NotImplemented",
            Self::Timeout => "Timeout",
            Self::Unknown => "",
        }
    }
}

/// A refusal, ready to be sent as a `Status`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiError {
    pub(crate) reason: Reason,
    pub(crate) message: String,
    pub(crate) details: Option<Value>,
    /// `metadata.continue` of the body (an expired list offers an inconsistent continuation).
    pub(crate) continue_token: Option<String>,
}

pub(crate) type ApiResult<T> = Result<T, ApiError>;

/// `resource.group`, or the bare resource for the core group.
pub(crate) fn qualified(resource: &str, group: &str) -> String {
    if group.is_empty() {
        resource.to_owned()
    } else {
        format!("{resource}.{group}")
    }
}

fn details(name: &str, group: &str, kind: &str) -> Value {
    let mut details = json!({});
    if !kind.is_empty() {
        details["kind"] = kind.into();
    }
    if !name.is_empty() {
        details["name"] = name.into();
    }
    if !group.is_empty() {
        details["group"] = group.into();
    }
    details
}

impl ApiError {
    pub(crate) fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            details: None,
            continue_token: None,
        }
    }

    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    pub(crate) fn internal(message: &str) -> Self {
        Self::new(Reason::InternalError, format!("Internal error occurred: {message}"))
    }

    fn on(reason: Reason, message: String, resource: &str, group: &str, name: &str) -> Self {
        Self {
            reason,
            message,
            details: Some(details(name, group, resource)),
            continue_token: None,
        }
    }

    pub(crate) fn not_found(resource: &str, group: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(resource, group));
        Self::on(Reason::NotFound, message, resource, group, name)
    }

    pub(crate) fn already_exists(resource: &str, group: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(resource, group));
        Self::on(Reason::AlreadyExists, message, resource, group, name)
    }

    pub(crate) fn conflict(resource: &str, group: &str, name: &str, why: &str) -> Self {
        let resource_name = qualified(resource, group);
        let message = format!("Operation cannot be fulfilled on {resource_name} {name:?}: {why}");
        Self::on(Reason::Conflict, message, resource, group, name)
    }

    /// The optimistic lock failed.
    pub(crate) fn modified(resource: &str, group: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, group, name, why)
    }

    pub(crate) fn forbidden(resource: &str, group: &str, name: &str, why: &str) -> Self {
        let what = qualified(resource, group);
        let message = if name.is_empty() {
            format!("{what} is forbidden: {why}")
        } else {
            format!("{what} {name:?} is forbidden: {why}")
        };
        Self::on(Reason::Forbidden, message, resource, group, name)
    }

    pub(crate) fn method_not_supported(resource: &str, group: &str, verb: &str) -> Self {
        let message = format!(
            "{verb} is not supported on resources of kind {:?}",
            qualified(resource, group)
        );
        Self::on(Reason::MethodNotAllowed, message, resource, group, "")
    }

    pub(crate) fn unsupported_media_type(accepted: &[&str]) -> Self {
        let list = accepted.join(", ");
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {list}");
        Self::new(Reason::UnsupportedMediaType, message)
    }

    pub(crate) fn not_acceptable(accepted: &[&str]) -> Self {
        let message = format!("only the following media types are accepted: {}", accepted.join(", "));
        Self::new(Reason::NotAcceptable, message)
    }

    pub(crate) fn too_large(why: impl std::fmt::Display) -> Self {
        Self::new(
            Reason::RequestEntityTooLarge,
            format!("Request entity too large: {why}"),
        )
    }

    pub(crate) fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// A patch that could not be applied, as the server reports it.
    pub(crate) fn unprocessable_patch() -> Self {
        Self {
            details: Some(json!({})),
            ..Self::new(
                Reason::Invalid,
                "the server rejected our request due to an error in our request",
            )
        }
    }

    /// The client asked for a revision of the future.
    pub(crate) fn revision_too_large(asked: u64, current: u64) -> Self {
        let cause = json!({"reason": "ResourceVersionTooLarge", "message": "Too large resource version"});
        Self {
            reason: Reason::Timeout,
            message: format!("Timeout: Too large resource version: {asked}, current: {current}"),
            details: Some(json!({ "causes": [cause], "retryAfterSeconds": 1 })),
            continue_token: None,
        }
    }

    /// Validation failed; one cause for each field.
    pub(crate) fn invalid(kind: &str, group: &str, name: &str, errors: &[FieldError]) -> Self {
        let mut texts: Vec<String> = Vec::new();
        for text in errors.iter().map(ToString::to_string) {
            // The message says each thing once, the causes keep them all.
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
        let joined = match texts.as_slice() {
            [one] => one.clone(),
            many => format!("[{}]", many.join(", ")),
        };
        let mut details = details(name, group, kind);
        details["causes"] = errors.iter().map(FieldError::cause).collect();
        Self {
            reason: Reason::Invalid,
            message: format!("{} {name:?} is invalid: {joined}", qualified(kind, group)),
            details: Some(details),
            continue_token: None,
        }
    }

    /// Adds a cause to the details.
    pub(crate) fn with_cause(mut self, reason: &str, message: &str, field: &str) -> Self {
        let mut cause = json!({ "reason": reason, "message": message });
        if !field.is_empty() {
            cause["field"] = field.into();
        }
        let details = self.details.get_or_insert_with(|| json!({}));
        match details.get_mut("causes").and_then(Value::as_array_mut) {
            Some(causes) => causes.push(cause),
            None => details["causes"] = json!([cause]),
        }
        self
    }

    /// The HTTP status code.
    pub(crate) fn code(&self) -> u16 {
        self.reason.code()
    }

    /// The `Status` object.
    pub(crate) fn body(&self) -> Value {
        let mut metadata = json!({});
        if let Some(token) = &self.continue_token {
            metadata["continue"] = token.as_str().into();
        }
        let mut status = json!({
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": metadata,
            "status": "Failure",
            "message": self.message,
            "code": self.code(),
        });
        if self.reason != Reason::Unknown {
            status["reason"] = self.reason.as_str().into();
        }
        if let Some(details) = &self.details {
            status["details"] = details.clone();
        }
        status
    }
}
