//! Badges: the data that shields.io draws one from, and a drawing of our own.

use serde_json::json;

use super::junit::escape;
use super::{Outcome, Report, Verdict};

const LABEL: &str = "sandbox pause/resume";

/// The endpoint format of shields.io.
pub(super) fn data(report: &Report) -> String {
    let (message, color, _) = says(report);
    let badge = json!({"schemaVersion": 1, "label": LABEL, "message": message, "color": color});
    format!("{badge:#}\n")
}

pub(super) fn drawing(report: &Report) -> String {
    let (message, _, color) = says(report);
    // About six and a half units a letter at this size; text is stretched to the length that it is given.
    let width = |text: &str| 65 * text.chars().count() / 10 + 12;
    let (left, right) = (width(LABEL), width(&message));
    let text = |text: &str, x: usize, room: usize| {
        format!(
            "<text x=\"{}\" y=\"14\" textLength=\"{}\">{}</text>",
            x + room / 2,
            room - 12,
            escape(text)
        )
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{whole}\" height=\"20\" role=\"img\" aria-label=\"{label}: {said}\">\
         <title>{label}: {said}</title><clipPath id=\"r\"><rect width=\"{whole}\" height=\"20\" rx=\"3\"/></clipPath>\
         <g clip-path=\"url(#r)\"><rect width=\"{left}\" height=\"20\" fill=\"#555\"/>\
         <rect x=\"{left}\" width=\"{right}\" height=\"20\" fill=\"{color}\"/></g>\
         <g fill=\"#fff\" text-anchor=\"middle\" font-family=\"Verdana,Geneva,sans-serif\" font-size=\"11\">{one}{two}</g></svg>\n",
        whole = left + right,
        label = escape(LABEL),
        said = escape(&message),
        one = text(LABEL, 0, left),
        two = text(&message, left, right),
    )
}

/// What the badge says, the colour by its name at shields.io, and the same as a number.
fn says(report: &Report) -> (String, &'static str, &'static str) {
    let held = |outcome| {
        let all = report.requirements.iter();
        all.filter(|requirement| requirement.result == outcome).count()
    };
    let (kept, broken) = (held(Outcome::Pass), held(Outcome::Fail));
    let profile = &report.profile;
    if report.partial {
        return (format!("{profile}: partial run"), "lightgrey", "#9f9f9f");
    }
    match report.verdict {
        Verdict::Conformant => (format!("{profile}: {kept} kept"), "brightgreen", "#2e8b57"),
        Verdict::AsExpected => (
            format!(
                "{profile}: {kept} kept, {} known failures",
                report.summary.expected_failure
            ),
            "yellow",
            "#a07d10",
        ),
        Verdict::NotConformant => (format!("{profile}: {broken} broken, {kept} kept"), "red", "#c4273a"),
        Verdict::HarnessError | Verdict::Usage => (format!("{profile}: undecided"), "orange", "#b35309"),
    }
}
