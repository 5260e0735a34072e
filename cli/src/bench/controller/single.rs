//! One sandbox, paused and resumed again and again: what the controller adds, and what it asks of the API server.

use anyhow::Context as _;

use super::bed::Bed;
use super::meters::Meters;
use crate::bench::figures::Samples;
use crate::bench::load::Connection;
use crate::bench::progress;
use crate::bench::report::{Better, Measurement, Report, Target};

const WRITES: [&str; 4] = ["create", "patch", "update", "delete"];
const READS: [&str; 2] = ["get", "list"];

/// Pauses and resumes one sandbox `cycles` times.
pub async fn measure(report: &mut Report, cycles: usize) -> anyhow::Result<()> {
    progress(&format!("{cycles} pauses and resumes of one sandbox"));
    let mut bed = Bed::start().await?;
    bed.populate(1).await?;
    let mut connection = Connection::open(&bed.server.authority).await?;
    let [mut pauses, mut resumes, mut floor] = [const { Vec::new() }; 3];
    let mut asked = [const { Vec::new() }; 2];
    let mut before = bed.quiet().await?;
    for turn in 0..cycles {
        for (paused, durations) in [(true, &mut pauses), (false, &mut resumes)] {
            durations.extend(bed.turn(1, paused).await?.0);
            let after = bed.quiet().await?;
            asked[usize::from(!paused)].push((before, after.clone()));
            before = after;
        }
        floor.push(bed.touch(&mut connection, turn).await?);
        before = bed.quiet().await?;
    }
    bed.stop().await?;

    let [pauses, resumes, floor] = [pauses, resumes, floor].map(Samples::new);
    let least = floor.percentile_ms(99);
    let overhead = |metric: &str, samples: &Samples| {
        Measurement::new(metric, "ms", samples.percentile_ms(99))
            .latency(samples)
            .beside(Some(least), Better::Smaller)
    };
    report.measurements.extend([
        overhead("pause of one, p99 from patch to Paused", &pauses).target(Target::AtMost(20.0)),
        overhead("resume of one, p99 from patch to Running", &resumes).target(Target::AtMost(20.0)),
    ]);
    let note = "the baseline of one sandbox is a patch that nothing follows from, p99 from patch to watch";
    report.notes.push(note.to_owned());
    for (name, asked) in ["pause", "resume"].into_iter().zip(&asked) {
        report.measurements.extend(requests(name, asked)?);
    }
    Ok(())
}

/// The most that one pause, or resume, asked of the API server.
fn requests(name: &str, asked: &[(Meters, Meters)]) -> anyhow::Result<[Measurement; 3]> {
    let most = |count: &dyn Fn(&Meters) -> f64| {
        let counts = asked.iter().map(|(before, after)| count(after) - count(before));
        counts.reduce(f64::max).context("count requests: nothing was measured")
    };
    let object = |resource: &str| resource != "events";
    Ok([
        Measurement::new(
            format!("writes of a {name}, at most"),
            "requests",
            most(&|meters| meters.requests(&WRITES, object))?,
        )
        .target(Target::AtMost(6.0)),
        Measurement::new(
            format!("Events of a {name}, at most"),
            "requests",
            most(&|meters| meters.requests(&WRITES, |resource| resource == "events"))?,
        ),
        Measurement::new(
            format!("reads of a {name}, at most"),
            "requests",
            most(&|meters| meters.requests(&READS, object))?,
        ),
    ])
}
