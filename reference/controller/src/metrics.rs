//! Prometheus metrics: how long pauses, resumes and their steps take, how many sandboxes are where, how
//! large checkpoints are, and how far the controller is behind.
//!
//! The spans of a sandbox run from the status that announces them to the one that completes them or says
//! that they failed (`crate::span`), by the injected clock; one that began before a restart is not measured.
//! What the controller does itself is measured by the monotonic clock.

mod labels;
mod queue;
mod requests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tokio::time::Instant;
use torpor_api::{Phase, SandboxStatus};

use crate::decide::Effect;
use crate::span::{Mark, Outcome, Span, marks};
use labels::{EffectLabel, PHASES, PhaseLabel, ResultLabel, StepLabel, phase_name};
use queue::Queue;
pub(crate) use requests::RequestLabel;

type Durations<L> = Family<L, Histogram, fn() -> Histogram>;

/// The meters of a controller; a cheap handle.
#[derive(Clone, Debug)]
pub struct ControllerMetrics {
    meters: Arc<Meters>,
}

#[derive(Debug)]
struct Meters {
    registry: Registry,
    pause_seconds: Durations<ResultLabel>,
    resume_seconds: Durations<ResultLabel>,
    step_seconds: Durations<StepLabel>,
    effect_seconds: Durations<EffectLabel>,
    queue_seconds: Histogram,
    queue_depth: Gauge,
    sandboxes: Family<PhaseLabel, Gauge>,
    checkpoint_bytes: Histogram,
    reconciles: Family<ResultLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    memory: Mutex<Memory>,
}

#[derive(Debug, Default)]
struct Memory {
    /// Phase of each sandbox, by namespace and name.
    phases: HashMap<String, Phase>,
    /// When the spans under way began, by UID.
    began: HashMap<String, BTreeMap<Span, Timestamp>>,
    queue: Queue,
}

impl ControllerMetrics {
    pub(crate) fn new() -> Self {
        // From 1 ms and 10 ms to about two and a half minutes.
        let own = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let durations: fn() -> Histogram = || Histogram::new(exponential_buckets(0.01, 2.0, 15));
        let effects: fn() -> Histogram = || Histogram::new(exponential_buckets(0.001, 2.0, 18));
        let mut meters = Meters {
            registry: Registry::default(),
            pause_seconds: Family::new_with_constructor(durations),
            resume_seconds: Family::new_with_constructor(durations),
            step_seconds: Family::new_with_constructor(durations),
            effect_seconds: Family::new_with_constructor(effects),
            queue_seconds: own(),
            queue_depth: Gauge::default(),
            sandboxes: Family::default(),
            checkpoint_bytes: Histogram::new(exponential_buckets(1024.0, 4.0, 12)),
            reconciles: Family::default(),
            requests: Family::default(),
            memory: Mutex::default(),
        };
        meters.register();
        for phase in PHASES {
            meters.phase(phase).set(0);
        }
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

    /// A watch reported something of the sandbox `key`.
    pub(crate) fn enqueued(&self, key: String) {
        let mut memory = self.memory();
        memory.queue.enter(key, Instant::now());
        self.meters.show_depth(&memory);
    }

    /// The sandbox `key` is looked at.
    pub(crate) fn dequeued(&self, key: &str) {
        let mut memory = self.memory();
        if let Some(since) = memory.queue.leave(key) {
            self.meters.queue_seconds.observe(since.elapsed().as_secs_f64());
        }
        self.meters.show_depth(&memory);
    }

    /// The sandbox `key` is in this phase.
    pub(crate) fn observe_phase(&self, key: &str, phase: Option<Phase>) {
        let mut memory = self.memory();
        let before = match phase {
            Some(phase) => memory.phases.insert(key.to_owned(), phase),
            None => memory.phases.remove(key),
        };
        if before != phase {
            before.map(|before| self.meters.phase(before).dec());
            phase.map(|phase| self.meters.phase(phase).inc());
        }
    }

    /// The sandbox `key` of this UID is gone.
    pub(crate) fn forget(&self, key: &str, uid: &str) {
        self.observe_phase(key, None);
        let mut memory = self.memory();
        memory.queue.leave(key);
        memory.began.remove(uid);
        self.meters.show_depth(&memory);
    }

    pub(crate) fn reconciled(&self, succeeded: bool) {
        let result = ResultLabel::new(succeeded);
        self.meters.reconciles.get_or_create(&result).inc();
    }

    /// A request to the API server is over.
    pub(crate) fn requested(&self, request: &RequestLabel) {
        self.meters.requests.get_or_create(request).inc();
    }

    pub(crate) fn effect(&self, effect: Effect, succeeded: bool, began: Instant) {
        let label = EffectLabel::new(effect, succeeded);
        let durations = self.meters.effect_seconds.get_or_create(&label);
        durations.observe(began.elapsed().as_secs_f64());
    }

    /// Measures the change from one status to the next.
    pub(crate) fn transition(&self, uid: &str, before: &SandboxStatus, after: &SandboxStatus, now: Timestamp) {
        if let Some(record) = after.checkpoint.as_ref().filter(|_| before.checkpoint.is_none()) {
            #[expect(clippy::cast_precision_loss, reason = "a histogram needs no more than 53 bits")]
            self.meters.checkpoint_bytes.observe(record.size_bytes as f64);
        }
        let mut memory = self.memory();
        let began = memory.began.entry(uid.to_owned()).or_default();
        for mark in marks(before, after) {
            match mark {
                Mark::Begin(span) => drop(began.insert(span, now)),
                Mark::End(span, outcome) => {
                    if let Some(at) = began.remove(&span) {
                        self.meters.measure(span, outcome, at, now);
                    }
                }
                Mark::FailAll => {
                    for (span, at) in std::mem::take(began) {
                        self.meters.measure(span, Outcome::Failure, at, now);
                    }
                }
                Mark::Forget => began.clear(),
            }
        }
        if began.is_empty() {
            memory.began.remove(uid);
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.meters.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Meters {
    fn phase(&self, phase: Phase) -> Gauge {
        let label = PhaseLabel {
            phase: phase_name(phase),
        };
        self.sandboxes.get_or_create(&label).clone()
    }

    fn show_depth(&self, memory: &Memory) {
        self.queue_depth
            .set(i64::try_from(memory.queue.len()).unwrap_or(i64::MAX));
    }

    fn measure(&self, span: Span, outcome: Outcome, began: Timestamp, now: Timestamp) {
        let seconds = now.duration_since(began).as_secs_f64();
        let result = ResultLabel::new(outcome == Outcome::Success);
        match span {
            Span::Pause => self.pause_seconds.get_or_create(&result).observe(seconds),
            Span::Resume => self.resume_seconds.get_or_create(&result).observe(seconds),
            Span::Checkpoint | Span::Release | Span::Start => {}
        }
        self.step_seconds
            .get_or_create(&StepLabel::new(span, outcome))
            .observe(seconds);
    }

    fn register(&mut self) {
        let registry = self.registry.sub_registry_with_prefix("torpor");
        let durations = [
            (
                "sandbox_pause_duration",
                "From the start of a pause to its end",
                &self.pause_seconds,
            ),
            (
                "sandbox_resume_duration",
                "From the start of a resume to its end",
                &self.resume_seconds,
            ),
        ];
        for (name, help, family) in durations {
            registry.register_with_unit(name, help, Unit::Seconds, family.clone());
        }
        let help = "Parts of a pause, resumes and first starts, from the status that announces them";
        registry.register_with_unit("sandbox_step_duration", help, Unit::Seconds, self.step_seconds.clone());
        let help = "Calls that the controller makes to carry out a decision";
        registry.register_with_unit("effect_duration", help, Unit::Seconds, self.effect_seconds.clone());
        let help = "From the report of a watch until the sandbox is looked at";
        registry.register_with_unit(
            "reconcile_queue_duration",
            help,
            Unit::Seconds,
            self.queue_seconds.clone(),
        );
        let help = "Sandboxes that a watch reported and that are not looked at yet";
        registry.register("reconcile_queue_depth", help, self.queue_depth.clone());
        registry.register("sandboxes", "Sandboxes by phase", self.sandboxes.clone());
        let help = "Context in a sealed checkpoint, before compression";
        registry.register_with_unit("checkpoint_size", help, Unit::Bytes, self.checkpoint_bytes.clone());
        let help = "Passes over a sandbox, and how many of them broke off";
        registry.register("reconciles", help, self.reconciles.clone());
        let help = "Requests to the API server, by what was asked and the status code of the answer";
        registry.register("api_requests", help, self.requests.clone());
    }
}

#[cfg(test)]
mod tests {
    use torpor_api::CheckpointRecord;

    use super::*;

    fn at(phase: Phase) -> SandboxStatus {
        SandboxStatus {
            phase: Some(phase),
            ..SandboxStatus::default()
        }
    }

    fn text_has(metrics: &ControllerMetrics, lines: &[&str]) {
        let text = metrics.render().expect("text");
        for line in lines {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }

    #[test]
    fn a_pause_and_its_parts_are_measured_from_announcement_to_completion() {
        let metrics = ControllerMetrics::new();
        let record = CheckpointRecord {
            generation: 1,
            digest: String::new(),
            size_bytes: 2048,
            stored_bytes: 1,
            engine: "sim".to_owned(),
        };
        let mut sealed = at(Phase::Pausing);
        sealed.checkpoint = Some(record);
        let paused = SandboxStatus {
            phase: Some(Phase::Paused),
            ..sealed.clone()
        };
        let second = |number| Timestamp::from_second(number).expect("a time");
        metrics.transition("uid", &at(Phase::Running), &at(Phase::Pausing), second(0));
        metrics.transition("uid", &at(Phase::Pausing), &sealed, second(2));
        metrics.transition("uid", &sealed, &paused, second(3));
        text_has(
            &metrics,
            &[
                "torpor_sandbox_pause_duration_seconds_sum{result=\"success\"} 3.0",
                "torpor_sandbox_step_duration_seconds_sum{step=\"checkpoint\",result=\"success\"} 2.0",
                "torpor_sandbox_step_duration_seconds_sum{step=\"release\",result=\"success\"} 1.0",
                "torpor_checkpoint_size_bytes_sum 2048.0",
            ],
        );
    }

    #[test]
    fn a_run_that_is_lost_during_a_pause_is_a_failed_pause() {
        let metrics = ControllerMetrics::new();
        metrics.transition("uid", &at(Phase::Running), &at(Phase::Pausing), Timestamp::UNIX_EPOCH);
        metrics.transition("uid", &at(Phase::Pausing), &at(Phase::Failed), Timestamp::UNIX_EPOCH);
        text_has(
            &metrics,
            &["torpor_sandbox_pause_duration_seconds_count{result=\"failure\"} 1"],
        );
    }

    #[test]
    fn sandboxes_are_counted_in_the_phase_where_they_are_now() {
        let metrics = ControllerMetrics::new();
        metrics.observe_phase("default/one", Some(Phase::Running));
        metrics.observe_phase("default/two", Some(Phase::Paused));
        metrics.observe_phase("default/one", Some(Phase::Paused));
        metrics.observe_phase("default/one", Some(Phase::Paused));
        metrics.forget("default/two", "uid-2");
        text_has(
            &metrics,
            &[
                "torpor_sandboxes{phase=\"Paused\"} 1",
                "torpor_sandboxes{phase=\"Running\"} 0",
            ],
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_queue_is_measured_from_the_first_report_to_the_look() {
        let metrics = ControllerMetrics::new();
        metrics.enqueued("default/one".to_owned());
        tokio::time::advance(std::time::Duration::from_secs(2)).await;
        metrics.enqueued("default/one".to_owned());
        text_has(&metrics, &["torpor_reconcile_queue_depth 1"]);
        metrics.dequeued("default/one");
        text_has(
            &metrics,
            &[
                "torpor_reconcile_queue_depth 0",
                "torpor_reconcile_queue_duration_seconds_sum 2.0",
            ],
        );
    }
}
