//! A conversion webhook with TLS, which the servers under comparison call.
//!
//! ```text
//!   /convert   spec.hostPort ("a:1") of v1 <--> spec.host and spec.port of v2, and the label `converted`
//!   /refuse, /nothing, /renamed, /other-version, /broken   fail in one way each
//! ```

use base64::Engine;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use std::convert::Infallible;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// Where it listens, and whom its callers are to trust.
pub struct Converter {
    pub url: String,
    /// PEM in base64, as `caBundle` has it.
    pub ca_bundle: String,
}

impl Converter {
    /// Serves until the process ends.
    pub fn start() -> Self {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let acceptor = TlsAcceptor::from(Arc::new(config));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { serve(TcpListener::from_std(listener).unwrap(), acceptor).await });
        });
        Self {
            url,
            ca_bundle: base64::engine::general_purpose::STANDARD.encode(cert.pem()),
        }
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let connection = hyper::server::conn::http1::Builder::new();
            // A caller may leave at any time.
            drop(
                connection
                    .serve_connection(TokioIo::new(stream), service_fn(answer))
                    .await,
            );
        });
    }
}

async fn answer(request: http::Request<Incoming>) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request
        .into_body()
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes);
    let review: Value = body
        .ok()
        .and_then(|body| serde_json::from_slice(&body).ok())
        .unwrap_or_default();
    let (code, body) = respond(&path, &review["request"]);
    let mut response = http::Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    response
        .headers_mut()
        .insert("content-type", "application/json".parse().unwrap());
    Ok(response)
}

fn respond(path: &str, request: &Value) -> (u16, Value) {
    let desired = request["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects = request["objects"].as_array().cloned().unwrap_or_default();
    let mut converted: Vec<Value> = objects.into_iter().map(|object| convert(object, desired)).collect();
    let mut result = json!({"status": "Success"});
    match path {
        "/refuse" => result = json!({"status": "Failed", "message": "I do not want to"}),
        "/nothing" => converted.clear(),
        "/renamed" => converted
            .iter_mut()
            .for_each(|object| object["metadata"]["name"] = json!("other")),
        "/other-version" => converted
            .iter_mut()
            .for_each(|object| object["apiVersion"] = json!("conversions.example.com/v9")),
        "/broken" => return (500, json!("out of order")),
        _ => {}
    }
    let response = json!({"uid": request["uid"], "result": result, "convertedObjects": converted});
    let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
    (200, review)
}

fn convert(mut object: Value, desired: &str) -> Value {
    object["apiVersion"] = desired.into();
    object["metadata"]["labels"]["converted"] = json!("yes");
    // Only labels and annotations may change: this is taken back.
    object["metadata"]["finalizers"] = json!(["example.com/of-the-webhook"]);
    let Some(spec) = object["spec"].as_object_mut() else {
        return object;
    };
    if desired.ends_with("/v2")
        && let Some(address) = spec.remove("hostPort")
    {
        let (host, port) = address.as_str().unwrap_or_default().split_once(':').unwrap_or_default();
        spec.insert("host".to_owned(), host.into());
        spec.insert("port".to_owned(), port.parse::<u64>().unwrap_or_default().into());
    } else if let (Some(host), port) = (spec.remove("host"), spec.remove("port")) {
        let port = port.and_then(|port| port.as_u64()).unwrap_or_default();
        spec.insert(
            "hostPort".to_owned(),
            format!("{}:{port}", host.as_str().unwrap_or_default()).into(),
        );
    }
    object
}
