//! The Kubernetes API that a gateway is given: one in memory, behind what may go wrong on the way to it.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
    client::Body,
};
use mock_apiserver::MockApiServer;
use serde_json::json;
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
                client.send(request).await.unwrap()
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
            client.send(request).await.unwrap()
        })
    })
}

/// Sets `spec.paused`, as the controller does when the time has come.
pub async fn set_paused(sandboxes: Api<Sandbox>, id: String) {
    let patch = Patch::Merge(json!({ "spec": { "paused": true } }));
    sandboxes.patch(&id, &PatchParams::default(), &patch).await.unwrap();
}

type Answering = BoxFuture<'static, Response<Body>>;

fn on_the_way(client: Client, pass: impl Fn(Client, Request<Body>) -> Answering + Send + Sync + 'static) -> Client {
    let pass = Arc::new(pass);
    let service = tower::service_fn(move |request| {
        let answering = pass(client.clone(), request);
        async move { Ok::<_, std::convert::Infallible>(answering.await) }
    });
    Client::new(service, "default")
}

fn overloaded() -> Response<Body> {
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "ServiceUnavailable",
        "message": "try again", "code": 503 });
    let response = Response::builder()
        .status(503)
        .header("content-type", "application/json");
    response.body(Body::from(status.to_string().into_bytes())).unwrap()
}
