//! Labels of the meters, and the values that they take.

use prometheus_client::encoding::EncodeLabelSet;
use torpor_api::Phase;

use crate::decide::Effect;
use crate::span::{Outcome, Span};

/// Every phase.
pub(super) const PHASES: [Phase; 7] = [
    Phase::Pending,
    Phase::Running,
    Phase::Pausing,
    Phase::Paused,
    Phase::Resuming,
    Phase::Failed,
    Phase::Terminating,
];

/// The phase as the API writes it.
pub(super) const fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "Pending",
        Phase::Running => "Running",
        Phase::Pausing => "Pausing",
        Phase::Paused => "Paused",
        Phase::Resuming => "Resuming",
        Phase::Failed => "Failed",
        Phase::Terminating => "Terminating",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct PhaseLabel {
    pub(super) phase: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabel {
    result: &'static str,
}

impl ResultLabel {
    pub(super) const fn new(succeeded: bool) -> Self {
        Self {
            result: if succeeded { "success" } else { "failure" },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct StepLabel {
    step: &'static str,
    result: &'static str,
}

impl StepLabel {
    pub(super) fn new(span: Span, outcome: Outcome) -> Self {
        Self {
            step: span.name(),
            result: ResultLabel::new(outcome == Outcome::Success).result,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct EffectLabel {
    effect: &'static str,
    result: &'static str,
}

impl EffectLabel {
    pub(super) fn new(effect: Effect, succeeded: bool) -> Self {
        Self {
            effect: effect.name(),
            result: ResultLabel::new(succeeded).result,
        }
    }
}
