//! Whether what a target claims was put to the test, and what else it could claim.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::capability::Capability;
use crate::report::{CaseReport, Outcome};
use crate::suite::Case;
use crate::target::Target;

/// A capability that the target does not claim, and that it seems to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CouldClaim {
    /// The capability.
    pub capability: Capability,
    /// The cases that need it and pass.
    pub cases: Vec<String>,
}

/// The claims of which no case was executed; `cases` are all of a whole run.
pub(crate) fn unexercised(target: &Target, cases: &[Case], reports: &[CaseReport]) -> BTreeSet<Capability> {
    let exercised = |capability: &Capability| {
        let ran = |case: &&Case| {
            let mine = |report: &&CaseReport| report.id == case.id;
            reports
                .iter()
                .find(mine)
                .is_some_and(|report| report.result.is_executed())
        };
        cases.iter().filter(ran).any(|case| case.needs().contains(capability))
    };
    let claimed = target.offers().into_iter();
    claimed.filter(|capability| !exercised(capability)).collect()
}

/// The capabilities of which every case that was tried without a claim passed.
pub(crate) fn could_claim(target: &Target, cases: &[Case], reports: &[CaseReport]) -> Vec<CouldClaim> {
    let tried_without = |capability: Capability| -> Vec<&CaseReport> {
        let lacking = cases
            .iter()
            .filter(|case| target.lacks(&case.scenario, case.front).contains(&capability));
        let found = |case: &Case| reports.iter().find(|report| report.id == case.id);
        lacking
            .filter_map(found)
            .filter(|report| report.tried.is_some())
            .collect()
    };
    let seems_kept = |capability: Capability| {
        let tried = tried_without(capability);
        let kept = !tried.is_empty() && tried.iter().all(|report| report.tried == Some(Outcome::Pass));
        kept.then(|| CouldClaim {
            capability,
            cases: tried.iter().map(|report| report.id.clone()).collect(),
        })
    };
    Capability::ALL.into_iter().filter_map(seems_kept).collect()
}
