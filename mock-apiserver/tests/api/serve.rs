//! The server on a socket: protocols and certificates.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mock_apiserver::{MockApiServer, Tls};
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_util::sync::CancellationToken;

/// A server on a free port, in TLS if there are certificates.
async fn serve(tls: Option<&Tls>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (server, tls) = (MockApiServer::builder().build(), tls.cloned());
    tokio::spawn(async move {
        match &tls {
            None => server.serve(listener, CancellationToken::new()).await,
            Some(tls) => server.serve_tls(listener, tls, CancellationToken::new()).await,
        }
    });
    address
}

async fn connect(
    address: SocketAddr,
    authority: &str,
    name: &'static str,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn version() -> Request<Empty<Bytes>> {
    Request::get("http://localhost/version")
        .header("host", "localhost")
        .body(Empty::new())
        .unwrap()
}

async fn by_http1(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Value {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(version()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_11);
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn by_http2(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Value {
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(version()).await.unwrap();
    assert_eq!(response.version(), Version::HTTP_2);
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_plain_port_speaks_both_protocols() {
    let address = serve(None).await;
    assert_eq!(by_http1(TcpStream::connect(address).await.unwrap()).await["major"], "1");
    assert_eq!(by_http2(TcpStream::connect(address).await.unwrap()).await["major"], "1");
}

#[tokio::test]
async fn in_tls_the_client_chooses_the_protocol() {
    let tls = Tls::self_signed(&["localhost", "127.0.0.1"]).unwrap();
    let address = serve(Some(&tls)).await;
    let stream = connect(address, tls.authority(), "localhost", b"http/1.1")
        .await
        .unwrap();
    assert_eq!(by_http1(stream).await["major"], "1");
    let stream = connect(address, tls.authority(), "127.0.0.1", b"h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    assert_eq!(by_http2(stream).await["major"], "1");
}

#[tokio::test]
async fn the_certificate_holds_for_its_names_and_under_its_authority_only() {
    let tls = Tls::self_signed(&["localhost"]).unwrap();
    let other = Tls::self_signed(&["localhost"]).unwrap();
    let address = serve(Some(&tls)).await;
    let refused = connect(address, other.authority(), "localhost", b"h2")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("certificate"), "{refused}");
    assert!(connect(address, tls.authority(), "elsewhere", b"h2").await.is_err());
    assert!(connect(address, tls.authority(), "localhost", b"h2").await.is_ok());
}
