//! What changed between two reports.
//!
//! A regression is what held before and does not now, for whatever reason, or what came to
//! something worse than before. What only one of the reports knows is named and is none: the
//! suites differ. Of what a report of selected cases left out, nothing can be said.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{Outcome, Report, Verdict};

/// What changed from one report to another.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// What the runs amounted to, before and after.
    pub verdict: (Verdict, Verdict),
    /// What makes the reports hard to compare.
    pub notes: Vec<String>,
    /// Requirements with another result, in the order of the contract.
    pub requirements: Vec<Changed>,
    /// Cases with another result, by id.
    pub cases: Vec<Changed>,
}

/// One requirement or case with another result than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Its id.
    pub id: String,
    /// What it came to before; nothing when only the new report knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Outcome>,
    /// What it comes to now; nothing when only the old report knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Outcome>,
    /// What that is.
    pub kind: ChangeKind,
    /// Why, as far as the new report says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a change is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// It held and does not, or came to something worse.
    Regression,
    /// It did not hold and does, or came to something better.
    Improvement,
    /// Only the new report knows it.
    Added,
    /// Only the old report knows it.
    Removed,
}

impl ChangeKind {
    /// For people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Regression => "regression",
            Self::Improvement => "improvement",
            Self::Added => "added",
            Self::Removed => "removed",
        }
    }
}

impl Difference {
    /// Compares two reports.
    #[must_use]
    pub fn between(old: &Report, new: &Report) -> Self {
        let unasked: BTreeSet<&str> = [old, new].into_iter().flat_map(left_out).collect();
        let requirements = |report: &Report| -> Vec<(String, Outcome, Option<String>)> {
            let all = report.requirements.iter();
            let asked = all.filter(|requirement| !unasked.contains(requirement.id.as_str()));
            asked
                .map(|requirement| (requirement.id.clone(), requirement.result, None))
                .collect()
        };
        let cases = |report: &Report| -> Vec<(String, Outcome, Option<String>)> {
            let all = report.cases.iter();
            all.map(|case| (case.id.clone(), case.result, case.reason.clone()))
                .collect()
        };
        let mut cases = changes(cases(old), cases(new));
        cases.retain(|change| match change.kind {
            ChangeKind::Regression | ChangeKind::Improvement => true,
            ChangeKind::Added => !old.partial,
            ChangeKind::Removed => !new.partial,
        });
        Self {
            verdict: (old.verdict, new.verdict),
            notes: notes(old, new),
            requirements: changes(requirements(old), requirements(new)),
            cases,
        }
    }

    /// Whether anything got worse.
    #[must_use]
    pub fn is_regression(&self) -> bool {
        let mut all = self.requirements.iter().chain(&self.cases);
        all.any(|change| change.kind == ChangeKind::Regression)
    }
}

/// The requirements of which a report of selected cases says nothing.
fn left_out(report: &Report) -> impl Iterator<Item = &str> {
    let untested = report
        .requirements
        .iter()
        .filter(|requirement| requirement.result == Outcome::Untested);
    untested
        .filter(|_| report.partial)
        .map(|requirement| requirement.id.as_str())
}

fn notes(old: &Report, new: &Report) -> Vec<String> {
    let differ = |what: &str, from: &str, to: &str| (from != to).then(|| format!("{what}: {from} before, {to} now"));
    let (before, after) = (&old.provenance, &new.provenance);
    let partial = |name: &str, report: &Report| {
        report
            .partial
            .then(|| format!("the {name} report is of selected cases only; of the others nothing is said here"))
    };
    [
        differ("target", &old.target, &new.target),
        differ("profile", &old.profile, &new.profile),
        differ("suite", &old.suite_version, &new.suite_version),
        (before.suite_digest != after.suite_digest).then(|| "the suites ask different things".to_owned()),
        (before.profile_digest != after.profile_digest).then(|| "the profiles read targets differently".to_owned()),
        partial("old", old),
        partial("new", new),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn changes(old: Vec<(String, Outcome, Option<String>)>, new: Vec<(String, Outcome, Option<String>)>) -> Vec<Changed> {
    let mut before: BTreeMap<String, Outcome> = old.iter().map(|(id, outcome, _)| (id.clone(), *outcome)).collect();
    let mut changes = Vec::new();
    for (id, to, reason) in new {
        let from = before.remove(&id);
        if let Some(kind) = kind(from, Some(to)) {
            let to = Some(to);
            changes.push(Changed {
                id,
                from,
                to,
                kind,
                reason,
            });
        }
    }
    let gone = old.into_iter().filter(|(id, _, _)| before.contains_key(id));
    changes.extend(gone.map(|(id, from, _)| Changed {
        id,
        from: Some(from),
        to: None,
        kind: ChangeKind::Removed,
        reason: None,
    }));
    changes
}

/// Nothing when nothing changed.
fn kind(from: Option<Outcome>, to: Option<Outcome>) -> Option<ChangeKind> {
    match (from, to) {
        (None, None) => None,
        (None, Some(_)) => Some(ChangeKind::Added),
        (Some(_), None) => Some(ChangeKind::Removed),
        (Some(from), Some(to)) if from == to => None,
        // Nothing is better than that it held, not even what says nothing.
        (Some(Outcome::Pass), Some(_)) => Some(ChangeKind::Regression),
        (Some(_), Some(Outcome::Pass)) => Some(ChangeKind::Improvement),
        (Some(from), Some(to)) if from < to => Some(ChangeKind::Regression),
        (Some(_), Some(_)) => Some(ChangeKind::Improvement),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_held_and_does_not_is_a_regression_whatever_it_comes_to() {
        for outcome in Outcome::ALL {
            let expected = (outcome != Outcome::Pass).then_some(ChangeKind::Regression);
            assert_eq!(kind(Some(Outcome::Pass), Some(outcome)), expected, "{outcome:?}");
            let back = (outcome != Outcome::Pass).then_some(ChangeKind::Improvement);
            assert_eq!(kind(Some(outcome), Some(Outcome::Pass)), back, "{outcome:?}");
        }
    }

    #[test]
    fn a_failure_that_was_an_error_is_worse_and_what_is_new_is_neither() {
        assert_eq!(
            kind(Some(Outcome::Error), Some(Outcome::Fail)),
            Some(ChangeKind::Regression)
        );
        assert_eq!(
            kind(Some(Outcome::Fail), Some(Outcome::NotClaimed)),
            Some(ChangeKind::Improvement)
        );
        assert_eq!(kind(None, Some(Outcome::Fail)), Some(ChangeKind::Added));
        assert_eq!(kind(Some(Outcome::Fail), None), Some(ChangeKind::Removed));
    }
}
