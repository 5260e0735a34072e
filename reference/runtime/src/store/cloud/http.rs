//! HTTP for object storage, with the client and the TLS that the Kubernetes client uses too.
//!
//! The `object_store` crate would bring an HTTP client whose TLS needs another C toolchain, or a provider set
//! for the whole process. Whether a request is encrypted is decided by the scheme of the endpoint's URL.
//!
//! Who asks has a sandbox that stands still, or one that is not up yet. So a server that takes a request and says nothing is
//! given up, and one that stops half-way through what it gives.

use std::error::Error;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector as Connector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse, HttpResponseBody,
    HttpService,
};
use tower_http::timeout::{TimeoutBody, TimeoutError};

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to answer, beside what the bytes that it is sent take, and may be silent within an answer.
const SILENCE_LIMIT: Duration = Duration::from_secs(30);
/// Bytes a second of a link that is as good as none: a gigabyte may take four minutes.
const SLOWEST_LINK: u64 = 4 << 20;
/// How long an idle connection is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Makes clients of one kind, whatever they connect to.
#[derive(Debug)]
pub(super) struct Hyper {
    silence_limit: Duration,
}

#[derive(Debug)]
struct Service {
    client: Client<HttpsConnector<Connector>, HttpRequestBody>,
    silence_limit: Duration,
}

impl Default for Hyper {
    fn default() -> Self {
        let silence_limit = SILENCE_LIMIT;
        Self { silence_limit }
    }
}

impl HttpConnector for Hyper {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |source: Box<dyn Error + Send + Sync>| object_store::Error::Generic { store: "HTTP", source };
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(error.into()))?
            .with_native_roots()
            .map_err(|error| failed(error.into()))?
            .with_no_client_auth();
        let mut connector = Connector::new();
        connector.enforce_http(false);
        connector.set_connect_timeout(Some(CONNECT_LIMIT));
        connector.set_nodelay(true);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(connector);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        let silence_limit = self.silence_limit;
        Ok(HttpClient::new(Service { client, silence_limit }))
    }
}

#[async_trait]
impl HttpService for Service {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let sending = Duration::from_secs(request.body().content_length() as u64 / SLOWEST_LINK);
        let answer = tokio::time::timeout(self.silence_limit + sending, self.client.request(request)).await;
        let answer = answer.map_err(|elapsed| HttpError::new(HttpErrorKind::Timeout, elapsed))?;
        let answer = answer.map_err(|error| {
            let kind = if error.is_connect() {
                HttpErrorKind::Connect
            } else {
                kind_of(&error)
            };
            HttpError::new(kind, error)
        })?;
        Ok(answer.map(|body| {
            let body = TimeoutBody::new(self.silence_limit, body);
            HttpResponseBody::new(body.map_err(|error| HttpError::new_boxed(kind_of(&*error), error)))
        }))
    }
}

/// What decides on a retry: the first cause that says how far the request came.
fn kind_of(error: &(dyn Error + 'static)) -> HttpErrorKind {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return HttpErrorKind::Timeout;
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_closed() || error.is_incomplete_message() || error.is_body_write_aborted() {
                return HttpErrorKind::Request;
            }
            if error.is_timeout() {
                return HttpErrorKind::Timeout;
            }
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::TimedOut => HttpErrorKind::Timeout,
                io::ErrorKind::ConnectionAborted
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof => HttpErrorKind::Interrupted,
                _ => HttpErrorKind::Unknown,
            };
        }
        cause = error.source();
    }
    HttpErrorKind::Unknown
}

#[cfg(test)]
mod tests {
    use object_store::aws::{AmazonS3, AmazonS3Builder};
    use object_store::path::Path;
    use object_store::{ObjectStoreExt, PutPayload, RetryConfig};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A bucket of a server that says this to whoever sends it anything, and nothing more.
    async fn bucket_that_says(text: &'static str) -> AmazonS3 {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut request = vec![0; 64 << 10];
                    while matches!(stream.read(&mut request).await, Ok(1..)) {
                        stream.write_all(text.as_bytes()).await.expect("it is read");
                    }
                });
            }
        });
        let once = RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        };
        let builder = AmazonS3Builder::new()
            .with_bucket_name("bucket")
            .with_region("here")
            .with_endpoint(format!("http://{address}"))
            .with_allow_http(true)
            .with_skip_signature(true)
            .with_retry(once)
            .with_http_connector(Hyper {
                silence_limit: Duration::from_millis(50),
            });
        builder.build().expect("a bucket")
    }

    fn has_timed_out(error: &object_store::Error) -> bool {
        let said = crate::engine::chain(error);
        said.contains("deadline has elapsed") || said.contains("within the designated timeout")
    }

    #[tokio::test]
    async fn a_server_that_takes_a_request_and_never_answers_is_given_up() {
        let (bucket, place) = (bucket_that_says("").await, Path::from("one"));
        let error = bucket.head(&place).await.expect_err("nothing is said");
        assert!(has_timed_out(&error), "{error}");
        let put = bucket.put(&place, PutPayload::from_static(b"1"));
        let error = put.await.expect_err("nothing is said");
        assert!(has_timed_out(&error), "{error}");
    }

    #[tokio::test]
    async fn an_answer_that_stops_half_way_is_given_up() {
        let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nETag: \"1\"\r\nLast-Modified: Sat, 28 Nov 2026 00:00:00 GMT\r\n\r\nhalf";
        let bucket = bucket_that_says(half).await;
        let found = bucket.get(&Path::from("one")).await.expect("it begins");
        let error = found.bytes().await.expect_err("half of it is missing");
        assert!(has_timed_out(&error), "{error}");
    }
}
