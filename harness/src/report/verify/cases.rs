//! Whether each case can be what it says.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use crate::expectation::ExpectationReport;
use crate::oracle::JUDGED;
use crate::report::{CaseReport, Outcome, Report};
use crate::scenario::Revision;
use crate::suite::{Case, Filter, Suite};

/// What can be said of cases whatever suite they are of.
pub(super) fn of_themselves(report: &Report) -> Vec<Finding> {
    let mut findings = Vec::new();
    for pair in report.cases.windows(2).chain(report.provisional.windows(2)) {
        if let [one, other] = pair
            && one.id >= other.id
        {
            findings.push(wrong(other, "it is there twice, or not in its place"));
        }
    }
    findings.extend(misplaced(report));
    for case in report.all_cases() {
        let excused = |entry: &&ExpectationReport| entry.excused.contains(&case.id);
        let excused = report.expectations.iter().any(|entry| excused(&entry));
        if let Some(what) = fault(case, excused) {
            findings.push(wrong(case, what));
        }
    }
    findings
}

/// Cases that count and stand with those that do not yet, or the other way round.
fn misplaced(report: &Report) -> Vec<Finding> {
    let revision = Revision::of_version(&report.suite_version);
    let counted = report.cases.iter().filter(|case| case.is_provisional());
    let counted = counted.map(|case| wrong(case, "it is provisional, and stands with the cases that count"));
    let early = |case: &&CaseReport| case.counts_from.is_none() || case.counts_from <= revision;
    let early = report.provisional.iter().filter(early);
    let early = early.map(|case| wrong(case, "it counts by now, and stands with the provisional cases"));
    counted.chain(early).collect()
}

/// What of a case does not go together.
fn fault(case: &CaseReport, excused: bool) -> Option<&'static str> {
    let worst_round = case.rounds.iter().max();
    let blameless = case.step.is_none() && case.violations.is_empty();
    let executed = !case.history.entries.is_empty();
    match case.result {
        Outcome::Untested => Some("a case cannot be untested"),
        _ if worst_round.is_some_and(|worst| *worst != case.result) => Some("it is not what its worst round came to"),
        _ if case.judged.iter().any(|id| !JUDGED.contains(&id.as_str())) => {
            Some("no oracle judges what it says was judged")
        }
        Outcome::Pass if !blameless || case.reason.is_some() => Some("it passed, and says why it did not"),
        Outcome::Pass if case.tried.is_some() => Some("it was claimed and tried without a claim at the same time"),
        Outcome::Pass => None,
        _ if case.reason.is_none() => Some("it did not pass, and does not say why"),
        Outcome::Fail | Outcome::ExpectedFailure if blameless => {
            Some("it failed, and neither a step nor an oracle says so")
        }
        Outcome::Fail | Outcome::ExpectedFailure if !executed => Some("it failed, and its record is missing"),
        Outcome::ExpectedFailure if !excused => Some("no expected failure covers it"),
        Outcome::Fail if excused => Some("it failed, and an expected failure says that it covers it"),
        Outcome::NotClaimed if executed && case.tried.is_none() => Some("it was not claimed, and run all the same"),
        Outcome::Skipped if executed => Some("it was left out, and run all the same"),
        Outcome::Fail
        | Outcome::ExpectedFailure
        | Outcome::NotClaimed
        | Outcome::Skipped
        | Outcome::Untestable
        | Outcome::Error => None,
    }
}

/// What the suite that they were made with says of them.
pub(super) fn of_the_suite(report: &Report, suite: &Suite) -> Vec<Finding> {
    let filter = Filter {
        any_of: report.provenance.options.filter.clone(),
        labels: report.provenance.options.labels.clone(),
    };
    let mut asked: BTreeMap<String, Case> = suite
        .select(&filter)
        .into_iter()
        .map(|case| (case.id.clone(), case))
        .collect();
    let mut findings = Vec::new();
    for found in report.all_cases() {
        match asked.remove(&found.id) {
            None => findings.push(wrong(found, "the suite does not have it, or the filter leaves it out")),
            Some(case) => findings.extend(against(found, &case, report).map(|what| wrong(found, what))),
        }
    }
    findings.extend(asked.into_keys().map(|id| Finding::MissingCase { id }));
    findings
}

/// What of a case is not as the suite asks it and as the claims of the target have it.
fn against(found: &CaseReport, case: &Case, report: &Report) -> Option<&'static str> {
    let needs: BTreeSet<_> = case.needs();
    let claimed = needs.is_subset(&report.claims);
    if found.title != case.scenario.title || found.requirements != case.scenario.requirements {
        return Some("its claim or its requirements are others than those of the suite");
    }
    let revision = Revision::of_version(&report.suite_version);
    let from = case.scenario.counts_from.filter(|from| Some(*from) > revision);
    if found.counts_from != from || found.labels != case.scenario.labels {
        return Some("its labels, or when it counts, are not as the suite has them");
    }
    match found.result {
        Outcome::NotClaimed if claimed => Some("the target claims what it takes, and it says not claimed"),
        Outcome::Pass | Outcome::Fail | Outcome::ExpectedFailure | Outcome::Error if !claimed => {
            Some("the target does not claim what it takes, and it was run")
        }
        Outcome::Pass
        | Outcome::Fail
        | Outcome::ExpectedFailure
        | Outcome::Error
        | Outcome::NotClaimed
        | Outcome::Skipped
        | Outcome::Untestable
        | Outcome::Untested => None,
    }
}

fn wrong(case: &CaseReport, what: &str) -> Finding {
    Finding::Case {
        id: case.id.clone(),
        what: what.to_owned(),
    }
}
