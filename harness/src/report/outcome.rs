//! What came of a case or a requirement, and how often. The kinds are never folded together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What came of a case or a requirement, from the best to the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// No case of this run speaks of it. Of requirements only.
    Untested,
    /// The target does not claim what it takes.
    NotClaimed,
    /// It held.
    Pass,
    /// Claimed, and left out by who started the run, or not to be asked for by its profile. No success.
    Skipped,
    /// It did not hold, and its owner had said so beforehand.
    ExpectedFailure,
    /// Claimed, and what it takes to find out is not there. A case counts as failed, except
    /// in the result of a requirement that the catalogue itself calls untestable.
    Untestable,
    /// The suite could not find out.
    Error,
    /// It did not hold.
    Fail,
}

impl Outcome {
    /// All of them, from the best to the worst.
    pub const ALL: [Self; 8] = [
        Self::Untested,
        Self::NotClaimed,
        Self::Pass,
        Self::Skipped,
        Self::ExpectedFailure,
        Self::Untestable,
        Self::Error,
        Self::Fail,
    ];

    /// As written in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Untested => "untested",
            Self::NotClaimed => "not-claimed",
            Self::Pass => "pass",
            Self::Skipped => "skipped",
            Self::ExpectedFailure => "expected-failure",
            Self::Untestable => "untestable",
            Self::Error => "error",
            Self::Fail => "fail",
        }
    }

    /// Whether its steps were carried out and told something of the target.
    #[must_use]
    pub const fn is_executed(self) -> bool {
        match self {
            Self::Pass | Self::Fail | Self::ExpectedFailure => true,
            Self::Untested | Self::NotClaimed | Self::Skipped | Self::Untestable | Self::Error => false,
        }
    }
}

/// How many cases came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Held.
    pub pass: usize,
    /// Did not hold.
    pub fail: usize,
    /// Could not be found out.
    pub error: usize,
    /// Claimed, but what it takes to find out is missing.
    pub untestable: usize,
    /// Not claimed by the target.
    pub not_claimed: usize,
    /// Claimed, and left out by who started the run.
    pub skipped: usize,
    /// Did not hold, as was said beforehand.
    pub expected_failure: usize,
}

impl Summary {
    /// Counts outcomes.
    #[must_use]
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let mut summary = Self::default();
        for outcome in outcomes {
            match outcome {
                Outcome::Untested => {}
                Outcome::NotClaimed => summary.not_claimed += 1,
                Outcome::Pass => summary.pass += 1,
                Outcome::Skipped => summary.skipped += 1,
                Outcome::ExpectedFailure => summary.expected_failure += 1,
                Outcome::Untestable => summary.untestable += 1,
                Outcome::Error => summary.error += 1,
                Outcome::Fail => summary.fail += 1,
            }
        }
        summary
    }

    /// How many came to that.
    #[must_use]
    pub const fn count(self, outcome: Outcome) -> usize {
        match outcome {
            Outcome::Untested => 0,
            Outcome::NotClaimed => self.not_claimed,
            Outcome::Pass => self.pass,
            Outcome::Skipped => self.skipped,
            Outcome::ExpectedFailure => self.expected_failure,
            Outcome::Untestable => self.untestable,
            Outcome::Error => self.error,
            Outcome::Fail => self.fail,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_one_name_and_a_count_of_its_own() {
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.as_str());
            let summary = Summary::of([outcome]);
            let counted: usize = Outcome::ALL.iter().map(|kind| summary.count(*kind)).sum();
            assert_eq!(counted, usize::from(outcome != Outcome::Untested));
            assert_eq!(summary.count(outcome), counted);
        }
    }
}
