//! A report for a terminal: requirement by requirement, and what it amounts to.

use std::fmt::Write as _;

use super::{Difference, Outcome, Report, Summary, for_terminal};

/// How far what belongs to a line is indented.
const INDENT: usize = 13;

/// Requirement by requirement and the verdict, as lines. Those of which no case was selected are only counted.
pub(super) fn render(report: &Report) -> String {
    let mut text = String::from("requirements\n");
    for requirement in &report.requirements {
        let cases = requirement.cases.len();
        if report.partial && cases == 0 {
            continue;
        }
        let _ = writeln!(
            text,
            "{:<16} {:<8} {} ({cases} {})",
            requirement.result.as_str(),
            for_terminal(&requirement.id, 0),
            for_terminal(&requirement.text, INDENT),
            if cases == 1 { "case" } else { "cases" }
        );
    }
    provisional(&mut text, report);
    let results = report.requirements.iter().map(|requirement| requirement.result);
    let kept = Summary::of(results.clone());
    let untested = results.filter(|result| *result == Outcome::Untested).count();
    let counts = [
        (kept.pass, "kept"),
        (kept.fail, "broken"),
        (kept.expected_failure, "broken as expected"),
        (kept.error, "errors"),
        (kept.untestable, "untestable"),
        (kept.skipped, "skipped"),
        (kept.not_claimed, "not claimed"),
        (untested, if report.partial { "not selected" } else { "untested" }),
    ];
    // That nothing is broken is worth saying; that nothing is skipped is not.
    let shown = counts
        .iter()
        .enumerate()
        .filter(|(place, (count, _))| *place < 2 || *count > 0);
    let shown: Vec<String> = shown.map(|(_, (count, word))| format!("{count} {word}")).collect();
    let _ = writeln!(
        text,
        "\n{}{}: of {} requirements {}, in {:.1} s",
        report.verdict().as_str(),
        if report.partial { " in what was selected" } else { "" },
        report.requirements.len(),
        shown.join(", "),
        report.seconds
    );
    for note in report.notes() {
        let _ = writeln!(text, "note: {}", for_terminal(&note, INDENT));
    }
    text
}

fn provisional(text: &mut String, report: &Report) {
    if !report.provisional.is_empty() {
        text.push_str("\nprovisional cases, which count for nothing yet\n");
    }
    for case in &report.provisional {
        let from = case
            .counts_from
            .map(|from| format!(" (counts from {from})"))
            .unwrap_or_default();
        let id = for_terminal(&case.id, INDENT);
        let _ = writeln!(text, "{:<16} {id}{from}", case.result.as_str());
    }
}

impl Difference {
    /// For a terminal.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for note in &self.notes {
            let _ = writeln!(text, "note: {}", for_terminal(note, INDENT));
        }
        for (title, changes) in [("requirements", &self.requirements), ("cases", &self.cases)] {
            if !changes.is_empty() {
                let _ = writeln!(text, "{title}");
            }
            for change in changes {
                let name = |outcome: Option<Outcome>| outcome.map_or("–", Outcome::as_str);
                let _ = writeln!(
                    text,
                    "{:<12} {:<16} → {:<16} {}",
                    change.kind.as_str(),
                    name(change.from),
                    name(change.to),
                    for_terminal(&change.id, INDENT)
                );
                if let (Some(reason), true) = (&change.reason, change.to != Some(Outcome::Pass)) {
                    let _ = writeln!(text, "{:INDENT$}{}", "", for_terminal(reason, INDENT));
                }
            }
        }
        let (from, to) = self.verdict;
        let verdict = if from == to {
            format!("still {}", to.as_str())
        } else {
            format!("was {}, is {}", from.as_str(), to.as_str())
        };
        let count = |kind| {
            let changes = self.requirements.iter().chain(&self.cases);
            changes.filter(|change| change.kind == kind).count()
        };
        let _ = writeln!(
            text,
            "{verdict}: {} regressions, {} improvements, {} added, {} removed",
            count(super::ChangeKind::Regression),
            count(super::ChangeKind::Improvement),
            count(super::ChangeKind::Added),
            count(super::ChangeKind::Removed)
        );
        text
    }
}
