//! `report.html`: one file, no network.

use std::fmt::Write as _;

use super::junit::escape;
use super::{CaseReport, Outcome, Report};
use crate::history::{Entry, Occurrence};

const STYLE: &str = include_str!("report.css");

pub(super) fn render(report: &Report) -> String {
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><title>Conformance of {target}</title><style>{STYLE}</style></head><body>\
         <h1>Conformance of {target}</h1>",
        target = escape(&report.target)
    );
    head(&mut page, report);
    requirements(&mut page, report);
    cases(&mut page, report);
    for case in report.cases.iter().filter(|case| !case.history.entries.is_empty()) {
        timeline(&mut page, case);
    }
    page.push_str("</body></html>\n");
    page
}

fn head(page: &mut String, report: &Report) {
    let summary = &report.summary;
    let _ = write!(
        page,
        "<p class=\"meta\">profile {}, suite {}, {}, {:.1} s</p><p>",
        escape(&report.profile),
        report.suite_version,
        report.ended_at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        report.seconds
    );
    for outcome in Outcome::ALL.into_iter().filter(|outcome| *outcome != Outcome::Untested) {
        let count = summary.count(outcome);
        let _ = write!(page, "<span class=\"badge {0}\">{count} {0}</span> ", outcome.as_str());
    }
    let _ = write!(page, "</p><p><b>{}</b>", report.verdict.as_str());
    if report.partial {
        page.push_str(" in what was selected; other cases were left out");
    }
    page.push_str("</p>");
    for note in report.notes() {
        let _ = write!(page, "<p class=\"reason\">{}</p>", escape(&note));
    }
}

fn badge(outcome: Outcome) -> String {
    format!("<span class=\"badge {0}\">{0}</span>", outcome.as_str())
}

fn requirements(page: &mut String, report: &Report) {
    page.push_str("<h2>Requirements</h2><table><tr><th>id</th><th>result</th><th>requirement</th><th>cases</th></tr>");
    for requirement in &report.requirements {
        let _ = write!(
            page,
            "<tr><td class=\"id\">{}</td><td>{}</td><td>{}</td><td>",
            requirement.id,
            badge(requirement.result),
            escape(&requirement.text)
        );
        let shown = requirement.cases.iter().filter(|case| case.result != Outcome::Pass);
        let passed = requirement
            .cases
            .iter()
            .filter(|case| case.result == Outcome::Pass)
            .count();
        for case in shown {
            let _ = write!(
                page,
                "<a href=\"#{0}\">{0}</a> ({1}) ",
                escape(&case.id),
                case.result.as_str()
            );
        }
        if passed > 0 {
            let _ = write!(page, "{passed} passed");
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn cases(page: &mut String, report: &Report) {
    page.push_str("<h2>Cases</h2><table><tr><th>case</th><th>result</th><th>seconds</th><th>claim</th></tr>");
    for case in &report.cases {
        let _ = write!(
            page,
            "<tr><td class=\"id\" id=\"{0}\">{0}</td><td>{1}</td><td class=\"number\">{2:.2}</td><td>{3}",
            escape(&case.id),
            badge(case.result),
            case.seconds,
            escape(&case.title)
        );
        if let Some(reason) = &case.reason {
            let _ = write!(page, "<div class=\"reason\">{}</div>", escape(reason));
        }
        for left in &case.leftovers {
            let _ = write!(page, "<div class=\"reason\">left behind: {}</div>", escape(left));
        }
        page.push_str("</td></tr>");
    }
    page.push_str("</table>");
}

fn timeline(page: &mut String, case: &CaseReport) {
    let _ = write!(
        page,
        "<h2>What happened in {}</h2><table class=\"timeline\">",
        escape(&case.id)
    );
    let start = case.history.entries.first().map(|entry| entry.at);
    for entry in &case.history.entries {
        let at = start.map_or(0.0, |start| entry.at.duration_since(start).as_secs_f64());
        let (class, text) = describe(entry);
        let _ = write!(
            page,
            "<tr class=\"{class}\"><td class=\"number\">{at:.3}</td><td>{}</td></tr>",
            escape(&text)
        );
    }
    page.push_str("</table>");
    for violation in &case.violations {
        let _ = write!(
            page,
            "<p class=\"reason\">{} at revision {}: {}</p>",
            violation.requirement,
            violation.revision,
            escape(&violation.message)
        );
    }
}

fn describe(entry: &Entry) -> (&'static str, String) {
    match &entry.what {
        Occurrence::StepStarted { path, text } => ("step", format!("step {path}: {text}")),
        Occurrence::StepEnded {
            path,
            fault: Some(fault),
        } => ("fault", format!("step {path} failed: {fault}")),
        Occurrence::StepEnded { path, fault: None } => ("done", format!("step {path} done")),
        Occurrence::Request {
            method,
            path,
            status,
            millis,
        } => ("request", format!("{method} {path} → {status} in {millis} ms")),
        Occurrence::Probe { what, value } => ("probe", format!("{what} = {value}")),
        Occurrence::WatchLost { message } => ("fault", message.clone()),
        Occurrence::Change(change) => {
            let gone = if change.deleted { " deleted" } else { "" };
            let dying = if change.text("/metadata/deletionTimestamp").is_empty() {
                ""
            } else {
                " (being deleted)"
            };
            let text = format!(
                "{:?} {}{gone}{dying} at revision {}: {} {}",
                change.object,
                change.text("/metadata/name"),
                change.revision(),
                change.text("/status/phase"),
                conditions(&change.state)
            );
            ("change", text)
        }
    }
}

fn conditions(state: &serde_json::Value) -> String {
    let conditions = state
        .pointer("/status/conditions")
        .and_then(serde_json::Value::as_array);
    let text = |condition: &serde_json::Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let shown = conditions.into_iter().flatten().map(|condition| {
        format!(
            "{}={}({})",
            text(condition, "type"),
            text(condition, "status"),
            text(condition, "reason")
        )
    });
    shown.collect::<Vec<_>>().join(" ")
}
