//! A plain HTTP client that measures: a few connections, each of which sends its next request when the last is answered.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::figures::{Samples, per_second};

/// One request to a server.
#[derive(Clone, Debug)]
pub struct Call {
    /// The HTTP method.
    pub method: Method,
    /// Path and query.
    pub uri: String,
    /// The media type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// A GET.
    pub fn get(uri: impl Into<String>) -> Self {
        Self::new(Method::GET, uri, "application/json", Bytes::new())
    }

    /// A request with a body.
    pub fn new(method: Method, uri: impl Into<String>, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        Self {
            method,
            uri: uri.into(),
            content_type,
            body: body.into(),
        }
    }
}

/// A connection that is kept.
pub struct Connection {
    authority: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to `host:port`.
    pub async fn open(authority: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(authority)
            .await
            .with_context(|| format!("connect to {authority}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; an error also reaches the request that waits.
        tokio::spawn(connection);
        Ok(Self {
            authority: authority.to_owned(),
            sender,
        })
    }

    /// Sends a request; the body of the answer is still to be read.
    pub async fn send(&mut self, call: &Call) -> anyhow::Result<http::Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::builder()
            .method(&call.method)
            .uri(&call.uri)
            .header("host", &self.authority)
            .header("user-agent", "torpor-bench/1")
            .header("accept", "application/json")
            .header("content-type", call.content_type)
            .body(Full::new(call.body.clone()))?;
        let sent = self.sender.send_request(request).await;
        sent.with_context(|| format!("{} {}", call.method, call.uri))
    }

    /// Sends a request and reads the whole answer.
    pub async fn answer(&mut self, call: &Call) -> anyhow::Result<(StatusCode, Bytes)> {
        let response = self.send(call).await?;
        let code = response.status();
        Ok((code, response.into_body().collect().await?.to_bytes()))
    }

    /// Sends a request that must succeed.
    pub async fn expect(&mut self, call: &Call) -> anyhow::Result<Bytes> {
        let (code, body) = self.answer(call).await?;
        ensure!(
            code.is_success(),
            "{} {}: {code}: {}",
            call.method,
            call.uri,
            String::from_utf8_lossy(&body)
        );
        Ok(body)
    }
}

/// What a load came to.
#[derive(Debug)]
pub struct Outcome {
    /// Requests that were answered, per second.
    pub per_second: f64,
    /// How long each took.
    pub samples: Samples,
}

/// Sends the requests `0..count` over `connections` connections, as fast as they are answered.
///
/// # Errors
/// A connection fails or a request is refused.
pub async fn run(
    authority: &str,
    connections: usize,
    count: usize,
    call: impl Fn(usize) -> Call + Clone + Send + 'static,
) -> anyhow::Result<Outcome> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(authority).await?);
    }
    let mut tasks = JoinSet::new();
    let begin = Instant::now();
    for (first, mut connection) in open.into_iter().enumerate() {
        let call = call.clone();
        tasks.spawn(async move {
            let mut durations = Vec::with_capacity(count / connections + 1);
            for index in (first..count).step_by(connections) {
                let call = call(index);
                let sent = Instant::now();
                connection.expect(&call).await?;
                durations.push(sent.elapsed());
            }
            anyhow::Ok(durations)
        });
    }
    let mut durations: Vec<Duration> = Vec::with_capacity(count);
    while let Some(done) = tasks.join_next().await {
        durations.extend(done??);
    }
    Ok(Outcome {
        per_second: per_second(count, begin.elapsed()),
        samples: Samples::new(durations),
    })
}
