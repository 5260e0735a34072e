//! The Kubernetes API that a gateway is given: one in memory, behind what may go wrong on the way to it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use axum::body::Body as AnswerBody;
use futures::{future::BoxFuture, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    client::Body,
};
use mock_apiserver::MockApiServer;
use serde_json::json;
use tokio::sync::watch;
use torpor_api::{Sandbox, custom_resource_definitions};

/// A client of an API that serves the kinds of Torpor.
pub async fn client() -> Client {
    let client = MockApiServer::builder().build().client();
    let definitions = Api::all(client.clone());
    for definition in custom_resource_definitions() {
        definitions.create(&PostParams::default(), &definition).await.unwrap();
    }
    client
}

/// `client`, but every `nth` request is refused, as by an API server that is overloaded.
pub fn refused_every(client: Client, nth: usize) -> Client {
    let sent = AtomicUsize::new(1);
    on_the_way(client, move |client, request| {
        let refused = sent.fetch_add(1, Ordering::SeqCst).is_multiple_of(nth);
        Box::pin(async move {
            if refused {
                overloaded()
            } else {
                send(client, request).await
            }
        })
    })
}

/// Something that somebody else does to a sandbox. Taken by the next that comes across it.
pub type Interference = Arc<Mutex<Option<Box<dyn FnOnce() -> BoxFuture<'static, ()> + Send>>>>;

/// `client`, but the interference takes place just before the next patch arrives.
pub fn interfered(client: Client, interference: Interference) -> Client {
    on_the_way(client, move |client, request| {
        let patches = request.method() == Method::PATCH;
        let interference = if patches {
            interference.lock().unwrap().take()
        } else {
            None
        };
        Box::pin(async move {
            if let Some(interfere) = interference {
                interfere().await;
            }
            send(client, request).await
        })
    })
}

/// `client`, but so many creations are refused with `refusal`.
pub fn creations_refused(client: Client, left: Arc<AtomicUsize>, refusal: fn() -> Response<AnswerBody>) -> Client {
    on_the_way(client, move |client, request| {
        let creates = request.method() == Method::POST;
        let refused = creates
            && left
                .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok();
        Box::pin(async move {
            if refused {
                refusal()
            } else {
                send(client, request).await
            }
        })
    })
}

/// Whether the API is away for writes.
#[derive(Clone, Default)]
pub struct Outage {
    goes_on: watch::Sender<bool>,
    refused: watch::Sender<usize>,
}

impl Outage {
    /// Has every patch refused, until [`end`](Self::end).
    pub fn begin(&self) {
        self.goes_on.send_replace(true);
        self.refused.send_replace(0);
    }

    /// Lets patches through again.
    pub fn end(&self) {
        self.goes_on.send_replace(false);
    }

    /// Returns once so many patches have been refused since [`begin`](Self::begin).
    pub async fn has_refused(&self, patches: usize) {
        let refused = self
            .refused
            .subscribe()
            .wait_for(|refused| *refused >= patches)
            .await
            .map(drop);
        refused.unwrap();
    }
}

/// `client`, but it has outages.
pub fn with_outages(client: Client, outage: Outage) -> Client {
    on_the_way(client, move |client, request| {
        let refused = request.method() == Method::PATCH && *outage.goes_on.borrow();
        if refused {
            outage.refused.send_modify(|refused| *refused += 1);
        }
        Box::pin(async move {
            if refused {
                overloaded()
            } else {
                send(client, request).await
            }
        })
    })
}

/// How far a gateway lags behind the cluster.
#[derive(Clone, Default)]
pub struct Lag {
    held: watch::Sender<bool>,
    reads: watch::Sender<usize>,
}

impl Lag {
    /// Holds back what watches would deliver, until [`release`](Self::release).
    pub fn hold(&self) {
        self.held.send_replace(true);
        self.reads.send_replace(0);
    }

    /// Lets watches deliver what was held back.
    pub fn release(&self) {
        self.held.send_replace(false);
    }

    /// Returns once a single object has been read since [`hold`](Self::hold).
    pub async fn read(&self) {
        self.reads.subscribe().wait_for(|reads| *reads > 0).await.unwrap();
    }
}

/// `client`, but its watches may be held back.
pub fn lagging(client: Client, lag: Lag) -> Client {
    on_the_way(client, move |client, request| {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch="));
        let reads_one = request.method() == Method::GET && request.uri().query().is_none_or(str::is_empty);
        let lag = lag.clone();
        Box::pin(async move {
            let answer = send(client, request).await;
            if reads_one {
                lag.reads.send_modify(|reads| *reads += 1);
            }
            if watches {
                answer.map(|body| held_back(body, lag))
            } else {
                answer
            }
        })
    })
}

fn held_back(body: AnswerBody, lag: Lag) -> AnswerBody {
    let frames = stream::unfold((body, lag), async |(mut body, lag)| {
        let frame = body.frame().await?;
        lag.held.subscribe().wait_for(|held| !held).await.ok()?;
        Some((frame, (body, lag)))
    });
    AnswerBody::new(StreamBody::new(frames))
}

/// Sets `spec.paused`, as the controller does when the time has come.
pub async fn set_paused(sandboxes: Api<Sandbox>, id: String, paused: bool) {
    let patch = Patch::Merge(json!({ "spec": { "paused": paused } }));
    sandboxes.patch(&id, &PatchParams::default(), &patch).await.unwrap();
}

type Answering = BoxFuture<'static, Response<AnswerBody>>;

fn on_the_way(client: Client, pass: impl Fn(Client, Request<Body>) -> Answering + Send + Sync + 'static) -> Client {
    let pass = Arc::new(pass);
    let service = tower::service_fn(move |request| {
        let answering = pass(client.clone(), request);
        async move { Ok::<_, std::convert::Infallible>(answering.await) }
    });
    Client::new(service, "default")
}

async fn send(client: Client, request: Request<Body>) -> Response<AnswerBody> {
    client.send(request).await.unwrap().map(AnswerBody::new)
}

fn overloaded() -> Response<AnswerBody> {
    refused(503, "ServiceUnavailable", "try again")
}

/// The answer to a creation that another one was faster than in having the quota count it.
pub fn quota_is_counted_anew() -> Response<AnswerBody> {
    let message = "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified; please apply \
                   your changes to the latest version and try again";
    refused(409, "Conflict", message)
}

/// The answer to a creation in a namespace that does not exist.
pub fn no_namespace() -> Response<AnswerBody> {
    refused(404, "NotFound", "namespaces \"default\" not found")
}

fn refused(code: u16, reason: &str, message: &str) -> Response<AnswerBody> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason,
        "message": message, "code": code });
    let response = Response::builder()
        .status(code)
        .header("content-type", "application/json");
    response
        .body(AnswerBody::from(status.to_string().into_bytes()))
        .unwrap()
}
