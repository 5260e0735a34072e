//! A run as plain lines, for logs.

use std::fmt::Write as _;

use super::{CaseReport, Outcome, RunEvent};

/// The event as one or more lines; nothing for those that matter only to a live display.
#[must_use]
pub fn render_line(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Started { target, cases } => Some(format!("{cases} cases against {target}")),
        RunEvent::CaseStarted { .. } => None,
        RunEvent::CaseEnded { case } => Some(ended(case)),
        RunEvent::Ended { summary, .. } => Some(format!(
            "{} passed, {} failed, {} errors, {} unsupported, {} skipped",
            summary.pass, summary.fail, summary.error, summary.unsupported, summary.skipped
        )),
    }
}

fn ended(case: &CaseReport) -> String {
    let mut line = format!("{:<11} {:>6.2}s  {}", case.result.as_str(), case.seconds, case.id);
    if matches!(case.result, Outcome::Fail | Outcome::Error | Outcome::Unsupported) {
        let step = case
            .step
            .as_ref()
            .map(|step| format!("step {step}: "))
            .unwrap_or_default();
        let _ = write!(
            line,
            "\n            {step}{}",
            case.reason.as_deref().unwrap_or("no reason given")
        );
    }
    for violation in case.violations.iter().skip(1) {
        let _ = write!(line, "\n            {}: {}", violation.requirement, violation.message);
    }
    for left in &case.leftovers {
        let _ = write!(line, "\n            left behind: {left}");
    }
    line
}
