//! What benchmarks report, the same for all of them: a table for people, JSON for programs.

use std::fmt;

use serde::{Serialize, Serializer};

use super::figures::Samples;

/// What a measurement should come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// The value is no more than this, in the unit of the measurement.
    AtMost(f64),
    /// The value is no less than this, in the unit of the measurement.
    AtLeast(f64),
    /// So many times better than the baseline.
    TimesBaseline(f64),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {}", number(*most)),
            Self::AtLeast(least) => write!(f, ">= {}", number(*least)),
            Self::TimesBaseline(times) => write!(f, ">= {} x baseline", number(*times)),
        }
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Which values are the better ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Durations and sizes.
    Smaller,
    /// Throughput.
    Larger,
}

/// One line of a report. What does not apply is absent.
#[derive(Clone, Debug, Serialize)]
pub struct Measurement {
    /// What was measured, e.g. `create`.
    pub metric: String,
    /// The unit of `value` and `baseline`, e.g. `1/s`.
    pub unit: &'static str,
    /// The figure.
    pub value: f64,
    /// Percentiles of the duration of one operation, in milliseconds.
    #[serde(flatten)]
    latency: Option<Latency>,
    /// The same figure of the server that is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<f64>,
    /// How many times better than the baseline it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Target>,
    /// Whether the target is reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    ok: Option<bool>,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Latency {
    p50: f64,
    p95: f64,
    p99: f64,
}

impl Measurement {
    /// A figure by itself.
    pub fn new(metric: impl Into<String>, unit: &'static str, value: f64) -> Self {
        Self {
            metric: metric.into(),
            unit,
            value,
            latency: None,
            baseline: None,
            ratio: None,
            target: None,
            ok: None,
        }
    }

    /// With the percentiles of its operations.
    #[must_use]
    pub fn latency(mut self, samples: &Samples) -> Self {
        self.latency = Some(Latency {
            p50: samples.percentile_ms(50),
            p95: samples.percentile_ms(95),
            p99: samples.percentile_ms(99),
        });
        self
    }

    /// Beside the figure of another server, if that was measured.
    #[must_use]
    pub fn beside(mut self, baseline: Option<f64>, better: Better) -> Self {
        self.baseline = baseline;
        self.ratio = baseline.map(|baseline| match better {
            Better::Smaller => baseline / self.value.max(f64::EPSILON),
            Better::Larger => self.value / baseline.max(f64::EPSILON),
        });
        self
    }

    /// Judged by a target. One that needs a baseline is left open without it.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.ok = match target {
            Target::AtMost(most) => Some(self.value <= most),
            Target::AtLeast(least) => Some(self.value >= least),
            Target::TimesBaseline(times) => self.ratio.map(|ratio| ratio >= times),
        };
        self
    }

    fn cells(&self) -> [String; 10] {
        let shown = |value: Option<f64>| value.map(number).unwrap_or_default();
        [
            self.metric.clone(),
            number(self.value),
            self.unit.to_owned(),
            shown(self.latency.map(|latency| latency.p50)),
            shown(self.latency.map(|latency| latency.p95)),
            shown(self.latency.map(|latency| latency.p99)),
            shown(self.baseline),
            self.ratio.map(|ratio| format!("{ratio:.1} x")).unwrap_or_default(),
            self.target.map(|target| target.to_string()).unwrap_or_default(),
            match self.ok {
                Some(true) => "ok",
                Some(false) => "MISSED",
                None => "",
            }
            .to_owned(),
        ]
    }
}

/// What a benchmark found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The figures, in the order they were measured.
    pub measurements: Vec<Measurement>,
    /// What a reader has to know of them, such as what was skipped and why.
    pub notes: Vec<String>,
}

const HEADINGS: [&str; 10] = [
    "METRIC", "VALUE", "UNIT", "P50 ms", "P95 ms", "P99 ms", "BASELINE", "RATIO", "TARGET", "",
];

impl Report {
    /// An empty report, which says so if this is no build to measure.
    pub fn of_this_build() -> Self {
        let mut report = Self::default();
        if cfg!(debug_assertions) {
            report
                .notes
                .push("a debug build: its figures say nothing of a release".to_owned());
        }
        report
    }

    /// Whether no target is missed.
    pub fn is_ok(&self) -> bool {
        self.measurements
            .iter()
            .all(|measurement| measurement.ok != Some(false))
    }

    /// Prints a table, and the notes below it.
    pub fn print_table(&self) {
        let rows: Vec<[String; 10]> = std::iter::once(HEADINGS.map(str::to_owned))
            .chain(self.measurements.iter().map(Measurement::cells))
            .collect();
        for row in &rows {
            let cells = row.iter().enumerate().map(|(column, cell)| {
                let width = rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
                // Names, units, targets and verdicts to the left, numbers to the right.
                if matches!(column, 0 | 2 | 8 | 9) {
                    format!("{cell:<width$}")
                } else {
                    format!("{cell:>width$}")
                }
            });
            println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        for note in &self.notes {
            println!("{note}");
        }
    }

    /// Prints an array of measurements; the notes go to standard error.
    ///
    /// # Errors
    /// A figure is not a number.
    pub fn print_json(&self) -> serde_json::Result<()> {
        println!("{}", serde_json::to_string_pretty(&self.measurements)?);
        for note in &self.notes {
            eprintln!("{note}");
        }
        Ok(())
    }
}

/// A number with three digits that count.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 100.0 || value.fract() == 0.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        format!("{value:.1}")
    } else if magnitude >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.3}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::Duration;

    #[test]
    fn what_does_not_apply_is_absent_from_the_json() {
        let bare = Measurement::new("memory", "MiB", 512.0).target(Target::AtMost(1024.0));
        let expected = json!({"metric": "memory", "unit": "MiB", "value": 512.0, "target": "<= 1024", "ok": true});
        assert_eq!(serde_json::to_value(bare).ok(), Some(expected));
    }

    #[test]
    fn a_ratio_says_how_many_times_better_whatever_the_unit() {
        let faster = Measurement::new("create", "1/s", 5000.0)
            .latency(&Samples::new(vec![Duration::from_millis(2)]))
            .beside(Some(250.0), Better::Larger)
            .target(Target::TimesBaseline(10.0));
        assert_eq!((faster.ratio, faster.ok), (Some(20.0), Some(true)));
        let sooner = Measurement::new("start", "ms", 50.0).beside(Some(400.0), Better::Smaller);
        assert_eq!(sooner.target(Target::TimesBaseline(10.0)).ok, Some(false));
    }

    #[test]
    fn a_missed_target_is_not_ok_and_one_without_its_baseline_is_left_open() {
        let open = Measurement::new("create", "1/s", 1.0)
            .beside(None, Better::Larger)
            .target(Target::TimesBaseline(10.0));
        let missed = Measurement::new("start", "ms", 51.0).target(Target::AtMost(50.0));
        let report = |measurements: Vec<Measurement>| Report {
            measurements,
            notes: Vec::new(),
        };
        assert!(report(vec![open.clone()]).is_ok());
        assert!(!report(vec![open, missed]).is_ok());
    }
}
