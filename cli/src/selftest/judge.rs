//! What the results of the cases prove of a fault. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use torpor_harness::{CaseReport, Outcome};

use super::Cases;
use crate::fault::{Fault, USUAL_PROFILE};

/// Cases that must pass against every fault that does not concern what they prove.
const CONTROLS: [&str; 5] = [
    "a-missing-key-is-refused",
    "deleting-by-sdk-while-running",
    "files-survive@e2b",
    "interpreter-state-survives@kubernetes",
    "pause-and-resume-reach-their-state",
];

/// What came of one fault.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Verdict {
    pub(super) fault: &'static str,
    pub(super) culprit: &'static str,
    pub(super) does: &'static str,
    /// The requirements that it breaks.
    pub(super) breaks: &'static [&'static str],
    /// The cases that must fail because of it.
    pub(super) must_fail: &'static [&'static str],
    /// The cases that must pass in spite of it.
    pub(super) must_pass: Vec<String>,
    /// The cases that failed because of it.
    pub(super) caught_by: Vec<String>,
    /// The cases that should have failed, and what came of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) missed: Vec<String>,
    /// Cases that failed though they must pass, here or against the reference, and how: they prove nothing.
    pub(super) wrongly_failed: Vec<String>,
    /// Whether all that must fail did, each broken requirement was caught by a case of its own, and nothing else failed.
    pub(super) ok: bool,
}

/// The cases that must pass in spite of a fault.
pub(super) fn must_pass<'a>(fault: &Fault, cases: &'a Cases) -> Vec<&'a str> {
    let unconcerned = |id: &&&str| {
        let case = cases.get(**id);
        case.is_some_and(|case| !case.scenario.requirements.iter().any(|known| fault.concerns(known)))
    };
    // Read by another profile, most of them are not claimed.
    let controls = CONTROLS.iter().filter(|_| fault.profile == USUAL_PROFILE);
    let controls = controls.filter(unconcerned);
    let ids: BTreeSet<&str> = controls.chain(fault.spares).copied().collect();
    ids.into_iter()
        .filter_map(|id| cases.get_key_value(id).map(|(id, _)| id.as_str()))
        .collect()
}

pub(super) fn judge(
    fault: &'static Fault,
    cases: &Cases,
    reports: &[CaseReport],
    failed_anyway: &BTreeSet<String>,
) -> Verdict {
    let broke: Vec<&CaseReport> = reports.iter().filter(|report| report.result == Outcome::Fail).collect();
    let speaks_of = |report: &CaseReport, id: &str| {
        let violated = report.violations.iter().any(|violation| violation.requirement == id);
        violated || report.requirements.iter().any(|requirement| requirement == id)
    };
    let concerned = |report: &CaseReport| {
        let named = fault.caught_by.contains(&report.id.as_str());
        named
            || report
                .requirements
                .iter()
                .any(|requirement| fault.concerns(requirement))
    };
    let must_pass: Vec<String> = must_pass(fault, cases).into_iter().map(str::to_owned).collect();
    let caught: Vec<_> = broke
        .into_iter()
        .filter(|report| concerned(report) && !failed_anyway.contains(&report.id) && !must_pass.contains(&report.id))
        .collect();
    let proved = |id: &str| caught.iter().any(|report| speaks_of(report, id));
    let fails = |case: &str| caught.iter().any(|report| report.id == case);
    let wrongly = |report: &&CaseReport| {
        report.result != Outcome::Pass && (must_pass.contains(&report.id) || failed_anyway.contains(&report.id))
    };
    let wrongly_failed: Vec<String> = reports.iter().filter(wrongly).map(told).collect();
    Verdict {
        fault: fault.name,
        culprit: fault.culprit.as_str(),
        does: fault.does,
        breaks: fault.breaks,
        must_fail: fault.caught_by,
        ok: wrongly_failed.is_empty()
            && fault.breaks.iter().all(|id| proved(id))
            && fault.caught_by.iter().all(|case| fails(case)),
        caught_by: caught.iter().map(|report| report.id.clone()).collect(),
        missed: missed(fault, reports, &caught),
        must_pass,
        wrongly_failed,
    }
}

/// What came of the cases that should have failed and did not.
fn missed(fault: &Fault, reports: &[CaseReport], caught: &[&CaseReport]) -> Vec<String> {
    let not_caught = |report: &&CaseReport| {
        fault.caught_by.contains(&report.id.as_str()) && !caught.iter().any(|known| known.id == report.id)
    };
    reports.iter().filter(not_caught).map(told).collect()
}

/// A case and what came of it, with the reason.
fn told(report: &CaseReport) -> String {
    let reason = report
        .reason
        .as_deref()
        .map(|reason| format!(": {reason}"))
        .unwrap_or_default();
    format!("{} ({}{reason})", report.id, report.result.as_str())
}

/// The cases that did not pass, whatever came between.
pub(super) fn failed(reports: &[CaseReport]) -> BTreeSet<String> {
    let failed = reports.iter().filter(|report| report.result != Outcome::Pass);
    failed.map(|report| report.id.clone()).collect()
}

#[cfg(test)]
mod tests {
    use torpor_harness::{Filter, Suite};

    use super::*;

    fn cases() -> Cases {
        let suite = Suite::embedded().expect("the scenarios");
        let cases = suite.select(&Filter::default()).into_iter();
        cases.map(|case| (case.id.clone(), case)).collect()
    }

    #[test]
    fn every_control_is_a_case() {
        let cases = cases();
        for control in CONTROLS {
            assert!(cases.contains_key(control), "{control}");
        }
    }

    #[test]
    fn every_fault_leaves_cases_that_must_pass() {
        let cases = cases();
        for fault in Fault::all() {
            let spared = must_pass(fault, &cases);
            assert!(!spared.is_empty(), "nothing must pass against {}", fault.name);
            for case in fault.caught_by {
                assert!(
                    !spared.contains(case),
                    "{case} must fail and pass against {}",
                    fault.name
                );
            }
        }
    }
}
