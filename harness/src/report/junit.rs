//! `junit.xml`.

use std::fmt::Write as _;

use super::{Outcome, Report};

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
    let skipped = summary.unsupported + summary.skipped;
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        xml,
        "<testsuites><testsuite name=\"torpor conformance: {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" \
         skipped=\"{skipped}\" time=\"{:.3}\" timestamp=\"{}\">",
        escape(&report.target),
        report.cases.len(),
        summary.fail,
        summary.error,
        report.seconds,
        report.ended_at
    );
    for case in &report.cases {
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
        let _ = match case.result {
            Outcome::Pass => Ok(()),
            Outcome::Fail => write!(xml, "<failure message=\"{reason}\">{}</failure>", escape(&step)),
            Outcome::Error => write!(xml, "<error message=\"{reason}\">{}</error>", escape(&step)),
            Outcome::Unsupported | Outcome::Skipped | Outcome::Untested => {
                write!(xml, "<skipped message=\"{reason}\"/>")
            }
        };
        xml.push_str("</testcase>\n");
    }
    xml.push_str("</testsuite></testsuites>\n");
    xml
}
