//! A sample of what a sandbox uses, asked of its agent.

use std::time::Duration;

use axum::{body::Body, extract::Request};
use http_body_util::{BodyExt, Limited};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use torpor_api::port;

use super::forward::forward;
use crate::{Gateway, id::SandboxId, state::endpoint};

/// What envd answers on `/metrics`, in percent and bytes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct EnvdMetrics {
    cpu_count: u64,
    cpu_used_pct: f64,
    mem_total: u64,
    mem_used: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
}

const LIMIT: Duration = Duration::from_secs(5);
const SIZE_LIMIT: usize = 64 * 1024;

/// What the sandbox `id` uses now, as E2B's `SandboxMetric`; nothing if it does not serve or does not say.
pub(crate) async fn metrics_sample(gateway: &Gateway, id: &SandboxId) -> Option<Value> {
    let endpoint = endpoint(gateway.index().get(id)?.as_ref())?;
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = http::Uri::from_static("/metrics");
    request
        .headers_mut()
        .insert(http::header::HOST, http::HeaderValue::from_static("localhost"));
    let asked = async {
        let answer = forward(gateway, id, &endpoint, port::ENVD, request).await.ok()?;
        let body = Limited::new(answer.into_body(), SIZE_LIMIT)
            .collect()
            .await
            .ok()?
            .to_bytes();
        serde_json::from_slice::<EnvdMetrics>(&body).ok()
    };
    let metrics = tokio::time::timeout(LIMIT, asked).await.ok()??;
    Some(sample(&metrics, gateway.now()))
}

fn sample(metrics: &EnvdMetrics, now: Timestamp) -> Value {
    json!({
        "timestamp": now,
        "timestampUnix": now.as_second(),
        "cpuCount": metrics.cpu_count,
        "cpuUsedPct": metrics.cpu_used_pct,
        "memUsed": metrics.mem_used,
        "memTotal": metrics.mem_total,
        "memCache": metrics.mem_cache,
        "diskUsed": metrics.disk_used,
        "diskTotal": metrics.disk_total,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_agent_answers_is_in_the_sample() {
        // The agent's own tests hold it to this file.
        let answer = include_str!("../../../../fixtures/envd-metrics.json");
        let metrics: EnvdMetrics = serde_json::from_str(answer).expect("it is read");
        let now = Timestamp::from_second(1_700_000_001).expect("a time");
        let expected = json!({
            "timestamp": "2023-11-14T22:13:21Z",
            "timestampUnix": 1_700_000_001,
            "cpuCount": 2,
            "cpuUsedPct": 12.35,
            "memUsed": 128 << 20,
            "memTotal": 512 << 20,
            "memCache": 0,
            "diskUsed": 5_u64 << 30,
            "diskTotal": 10_u64 << 30,
        });
        assert_eq!(sample(&metrics, now), expected);
    }
}
