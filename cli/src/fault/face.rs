//! Stands between SDKs and the gateway: rewrites what they ask and what they are answered.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Collected};
use serde_json::Value;
use tower::ServiceExt as _;

/// Answers a request, with the gateway's help or without.
pub type Answering = Arc<dyn Fn(Asked, Gateway) -> BoxFuture<'static, Response> + Send + Sync>;

/// How the face is distorted.
#[derive(Clone)]
pub struct FaceRule {
    rule: Answering,
}

impl FaceRule {
    /// Distorts requests and answers.
    pub(super) fn new<F>(rule: impl Fn(Asked, Gateway) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Response> + Send + 'static,
    {
        Self {
            rule: Arc::new(move |asked, gateway| rule(asked, gateway).boxed()),
        }
    }

    /// The same face, behind this rule.
    pub fn around(&self, inner: Router) -> Router {
        let rule = Arc::clone(&self.rule);
        Router::new().fallback(move |request: Request| {
            let asked = Asked {
                to: route(&request),
                request,
            };
            rule(asked, Gateway(inner.clone()))
        })
    }
}

/// A request and what it is for.
pub struct Asked {
    /// What it is for.
    pub(super) to: Route,
    /// As it came.
    pub(super) request: Request,
}

/// What a request is for; the text is the sandbox's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `POST /sandboxes`; whether by the first generation of routes.
    Create { v1: bool },
    /// `GET /sandboxes`
    List,
    /// `GET /sandboxes/{id}`
    Show(String),
    /// `DELETE /sandboxes/{id}`
    Kill(String),
    /// `POST /sandboxes/{id}/pause`
    Pause(String),
    /// `POST /sandboxes/{id}/connect`
    Connect(String),
    /// `POST /sandboxes/{id}/timeout`
    SetTimeout(String),
    /// Traffic for what runs inside.
    Inside(String),
    /// Anything else.
    Other,
}

fn route(request: &Request) -> Route {
    if let Some(id) = request.headers().get("e2b-sandbox-id").and_then(|id| id.to_str().ok()) {
        return Route::Inside(id.to_owned());
    }
    let path = request.uri().path();
    let v1 = !path.starts_with("/v2/");
    let words: Vec<&str> = path.trim_start_matches("/v2").trim_matches('/').split('/').collect();
    match (request.method().as_str(), words.as_slice()) {
        ("POST", ["sandboxes"]) => Route::Create { v1 },
        ("GET", ["sandboxes"]) => Route::List,
        ("GET", ["sandboxes", id]) => Route::Show((*id).to_owned()),
        ("DELETE", ["sandboxes", id]) => Route::Kill((*id).to_owned()),
        ("POST", ["sandboxes", id, "pause"]) => Route::Pause((*id).to_owned()),
        ("POST", ["sandboxes", id, "connect"]) => Route::Connect((*id).to_owned()),
        ("POST", ["sandboxes", id, "timeout"]) => Route::SetTimeout((*id).to_owned()),
        (_, _) => Route::Other,
    }
}

/// The gateway itself.
#[derive(Clone)]
pub struct Gateway(Router);

impl Gateway {
    /// What it really answers.
    pub(super) async fn answer(&self, request: Request) -> Response {
        self.0
            .clone()
            .oneshot(request)
            .await
            .unwrap_or_else(|never| match never {})
    }

    /// What it really answers, with its body read.
    pub(super) async fn read(&self, request: Request) -> Told {
        Told::of(self.answer(request).await).await
    }

    /// A call of somebody with the headers of another request.
    pub(super) async fn call(&self, like: &HeaderMap, method: Method, path: &str, body: &Value) -> Told {
        let mut request = Request::new(if body.is_null() {
            Body::empty()
        } else {
            Body::from(body.to_string())
        });
        *request.method_mut() = method;
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        let kept = ["x-api-key", "authorization"];
        for name in kept {
            if let Some(value) = like.get(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.read(request).await
    }

    /// `running` or `paused`, as it really is; empty when there is no such sandbox.
    pub(super) async fn state(&self, like: &HeaderMap, id: &str) -> String {
        let shown = self
            .call(like, Method::GET, &format!("/sandboxes/{id}"), &Value::Null)
            .await;
        shown.body["state"].as_str().unwrap_or_default().to_owned()
    }
}

/// An answer with its body read.
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Null when it is no JSON.
    pub(super) body: Value,
    text: Vec<u8>,
}

impl Told {
    async fn of(response: Response) -> Self {
        let (parts, body) = response.into_parts();
        // A body that breaks off is answered as far as it came.
        let text = body
            .collect()
            .await
            .map(|body| body.to_bytes().to_vec())
            .unwrap_or_default();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&text).unwrap_or_default(),
            text,
        }
    }

    /// An answer made up.
    pub(super) fn made_up(status: StatusCode, body: Value) -> Self {
        Self {
            status,
            headers: HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body,
            text: Vec::new(),
        }
    }

    /// Makes it plain text.
    pub(super) fn set_text(&mut self, text: &str) {
        self.body = Value::Null;
        text.as_bytes().clone_into(&mut self.text);
    }

    /// The answer to send on.
    pub(super) fn send(mut self) -> Response {
        let body = if self.body.is_null() {
            self.text
        } else {
            self.body.to_string().into_bytes()
        };
        self.headers.remove(header::CONTENT_LENGTH);
        (self.status, self.headers, body).into_response()
    }
}

/// The request with its body read, and put back; null when it is no JSON.
pub(super) async fn body_of(request: Request) -> (Request, Value) {
    let (parts, body) = request.into_parts();
    let text = body.collect().await.map(Collected::to_bytes).unwrap_or_default();
    let value = serde_json::from_slice(&text).unwrap_or_default();
    (Request::from_parts(parts, Body::from(text)), value)
}

/// The request with another body.
pub(super) fn with_body(mut request: Request, body: &Value) -> Request {
    request.headers_mut().remove(header::CONTENT_LENGTH);
    *request.body_mut() = Body::from(body.to_string());
    request
}
