//! What was measured of one heap of the embedded engine, and what its pauses and resumes are held against.

use super::figures::Samples;
use super::plot;
use super::report::{Better, Measurement, Target};

/// Above this a pause is held against a factor of the dump, below it against a millisecond.
const LARGE_BYTES: usize = 2_000_000;
/// Up to here the dump is over before a disk has acknowledged anything: to what it may take comes a synced write.
const SHORT_DUMP_BYTES: usize = 10_000_000;
const FACTOR: f64 = 1.3;
const MILLISECOND: f64 = 1.0;

/// One heap: what was measured of it, in milliseconds.
pub struct HeapFigures {
    /// Of a dump.
    pub bytes: usize,
    /// The interpreter's own dump.
    pub dump: Samples,
    /// From a frozen sandbox to a sealed checkpoint.
    pub pause: Samples,
    /// The interpreter's own dump, when a little has changed since a pause.
    pub dump_again: Samples,
    /// From that frozen sandbox to its second sealed checkpoint.
    pub pause_again: Samples,
    /// The interpreter's own load.
    pub load: Samples,
    /// From a sealed checkpoint to a sandbox.
    pub resume: Samples,
    /// As many bytes to a file, and both it and its folder on disk.
    pub synced_write: Samples,
}

impl HeapFigures {
    /// The rows of a report.
    pub fn measurements(&self) -> [Measurement; 4] {
        let size = size(self.bytes);
        let (dump, load) = (self.dump.percentile_ms(50), self.load.percentile_ms(50));
        let dump_again = self.dump_again.percentile_ms(50);
        let pause_limit = |dump: f64| {
            if self.bytes <= LARGE_BYTES {
                dump + MILLISECOND
            } else if self.bytes <= SHORT_DUMP_BYTES {
                dump * FACTOR + self.synced_write.percentile_ms(50)
            } else {
                dump * FACTOR
            }
        };
        let against = |name: &str, samples: &Samples, baseline: f64, limit: f64| {
            Measurement::new(format!("{name}, {size}"), "ms", samples.percentile_ms(50))
                .latency(samples)
                .beside(Some(baseline), Better::Smaller)
                .target(Target::AtMost(limit))
        };
        let write = format!("plain synced write, {size}");
        [
            against("pause until sealed, beside dump", &self.pause, dump, pause_limit(dump)),
            against(
                "pause again until sealed, beside dump",
                &self.pause_again,
                dump_again,
                pause_limit(dump_again),
            ),
            against(
                "resume, beside load",
                &self.resume,
                load,
                (load * FACTOR).max(load + MILLISECOND),
            ),
            Measurement::new(write, "ms", self.synced_write.percentile_ms(50)).latency(&self.synced_write),
        ]
    }

    /// The points of a plot.
    pub fn points(&self) -> plot::Points {
        plot::Points {
            bytes: self.bytes,
            milliseconds: [&self.dump, &self.pause, &self.load, &self.resume].map(|samples| samples.percentile_ms(50)),
        }
    }
}

/// Bytes for people.
pub fn size(bytes: usize) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..1_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
