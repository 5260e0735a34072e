//! `summary.md`: a report for the summary page of a CI run.

use std::fmt::Write as _;

use super::junit::escape;
use super::{CaseReport, Outcome, Report, Verdict};

pub(super) fn render(report: &Report) -> String {
    let mark = match report.verdict {
        Verdict::Conformant => "✅",
        Verdict::AsExpected | Verdict::HarnessError | Verdict::Usage => "⚠️",
        Verdict::NotConformant => "❌",
    };
    let selected = if report.partial { " in what was selected" } else { "" };
    let mut page = format!(
        "## {mark} {}: {}{selected}\n\nProfile {}, suite {}, {}, {:.1} s.\n\n",
        plain(&report.target),
        report.verdict.as_str(),
        plain(&report.profile),
        report.suite_version,
        report.ended_at.strftime("%Y-%m-%d %H:%M UTC"),
        report.seconds
    );
    counts(&mut page, report);
    for note in report.notes() {
        let _ = writeln!(page, "> {}\n", plain(&note));
    }
    not_passed(&mut page, report);
    provisional(&mut page, report);
    requirements(&mut page, report);
    page
}

/// Both cases and requirements by what they came to; kinds that there are none of are left out.
fn counts(page: &mut String, report: &Report) {
    let requirements = |outcome: Outcome| {
        let all = report.requirements.iter();
        all.filter(|requirement| requirement.result == outcome).count()
    };
    let kinds: Vec<Outcome> = Outcome::ALL
        .into_iter()
        .filter(|outcome| requirements(*outcome) + report.summary.count(*outcome) > 0)
        .collect();
    page.push_str("| |");
    for kind in &kinds {
        let _ = write!(page, " {} |", report.word_for(*kind));
    }
    let _ = write!(page, "\n|---|{}\n| requirements |", "---:|".repeat(kinds.len()));
    for kind in &kinds {
        let _ = write!(page, " {} |", requirements(*kind));
    }
    page.push_str("\n| cases |");
    for kind in &kinds {
        let _ = write!(page, " {} |", report.summary.count(*kind));
    }
    page.push_str("\n\n");
}

fn not_passed(page: &mut String, report: &Report) {
    let shown = |case: &&CaseReport| {
        matches!(
            case.result,
            Outcome::Fail | Outcome::Error | Outcome::Untestable | Outcome::ExpectedFailure | Outcome::Skipped
        )
    };
    let cases: Vec<&CaseReport> = report.cases.iter().filter(shown).collect();
    if cases.is_empty() {
        return;
    }
    page.push_str("### What did not pass\n\n");
    for case in cases {
        add_case(page, case);
    }
    page.push('\n');
}

fn add_case(page: &mut String, case: &CaseReport) {
    let step = case
        .step
        .as_ref()
        .map(|step| format!("step {step}: "))
        .unwrap_or_default();
    let _ = writeln!(
        page,
        "- **{}** `{}` ({}): {}  \n  {step}{}",
        case.result.as_str(),
        case.id,
        case.requirements.join(", "),
        plain(&case.title),
        plain(case.reason.as_deref().unwrap_or("no reason given"))
    );
    for violation in &case.violations {
        let _ = writeln!(page, "  - {}: {}", violation.requirement, plain(&violation.message));
    }
    for left in &case.leftovers {
        let _ = writeln!(page, "  - left behind: {}", plain(left));
    }
}

/// Cases that count for nothing yet, each with what it came to: who reads this knows what the next revision will say.
fn provisional(page: &mut String, report: &Report) {
    if report.provisional.is_empty() {
        return;
    }
    page.push_str("### Provisional, of no weight yet\n\n");
    for case in &report.provisional {
        if case.result == Outcome::Pass {
            let _ = writeln!(page, "- **pass** `{}`: {}", case.id, plain(&case.title));
        } else {
            add_case(page, case);
        }
        if let Some(from) = case.counts_from {
            let _ = writeln!(page, "  - counts from {from}");
        }
    }
    page.push('\n');
}

fn requirements(page: &mut String, report: &Report) {
    page.push_str("<details><summary>All requirements</summary>\n\n| id | result | requirement |\n|---|---|---|\n");
    for requirement in &report.requirements {
        let _ = writeln!(
            page,
            "| {} | {} | {} |",
            requirement.id,
            report.word_for(requirement.result),
            plain(&requirement.text)
        );
    }
    page.push_str("\n</details>\n");
}

/// Text of which nothing is taken for Markdown or HTML, in one line.
fn plain(text: &str) -> String {
    let mut safe = String::new();
    for letter in escape(text).chars() {
        match letter {
            '\n' | '\t' => safe.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
                safe.push('\\');
                safe.push(letter);
            }
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_target_says_is_taken_for_markup() {
        assert_eq!(
            plain("a|b\n*c* <script> `d` [e](f)"),
            "a\\|b \\*c\\* &lt;script&gt; \\`d\\` \\[e\\](f)"
        );
    }
}
