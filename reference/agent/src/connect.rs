//! The Connect protocol as the E2B SDKs speak it: JSON, unary or server-streaming.

use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;

/// An error code of the protocol, with its HTTP status for unary calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidArgument,
    NotFound,
    AlreadyExists,
    Unimplemented,
    Unavailable,
    DeadlineExceeded,
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
            Self::DeadlineExceeded => "deadline_exceeded",
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
            Self::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
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

    /// A stream outlived its deadline.
    pub(crate) fn too_long() -> Self {
        Self::new(Code::DeadlineExceeded, "the call took longer than its timeout")
    }

    /// A stream outlived its sandbox.
    pub(crate) fn stopped() -> Self {
        Self::new(Code::Unavailable, "the sandbox stopped during the call")
    }

    /// The answer of a streaming call: the error is in the frame that ends the stream.
    pub(crate) fn into_stream_response(self) -> Response {
        let frame = end_frame(Some(&self));
        ([(header::CONTENT_TYPE, "application/connect+json")], frame).into_response()
    }
}

/// How often a silent stream gives a sign of life, unless the client says otherwise.
const KEEPALIVE: Duration = Duration::from_secs(90);

/// How long a stream may last and may be silent, as the client asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    deadline: Option<Instant>,
    keepalive: Duration,
}

impl Pace {
    /// For a call that begins now. Zero is as good as not asked for.
    pub(crate) fn asked(headers: &HeaderMap) -> Self {
        let number = |name: &str| {
            let asked = headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
            asked.filter(|number| *number > 0)
        };
        let timeout = number("connect-timeout-ms").map(Duration::from_millis);
        Self {
            deadline: timeout.map(|timeout| Instant::now() + timeout),
            keepalive: number("keepalive-ping-interval").map_or(KEEPALIVE, Duration::from_secs),
        }
    }

    /// Whether the call has an end that it is to be over by.
    pub(crate) fn ends(self) -> bool {
        self.deadline.is_some()
    }

    /// Waits for the end of the call, if it has one.
    pub(crate) async fn deadline(self) {
        match self.deadline {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Waits until a sign of life is due.
    pub(crate) async fn silence(self) {
        tokio::time::sleep(self.keepalive).await;
    }
}

/// Bytes before the JSON of a frame: flags, and the length in big endian.
const FRAME_HEAD: usize = 5;
const END_OF_STREAM: u8 = 0b10;

/// One message of a stream.
pub(crate) fn message_frame(message: &Value) -> Bytes {
    frame(0, message)
}

/// The end of a stream.
pub(crate) fn end_frame(error: Option<&ConnectError>) -> Bytes {
    frame(
        END_OF_STREAM,
        &error.map_or_else(
            || json!({}),
            |error| json!({ "error": { "code": error.code.as_str(), "message": error.message } }),
        ),
    )
}

fn frame(flags: u8, content: &Value) -> Bytes {
    let content = content.to_string();
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    let mut frame = vec![flags];
    frame.extend(length.to_be_bytes());
    frame.extend(content.into_bytes());
    frame.into()
}

/// The one message of a request whose answer is a stream.
///
/// # Errors
/// It is not framed, compressed, or not of this form.
pub(crate) fn streamed_message<T: DeserializeOwned>(body: &[u8]) -> Result<T, ConnectError> {
    let bad = |what: String| ConnectError::new(Code::InvalidArgument, format!("read the request: {what}"));
    let Some((&[flags, a, b, c, d], content)) = body.split_first_chunk::<FRAME_HEAD>() else {
        return Err(bad("it has no frame".to_owned()));
    };
    let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    if flags != 0 || content.len() < length {
        return Err(bad(format!(
            "a frame of {length} bytes and flags {flags}, with {} bytes",
            content.len()
        )));
    }
    serde_json::from_slice(&content[..length]).map_err(|error| bad(error.to_string()))
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
