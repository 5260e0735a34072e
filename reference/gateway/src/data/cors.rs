//! What lets pages of other origins talk to the agent in a sandbox, as E2B's does: a signed URL is made to be handed to a
//! browser. Tokens and signatures guard those ports, which no browser adds by itself. What a sandbox serves on ports of
//! its own is left to it.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use torpor_api::port;

/// Headers of an answer that a page may read besides the ones that it always may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Content-Encoding, Connect-Content-Encoding, Location, Cache-Control, X-Content-Type-Options",
);
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// For how many seconds a browser need not ask again.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");
const ANY: HeaderValue = HeaderValue::from_static("*");

/// Whether pages of every origin may use `port` of a sandbox.
pub(super) const fn is_open(port: u16) -> bool {
    matches!(port, port::ENVD | port::CODE_INTERPRETER)
}

/// Whether a browser asks what it may send, and sends nothing yet.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    let asks = [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD];
    *method == Method::OPTIONS && asks.iter().all(|name| headers.contains_key(name))
}

/// The answer to a preflight with these headers: all of it.
pub(super) fn permission(asked: &HeaderMap) -> Response {
    let mut response = (StatusCode::NO_CONTENT, Body::empty()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    // By name: `*` would leave out `Authorization`.
    if let Some(wanted) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(header::VARY, HeaderValue::from(header::ACCESS_CONTROL_REQUEST_HEADERS));
    open(headers);
    response
}

/// Lets pages of every origin read the answer with these headers.
pub(super) fn open(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
}
