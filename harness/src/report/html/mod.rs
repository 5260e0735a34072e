//! `report.html`: one file that needs no network, no script and no other file.
//!
//! ```text
//! what it amounts to ─▶ requirement by requirement ─▶ each case that is no pass, with what
//! happened in it ─▶ all cases ─▶ how it was run
//! ```
//!
//! A little script adds a filter; everything is there and readable without it. Only what
//! browsers of 2020 understand is used.

mod case;
mod change;
mod event;
mod facts;
mod lane;
mod log;
mod requirement;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Outcome, Report, Verdict};

const STYLE: &str = include_str!("report.css");
const SCRIPT: &str = include_str!("report.js");

pub(super) fn render(report: &Report) -> String {
    let title = format!("{}: {}", report.target, report.verdict.as_str());
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "Conformance of " (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report))
                main {
                    (requirement::section(report))
                    (case::not_passed(report))
                    (case::provisional(report))
                    (case::table(report))
                    (facts::section(report))
                }
                footer {
                    "Made by torpor " (report.suite_version) ". "
                    code { "torpor report verify report.json" }
                    " checks what this page was made from."
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn head(report: &Report) -> Markup {
    html! {
        header class=(mood(report.verdict)) {
            p.over { "Conformance of pausing and resuming" }
            h1 { (report.target) }
            p.verdict { (report.verdict.as_str()) @if report.partial { " in what was selected" } }
            p.meta {
                "profile " b { (report.profile) } " · suite " (report.suite_version) " · "
                (report.ended_at.strftime("%Y-%m-%d %H:%M UTC")) " · " (duration(report.seconds))
                @if let Some(cluster) = &report.provenance.environment.cluster { " · Kubernetes " (cluster.version) }
            }
            (bar(report))
            @for note in report.notes() { p.note { (note) } }
            @if report.partial {
                p.note { "Other cases were left out: this says nothing of them, and is no report of conformance." }
            }
        }
    }
}

/// The cases as one bar, and what its colours mean.
fn bar(report: &Report) -> Markup {
    let counts = || {
        let all = Outcome::ALL.into_iter().rev();
        all.map(|outcome| (outcome, report.summary.count(outcome)))
            .filter(|(_, count)| *count > 0)
    };
    html! {
        div.bar aria-hidden="true" {
            @for (outcome, count) in counts() {
                span class=(outcome.as_str()) style={ "flex-grow:" (count) } title={ (count) " " (outcome.as_str()) } {}
            }
        }
        ul.counts {
            @for (outcome, count) in counts() {
                li { span class={ "dot " (outcome.as_str()) } {} b { (count) } " " (words(outcome, count)) }
            }
        }
    }
}

fn mood(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Conformant => "good",
        Verdict::AsExpected | Verdict::HarnessError | Verdict::Usage => "unsure",
        Verdict::NotConformant => "bad",
    }
}

fn words(outcome: Outcome, count: usize) -> &'static str {
    match (outcome, count) {
        (Outcome::Untested, _) => "untested",
        (Outcome::NotClaimed, _) => "not claimed",
        (Outcome::Pass, _) => "passed",
        (Outcome::Skipped, _) => "skipped",
        (Outcome::ExpectedFailure, 1) => "expected failure",
        (Outcome::ExpectedFailure, _) => "expected failures",
        (Outcome::Untestable, _) => "untestable",
        (Outcome::Error, 1) => "error",
        (Outcome::Error, _) => "errors",
        (Outcome::Fail, _) => "failed",
    }
}

fn badge(outcome: Outcome) -> Markup {
    html! { span class={ "badge " (outcome.as_str()) } { (words(outcome, 1)) } }
}

/// A time that people can read at a glance.
fn duration(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1000.0)
    } else if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        let seconds = seconds.round();
        format!("{:.0} min {:.0} s", (seconds / 60.0).floor(), seconds % 60.0)
    }
}

/// A place on the page, from an id that may hold letters which a link may not.
fn anchor(id: &str) -> String {
    let plain = |letter: char| {
        if letter.is_ascii_alphanumeric() { letter } else { '-' }
    };
    id.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_the_unit_that_fits() {
        let written = [0.0, 0.25, 3.26, 119.0, 179.6, 61.0 * 3.0].map(duration);
        assert_eq!(
            written,
            ["0 ms", "250 ms", "3.3 s", "119.0 s", "3 min 0 s", "3 min 3 s"]
        );
    }

    #[test]
    fn the_page_asks_nothing_of_any_network() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("http") && !text.contains("url(") && !text.contains("@import"));
        }
    }
}
