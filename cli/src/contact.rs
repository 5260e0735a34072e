//! The first requests to a Kubernetes API: a server that takes connections and never answers must not hold a command
//! up for ever and without a word.

use std::fmt::Display;
use std::time::Duration;

use anyhow::anyhow;

/// What an API server may take for one answer.
pub const ANSWER: Duration = Duration::from_secs(30);
/// What it may take for all that is looked at before a run.
pub const LOOK: Duration = Duration::from_mins(2);

/// Waits for what `server` is asked, up to `limit`.
///
/// # Errors
/// It has not answered by then.
pub async fn within<T>(server: impl Display, limit: Duration, asked: impl Future<Output = T>) -> anyhow::Result<T> {
    let answered = tokio::time::timeout(limit, asked).await;
    answered.map_err(|_| {
        anyhow!(
            "reach {server}: it has not answered within {} s; see whether a Kubernetes API server listens at this \
             address and is well, and whether a proxy or firewall on the way swallows answers",
            limit.as_secs()
        )
    })
}

/// What people call the API server at this address.
pub fn api_at(url: &http::Uri) -> String {
    format!("the Kubernetes API at {url}")
}

/// An API server that takes requests and never answers, and its address.
#[cfg(test)]
pub fn silent() -> (kube::Client, http::Uri) {
    let server = tower::service_fn(|_: http::Request<kube::client::Body>| {
        std::future::pending::<Result<http::Response<kube::client::Body>, std::convert::Infallible>>()
    });
    let url = http::Uri::from_static("https://192.0.2.7:6443/");
    (kube::Client::new(server, "default"), url)
}
