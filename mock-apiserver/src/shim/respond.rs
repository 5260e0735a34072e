//! From an answer to an HTTP response.

use super::body::ResponseBody;
use super::service::{Shared, WatchFault};
use super::streaming;
use super::view::{Form, View};
use crate::admission::Denial;
use crate::api::error::{ApiError, Reason};
use crate::catalog::Resource;
use crate::discovery::fingerprint;
use crate::faults::Refusal;
use crate::logs::PodLogsRefused;
use crate::node_pages::NodePageRefused;
use crate::rest::{Answer, LogRequest, NodePageRequest, Reply, Request};
use crate::store::Object;
use crate::table::{scale_table, table};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

const JSON: &str = "application/json";

/// What a list says of itself.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListHead<'a> {
    kind: &'a str,
    api_version: String,
    metadata: &'a Value,
}

/// A list as it is sent in other forms than JSON.
#[derive(Serialize)]
struct ListBody<'a> {
    #[serde(flatten)]
    head: ListHead<'a>,
    items: Vec<&'a Value>,
}

/// The response to a request that was carried out.
pub(super) async fn reply(
    shared: Arc<Shared>,
    reply: Reply,
    request: &Request,
    fault: WatchFault,
) -> Response<ResponseBody> {
    let (accept, include) = (request.accept.as_str(), request.query.get("includeObject"));
    let mut response = match reply.answer {
        Answer::Document { code, body } => document(code, &body),
        Answer::OpenApi { body, hash } => openapi(&body, &hash),
        Answer::Encoded { media_type, body } => build(200, media_type, ResponseBody::whole(body.into())),
        Answer::Metrics => {
            let text = shared.metrics.render(&shared.core());
            build(
                200,
                "text/plain; version=0.0.4; charset=utf-8",
                ResponseBody::whole(text.into()),
            )
        }
        Answer::Text { code, body } => build(code, "text/plain; charset=utf-8", ResponseBody::whole(body.into())),
        Answer::Log(request) => log(&shared, request).await,
        Answer::NodePage(request) => node_page(&shared, request).await,
        Answer::Scale(scale) => match View::new(accept, include) {
            Ok(view) if view.form == Form::Table => {
                json(200, &view.table(scale_table(&scale, view.include, shared.now())))
            }
            Ok(_) => document(200, &scale),
            Err(refused) => refusal(&refused),
        },
        Answer::Object { code, resource, object } => match View::of_one(accept, include, &resource) {
            Ok(view) => one(view, code, &resource, &object, shared.now()),
            Err(refused) => refusal(&refused),
        },
        Answer::List {
            resource,
            metadata,
            items,
        } => match View::of_list(accept, include) {
            Ok(view) => list(&shared, view, &resource, &metadata, &items),
            Err(refused) => refusal(&refused),
        },
        Answer::Watch(plan) => match View::new(accept, include) {
            Ok(view) => {
                let under_way = shared.metrics.watch(request);
                let events = streaming::watch(shared, plan, view, fault, under_way);
                build(200, JSON, ResponseBody::stream(events))
            }
            Err(refused) => refusal(&refused),
        },
    };
    warn(&mut response, &reply.warnings);
    response
}

/// Adds warnings, which kubectl and client-go show to people.
pub(super) fn warn(response: &mut Response<ResponseBody>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
}

/// The response that a fault rule gives.
pub(super) fn injected(refusal: &Refusal) -> Response<ResponseBody> {
    let mut response = json(refusal.code, &refusal.body());
    if let Some(seconds) = refusal.retry_after_seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// The response to a request that could not be read.
pub(super) fn refusal(refused: &ApiError) -> Response<ResponseBody> {
    status(refused.code(), &refused.body())
}

/// The response to a request that was refused, by the server or by a webhook.
pub(super) fn denial(denial: &Denial) -> Response<ResponseBody> {
    status(denial.code(), &denial.0)
}

fn status(code: u16, body: &Value) -> Response<ResponseBody> {
    let mut response = json(code, body);
    if let Some(seconds) = body["details"]["retryAfterSeconds"].as_u64() {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn one(view: View, code: u16, resource: &Resource, object: &Arc<Object>, now: Timestamp) -> Response<ResponseBody> {
    if view.form == Form::Yaml {
        yaml(code, &**resource.present(object))
    } else {
        build(code, JSON, ResponseBody::whole(view.json(resource, object, now)))
    }
}

/// A list in the form the client wants.
fn list(
    shared: &Shared,
    view: View,
    resource: &Resource,
    metadata: &Value,
    items: &[Arc<Object>],
) -> Response<ResponseBody> {
    if view.form == Form::Table {
        let table = table(resource, metadata, items, view.include, shared.now());
        return json(200, &view.table(table));
    }
    let (kind, api_version) = if view.form == Form::MetadataList {
        ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned())
    } else {
        (resource.list_kind.as_str(), resource.api_version())
    };
    let mut metadata = metadata.clone();
    // The lists of custom resources say that nothing follows, others leave it out.
    if resource.is_custom() && matches!(view.form, Form::Json | Form::Yaml) && metadata.get("continue").is_none() {
        metadata["continue"] = "".into();
    }
    let head = ListHead {
        kind,
        api_version,
        metadata: &metadata,
    };
    if view.form == Form::Yaml {
        let shown: Vec<Arc<Object>> = items.iter().map(|item| resource.present(item)).collect();
        let items = shown.iter().map(|item| &***item).collect();
        return yaml(200, &ListBody { head, items });
    }
    let now = shared.now();
    let items = items.iter().map(|item| view.json(resource, item, now));
    build(200, JSON, ResponseBody::pieces(list_pieces(&head, items)))
}

/// The text of a list: its head without the closing brace, and its items.
fn list_pieces(head: &ListHead<'_>, items: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
    // Serialising strings and a JSON value cannot fail.
    let mut head = serde_json::to_vec(head).unwrap_or_default();
    head.pop();
    head.extend_from_slice(b",\"items\":[");
    let mut pieces = vec![Bytes::from(head)];
    for (index, item) in items.enumerate() {
        if index > 0 {
            pieces.push(Bytes::from_static(b","));
        }
        pieces.push(item);
    }
    pieces.push(Bytes::from_static(b"]}"));
    pieces
}

fn yaml(code: u16, body: &impl Serialize) -> Response<ResponseBody> {
    match serde_saphyr::to_string(body) {
        Ok(text) => build(code, "application/yaml", ResponseBody::whole(text.into())),
        Err(error) => build(500, "text/plain", ResponseBody::whole(Bytes::from(error.to_string()))),
    }
}

/// Aggregated discovery says in its media type which form it is.
fn document(code: u16, body: &Value) -> Response<ResponseBody> {
    let mut response = json(code, body);
    if body["kind"] == "APIGroupDiscoveryList" {
        let version = body["apiVersion"]
            .as_str()
            .and_then(|version| version.rsplit('/').next())
            .unwrap_or("v2");
        let form = format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
        if let Ok(value) = HeaderValue::from_str(&form) {
            response.headers_mut().insert(header::CONTENT_TYPE, value);
        }
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("Accept"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public"));
        if let Ok(tag) = HeaderValue::from_str(&format!("{:?}", fingerprint(&body.to_string()))) {
            headers.insert(header::ETAG, tag);
        }
    }
    response
}

/// Says that a client has the document already, if it has; `known` is what its `If-None-Match` lists.
pub(super) fn revalidate(response: Response<ResponseBody>, known: &str) -> Response<ResponseBody> {
    let tag = response.headers().get(header::ETAG).map(HeaderValue::as_bytes);
    let is_known = tag.is_some_and(|tag| known.split(',').any(|known| known.trim().as_bytes() == tag));
    if !is_known {
        return response;
    }
    let (mut head, _) = response.into_parts();
    head.status = http::StatusCode::NOT_MODIFIED;
    Response::from_parts(head, ResponseBody::whole(Bytes::new()))
}

/// A document whose address names its hash never changes.
fn openapi(body: &Value, hash: &str) -> Response<ResponseBody> {
    let mut response = json(200, body);
    let headers = response.headers_mut();
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(header::ETAG, tag);
    }
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    headers.insert(header::VARY, HeaderValue::from_static("Accept"));
    response
}

/// A document as JSON.
pub(super) fn json(code: u16, body: &impl Serialize) -> Response<ResponseBody> {
    match serde_json::to_vec(body) {
        Ok(bytes) => build(code, JSON, ResponseBody::whole(bytes.into())),
        Err(error) => build(500, "text/plain", ResponseBody::whole(Bytes::from(error.to_string()))),
    }
}

fn build(code: u16, media_type: &'static str, body: ResponseBody) -> Response<ResponseBody> {
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
    response
}

async fn log(shared: &Shared, request: LogRequest) -> Response<ResponseBody> {
    let LogRequest {
        namespace,
        pod,
        container,
        options,
    } = request;
    let refused = match shared.logs.logs(&namespace, &pod, &container, options).await {
        Ok(lines) => return build(200, "text/plain", ResponseBody::stream(lines)),
        Err(refused) => refused,
    };
    let reason = match refused {
        PodLogsRefused::NotConnected => Reason::NotImplemented,
        PodLogsRefused::NotStarted { .. } | PodLogsRefused::NoPrevious { .. } => Reason::BadRequest,
        PodLogsRefused::Unreadable(_) => Reason::InternalError,
    };
    self::refusal(&ApiError::new(reason, refused.to_string()))
}

async fn node_page(shared: &Shared, request: NodePageRequest) -> Response<ResponseBody> {
    let NodePageRequest { node, path } = request;
    let text = |code, text: String| build(code, "text/plain; charset=utf-8", ResponseBody::whole(text.into()));
    match shared.nodes.page(&node, &path).await {
        Ok(page) => text(200, page),
        Err(NodePageRefused::NoSuchPage) => text(404, "404 page not found\n".to_owned()),
        Err(refused @ NodePageRefused::NotConnected) => {
            refusal(&ApiError::new(Reason::NotImplemented, refused.to_string()))
        }
    }
}
