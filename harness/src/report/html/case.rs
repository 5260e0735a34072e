//! Each case that is no pass, with why and what happened; and all cases in a table.

use maud::{Markup, html};

use super::{anchor, badge, duration, event, lane, log};
use crate::report::{CaseReport, Outcome, Report};

pub(super) fn not_passed(report: &Report) -> Markup {
    let of = |wanted: &[Outcome]| -> Vec<&CaseReport> {
        report
            .cases
            .iter()
            .filter(|case| wanted.contains(&case.result))
            .collect()
    };
    let broken = of(&[Outcome::Fail, Outcome::Error, Outcome::Untestable]);
    let expected = of(&[Outcome::ExpectedFailure]);
    html! {
        @if !broken.is_empty() {
            section #broken {
                h2 { "What did not pass" }
                @for case in broken { (card(case, true)) }
            }
        }
        @if !expected.is_empty() {
            section #expected {
                h2 { "Failures that were expected" }
                @for case in expected { (card(case, false)) }
            }
        }
    }
}

/// What counts for nothing yet, apart from what does.
pub(super) fn provisional(report: &Report) -> Markup {
    html! {
        @if !report.provisional.is_empty() {
            section #provisional {
                h2 { "Provisional cases, of no weight yet" }
                @for case in &report.provisional { (card(case, false)) }
            }
        }
    }
}

fn card(case: &CaseReport, open: bool) -> Markup {
    html! {
        article #(anchor(&case.id)) class={ "case " (case.result.as_str()) } {
            h3 { (badge(case.result)) " " (case.title) }
            p.meta {
                span.id { (case.id) } " · "
                @for requirement in &case.requirements { a href={ "#" (anchor(requirement)) } { (requirement) } " " }
                "· " (duration(case.seconds))
                @for label in &case.labels { " · " (label) }
                @if let Some(from) = case.counts_from { " · counts from " (from) }
            }
            (why(case))
            @if !case.history.entries.is_empty() {
                (lane::drawing(case))
                (log::section(case))
                details open[open && case.history.entries.len() < 40] {
                    summary { "Everything that was done and seen" }
                    (event::table(case))
                }
            }
        }
    }
}

fn why(case: &CaseReport) -> Markup {
    html! {
        @if let Some(reason) = &case.reason {
            p.reason {
                @if let Some(step) = &case.step { b { "step " (step) ": " } }
                (reason)
            }
        }
        @if !case.violations.is_empty() {
            ul.violations {
                @for violation in &case.violations {
                    li {
                        a href={ "#" (anchor(&violation.requirement)) } { (violation.requirement) }
                        " at revision " (violation.revision) ": " (violation.message)
                    }
                }
            }
        }
        @for left in &case.leftovers { p.reason { "left behind: " (left) } }
        @if case.is_flaky() {
            p.note { "Its rounds came to: " (case.rounds.iter().map(|round| round.as_str()).collect::<Vec<_>>().join(", ")) }
        }
    }
}

pub(super) fn table(report: &Report) -> Markup {
    let longest = report.cases.iter().map(|case| case.seconds).fold(0.0, f64::max);
    html! {
        section #cases {
            h2 { "All " (report.cases.len()) " cases" }
            table.cases {
                thead { tr { th { "case" } th { "result" } th { "claim" } th.number { "time" } } }
                tbody { @for case in &report.cases { (line(case, longest)) } }
            }
        }
    }
}

fn line(case: &CaseReport, longest: f64) -> Markup {
    let shown_above = matches!(
        case.result,
        Outcome::Fail | Outcome::Error | Outcome::Untestable | Outcome::ExpectedFailure
    );
    let share = if longest > 0.0 {
        case.seconds / longest * 100.0
    } else {
        0.0
    };
    html! {
        tr data-result=(case.result.as_str()) {
            @if shown_above {
                td.id { a href={ "#" (anchor(&case.id)) } { (case.id) } }
            } @else {
                td.id #(anchor(&case.id)) { (case.id) }
            }
            td { (badge(case.result)) }
            td {
                (case.title)
                @if let Some(reason) = &case.reason { div.quiet { (reason) } }
                @if !shown_above { @for left in &case.leftovers { div.reason { "left behind: " (left) } } }
            }
            td.number {
                (duration(case.seconds))
                div.length style={ "width:" (format!("{share:.1}")) "%" } {}
            }
        }
    }
}
