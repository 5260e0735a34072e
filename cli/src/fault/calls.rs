//! Stands between a part and the API server: rewrites what it asks, what it is answered, and what it sees.

use std::future::pending;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response, StatusCode, header, request};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::BoxError;

/// Answers a call that is no watch, with the server's help or without.
pub type CallRule = Arc<dyn Fn(Call, Server) -> BoxFuture<'static, Result<Reply, BoxError>> + Send + Sync>;
/// Changes every object of a plural that the part sees: read, listed, watched, or answered to a write.
pub type ViewRule = Arc<dyn Fn(&str, &mut Value) + Send + Sync>;

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// How calls are distorted.
#[derive(Clone, Default)]
pub struct CallRules {
    rule: Option<CallRule>,
    view: Option<ViewRule>,
    /// Whether a watch that breaks is never noticed.
    deaf: bool,
    /// Makes the rules anew for every client: what they remember does not outlive it.
    anew: Option<fn() -> Self>,
}

impl CallRules {
    /// Distorts whole calls.
    pub(super) fn rule<F>(rule: impl Fn(Call, Server) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Reply, BoxError>> + Send + 'static,
    {
        Self {
            rule: Some(Arc::new(move |call, server| rule(call, server).boxed())),
            ..Self::default()
        }
    }

    /// The rules that `make` makes, for each client its own: a part that starts again remembers nothing.
    pub(super) fn for_each_client(make: fn() -> Self) -> Self {
        Self {
            anew: Some(make),
            ..Self::default()
        }
    }

    /// Watches that break, or are refused, seem to go on in silence.
    pub(super) fn deaf() -> Self {
        Self {
            deaf: true,
            ..Self::default()
        }
    }

    /// Distorts what is asked.
    pub(super) fn asked(change: impl Fn(&mut Call) + Send + Sync + 'static) -> Self {
        Self::rule(move |mut call, server| {
            change(&mut call);
            async move { server.answer(call).await }
        })
    }

    /// Distorts what is seen.
    pub(super) fn seen(view: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> Self {
        Self::default().and_seen(view)
    }

    /// Distorts what is seen, too.
    pub(super) fn and_seen(self, view: impl Fn(&str, &mut Value) + Send + Sync + 'static) -> Self {
        Self {
            view: Some(Arc::new(view)),
            ..self
        }
    }

    /// The same client, behind these rules.
    pub fn around(&self, client: Client) -> Client {
        let namespace = client.default_namespace().to_owned();
        let rules = self.anew.map_or_else(|| self.clone(), |make| make());
        let server = Server(client);
        let service = tower::service_fn(move |request: Request<Body>| {
            let (rules, server) = (rules.clone(), server.clone());
            async move { rules.carry(request, server).await }
        });
        Client::new(service, namespace)
    }

    async fn carry(self, request: Request<Body>, server: Server) -> Result<Response<Answer>, BoxError> {
        let (parts, body) = request.into_parts();
        let plural = place(parts.uri.path())
            .map(|place| place.plural.to_owned())
            .unwrap_or_default();
        if parts.uri.query().is_some_and(|query| query.contains("watch=")) {
            let watch = server.0.send(Request::from_parts(parts, body)).await?;
            return if self.deaf {
                unbroken(watch).await
            } else {
                Ok(self.watched(plural, watch))
            };
        }
        let bytes = body.collect().await?.to_bytes();
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes)?
        };
        let call = Call { parts, body };
        let mut reply = match &self.rule {
            Some(rule) => rule(call, server).await?,
            None => server.answer(call).await?,
        };
        if let Some(view) = &self.view {
            match reply.body.get_mut("items").and_then(Value::as_array_mut) {
                Some(items) => items.iter_mut().for_each(|item| view(&plural, item)),
                None if reply.status.is_success() => view(&plural, &mut reply.body),
                None => {}
            }
        }
        let answer = Response::builder()
            .status(reply.status)
            .header(header::CONTENT_TYPE, "application/json");
        let text = Full::new(Bytes::from(reply.body.to_string()));
        Ok(answer.body(text.map_err(|never| match never {}).boxed_unsync())?)
    }

    /// Changes the objects of a watch, line by line.
    fn watched(self, plural: String, watch: Response<Body>) -> Response<Answer> {
        let Some(view) = self.view else {
            return watch.map(|body| body.map_err(BoxError::from).boxed_unsync());
        };
        let mut waiting = BytesMut::new();
        let changed = move |chunk: Result<Bytes, kube::Error>| {
            chunk.map_err(BoxError::from).map(|chunk| {
                waiting.extend_from_slice(&chunk);
                let mut lines = Vec::new();
                while let Some(end) = waiting.iter().position(|byte| *byte == b'\n') {
                    lines.extend_from_slice(&seen_line(&waiting.split_to(end + 1), &plural, &view));
                }
                Frame::data(Bytes::from(lines))
            })
        };
        let (parts, body) = watch.into_parts();
        let frames = body.into_data_stream().map(changed);
        Response::from_parts(parts, StreamBody::new(frames).boxed_unsync())
    }
}

/// A watch that goes on in silence where it really broke off or was refused.
async fn unbroken(watch: Response<Body>) -> Result<Response<Answer>, BoxError> {
    if !watch.status().is_success() {
        return pending().await;
    }
    let (parts, body) = watch.into_parts();
    let frames = body
        .into_data_stream()
        .filter_map(|chunk| std::future::ready(chunk.ok()));
    let frames = frames
        .map(|chunk| Ok(Frame::data(chunk)))
        .chain(futures::stream::pending());
    Ok(Response::from_parts(parts, StreamBody::new(frames).boxed_unsync()))
}

fn seen_line(line: &[u8], plural: &str, view: &ViewRule) -> Vec<u8> {
    let Ok(mut event) = serde_json::from_slice::<Value>(line) else {
        return line.to_owned();
    };
    if event["type"] != "BOOKMARK"
        && event["type"] != "ERROR"
        && let Some(object) = event.get_mut("object")
    {
        view(plural, object);
    }
    let mut text = event.to_string().into_bytes();
    text.push(b'\n');
    text
}

/// A call of the Kubernetes API.
pub struct Call {
    parts: request::Parts,
    /// What is sent; null for nothing.
    pub body: Value,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) plural: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) subresource: Option<&'a str>,
}

/// Reads a path below a namespace.
fn place(path: &str) -> Option<Place<'_>> {
    let mut words = path
        .trim_matches('/')
        .split('/')
        .skip_while(|word| *word != "namespaces")
        .skip(2);
    Some(Place {
        plural: words.next().or_else(|| path.rsplit('/').next())?,
        name: words.next(),
        subresource: words.next(),
    })
}

impl Call {
    /// A merge patch of the object at `path`.
    pub(super) fn merge(path: &str, change: Value) -> Result<Self, BoxError> {
        let request = Request::patch(path).header(header::CONTENT_TYPE, "application/merge-patch+json");
        let (parts, ()) = request.body(())?.into_parts();
        Ok(Self { parts, body: change })
    }

    /// A creation in the collection at `path`.
    pub(super) fn create(path: &str, object: Value) -> Result<Self, BoxError> {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let (parts, ()) = request.body(())?.into_parts();
        Ok(Self { parts, body: object })
    }

    /// A deletion of the object at `path`.
    pub(super) fn delete(path: &str) -> Result<Self, BoxError> {
        let (parts, ()) = Request::delete(path).body(())?.into_parts();
        Ok(Self {
            parts,
            body: Value::Null,
        })
    }

    /// The path, without the query.
    pub(super) fn path(&self) -> &str {
        self.parts.uri.path()
    }

    /// The name of the object, if this is `method` on an object of `plural` (not on a subresource).
    pub(super) fn on(&self, method: &Method, plural: &str) -> Option<&str> {
        let place = place(self.path())?;
        let fits = self.parts.method == *method && place.plural == plural && place.subresource.is_none();
        place.name.filter(|_| fits)
    }

    /// Whether the objects of `plural` are listed.
    pub(super) fn lists(&self, plural: &str) -> bool {
        let place = place(self.path());
        self.parts.method == Method::GET && place.is_some_and(|place| place.plural == plural && place.name.is_none())
    }

    /// Whether nothing is written.
    pub(super) fn reads(&self) -> bool {
        self.parts.method == Method::GET
    }

    /// The name of the object that this is about, also where it is created.
    pub(super) fn subject(&self) -> Option<String> {
        let by_path = place(self.path()).and_then(|place| place.name);
        let by_body = self.body["metadata"]["name"].as_str();
        by_path.or(by_body).map(str::to_owned)
    }

    /// The name of the object whose status is patched, if it is one of `plural`.
    pub(super) fn on_status(&self, plural: &str) -> Option<&str> {
        let place = place(self.path())?;
        let fits = self.parts.method == Method::PATCH && place.plural == plural && place.subresource == Some("status");
        place.name.filter(|_| fits)
    }

    /// Whether an object of `plural` is created.
    pub(super) fn creates(&self, plural: &str) -> bool {
        let place = place(self.path());
        self.parts.method == Method::POST && place.is_some_and(|place| place.plural == plural && place.name.is_none())
    }
}

/// An answer of the Kubernetes API.
pub struct Reply {
    /// The status code.
    pub status: StatusCode,
    /// The object, list or `Status`.
    pub body: Value,
}

impl Reply {
    /// As if it had been done.
    pub(super) fn created(object: Value) -> Self {
        Self {
            status: StatusCode::CREATED,
            body: object,
        }
    }

    /// As if there were none.
    pub(super) fn not_found() -> Self {
        Self {
            status: StatusCode::NOT_FOUND,
            body: json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
                "message": "not found", "metadata": {},
            }),
        }
    }
}

/// The API server itself.
#[derive(Clone)]
pub struct Server(Client);

impl Server {
    /// What it really answers.
    pub(super) async fn answer(&self, call: Call) -> Result<Reply, BoxError> {
        let body = if call.body.is_null() {
            Body::empty()
        } else {
            Body::from(call.body.to_string().into_bytes())
        };
        let answer = self.0.send(Request::from_parts(call.parts, body)).await?;
        let status = answer.status();
        let bytes = answer.into_body().collect().await?.to_bytes();
        Ok(Reply {
            status,
            body: serde_json::from_slice(&bytes)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_a_call_is_about() {
        let path = "/apis/agents.kruise.io/v1alpha1/namespaces/default/sandboxes/one/status";
        let expected = Place {
            plural: "sandboxes",
            name: Some("one"),
            subresource: Some("status"),
        };
        assert_eq!(place(path), Some(expected));
        assert_eq!(
            place("/api/v1/pods").map(|place| (place.plural, place.name)),
            Some(("pods", None))
        );
    }

    #[test]
    fn a_view_changes_the_objects_of_a_watch_and_leaves_bookmarks() {
        let view: ViewRule = Arc::new(|_, object| object["seen"] = json!(true));
        let line = br#"{"type":"ADDED","object":{"kind":"Pod"}}"#;
        let seen: Value = serde_json::from_slice(&seen_line(line, "pods", &view)).expect("JSON");
        assert_eq!(seen["object"]["seen"], true);
        let bookmark = br#"{"type":"BOOKMARK","object":{"kind":"Pod"}}"#;
        let seen: Value = serde_json::from_slice(&seen_line(bookmark, "pods", &view)).expect("JSON");
        assert!(seen["object"].get("seen").is_none());
    }
}
