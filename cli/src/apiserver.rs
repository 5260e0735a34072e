//! `torpor apiserver`: the mock API server by itself, for controllers of one's own.

use std::net::Ipv4Addr;

use anyhow::Context as _;
use mock_apiserver::MockApiServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::args::ApiserverArgs;
use crate::exit::Exit;
use crate::signal::stop_signal;

/// Serves until Ctrl-C.
///
/// # Errors
/// The port is taken or the kubeconfig cannot be written.
pub async fn run(args: ApiserverArgs) -> anyhow::Result<Exit> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .with_context(|| {
            format!(
                "listen on 127.0.0.1:{}; choose another port with --port PORT (0 takes any free one)",
                args.port
            )
        })?;
    let url = Url::parse(&format!("http://{}", listener.local_addr()?))?;
    let builder = args.stand_ins.apply(MockApiServer::builder());
    let server = match &args.data_dir {
        None => builder.build(),
        Some(dir) => {
            let opened = builder.open(dir);
            let (server, recovery) = opened.with_context(|| format!("open the objects in {}", dir.display()))?;
            if recovery.cut_bytes > 0 {
                eprintln!(
                    "cut {} bytes of a write that was never acknowledged",
                    recovery.cut_bytes
                );
            }
            server
        }
    };
    if let Some(path) = &args.kubeconfig {
        std::fs::write(path, server.kubeconfig(url.as_str().trim_end_matches('/')))
            .with_context(|| format!("write {}", path.display()))?;
    }
    println!("Kubernetes API on {url} (Ctrl-C ends it)");
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let asked_to_stop = stop_signal().context("listen for Ctrl-C")?;
    tokio::spawn(async move {
        asked_to_stop.await;
        stop.cancel();
    });
    server.serve(listener, shutdown).await;
    Ok(Exit::Success)
}
