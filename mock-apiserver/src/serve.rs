//! Serving over sockets: HTTP/1.1 and HTTP/2, plain or in TLS.
//!
//! In TLS the client chooses the protocol by ALPN; on a plain port HTTP/2 needs prior knowledge.

use crate::access::User;
use crate::server::MockApiServer;
use crate::tls::Tls;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a client may take for its part of the TLS handshake.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

impl MockApiServer {
    /// Serves plain HTTP until `shutdown` is cancelled; then open watches end.
    pub async fn serve(&self, listener: TcpListener, shutdown: CancellationToken) {
        self.accept(listener, None, shutdown).await;
    }

    /// Serves HTTPS until `shutdown` is cancelled; then open watches end.
    ///
    /// ```no_run
    /// # async fn example(server: mock_apiserver::MockApiServer) -> Result<(), Box<dyn std::error::Error>> {
    /// use mock_apiserver::{Kubeconfig, Tls};
    /// let tls = Tls::self_signed(&["localhost", "127.0.0.1"])?;
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    /// let url = format!("https://{}", listener.local_addr()?);
    /// println!("{}", Kubeconfig::new(&url).authority(tls.authority()));
    /// server.serve_tls(listener, &tls, tokio_util::sync::CancellationToken::new()).await;
    /// # Ok(()) }
    /// ```
    pub async fn serve_tls(&self, listener: TcpListener, tls: &Tls, shutdown: CancellationToken) {
        self.accept(listener, Some(tls), shutdown).await;
    }

    async fn accept(&self, listener: TcpListener, tls: Option<&Tls>, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        let closing = self.closing();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection");
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            // Watch events are small and must not wait for more.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "setting TCP_NODELAY");
            }
            let connection = self.clone().connection(stream, tls.cloned());
            let shutdown = shutdown.clone();
            connections.spawn(async move {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = connection => {}
                }
            });
        }
        closing.cancel();
        connections.close();
        connections.wait().await;
    }

    async fn connection(self, stream: TcpStream, tls: Option<Tls>) {
        let Some(tls) = tls else {
            return self.talk(stream, None).await;
        };
        match tokio::time::timeout(HANDSHAKE_LIMIT, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates();
                let user = shown
                    .and_then(<[_]>::first)
                    .and_then(|certificate| tls.user_of(certificate));
                self.talk(stream, user).await;
            }
            Ok(Err(error)) => tracing::debug!(%error, "TLS handshake"),
            Err(_) => tracing::debug!("TLS handshake was not finished in time"),
        }
    }

    /// Answers the requests of a connection; `user` is known by its certificate.
    async fn talk(self, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static, user: Option<User>) {
        let service = hyper::service::service_fn(move |mut request: Request<hyper::body::Incoming>| {
            let server = self.clone();
            if let Some(user) = &user {
                request.extensions_mut().insert(user.clone());
            }
            async move { server.call(request).await }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        if let Err(error) = builder.serve_connection(TokioIo::new(stream), service).await {
            tracing::debug!(%error, "serving a connection");
        }
    }
}
