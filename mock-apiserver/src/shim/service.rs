//! From an HTTP request to an HTTP response.

use super::body::ResponseBody;
use super::metrics::Metrics;
use super::respond;
use super::view::View;
use crate::access::{self, Credentials, User};
use crate::admission::{Denial, WebhookCaller, consult};
use crate::api::error::{ApiError, ApiResult, Reason};
use crate::api::options::Query;
use crate::api::path::{self, Route};
use crate::control::{self, Control};
use crate::conversion;
use crate::core::Core;
use crate::faults::{Faults, RequestInfo, Verdict};
use crate::logs::PodLogs;
use crate::node_pages::NodePages;
use crate::request_log::{LoggedRequest, RequestLog};
use crate::rest::{self, Asked, Method, Reply, Request};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;

/// The largest accepted request body, in bytes.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// The connection broke on purpose; see [`crate::Verdict::LoseAnswer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("connection reset by a fault rule")]
pub struct ConnectionLost;

/// What the server has of the world around it.
pub(crate) struct Environment {
    pub(crate) logs: Arc<dyn PodLogs>,
    pub(crate) nodes: Arc<dyn NodePages>,
    pub(crate) webhooks: Arc<dyn WebhookCaller>,
    pub(crate) control: Option<Control>,
}

/// What all requests share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) logs: Arc<dyn PodLogs>,
    pub(crate) nodes: Arc<dyn NodePages>,
    pub(crate) webhooks: Arc<dyn WebhookCaller>,
    pub(crate) faults: Faults,
    pub(crate) requests: RequestLog,
    pub(super) metrics: Metrics,
    /// Faults, the request log and snapshots by HTTP, if switched on.
    control: Option<Control>,
    /// Cancelled when the server ends; ends the open streams.
    pub(crate) closing: CancellationToken,
}

impl Shared {
    pub(crate) fn new(core: Core, environment: Environment) -> Self {
        let Environment {
            logs,
            nodes,
            webhooks,
            control,
        } = environment;
        Self {
            core: Mutex::new(core),
            logs,
            nodes,
            webhooks,
            faults: Faults::default(),
            requests: RequestLog::default(),
            metrics: Metrics::default(),
            control,
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

/// What a fault rule asks of an open watch.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchFault {
    /// End after that many events.
    pub(super) cut_after: Option<usize>,
    /// Deliver nothing until then.
    pub(super) hold: Option<CancellationToken>,
    /// Deliver nothing after the initial events until then.
    pub(super) freeze: Option<CancellationToken>,
}

/// Answers one request, or breaks the connection if a fault rule says so.
pub(crate) async fn respond_to<B>(
    shared: Arc<Shared>,
    request: http::Request<B>,
) -> Result<Response<ResponseBody>, ConnectionLost>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let credentials = Credentials::read(request.headers(), request.extensions().get::<User>().cloned());
    let mut request = match read(request).await {
        Ok(request) => request,
        Err(refused) => return Ok(respond::refusal(&refused)),
    };
    if let Some(control) = &shared.control
        && let Some(path) = request.path.strip_prefix(control::PREFIX)
    {
        let answer = control.answer(&shared, request.method, path, &request.query, &request.body);
        return Ok(respond::json(answer.code, &answer.body));
    }
    let user = access::claimed(&shared.core(), &credentials);
    let info = describe(&request, user);
    let mut fault = WatchFault::default();
    let mut lose_answer = false;
    match shared.faults.judge(&info) {
        Verdict::Pass => {}
        Verdict::Delay(time) => tokio::time::sleep(time).await,
        Verdict::Refuse(refusal) => {
            note(&shared, &request, info, Some(refusal.code));
            return Ok(respond::injected(&refusal));
        }
        Verdict::LoseRequest => {
            note(&shared, &request, info, None);
            return Err(ConnectionLost);
        }
        Verdict::LoseAnswer => lose_answer = true,
        Verdict::CutWatch(after) => fault.cut_after = Some(after),
        Verdict::HoldWatch(until) => fault.hold = Some(until),
        Verdict::ServeStale { revision, until } => {
            let is_read = request.method == Method::Get;
            request.as_of = is_read.then_some(revision);
            fault.freeze = Some(until);
        }
    }
    let outcome = carry_out(&shared, &request, &credentials).await;
    let mut response = match outcome.reply {
        Ok(reply) => {
            let response = respond::reply(shared.clone(), reply, &request, fault).await;
            respond::revalidate(response, &request.if_none_match)
        }
        Err(denial) => respond::denial(&denial),
    };
    respond::warn(&mut response, &outcome.warnings);
    let code = (!lose_answer).then(|| response.status().as_u16());
    note(&shared, &request, info, code);
    if lose_answer { Err(ConnectionLost) } else { Ok(response) }
}

fn note(shared: &Shared, request: &Request, info: RequestInfo, code: Option<u16>) {
    if let Some(code) = code {
        shared.metrics.count(request, code);
    }
    shared.requests.note(LoggedRequest {
        at: shared.now(),
        request: info,
        code,
    });
}

/// What fault rules and the request log see.
fn describe(request: &Request, user: String) -> RequestInfo {
    let user_agent = request.user_agent.clone();
    let Route::Resource(path) = &request.route else {
        return RequestInfo {
            user_agent,
            user,
            verb: "get",
            resource: request.path.clone(),
            ..RequestInfo::default()
        };
    };
    let verb = match (request.method, path.name.is_some()) {
        (Method::Get, _) if path.watch => "watch",
        (Method::Get, false) if request.query.flag("watch") => "watch",
        (Method::Get, true) => "get",
        (Method::Get, false) => "list",
        (Method::Post, _) => "create",
        (Method::Put, _) => "update",
        (Method::Patch, _) => "patch",
        (Method::Delete, true) => "delete",
        (Method::Delete, false) => "deletecollection",
    };
    RequestInfo {
        user_agent,
        user,
        verb,
        group: path.group.clone(),
        resource: path.resource.clone(),
        subresource: path.subresource.clone(),
        namespace: path.namespace.clone(),
        name: path.name.clone(),
    }
}

/// What came of a request, and the texts of `Warning` headers from webhooks.
struct Outcome {
    reply: Result<Reply, Denial>,
    warnings: Vec<String>,
}

/// Carries a request out, from the start again each time that webhooks have answered. They are called without the lock.
async fn carry_out(shared: &Shared, request: &Request, credentials: &Credentials) -> Outcome {
    let _under_way = shared.metrics.carry_out(request.method);
    let mut asked = Asked::default();
    let mut warnings = Vec::new();
    loop {
        let attempt = attempt(shared, request, credentials, &mut asked);
        if let Some(inquiry) = asked.conversions.take_inquiry() {
            match conversion::ask(&inquiry, &*shared.webhooks).await {
                Ok(converted) => asked.conversions.answer(inquiry, converted),
                Err(refused) => {
                    return Outcome {
                        reply: Err(refused.into()),
                        warnings,
                    };
                }
            }
            continue;
        }
        let Some(question) = asked.admission.take_question() else {
            warnings.append(&mut asked.warnings);
            return Outcome {
                reply: attempt.map_err(Denial::from),
                warnings,
            };
        };
        let consulted = consult(&question, &*shared.webhooks).await;
        for warning in consulted.warnings {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
        match consulted.outcome {
            Ok(object) => asked.admission.answer(question, object),
            Err(denial) => {
                return Outcome {
                    reply: Err(denial),
                    warnings,
                };
            }
        }
    }
}

fn attempt(shared: &Shared, request: &Request, credentials: &Credentials, asked: &mut Asked) -> ApiResult<Reply> {
    let mut core = shared.core();
    let user = access::admit(&core, request, credentials)?;
    if request.method != Method::Get {
        // A write whose answer the client cannot be sent is not made.
        View::new(&request.accept, None)?;
    }
    let reply = rest::handle(&mut core, request, &user, asked)?;
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
                ApiError::too_large(format!("limit is {BODY_LIMIT}"))
            } else {
                ApiError::bad_request(format!("the body of the request could not be read: {error}"))
            }
        })?
        .to_bytes();
    Ok(Request {
        method,
        path: head.uri.path().to_owned(),
        route: path::parse(head.uri.path()),
        query: Query::parse(head.uri.query()),
        accept: text(&head.headers, header::ACCEPT),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        user_agent: text(&head.headers, header::USER_AGENT),
        if_none_match: text(&head.headers, header::IF_NONE_MATCH),
        body,
        as_of: None,
    })
}
