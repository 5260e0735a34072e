//! What is worth knowing of a report besides its cases.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CaseReport, INTERRUPTED, Outcome, Report};

impl Report {
    /// What a result is called for people: in a run of selected cases a requirement without one was left out by whoever
    /// selected, and not by the suite.
    pub(super) const fn word_for(&self, outcome: Outcome) -> &'static str {
        match outcome {
            Outcome::Untested if self.partial => "not-selected",
            other => other.as_str(),
        }
    }

    /// What else is worth knowing, a line each: what kept the run from success beside its
    /// cases, what makes its verdict worth less, and what could be claimed.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::from_iter(self.interrupted());
        notes.extend(self.stale().into_iter().map(|(entry, why)| {
            let (id, owner) = (&entry.entry.id, &entry.entry.owner);
            format!("stale expectation of {owner}: {id}: {}", why.as_str())
        }));
        notes.extend(self.unexercised.iter().map(|claim| {
            let name = claim.as_str();
            format!("claimed, and no case of it was executed: {name}")
        }));
        if self.summary.skipped > 0 {
            notes.push("cases of what is claimed were left out, which is no success".to_owned());
        }
        notes.extend(self.patience());
        notes.extend(self.held_up());
        notes.extend(self.could_claim.iter().map(|found| {
            let (name, cases) = (found.capability.as_str(), found.cases.len());
            format!("could claim {name}: {cases} cases of it pass")
        }));
        notes.extend(self.provisional_cases());
        let flaky = self.all_cases().filter(|case| case.is_flaky());
        notes.extend(flaky.map(|case| format!("not the same in every round: {}", case.id)));
        notes
    }

    fn interrupted(&self) -> Option<String> {
        let cut = |case: &&CaseReport| case.reason.as_deref() == Some(INTERRUPTED);
        let count = self.all_cases().filter(cut).count();
        (count > 0).then(|| format!("{INTERRUPTED}: {count} cases did not come to an end"))
    }

    fn patience(&self) -> Option<String> {
        let departures = self.provenance.options.limits.departures().join(", ");
        (!departures.is_empty()).then(|| format!("judged with more patience than the contract has: {departures}"))
    }

    /// Where the suite could not look for half of the time or more.
    fn held_up(&self) -> Option<String> {
        let (held_up, all) = (self.provenance.environment.suite.held_up_seconds, self.seconds);
        let told = held_up > 0 && Duration::from_secs(held_up).as_secs_f64() * 2.0 >= all;
        told.then(|| {
            format!("the machine of the suite was busy: it was held up for {held_up} of {all:.0} s, and waited that much longer for the target")
        })
    }

    fn provisional_cases(&self) -> Option<String> {
        provisional(self.provisional.iter().map(|case| case.result))
    }
}

/// What came of the cases of no weight: what passed, and of the others how many there are of each kind.
fn provisional(results: impl Iterator<Item = Outcome>) -> Option<String> {
    let mut counts: BTreeMap<Outcome, usize> = BTreeMap::new();
    for result in results {
        *counts.entry(result).or_default() += 1;
    }
    if counts.is_empty() {
        return None;
    }
    let passed = counts.remove(&Outcome::Pass).unwrap_or_default();
    // The worst first, as everywhere.
    let others = counts
        .iter()
        .rev()
        .map(|(result, count)| format!(", {count} {}", result.as_str()));
    let others: String = others.collect();
    Some(format!("provisional, and of no weight yet: {passed} passed{others}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provisional_cases_that_were_not_claimed_are_not_told_as_if_they_had_been_run() {
        let told = |results: &[Outcome]| provisional(results.iter().copied());
        assert_eq!(told(&[]), None);
        let start = "provisional, and of no weight yet:";
        assert_eq!(told(&[Outcome::Pass; 12]).unwrap(), format!("{start} 12 passed"));
        let mixed = [
            Outcome::NotClaimed,
            Outcome::Pass,
            Outcome::Fail,
            Outcome::Pass,
            Outcome::NotClaimed,
        ];
        assert_eq!(
            told(&mixed).unwrap(),
            format!("{start} 2 passed, 1 fail, 2 not-claimed")
        );
    }
}
