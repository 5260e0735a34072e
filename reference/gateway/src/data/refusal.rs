//! Every way in which the data plane says no. SDKs read meaning from some of the texts: those stay
//! as E2B's proxy writes them.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

/// Why a request did not reach the inside of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum DataRefusal {
    #[error("The sandbox was not found")]
    NotFound { id: String },
    #[error("The sandbox is running but port is not open")]
    PortClosed { id: String, port: u16 },
    #[error("the connection to the sandbox broke before it answered")]
    Broke { id: String },
    #[error("the sandbox could not be resumed: {message}")]
    NotWoken { id: String, message: String },
    #[error("the sandbox is paused, and resumes only for requests with its token in the {header} header")]
    WakeDenied { id: String, header: &'static str },
    #[error("{}: send the token of this sandbox in the {header} header", if *presented { "the access token is not valid" } else { "the access token is missing" })]
    Denied { header: &'static str, presented: bool },
    #[error("the token or the signature of the request is not valid, or has expired")]
    BadCredentials,
    #[error("the request names no sandbox: send E2b-Sandbox-Id, a host name <port>-<id>.<domain>, or an access token")]
    NoSandboxNamed,
    #[error("the header {header} is not valid: {value:?}")]
    BadHeader { header: &'static str, value: String },
    #[error("there is nothing here for requests from outside")]
    Internal { port: u16 },
    #[error("{0}")]
    NotReady(String),
}

impl DataRefusal {
    const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } | Self::PortClosed { .. } | Self::Broke { .. } | Self::NotWoken { .. } => {
                StatusCode::BAD_GATEWAY
            }
            Self::WakeDenied { .. } => StatusCode::FORBIDDEN,
            Self::Denied { .. } | Self::BadCredentials => StatusCode::UNAUTHORIZED,
            Self::NoSandboxNamed | Self::BadHeader { .. } => StatusCode::BAD_REQUEST,
            Self::Internal { .. } => StatusCode::NOT_FOUND,
            Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl IntoResponse for DataRefusal {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut body = json!({ "message": self.to_string(), "code": status.as_u16() });
        match &self {
            Self::NotFound { id } | Self::Broke { id } | Self::NotWoken { id, .. } | Self::WakeDenied { id, .. } => {
                body["sandboxId"] = json!(id);
            }
            Self::PortClosed { id, port } => {
                body["sandboxId"] = json!(id);
                body["port"] = json!(port);
            }
            Self::Denied { .. }
            | Self::BadCredentials
            | Self::NoSandboxNamed
            | Self::BadHeader { .. }
            | Self::Internal { .. }
            | Self::NotReady(_) => {}
        }
        let mut response = (status, axum::Json(body)).into_response();
        let json = HeaderValue::from_static("application/json; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}
