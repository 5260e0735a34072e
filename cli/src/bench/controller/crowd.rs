//! Many sandboxes, paused at once and resumed at once: throughput, and whether one of many costs more than one of few.

use std::time::Duration;

use anyhow::Context as _;
use tokio::time::sleep;

use super::bed::Bed;
use crate::bench::figures::{Samples, per_second};
use crate::bench::progress;
use crate::bench::report::{Better, Measurement, Report, Target};
use crate::bench::server::Server;

/// For how long requests of a controller at rest are counted.
const REST: Duration = Duration::from_secs(5);
/// By how much one of many may cost more than one of few.
const FLAT: f64 = 1.25;

/// What one sandbox costs for a pause and a resume.
#[derive(Clone, Copy)]
struct Cost {
    processor_ms: f64,
    requests: f64,
}

/// Pauses and resumes as many sandboxes at once as each of `sizes` says, on a new cluster for each.
pub async fn measure(report: &mut Report, sizes: &[usize]) -> anyhow::Result<()> {
    let mut least: Option<Cost> = None;
    for count in sizes {
        let cost = measure_one(report, *count).await?;
        let fewest = *least.get_or_insert(cost);
        let beside = |metric: &str, unit, value: f64, fewest: f64| {
            Measurement::new(format!("{metric} and sandbox of {count}"), unit, value)
                .beside(Some(fewest), Better::Smaller)
                .target(Target::AtMost(fewest * FLAT))
        };
        report.measurements.extend([
            beside(
                "processor time of the controller, per cycle",
                "ms",
                cost.processor_ms,
                fewest.processor_ms,
            ),
            beside("API requests, per cycle", "requests", cost.requests, fewest.requests),
        ]);
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts of sandboxes are far below 2^52")]
async fn measure_one(report: &mut Report, count: usize) -> anyhow::Result<Cost> {
    progress(&format!("pauses and resumes of {count} sandboxes at once"));
    let mut bed = Bed::start().await?;
    bed.populate(count).await?;
    let before = bed.quiet().await?;
    let used = processor_time(&bed)?;
    for (paused, name) in [(true, "pause"), (false, "resume")] {
        let (took, all) = bed.turn(count, paused).await?;
        let rate = Measurement::new(format!("{name} of {count} at once"), "1/s", per_second(count, all));
        report.measurements.push(rate.latency(&Samples::new(took)));
    }
    let after = bed.quiet().await?;
    let used = processor_time(&bed)?.saturating_sub(used);
    let mebibytes = bed.controller.as_ref().and_then(Server::resident_mib);
    let memory = mebibytes.context("read the memory of the controller in /proc")?;
    let memory = Measurement::new(format!("memory of the controller of {count}"), "MiB", memory);
    sleep(REST).await;
    let later = bed.quiet().await?;
    let idle = Measurement::new(
        format!("API requests of {count} at rest, in {} s", REST.as_secs()),
        "requests",
        later.all_requests() - after.all_requests(),
    );
    report.measurements.extend([memory, idle.target(Target::AtMost(0.0))]);
    bed.stop().await?;
    let each = |total: f64| total / count as f64;
    Ok(Cost {
        processor_ms: each(used.as_secs_f64() * 1000.0),
        requests: each(after.all_requests() - before.all_requests()),
    })
}

fn processor_time(bed: &Bed) -> anyhow::Result<Duration> {
    let used = bed.controller.as_ref().and_then(Server::processor_time);
    used.context("read the processor time of the controller in /proc")
}
