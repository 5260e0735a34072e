//! `junit.xml`.

use std::fmt::Write as _;

use super::{CaseReport, Outcome, Report};

/// Text that is safe inside XML and HTML, also between double quotes. Control characters,
/// which XML cannot carry, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(letter),
            other if other.is_control() || matches!(other, '\u{fffe}' | '\u{ffff}') => safe.push(' '),
            other => safe.push(other),
        }
    }
    safe
}

pub(super) fn render(report: &Report) -> String {
    let summary = &report.summary;
    let not_passed = |case: &&CaseReport| case.result != Outcome::Pass;
    let provisional = report.provisional.iter().filter(not_passed).count();
    let skipped = summary.not_claimed + summary.skipped + summary.expected_failure + provisional;
    let (stale, unexercised) = (report.stale(), &report.unexercised);
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites><testsuite name=\"torpor conformance: {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
         skipped=\"{skipped}\" time=\"{:.3}\" timestamp=\"{}\">",
        escape(&report.target),
        report.all_cases().count() + stale.len() + unexercised.len(),
        summary.fail + summary.untestable + stale.len(),
        summary.error + unexercised.len(),
        report.seconds,
        report.ended_at
    );
    for case in report.all_cases() {
        add_case(&mut xml, case);
    }
    add_what_else_kept_it_from_success(&mut xml, report);
    xml.push_str("</testsuite></testsuites>\n");
    xml
}

fn add_case(xml: &mut String, case: &CaseReport) {
    let _ = write!(
        xml,
        "  <testcase classname=\"{}\" name=\"{}\" time=\"{:.3}\">",
        escape(&case.requirements.join(" ")),
        escape(&case.id),
        case.seconds
    );
    let reason = escape(case.reason.as_deref().unwrap_or_default());
    let step = case
        .step
        .as_ref()
        .map(|step| format!("at step {step}"))
        .unwrap_or_default();
    add_properties(xml, case);
    let _ = match case.result {
        Outcome::Pass => Ok(()),
        _ if case.is_provisional() => {
            write!(
                xml,
                "<skipped message=\"provisional, {}: {reason}\"/>",
                case.result.as_str()
            )
        }
        Outcome::Fail | Outcome::Untestable => write!(
            xml,
            "<failure message=\"{reason}\" type=\"{}\">{}</failure>",
            case.result.as_str(),
            escape(&step)
        ),
        Outcome::Error => write!(xml, "<error message=\"{reason}\">{}</error>", escape(&step)),
        Outcome::NotClaimed | Outcome::Skipped | Outcome::ExpectedFailure | Outcome::Untested => {
            write!(xml, "<skipped message=\"{}: {reason}\"/>", case.result.as_str())
        }
    };
    xml.push_str("</testcase>\n");
}

fn add_properties(xml: &mut String, case: &CaseReport) {
    let labels = case.labels.iter().map(|label| ("label", label.clone()));
    let from = case.counts_from.map(|from| ("counts-from", from.to_string()));
    let properties: Vec<_> = labels.chain(from).collect();
    if properties.is_empty() {
        return;
    }
    xml.push_str("<properties>");
    for (name, value) in properties {
        let _ = write!(xml, "<property name=\"{name}\" value=\"{}\"/>", escape(&value));
    }
    xml.push_str("</properties>");
}

/// Cases of their own, so that a reader of this file alone sees them, too.
fn add_what_else_kept_it_from_success(xml: &mut String, report: &Report) {
    for (entry, why) in report.stale() {
        let _ = writeln!(
            xml,
            "  <testcase classname=\"expected-failures\" name=\"{}\"><failure type=\"stale\" message=\"{}\"/></testcase>",
            escape(&entry.entry.id),
            why.as_str()
        );
    }
    for claim in &report.unexercised {
        let _ = writeln!(
            xml,
            "  <testcase classname=\"claims\" name=\"{}\"><error message=\"claimed, and no case of it was executed\"/></testcase>",
            claim.as_str()
        );
    }
}
