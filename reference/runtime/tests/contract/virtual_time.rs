//! What only an engine in virtual time can keep, and that one in real time is caught.

use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Failed, Trial};
use torpor_runtime::Engine;

use crate::bench::{Bench, Verdict, hold};

/// What is waited for an hour of sleep.
const PATIENCE: Duration = Duration::from_secs(2);
const SLEEP: &str = "import time\nwall, uptime = time.time(), time.monotonic()\ntime.sleep(3600)\n\
                     (round(time.time() - wall), round(time.monotonic() - uptime))";

pub(crate) fn trials() -> [Trial; 4] {
    [
        Trial::test("sim::an_hour_of_sleep_takes_no_time", || {
            crate::run(sleeps(crate::sim(), crate::LIMIT))
        }),
        Trial::test("real_time_is_caught_by::an_hour_of_sleep_takes_no_time", || {
            caught(&crate::run(sleeps(crate::monty(), PATIENCE)))
        }),
        Trial::test("sim::time_is_the_same_in_every_run", || {
            crate::run(is_repeated(crate::sim))
        }),
        Trial::test("real_time_is_caught_by::time_is_the_same_in_every_run", || {
            caught(&crate::run(is_repeated(crate::monty)))
        }),
    ]
}

fn caught(verdict: &Verdict) -> Result<(), Failed> {
    match verdict {
        Err(_) => Ok(()),
        Ok(()) => Err("an engine in real time keeps it".into()),
    }
}

async fn sleeps(engine: Arc<dyn Engine>, patience: Duration) -> Verdict {
    let subject = Bench::new(engine, patience).start(None).await?;
    let passed = subject.value(SLEEP).await?;
    hold(passed == "(3600, 3600)", "both clocks show the hour", passed)?;
    subject.end().await
}

/// When a program that sleeps, is paused and resumed sees itself begin and end.
async fn is_repeated(engine: fn() -> Arc<dyn Engine>) -> Verdict {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let bench = Bench::new(engine(), crate::LIMIT);
        let first = bench.start(None).await?;
        first
            .run(None, "import time\nbegan = time.time()\ntime.sleep(0.25)")
            .await?;
        let payload = bench.pause(first, &[]).await?;
        let second = bench.restore(payload).await?;
        runs.push(second.value("began, time.time(), time.monotonic()").await?);
        second.end().await?;
    }
    hold(runs[0] == runs[1], "two runs see the same times", runs)
}
