//! A run as plain lines, for logs.

use std::fmt::Write as _;

use super::{CaseReport, Outcome, RunEvent, Summary};

/// The event as one or more lines; nothing for those that matter only to a live display.
#[must_use]
pub fn render_line(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Started { target, cases } => Some(format!("{cases} cases against {target}")),
        RunEvent::CaseStarted { .. } => None,
        RunEvent::CaseEnded { case } => Some(ended(case)),
        RunEvent::Ended { summary, .. } => Some(format!(
            "{} passed, {} failed, {} errors, {} untestable, {} expected failures, {} skipped, {} not claimed",
            summary.pass,
            summary.fail,
            summary.error,
            summary.untestable,
            summary.expected_failure,
            summary.skipped,
            summary.not_claimed
        )),
    }
}

fn ended(case: &CaseReport) -> String {
    let mut line = format!("{:<16} {:>6.2}s  {}", case.result.as_str(), case.seconds, case.id);
    if let Some(from) = case.counts_from {
        let _ = write!(line, " (provisional, counts from {from})");
    }
    if case.is_flaky() {
        let summary = Summary::of(case.rounds.iter().copied());
        let outcomes = Outcome::ALL.into_iter().filter(|outcome| summary.count(*outcome) > 0);
        let shown: Vec<_> = outcomes
            .map(|outcome| format!("{} {}", summary.count(outcome), outcome.as_str()))
            .collect();
        let _ = write!(line, "\n                      flaky: {}", shown.join(", "));
    }
    if case.result != Outcome::Pass {
        let step = case
            .step
            .as_ref()
            .map(|step| format!("step {step}: "))
            .unwrap_or_default();
        let _ = write!(
            line,
            "\n                 {step}{}",
            case.reason.as_deref().unwrap_or("no reason given")
        );
    }
    for violation in case.violations.iter().skip(1) {
        let _ = write!(
            line,
            "\n                 {}: {}",
            violation.requirement, violation.message
        );
    }
    for left in &case.leftovers {
        let _ = write!(line, "\n                 left behind: {left}");
    }
    line
}
