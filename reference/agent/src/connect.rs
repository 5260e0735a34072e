//! The Connect protocol as the E2B SDKs speak it: JSON, unary or server-streaming.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error code of the protocol, with its HTTP status for unary calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    Unimplemented,
    Unavailable,
    Internal,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArgument => "invalid_argument",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::Unimplemented => "unimplemented",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::InvalidArgument => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::AlreadyExists => StatusCode::CONFLICT,
            Self::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// A refusal of a call.
#[derive(Debug)]
pub(crate) struct ConnectError {
    pub(crate) code: Code,
    pub(crate) message: String,
}

impl ConnectError {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The answer of a streaming call: the error is in the frame that ends the stream.
    pub(crate) fn into_stream_response(self) -> Response {
        let end = json!({ "error": { "code": self.code.as_str(), "message": self.message } }).to_string();
        let length = u32::try_from(end.len()).unwrap_or(u32::MAX);
        let mut frame = vec![0b10];
        frame.extend(length.to_be_bytes());
        frame.extend(end.into_bytes());
        ([(header::CONTENT_TYPE, "application/connect+json")], frame).into_response()
    }
}

impl IntoResponse for ConnectError {
    fn into_response(self) -> Response {
        (
            self.code.status(),
            Json(json!({ "code": self.code.as_str(), "message": self.message })),
        )
            .into_response()
    }
}
