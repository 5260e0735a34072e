//! Carries a request to an agent and the answer back, as both arrive.
//!
//! One connection per request: an address may belong to another Pod after a resume, and a connection
//! kept from before it must never be used again. When the Pod goes, an answer in progress ends with
//! an error; it does not hang.

use std::net::SocketAddr;

use axum::{body::Body, extract::Request, response::Response};
use futures::stream;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header, uri::Authority};
use http_body::Body as _;
use http_body_util::{BodyExt, StreamBody};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use super::{refusal::DataRefusal, switch::Switch};
use crate::{Gateway, id::SandboxId, state::Endpoint};

/// Headers that speak of one connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sends `request` to `port` of the Pod at `endpoint`, and returns its answer once that begins.
///
/// # Errors
/// If the port is not open, or the Pod goes before it answers.
pub(super) async fn forward(
    gateway: &Gateway,
    id: &SandboxId,
    endpoint: &Endpoint,
    port: u16,
    mut request: Request,
) -> Result<Response, DataRefusal> {
    let address = SocketAddr::new(endpoint.ip, port);
    let closed = || DataRefusal::PortClosed {
        id: id.to_string(),
        port,
    };
    let broke = || DataRefusal::Broke { id: id.to_string() };
    let gone = gateway.index().pod_gone(id, &endpoint.pod_uid);
    let mut gone: Gone = Box::pin(gone);
    let switch = Switch::wanted(&mut request);
    prepare(&mut request, switch.as_ref());
    let answer = async {
        let connecting = tokio::time::timeout(gateway.config().limits.connect, TcpStream::connect(address));
        let stream = connecting.await.ok().and_then(Result::ok).ok_or_else(closed)?;
        // Small pieces of a stream are to arrive as they are written; an old setting does no harm.
        let _ = stream.set_nodelay(true);
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| broke())?;
        let connection = AbortOnDropHandle::new(tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "connection to an agent ended");
            }
        }));
        let response = sender.send_request(request).await.map_err(|_| broke())?;
        Ok((response, connection))
    };
    let (mut response, connection) = tokio::select! {
        answer = answer => answer?,
        () = &mut gone => return Err(DataRefusal::NotFound { id: id.to_string() }),
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let end = async move {
            gone.await;
            drop(connection);
        };
        let switched = switch
            .and_then(|switch| switch.agreed(&mut response, end))
            .ok_or_else(broke)?;
        strip_hop_by_hop(response.headers_mut());
        response.headers_mut().extend(switched);
        return Ok(response.map(|_| Body::empty()));
    }
    let (mut parts, body) = response.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    let body = if body.is_end_stream() {
        Body::empty()
    } else {
        until_gone(body, gone, connection)
    };
    Ok(Response::from_parts(parts, body))
}

type Gone = std::pin::Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why an answer ended early.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the sandbox was paused or deleted")]
    Gone,
    #[error("the connection to the sandbox broke")]
    Broke(#[source] hyper::Error),
}

/// The frames of `body` as they come, and an error as soon as the Pod is `gone`. Dropping it ends the connection.
fn until_gone(body: Incoming, gone: Gone, connection: AbortOnDropHandle<()>) -> Body {
    let frames = stream::unfold(Some((body, gone, connection)), async |state| {
        let (mut body, mut gone, connection) = state?;
        tokio::select! {
            // What has arrived is passed on before the end of the Pod is.
            biased;
            frame = body.frame() => match frame? {
                Ok(frame) => Some((Ok(frame), Some((body, gone, connection)))),
                Err(error) => Some((Err(Cut::Broke(error)), None)),
            },
            () = &mut gone => Some((Err(Cut::Gone), None)),
        }
    });
    Body::new(StreamBody::new(frames))
}

/// Makes `request` one of HTTP/1.1 for the agent: its path alone, without what was meant for the gateway.
fn prepare(request: &mut Request, switch: Option<&Switch>) {
    name_host(request);
    join_cookies(request.headers_mut());
    let path = request
        .uri()
        .path_and_query()
        .map_or_else(|| Uri::from_static("/"), |path| Uri::from(path.clone()));
    *request.uri_mut() = path;
    *request.version_mut() = http::Version::HTTP_11;
    strip_hop_by_hop(request.headers_mut());
    request.headers_mut().remove("x-api-key");
    if let Some(switch) = switch {
        switch.ask(request.headers_mut());
    }
}

/// Says in `Host` what HTTP/2 says as the authority of the URI.
fn name_host(request: &mut Request) {
    let authority = request.uri().authority().map(Authority::as_str);
    // Without the user: that is no part of a host.
    let host = authority.map(|authority| authority.rsplit('@').next().unwrap_or_default());
    let host = host.and_then(|host| HeaderValue::from_str(host).ok());
    if let Some(host) = host.filter(|_| !request.headers().contains_key(header::HOST)) {
        request.headers_mut().insert(header::HOST, host);
    }
}

/// Makes one `Cookie` of several, which HTTP/2 allows and HTTP/1.1 does not.
fn join_cookies(headers: &mut HeaderMap) {
    let cookies: Vec<_> = headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if cookies.len() > 1
        && let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..]))
    {
        headers.insert(header::COOKIE, joined);
    }
}

fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in listed.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_connection_are_not_passed_on() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("te", "trailers"),
            ("x-other", "2"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        strip_hop_by_hop(&mut headers);
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["x-other"]);
    }

    /// The headers that the agent gets of a request to `uri`.
    fn prepared(uri: &str, headers: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut request = Request::get(uri).body(Body::empty()).unwrap();
        for (name, value) in headers {
            request.headers_mut().append(*name, HeaderValue::from_static(value));
        }
        prepare(&mut request, None);
        assert_eq!(request.uri(), "/files?path=%2Fa");
        request.headers().clone()
    }

    #[test]
    fn the_agent_gets_the_path_and_no_api_key() {
        let headers = prepared("/files?path=%2Fa", &[("x-api-key", "e2b_00")]);
        assert!(headers.is_empty());
    }

    #[test]
    fn the_agent_gets_the_host_that_the_client_named() {
        let host = |uri: &str, headers: &[_]| prepared(uri, headers)["host"].clone();
        assert_eq!(host("http://a.example:1/files?path=%2Fa", &[]), "a.example:1");
        assert_eq!(host("http://u@a.example/files?path=%2Fa", &[]), "a.example");
        let named = [("host", "b.example")];
        assert_eq!(host("http://a.example/files?path=%2Fa", &named), "b.example");
        assert_eq!(host("/files?path=%2Fa", &named), "b.example");
    }

    #[test]
    fn several_cookies_become_one() {
        let cookies = |given: &[&'static str]| {
            let given: Vec<_> = given.iter().map(|value| ("cookie", *value)).collect();
            let headers = prepared("/files?path=%2Fa", &given);
            let all = headers.get_all("cookie").iter().cloned();
            all.collect::<Vec<_>>()
        };
        assert_eq!(cookies(&["a=1", "b=2; c=3", "d=4"]), ["a=1; b=2; c=3; d=4"]);
        assert_eq!(cookies(&["a=1"]), ["a=1"]);
        assert!(cookies(&[]).is_empty());
    }
}
