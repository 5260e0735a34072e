//! Calls webhooks over HTTP and HTTPS.

use crate::admission::{WebhookCall, WebhookCaller, WebhookFailure};
use bytes::Bytes;
use futures::future::BoxFuture;
use http::{Request, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use url::Url;

/// The largest accepted answer, in bytes.
const ANSWER_LIMIT: usize = 8 * 1024 * 1024;
/// How much of an error's body is shown, in bytes.
const ERROR_SHOWN: usize = 1024;

/// Opens a connection for each call.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HttpCaller;

impl WebhookCaller for HttpCaller {
    fn call(&self, call: WebhookCall) -> BoxFuture<'static, Result<Value, WebhookFailure>> {
        Box::pin(post(call))
    }
}

async fn post(call: WebhookCall) -> Result<Value, WebhookFailure> {
    let unreachable = |why: String| WebhookFailure::Unreachable {
        url: call.address(),
        why,
    };
    let reached = call.through.as_ref().unwrap_or(&call.url);
    let stream = connect(reached).await.map_err(unreachable)?;
    let request = request(&call);
    let sent = if reached.scheme() == "https" {
        let name = call.url.host_str().unwrap_or_default();
        let stream = encrypt(stream, name, &call.ca_bundle).await.map_err(unreachable)?;
        send(stream, request).await
    } else {
        send(stream, request).await
    };
    let Answer { code, is_text, body } = sent.map_err(unreachable)?;
    if !(200..300).contains(&code) {
        let shown = body.get(..ERROR_SHOWN).unwrap_or(&body);
        let body = if is_text {
            String::from_utf8_lossy(shown).trim().to_owned()
        } else {
            "unknown".to_owned()
        };
        return Err(WebhookFailure::Refused { code, body });
    }
    serde_json::from_slice(&body).map_err(|error| WebhookFailure::Unreadable(error.to_string()))
}

async fn connect(address: &Url) -> Result<TcpStream, String> {
    let host = address.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let port = address.port_or_known_default().unwrap_or_default();
    TcpStream::connect((host, port))
        .await
        .map_err(|error| format!("dial tcp {host}:{port}: connect: {}", in_words_of_go(&error)))
}

fn in_words_of_go(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}

async fn encrypt(
    stream: TcpStream,
    name: &str,
    ca_bundle: &[u8],
) -> Result<tokio_rustls::client::TlsStream<TcpStream>, String> {
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(Arc::new(trusting(ca_bundle)?));
    let encrypted = connector.connect(name, stream).await;
    encrypted.map_err(|error| format!("tls: failed to verify certificate: {error}"))
}

/// Trusts the certificates of a bundle, or those of the system if it is empty.
fn trusting(ca_bundle: &[u8]) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    if ca_bundle.is_empty() {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    for certificate in CertificateDer::pem_slice_iter(ca_bundle) {
        let certificate = certificate.map_err(|error| format!("unable to load root certificates: {error}"))?;
        let added = roots.add(certificate);
        added.map_err(|error| format!("unable to load root certificates: {error}"))?;
    }
    if roots.is_empty() {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn request(call: &WebhookCall) -> Request<Full<Bytes>> {
    let WebhookCall { url, review, .. } = call;
    let target = url
        .query()
        .map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
    let host = call.address();
    let host = host.split('/').nth(2).unwrap_or_default();
    let mut request = Request::new(Full::new(Bytes::from(review.to_string())));
    *request.method_mut() = http::Method::POST;
    // What a URL holds as path, query and host is fit for a request line and a header.
    *request.uri_mut() = target.parse().unwrap_or_default();
    let headers = request.headers_mut();
    if let Ok(host) = host.parse() {
        headers.insert(header::HOST, host);
    }
    let json = header::HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json.clone());
    headers.insert(header::ACCEPT, json);
    let agent = header::HeaderValue::from_static("kube-apiserver-admission");
    headers.insert(header::USER_AGENT, agent);
    request
}

/// What came back.
struct Answer {
    code: u16,
    /// The body is something to read, as far as its media type says; that of errors is shown then.
    is_text: bool,
    body: Bytes,
}

async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    // Ends with the sender; what it fails of, the sender reports.
    tokio::spawn(connection);
    let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
    let code = response.status().as_u16();
    let media_type = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(http::HeaderValue::as_bytes);
    let is_text = media_type.is_none_or(|media_type| media_type.starts_with(b"text/"));
    let body = Limited::new(response.into_body(), ANSWER_LIMIT).collect().await;
    let body = body.map_err(|error| error.to_string())?.to_bytes();
    Ok(Answer { code, is_text, body })
}
