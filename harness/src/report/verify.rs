//! Whether a report can be what a run of the suite wrote.
//!
//! Everything that follows from something else is derived again by the rules of the suite and
//! compared: counts, verdict, requirements, and cases by what the suite asks and the target
//! claims. A digest tells whether anything was changed after it was written. It is no
//! signature: who changes a report knowingly can make all of it consistent again.

mod cases;
mod layout;

use std::collections::BTreeSet;

use super::requirement::reports;
use super::{FoundReport, Outcome, Report, Summary, Verdict, digest};
use crate::catalogue::{Catalogue, Level, Requirement};
use crate::scenario::Revision;
use crate::suite::Suite;

/// Something that cannot be so in a report that a run wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// The data was changed after it was written.
    #[error("it was changed after it was written: its digest is {computed}, and it says {recorded}")]
    Changed {
        /// What it says.
        recorded: String,
        /// What it is.
        computed: String,
    },
    /// There is something in it that no report has.
    #[error("{pointer}: {what}")]
    Layout {
        /// JSON pointer.
        pointer: String,
        /// What is wrong there.
        what: String,
    },
    /// A count is not that of the cases.
    #[error("summary: {recorded} cases are said to be {outcome}, and there are {counted}", outcome = .outcome.as_str())]
    Count {
        /// Of what.
        outcome: Outcome,
        /// What it says.
        recorded: usize,
        /// What there is.
        counted: usize,
    },
    /// The verdict does not follow.
    #[error("verdict: it says {}, and what it holds amounts to {}", .recorded.as_str(), .derived.as_str())]
    Verdict {
        /// What it says.
        recorded: Verdict,
        /// What follows.
        derived: Verdict,
    },
    /// A requirement is missing.
    #[error("requirement {id} ({level}) is missing", level = .level.as_str())]
    MissingRequirement {
        /// Its id.
        id: String,
        /// Whom it binds.
        level: Level,
    },
    /// A requirement is not as the catalogue has it, or not known to it.
    #[error("requirement {id}: {what}")]
    Requirement {
        /// Its id.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// A case of the suite is missing.
    #[error("case {id} is missing, and no filter left it out")]
    MissingCase {
        /// Its id.
        id: String,
    },
    /// A case is not what it can be.
    #[error("case {id}: {what}")]
    Case {
        /// Its id.
        id: String,
        /// What is wrong with it.
        what: String,
    },
    /// Only some cases were run.
    #[error("it is of selected cases only ({filter}), so it says nothing of the others")]
    Partial {
        /// What was selected.
        filter: String,
    },
    /// Times that cannot be.
    #[error("times: {what}")]
    Times {
        /// What is wrong with them.
        what: String,
    },
}

impl Finding {
    /// Whether it says no more than that not all cases were run.
    #[must_use]
    pub const fn is_partial(&self) -> bool {
        matches!(self, Self::Partial { .. })
    }
}

/// What came of a verification.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    /// What cannot be so. A report without any is one that a run may have written.
    pub findings: Vec<Finding>,
    /// What could not be checked.
    pub notes: Vec<String>,
}

/// Checks a report against itself and against the suite that it says it was made with.
#[must_use]
pub fn verify(found: &FoundReport, suite: &Suite) -> Verification {
    let report = &found.report;
    let same_suite = report.provenance.suite_digest == suite.digest();
    let mut verification = Verification::default();
    let findings = &mut verification.findings;
    findings.extend(integrity(found));
    findings.extend(layout::findings(found));
    findings.extend(times(report));
    findings.extend(counts(report));
    findings.extend(partial(report));
    findings.extend(requirements(report, &suite.catalogue, same_suite));
    findings.extend(cases::of_themselves(report));
    let departures = report.provenance.options.limits.departures();
    if !departures.is_empty() {
        verification.notes.push(format!(
            "it was judged with more patience than the contract has: {}",
            departures.join(", ")
        ));
    }
    if same_suite {
        findings.extend(cases::of_the_suite(report, suite));
    } else {
        findings.extend(number_of_cases(report));
        verification.notes.push(format!(
            "it was made with another suite ({}, {}) than this torpor has: whether its cases are those of that suite is not checked",
            report.suite_version, report.provenance.suite_digest
        ));
    }
    verification
}

fn integrity(found: &FoundReport) -> Option<Finding> {
    let (recorded, computed) = (found.report.integrity.clone(), digest::integrity(&found.data));
    (recorded != computed).then_some(Finding::Changed { recorded, computed })
}

fn times(report: &Report) -> Vec<Finding> {
    let wrong = |what: &str| Finding::Times { what: what.to_owned() };
    let mut findings = Vec::new();
    let (start, end) = (report.provenance.started_at, report.ended_at);
    if end < start {
        findings.push(wrong("it ended before it began"));
    }
    let impossible = |seconds: f64| !seconds.is_finite() || seconds < 0.0;
    if impossible(report.seconds) || report.all_cases().any(|case| impossible(case.seconds)) {
        findings.push(wrong("something took less than no time"));
    }
    findings
}

fn counts(report: &Report) -> Vec<Finding> {
    let counted = Summary::of(report.cases.iter().map(|case| case.result));
    let wrong = Outcome::ALL
        .into_iter()
        .filter(|outcome| report.summary.count(*outcome) != counted.count(*outcome));
    let mut findings: Vec<Finding> = wrong
        .map(|outcome| Finding::Count {
            outcome,
            recorded: report.summary.count(outcome),
            counted: counted.count(outcome),
        })
        .collect();
    let derived = Verdict::of(counted, report.stale().len(), report.unexercised.len());
    if derived != report.verdict {
        findings.push(Finding::Verdict {
            recorded: report.verdict,
            derived,
        });
    }
    findings
}

fn partial(report: &Report) -> Option<Finding> {
    let options = &report.provenance.options;
    let filter: Vec<&str> = options
        .filter
        .iter()
        .chain(&options.labels)
        .map(String::as_str)
        .collect();
    let filter = filter.join(", ");
    (report.partial || !filter.is_empty()).then_some(Finding::Partial { filter })
}

fn number_of_cases(report: &Report) -> Option<Finding> {
    let (held, of) = (
        report.cases.len() + report.provisional.len(),
        report.provenance.suite_cases,
    );
    let complete = report.partial || held == of;
    (!complete).then(|| Finding::Layout {
        pointer: "/cases".to_owned(),
        what: format!("{held} cases, and the suite that it was made with has {of}"),
    })
}

/// Every requirement is there, says what the catalogue says, and follows from the cases.
fn requirements(report: &Report, catalogue: &Catalogue, same_suite: bool) -> Vec<Finding> {
    let revision = Revision::of_version(&report.suite_version);
    let present: BTreeSet<&str> = report.requirements.iter().map(|row| row.id.as_str()).collect();
    let mut findings: Vec<Finding> = catalogue
        .requirements
        .iter()
        .filter(|requirement| !present.contains(requirement.id.as_str()))
        // A suite of before it existed cannot speak of it.
        .filter(|requirement| same_suite || Revision::of_version(&requirement.since) <= revision)
        .map(|requirement| Finding::MissingRequirement {
            id: requirement.id.clone(),
            level: requirement.level,
        })
        .collect();
    if present.len() != report.requirements.len() {
        findings.push(Finding::Layout {
            pointer: "/requirements".to_owned(),
            what: "a requirement is there twice".to_owned(),
        });
    }
    let derived = reports(
        &catalogue_of(report),
        &report.cases,
        (!report.partial).then_some(&report.claims),
    );
    for (row, derived) in report.requirements.iter().zip(&derived) {
        let known = catalogue.get(&row.id);
        let mut wrong = |what: String| {
            findings.push(Finding::Requirement {
                id: row.id.clone(),
                what,
            });
        };
        if row.result != derived.result {
            let (says, follows) = (row.result.as_str(), derived.result.as_str());
            wrong(format!("it says {says}, and its cases amount to {follows}"));
        } else if row.cases != derived.cases {
            wrong("its cases are not those that speak of it, or say something else".to_owned());
        }
        match known {
            None if same_suite => wrong("the catalogue does not have it".to_owned()),
            Some(known) if known.text != row.text && same_suite => wrong("its text is another".to_owned()),
            Some(known) if known.level != row.level && same_suite => wrong("its level is another".to_owned()),
            None | Some(_) => {}
        }
    }
    findings
}

/// The requirements that a report has, whatever catalogue they are from.
fn catalogue_of(report: &Report) -> Catalogue {
    let requirement = |row: &super::RequirementReport| Requirement {
        id: row.id.clone(),
        level: row.level,
        since: String::new(),
        text: row.text.clone(),
        untestable: row.untestable.clone(),
    };
    Catalogue {
        groups: Vec::new(),
        requirements: report.requirements.iter().map(requirement).collect(),
    }
}
