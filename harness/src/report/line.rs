//! A run as plain lines, for logs.

use std::fmt::Write as _;

use super::{CaseReport, Outcome, RunEvent, Summary, for_terminal};

/// How far what belongs to a case is indented.
const INDENT: usize = 17;

/// The event as one or more lines; nothing for those that matter only to a live display.
#[must_use]
pub fn render_line(event: &RunEvent) -> Option<String> {
    match event {
        RunEvent::Started { target, cases } => Some(format!("{cases} cases against {}", for_terminal(target, INDENT))),
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
        let reason = case.reason.as_deref().unwrap_or("no reason given");
        add(&mut line, &format!("{step}{reason}"));
    }
    for violation in case.violations.iter().skip(1) {
        add(&mut line, &format!("{}: {}", violation.requirement, violation.message));
    }
    for left in &case.leftovers {
        add(&mut line, &format!("left behind: {left}"));
    }
    line
}

/// Adds what the target may have had a hand in.
fn add(line: &mut String, said: &str) {
    let _ = write!(line, "\n{:INDENT$}{}", "", for_terminal(said, INDENT));
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalogue::Catalogue;
    use crate::scenario::{Front, Scenario};
    use crate::suite::Case;

    #[test]
    fn what_a_target_answers_is_shown_and_moves_neither_cursor_nor_runner() {
        let text = "id: a\ntitle: A claim\nrequirements: [TIME-01]\nvia: [e2b]\nsteps:\n  - create: {}\n";
        let case = Case {
            id: "a".to_owned(),
            scenario: Arc::new(Scenario::parse("a.yaml", text, &Catalogue::load().unwrap()).unwrap()),
            front: Front::E2b,
        };
        let mut report = CaseReport::not_run(&case, Outcome::Error, "a\u{1b}[2J\n::error::b".to_owned());
        report.leftovers = vec!["c\n::stop-commands::d".to_owned()];
        let line = render_line(&RunEvent::CaseEnded { case: Box::new(report) }).unwrap();
        assert!(line.contains("a\\u{1b}[2J\n                 | ::error::b"), "{line}");
        assert!(!line.contains('\u{1b}'), "{line}");
        assert!(!line.lines().any(|line| line.trim_start().starts_with("::")), "{line}");
    }
}
