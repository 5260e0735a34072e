//! How long a write takes to reach those who watch.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::objects::{self, SANDBOXES};
use crate::bench::figures::Samples;
use crate::bench::load::{Call, Connection};

/// The pace of the writes: one that leaves a server idle between them.
const EVERY: Duration = Duration::from_millis(10);
const WATCHED: &str = "watched";

/// Writes to one object while `watchers` watch it, each over a connection of its own; a sample for every event that arrives.
pub async fn measure(authority: &str, watchers: usize, writes: usize) -> anyhow::Result<Samples> {
    let mut writing = Connection::open(authority).await?;
    let made = writing.expect(&objects::create(SANDBOXES, WATCHED)).await?;
    let made: Value = serde_json::from_slice(&made)?;
    let revision = made["metadata"]["resourceVersion"].as_str().unwrap_or_default();
    let watch = Call::get(format!("{SANDBOXES}?watch=true&resourceVersion={revision}"));
    let mut arrivals = JoinSet::new();
    for _ in 0..watchers {
        let mut connection = Connection::open(authority).await?;
        let mut body = connection.send(&watch).await?.into_body();
        arrivals.spawn(async move {
            let mut arrived = Vec::with_capacity(writes);
            while arrived.len() < writes {
                let frame = body.frame().await.context("a watch ended early")??;
                let now = Instant::now();
                let text = frame.into_data().unwrap_or_default();
                // Each event is a line.
                arrived.extend(text.iter().filter(|byte| **byte == b'\n').map(|_| now));
            }
            drop(connection);
            anyhow::Ok(arrived)
        });
    }
    let mut pace = interval(EVERY);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sent = Vec::with_capacity(writes);
    for turn in 0..writes {
        pace.tick().await;
        sent.push(Instant::now());
        writing.expect(&objects::patch(WATCHED, turn)).await?;
    }
    let mut latencies = Vec::with_capacity(watchers * writes);
    while let Some(arrived) = arrivals.join_next().await {
        latencies.extend(arrived??.iter().zip(&sent).map(|(arrived, sent)| *arrived - *sent));
    }
    Ok(Samples::new(latencies))
}
