//! From an answer to an HTTP response.

use super::body::ResponseBody;
use super::service::{Shared, WatchFault};
use super::streaming;
use super::view::{Form, View};
use crate::api::error::{ApiError, Reason};
use crate::catalog::Resource;
use crate::faults::Refusal;
use crate::logs::PodLogsRefused;
use crate::rest::{Answer, LogRequest, Reply};
use crate::table::{IncludeObject, table};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use serde::Serialize;
use serde_json::Value;
use std::sync::Arc;

const JSON: &str = "application/json";

/// A list as it is sent.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ListBody<'a> {
    kind: &'a str,
    api_version: String,
    metadata: &'a Value,
    items: Vec<Arc<Value>>,
}

/// The response to a request that was carried out.
pub(super) async fn reply(
    shared: Arc<Shared>,
    reply: Reply,
    accept: &str,
    include: IncludeObject,
    fault: WatchFault,
) -> Response<ResponseBody> {
    let mut response = match reply.answer {
        Answer::Document { code, body } => document(code, &body),
        Answer::Text { code, body } => build(code, "text/plain; charset=utf-8", ResponseBody::whole(body.into())),
        Answer::Log(request) => log(&shared, request).await,
        Answer::Object { code, resource, object } => match View::new(accept, include) {
            Ok(view) => one(view, code, &view.object(&resource, &object, shared.now())),
            Err(refused) => refusal(&refused),
        },
        Answer::List {
            resource,
            metadata,
            items,
        } => match View::new(accept, include) {
            Ok(view) => list(&shared, view, &resource, &metadata, &items),
            Err(refused) => refusal(&refused),
        },
        Answer::Watch(plan) => match View::new(accept, include) {
            Ok(view) => build(
                200,
                JSON,
                ResponseBody::stream(streaming::watch(shared, plan, view, fault)),
            ),
            Err(refused) => refusal(&refused),
        },
    };
    for warning in reply.warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(header::WARNING, value);
        }
    }
    response
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

/// The response to a request that was refused.
pub(super) fn refusal(refused: &ApiError) -> Response<ResponseBody> {
    let mut response = json(refused.code(), &refused.body());
    let seconds = refused
        .details
        .as_ref()
        .and_then(|details| details["retryAfterSeconds"].as_u64());
    if let Some(seconds) = seconds {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn one(view: View, code: u16, shown: &Value) -> Response<ResponseBody> {
    if view.form == Form::Yaml {
        yaml(code, shown)
    } else {
        json(code, shown)
    }
}

/// A list in the form the client wants.
fn list(
    shared: &Shared,
    view: View,
    resource: &Resource,
    metadata: &Value,
    items: &[Arc<Value>],
) -> Response<ResponseBody> {
    if view.form == Form::Table {
        return json(200, &table(resource, metadata, items, view.include, shared.now()));
    }
    let (kind, api_version) = if view.form == Form::Metadata {
        ("PartialObjectMetadataList", "meta.k8s.io/v1".to_owned())
    } else {
        (resource.list_kind.as_str(), resource.api_version())
    };
    let now = shared.now();
    let items = items.iter().map(|item| view.object(resource, item, now)).collect();
    let body = ListBody {
        kind,
        api_version,
        metadata,
        items,
    };
    if view.form == Form::Yaml {
        yaml(200, &body)
    } else {
        json(200, &body)
    }
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
        response
            .headers_mut()
            .insert(header::VARY, HeaderValue::from_static("Accept"));
    }
    response
}

fn json(code: u16, body: &impl Serialize) -> Response<ResponseBody> {
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
