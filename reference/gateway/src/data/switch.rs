//! Connections that leave HTTP behind, e.g. for WebSocket: what asks for it, and the bytes after it.

use axum::extract::Request;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, on},
};
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

/// A client that wants to switch to another protocol.
pub(super) struct Switch {
    client: OnUpgrade,
    protocol: HeaderValue,
}

impl Switch {
    /// The wish of `request`, if it has one. To be read before headers of one connection are removed.
    pub(super) fn wanted(request: &mut Request) -> Option<Self> {
        let headers = request.headers();
        let lists_upgrade = |value: &HeaderValue| {
            value
                .to_str()
                .is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("upgrade")))
        };
        let protocol = headers.get(header::UPGRADE).cloned();
        let protocol = protocol.filter(|_| headers.get_all(header::CONNECTION).iter().any(lists_upgrade))?;
        Some(Self {
            client: on(request),
            protocol,
        })
    }

    /// Puts the wish into the headers for the agent.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, self.protocol.clone());
    }

    /// If the agent agreed: passes bytes both ways until one side ends or `end` comes, and puts the
    /// consent into the headers for the client.
    pub(super) fn agreed(
        self,
        response: &mut Response<Incoming>,
        end: impl Future<Output = ()> + Send + 'static,
    ) -> Option<HeaderMap> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            return None;
        }
        let mut headers = HeaderMap::new();
        self.ask(&mut headers);
        headers.extend(
            response
                .headers()
                .get(header::UPGRADE)
                .map(|chosen| (header::UPGRADE, chosen.clone())),
        );
        let (client, agent) = (self.client, on(response));
        tokio::spawn(async move {
            let relay = async {
                let (client, agent) = tokio::try_join!(client, agent)?;
                let relayed = copy_bidirectional(&mut TokioIo::new(client), &mut TokioIo::new(agent)).await;
                if let Err(error) = relayed {
                    tracing::debug!(%error, "switched connection ended");
                }
                Ok::<_, hyper::Error>(())
            };
            tokio::select! {
                relayed = relay => if let Err(error) = relayed {
                    tracing::debug!(%error, "connection was not switched");
                },
                () = end => {}
            }
        });
        Some(headers)
    }
}
