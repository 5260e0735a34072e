//! Answers on the ports of an agent with what it was asked, and keeps a stream open until told.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{any, get, post},
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// What a real agent answers.
const METRICS: &str = include_str!("../../../../../fixtures/envd-metrics.json");

/// An agent on an address of its own.
pub struct FakeAgent {
    ip: Ipv4Addr,
    /// What the open `/execute` answer says next.
    lines: Arc<Mutex<Option<mpsc::UnboundedSender<String>>>>,
    /// Sent when the client of `/execute` hung up.
    pub hung_up: Arc<tokio::sync::Notify>,
}

#[derive(Clone)]
struct Shared {
    lines: Arc<Mutex<Option<mpsc::UnboundedSender<String>>>>,
    hung_up: Arc<tokio::sync::Notify>,
}

impl FakeAgent {
    pub async fn start(shutdown: &CancellationToken) -> Self {
        let ip = super::own_loopback_address();
        let shared = Shared {
            lines: Arc::default(),
            hung_up: Arc::default(),
        };
        let app = Router::new()
            .route("/health", get(async || StatusCode::NO_CONTENT))
            .route("/execute", post(execute))
            .route("/switch", get(switch))
            .route("/metrics", get(async || METRICS))
            .fallback(any(echo))
            .with_state(shared.clone());
        for port in [49983, 49999] {
            let listener = TcpListener::bind((ip, port)).await.unwrap();
            let (app, ended) = (app.clone(), shutdown.clone().cancelled_owned());
            tokio::spawn(async move {
                tokio::select! {
                    served = axum::serve(listener, app) => served.unwrap(),
                    () = ended => {}
                }
            });
        }
        Self {
            ip,
            lines: shared.lines,
            hung_up: shared.hung_up,
        }
    }

    pub fn ip(&self) -> Ipv4Addr {
        self.ip
    }

    /// Lets the open `/execute` answer say `line`.
    pub fn say(&self, line: &str) {
        self.lines
            .lock()
            .unwrap()
            .as_ref()
            .unwrap()
            .send(format!("{line}\n"))
            .unwrap();
    }

    /// Ends the open `/execute` answer.
    pub fn finish(&self) {
        *self.lines.lock().unwrap() = None;
    }
}

/// Answers at once with a first line, then with what it is told to say.
async fn execute(State(shared): State<Shared>) -> Response {
    struct HangUp(Arc<tokio::sync::Notify>);
    impl Drop for HangUp {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send("{\"type\":\"first\"}\n".to_owned()).unwrap();
    *shared.lines.lock().unwrap() = Some(sender);
    let lines = stream::unfold((receiver, HangUp(shared.hung_up)), async |(mut receiver, hang_up)| {
        let line = receiver.recv().await?;
        Some((Ok::<_, Infallible>(Bytes::from(line)), (receiver, hang_up)))
    });
    Body::from_stream(lines).into_response()
}

/// Answers with the request: method, path, host, cookies, names of headers, length of the body.
async fn echo(headers: HeaderMap, request: Request) -> Response {
    let (method, uri) = (request.method().to_string(), request.uri().to_string());
    let body = axum::body::to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let names: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
    let all = |name: &str| -> Vec<_> {
        let values = headers.get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    Json(
        json!({ "method": method, "uri": uri, "host": all("host"), "cookie": all("cookie"), "headers": names,
        "length": body.len() }),
    )
    .into_response()
}

/// Switches to a protocol that says everything back.
async fn switch(mut request: Request) -> Response {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let (mut reader, mut writer) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
        // Ends with an error when the other side is cut off: as good an end as any.
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    });
    let headers = [("connection", "upgrade"), ("upgrade", "echo")];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}
