//! The rows of what was measured in the container.

use std::time::Duration;

use torpor_runtime::Step;

use super::CriuFigures;
use crate::bench::figures::Samples;
use crate::bench::report::{Better, Measurement, Target};

/// A pause and a resume may take so many times what CRIU alone takes.
const FACTOR: f64 = 1.2;
/// The first answer after a resume comes within so many milliseconds, whatever the heap.
const FIRST_ANSWER_MS: f64 = 100.0;

/// The rows of one heap.
pub fn measurements(figures: &CriuFigures) -> Vec<Measurement> {
    let heap = format!("criu, {} MiB heap", figures.mebibytes);
    let (dump, restore) = (samples(&figures.dump), samples(&figures.restore));
    let row = |name: &str, samples: &Samples| {
        Measurement::new(format!("{heap}: {name}"), "ms", samples.percentile_ms(50)).latency(samples)
    };
    let (pause, resume, synced) = (
        samples(&figures.pause),
        samples(&figures.resume),
        samples(&figures.dump_synced),
    );
    let (again, dump_again) = (samples(&figures.pause_again), samples(&figures.dump_again));
    let (idle, dump_idle) = (samples(&figures.pause_idle), samples(&figures.dump_idle));
    let (new, dump_new) = (samples(&figures.pause_new), samples(&figures.dump_new));
    let steps = |name: &str, steps: &[(String, Vec<f64>)]| -> Vec<Measurement> {
        let step = |(step, took): &(String, Vec<f64>)| row(&format!("{name}: {step}"), &samples(took));
        steps.iter().map(step).collect()
    };
    let mut rows = vec![
        row("pause until sealed, beside criu dump", &pause)
            .beside(Some(dump.percentile_ms(50)), Better::Smaller)
            .target(Target::AtMost(FACTOR * dump.percentile_ms(50))),
        row("the same, beside criu dump and a sync", &pause).beside(Some(synced.percentile_ms(50)), Better::Smaller),
        row("of it frozen until the tree is written down", &samples(&figures.freeze)),
        row("pause of a new sandbox until sealed, beside criu dump", &new)
            .beside(Some(dump_new.percentile_ms(50)), Better::Smaller)
            .target(Target::AtMost(FACTOR * dump_new.percentile_ms(50))),
        row("pause of an idle sandbox until sealed, beside criu dump", &idle)
            .beside(Some(dump_idle.percentile_ms(50)), Better::Smaller)
            .target(Target::AtMost(FACTOR * dump_idle.percentile_ms(50))),
        row("pause again until sealed, beside criu dump", &again)
            .beside(Some(dump_again.percentile_ms(50)), Better::Smaller)
            .target(Target::AtMost(FACTOR * dump_again.percentile_ms(50))),
        row("resume until the first answer, beside criu restore", &resume)
            .beside(Some(restore.percentile_ms(50)), Better::Smaller)
            .target(Target::AtMost(FACTOR * restore.percentile_ms(50))),
        row("the same, whatever the heap", &resume).target(Target::AtMost(FIRST_ANSWER_MS)),
        row("of it until all memory is there", &samples(&figures.complete)),
        stored(&heap, "bytes stored", figures.stored_bytes, figures),
        stored(
            &heap,
            "bytes stored by a pause again",
            figures.stored_again_bytes,
            figures,
        ),
    ];
    rows.extend(steps("step of a pause", &figures.pause_steps));
    rows.extend(steps("step of a resume", &figures.resume_steps));
    rows
}

/// What has been done with a step.
pub fn name(step: Step) -> &'static str {
    match step {
        Step::StoredAhead => "memory stored ahead",
        Step::Taken => "a large image taken by the store",
        Step::Stopped => "the tree stands, written down by CRIU",
        Step::WrittenDown => "changed files found",
        Step::Noted => "all cut, named and compressed",
        Step::Packed => "new chunks on disk",
        Step::Sealed => "envelope on disk",
        Step::NoteDropped => "note dropped",
        Step::Read => "description read",
        Step::FilesLaidOut => "files laid out",
        Step::MemoryLaidOut => "first memory laid out",
        Step::Restored => "restored by CRIU",
        Step::Serving => "init and kernels reached",
    }
}

#[expect(clippy::cast_precision_loss, reason = "bytes in a benchmark are far below 2^52")]
fn stored(heap: &str, name: &str, bytes: u64, figures: &CriuFigures) -> Measurement {
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    Measurement::new(format!("{heap}: {name}, beside the payload"), "MB", megabytes(bytes))
        .beside(Some(megabytes(figures.payload_bytes)), Better::Smaller)
}

fn samples(milliseconds: &[f64]) -> Samples {
    let duration = |ms: &f64| Duration::from_secs_f64(ms.max(0.0) / 1000.0);
    Samples::new(milliseconds.iter().map(duration).collect())
}
