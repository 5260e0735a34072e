//! HTTP and HTTPS to a target, with the client and the TLS that the Kubernetes client uses too.
//!
//! An answer is what the target said, whatever its status; redirects are not followed, as SDKs
//! follow none. A target on this machine is spoken to directly; another by the proxy that the
//! environment names, if it does.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;
use tokio::net::TcpStream;
use tower_service::Service;

/// How long a connection may take to come up.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const IDLE_LIMIT: Duration = Duration::from_secs(30);

/// Certificate authorities that a target is trusted by, besides those of the system.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<CertificateDer<'static>>);

/// A file of certificates that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// It cannot be read as PEM.
    #[error("the certificates are not PEM: {0}")]
    NotPem(String),
    /// It has none.
    #[error("there is no certificate: a block that begins with -----BEGIN CERTIFICATE----- was expected")]
    Empty,
    /// One is not what it says.
    #[error("certificate {number} cannot be an authority: {why}")]
    Invalid {
        /// Which one, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Authorities {
    /// Reads certificates in PEM.
    ///
    /// # Errors
    /// There is none, or one cannot be read.
    pub fn from_pem(pem: &[u8]) -> Result<Self, AuthoritiesError> {
        let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        let certificates = read.map_err(|error| AuthoritiesError::NotPem(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates.iter().enumerate() {
            roots
                .add(certificate.clone())
                .map_err(|error| AuthoritiesError::Invalid {
                    number: index + 1,
                    why: error.to_string(),
                })?;
        }
        if certificates.is_empty() {
            return Err(AuthoritiesError::Empty);
        }
        Ok(Self(certificates))
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        // A certificate of the system that cannot be read vouches for nobody; the others may.
        let system = rustls_native_certs::load_native_certs().certs;
        roots.add_parsable_certificates(system);
        roots.add_parsable_certificates(self.0.iter().cloned());
        roots
    }
}

/// How a client reaches its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Directly, whatever proxy the environment names.
    Direct,
    /// By the proxy that the environment names, if it does.
    ByEnvironment,
}

/// Speaks HTTP. Cheap to clone; all clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpsConnector<Connector>, Full<Bytes>>,
    agent: String,
}

/// A request.
#[derive(Clone, Debug)]
pub(crate) struct HttpRequest {
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: HttpBody,
}

/// What a request carries.
#[derive(Clone, Debug)]
pub(crate) enum HttpBody {
    /// Nothing.
    None,
    /// JSON.
    Json(Value),
    /// As is, called JSON.
    Raw(String),
    /// One message of a streaming call of the Connect protocol.
    Framed(Value),
    /// A file, as `multipart/form-data` with the field `file`.
    File(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    #[error("make an HTTP client")]
    Tls(#[source] rustls::Error),
    #[error("make the request")]
    Request(#[source] http::Error),
    #[error("send the request to {to}")]
    Send {
        /// Host and port.
        to: String,
        source: hyper_util::client::legacy::Error,
    },
    #[error("read the answer")]
    Read(#[source] hyper::Error),
}

/// An answer of which the head has come.
#[derive(Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    body: Incoming,
}

impl Http {
    pub(crate) fn new(agent: String, way: Way, authorities: &Authorities) -> Result<Self, HttpError> {
        let tls = rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(HttpError::Tls)?
            .with_root_certificates(authorities.roots())
            .with_no_client_auth();
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_connect_timeout(Some(CONNECT_LIMIT));
        direct.set_nodelay(true);
        let proxies = match way {
            Way::Direct => None,
            Way::ByEnvironment => Some(Arc::new(Matcher::from_env())),
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector { direct, proxies });
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_LIMIT)
            .build(connector);
        Ok(Self { client, agent })
    }

    /// Sends a request and waits for the head of the answer.
    pub(crate) async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let mut builder = Request::builder()
            .method(request.method)
            .uri(request.url)
            .header(USER_AGENT, &self.agent);
        for (name, value) in &request.headers {
            builder = builder.header(name, value);
        }
        let (kind, body) = request.body.encoded();
        if let Some(kind) = kind {
            builder = builder.header(CONTENT_TYPE, kind);
        }
        let request = builder.body(Full::new(body)).map_err(HttpError::Request)?;
        let to = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let sent = self.client.request(request).await;
        let answer = sent.map_err(|source| HttpError::Send { to, source })?;
        let (head, body) = answer.into_parts();
        Ok(HttpAnswer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
        })
    }
}

impl HttpBody {
    /// Content type and bytes.
    fn encoded(self) -> (Option<String>, Bytes) {
        let json = || Some("application/json".to_owned());
        match self {
            Self::None => (None, Bytes::new()),
            Self::Json(value) => (json(), value.to_string().into()),
            Self::Raw(text) => (json(), text.into()),
            Self::Framed(message) => (
                Some("application/connect+json".to_owned()),
                super::framed(&message).into(),
            ),
            Self::File(content) => {
                let boundary = format!("torpor-{:032x}", rand::random::<u128>());
                let head = "Content-Disposition: form-data; name=\"file\"; filename=\"file\"\r\n\
                            Content-Type: application/octet-stream";
                let body = format!("--{boundary}\r\n{head}\r\n\r\n{content}\r\n--{boundary}--\r\n");
                (Some(format!("multipart/form-data; boundary={boundary}")), body.into())
            }
        }
    }
}

impl HttpAnswer {
    /// The next piece of the body; nothing at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, HttpError> {
        loop {
            match self.body.frame().await {
                None => return Ok(None),
                Some(frame) => {
                    // Trailers are no part of the body.
                    if let Ok(data) = frame.map_err(HttpError::Read)?.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body as text.
    pub(crate) async fn text(mut self) -> Result<String, HttpError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// Connects to a server, or to the proxy that leads there.
#[derive(Clone, Debug)]
struct Connector {
    direct: HttpConnector,
    proxies: Option<Arc<Matcher>>,
}

type ConnectError = Box<dyn std::error::Error + Send + Sync>;

impl Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, server: Uri) -> Self::Future {
        let proxy = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&server));
        let mut direct = self.direct.clone();
        let Some(proxy) = proxy else {
            return Box::pin(async move { direct.call(server).await.map_err(Into::into) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Box::pin(async move { tunnel.call(server).await.map_err(Into::into) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_refused_with_what_was_expected() {
        let empty = Authorities::from_pem(b"nothing to see").unwrap_err();
        assert!(empty.to_string().contains("BEGIN CERTIFICATE"), "{empty}");
        let broken = b"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n";
        let broken = Authorities::from_pem(broken).unwrap_err();
        assert!(broken.to_string().contains("certificate 1"), "{broken}");
    }

    #[test]
    fn a_file_goes_as_a_form_with_one_field() {
        let (kind, body) = HttpBody::File("content".to_owned()).encoded();
        let boundary = kind.unwrap().split_once("boundary=").unwrap().1.to_owned();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.starts_with(&format!("--{boundary}\r\n")) && body.ends_with(&format!("--{boundary}--\r\n")));
        assert!(
            body.contains("name=\"file\"") && body.contains("\r\n\r\ncontent\r\n"),
            "{body}"
        );
    }
}
