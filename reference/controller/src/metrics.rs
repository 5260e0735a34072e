//! Prometheus metrics: how long pauses and resumes take, how many sandboxes are where, how large checkpoints are.
//!
//! A duration runs from the status that announces a step to the one that completes it or says
//! that it failed, by the injected clock. One that began before a restart is not measured.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use torpor_api::{ConditionType, Phase, Reason, SandboxStatus};

use crate::conditions;

/// Every phase, with its label value.
const PHASES: [(Phase, &str); 7] = [
    (Phase::Pending, "Pending"),
    (Phase::Running, "Running"),
    (Phase::Pausing, "Pausing"),
    (Phase::Paused, "Paused"),
    (Phase::Resuming, "Resuming"),
    (Phase::Failed, "Failed"),
    (Phase::Terminating, "Terminating"),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values")]
enum Outcome {
    success,
    failure,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabel {
    phase: &'static str,
}

/// The meters of a controller; a cheap handle.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    meters: Arc<Meters>,
}

#[derive(Debug)]
struct Meters {
    registry: Registry,
    pause_seconds: Family<ResultLabel, Histogram, fn() -> Histogram>,
    resume_seconds: Family<ResultLabel, Histogram, fn() -> Histogram>,
    sandboxes: Family<PhaseLabel, Gauge>,
    checkpoint_bytes: Histogram,
    reconciles: Family<ResultLabel, Counter>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Phase of each sandbox, by namespace and name.
    phases: BTreeMap<String, Phase>,
    /// When the step under way began, by UID.
    began: BTreeMap<String, (Step, Timestamp)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Pause,
    Resume,
}

impl ControllerMetrics {
    pub(crate) fn new() -> Self {
        let durations: fn() -> Histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 15));
        let mut meters = Meters {
            registry: Registry::default(),
            pause_seconds: Family::new_with_constructor(durations),
            resume_seconds: Family::new_with_constructor(durations),
            sandboxes: Family::default(),
            checkpoint_bytes: Histogram::new(exponential_buckets(1024.0, 4.0, 12)),
            reconciles: Family::default(),
            memory: Mutex::default(),
        };
        meters.register();
        Self {
            meters: Arc::new(meters),
        }
    }

    /// The metrics in the `OpenMetrics` text format.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.meters.registry)?;
        Ok(text)
    }

    pub(crate) fn observe_phase(&self, key: &str, phase: Option<Phase>) {
        let mut memory = self.memory();
        self.meters
            .reconciles
            .get_or_create(&ResultLabel {
                result: Outcome::success,
            })
            .inc();
        match phase {
            Some(phase) => drop(memory.phases.insert(key.to_owned(), phase)),
            None => drop(memory.phases.remove(key)),
        }
        self.count(&memory);
    }

    pub(crate) fn forget(&self, key: &str) {
        let mut memory = self.memory();
        memory.phases.remove(key);
        self.count(&memory);
    }

    pub(crate) fn reconcile_failed(&self) {
        self.meters
            .reconciles
            .get_or_create(&ResultLabel {
                result: Outcome::failure,
            })
            .inc();
    }

    /// Measures the change from one status to the next.
    pub(crate) fn transition(&self, uid: &str, before: &SandboxStatus, after: &SandboxStatus, now: Timestamp) {
        let newly =
            |kind, reason| conditions::has_reason(after, kind, reason) && !conditions::has_reason(before, kind, reason);
        if let Some(record) = after.checkpoint.as_ref().filter(|_| before.checkpoint.is_none()) {
            #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 53 bits")]
            self.meters.checkpoint_bytes.observe(record.size_bytes as f64);
        }
        if newly(ConditionType::Paused, Reason::CheckpointFailed) {
            self.finish(uid, Step::Pause, Outcome::failure, now);
        } else if newly(ConditionType::Resumed, Reason::RestoreFailed) {
            self.finish(uid, Step::Resume, Outcome::failure, now);
        } else if before.phase != after.phase {
            match after.phase {
                Some(Phase::Pausing) => self.begin(uid, Step::Pause, now),
                Some(Phase::Resuming) => self.begin(uid, Step::Resume, now),
                Some(Phase::Paused) => self.finish(uid, Step::Pause, Outcome::success, now),
                Some(Phase::Running) => self.finish(uid, Step::Resume, Outcome::success, now),
                Some(Phase::Failed | Phase::Terminating) => drop(self.memory().began.remove(uid)),
                Some(Phase::Pending) | None => {}
            }
        }
    }

    fn begin(&self, uid: &str, step: Step, now: Timestamp) {
        self.memory().began.insert(uid.to_owned(), (step, now));
    }

    fn finish(&self, uid: &str, step: Step, result: Outcome, now: Timestamp) {
        let began = self.memory().began.remove(uid).filter(|(begun, _)| *begun == step);
        let Some((_, began)) = began else { return };
        let durations = match step {
            Step::Pause => &self.meters.pause_seconds,
            Step::Resume => &self.meters.resume_seconds,
        };
        durations
            .get_or_create(&ResultLabel { result })
            .observe(now.duration_since(began).as_secs_f64());
    }

    fn count(&self, memory: &Memory) {
        for (phase, name) in PHASES {
            let count = memory.phases.values().filter(|other| **other == phase).count();
            let gauge = self.meters.sandboxes.get_or_create(&PhaseLabel { phase: name });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.meters.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meters {
    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("torpor");
        let seconds = || Unit::Seconds;
        let name = "sandbox_pause_duration";
        registry.register_with_unit(
            name,
            "From the start of a pause to its end",
            seconds(),
            self.pause_seconds.clone(),
        );
        let name = "sandbox_resume_duration";
        registry.register_with_unit(
            name,
            "From the start of a resume to its end",
            seconds(),
            self.resume_seconds.clone(),
        );
        registry.register("sandboxes", "Sandboxes by phase", self.sandboxes.clone());
        let help = "Context in a sealed checkpoint, before compression";
        registry.register_with_unit("checkpoint_size", help, Unit::Bytes, self.checkpoint_bytes.clone());
        registry.register(
            "reconciles",
            "Steps of the controller, and passes that broke off",
            self.reconciles.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_measured_from_its_announcement_to_its_end() {
        let metrics = ControllerMetrics::new();
        let at = |phase| SandboxStatus {
            phase: Some(phase),
            ..SandboxStatus::default()
        };
        let later = Timestamp::from_second(3).expect("a time");
        metrics.transition("uid", &at(Phase::Running), &at(Phase::Pausing), Timestamp::UNIX_EPOCH);
        metrics.transition("uid", &at(Phase::Pausing), &at(Phase::Paused), later);
        metrics.observe_phase("default/one", Some(Phase::Paused));
        let text = metrics.render().expect("text");
        assert!(
            text.contains("torpor_sandbox_pause_duration_seconds_sum{result=\"success\"} 3.0"),
            "{text}"
        );
        assert!(text.contains("torpor_sandboxes{phase=\"Paused\"} 1"), "{text}");
    }
}
