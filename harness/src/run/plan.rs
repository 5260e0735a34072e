//! Whether a case is run: decided before anything is done.

use crate::report::Outcome;
use crate::scenario::words;
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
        return if try_unclaimed && may_be_tried && unsaid(case, target).is_none() {
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
        // What cannot be asked for says nothing of the target, and is no success of it.
        return unsaid(case, target).map_or(Plan::Run, |reason| Plan::Leave(Outcome::Skipped, reason));
    }
    let reason = format!(
        "the target claims {}, and no address was given to find out",
        names.join(", ")
    );
    Plan::Leave(Outcome::Untestable, reason)
}

/// What the case takes of the profile and it does not say, if anything.
fn unsaid(case: &Case, target: &Target) -> Option<String> {
    let dialect = target
        .profile
        .kubernetes
        .as_ref()
        .filter(|_| target.kubernetes.is_some())?;
    let calls = target
        .adapter
        .as_ref()
        .map(|adapter| adapter.calls())
        .unwrap_or_default();
    let taken = words(&case.scenario.steps, case.front).into_iter();
    let fields: Vec<_> = taken.filter_map(|word| dialect.unsaid(word, &calls)).collect();
    let name = &target.profile.name;
    (!fields.is_empty()).then(|| format!("the profile `{name}` does not say {}", fields.join(", nor ")))
}
