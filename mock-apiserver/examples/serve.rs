//! Serves an empty API server on the address given (default `127.0.0.1:8001`) and prints its kubeconfig.

use mock_apiserver::MockApiServer;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8001".to_owned());
    let listener = tokio::net::TcpListener::bind(&address).await?;
    let server = MockApiServer::builder().build();
    println!("{}", server.kubeconfig(&format!("http://{}", listener.local_addr()?)));
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            stop.cancel();
        }
    });
    server.serve(listener, shutdown).await;
    Ok(())
}
