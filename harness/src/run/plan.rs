//! Whether a case is run: decided before anything is done.

use crate::report::Outcome;
use crate::suite::Case;
use crate::target::Target;

/// A case that who started the run leaves out, although the target claims what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skip {
    /// A case, a scenario or a requirement.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What is done about a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It is run.
    Run,
    /// It is run although the target lacks what is said here; it counts for nothing.
    Try(String),
    /// It is not run.
    Leave(Outcome, String),
}

pub(super) fn plan(case: &Case, target: &Target, skips: &[Skip], try_unclaimed: bool) -> Plan {
    let lacks = target.lacks(&case.scenario, case.front);
    let unreachable = target.unreachable();
    let unclaimed = lacks.difference(&unreachable);
    let names: Vec<_> = unclaimed.clone().map(|capability| capability.as_str()).collect();
    if !names.is_empty() {
        let reason = format!("the target does not claim: {}", names.join(", "));
        let may_be_tried = lacks.iter().all(|capability| capability.may_be_tried());
        return if try_unclaimed && may_be_tried {
            Plan::Try(reason)
        } else {
            Plan::Leave(Outcome::NotClaimed, reason)
        };
    }
    if let Some(skip) = skips.iter().find(|skip| case.is_named(&skip.id)) {
        return Plan::Leave(Outcome::Skipped, format!("left out: {}", skip.reason));
    }
    let names: Vec<_> = lacks.iter().map(|capability| capability.as_str()).collect();
    if names.is_empty() {
        return Plan::Run;
    }
    let reason = format!(
        "the target claims {}, and no address was given to find out",
        names.join(", ")
    );
    Plan::Leave(Outcome::Untestable, reason)
}
