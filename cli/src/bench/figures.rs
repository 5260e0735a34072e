//! Figures of repeated measurements: throughput and percentiles.

use std::time::Duration;

/// The durations of repeated operations.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// In ascending order.
    sorted: Vec<Duration>,
}

impl Samples {
    /// Takes durations in any order.
    pub fn new(mut durations: Vec<Duration>) -> Self {
        durations.sort_unstable();
        Self { sorted: durations }
    }

    /// The smallest duration that at least `percent` of the operations did not exceed (nearest rank).
    /// Zero if there was no operation.
    pub fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }

    /// [`percentile`](Self::percentile) in milliseconds.
    pub fn percentile_ms(&self, percent: usize) -> f64 {
        self.percentile(percent).as_secs_f64() * 1000.0
    }
}

/// Operations per second.
#[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^52")]
pub fn per_second(operations: usize, elapsed: Duration) -> f64 {
    operations as f64 / elapsed.as_secs_f64().max(f64::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_duration_that_was_measured() {
        let samples = Samples::new((1..=200).rev().map(Duration::from_millis).collect());
        let found = [1, 50, 95, 99, 100].map(|percent| samples.percentile(percent).as_millis());
        assert_eq!(found, [2, 100, 190, 198, 200]);
    }

    #[test]
    fn one_sample_is_every_percentile_and_none_is_zero() {
        let one = Samples::new(vec![Duration::from_millis(7)]);
        assert_eq!(one.percentile(1), one.percentile(99));
        assert_eq!(Samples::default().percentile(50), Duration::ZERO);
    }
}
