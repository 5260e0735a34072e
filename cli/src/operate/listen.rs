//! Sockets of the commands that run on a real cluster.

use std::net::SocketAddr;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Listens on `address` for `what`; `option` is the one that changes it.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(address: SocketAddr, what: &str, option: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address} for {what}; choose another address with {option} ADDRESS"))
}

/// Says on standard output where `what` is, which is the only way to know it for port 0.
///
/// # Errors
/// The socket has no address.
pub fn announce(what: &str, listener: &TcpListener, path: &str) -> anyhow::Result<()> {
    let address = listener.local_addr().context("read the address of a listener")?;
    println!("{what:<8} http://{address}/{path}");
    Ok(())
}

/// Serves until `shutdown`; requests under way are answered first.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener, router: Router, shutdown: CancellationToken) -> anyhow::Result<()> {
    axum::serve(listener, router)
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await
        .context("serve")
}
