//! From an HTTP request to an HTTP response.

use super::body::ResponseBody;
use super::respond;
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::options::Query;
use crate::core::Core;
use crate::logs::PodLogs;
use crate::rest::{self, Method, Reply, Request};
use crate::table::IncludeObject;
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The largest accepted request body, in bytes.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// What all requests share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) logs: Arc<dyn PodLogs>,
    /// Cancelled when the server ends; ends the open streams.
    pub(crate) closing: CancellationToken,
}

impl Shared {
    pub(crate) fn new(core: Core, logs: Arc<dyn PodLogs>) -> Self {
        Self {
            core: Mutex::new(core),
            logs,
            closing: CancellationToken::new(),
        }
    }

    /// The present instant.
    pub(crate) fn now(&self) -> jiff::Timestamp {
        self.core().instant()
    }

    /// The core, locked. A panic elsewhere does not take the server down: every write is complete before the lock is released.
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers one request.
pub(crate) async fn respond_to<B>(shared: Arc<Shared>, request: http::Request<B>) -> Response<ResponseBody>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let accept = text(request.headers(), header::ACCEPT);
    let include = include_object(&request);
    let outcome = match read(request).await {
        Ok(request) => carry_out(&shared, &request),
        Err(refused) => Err(refused),
    };
    match outcome {
        Ok(reply) => respond::reply(shared, reply, &accept, include).await,
        Err(refused) => respond::refusal(&refused),
    }
}

/// What the rows of a table are to carry.
fn include_object<B>(request: &http::Request<B>) -> IncludeObject {
    match Query::parse(request.uri().query()).get("includeObject") {
        Some("None") => IncludeObject::None,
        Some("Object") => IncludeObject::Object,
        _ => IncludeObject::Metadata,
    }
}

fn carry_out(shared: &Shared, request: &Request) -> ApiResult<Reply> {
    let mut core = shared.core();
    let reply = rest::handle(&mut core, request)?;
    match core.journal_failure() {
        // It would be lost with the process: not to be acknowledged.
        Some(failure) => Err(ApiError::internal(failure)),
        None => Ok(reply),
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> String {
    let values: Vec<&str> = headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    values.join(",")
}

fn method(method: &http::Method) -> ApiResult<Method> {
    match method.as_str() {
        "GET" | "HEAD" => Ok(Method::Get),
        "POST" => Ok(Method::Post),
        "PUT" => Ok(Method::Put),
        "PATCH" => Ok(Method::Patch),
        "DELETE" => Ok(Method::Delete),
        _ => Err(ApiError::new(
            Reason::MethodNotAllowed,
            "the server does not allow this method on the requested resource",
        )),
    }
}

async fn read<B>(request: http::Request<B>) -> ApiResult<Request>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let method = method(&head.method)?;
    let body: Bytes = Limited::new(body, BODY_LIMIT)
        .collect()
        .await
        .map_err(|error| {
            if error.is::<http_body_util::LengthLimitError>() {
                ApiError::too_large(format!("Request entity too large: limit is {BODY_LIMIT}"))
            } else {
                ApiError::bad_request(format!("the body of the request could not be read: {error}"))
            }
        })?
        .to_bytes();
    Ok(Request {
        method,
        path: head.uri.path().to_owned(),
        query: Query::parse(head.uri.query()),
        accept: text(&head.headers, header::ACCEPT),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        user_agent: text(&head.headers, header::USER_AGENT),
        body,
    })
}
